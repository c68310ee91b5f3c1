//! Makes small models by hand.
#![allow(dead_code)]

use bytes::Bytes;
use paring_ir::Graph;
use paring_onnx::{ImportError, ImportOptions, import, proto::*};
use prost::Message;

pub const FLOAT: i32 = 1;
pub const INT64: i32 = 7;

pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    NodeProto { op_type: op.into(), input: own(inputs), output: own(outputs), ..Default::default() }
}

pub fn named(name: &str, node: NodeProto) -> NodeProto {
    NodeProto { name: name.into(), ..node }
}

pub fn with(mut node: NodeProto, attribute: AttributeProto) -> NodeProto {
    node.attribute.push(attribute);
    node
}

pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: values.to_vec(), r#type: attribute_type::INTS, ..Default::default() }
}

pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: Some(value), r#type: attribute_type::INT, ..Default::default() }
}

pub fn tensor(name: &str, tensor: TensorProto) -> AttributeProto {
    AttributeProto {
        name: name.into(),
        t: Some(Box::new(tensor)),
        r#type: attribute_type::TENSOR,
        ..Default::default()
    }
}

pub fn subgraph(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { name: name.into(), g: Some(Box::new(graph)), r#type: attribute_type::GRAPH, ..Default::default() }
}

pub fn value(name: &str, elem_type: i32, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|&d| DimensionProto { value: Some(DimensionKind::Value(d)) }).collect();
    let tensor = TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) };
    let ty = TypeProto { value: Some(TypeKind::Tensor(tensor)) };
    ValueInfoProto { name: name.into(), r#type: Some(ty), doc_string: String::new() }
}

pub fn floats(name: &str, dims: &[i64], data: &[f32]) -> TensorProto {
    let raw: Vec<u8> = data.iter().flat_map(|x| x.to_le_bytes()).collect();
    TensorProto {
        name: name.into(),
        dims: dims.to_vec(),
        data_type: FLOAT,
        raw_data: Some(raw.into()),
        ..Default::default()
    }
}

/// A graph from `x [1, 2, 4, 4]` to the output `y`.
pub fn graph(nodes: Vec<NodeProto>, initializers: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        node: nodes,
        name: "g".into(),
        initializer: initializers,
        input: vec![value("x", FLOAT, &[1, 2, 4, 4])],
        output: vec![value("y", FLOAT, &[])],
        ..Default::default()
    }
}

pub fn model(graph: GraphProto) -> ModelProto {
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }
}

pub fn read(model: &ModelProto) -> Result<Graph, ImportError> {
    let graph = import(Bytes::from(model.encode_to_vec()), &ImportOptions::default())?;
    graph.verify().expect("what is imported is well formed");
    Ok(graph)
}

pub fn read_nodes(nodes: Vec<NodeProto>) -> Result<Graph, ImportError> {
    read(&model(graph(nodes, Vec::new())))
}

/// The message of the error, which must contain all of `parts`.
#[track_caller]
pub fn refused<T>(result: Result<T, ImportError>, parts: &[&str]) -> ImportError {
    let Err(error) = result else { panic!("imported, though it should be refused for {parts:?}") };
    let text = error.to_string();
    for part in parts {
        assert!(text.contains(part), "'{text}' does not say '{part}'");
    }
    error
}

/// A convolution, its bias, an activation and a reshape: messages of every kind in few bytes.
pub fn small() -> ModelProto {
    let nodes = vec![
        named("c", with(node("Conv", &["x", "w", "b"], &["a"]), ints("pads", &[1, 1, 1, 1]))),
        node("Relu", &["a"], &["r"]),
        node("Reshape", &["r", "s"], &["y"]),
    ];
    let shape = TensorProto {
        name: "s".into(),
        dims: vec![2],
        data_type: INT64,
        int64_data: vec![1, -1],
        ..Default::default()
    };
    let weights = floats("w", &[1, 2, 3, 3], &[0.5; 18]);
    let mut proto = model(graph(nodes, vec![weights, floats("b", &[1], &[1.0]), shape]));
    proto.producer_name = "test".into();
    proto
}
