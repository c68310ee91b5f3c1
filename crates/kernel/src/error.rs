//! What can go wrong inside a kernel.

use alloc::string::String;
use paring_core::{AllocError, TensorError};
use thiserror::Error;

/// A failure of a kernel. The caller adds the node.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum KernelError {
    /// The data of an operand is outside what the operator allows, such as an index beyond its axis.
    #[error("{0}")]
    Data(String),
    /// The problem is not one this kernel offered for, or an attribute contradicts the operands.
    #[error("{0}")]
    Problem(String),
    /// An operator of the program's own failed.
    #[error("{0}")]
    Program(String),
    /// No memory.
    #[error(transparent)]
    Alloc(#[from] AllocError),
    /// A constant could not be made.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}
