//! Folding, common subexpressions, dead outputs.

use crate::common::{becomes, optimized, stays};

#[test]
fn nodes_of_constants_fold() {
    let text = "input %x: f32[3]
        const %a: f32[3] = [1.0, 2.0, 3.0]
        const %b: f32[3] = [4.0, 5.0, 6.0]
        %1 = Binary(Add)(%a, %b)
        %2 = Unary(Neg)(%1)
        %3 = Binary(Mul)(%x, %2)
        output \"y\" = %3";
    let (graph, _) = becomes(text, &["fold-constants"], &["Mul"]);
    assert!(graph.to_text().contains("[-5.0, -7.0, -9.0]"), "{}", graph.to_text());
}

#[test]
fn an_output_that_is_constant_folds_to_one() {
    let text = "input %x: f32[3]
        const %a: f32[2] = [1.0, 2.0]
        %1 = Unary(Neg)(%a)
        output \"y\" = %1";
    becomes(text, &["fold-constants"], &[]);
}

#[test]
fn shapes_fold_where_they_are_known() {
    let text = "input %x: f32[2, 3, 4]
        const %i: i64[1] = [0]
        const %m: i64[1] = [-1]
        %1 = Shape(start: 0, end: None)(%x)
        %2 = Gather(axis: 0)(%1, %i)
        %3 = Concat(axis: 0)(%2, %m)
        %4 = Reshape(allow_zero: false)(%x, %3)
        output \"y\" = %4";
    becomes(text, &["fold-constants", "dead-outputs"], &["Reshape"]);
    let (graph, _) = optimized(&text.replace("[2, 3, 4]", "[N, 3, 4]"), &["fold-constants", "dead-outputs"]);
    assert!(graph.node_count() > 1, "the batch is not known");
}

#[test]
fn what_would_be_too_large_or_fails_stays() {
    let text = "input %x: f32[1, 1]
        const %s: i64[2] = [100000, 10]
        const %v: f32[] = [1.0]
        %1 = Expand(%v, %s)
        %2 = Binary(Add)(%x, %1)
        output \"y\" = %2";
    stays(text, &["fold-constants"], "would make more than");
    // What cannot be computed is left to the run.
    let text = "input %x: f32[3]
        const %a: f32[3] = [1.0, 2.0, 3.0]
        %1 = Unary(Neg)(%a)
        %2 = Binary(Add)(%x, %1)
        output \"y\" = %2";
    let mut graph = paring_ir::Graph::parse(&format!("graph \"t\" {{ {text} }}")).unwrap();
    let options = paring_opt::Options::only(&["fold-constants"]);
    let report = paring_opt::optimize(&mut graph, &paring_opt::NoEvaluator, &options).unwrap();
    assert!(report.applied.is_empty());
    assert!(report.remarks[0].reason.starts_with("Unary of constants: "), "{:?}", report.remarks);
}

#[test]
fn equal_nodes_and_constants_are_one() {
    let text = "input %x: f32[3]
        const %a: f32[3] = [1.0, 2.0, 3.0]
        const %b: f32[3] = [1.0, 2.0, 3.0]
        %1 = Binary(Add)(%x, %a)
        %2 = Binary(Add)(%x, %b)
        %3 = Binary(Mul)(%1, %2)
        output \"y\" = %3
        output \"z\" = %2";
    becomes(text, &["common-subexpressions"], &["Add", "Mul"]);
    let differ = text.replace("%b: f32[3] = [1.0", "%b: f32[3] = [1.5");
    stays(&differ, &["common-subexpressions"], "");
}

#[test]
fn nodes_with_other_attributes_or_epilogues_stay() {
    let text = "input %x: f32[3]
        %1 = Activation(LeakyRelu(0.1))(%x)
        %2 = Activation(LeakyRelu(0.2))(%x)
        %3 = Binary(Add)(%1, %2)
        %4 = Binary(Add)(%1, %2) + act(Relu)
        output \"y\" = %3
        output \"z\" = %4";
    stays(text, &["common-subexpressions"], "");
}

#[test]
fn what_nobody_wants_goes() {
    let text = "input %x: f32[1, 2, 4, 4]
        %1, %2 = Pool(kind: Max, kernel: [2, 2], stride: [2, 2], dilation: [1, 1], padding: Explicit(before: [0, 0], after: [0, 0]), ceil: false, column_major: false)(%x)
        %3 = Activation(Relu)(%x)
        %4 = Activation(Tanh)(%3)
        output \"y\" = %1";
    let (graph, _) = becomes(text, &["dead-outputs"], &["Pool"]);
    assert!(graph.nodes().next().unwrap().1.outputs[1].is_none());
    stays(&format!("{text}\n output \"i\" = %2\n output \"t\" = %4"), &["dead-outputs"], "");
}
