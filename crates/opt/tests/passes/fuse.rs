//! Vertical fusion.

use crate::common::{Reference, becomes, ops, optimized, sketch, stays};
use paring_opt::{NoEvaluator, Options, optimize};

const PASS: &[&str] = &["fuse-epilogues"];
const CONV: &str = "Conv(kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)";

fn conv_then(tail: &str) -> String {
    format!(
        "input %x: f32[N, 3, 4, 5]
         const %w: f32[4, 3, 1, 1] = random 1
         const %b: f32[4] = random 2
         const %s: f32[4] = [0.5, 1.5, -1.0, 2.0]
         const %m: f32[4] = random 4
         const %v: f32[4] = [0.5, 1.0, 0.25, 2.0]
         const %c: f32[1, 4, 1, 1] = [2.0, 3.0, -0.5, 1.0]
         %1 \"conv\" = {CONV}(%x, %w) + bias(%b)
         {tail}"
    )
}

#[test]
fn batch_norm_and_relu_go_into_the_convolution() {
    let text = conv_then(
        "%2 = BatchNorm(epsilon: 0.001)(%1, %s, %b, %m, %v)
         %3 \"relu\" = Activation(Relu)(%2)
         output \"y\" = %3",
    );
    let (graph, _) = becomes(&text, PASS, &["Conv+bias+act"]);
    let after = sketch(&graph);
    assert!(after.contains("+ act(Relu)"), "{after}");
    assert!(after.contains("\"relu\""), "the value keeps its name: {after}");
}

#[test]
fn batch_norm_goes_into_transposed_grouped_and_dense_layers() {
    let transposed = "input %x: f32[2, 4, 3, 3]
         const %w: f32[4, 3, 2, 2] = random 1
         const %s: f32[6] = random 2
         const %b: f32[6] = random 3
         const %v: f32[6] = splat 0.5
         %1 = ConvTranspose(kernel: [2, 2], stride: [2, 2], dilation: [1, 1], padding: Explicit(before: [0, 0], after: [0, 0]), output_padding: [0, 0], groups: 2)(%x, %w)
         %2 = BatchNorm(epsilon: 0.001)(%1, %s, %b, %s, %v)
         output \"y\" = %2";
    becomes(transposed, PASS, &["ConvTranspose+bias"]);
    for (shape, flag) in [("[3, 4]", "false"), ("[4, 3]", "true")] {
        let dense = format!(
            "input %x: f32[2, 3]
             const %w: f32{shape} = random 1
             const %s: f32[4] = random 2
             const %v: f32[4] = splat 0.5
             const %c: f32[4] = random 7
             %1 = Dense(transposed: {flag})(%x, %w)
             %2 = BatchNorm(epsilon: 0.001)(%1, %s, %s, %s, %v)
             %3 = Binary(Add)(%2, %c)
             output \"y\" = %3"
        );
        becomes(&dense, PASS, &["Dense+bias"]);
    }
}

#[test]
fn arithmetic_per_channel_goes_into_weights() {
    let text = conv_then(
        "%2 = Binary(Mul)(%1, %c)
         %3 = Binary(Sub)(%2, %c)
         %4 = Binary(Div)(%3, %c)
         output \"y\" = %4",
    );
    becomes(&text, PASS, &["Conv+bias"]);
}

#[test]
fn arithmetic_after_an_activation_becomes_steps() {
    let text = conv_then(
        "%2 = Activation(Relu)(%1)
         %3 = Binary(Mul)(%2, %c)
         output \"y\" = %3",
    );
    becomes(&text, PASS, &["Conv+bias+act+scale"]);
}

#[test]
fn residual_sums_come_before_or_after_the_activation() {
    let before = conv_then(
        "input %r: f32[N, 4, 4, 5]
         %2 = Binary(Add)(%r, %1)
         %3 = Activation(Relu)(%2)
         output \"y\" = %3",
    );
    becomes(&before, PASS, &["Conv+bias+residual+act"]);
    let after = conv_then(
        "input %r: f32[N, 4, 4, 5]
         %2 = Activation(Relu)(%1)
         %3 = Binary(Add)(%2, %r)
         output \"y\" = %3",
    );
    becomes(&after, PASS, &["Conv+bias+act+residual"]);
}

