//! What a node does to its result before it is stored.

use super::Act;
use serde::{Deserialize, Serialize};

/// One step of an epilogue. Steps apply in order to output 0 of the node. `input` is an index into the inputs of the
/// node, after those of the operator itself.
///
/// Per-channel operands run along axis 1 of a convolution's output and along the last axis of everything else's.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum EpiOp {
    /// Adds a constant vector, one entry per channel.
    Bias {
        /// Index of the operand.
        input: usize,
    },
    /// Multiplies by a constant vector, one entry per channel.
    Scale {
        /// Index of the operand.
        input: usize,
    },
    /// Adds a tensor of the output's very shape.
    Residual {
        /// Index of the operand.
        input: usize,
    },
    /// Applies a non-linearity.
    Act(Act),
    /// `x < 0 ? slope * x : x` with a constant vector of slopes, one per channel.
    PRelu {
        /// Index of the operand.
        input: usize,
    },
    /// Keeps the largest of every two by two elements, as [`PoolAttrs::halving`](super::PoolAttrs::halving) does. Only
    /// as the last step of a convolution along two axes; all other steps see the map as it was before.
    MaxPool,
}

impl EpiOp {
    /// The index of the operand, if there is one.
    pub fn input(&self) -> Option<usize> {
        match *self {
            EpiOp::Bias { input } | EpiOp::Scale { input } | EpiOp::Residual { input } | EpiOp::PRelu { input } => {
                Some(input)
            }
            EpiOp::Act(_) | EpiOp::MaxPool => None,
        }
    }

    /// The same step with its operand at `input`.
    #[must_use]
    pub fn with_input(self, input: usize) -> EpiOp {
        match self {
            EpiOp::Bias { .. } => EpiOp::Bias { input },
            EpiOp::Scale { .. } => EpiOp::Scale { input },
            EpiOp::Residual { .. } => EpiOp::Residual { input },
            EpiOp::PRelu { .. } => EpiOp::PRelu { input },
            EpiOp::Act(_) | EpiOp::MaxPool => self,
        }
    }
}
