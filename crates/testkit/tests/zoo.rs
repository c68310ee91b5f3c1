//! Every model of the zoo imports, and costs what it is known to cost.

use paring_onnx::{ImportOptions, import};
use paring_testkit::zoo::{self, Golden};

fn check(name: &str, golden: &Golden) {
    let graph = import(zoo::model(name, golden.seed).unwrap(), &ImportOptions::default())
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    graph.verify().unwrap_or_else(|e| panic!("{name}: {e}"));

    let constants = golden.ops.get("Constant").copied().unwrap_or(0);
    assert!(graph.node_count() >= golden.nodes - constants, "{name}: {} nodes", graph.node_count());
    assert!(graph.node_count() <= golden.nodes, "{name}: {} nodes", graph.node_count());
    let convolutions = graph.nodes().filter(|(_, n)| n.op.name() == "Conv").count();
    assert_eq!(convolutions, golden.ops.get("Conv").copied().unwrap_or(0), "{name}: convolutions");
    let inputs: Vec<&str> = graph.inputs().iter().map(|&v| graph.value(v).name.as_str()).collect();
    assert_eq!(inputs.len(), golden.inputs.len(), "{name}: inputs {inputs:?}");

    // Costs are stated at batch 1, but for the transformer.
    let batch = if name.starts_with("bert") { 2 } else { 1 };
    let bound = graph.bind(&|symbol| Some(if symbol == "L" { 96 } else { batch })).unwrap();
    bound.verify().unwrap_or_else(|e| panic!("{name}, bound: {e}"));
    let stats = bound.stats();
    // ENet computes its padding from shapes by matrices, and a U-Net joins its scales of two constants: only folding
    // constants resolves these.
    let folded_only = name.starts_with("enet") || name == "unet_s_bilinear";
    assert_eq!(stats.macs, (!folded_only).then_some(golden.macs), "{name}: MACs");
    let extra = stats.params as f64 / golden.params as f64;
    assert!((1.0..1.01).contains(&extra), "{name}: {} of {} parameters", stats.params, golden.params);

    let golden_batch = golden.inputs.values().next().unwrap().shape[0];
    let bound = graph.bind(&|symbol| Some(if symbol == "L" { 96 } else { golden_batch })).unwrap();
    for output in bound.outputs() {
        let expected = &golden.outputs[&output.name].shape;
        let found = bound.ty(output.value).known_shape();
        assert!(folded_only || found.as_ref() == Some(expected), "{name}: '{}' is {found:?}", output.name);
    }
}

#[test]
fn every_model_imports_with_the_known_costs() {
    let goldens = zoo::goldens().unwrap();
    assert_eq!(goldens.len(), 36);
    for (name, golden) in &goldens {
        check(name, golden);
    }
}

#[test]
fn golden_inputs_have_the_shapes_of_the_model() {
    for (name, golden) in zoo::goldens().unwrap() {
        for (input, tensor) in zoo::golden_inputs(&golden).unwrap() {
            assert_eq!(tensor.shape(), golden.inputs[&input].shape, "{name}: {input}");
        }
    }
}

#[test]
fn a_skeleton_without_weights_is_refused_by_the_name_of_a_tensor() {
    let error = import(zoo::skeleton("srcnn_915").unwrap().into(), &ImportOptions::default()).unwrap_err();
    assert!(error.to_string().contains("float_data holds 0"), "{error}");
}