#[test]
fn prelu_has_a_slope_per_channel() {
    let text = conv_then("%2 = Binary(PRelu)(%1, %c)\n output \"y\" = %2");
    becomes(&text, PASS, &["Conv+bias+prelu"]);
    let one = conv_then("const %k: f32[] = [0.25]\n %2 = Binary(PRelu)(%1, %k)\n output \"y\" = %2");
    let (graph, _) = becomes(&one, PASS, &["Conv+bias+act"]);
    assert!(sketch(&graph).contains("LeakyRelu(0.25)"));
}

#[test]
fn activations_follow_sums_and_norms() {
    let text = "input %x: f32[N, 4, 4, 5]
         input %r: f32[N, 4, 4, 5]
         const %s: f32[4] = [0.5, 1.5, -1.0, 2.0]
         const %v: f32[4] = splat 0.5
         %1 = Binary(Add)(%x, %r)
         %2 = Activation(Relu)(%1)
         %3 = BatchNorm(epsilon: 0.001)(%2, %s, %s, %s, %v)
         %4 = Activation(HardSwish)(%3)
         output \"y\" = %4";
    becomes(text, PASS, &["Add+act", "BatchNorm+act"]);
}

#[test]
fn an_intermediate_that_is_an_output_stays() {
    let text = conv_then("%2 = Activation(Relu)(%1)\n output \"y\" = %2\n output \"z\" = %1");
    stays(&text, PASS, "is an output of the graph");
}

#[test]
fn an_intermediate_with_two_users_stays() {
    let text = conv_then(
        "%2 = Activation(Relu)(%1)
         %3 = Activation(Tanh)(%1)
         output \"y\" = %2
         output \"z\" = %3",
    );
    stays(&text, PASS, "has other users");
    let text = conv_then(
        "%2 = BatchNorm(epsilon: 0.001)(%1, %s, %b, %m, %v)
         %3 = Activation(Tanh)(%1)
         output \"y\" = %2
         output \"z\" = %3",
    );
    stays(&text, PASS, "has other users");
}

#[test]
fn mismatched_operands_stay() {
    // A sum that broadcasts is no residual.
    stays(&conv_then("input %r: f32[1, 4, 1, 1]\n %2 = Binary(Add)(%1, %r)\n output \"y\" = %2"), PASS, "");
    // A constant along the width is not per channel.
    let wide = conv_then("const %k: f32[5] = random 3\n %2 = Binary(Mul)(%1, %k)\n output \"y\" = %2");
    stays(&wide, PASS, "");
    // A factor that is computed is not constant.
    stays(&conv_then("input %r: f32[1, 4, 1, 1]\n %2 = Binary(Mul)(%1, %r)\n output \"y\" = %2"), PASS, "");
    // Pooling takes no epilogue.
    let pool = "input %x: f32[1, 4, 4, 4]
         %1 = GlobalPool(Max)(%x)
         %2 = Activation(Relu)(%1)
         output \"y\" = %2";
    stays(pool, PASS, "");
}

#[test]
fn a_norm_before_a_convolution_without_padding_goes_into_it() {
    let text = format!(
        "input %x: f32[N, 3, 4, 5]
         const %w: f32[4, 3, 1, 1] = random 1
         const %s: f32[3] = [0.5, 1.5, -1.0]
         const %v: f32[3] = splat 0.5
         %1 = BatchNorm(epsilon: 0.001)(%x, %s, %s, %s, %v)
         %2 = {CONV}(%1, %w)
         output \"y\" = %2"
    );
    becomes(&text, PASS, &["Conv+bias"]);
}

#[test]
fn a_linear_bottleneck_gets_no_activation() {
    // The inverted residual of MobileNetV2: nothing follows the projection but the sum.
    let text = format!(
        "input %x: f32[N, 8, 4, 4]
         const %we: f32[16, 8, 1, 1] = random 1
         const %wd: f32[16, 1, 3, 3] = random 2
         const %wp: f32[8, 16, 1, 1] = random 3
         const %v: f32[8] = splat 0.5
         %1 \"expand\" = {CONV}(%x, %we)
         %2 = Activation(Clamp(lo: 0.0, hi: 6.0))(%1)
         %3 \"depthwise\" = Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 16)(%2, %wd)
         %4 = Activation(Clamp(lo: 0.0, hi: 6.0))(%3)
         %5 \"project\" = {CONV}(%4, %wp)
         %6 = BatchNorm(epsilon: 0.001)(%5, %v, %v, %v, %v)
         %7 = Binary(Add)(%x, %6)
         %8 \"next\" = {CONV}(%7, %we)
         %9 = Activation(Clamp(lo: 0.0, hi: 6.0))(%8)
         output \"y\" = %9"
    );
    becomes(&text, PASS, &["Conv+act", "Conv+act", "Conv+bias+residual", "Conv+act"]);
}

