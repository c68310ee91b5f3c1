//! What can be wrong with a graph.

use alloc::string::String;
use paring_core::{ShapeError, TensorError};
use thiserror::Error;

/// Why the type of an output could not be inferred. The graph adds the node.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum InferError {
    /// A required input is absent.
    #[error("input {index} ({what}) is missing")]
    MissingInput {
        /// Its index.
        index: usize,
        /// What it is for.
        what: &'static str,
    },
    /// The number of inputs or outputs is wrong.
    #[error("{0}")]
    Arity(String),
    /// An element type does not fit.
    #[error("{0}")]
    DType(String),
    /// A shape, rank or attribute does not fit: says what was expected and what was found.
    #[error("{0}")]
    Shape(String),
    /// Arithmetic on shapes failed.
    #[error(transparent)]
    Arithmetic(#[from] ShapeError),
}

/// A defect of a graph.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum GraphError {
    /// Types do not fit at a node.
    #[error("node '{node}' ({op}): {source}")]
    Infer {
        /// The node's name.
        node: String,
        /// The operator's name.
        op: &'static str,
        /// What does not fit.
        source: InferError,
    },
    /// A node reads a value of another graph, or an index beyond the values.
    #[error("node '{node}': there is no value {value}")]
    NoSuchValue {
        /// The node's name.
        node: String,
        /// The value's index.
        value: u32,
    },
    /// The nodes depend on each other in a circle.
    #[error("the graph has a cycle through node '{node}'")]
    Cycle {
        /// A node of the circle.
        node: String,
    },
    /// Two nodes claim to produce one value, or a node claims an input or constant.
    #[error("value '{value}' is produced twice: by '{first}' and by '{second}'")]
    ProducedTwice {
        /// The value's name.
        value: String,
        /// The first producer.
        first: String,
        /// The second.
        second: String,
    },
    /// A value is used but neither an input, nor a constant, nor produced by a node.
    #[error("value '{value}' is used by '{user}' but nothing produces it")]
    NotProduced {
        /// The value's name.
        value: String,
        /// A node that uses it, or "the outputs".
        user: String,
    },
    /// The inferred type contradicts the recorded one.
    #[error("node '{node}': output '{value}' is recorded as {recorded} but inferred as {inferred}")]
    TypeMismatch {
        /// The node's name.
        node: String,
        /// The value's name.
        value: String,
        /// The recorded type.
        recorded: String,
        /// The inferred type.
        inferred: String,
    },
    /// An epilogue step is not well formed.
    #[error("node '{node}': epilogue step {step}: {reason}")]
    Epilogue {
        /// The node's name.
        node: String,
        /// Index of the step.
        step: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Something else is not as it must be.
    #[error("{0}")]
    Malformed(String),
    /// A limit was hit.
    #[error("the graph has {found} {what}, more than the limit of {limit}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The text form could not be read.
    #[error("line {line}: {message}")]
    Parse {
        /// Line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A constant could not be made.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}
