//! Canonicalisation.

use crate::common::{becomes, optimized, sketch, stays};

const PASS: &[&str] = &["canonicalize"];
const ALL: &[&str] = &["canonicalize", "fold-constants", "dead-outputs"];

#[test]
fn nodes_that_change_nothing_go() {
    let text = "input %x: f32[N, 3, 4, 5]
        const %z: i64[8] = splat 0
        const %one: f32[] = [1.0]
        const %s: i64[1] = [0]
        const %e: i64[1] = [100]
        const %t: i64[4] = splat 1
        const %r: i64[4] = [0, 3, 4, 5]
        %1 = Identity(%x)
        %2 = Pad(mode: Constant)(%1, %z)
        %3 = Binary(Mul)(%2, %one)
        const %a: i64[1] = [1]
        %4 = Slice(%3, %s, %e, %a)
        %5 = Tile(%4, %t)
        %6 = Reshape(allow_zero: false)(%5, %r)
        %7 = Transpose(perm: [0, 1, 2, 3])(%6)
        %8 = Cast(to: F32)(%7)
        %9 = Concat(axis: 1)(%8)
        %10 = Activation(Relu)(%9)
        output \"y\" = %10";
    becomes(text, PASS, &["Relu"]);
}

#[test]
fn a_neutral_node_between_input_and_output_goes() {
    becomes("input %x: f32[2, 3]\n %1 = Identity(%x)\n output \"y\" = %1", PASS, &[]);
}

#[test]
fn an_operand_that_broadcasts_is_not_neutral() {
    let text = "input %x: f32[3]
        const %one: f32[1, 1] = [1.0]
        %1 = Binary(Mul)(%x, %one)
        output \"y\" = %1";
    stays(text, PASS, "");
}

#[test]
fn a_slice_backwards_is_not_neutral() {
    let text = "input %x: f32[4]
        const %s: i64[1] = [3]
        const %e: i64[1] = [-9]
        const %a: i64[1] = [0]
        const %t: i64[1] = [-1]
        %1 = Slice(%x, %s, %e, %a, %t)
        output \"y\" = %1";
    stays(text, PASS, "");
}

#[test]
fn constants_come_second_and_powers_of_two_multiply() {
    let text = "input %x: f32[3]
        const %c: f32[3] = [1.0, 2.0, 3.0]
        const %four: f32[] = [4.0]
        const %three: f32[] = [3.0]
        %1 = Binary(Add)(%c, %x)
        %2 = Binary(Div)(%1, %four)
        %3 = Binary(Div)(%2, %three)
        output \"y\" = %3";
    let (graph, _) = becomes(text, PASS, &["Add", "Mul", "Div"]);
    assert!(sketch(&graph).contains("Binary(Add)(%0, %1)"), "{}", sketch(&graph));
}

#[test]
fn constant_operands_become_attributes() {
    let text = "input %x: f32[2, 3, 4]
        const %a: i64[1] = [1]
        const %sizes: i64[2] = [1, 2]
        %1 = Reduce(kind: Sum, axes: None, keep_dims: true, noop_if_empty: false)(%x, %a)
        %2 = Squeeze(axes: None)(%1, %a)
        %3 = Unsqueeze(axes: None)(%2, %a)
        %4, %5 = Split(axis: 0, sizes: None)(%x, %a2)
        output \"y\" = %3
        output \"z\" = %5";
    let text = text.replace("const %sizes: i64[2] = [1, 2]", "const %a2: i64[2] = [1, 1]");
    let (graph, _) = optimized(&text, PASS);
    assert!(graph.nodes().all(|(_, n)| n.inputs.len() == 1), "{}", graph.to_text());
}

#[test]
fn a_product_with_a_constant_matrix_is_dense() {
    let text = "input %x: f32[2, 5, 3]
        input %z: f32[4, 5]
        const %w: f32[3, 4] = random 1
        %1 = MatMul(%x, %w)
        %2 = MatMul(%1, %z)
        output \"y\" = %2";
    becomes(text, PASS, &["Dense", "MatMul"]);
    let left = "input %x: f32[3, 5]
        const %w: f32[4, 3] = random 1
        %1 = MatMul(%w, %x)
        output \"y\" = %1";
    stays(left, PASS, "");
}

