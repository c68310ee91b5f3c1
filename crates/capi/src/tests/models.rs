//! Small models made by hand.

use paring_onnx::proto::*;
use prost::Message;

fn value(name: &str, elem_type: i32, dims: &[Option<i64>]) -> ValueInfoProto {
    let dim = |(i, d): (usize, &Option<i64>)| DimensionProto {
        value: Some(d.map_or_else(|| DimensionKind::Param(format!("D{i}")), DimensionKind::Value)),
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().enumerate().map(dim).collect() });
    let kind = TypeKind::Tensor(TensorTypeProto { elem_type, shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value: Some(kind) }), doc_string: String::new() }
}

fn node(domain: &str, op: &str, x: &str, y: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        domain: domain.into(),
        op_type: op.into(),
        name: op.to_lowercase(),
        input: vec![x.into()],
        output: vec![y.into()],
        attribute,
        ..Default::default()
    }
}

fn encoded(name: &str, input: ValueInfoProto, node: Vec<NodeProto>) -> Vec<u8> {
    let output = vec![ValueInfoProto { name: "y".into(), r#type: None, doc_string: String::new() }];
    let graph = GraphProto { name: name.into(), input: vec![input], output, node, ..Default::default() };
    let set = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    let opset_import = vec![set("", 17), set("com.example", 1)];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

/// `y = x`, of ONNX's element type `elem_type`, a vector of any length.
pub fn identity(elem_type: i32) -> Vec<u8> {
    let nodes = vec![node("", "Identity", "x", "a", vec![]), node("", "Identity", "a", "y", vec![])];
    encoded("identity", value("x", elem_type, &[None]), nodes)
}

/// `y = relu(Median(x))` of a map of any size: what the examples for custom operators run.
pub fn median() -> Vec<u8> {
    let size = AttributeProto { name: "size".into(), i: Some(3), r#type: attribute_type::INT, ..Default::default() };
    let nodes = vec![node("com.example", "Median", "x", "a", vec![size]), node("", "Relu", "a", "y", vec![])];
    encoded("median", value("x", 1, &[Some(1), None, None, None]), nodes)
}
