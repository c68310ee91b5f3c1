//! Quantised networks in integers.

use crate::common::{becomes, sketch};

const PASSES: &[&str] = &["canonicalize", "fuse-epilogues", "integers", "dead-outputs"];
const CONV: &str = "Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)";
const DQ: &str = "DequantizeLinear(axis: 0, to: F32)";
const Q: &str = "QuantizeLinear(axis: 0, to: U8)";

/// A quantised input, weights, and whatever follows.
fn network(tail: &str) -> String {
    format!(
        "input %x: f32[1, 3, 6, 5]
         const %s: f32[] = [0.02]
         const %z: u8[] = [128]
         const %t: f32[] = [0.05]
         const %y: u8[] = [3]
         const %w: i8[4, 3, 3, 3] = splat 5
         const %ws: f32[4] = [0.01, 0.02, 0.03, 0.04]
         const %wz: i8[4] = splat 0
         const %b: f32[4] = random 2
         %q = {Q}(%x, %s, %z)
         %d = {DQ}(%q, %s, %z)
         %wd = {DQ}(%w, %ws, %wz)
         {tail}"
    )
}

#[test]
fn a_layer_between_conversions_runs_on_integers() {
    let text = network(&format!(
        "%c = {CONV}(%d, %wd) + bias(%b)
         %r = Activation(Relu)(%c)
         %p = {Q}(%r, %t, %y)
         %o = {DQ}(%p, %t, %y)
         output \"o\" = %o"
    ));
    let (graph, _) = becomes(&text, PASSES, &["Identity+quantize", "Conv+bias+act+quantize", "DequantizeLinear"]);
    let after = graph.to_text();
    assert!(after.contains("i8[4, 3, 3, 3] quant("), "weights say what they stand for: {after}");
}

#[test]
fn what_moves_numbers_moves_integers() {
    let pool = "Pool(kind: Max, kernel: [2, 2], stride: [2, 2], dilation: [1, 1], padding: Explicit(before: [0, 0], after: [0, 0]), ceil: false, column_major: false)";
    let text = network(&format!(
        "%m = {pool}(%d)
         %p = {Q}(%m, %s, %z)
         %e = {DQ}(%p, %s, %z)
         %f = Flatten(axis: 1)(%e)
         %g = Activation(Sigmoid)(%f)
         %h = {Q}(%g, %t, %y)
         %o = {DQ}(%h, %t, %y)
         output \"o\" = %o"
    ));
    becomes(&text, PASSES, &["Identity+quantize", "Pool", "Flatten", "Sigmoid+quantize", "DequantizeLinear"]);
}

#[test]
fn a_concatenation_of_unlike_scales_converts_one_of_them() {
    let text = network(&format!(
        "%a = {Q}(%x, %t, %y)
         %ad = {DQ}(%a, %t, %y)
         %c = Concat(axis: 1)(%d, %ad)
         %p = {Q}(%c, %s, %z)
         %o = {DQ}(%p, %s, %z)
         output \"o\" = %o"
    ));
    let kinds = ["Identity+quantize", "Identity+quantize", "Identity+quantize", "Concat", "DequantizeLinear"];
    becomes(&text, PASSES, &kinds);
}

#[test]
fn a_product_with_the_transpose_of_stored_integers_is_dense() {
    let text = format!(
        "input %x: f32[2, 3]
         const %w: i8[4, 3] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
         const %s: f32[] = [0.02]
         %wd = {DQ}(%w, %s)
         %t = Transpose(perm: Some([1, 0]))(%wd)
         %y = MatMul(%x, %t)
         output \"y\" = %y"
    );
    let (graph, _) = becomes(&text, PASSES, &["Dense"]);
    assert!(sketch(&graph).contains("transposed: true"));
}

#[test]
fn integers_that_are_computed_with_stay_integers() {
    let text = network(&format!(
        "%c = Activation(Relu)(%d)
         %p = {Q}(%c, %t, %y)
         %k = Cast(to: F32)(%p)
         output \"k\" = %k"
    ));
    let (_, report) =
        becomes(&text, &["integers", "dead-outputs"], &["Identity+quantize", "Relu", "QuantizeLinear", "Cast"]);
    assert!(report.remarks.iter().any(|r| r.reason.contains("computes with the integers themselves")));
}

#[test]
fn integers_times_their_sigmoid_are_one_function() {
    // The result is so small beside what is added that a byte that differs by one cannot be seen.
    let gated = |x: &str, act: &str| {
        network(&format!(
            "const %f: f32[] = [0.000001]
             const %o: u8[] = [0]
             %a = Activation({act})(%d)
             %q2 = {Q}(%a, %t, %y)
             %s2 = {DQ}(%q2, %t, %y)
             %m = Binary(Mul)({x}, %s2)
             %p = {Q}(%m, %t, %y)
             %z2 = {DQ}(%p, %t, %y)
             %c = Binary(Mul)(%z2, %f)
             %k = Binary(Mul)(%c, %f)
             %r = Binary(Add)(%k, %s)
             output \"o\" = %r"
        ))
    };
    let after = |text: &str| {
        let (graph, _) = crate::common::optimized(text, PASSES);
        graph.to_text()
    };
    let swish = after(&gated("%d", "Sigmoid"));
    assert!(swish.contains("Activation(Swish(1.0))") && !swish.contains("Sigmoid"), "{swish}");
    let hard = after(&gated("%d", "HardSigmoid(alpha: 0.16666667, beta: 0.5)"));
    assert!(hard.contains("Activation(HardSwish)"), "{hard}");
    let other = after(&gated("%d", "HardSigmoid(alpha: 0.2, beta: 0.5)"));
    assert!(other.contains("Binary(Mul)") && other.contains("HardSigmoid"), "{other}");
}