#[test]
fn transpositions_and_views_merge() {
    let text = "input %x: f32[N, 3, 4, 5]
        const %s: i64[3] = [0, 3, 20]
        const %t: i64[4] = [0, 3, 4, 5]
        %1 = Transpose(perm: [0, 2, 3, 1])(%x)
        %2 = Transpose(perm: [0, 3, 1, 2])(%1)
        %3 = Reshape(allow_zero: false)(%2, %s)
        %4 = Reshape(allow_zero: false)(%3, %t)
        %5 = Activation(Relu)(%4)
        %6 = Flatten(axis: 2)(%5)
        %7 = Flatten(axis: 0)(%6)
        output \"y\" = %5
        output \"z\" = %7";
    becomes(text, ALL, &["Relu", "Reshape"]);
    let known = text.replace("[N,", "[2,").replace("= [0, 3,", "= [2, 3,");
    becomes(&known, ALL, &["Relu", "Reshape"]);
}

#[test]
fn concatenations_flatten_unless_the_inner_one_is_wanted() {
    let text = "input %x: f32[N, 3, 2]
        %1 = Concat(axis: 1)(%x, %x)
        %2 = Concat(axis: -2)(%x, %1)
        output \"y\" = %2";
    let (graph, _) = becomes(text, PASS, &["Concat"]);
    assert_eq!(graph.nodes().next().unwrap().1.inputs.len(), 3);
    stays(&format!("{text}\n output \"z\" = %1"), PASS, "");
    stays(&text.replace("Concat(axis: -2)(%x, %1)", "Concat(axis: 2)(%1, %1)"), PASS, "");
}

#[test]
fn means_over_space_are_global_pools() {
    let text = "input %x: f32[N, 3, 4, 5]
        %1 = Reduce(kind: Mean, axes: [-1, 2], keep_dims: true, noop_if_empty: false)(%x)
        %2 = Reduce(kind: Max, axes: [2, 3], keep_dims: false, noop_if_empty: false)(%x)
        output \"y\" = %1
        output \"z\" = %2";
    let (graph, _) = optimized(text, PASS);
    let mut found = crate::common::ops(&graph);
    found.sort();
    assert_eq!(found, ["Flatten", "GlobalPool", "GlobalPool"]);
    let channels = "input %x: f32[N, 3, 4, 5]
        %1 = Reduce(kind: Mean, axes: [1, 2, 3], keep_dims: true, noop_if_empty: false)(%x)
        output \"y\" = %1";
    stays(channels, PASS, "");
}

#[test]
fn a_window_over_everything_is_a_global_pool() {
    let pool = |kernel: &str| {
        format!(
            "input %x: f32[N, 3, 4, 5]
             %1 = Pool(kind: Average(count_padding: false), kernel: {kernel}, stride: [1, 1], dilation: [1, 1], padding: Explicit(before: [0, 0], after: [0, 0]), ceil: false, column_major: false)(%x)
             output \"y\" = %1"
        )
    };
    becomes(&pool("[4, 5]"), PASS, &["GlobalPool"]);
    stays(&pool("[4, 4]"), PASS, "");
}

#[test]
fn padding_goes_into_windows() {
    let text = |pads: &str, value: &str, mode: &str| {
        format!(
            "input %x: f32[N, 3, 4, 5]
             const %p: i64[8] = {pads}
             const %v: f32[] = [{value}]
             const %w: f32[2, 3, 3, 3] = random 1
             %1 = Pad(mode: {mode})(%x, %p, %v)
             %2 = Conv(kernel: [3, 3], stride: [1, 2], dilation: [1, 1], padding: Explicit(before: [0, 1], after: [0, 0]), groups: 1)(%1, %w)
             output \"y\" = %2"
        )
    };
    let passes = &["canonicalize", "dead-outputs"];
    let (graph, _) = becomes(&text("[0, 0, 1, 2, 0, 0, 3, 0]", "0.0", "Constant"), passes, &["Conv"]);
    assert!(sketch(&graph).contains("before: [1, 3], after: [3, 0]"), "{}", sketch(&graph));
    stays(&text("[0, 0, 1, 2, 0, 0, 3, 0]", "1.0", "Constant"), PASS, "something else than 0");
    stays(&text("[0, 0, 1, 2, 0, 0, 3, 0]", "0.0", "Reflect"), PASS, "Reflect");
    stays(&text("[0, 0, -1, 2, 0, 0, 3, 0]", "0.0", "Constant"), PASS, "");
}