#[test]
fn a_broken_variance_is_declined() {
    let text = "input %x: f32[1, 1, 2, 2]
         const %w: f32[1, 1, 1, 1] = [1.0]
         const %s: f32[1] = [1.0]
         const %v: f32[1] = [0.0]
         %1 = Conv(kernel: [1, 1], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%x, %w)
         %2 = BatchNorm(epsilon: 0.0)(%1, %s, %s, %s, %v)
         output \"y\" = %2";
    let graph = paring_ir::Graph::parse(&format!("graph \"t\" {{ {text} }}")).unwrap();
    let mut after = graph.clone();
    let options = Options::only(PASS);
    let report = optimize(&mut after, &NoEvaluator, &options).unwrap();
    assert!(report.applied.is_empty() && report.remarks[0].reason.contains("not a finite number"));
}

#[test]
fn steps_can_be_bisected() {
    let text = conv_then(
        "%2 = BatchNorm(epsilon: 0.001)(%1, %s, %b, %m, %v)
         %3 = Activation(Relu)(%2)
         output \"y\" = %3",
    );
    let (_, full) = optimized(&text, PASS);
    assert_eq!(full.steps, 2);
    let graph = paring_ir::Graph::parse(&format!("graph \"t\" {{ {text} }}")).unwrap();
    for n in 0..=2 {
        let mut g = graph.clone();
        let options = Options { stop_at: Some(n), ..Options::only(PASS) };
        assert_eq!(optimize(&mut g, &NoEvaluator, &options).unwrap().steps, n);
        assert_eq!(g.node_count(), 3 - n);
    }
}

fn normalised(before: &str, attrs: &str, weights: &str) -> String {
    format!(
        "input %x: f32[N, 4, 9, 8]
         const %w: f32{weights} = random 1
         const %b: f32[6] = random 2
         const %m: f32[1, 4, 1, 1] = [0.5, 0.4, -0.3, 0.25]
         const %d: f32[4, 1, 1] = [0.2, -0.3, 0.4, 0.5]
         const %k: f32[] = [255.0]
         {before}
         %9 \"conv\" = Conv({attrs})(%n, %w) + bias(%b) + act(Relu)
         output \"y\" = %9"
    )
}

const NORMALISE: &str = "%1 = Binary(Div)(%x, %k)
         %2 = Binary(Sub)(%1, %m)
         %n = Binary(Div)(%2, %d)";
const BARE: &str = "kernel: [3, 3], stride: [2, 2], dilation: [1, 1], padding: Explicit(before: [0, 0], after: [0, 0])";
const PADDED: &str =
    "kernel: [3, 3], stride: [2, 2], dilation: [1, 1], padding: Explicit(before: [1, 1], after: [0, 1])";

#[test]
fn the_normalisation_of_an_image_goes_into_the_first_convolution() {
    for (groups, weights) in [(1, "[6, 4, 3, 3]"), (2, "[6, 2, 3, 3]")] {
        let text = normalised(NORMALISE, &format!("{BARE}, groups: {groups}"), weights);
        becomes(&text, PASS, &["Conv+bias+act"]);
    }
}

#[test]
fn padding_leaves_one_addition_of_a_normalisation() {
    let text = normalised(NORMALISE, &format!("{PADDED}, groups: 1"), "[6, 4, 3, 3]");
    becomes(&text, PASS, &["Add", "Conv+bias+act"]);
    let scaled = normalised("%n = Binary(Mul)(%x, %k)", &format!("{PADDED}, groups: 1"), "[6, 4, 3, 3]");
    becomes(&scaled, PASS, &["Conv+bias+act"]);
}

#[test]
fn a_lone_shift_before_padding_stays() {
    let text = normalised("%n = Binary(Sub)(%x, %m)", &format!("{PADDED}, groups: 1"), "[6, 4, 3, 3]");
    stays(&text, PASS, "must stay before the zeros");
}

const POOLING: &[&str] = &["fuse-epilogues", "fuse-pooling"];
const HALVING: &str = "Pool(kind: Max, kernel: [2, 2], stride: [2, 2], dilation: [1, 1], padding: Explicit(before: [0, 0], after: [0, 0]), ceil: false)";

