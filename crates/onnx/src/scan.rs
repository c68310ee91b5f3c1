//! A look at the raw protocol buffer before it is decoded.
//!
//! A message of two bytes becomes hundreds of bytes of heap, so the numbers of messages are counted, and checked
//! against the limits, before anything is allocated. The look also tells at which byte a file is cut off.

use crate::{ImportError, Limits};

#[derive(Clone, Copy)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Value,
    Type,
    TensorType,
    Shape,
    Function,
    Other,
}

impl Kind {
    /// The kind of the message in a field; `None` for numbers, text, bytes and messages of no interest.
    fn child(self, field: u64) -> Option<Kind> {
        Some(match (self, field) {
            (Kind::Model, 7) => Kind::Graph,
            (Kind::Model, 25) => Kind::Function,
            (Kind::Model, 8 | 14) | (Kind::Function, 9) | (Kind::Tensor, 13) => Kind::Other,
            (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
            (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::Sparse, 1 | 2) => Kind::Tensor,
            (Kind::Graph, 11..=13) => Kind::Value,
            (Kind::Graph, 15) | (Kind::Attribute, 22) => Kind::Sparse,
            (Kind::Node, 5) | (Kind::Function, 11) => Kind::Attribute,
            (Kind::Attribute, 6 | 11) => Kind::Graph,
            (Kind::Value, 2) => Kind::Type,
            (Kind::Type, 1) => Kind::TensorType,
            (Kind::TensorType, 2) => Kind::Shape,
            (Kind::Shape, 1) => Kind::Other,
            _ => return None,
        })
    }
}

/// What a model is made of.
#[derive(Default)]
struct Counts {
    nodes: usize,
    tensors: usize,
    messages: usize,
    strings: usize,
}

/// Checks the framing of a model and its counts.
pub(crate) fn check(bytes: &[u8], limits: &Limits) -> Result<(), ImportError> {
    let mut counts = Counts::default();
    message(bytes, 0, Kind::Model, 0, limits, &mut counts)
}

/// Checks the framing of a single tensor.
pub(crate) fn check_tensor(bytes: &[u8], limits: &Limits) -> Result<(), ImportError> {
    message(bytes, 0, Kind::Tensor, 0, limits, &mut Counts::default())
}

fn message(
    bytes: &[u8],
    base: usize,
    kind: Kind,
    depth: usize,
    limits: &Limits,
    counts: &mut Counts,
) -> Result<(), ImportError> {
    if depth > limits.depth {
        return Err(ImportError::Limit { what: "levels of nested messages", found: depth, limit: limits.depth });
    }
    count(kind, limits, counts)?;
    let mut at = 0;
    while at < bytes.len() {
        let start = at;
        let bad = |reason: String| ImportError::Malformed { offset: base + start, reason };
        let key = varint(bytes, &mut at).ok_or_else(|| bad("a field tag is cut off or too long".into()))?;
        let (field, wire) = (key >> 3, key & 7);
        if field == 0 || (matches!(kind, Kind::Model) && field > 30) {
            return Err(bad(format!("field {field} is none of ONNX: damaged, or not the end of the model")));
        }
        let skip = match wire {
            0 => {
                varint(bytes, &mut at).ok_or_else(|| bad(format!("the number in field {field} is cut off")))?;
                0
            }
            1 => 8,
            5 => 4,
            2 => {
                let len =
                    varint(bytes, &mut at).ok_or_else(|| bad(format!("the length of field {field} is cut off")))?;
                usize::try_from(len).unwrap_or(usize::MAX)
            }
            _ => return Err(bad(format!("field {field} has the unknown wire type {wire}"))),
        };
        let left = bytes.len() - at;
        if skip > left {
            return Err(bad(format!("field {field} needs {skip} bytes but only {left} are left: the file is cut off")));
        }
        let body = &bytes[at..at + skip];
        if wire == 2 {
            match kind.child(field) {
                Some(child) => message(body, base + at, child, depth + 1, limits, counts)?,
                None => text(kind, field, body, limits, counts)?,
            }
        }
        at += skip;
    }
    Ok(())
}

fn count(kind: Kind, limits: &Limits, counts: &mut Counts) -> Result<(), ImportError> {
    let over = |what, found, limit| Err(ImportError::Limit { what, found, limit });
    counts.messages += 1;
    match kind {
        Kind::Node => counts.nodes += 1,
        Kind::Tensor => counts.tensors += 1,
        _ => {}
    }
    if counts.nodes > limits.nodes {
        return over("nodes", counts.nodes, limits.nodes);
    }
    if counts.tensors > limits.tensors {
        return over("tensors", counts.tensors, limits.tensors);
    }
    // Attributes, types and properties: a few per node and tensor in any model that is not built to exhaust memory.
    let most = limits.nodes.saturating_add(limits.tensors).saturating_mul(8);
    if counts.messages > most {
        return over("attributes and types", counts.messages, most);
    }
    Ok(())
}

fn text(kind: Kind, field: u64, body: &[u8], limits: &Limits, counts: &mut Counts) -> Result<(), ImportError> {
    let (name, repeated) = match (kind, field) {
        (Kind::Node, 1 | 2) | (Kind::Function, 4..=6) => (true, true),
        (Kind::Attribute, 9) | (Kind::Tensor, 6) => (false, true),
        (Kind::Node, 3 | 4 | 7) | (Kind::Tensor, 8) | (Kind::Value | Kind::Attribute | Kind::Function, 1) => {
            (true, false)
        }
        _ => (false, false),
    };
    if name && body.len() > limits.name_bytes {
        return Err(ImportError::Limit { what: "bytes in one name", found: body.len(), limit: limits.name_bytes });
    }
    counts.strings += usize::from(repeated);
    let most = limits.nodes.saturating_mul(16);
    if counts.strings > most {
        return Err(ImportError::Limit { what: "operands of nodes", found: counts.strings, limit: most });
    }
    Ok(())
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}
