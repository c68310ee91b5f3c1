//! Half precision in single precision.

use crate::common::{Reference, bound_with_inputs, ops, run};
use paring_ir::Graph;
use paring_opt::{Options, optimize};

#[test]
fn a_network_of_halves_runs_in_single_precision() {
    let text = "graph \"t\" {
        input %x: f32[1, 3, 6, 5]
        const %w: f16[4, 3, 3, 3] = splat 0.25
        const %b: f16[1, 4, 1, 1] = splat 0.5
        %h = Cast(to: F16)(%x)
        %c = Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%h, %w)
        %d = Binary(Add)(%c, %b)
        %r = Activation(Relu)(%d)
        %s = Unary(Sqrt)(%r)
        output \"s\" = %s
    }";
    let before = Graph::parse(text).unwrap();
    before.verify().unwrap();
    let mut after = before.clone();
    let options = Options { verify: true, ..Options::default() };
    let report = optimize(&mut after, &Reference, &options).unwrap();
    after.verify().unwrap();
    assert_eq!(ops(&after), ["Conv+bias+act", "Sqrt", "Cast"], "{}", after.to_text());
    assert!(report.applied.iter().any(|a| a.pass == "widen-halves"));
    assert_eq!(after.ty(after.outputs()[0].value), before.ty(before.outputs()[0].value));

    let (_, inputs) = bound_with_inputs(&before, 1);
    let values = |g: &Graph| run(g, &inputs)[0].to_f64s().unwrap();
    for (a, b) in values(&before).iter().zip(values(&after)) {
        assert!((a - b).abs() <= 4e-3 * a.abs().max(1.0), "{a} {b}");
    }

    let text = after.to_text();
    optimize(&mut after, &Reference, &options).unwrap();
    assert_eq!(after.to_text(), text, "a second time there is nothing to do");
}

#[test]
fn single_precision_stays_as_it_is() {
    let text = "graph \"t\" {
        input %x: f16[4]
        %w = Cast(to: F32)(%x)
        %r = Activation(Relu)(%w)
        %y = Cast(to: F16)(%r)
        output \"y\" = %y
    }";
    let mut graph = Graph::parse(text).unwrap();
    let report = optimize(&mut graph, &Reference, &Options::default()).unwrap();
    assert_eq!(ops(&graph), ["Cast", "Relu", "Cast"]);
    assert!(report.applied.is_empty(), "{:?}", report.applied);
}
