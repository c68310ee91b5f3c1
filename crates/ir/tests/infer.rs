//! Shape inference: what each operator makes of its operands, and what it refuses.

use paring_ir::{Dim, Fact, Graph, InferError, Op, infer::infer};

/// Operands by their text: `f32[N, 3]`, `i64 = [1, 2]`, `f32 = [0.5]`, `_`.
fn operand(text: &str) -> Option<Fact> {
    if text == "_" {
        return None;
    }
    let stmt = match text.split_once(" = ") {
        None => format!("input %v: {text}"),
        Some((dtype, list)) => {
            let n = if list == "[]" { 0 } else { list.split(',').count() };
            format!("const %v: {dtype}[{n}] = {list}")
        }
    };
    let g = Graph::parse(&format!("graph \"g\" {{\n{stmt}\noutput \"v\" = %v\n}}")).unwrap();
    Some(g.value(g.outputs()[0].value).fact.clone())
}

fn facts_of(op: &Op, inputs: &[&str], outputs: usize) -> Result<Vec<Fact>, InferError> {
    let inputs: Vec<Option<Fact>> = inputs.iter().map(|t| operand(t)).collect();
    let inputs: Vec<Option<&Fact>> = inputs.iter().map(Option::as_ref).collect();
    let mut n = 0;
    let mut fresh = || {
        n += 1;
        Dim::symbol(&format!("?{n}"))
    };
    infer(op, &[], &inputs, outputs, &mut fresh)
}

/// Operator and operands as text: `Op(attributes)(operands)` with `;` between operands.
fn parse(call: &str) -> (Op, Vec<&str>) {
    let mut depth = 0;
    let open = call
        .char_indices()
        .rev()
        .find(|&(_, c)| {
            depth += (c == ')') as i32 - (c == '(') as i32;
            depth == 0
        })
        .unwrap()
        .0;
    let inner = &call[open + 1..call.len() - 1];
    let op = paring_ir::notation::from_str(&call[..open]).unwrap_or_else(|e| panic!("{call}: {e}"));
    (op, if inner.is_empty() { vec![] } else { inner.split(';').map(str::trim).collect() })
}

fn check(call: &str, expected: &str) {
    let (op, inputs) = parse(call);
    let wanted = expected.split(" | ").count();
    let found = facts_of(&op, &inputs, wanted).unwrap_or_else(|e| panic!("{call}: {e}"));
    let found: Vec<String> = found
        .iter()
        .map(|f| match &f.symbolic {
            Some(e) => format!("{} = {e:?}", f.ty),
            None => f.ty.to_string(),
        })
        .collect();
    assert_eq!(found.join(" | "), expected, "{call}");
}

fn refuse(call: &str, expected: &str) {
    let (op, inputs) = parse(call);
    let outputs = if matches!(op, Op::Split(_)) { 3 } else { 1 };
    let error = facts_of(&op, &inputs, outputs).expect_err(call).to_string();
    assert!(error.contains(expected), "{call}:\n{error}\nshould have: {expected}");
}

fn conv(stride: usize, pad: &str, groups: usize) -> String {
    format!("Conv(kernel: [3, 3], stride: [{stride}, {stride}], dilation: [1, 1], padding: {pad}, groups: {groups})")
}

const PAD1: &str = "Explicit(before: [1, 1], after: [1, 1])";
const PAD0: &str = "Explicit(before: [0, 0], after: [0, 0])";

