//! What a node does to its result before it is stored.

use super::Act;
use crate::DType;
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
    /// Always the last step: stores the integer that stands for `x`, `round(x / scale) + zero_point` (halves to even),
    /// saturated to the range of the type. The type of the output then says so (see [`crate::Quant`]).
    Quantize {
        /// `u8` or `i8`.
        to: DType,
        /// Positive and finite.
        scale: f32,
        /// Within the range of `to`.
        zero_point: i32,
    },
    /// Always the last step: stores the sign of `x`, as [`DType::Sign`].
    Sign {
        /// The sign of zero, and of what is not a number: 0, or 1 or -1 in networks that know no third.
        of_zero: i8,
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
            EpiOp::Act(_) | EpiOp::Quantize { .. } | EpiOp::Sign { .. } | EpiOp::MaxPool => None,
        }
    }

    /// What is left of a number by this step, where it quantises by a scale that has an inverse.
    pub fn grid(&self) -> Option<Act> {
        let EpiOp::Quantize { to, scale, zero_point } = *self else { return None };
        let bytes = to.byte_range().filter(|_| (1.0 / scale).is_finite())?;
        let [lo, hi] = [bytes.start(), bytes.end()].map(|b| (b - zero_point) as f32);
        Some(Act::Grid { scale, lo, hi })
    }

    /// The same step with its operand at `input`.
    #[must_use]
    pub fn with_input(self, input: usize) -> EpiOp {
        match self {
            EpiOp::Bias { .. } => EpiOp::Bias { input },
            EpiOp::Scale { .. } => EpiOp::Scale { input },
            EpiOp::Residual { .. } => EpiOp::Residual { input },
            EpiOp::PRelu { .. } => EpiOp::PRelu { input },
            EpiOp::Act(_) | EpiOp::Quantize { .. } | EpiOp::Sign { .. } | EpiOp::MaxPool => self,
        }
    }
}

/// The type of the output and what it stands for, where an epilogue ends by quantising it. Signs stand for themselves.
pub fn quantized(epilogue: &[EpiOp]) -> Option<(DType, crate::Quant)> {
    match epilogue.last() {
        Some(&EpiOp::Quantize { to, scale, zero_point }) => Some((to, crate::Quant::per_tensor(scale, zero_point))),
        Some(&EpiOp::Sign { .. }) => Some((DType::Sign, crate::Quant::per_tensor(1.0, 0))),
        _ => None,
    }
}