#[test]
fn max_pooling_by_two_is_the_last_step() {
    let text = conv_then(&format!(
        "%2 = Activation(Relu)(%1)
         %3 \"pool\" = {HALVING}(%2)
         %4 = Activation(Relu)(%3)
         %5 = Binary(Mul)(%3, %c)
         %6 = Binary(Add)(%4, %5)
         output \"y\" = %6"
    ));
    let (graph, _) = becomes(&text, POOLING, &["Conv+bias+act+maxpool", "Relu", "Mul", "Add"]);
    let after = sketch(&graph);
    assert!(after.contains("+ act(Relu) + maxpool"), "{after}");
    assert!(after.contains("\"pool\""), "the value keeps its name: {after}");
    // What was optimised stays as it is: nothing goes behind the pooling.
    let mut again = graph.clone();
    assert!(optimize(&mut again, &Reference, &Options::only(POOLING)).unwrap().applied.is_empty());
}

#[test]
fn pooling_stays_where_the_map_is_read_or_windows_differ() {
    let read = conv_then(&format!("%2 = {HALVING}(%1)\n output \"x\" = %1\n output \"y\" = %2"));
    stays(&read, POOLING, "");
    for (from, to) in
        [("Max", "Average(count_padding: true)"), ("stride: [2, 2]", "stride: [1, 1]"), ("[2, 2], s", "[3, 3], s")]
    {
        let other = HALVING.replacen(from, to, 1);
        stays(&conv_then(&format!("%2 = {other}(%1)\n output \"y\" = %2")), POOLING, "");
    }
    let twice = conv_then(&format!("%2 = {HALVING}(%1)\n %3 = Concat(axis: 1)(%2, %2)\n output \"y\" = %3"));
    becomes(&twice, POOLING, &["Conv+bias+maxpool", "Concat"]);
}

#[test]
fn the_scale_of_integer_sums_and_what_follows_go_into_the_product() {
    let product = |scale: &str| {
        format!(
            "input %x: f32[N, 8]
             const %w: i8[8, 4] = random 1
             const %b: f32[4] = random 2
             const %one: f32[] = [0.5]
             const %each: f32[4] = [0.5, 1.5, 0.25, 2.0]
             const %rows: f32[2, 1] = [0.5, 1.5]
             %q, %s, %z = DynamicQuantizeLinear(%x)
             %1 \"sums\" = MatMulInteger(%q, %w, %z)
             %2 = Cast(to: F32)(%1)
             %3 = Binary(Mul)(%s, %{scale})
             %4 = Binary(Mul)(%2, %3)
             %5 = Binary(Add)(%4, %b)
             %6 = Activation(Relu)(%5)
             output \"y\" = %6"
        )
    };
    for scale in ["one", "each"] {
        becomes(&product(scale), PASS, &["DynamicQuantizeLinear", "Mul", "MatMulInteger+bias+act"]);
    }
    let (rows, text) = (product("rows").replace("[N, 8]", "[2, 8]"), ["DynamicQuantizeLinear", "MatMulInteger"]);
    let (graph, report) = optimized(&rows, PASS);
    assert!(ops(&graph)[..2] == text && !ops(&graph).contains(&"MatMulInteger+bias+act".into()), "{}", graph.to_text());
    assert!(report.remarks.iter().any(|r| r.reason.contains("one for each channel")), "{:#?}", report.remarks);
}

#[test]
fn the_scales_of_the_channels_of_a_convolution_of_integers_become_a_vector() {
    let text = "input %x: f32[2, 3, 4, 5]
         const %w: u8[4, 3, 3, 3] = random 1
         const %wz: u8[4] = [3, 0, 8, 255]
         const %b: f32[1, 4, 1, 1] = [2.0, 3.0, -0.5, 1.0]
         const %c: f32[1, 4, 1, 1] = [0.5, 1.5, 0.25, 2.0]
         %q, %s, %z = DynamicQuantizeLinear(%x)
         %1 = ConvInteger(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%q, %w, %z, %wz)
         %2 = Cast(to: F32)(%1)
         %3 = Binary(Mul)(%s, %c)
         %4 = Binary(Mul)(%2, %3)
         %5 = Binary(Add)(%4, %b)
         output \"y\" = %5";
    becomes(text, PASS, &["DynamicQuantizeLinear", "Mul", "Reshape", "ConvInteger+bias"]);
}
