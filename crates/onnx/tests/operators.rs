//! How operators of the file become operators of the graph.

mod common;

use common::*;
use paring_ir::{Graph, Op, op::*};
use paring_onnx::{proto::*, supported_ops};
use std::collections::BTreeSet;

fn ops(graph: &Graph) -> Vec<&'static str> {
    graph.nodes().map(|(_, n)| n.op.name()).collect()
}

fn at_opset(version: i64, graph: GraphProto) -> Graph {
    let mut proto = model(graph);
    proto.opset_import[0].version = version;
    read(&proto).unwrap()
}

fn float(name: &str, f: f32) -> AttributeProto {
    AttributeProto { name: name.into(), f: Some(f), r#type: attribute_type::FLOAT, ..Default::default() }
}

fn gemm(bias: TensorProto, attributes: Vec<AttributeProto>) -> Graph {
    let mut n = node("Gemm", &["x", "w", "c"], &["y"]);
    n.attribute = attributes;
    let mut g = graph(vec![n], vec![floats("w", &[3, 4], &[1.0; 12]), bias]);
    g.input[0] = value("x", FLOAT, &[2, 4]);
    read(&model(g)).unwrap()
}

#[test]
fn gemm_with_constant_weights_is_dense_with_its_bias() {
    for shape in [&[3][..], &[1, 3]] {
        let g = gemm(floats("c", shape, &[1.0; 3]), vec![int("transB", 1)]);
        let (_, node) = g.nodes().next().unwrap();
        assert_eq!(node.op, Op::Dense(DenseAttrs { transposed: true }));
        assert_eq!((g.node_count(), node.epilogue.as_slice()), (1, &[EpiOp::Bias { input: 2 }][..]));
    }
    // Neither a factor nor a full matrix is a per-channel bias.
    let g = gemm(floats("c", &[3], &[1.0; 3]), vec![int("transB", 1), float("alpha", 0.5)]);
    assert_eq!(ops(&g), ["Dense", "Binary", "Binary"]);
    let g = gemm(floats("c", &[2, 3], &[1.0; 6]), vec![int("transB", 1)]);
    assert_eq!(ops(&g), ["Dense", "Binary"]);
}

#[test]
fn clip_with_constant_bounds_is_a_clamp() {
    let bounds = vec![floats("lo", &[], &[0.0]), floats("hi", &[], &[6.0])];
    let g = read(&model(graph(vec![node("Clip", &["x", "lo", "hi"], &["y"])], bounds))).unwrap();
    let (_, n) = g.nodes().next().unwrap();
    assert_eq!(n.op, Op::Activation(Act::Clamp { lo: 0.0, hi: 6.0 }));
    let attributes = with(with(node("Clip", &["x"], &["y"]), float("min", 0.0)), float("max", 6.0));
    let g = at_opset(6, graph(vec![attributes], Vec::new()));
    assert_eq!(g.nodes().next().unwrap().1.op, Op::Activation(Act::Clamp { lo: 0.0, hi: 6.0 }));
    let g = read_nodes(vec![node("ReduceMin", &["x"], &["lo"]), node("Clip", &["x", "lo"], &["y"])]).unwrap();
    assert_eq!(g.nodes().last().unwrap().1.op, Op::Binary(Binary::Max));
}

#[test]
fn old_broadcasting_matches_the_axis() {
    let n = with(with(node("Add", &["x", "c"], &["y"]), int("broadcast", 1)), int("axis", 1));
    let g = at_opset(6, graph(vec![n], vec![floats("c", &[2], &[1.0; 2])]));
    assert_eq!(ops(&g), ["Unsqueeze", "Binary"]);
    assert_eq!(g.ty(g.outputs()[0].value).known_shape(), Some(vec![1, 2, 4, 4]));
}

#[test]
fn softmax_before_opset_13_flattens() {
    let softmax = |version| {
        let g = at_opset(version, graph(vec![node("Softmax", &["x"], &["y"])], Vec::new()));
        let Op::Softmax(a) = g.nodes().next().unwrap().1.op else { panic!("no softmax") };
        (a.axis, a.to_end)
    };
    assert_eq!(softmax(12), (1, true));
    assert_eq!(softmax(13), (-1, false));
}

#[test]
fn operands_that_were_attributes() {
    let slice = with(with(node("Slice", &["x"], &["y"]), ints("starts", &[1])), ints("ends", &[3]));
    let g = at_opset(9, graph(vec![with(slice, ints("axes", &[2]))], Vec::new()));
    assert_eq!(g.ty(g.outputs()[0].value).known_shape(), Some(vec![1, 2, 2, 4]));
    let g =
        at_opset(10, graph(vec![with(node("Pad", &["x"], &["y"]), ints("pads", &[0, 0, 1, 1, 0, 0, 1, 1]))], vec![]));
    assert_eq!(g.ty(g.outputs()[0].value).known_shape(), Some(vec![1, 2, 6, 6]));
    let g = at_opset(9, graph(vec![with(node("TopK", &["x"], &["y", "i"]), int("k", 3))], Vec::new()));
    assert_eq!(g.ty(g.outputs()[0].value).known_shape(), Some(vec![1, 2, 4, 3]));
    let g = at_opset(12, graph(vec![with(node("Unsqueeze", &["x"], &["y"]), ints("axes", &[0]))], Vec::new()));
    assert_eq!(g.ty(g.outputs()[0].value).known_shape(), Some(vec![1, 1, 2, 4, 4]));
}

#[test]
fn unsorted_nodes_and_unnamed_ones() {
    let g = read_nodes(vec![node("Relu", &["a"], &["y"]), node("Neg", &["x"], &["a"])]).unwrap();
    let names: Vec<&str> = g.nodes().map(|(_, n)| n.name.as_str()).collect();
    assert_eq!(names, ["Neg_1", "Relu_0"]);
    assert_eq!(g.value(g.outputs()[0].value).name, "y");
}

#[test]
fn inputs_and_constants_as_outputs() {
    let mut proto =
        graph(vec![node("Relu", &["x"], &["y"]), node("Identity", &["w"], &["v"])], vec![floats("w", &[2], &[1.0; 2])]);
    proto.output = ["y", "x", "w", "v"].iter().map(|n| value(n, FLOAT, &[])).collect();
    let g = read(&model(proto.clone())).unwrap();
    let names: Vec<&str> = g.outputs().iter().map(|o| o.name.as_str()).collect();
    assert_eq!(names, ["y", "x", "w", "v"]);
    assert_eq!(g.outputs()[1].value, g.inputs()[0]);
    assert_eq!(g.outputs()[2].value, g.outputs()[3].value);
    proto.output.push(value("y", FLOAT, &[]));
    refused(read(&model(proto)), &["'y'", "an output"]);
}

#[test]
fn initializers_that_are_inputs_are_constants() {
    let mut proto = graph(vec![node("Add", &["x", "w"], &["y"])], vec![floats("w", &[4], &[1.0; 4])]);
    proto.input.push(value("w", FLOAT, &[4]));
    assert_eq!(read(&model(proto)).unwrap().inputs().len(), 1);
}

#[test]
fn a_branch_that_is_known_becomes_part_of_the_graph() {
    let branch = |op: &str, output: &str| {
        let mut g = graph(vec![node(op, &["x"], &[output])], Vec::new());
        g.input.clear();
        g.output = vec![value(output, FLOAT, &[])];
        g
    };
    let choose = |condition: i32| {
        let flag = TensorProto { name: "c".into(), data_type: 9, int32_data: vec![condition], ..Default::default() };
        let n = with(node("If", &["c"], &["y"]), subgraph("then_branch", branch("Relu", "t")));
        let n = with(n, subgraph("else_branch", branch("Neg", "e")));
        read(&model(graph(vec![n], vec![flag]))).unwrap()
    };
    assert_eq!(ops(&choose(1)), ["Activation"]);
    assert_eq!(ops(&choose(0)), ["Unary"]);
    assert_eq!(choose(0).outputs()[0].name, "y");
}

#[test]
fn symbols_of_dimensions_are_kept() {
    let mut proto = graph(vec![node("Relu", &["x"], &["y"])], Vec::new());
    let dim = |v| DimensionProto { value: v };
    let shape = TensorShapeProto {
        dim: vec![dim(Some(DimensionKind::Param("batch size".into()))), dim(None), dim(Some(DimensionKind::Value(4)))],
    };
    let tensor = TensorTypeProto { elem_type: FLOAT, shape: Some(shape) };
    proto.input[0].r#type = Some(TypeProto { value: Some(TypeKind::Tensor(tensor)) });
    let g = read(&model(proto)).unwrap();
    let dims = g.ty(g.outputs()[0].value).shape.clone().unwrap();
    assert_eq!((dims[0].to_string(), dims[1].known(), dims[2].known()), ("batch_size".into(), None, Some(4)));
}

#[test]
fn the_table_has_no_operator_twice_and_many() {
    let all = supported_ops();
    let distinct: BTreeSet<_> = all.iter().map(|(domain, op, _)| (*domain, *op)).collect();
    assert_eq!(distinct.len(), all.len());
    assert!(all.iter().filter(|(domain, ..)| domain.is_empty()).count() >= 110, "{}", all.len());
    assert!(all.iter().all(|(_, _, versions)| versions.start() <= versions.end()));
}

/// A node `Attention` of queries `[2, 3, 8]` for four heads, and keys and values `[2, 5, 4]` for two.
fn attention(
    attributes: Vec<AttributeProto>,
    mask: Option<(i32, &[i64])>,
    outputs: &[&str],
) -> Result<Graph, paring_onnx::ImportError> {
    let heads = [int("q_num_heads", 4), int("kv_num_heads", 2)];
    let inputs: &[&str] = if mask.is_some() { &["x", "k", "v", "m"] } else { &["x", "k", "v"] };
    let n = heads.into_iter().chain(attributes).fold(named("it", node("Attention", inputs, outputs)), with);
    let mut g = graph(vec![n], Vec::new());
    g.input = vec![value("x", FLOAT, &[2, 3, 8]), value("k", FLOAT, &[2, 5, 4]), value("v", FLOAT, &[2, 5, 4])];
    g.input.extend(mask.map(|(kind, dims)| value("m", kind, dims)));
    g.output = outputs.iter().map(|name| value(name, FLOAT, &[])).collect();
    let mut proto = model(g);
    proto.opset_import[0].version = 23;
    read(&proto)
}

#[test]
fn attention_is_made_of_products_and_a_softmax() {
    let outputs = ["y", "keys", "values", "weights"];
    let g = attention(vec![int("qk_matmul_output_mode", 3)], None, &outputs).unwrap();
    let shapes: Vec<String> = g.outputs().iter().map(|o| g.ty(o.value).to_string()).collect();
    assert_eq!(shapes, ["f32[2, 3, 8]", "f32[2, 2, 5, 2]", "f32[2, 2, 5, 2]", "f32[2, 4, 3, 5]"]);
    let count = |g: &Graph, name: &str| ops(g).iter().filter(|o| **o == name).count();
    assert_eq!((count(&g, "MatMul"), count(&g, "Softmax"), count(&g, "Where")), (2, 1, 0));
    // A mask that covers three of five keys hides the others; a causal one comes on top of it.
    const BOOL: i32 = 9;
    let g = attention(vec![int("is_causal", 1)], Some((BOOL, &[3, 3])), &["y"]).unwrap();
    assert_eq!((count(&g, "Pad"), count(&g, "Where"), count(&g, "LessOrEqual")), (1, 2, 0));
    refused(attention(vec![], Some((BOOL, &[3, 6])), &["y"]), &["'it'", "Attention", "covers 6 keys", "5"]);
    refused(attention(vec![int("q_num_heads", 3)], None, &["y"]), &["'it'", "q_num_heads", "twice"]);
    let mode = int("qk_matmul_output_mode", 4);
    refused(attention(vec![mode], None, &["y"]), &["'it'", "qk_matmul_output_mode", "4"]);
}

#[test]
fn rotations_take_pairs_of_a_head() {
    let rotary = |dims: &[i64], attributes: Vec<AttributeProto>| {
        let n = attributes.into_iter().fold(named("it", node("RotaryEmbedding", &["x", "c", "s", "p"], &["y"])), with);
        let mut g = graph(vec![n], vec![floats("c", &[9, 2], &[1.0; 18]), floats("s", &[9, 2], &[0.0; 18])]);
        g.input = vec![value("x", FLOAT, dims), value("p", INT64, &[2, 3])];
        let mut proto = model(g);
        proto.opset_import[0].version = 23;
        read(&proto)
    };
    let flat = || int("num_heads", 2);
    for extra in [vec![], vec![int("interleaved", 1)], vec![int("rotary_embedding_dim", 4)]] {
        let g = rotary(&[2, 5, 3, 4], extra.clone()).unwrap();
        assert_eq!(g.ty(g.outputs()[0].value).to_string(), "f32[2, 5, 3, 4]");
        let g = rotary(&[2, 3, 8], extra.into_iter().chain([flat()]).collect()).unwrap();
        assert_eq!(g.ty(g.outputs()[0].value).to_string(), "f32[2, 3, 8]");
    }
    let part = rotary(&[2, 5, 3, 7], vec![int("rotary_embedding_dim", 4)]).unwrap();
    assert_eq!(ops(&part).iter().filter(|o| **o == "Split").count(), 2);
    refused(rotary(&[2, 3, 8], vec![]), &["'it'", "num_heads"]);
    refused(rotary(&[2, 5, 3, 5], vec![]), &["'it'", "5 of the 5", "pairs"]);
    refused(rotary(&[2, 5, 3, 4], vec![int("rotary_embedding_dim", 6)]), &["'it'", "6 of the 4"]);
    refused(rotary(&[2, 5, 3, 8], vec![]), &["'it'", "RotaryEmbedding"]);
}