#[test]
fn convolutions() {
    check(&format!("{}(f32[N, 3, 224, W]; f32[64, 3, 3, 3])", conv(2, PAD1, 1)), "f32[N, 64, 112, floor(W-1, 2)+1]");
    check(&format!("{}(f32[1, 4, 7, 8]; f32[6, 2, 3, 3])", conv(2, "SameUpper", 2)), "f32[1, 6, 4, 4]");
    check(&format!("{}(f32[*]; f32[6, 2, 3, 3])", conv(1, PAD0, 2)), "f32[?1, 6, ?3-2, ?4-2]");
    refuse(&format!("{}(f32[1, 5, 7, 7]; f32[6, 2, 3, 3])", conv(1, PAD0, 2)), "multiple of 2, found 5");
    refuse(&format!("{}(f32[1, 4, 7, 7]; f32[5, 2, 3, 3])", conv(1, PAD0, 2)), "multiple of 2, found 5");
    refuse(&format!("{}(f32[1, 4, 7, 7]; f32[6, 3, 3, 3])", conv(1, PAD0, 2)), "expected 2, found 3");
    refuse(&format!("{}(f32[1, 4, 7, 7]; f32[6, 4, 3, 5])", conv(1, PAD0, 1)), "expected 3, found 5");
    refuse(&format!("{}(f32[1, 4, 2, 7]; f32[6, 4, 3, 3])", conv(1, PAD0, 1)), "output would be empty");
    refuse(&format!("{}(f32[1, 4, 7, 7]; f32[6, 4, 3, 3])", conv(1, PAD0, 0)), "groups must be at least 1");
    refuse(&format!("{}(f32[1, 4, 7, 7]; f32[6, 4, 3, 3])", conv(0, PAD0, 1)), "stride must be at least 1");
    refuse(&format!("{}(f32[1, 0, 7, 7]; f32[6, 0, 3, 3])", conv(1, PAD0, 1)), "at least 1, found 0");
    refuse(&format!("{}(f32[1, 4, 7]; f32[6, 4, 3, 3])", conv(1, PAD0, 1)), "rank 4");
    refuse(&format!("{}(f32[1, 4, 7, 7]; f16[6, 4, 3, 3])", conv(1, PAD0, 1)), "f32 and f16");
    refuse(&format!("{}(f32[1, 4, 7, 7])", conv(1, PAD0, 1)), "input 1 (w) is missing");
    refuse(
        &format!("{}(f32[1, 4, 7, 7]; f32[6, 4, 3, 3])", conv(1, "Explicit(before: [1], after: [1, 1])", 1)),
        "padding before must have 2 entries",
    );
    let select = |s: &str, g: usize| {
        format!("Conv(kernel: [1], stride: [1], dilation: [1], padding: SameUpper, groups: {g}, select: {s})")
    };
    check(&format!("{}(f32[1, 5, 7]; f32[4, 2, 1])", select("[4, 0, 1, 2]", 2)), "f32[1, 4, 7]");
    refuse(&format!("{}(f32[1, 5, 7]; f32[4, 2, 1])", select("[4, 0, 1]", 2)), "expected 4, found 3");
    refuse(&format!("{}(f32[1, 5, 7]; f32[4, 2, 1])", select("[5, 0, 1, 2]", 2)), "select names channel 5");

    let t = |extra: &str| {
        format!(
            "ConvTranspose(kernel: [3, 3], stride: [2, 2], dilation: [1, 1], {extra}, groups: 2)(f32[1, 4, 5, H]; f32[4, 3, 3, 3])"
        )
    };
    check(&t(&format!("padding: {PAD1}, output_padding: [1, 1]")), "f32[1, 6, 10, 2*H]");
    check(&t("padding: SameLower, output_padding: [0, 0]"), "f32[1, 6, 10, 2*H]");
    check(&t(&format!("padding: {PAD0}, output_padding: [0, 0], output_shape: [11, 12]")), "f32[1, 6, 11, 12]");
    refuse(&t("padding: Explicit(before: [9, 9], after: [9, 9]), output_padding: [0, 0]"), "output would be empty");
}

