//! Quantisation parameters.

use crate::numel;
use alloc::{vec, vec::Vec};
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

impl Quant {
    /// One pair for a whole tensor.
    pub fn per_tensor(scale: f32, zero_point: i32) -> Quant {
        Quant { axis: None, scale: vec![scale], zero_point: vec![zero_point] }
    }

    /// The pair of a whole tensor, where there is but one.
    pub fn whole(&self) -> Option<(f32, i32)> {
        match (self.axis, &self.scale[..], &self.zero_point[..]) {
            (None, &[scale], &[zero_point]) => Some((scale, zero_point)),
            _ => None,
        }
    }

    /// Elements of a tensor of this shape that share a pair before the next takes its turn: pair `i / span % pairs` is that
    /// of element `i`. `None` where the pairs are not those of such a tensor.
    pub fn span(&self, shape: &[usize]) -> Option<usize> {
        let (pairs, span) = match self.axis {
            None => (1, numel(shape).ok()?),
            Some(axis) => (*shape.get(axis)?, numel(&shape[axis + 1..]).ok()?),
        };
        let fits = pairs > 0 && self.scale.len() == pairs && self.zero_point.len() == pairs;
        fits.then_some(span.max(1))
    }
}
