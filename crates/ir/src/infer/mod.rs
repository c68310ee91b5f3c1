//! Types and shapes of outputs from those of inputs.

use crate::{Dim, Fact, InferError};
use alloc::vec::Vec;
use paring_core::{Op, op::EpiOp};

/// What can be said of the outputs of an operator before it runs.
///
/// `inputs` are those of the node, epilogue operands included. `fresh` makes a symbol for a dimension that only running
/// will tell.
///
/// # Errors
/// [`InferError`] where operands and attributes do not fit each other.
pub fn infer(
    op: &Op,
    _epilogue: &[EpiOp],
    _inputs: &[Option<&Fact>],
    _outputs: usize,
    _fresh: &mut dyn FnMut() -> Dim,
) -> Result<Vec<Fact>, InferError> {
    Err(InferError::Arity(alloc::format!("{} is not known yet", op.name())))
}