#[test]
fn pooling() {
    let pool = |kind: &str, ceil: bool, pad: &str| {
        format!("Pool(kind: {kind}, kernel: [3, 3], stride: [2, 2], dilation: [1, 1], padding: {pad}, ceil: {ceil})")
    };
    check(&format!("{}(f32[1, 8, 6, 7])", pool("Max", false, PAD0)), "f32[1, 8, 2, 3] | i64[1, 8, 2, 3]");
    check(&format!("{}(f32[1, 8, 6, 7])", pool("Max", true, PAD0)), "f32[1, 8, 3, 3]");
    // The last window would start in the padding: it does not count.
    check(
        "Pool(kind: Max, kernel: [1], stride: [2], dilation: [1], padding: Explicit(before: [0], after: [1]), ceil: true)(f32[1, 1, 2])",
        "f32[1, 1, 1]",
    );
    check(
        &format!("{}(f32[*])", pool("Average(count_padding: false)", false, "SameUpper")),
        "f32[?1, ?2, floor(?3+1, 2), floor(?4+1, 2)]",
    );
    refuse(&format!("{}(f32[1, 1, 1, 1])", pool("Max", false, PAD0)), "larger than the padded input of 1");
    refuse(&format!("{}(f32[1, 1, 9, 9])", pool("Lp(p: 0)", false, PAD0)), "p must be at least 1");
    check("GlobalPool(Average)(f32[N, 3, 4, W])", "f32[N, 3, 1, 1]");
    refuse("GlobalPool(Average)(f32[N, 3, 0, 2])", "at least 1, found 0");
    let unpool = "MaxUnpool(kernel: [2, 2], stride: [2, 2], before: [0, 0], after: [0, 0])";
    check(&format!("{unpool}(f32[1, 1, 2, 3]; i64[1, 1, 2, 3])"), "f32[1, 1, 4, 6]");
    check(&format!("{unpool}(f32[1, 1, 2, 3]; i64[1, 1, 2, 3]; i64 = [1, 1, 5, 7])"), "f32[1, 1, 5, 7]");
    let roi = "RoiAlign(max: false, output_height: 7, output_width: 5, sampling_ratio: 2, spatial_scale: 1.0, half_pixel: true)";
    check(&format!("{roi}(f32[1, 8, 20, 20]; f32[R, 4]; i64[R])"), "f32[R, 8, 7, 5]");
    refuse(&format!("{roi}(f32[1, 8, 20, 20]; f32[R, 5]; i64[R])"), "expected 4, found 5");
}

#[test]
fn products() {
    check("Dense(transposed: false)(f32[N, T, 8]; f32[8, 4])", "f32[N, T, 4]");
    check("Dense(transposed: true)(f32[N, K]; f32[4, 8])", "f32[N, 4]");
    refuse("Dense(transposed: true)(f32[N, 7]; f32[4, 8])", "expected 8, found 7");
    check("MatMul(f32[B, 1, M, 5]; f32[3, 5, 7])", "f32[B, 3, M, 7]");
    check("MatMul(f32[5]; f32[5])", "f32[]");
    check("MatMul(f32[5]; f32[2, 5, 3])", "f32[2, 3]");
    check("MatMul(f32[2, 3, 5]; f32[5])", "f32[2, 3]");
    refuse("MatMul(f32[2, 3]; f32[2, 3])", "expected 3, found 2");
    refuse("MatMul(f32[]; f32[2, 3])", "rank 1 or more");
}

#[test]
fn products_of_integers() {
    check("MatMulInteger(u8[B, M, 5]; i8[5, 7]; u8[]; i8[7])", "i32[B, M, 7]");
    check("MatMulInteger(u8[2, 3]; u8[3, 4]; u8[2]; u8[1, 4]; f32[4])", "f32[2, 4]");
    check("MatMulInteger(i8[N, 3]; u8[3]; _; u8[1]; f32[1, 1])", "f32[N]");
    refuse("MatMulInteger(f32[2, 3]; u8[3, 4])", "u8 or i8");
    refuse("MatMulInteger(u8[2, 3]; i8[3, 4]; i8[])", "same element type");
    refuse("MatMulInteger(u8[2, 3]; i8[3, 4]; u8[3])", "rows of a");
    refuse("MatMulInteger(u8[2, 3]; i8[3, 4]; _; i8[3])", "does not broadcast");
    refuse("MatMulInteger(u8[2, 3]; i8[3, 4]; _; _; f32[2])", "length of scale");
    refuse("MatMulInteger(u8[2, 3]; i8[3]; _; _; f32[2])", "one number");
    refuse("MatMulInteger(u8[2, 3]; i8[3, 4]; _; _; i32[])", "scale must be f32");
    let conv = "ConvInteger(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)";
    check(&format!("{conv}(u8[N, 2, H, 5]; i8[4, 2, 3, 3]; u8[]; i8[4])"), "i32[N, 4, H, 5]");
    check(&format!("{conv}(u8[N, 2, H, 5]; i8[4, 2, 3, 3]; _; _; f32[4])"), "f32[N, 4, H, 5]");
    refuse(&format!("{conv}(u8[1, 2, 5, 5]; i8[4, 2, 3, 3]; u8[2])"), "one number");
    refuse(&format!("{conv}(u8[1, 2, 5, 5]; i8[4, 2, 3, 3]; _; i8[2])"), "length of w_zero");
    refuse(&format!("{conv}(u8[1, 2, 5, 5]; i8[4, 2, 3, 3]; _; _; f32[1, 4, 1, 1])"), "one for each channel");
    refuse(&format!("{conv}(f32[1, 2, 5, 5]; i8[4, 2, 3, 3])"), "u8 or i8");
    check("DynamicQuantizeLinear(f32[N, 3])", "u8[N, 3] | f32[] | u8[]");
    refuse("DynamicQuantizeLinear(i32[3])", "must be f32");
    let einsum = |e: &str| format!("Einsum(equation: \"{e}\")");
    check(&format!("{}(f32[2, I, 4]; f32[2, 4, 5])", einsum("bij, bjk -> bik")), "f32[2, I, 5]");
    check(&format!("{}(f32[2, 3]; f32[3, 4])", einsum("ij,jk")), "f32[2, 4]");
    check(&format!("{}(f32[7, 3, 3])", einsum("...ii->...i")), "f32[7, 3]");
    check(&format!("{}(f32[7, 2, 3]; f32[1, 3, 4])", einsum("...ij,...jk")), "f32[7, 2, 4]");
    refuse(&format!("{}(f32[2, 3]; f32[4, 4])", einsum("ij,jk->ik")), "expected 3, found 4");
    refuse(&format!("{}(f32[2, 3])", einsum("ij,jk->ik")), "2 operands");
    refuse(&format!("{}(f32[2, 3])", einsum("i->i")), "1 axes");
    refuse(&format!("{}(f32[2, 3])", einsum("ij->k")), "no operand");
    refuse(&format!("{}(f32[2, 3])", einsum("ij->ii")), "twice");
    refuse(&format!("{}(f32[2, 3])", einsum("i1")), "unexpected character");
}