#[test]
fn padding_into_an_average_that_leaves_padding_out_stays() {
    let text = "input %x: f32[N, 3, 4, 5]
        const %p: i64[8] = [0, 0, 1, 1, 0, 0, 1, 1]
        %1 = Pad(mode: Constant)(%x, %p)
        %2 = Pool(kind: Average(count_padding: COUNT), kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: Explicit(before: [0, 0], after: [0, 0]), ceil: false, column_major: false)(%1)
        output \"y\" = %2";
    stays(&text.replace("COUNT", "false"), PASS, "");
    becomes(&text.replace("COUNT", "true"), &["canonicalize", "dead-outputs"], &["Pool"]);
}

#[test]
fn clamps_merge() {
    let text = "input %x: f32[5]
        const %six: f32[] = [6.0]
        const %zero: f32[] = [0.0]
        %1 = Binary(Max)(%x, %zero)
        %2 = Binary(Min)(%1, %six)
        %3 = Activation(Clamp(lo: -1.0, hi: 4.0))(%2)
        output \"y\" = %3";
    let (graph, _) = becomes(text, &["canonicalize", "dead-outputs"], &["Clamp"]);
    assert!(sketch(&graph).contains("lo: 0.0, hi: 4.0"));
    let relu = "input %x: f32[5]\n %1 = Activation(Clamp(lo: 0.0, hi: inf))(%x)\n output \"y\" = %1";
    becomes(relu, PASS, &["Relu"]);
}

#[test]
fn gates_become_swishes() {
    let prelude = "input %x: f32[N, 3]
        input %z: f32[N, 3]
        const %three: f32[] = [3.0]
        const %six: f32[] = [6.0]\n";
    let check = |body: &str, expected: &str| {
        let text = format!("{prelude}{body}\n output \"y\" = %y");
        becomes(&text, &["canonicalize", "dead-outputs"], &[expected]);
    };
    check("%1 = Activation(Sigmoid)(%x)\n %y = Binary(Mul)(%1, %x)", "Swish");
    check("%1 = Binary(Mul)(%x, %three)\n %2 = Activation(Sigmoid)(%1)\n %y = Binary(Mul)(%x, %2)", "Swish");
    check("%1 = Activation(HardSigmoid(alpha: 0.16666667, beta: 0.5))(%x)\n %y = Binary(Mul)(%x, %1)", "HardSwish");
    let clamp = "%1 = Binary(Add)(%x, %three)\n %2 = Activation(Clamp(lo: 0.0, hi: 6.0))(%1)\n";
    check(&format!("{clamp} %3 = Binary(Mul)(%x, %2)\n %y = Binary(Div)(%3, %six)"), "HardSwish");
    check(&format!("{clamp} %3 = Binary(Div)(%2, %six)\n %y = Binary(Mul)(%3, %x)"), "HardSwish");
    check(&format!("{clamp} %y = Binary(Div)(%2, %six)"), "HardSigmoid");
    // A gate of another value is none.
    stays(&format!("{prelude} %1 = Activation(Sigmoid)(%z)\n %y = Binary(Mul)(%x, %1)\n output \"y\" = %y"), PASS, "");
}

#[test]
fn gelus_are_recognised_in_any_order() {
    let prelude = "input %x: f32[N, 3]
        const %half: f32[] = [0.5]
        const %one: f32[] = [1.0]
        const %three: f32[] = [3.0]
        const %root: f32[] = [1.4142135]
        const %k: f32[] = [0.7978846]
        const %c: f32[] = [0.044715]\n";
    let erf = "%1 = Binary(Div)(%x, %root)\n %2 = Unary(Erf)(%1)\n %3 = Binary(Add)(%2, %one)\n";
    let cases = [
        (format!("{erf} %4 = Binary(Mul)(%x, %3)\n %y = Binary(Mul)(%4, %half)"), "Gelu"),
        (format!("{erf} %4 = Binary(Mul)(%x, %half)\n %y = Binary(Mul)(%4, %3)"), "Gelu"),
        (format!("{erf} %4 = Binary(Mul)(%half, %3)\n %y = Binary(Mul)(%x, %4)"), "Gelu"),
        (
            "%1 = Binary(Pow)(%x, %three)\n %2 = Binary(Mul)(%1, %c)\n %3 = Binary(Add)(%x, %2)
             %4 = Binary(Mul)(%3, %k)\n %5 = Activation(Tanh)(%4)\n %6 = Binary(Add)(%5, %one)
             %7 = Binary(Mul)(%x, %half)\n %y = Binary(Mul)(%7, %6)"
                .to_string(),
            "GeluTanh",
        ),
    ];
    for (body, expected) in cases {
        let text = format!("{prelude}{body}\n output \"y\" = %y");
        becomes(&text, &["canonicalize", "dead-outputs"], &[expected]);
    }
    let other = format!("{prelude}{erf} %4 = Binary(Mul)(%x, %3)\n %y = Binary(Mul)(%4, %k)\n output \"y\" = %y");
    let (graph, _) = optimized(&other, PASS);
    assert!(!sketch(&graph).contains("Gelu"));
}

