//! Damaged files: an error, never a panic, never a wait.

mod common;

use common::*;
use paring_onnx::{ImportError, fuzz, proto::*};
use prost::Message;

#[test]
fn empty_and_tiny_files_are_refused() {
    assert_eq!(fuzz::model(&[]).unwrap_err(), ImportError::Empty);
    for byte in 0..=255u8 {
        for length in 1..=8 {
            fuzz::model(&vec![byte; length]).unwrap_err();
        }
    }
}

#[test]
fn a_model_cut_off_anywhere_is_refused() {
    let bytes = small().encode_to_vec();
    fuzz::model(&bytes).unwrap();
    for length in 0..bytes.len() {
        fuzz::model(&bytes[..length]).unwrap_err();
    }
    refused(fuzz::model(&bytes[..bytes.len() - 1]), &["at byte", "cut off"]);
}

#[test]
fn trailing_garbage_is_refused() {
    let mut bytes = small().encode_to_vec();
    let end = bytes.len();
    bytes.extend_from_slice(&[0; 16]);
    refused(fuzz::model(&bytes), &[&format!("byte {end}"), "field 0"]);
    bytes.truncate(end);
    bytes.extend_from_slice(b"PK\x03\x04 something else");
    // 'P' and 'K' pass for a field that ONNX may have one day; what follows does not.
    refused(fuzz::model(&bytes), &[&format!("byte {}", end + 2), "field 0"]);
}

#[test]
fn no_change_of_bytes_makes_it_panic() {
    let bytes = small().encode_to_vec();
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    };
    let mut imported = 0;
    for _ in 0..20_000 {
        let mut damaged = bytes.clone();
        for _ in 0..=next(4) {
            let at = next(damaged.len());
            match next(4) {
                0 => damaged[at] = next(256) as u8,
                1 => damaged[at] ^= 1 << next(8),
                2 => damaged.insert(at, next(256) as u8),
                _ => {
                    damaged.remove(at);
                }
            }
        }
        imported += usize::from(fuzz::model(&damaged).is_ok());
        fuzz::check(&damaged);
    }
    // Most weights may change freely, so that some survive; were none to, little but framing would be tested.
    assert!(imported > 500, "only {imported} were read to the end");
}

#[test]
fn text_that_is_not_utf8_is_refused_with_the_field() {
    let mut bytes = small().encode_to_vec();
    let at = bytes.windows(4).position(|w| w == b"Relu").unwrap();
    bytes[at] = 0xff;
    refused(fuzz::model(&bytes), &["op_type", "UTF-8"]);
}

#[test]
fn names_with_control_characters_do_not_reach_messages() {
    let error = read_nodes(vec![named("a\0b\nc", node("Nope", &["x"], &["y"]))]);
    let error = refused(error, &["Nope"]);
    assert!(!error.to_string().contains('\0'));
    let huge = "n".repeat(100_000);
    refused(read_nodes(vec![named(&huge, node("Relu", &["x"], &["y"]))]), &["bytes in one name", "limit of 65536"]);
    let long = "n".repeat(50_000);
    let error = refused(read_nodes(vec![named(&long, node("Nope", &["x"], &["y"]))]), &["Nope"]);
    assert!(error.to_string().len() < 1000);
}

#[test]
fn many_empty_messages_are_counted_before_they_take_memory() {
    // Two bytes per node in the file, hundreds in memory.
    let mut graph = Vec::new();
    for _ in 0..50_000 {
        graph.extend_from_slice(&[0x0a, 0x00]);
    }
    let mut bytes = vec![0x3a];
    prost::encoding::encode_varint(graph.len() as u64, &mut bytes);
    bytes.extend_from_slice(&graph);
    refused(fuzz::model(&bytes), &["nodes", "limit of 10000"]);
}

#[test]
fn deep_nesting_is_refused() {
    let mut inner = graph(vec![node("Relu", &["x"], &["y"])], Vec::new());
    for _ in 0..500 {
        inner = graph(vec![with(node("If", &["x"], &["y"]), subgraph("then_branch", inner))], Vec::new());
    }
    refused(fuzz::model(&model(inner).encode_to_vec()), &["levels of nested messages"]);
}

#[test]
fn a_missing_graph_and_opset_are_told() {
    let none = ModelProto { graph: None, ..small() };
    assert_eq!(read(&none).unwrap_err(), ImportError::MissingGraph);
    refused(read(&ModelProto { opset_import: Vec::new(), ..small() }), &["operator set"]);
    let mut old = small();
    old.opset_import[0].version = 1_000;
    refused(read(&old), &["operator set 1000"]);
}

#[test]
fn dimensions_are_counted_before_they_take_memory() {
    // Two bytes for a dimension in the file, sixteen times that in memory.
    let nested = |field: u8, body: Vec<u8>| {
        let mut out = vec![field << 3 | 2];
        prost::encoding::encode_varint(body.len() as u64, &mut out);
        out.extend(body);
        out
    };
    let shape = [0x0a, 0x00].repeat(200_000);
    // The dimensions of an input: graph, input, type, tensor, shape.
    let bytes = [11, 2, 1, 2].into_iter().rev().fold(shape, |body, field| nested(field, body));
    refused(fuzz::model(&nested(7, bytes)), &["attributes and types", "limit of 160000"]);
}

#[test]
fn counts_that_the_file_cannot_hold_take_no_memory() {
    let varint = |n: u64| {
        let mut out = Vec::new();
        prost::encoding::encode_varint(n, &mut out);
        out
    };
    // A graph, a name, and the elements of a tensor that claim to be long.
    for claimed in [1 << 20, 1 << 40, u64::MAX] {
        for field in [0x3a, 0x12, 0x22] {
            let bytes = [vec![field], varint(claimed), vec![0; 32]].concat();
            refused(fuzz::model(&bytes), &["byte 0", "cut off"]);
            fuzz::tensor(&bytes);
        }
    }
}

#[test]
fn groups_are_refused_however_deep() {
    // Groups are the form of messages that protocol buffers left behind; ONNX never had any.
    let error = fuzz::model(&[0x3b].repeat(1 << 20));
    refused(error, &["byte 0", "wire type 3"]);
    fuzz::tensor(&[0x0b].repeat(1 << 20));
}