#[test]
fn elementwise() {
    check("Binary(Add)(f32[N, 1, 4]; f32[3, 1])", "f32[N, 3, 4]");
    check("Binary(Less)(f32[N]; f32[N])", "bool[N]");
    check("Binary(Add)(f32[N]; f32[M])", "f32[max(M, N)]");
    refuse("Binary(Add)(f32[2, 3]; f32[4])", "axis 1 is 3 and 4");
    refuse("Binary(Add)(f32[2]; i32[2])", "found f32 and i32");
    refuse("Binary(And)(f32[2]; f32[2])", "bool");
    check("Unary(IsNan)(f32[3])", "bool[3]");
    refuse("Unary(Sqrt)(i32[3])", "floating-point");
    check("Where(bool[N, 1]; f32[1, 4]; f32[])", "f32[N, 4]");
    check("Cast(to: I8)(f32[*])", "i8[*]");
    check("QuantizeLinear(axis: 1, to: U8)(f32[2, 3]; f32[3]; u8[3])", "u8[2, 3]");
    refuse("QuantizeLinear(axis: 1, to: U8)(f32[2, 3]; f32[2])", "expected 3, found 2");
    refuse("QuantizeLinear(axis: 1, to: U8)(f32[2, 3]; f32[]; i8[])", "zero_point must be u8");
    refuse("QuantizeLinear(axis: 1, to: U8)(f32[2, 1]; f32 = [0.0])", "positive and finite");
    refuse("DequantizeLinear(axis: 1, to: F32)(i8[2, 1]; f32 = [NaN])", "positive and finite");
    check("DequantizeLinear(axis: 0, to: F32)(i8[2, 3]; f32[]; i8[])", "f32[2, 3]");
}

