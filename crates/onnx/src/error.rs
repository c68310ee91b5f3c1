//! What can be wrong with a model file.

use paring_ir::GraphError;
use std::fmt;
use thiserror::Error;

/// One node that cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedOp {
    /// The node's name, made up where the file has none.
    pub node: String,
    /// The operator.
    pub op: String,
    /// Its domain; empty for ONNX's own.
    pub domain: String,
    /// The version of the domain that the model asks for; 0 where it names none.
    pub opset: i64,
    /// What about it is not supported.
    pub reason: String,
}

impl fmt::Display for UnsupportedOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = if self.domain.is_empty() { "ai.onnx" } else { &self.domain };
        write!(f, "node '{}': {} ({domain} {}): {}", self.node, self.op, self.opset, self.reason)
    }
}

fn list(ops: &[UnsupportedOp]) -> String {
    const SHOWN: usize = 20;
    let mut text = String::new();
    for op in ops.iter().take(SHOWN) {
        text.push_str("\n  ");
        text.push_str(&op.to_string());
    }
    if ops.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", ops.len() - SHOWN));
    }
    text
}

/// Why a model could not be imported. Messages name the node or tensor at fault.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum ImportError {
    /// There are no bytes at all.
    #[error("the model is empty: expected an ONNX model, found 0 bytes")]
    Empty,
    /// The bytes are not a protocol buffer, or are cut off.
    #[error("not a readable ONNX model: at byte {offset}: {reason}")]
    Malformed {
        /// Where reading stopped.
        offset: usize,
        /// What was found there.
        reason: String,
    },
    /// The protocol buffer has a field of another type than ONNX says, such as text that is not UTF-8.
    #[error("not a readable ONNX model: {0}")]
    Decode(String),
    /// There is no graph.
    #[error("the model has no graph: the file is incomplete, or not an ONNX model")]
    MissingGraph,
    /// There is no usable operator set.
    #[error("{0}")]
    Opset(String),
    /// A version of ONNX's own operator set that is not known here.
    #[error("the model uses operator set {found}, but {oldest} to {newest} are supported: convert or export it again")]
    OpsetVersion {
        /// The version that the model asks for.
        found: i64,
        /// The oldest one that is known.
        oldest: i64,
        /// The newest one.
        newest: i64,
    },
    /// A limit of [`crate::Limits`] was hit.
    #[error("the model has {found} {what}, more than the limit of {limit}; raise ImportOptions::limits to allow it")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Nodes that cannot be imported: all of them.
    #[error("{} not supported:{}", if .0.len() == 1 { "1 node is".into() } else { format!("{} nodes are", .0.len()) }, list(.0))]
    Unsupported(Vec<UnsupportedOp>),
    /// A node contradicts the standard.
    #[error("node '{node}' ({op}): {reason}")]
    Node {
        /// The node's name.
        node: String,
        /// The operator.
        op: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A value is used that nothing defines.
    #[error("{user} uses '{value}', which no input, initializer or node defines")]
    Undefined {
        /// Who uses it.
        user: String,
        /// The name.
        value: String,
    },
    /// A value is defined twice.
    #[error("'{value}' is defined twice: by {first} and by {second}; names of values must be unique")]
    Duplicate {
        /// The name.
        value: String,
        /// Who defines it first.
        first: String,
        /// Who defines it again.
        second: String,
    },
    /// The nodes depend on each other in a circle, or a function calls itself.
    #[error("{0}")]
    Cycle(String),
    /// The data of a tensor is not what its type and shape say.
    #[error("tensor '{tensor}': {reason}")]
    Tensor {
        /// The tensor's name.
        tensor: String,
        /// What was expected and what was found.
        reason: String,
    },
    /// A tensor, or an input of the graph, is of a type that ONNX has and Paring has not.
    #[error("{what} '{name}' has {ty}, which is not supported")]
    UnsupportedType {
        /// "tensor" or "input".
        what: &'static str,
        /// Its name.
        name: String,
        /// The type, as ONNX calls it.
        ty: String,
    },
    /// External data cannot be read, or may not be.
    #[error("tensor '{tensor}': external data '{location}': {reason}")]
    External {
        /// The tensor's name.
        tensor: String,
        /// The location that the model gives.
        location: String,
        /// Why not.
        reason: String,
    },
    /// An input or output of the graph is not a tensor of a supported type.
    #[error("'{value}': {reason}")]
    Value {
        /// Its name.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Types or shapes do not fit.
    #[error(transparent)]
    Graph(#[from] GraphError),
}
