//! What the optimizer makes of well-known networks.

#[path = "passes/common.rs"]
#[allow(dead_code)]
mod common;

use common::Reference;
use paring_ir::{Graph, Node, op::EpiOp};
use paring_onnx::{ImportOptions, import};
use paring_opt::{Options, Report, optimize};
use paring_testkit::zoo;

fn optimized(name: &str) -> (Graph, Report) {
    let mut graph = import(zoo::model(name, 0).unwrap(), &ImportOptions::default()).unwrap();
    let options = Options { verify: false, ..Options::default() };
    let report = optimize(&mut graph, &Reference, &options).unwrap_or_else(|e| panic!("{name}: {e}"));
    graph.verify().unwrap_or_else(|e| panic!("{name}: {e}"));
    (graph, report)
}

fn nodes<'a>(graph: &'a Graph, op: &'static str) -> Vec<&'a Node> {
    graph.nodes().map(|(_, n)| n).filter(|n| n.op.name() == op).collect()
}

fn has(node: &Node, step: fn(&EpiOp) -> bool) -> bool {
    node.epilogue.iter().any(step)
}

#[test]
fn mobilenet_v2_keeps_its_linear_bottlenecks() {
    for name in ["mobilenet_v2", "mobilenet_v2_dyn", "mobilenet_v2_folded"] {
        let (graph, _) = optimized(name);
        let residual = |n: &&&Node| has(n, |e| matches!(e, EpiOp::Residual { .. }));
        let linear = |n: &&&Node| !has(n, |e| matches!(e, EpiOp::Act(_)));
        let convs = nodes(&graph, "Conv");
        assert_eq!(convs.len(), 52, "{name}");
        assert_eq!(convs.iter().filter(residual).count(), 10, "{name}");
        assert_eq!(convs.iter().filter(linear).count(), 17, "{name}: one projection per block");
        assert!(convs.iter().filter(residual).all(|n| linear(&n)), "{name}");
        for gone in ["BatchNorm", "Binary", "Activation"] {
            assert!(nodes(&graph, gone).is_empty(), "{name}: {gone}");
        }
    }
}

#[test]
fn the_siblings_of_every_inception_block_are_merged() {
    let (graph, report) = optimized("googlenet");
    assert_eq!(report.count("merge-siblings"), 9, "{:#?}", report.remarks);
    assert!(nodes(&graph, "Split").iter().all(|n| n.outputs.len() == 3));
}

#[test]
fn no_shuffle_is_left_in_shufflenets() {
    for name in ["shufflenet_v1_g3_x1_5", "shufflenet_v1_g3_x2_0", "shufflenet_v2_x1_0", "shufflenet_v2_x1_0_dyn"] {
        let (graph, report) = optimized(name);
        for gone in ["ChannelShuffle", "Transpose", "Gather", "Split", "Slice"] {
            assert!(nodes(&graph, gone).is_empty(), "{name}: {gone}\n{:#?}", report.remarks);
        }
        for concat in nodes(&graph, "Concat") {
            for v in concat.inputs.iter().flatten() {
                let channels = graph.ty(*v).shape.as_ref().unwrap()[1].known().unwrap();
                assert!(channels.is_multiple_of(8) || name.contains("v1"), "{name}: {channels}");
            }
        }
    }
}

#[test]
fn residual_networks_are_convolutions_alone() {
    let (graph, _) = optimized("resnet18");
    assert_eq!(common::ops(&graph).iter().filter(|o| o.contains("+residual+act")).count(), 8);
    assert!(nodes(&graph, "Binary").is_empty() && nodes(&graph, "BatchNorm").is_empty());
    let (graph, _) = optimized("squeezenet1_1");
    assert!(nodes(&graph, "Activation").is_empty());
}

#[test]
fn decomposed_operators_of_a_transformer_are_found() {
    let (graph, _) = optimized("bert_plain_dyn");
    assert!(nodes(&graph, "Unary").is_empty(), "{:?}", common::ops(&graph));
    assert!(!nodes(&graph, "LayerNorm").is_empty());
}

#[test]
fn every_model_optimises_to_a_sound_graph() {
    for (name, golden) in zoo::goldens().unwrap() {
        let before = import(zoo::model(&name, 0).unwrap(), &ImportOptions::default()).unwrap();
        let (graph, _) = optimized(&name);
        assert!(graph.node_count() < before.node_count(), "{name}");
        let outputs: Vec<&str> = graph.outputs().iter().map(|o| o.name.as_str()).collect();
        assert!(outputs.iter().all(|o| golden.outputs.contains_key(*o)), "{name}: {outputs:?}");
    }
}