#[test]
fn normalisation_and_reductions() {
    check("BatchNorm(epsilon: 1e-5)(f32[N, 3, H]; f32[3]; f32[3]; f32[3]; f32[3])", "f32[N, 3, H]");
    refuse(
        "BatchNorm(epsilon: 1e-5)(f32[N, 3, H]; f32[3]; f32[4]; f32[3]; f32[3])",
        "length of bias: expected 3, found 4",
    );
    refuse("GroupNorm(epsilon: 1e-5, groups: 2)(f32[N, 3, H]; f32[3]; f32[3])", "multiple of 2");
    check(
        "LayerNorm(axis: -1, epsilon: 1e-5, rms: false)(f32[N, T, 8]; f32[8]; f32[8])",
        "f32[N, T, 8] | f32[N, T, 1] | f32[N, T, 1]",
    );
    refuse("LayerNorm(axis: 3, epsilon: 1e-5, rms: false)(f32[N, T, 8])", "axis 3 is outside");
    refuse("Softmax(kind: Softmax, axis: 2, to_end: false)(f32[N, T])", "axis 2 is outside");
    refuse("Lrn(alpha: 1.0, beta: 1.0, bias: 1.0, size: 0)(f32[1, 2])", "size must be at least 1");
    let reduce = |axes: &str, keep: bool, noop: bool| {
        format!("Reduce(kind: Mean, axes: {axes}, keep_dims: {keep}, noop_if_empty: {noop})")
    };
    check(&format!("{}(f32[N, 3, 4])", reduce("[-1, 1]", false, false)), "f32[N]");
    check(&format!("{}(f32[N, 3, 4])", reduce("None", true, false)), "f32[1, 1, 1]");
    check(&format!("{}(f32[N, 3, 4]; i64 = [2])", reduce("None", true, false)), "f32[N, 3, 1]");
    check(&format!("{}(f32[N, 3, 4]; i64 = [])", reduce("None", true, true)), "f32[N, 3, 4]");
    check(&format!("{}(f32[N, 3, 4]; i64[2])", reduce("None", false, false)), "f32[?1]");
    refuse(&format!("{}(f32[N, 3, 4])", reduce("[1, -2]", false, false)), "named twice");
    check("ArgReduce(max: true, axis: 1, keep_dims: false, last: false)(f32[N, 3])", "i64[N]");
    check("TopK(axis: -1, largest: true, sorted: true)(f32[N, 9]; i64 = [5])", "f32[N, 5] | i64[N, 5]");
    refuse("TopK(axis: -1, largest: true, sorted: true)(f32[N, 9]; i64 = [10])", "at most the 9");
    refuse("TopK(axis: -1, largest: true, sorted: true)(f32[N, 9]; i64 = [-1])", "negative");
    check("Unique(axis: None, sorted: true)(f32[2, 3])", "f32[?1] | i64[?1] | i64[6] | i64[?1]");
    check("NonMaxSuppression(center: false)(f32[1, 20, 4]; f32[1, 3, 20])", "i64[?1, 3]");
}