#[test]
fn layer_norms_are_recognised() {
    let text = "input %x: f32[N, 4, 6]
        const %two: f32[] = [2.0]
        const %eps: f32[] = [0.001]
        const %g: f32[6] = random 1
        const %b: f32[6] = random 2
        %1 = Reduce(kind: Mean, axes: [-1], keep_dims: true, noop_if_empty: false)(%x)
        %2 = Binary(Sub)(%x, %1)
        %3 = Binary(Pow)(%2, %two)
        %4 = Reduce(kind: Mean, axes: [-1], keep_dims: true, noop_if_empty: false)(%3)
        %5 = Binary(Add)(%4, %eps)
        %6 = Unary(Sqrt)(%5)
        %7 = Binary(Div)(%2, %6)
        %8 = Binary(Mul)(%7, %g)
        %9 = Binary(Add)(%8, %b)
        output \"y\" = %9";
    let (graph, _) = becomes(text, &["canonicalize", "dead-outputs"], &["LayerNorm"]);
    assert_eq!(graph.nodes().next().unwrap().1.inputs.len(), 3);
    // A variance along another axis is another norm.
    let odd = text.replacen("axes: [-1]", "axes: [1]", 1);
    assert!(!sketch(&optimized(&odd, PASS).0).contains("LayerNorm"));
}

fn shuffle(batch: &str, mid: &str, back: &str) -> String {
    format!(
        "input %x: f32[{batch}, 6, 4, 5]
         const %a: i64[5] = {mid}
         const %b: i64[4] = {back}
         %1 = Reshape(allow_zero: false)(%x, %a)
         %2 = Transpose(perm: [0, 2, 1, 3, 4])(%1)
         %3 = Reshape(allow_zero: false)(%2, %b)
         output \"y\" = %3"
    )
}

#[test]
fn channel_shuffles_are_recognised() {
    let passes = &["canonicalize", "dead-outputs"];
    becomes(&shuffle("2", "[2, 3, 2, 4, 5]", "[2, 6, 4, 5]"), passes, &["ChannelShuffle"]);
    becomes(&shuffle("N", "[0, 3, 2, 4, 5]", "[0, 6, 4, 5]"), passes, &["ChannelShuffle"]);
    // One that ends in another shape is something else.
    stays(&shuffle("2", "[2, 3, 2, 4, 5]", "[2, 6, 5, 4]"), PASS, "");
}

#[test]
fn a_channel_shuffle_with_shape_arithmetic_is_recognised() {
    // As exporters write it for a batch that is not known: the shape is put together from that of the input.
    let text = "input %x: f32[N, 6, 4, 5]
        const %i0: i64[1] = [0]
        const %i1: i64[1] = [1]
        const %tail: i64[4] = [2, 3, 4, 5]
        const %rest: i64[2] = [4, 5]
        const %minus: i64[1] = [-1]
        %s = Shape(start: 0, end: None)(%x)
        %n = Gather(axis: 0)(%s, %i0)
        %a = Concat(axis: 0)(%n, %tail)
        %b = Concat(axis: 0)(%n, %minus, %rest)
        %1 = Reshape(allow_zero: false)(%x, %a)
        %2 = Transpose(perm: [0, 2, 1, 3, 4])(%1)
        %3 = Reshape(allow_zero: false)(%2, %b)
        output \"y\" = %3";
    becomes(text, ALL, &["ChannelShuffle"]);
}

