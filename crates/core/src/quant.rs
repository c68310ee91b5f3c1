//! Quantisation parameters.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// How integers of a tensor stand for real numbers: `real = scale * (integer - zero_point)`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quant {
    /// The axis along which the parameters differ, or `None` for one pair for the whole tensor.
    pub axis: Option<usize>,
    /// One scale, or one per index of `axis`. Positive and finite.
    pub scale: Vec<f32>,
    /// As many zero points as scales.
    pub zero_point: Vec<i32>,
}
