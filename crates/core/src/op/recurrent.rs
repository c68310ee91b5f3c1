//! Attributes of recurrent layers.

use super::Act;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The cell of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cell {
    /// Gates in the order input, output, forget, cell.
    Lstm,
    /// Gates in the order update, reset, hidden.
    Gru {
        /// Apply the recurrent product before the reset gate.
        linear_before_reset: bool,
    },
    /// One gate.
    Plain,
}

/// Which way time runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Direction {
    Forward,
    Reverse,
    Bidirectional,
}

/// Attributes of [`super::Op::Recurrent`].
///
/// Inputs as in ONNX: `x`, `w`, `r`, `[bias]`, `[lengths]`, `[initial_h]`, `[initial_c]`, `[peepholes]`.
/// Outputs `[y]`, `[y_h]`, `[y_c]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecurrentAttrs {
    /// The cell.
    pub cell: Cell,
    /// Direction.
    pub direction: Direction,
    /// Hidden units.
    pub hidden: usize,
    /// Activations, per direction: three for an LSTM, two for a GRU, one for a plain cell.
    pub activations: Vec<Act>,
    /// Clip of the gate inputs.
    pub clip: Option<f32>,
    /// Couple the input and forget gates.
    pub input_forget: bool,
    /// The batch is the first axis, not time.
    pub batch_first: bool,
}