#[test]
fn shapes() {
    check("Reshape(allow_zero: false)(f32[N, 3, 4]; i64 = [0, -1])", "f32[N, 12]");
    check("Reshape(allow_zero: false)(f32[N, 3, 4]; i64 = [-1, 4])", "f32[3*N, 4]");
    check("Reshape(allow_zero: false)(f32[2, 3, 4]; i64[2])", "f32[?1, ?2]");
    check("Reshape(allow_zero: false)(f32[2, 3, 4]; i64[K])", "f32[*]");
    check("Reshape(allow_zero: true)(f32[0, 3]; i64 = [3, 0])", "f32[3, 0]");
    refuse("Reshape(allow_zero: false)(f32[2, 3]; i64 = [4, 2])", "cannot be reshaped");
    refuse("Reshape(allow_zero: false)(f32[2, 3]; i64 = [4, -1])", "cannot be reshaped");
    refuse("Reshape(allow_zero: false)(f32[2, 3]; i64 = [-1, -1])", "two axes open");
    refuse("Reshape(allow_zero: false)(f32[2, 3]; i64 = [-2, -3])", "negative");
    refuse("Reshape(allow_zero: false)(f32[2, 3]; i64 = [2, 3, 0])", "copies axis 2");
    check("Squeeze(axes: None)(f32[1, 3, 1])", "f32[3]");
    check("Squeeze(axes: [-1])(f32[N, 3, 1])", "f32[N, 3]");
    refuse("Squeeze(axes: [1])(f32[N, 3, 1])", "expected 1, found 3");
    check("Unsqueeze(axes: [0, -1])(f32[N])", "f32[1, N, 1]");
    refuse("Unsqueeze(axes: [5])(f32[N])", "outside");
    check("Flatten(axis: 2)(f32[N, 3, H, W])", "f32[3*N, H*W]");
    check("Flatten(axis: -1)(f32[N, 3])", "f32[N, 3]");
    check("Transpose(perm: [2, 0, 1])(f32[N, 3, H])", "f32[H, N, 3]");
    refuse("Transpose(perm: [2, 0, 0])(f32[N, 3, H])", "not a permutation");
    check("Concat(axis: 1)(f32[N, 3]; f32[N, C]; f32[N, 4])", "f32[N, C+7]");
    refuse("Concat(axis: 1)(f32[2, 3]; f32[3, 3])", "expected 2, found 3");
    refuse("Concat(axis: 1)(f32[2, 3]; f32[2])", "outside");
    check("Split(axis: 1, sizes: [1, 2])(f32[N, 3])", "f32[N, 1] | f32[N, 2]");
    check("Split(axis: 1, sizes: None)(f32[N, 7])", "f32[N, 3] | f32[N, 3] | f32[N, 1]");
    check("Split(axis: 0, sizes: None)(f32[4*N, 7])", "f32[2*N, 7] | f32[2*N, 7]");
    refuse("Split(axis: 1, sizes: [1, 1, 2])(f32[N, 3])", "expected 3, found 4");
    refuse("Split(axis: 1, sizes: [1, 2])(f32[N, 3])", "3 outputs");
    check("Slice(f32[N, 10]; i64 = [-3]; i64 = [9223372036854775807]; i64 = [1])", "f32[N, 3]");
    check("Slice(f32[N, 10]; i64 = [9]; i64 = [-9223372036854775808]; i64 = [1]; i64 = [-2])", "f32[N, 5]");
    check("Slice(f32[N, 10]; i64 = [8, 1]; i64 = [2, 99])", &format!("f32[{}, 9]", slice_length()));
    check("Slice(f32[N]; i64 = [0]; i64 = [2147483647])", "f32[N]");
    check("Slice(f32[N]; i64 = [-1]; i64 = [-9223372036854775807]; i64 = [0]; i64 = [-1])", "f32[N]");
    refuse("Slice(f32[4]; i64 = [0]; i64 = [1]; i64 = [0]; i64 = [0])", "steps must not be 0");
    check("Pad(mode: Constant)(f32[N, 4]; i64 = [1, -1, 2, 0])", "f32[N+3, 3]");
    check("Pad(mode: Edge)(f32[N, 4]; i64 = [1, 2]; _; i64 = [-1])", "f32[N, 7]");
    refuse("Pad(mode: Constant)(f32[2]; i64 = [-2, -1])", "negative");
    refuse("Pad(mode: Constant)(f32[2]; i64 = [1, 1, 1])", "2 entries");
    check("Expand(f32[3, 1]; i64 = [2, 1, 6])", "f32[2, 3, 6]");
    refuse("Expand(f32[3]; i64 = [2])", "do not broadcast");
    refuse("Expand(f32[1]; i64 = [-1])", "negative");
    check("Tile(f32[N, 3]; i64 = [2, 3])", "f32[2*N, 9]");
    refuse("Tile(f32[3]; i64 = [4611686018427387904])", "overflow");
    check("ChannelShuffle(groups: 2)(f32[N, 4, 5])", "f32[N, 4, 5]");
    refuse("ChannelShuffle(groups: 3)(f32[N, 4, 5])", "multiple of 3");
    check("DepthToSpace(block: 2, column_row_depth: false)(f32[N, 8, 5, 6])", "f32[N, 2, 10, 12]");
    refuse("DepthToSpace(block: 0, column_row_depth: false)(f32[N, 8, 5, 6])", "at least 1");
    check("SpaceToDepth(block: 2)(f32[N, 2, 10, 12])", "f32[N, 8, 5, 6]");
    refuse("SpaceToDepth(block: 2)(f32[N, 2, 10, 11])", "multiple of 2");
}

/// As [`Dim`] prints `max(0, min(2, N) - min(8, N))`.
fn slice_length() -> String {
    let (n, c) = (Dim::symbol("N"), Dim::from_i64);
    c(2).min_of(&n).sub(&c(8).min_of(&n)).max_of(&c(0)).to_string()
}