#[test]
fn images_are_transposed_before_they_are_normalised() {
    let text = "input %x: u8[N, 4, 5, 3]
        const %mean: f32[3] = [1.0, 2.0, 3.0]
        const %std: f32[1, 1, 1, 3] = [4.0, 5.0, 6.0]
        const %one: f32[] = [0.5]
        %1 = Cast(to: F32)(%x)
        %2 = Binary(Sub)(%1, %mean)
        %3 = Binary(Div)(%2, %std)
        %4 = Binary(Sub)(%one, %3)
        %5 = Transpose(perm: [0, 3, 1, 2])(%4)
        output \"y\" = %5";
    becomes(text, PASS, &["Transpose", "Cast", "Sub", "Div", "Sub"]);
}

#[test]
fn only_images_are_transposed_first() {
    // A plane, another user, a value of the network, an operand that is broadcast, and a cast to fewer bits.
    let stay = |line: &str, rest: &str| {
        let text = format!(
            "input %x: f32[2, 4, 3]
            const %c: f32[4, 3] = splat 2
            const %v: f32[3] = splat 2
            const %wide: f32[2, 4, 3] = splat 2
            const %w: f32[3, 3] = splat 0.5
            {line}
            %2 = Transpose(perm: [0, 2, 1])(%1)
            output \"y\" = %2
            {rest}"
        );
        stays(&text, PASS, "");
    };
    stay("%1 = Binary(Add)(%x, %c)", "");
    stay("%1 = Binary(Add)(%x, %v)", "output \"z\" = %1");
    stay("%d = Dense(transposed: false)(%x, %w)\n %1 = Binary(Add)(%d, %v)", "");
    stay("%1 = Cast(to: F16)(%x)", "");
}

#[test]
fn equations_are_matrix_products() {
    for (equation, a, b, ops) in [
        ("ij,jk->ik", "2, 3", "3, 4", "MatMul"),
        ("ij,kj->ik", "2, 3", "4, 3", "Transpose MatMul"),
        ("ij,jk->ki", "2, 3", "3, 4", "MatMul Transpose"),
        ("ij,kj->ki", "2, 3", "4, 3", "Transpose MatMul"),
        ("bhid,bhjd->bhij", "2, 3, 4, 5", "2, 3, 6, 5", "Transpose MatMul"),
        ("bihd,bjhd->bhij", "2, 4, 3, 5", "2, 6, 3, 5", "Transpose Transpose MatMul"),
        ("bhij,bjhd->bihd", "2, 3, 4, 5", "2, 5, 3, 6", "Transpose MatMul Transpose"),
        ("...ij,...jk->...ik", "2, 7, 3, 4", "2, 7, 4, 5", "MatMul"),
        ("...ij,jk->...ik", "2, 7, 3, 4", "4, 5", "Reshape MatMul Reshape"),
        ("i,i->", "5", "5", "Reshape Reshape MatMul Reshape"),
        ("bi,i->b", "4, 5", "5", "Reshape MatMul Reshape"),
        ("abc,cd->abd", "2, 3, 4", "4, 5", "Reshape MatMul Reshape"),
        ("abc,dbc->ad", "2, 3, 4", "5, 3, 4", "Reshape Transpose Reshape MatMul"),
        ("bcxy,ck->bkxy", "2, 3, 4, 5", "3, 6", "Transpose Reshape MatMul Reshape Transpose"),
    ] {
        let text = format!(
            "input %a: f32[{a}]
            input %b: f32[{b}]
            %1 = Einsum(equation: \"{equation}\")(%a, %b)
            output \"y\" = %1"
        );
        becomes(&text, PASS, &ops.split(' ').collect::<Vec<_>>());
    }
}

#[test]
fn other_equations_stay() {
    for (equation, a, b) in [
        ("ij,ij->ij", "2, 3", "2, 3"),
        ("ij,jk->k", "2, 3", "3, 4"),
        ("ii,ij->ij", "3, 3", "3, 4"),
        ("ij,kl->ijkl", "2, 3", "4, 5"),
    ] {
        let text = format!(
            "input %a: f32[{a}]
            input %b: f32[{b}]
            %1 = Einsum(equation: \"{equation}\")(%a, %b)
            output \"y\" = %1"
        );
        stays(&text, PASS, "");
    }
}
