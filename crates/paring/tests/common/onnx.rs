//! Makes small ONNX models by hand.
#![allow(dead_code)]

use paring::Tensor;
use paring_onnx::proto::*;
use prost::Message;

pub fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.into(), i: Some(i), r#type: attribute_type::INT, ..Default::default() }
}

pub fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: name.into(), ints: ints.to_vec(), r#type: attribute_type::INTS, ..Default::default() }
}

pub fn text(name: &str, s: &str) -> AttributeProto {
    let s = Some(s.as_bytes().to_vec().into());
    AttributeProto { name: name.into(), s, r#type: attribute_type::STRING, ..Default::default() }
}

pub fn floats(shape: &[usize], v: &[f32]) -> Tensor {
    Tensor::new(shape, v).unwrap()
}

pub fn onnx_type(t: &Tensor) -> i32 {
    match t.dtype() {
        paring::DType::F32 => 1,
        paring::DType::U8 => 2,
        paring::DType::I8 => 3,
        paring::DType::I32 => 6,
        paring::DType::I64 => 7,
        paring::DType::Bool => 9,
        other => panic!("{other} does not occur here"),
    }
}

pub fn stored(name: &str, t: &Tensor) -> TensorProto {
    TensorProto {
        name: name.into(),
        dims: t.shape().iter().map(|&d| d as i64).collect(),
        data_type: onnx_type(t),
        raw_data: Some(t.bytes().to_vec().into()),
        ..Default::default()
    }
}

pub fn declared(name: &str, t: &Tensor, symbolic: bool) -> ValueInfoProto {
    let dim = |(i, &d): (usize, &usize)| DimensionProto {
        value: Some(match symbolic {
            true => DimensionKind::Param(format!("{name}{i}")),
            false => DimensionKind::Value(d as i64),
        }),
    };
    let shape = Some(TensorShapeProto { dim: t.shape().iter().enumerate().map(dim).collect() });
    let kind = TypeKind::Tensor(TensorTypeProto { elem_type: onnx_type(t), shape });
    ValueInfoProto { name: name.into(), r#type: Some(TypeProto { value: Some(kind) }), doc_string: String::new() }
}

pub fn node(op: &str, name: &str, input: &[String], output: &[String], attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: op.into(),
        name: name.into(),
        input: input.to_vec(),
        output: output.to_vec(),
        attribute,
        ..Default::default()
    }
}

/// The bytes of a model of this graph.
pub fn encoded(graph: GraphProto, opset: i64) -> Vec<u8> {
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: opset }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

/// An output of a type that is left to be inferred.
pub fn output(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: name.into(), r#type: None, doc_string: String::new() }
}

/// The bytes of a model that negates a vector of any length.
pub fn negation() -> Vec<u8> {
    let graph = GraphProto {
        name: "negation".into(),
        input: vec![declared("x", &floats(&[1], &[0.0]), true)],
        output: vec![output("y")],
        node: vec![node("Neg", "neg", &["x".into()], &["y".into()], vec![])],
        ..Default::default()
    };
    encoded(graph, 17)
}