#[test]
fn resizing() {
    let resize = |aspect: &str, axes: &str| {
        format!(
            "Resize(mode: Linear, coordinates: HalfPixel, antialias: false, exclude_outside: false, \
             extrapolation: 0.0, axes: {axes}, aspect: {aspect})"
        )
    };
    let all = resize("Stretch", "None");
    check(&format!("{all}(f32[N, 3, 5, W]; _; f32 = [1.0, 1.0, 1.5, 2.0])"), "f32[N, 3, 7, 2*W]");
    check(&format!("{all}(f32[N, 3, 5, 5]; _; _; i64 = [1, 3, 7, 9])"), "f32[1, 3, 7, 9]");
    check(&format!("{all}(f32[N, 3]; _; f32[2])"), "f32[?1, ?2]");
    check(&format!("{}(f32[N, 3, 10, 20]; _; _; i64 = [7, 7])", resize("NotLarger", "[2, 3]")), "f32[N, 3, 4, 7]");
    check(&format!("{}(f32[N, 3, 10, 20]; _; _; i64 = [7, 7])", resize("NotSmaller", "[2, 3]")), "f32[N, 3, 7, 14]");
    for bad in ["0.0", "NaN", "-1.0", "inf"] {
        refuse(&format!("{all}(f32[1, 3]; _; f32 = [1.0, {bad}])"), "positive and finite");
    }
    refuse(&format!("{all}(f32[1, 3]; _; f32 = [1.0, 1e30])"), "overflows");
    refuse(&format!("{all}(f32[1, 3]; _; f32 = [1.0, 0.1])"), "output would be empty");
    refuse(&format!("{all}(f32[1, 3]; _; _; i64 = [1, -4])"), "output would be empty");
    refuse(&format!("{all}(f32[1, 3]; _; f32 = [1.0])"), "expected 2, found 1");
    refuse(&format!("{all}(f32[1, 3])"), "neither");
    check(
        "GridSample(mode: Linear, padding: Zeros, align_corners: false)(f32[N, 3, 5, 6]; f32[N, 7, 8, 2])",
        "f32[N, 3, 7, 8]",
    );
    check(
        "GridSample(mode: Linear, padding: Zeros, align_corners: false)(f32[1, 3, 4, 5, 6]; f32[1, 7, 8, 9, 3])",
        "f32[1, 3, 7, 8, 9]",
    );
    refuse(
        "GridSample(mode: Linear, padding: Zeros, align_corners: false)(f32[1, 3, 5, 6]; f32[1, 7, 8, 3])",
        "expected 2, found 3",
    );
}

#[test]
fn indexing_and_sources() {
    check("Gather(axis: 1)(f32[N, 10, 4]; i64[2, 3])", "f32[N, 2, 3, 4]");
    refuse("Gather(axis: 0)(f32[10]; i64 = [10])", "index 10 on an axis of length 10");
    refuse("Gather(axis: 0)(f32[10]; f32[1])", "i64 or i32");
    check("GatherElements(axis: 1)(f32[3, 4]; i64[3, 2])", "f32[3, 2]");
    refuse("GatherElements(axis: 1)(f32[3, 4]; i64[5, 2])", "at most 3");
    check("GatherNd(batch_dims: 1)(f32[2, 3, 4]; i64[2, 5, 1])", "f32[2, 5, 4]");
    refuse("GatherNd(batch_dims: 1)(f32[2, 3]; i64[2, 5, 2])", "do not fit");
    check("ScatterElements(axis: 0, reduction: Add)(f32[3, 4]; i64[2, 4]; f32[2, 4])", "f32[3, 4]");
    check("ScatterNd(reduction: Replace)(f32[3, 4]; i64[5, 1]; f32[5, 4])", "f32[3, 4]");
    refuse("ScatterNd(reduction: Replace)(f32[3, 4]; i64[5, 1]; f32[5, 3])", "expected shape");
    check("OneHot(axis: -1)(i64[N]; i64 = [7]; f32[2])", "f32[N, 7]");
    refuse("OneHot(axis: -1)(i64[N]; i64 = [0]; f32[2])", "depth must be at least 1");
    refuse("OneHot(axis: -1)(i64[1000000000]; i64 = [9223372036854775807]; f32[2])", "more elements");
    check("NonZero(f32[3, N])", "i64[2, ?1]");
    check("Compress(axis: 1)(f32[N, 4]; bool[3])", "f32[N, ?1]");
    check("Range(i64 = [10]; i64 = [0]; i64 = [-3])", "i64[4] = [10, 7, 4, 1]");
    check("Range(f32 = [0.0]; f32 = [1.0]; f32 = [0.3])", "f32[4]");
    refuse("Range(i64 = [0]; i64 = [1]; i64 = [0])", "delta must not be 0");
    refuse("Range(i64 = [-9223372036854775808]; i64 = [9223372036854775807]; i64 = [1])", "overflows");
    check("ConstantOfShape(dtype: I64, value: 7.0)(i64 = [3])", "i64[3] = [7, 7, 7]");
    refuse("ConstantOfShape(dtype: F32, value: 0.0)(i64 = [-1])", "negative");
    refuse("ConstantOfShape(dtype: F32, value: 0.0)(i64 = [9223372036854775807, 4])", "more elements");
    check("Shape(start: 1, end: None)(f32[N, 3, H])", "i64[2] = [3, H]");
    check("Shape(start: -9223372036854775808, end: -1)(f32[N, 3, H])", "i64[2] = [N, 3]");
    check("Size(f32[N, 3, H])", "i64[] = [3*H*N]");
    check("EyeLike(dtype: F32, k: 0)(i32[3, N])", "f32[3, N]");
    check("Trilu(upper: true)(f32[3, N])", "f32[3, N]");
    check("ReverseSequence(batch_axis: 1, time_axis: 0)(f32[T, N, 3]; i64[N])", "f32[T, N, 3]");
    refuse("ReverseSequence(batch_axis: 1, time_axis: 1)(f32[T, N, 3]; i64[N])", "must be 0 and 1");
}

