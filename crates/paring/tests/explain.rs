//! What the optimizer and the planner must see in well-known networks, as `explain` tells it.

mod common;

use common::{golden, open, prepared, shapes, single};
use paring::{Explanation, LayerReport, Verdict};

fn explain(name: &str) -> Explanation {
    open(name).explain(&single(), &shapes(&golden(name))).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn is_op(layer: &LayerReport, op: &str) -> bool {
    layer.op.split(|c: char| !c.is_alphanumeric()).next() == Some(op)
}

fn of_op<'a>(e: &'a Explanation, op: &'a str) -> impl Iterator<Item = &'a LayerReport> {
    e.layers.iter().filter(move |l| is_op(l, op))
}

/// Operators that run, by name; views do not.
fn running(name: &str) -> Vec<&'static str> {
    prepared(name, &single()).plan().unwrap().steps.iter().map(|s| s.op).collect()
}

#[test]
fn googlenet_merges_the_three_pointwise_convolutions_of_each_block() {
    let e = explain("googlenet");
    let merged = e.applied.iter().filter(|a| a.pass == "merge-siblings").count();
    assert!(merged >= 9, "{merged} merges");
    // 57 convolutions; in each of the nine blocks three become one.
    assert_eq!(of_op(&e, "Conv").count(), 57 - 9 * 2);
    // The merged results are cut in place. One part of each block lies there rather than in the joined result, and is
    // copied; the other three are written where they belong.
    assert_eq!(of_op(&e, "Concat").count(), 9);
    for l in of_op(&e, "Concat") {
        assert!(["view", "view, 1 of 4 copied"].contains(&l.chosen.as_str()), "{} runs {}", l.name, l.chosen);
    }
    for l in of_op(&e, "Split").chain(of_op(&e, "Slice")) {
        assert!(l.chosen.starts_with("view") && !l.chosen.contains("copied"), "{} runs {}", l.name, l.chosen);
    }
}

#[test]
fn mobilenet_v2_has_no_activation_after_projections() {
    let e = explain("mobilenet_v2");
    assert_eq!(of_op(&e, "Conv").count(), 52);
    assert_eq!(of_op(&e, "Activation").count() + of_op(&e, "BatchNorm").count(), 0);
    assert_eq!(of_op(&e, "Binary").count(), 0, "the shortcuts are added by the projections");
    let linear = of_op(&e, "Conv").filter(|l| !l.fused.iter().any(|f| f.to_lowercase().contains("clamp")));
    let linear: Vec<&LayerReport> = linear.collect();
    // One projection for each of the 17 blocks, down to the narrow widths of the paper (table 2).
    let widths: Vec<usize> = linear.iter().map(|l| l.shape[1]).collect();
    assert_eq!(widths, [16, 24, 24, 32, 32, 32, 64, 64, 64, 64, 96, 96, 96, 160, 160, 160, 320], "{linear:?}");
    assert!(linear.iter().all(|l| l.fused.iter().all(|f| !f.to_lowercase().contains("relu"))), "{linear:?}");
}

#[test]
fn shufflenets_move_no_channels_at_run_time() {
    for name in ["shufflenet_v1_g3_x1_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_0_dyn"] {
        let ops = running(name);
        for op in ["ChannelShuffle", "Transpose", "Gather", "Reshape"] {
            assert!(!ops.contains(&op), "{name}: {op} runs: {ops:?}");
        }
    }
}

#[test]
fn squeezenet_joins_nothing_at_run_time() {
    let e = explain("squeezenet1_1");
    assert_eq!(of_op(&e, "Concat").count(), 8);
    for l in of_op(&e, "Concat") {
        assert!(l.chosen.starts_with("view") && !l.chosen.contains("copied"), "{} runs {}", l.name, l.chosen);
    }
    assert!(!running("squeezenet1_1").contains(&"Concat"));
}

#[test]
fn every_candidate_has_an_answer_and_one_is_chosen() {
    let e = explain("mobilenet_v2");
    for l in e.layers.iter().filter(|l| !l.chosen.starts_with("view")) {
        let chosen = |v: &Verdict| matches!(v, Verdict::Offer { chosen: true, .. });
        let kernels: Vec<&str> =
            l.candidates.iter().filter(|c| chosen(&c.verdict)).map(|c| c.kernel.as_str()).collect();
        assert_eq!(kernels, [l.chosen.as_str()], "{}", l.name);
        for c in &l.candidates {
            if let Verdict::Reject { reason } = &c.verdict {
                assert!(!reason.is_empty(), "{}: {} declines without a reason", l.name, c.kernel);
            }
        }
    }
    let json = serde_json::to_string(&e).unwrap();
    assert!(json.contains("conv_") && json.contains("\"reject\""), "{json:.200}");
}

#[test]
fn vgg16_pools_within_its_convolutions() {
    let e = explain("vgg16");
    let pools: Vec<&LayerReport> = of_op(&e, "Pool").collect();
    assert!(pools.is_empty() || pools.iter().all(|l| !l.op.contains("Max")), "{pools:?}");
    let fused: Vec<&LayerReport> = e.layers.iter().filter(|l| l.fused.iter().any(|f| f == "MaxPool")).collect();
    assert_eq!(fused.len(), 5);
    for l in fused {
        assert!(l.chosen.starts_with("conv_winograd"), "{} runs {}", l.name, l.chosen);
        let direct = l.candidates.iter().find(|c| c.kernel.starts_with("conv_direct")).expect("its answer");
        assert!(
            matches!(&direct.verdict, Verdict::Reject { reason } if reason.contains("pooling apart")),
            "{direct:?}"
        );
    }
}

#[test]
fn pooling_is_a_layer_of_its_own_where_no_kernel_does_it() {
    let strict = single().with_numerics(paring::Numerics::Strict);
    let e = open("vgg16").explain(&strict, &shapes(&golden("vgg16"))).unwrap();
    assert_eq!(of_op(&e, "Pool").filter(|l| l.op.contains("Max")).count(), 5);
    assert!(e.layers.iter().all(|l| l.fused.iter().all(|f| f != "MaxPool")));
}
