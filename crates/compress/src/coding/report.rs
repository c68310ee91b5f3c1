//! What coding weights did, in numbers.

use super::Coding;
use crate::report::{Accuracy, OutputError};
use serde::Serialize;

/// One layer with weights.
#[derive(Clone, Debug, Serialize)]
pub struct CodedLayer {
    /// The node's name, or that of what it makes.
    pub name: String,
    /// The operator.
    pub op: String,
    /// Weights it has.
    pub weights: usize,
    /// How they are told; `None` for as before.
    pub coding: Option<Coding>,
    /// Why they stay as they are, where they do.
    pub kept: Option<String>,
    /// Bytes of the weights.
    pub bytes_before: usize,
    /// Bytes of codes, scales and codebooks.
    pub bytes_after: usize,
    /// Signal to noise of the weights in dB; `None` where they are exact.
    pub sqnr_db: Option<f64>,
    /// Part of the weights that are zero.
    pub zeros: f64,
}

impl CodedLayer {
    /// Bits that a weight takes, scales and codebooks included.
    pub fn bits_per_weight(&self) -> f64 {
        8.0 * self.bytes_after as f64 / self.weights.max(1) as f64
    }
}

/// Everything about a model whose weights were coded. The layers are the recipe: with their names and bits for
/// [`CodeOptions::bits_for`](super::CodeOptions::bits_for) the same comes out again.
#[derive(Clone, Debug, Serialize)]
pub struct CodeReport {
    /// Layers with weights, in the order of the file.
    pub layers: Vec<CodedLayer>,
    /// Bytes of the weights of all layers.
    pub weight_bytes_before: usize,
    /// The same afterwards, scales and codebooks included.
    pub weight_bytes_after: usize,
    /// Bytes of the files.
    pub bytes_before: usize,
    /// Bytes of the file that was made.
    pub bytes_after: usize,
    /// Samples that were seen.
    pub samples: usize,
    /// Outputs of the model, where there were samples.
    pub outputs: Vec<OutputError>,
    /// Where there are labels.
    pub accuracy: Option<Accuracy>,
}