#[test]
fn recurrent_layers() {
    let lstm = |first: bool, dir: &str, acts: &str| {
        format!(
            "Recurrent(cell: Lstm, direction: {dir}, hidden: 5, activations: [{acts}], clip: None, \
             input_forget: false, batch_first: {first})"
        )
    };
    let one = "Sigmoid, Tanh, Tanh";
    check(
        &format!("{}(f32[T, N, 3]; f32[1, 20, 3]; f32[1, 20, 5])", lstm(false, "Forward", one)),
        "f32[T, 1, N, 5] | f32[1, N, 5] | f32[1, N, 5]",
    );
    check(
        &format!(
            "{}(f32[N, T, 3]; f32[2, 20, 3]; f32[2, 20, 5]; f32[2, 40])",
            lstm(true, "Bidirectional", &format!("{one}, {one}"))
        ),
        "f32[N, T, 2, 5] | f32[N, 2, 5]",
    );
    refuse(&format!("{}(f32[T, N, 3]; f32[1, 15, 3]; f32[1, 20, 5])", lstm(false, "Forward", one)), "[1, 20, 3]");
    refuse(&format!("{}(f32[T, N, 3]; f32[1, 20, 3]; f32[1, 20, 5])", lstm(false, "Forward", "Tanh")), "3 activations");
}

/// Shapes computed by the graph itself stay expressions of the symbols.
#[test]
fn shape_arithmetic_is_tracked() {
    let text = r#"
graph "heads" {
  input %x: f32[N, T, 64]
  const %zero: i64[] = [0]
  const %one: i64[1] = [1]
  const %axis: i64[1] = [0]
  const %tail: i64[2] = [8, 8]
  const %two: i64[1] = [2]
  const %minus: i64[1] = [-1]
  %shape = Shape(start: 0, end: None)(%x)
  %n = Gather(axis: 0)(%shape, %zero)
  %n1 = Unsqueeze(axes: [0])(%n)
  %t1 = Slice(%shape, %one, %two, %axis)
  %t2 = Binary(Mul)(%t1, %two)
  %t3 = Binary(Div)(%t2, %two)
  %target = Concat(axis: 0)(%n1, %t3, %tail)
  %y = Reshape(allow_zero: false)(%x, %target)
  %eq = Binary(Equal)(%target, %minus)
  %ones = ConstantOfShape(dtype: I64, value: 1.0)(%four)
  %pick = Where(%eq, %ones, %target)
  %z = Expand(%y, %pick)
  output "z" = %z
}
"#
    .replace("  %shape =", "  const %four: i64[1] = [4]\n  %shape =");
    let g = Graph::parse(&text).unwrap();
    g.verify().unwrap();
    assert_eq!(g.ty(g.outputs()[0].value).to_string(), "f32[N, T, 8, 8]");
    let bound = g.bind(&|s| Some(if s == "N" { 2 } else { 5 })).unwrap();
    assert_eq!(bound.ty(bound.outputs()[0].value).to_string(), "f32[2, 5, 8, 8]");
}
