//! What quantisation did, in numbers.

use crate::range::Method;
use serde::Serialize;

/// One layer with weights.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// The node's name, or that of what it makes.
    pub name: String,
    /// The operator.
    pub op: String,
    /// Whether it stays in `f32`.
    pub float: bool,
    /// Signal to noise of the rounded weights, in dB; `None` where they stay as they are, or are exact.
    pub weight_sqnr_db: Option<f64>,
    /// Signal to noise of its result in the quantised network, in dB: the errors of all layers before it are in there.
    pub output_sqnr_db: Option<f64>,
    /// Signal to noise of the model's output with this layer alone quantised, in dB, where that was measured.
    pub alone_sqnr_db: Option<f64>,
}

/// How far an output of the quantised model is from that of the float model, over all samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct OutputError {
    /// The output.
    pub name: String,
    /// Cosine of the angle between the two; `None` where one is zero.
    pub cosine: Option<f64>,
    /// Signal to noise in dB; `None` without signal or without noise.
    pub sqnr_db: Option<f64>,
    /// The greatest difference.
    pub max_abs: f64,
}

/// Right answers on the labelled samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Accuracy {
    /// Labelled samples.
    pub samples: usize,
    /// Right answers of the float model.
    pub float: usize,
    /// Right answers of the quantised model.
    pub quantized: usize,
}

impl Accuracy {
    /// Points of top-1 accuracy that were lost; negative where some were won.
    pub fn drop(&self) -> f64 {
        (self.float as f64 - self.quantized as f64) / self.samples.max(1) as f64 * 100.0
    }
}

/// Everything about a quantisation.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// How ranges of activations were chosen.
    pub method: Method,
    /// Samples that were seen.
    pub samples: usize,
    /// Pairs of layers between which channels were brought to the same range.
    pub equalized: usize,
    /// Layers with weights, in the order of the file.
    pub layers: Vec<LayerReport>,
    /// Other nodes that compute with bytes.
    pub other_nodes: usize,
    /// Outputs of the model.
    pub outputs: Vec<OutputError>,
    /// Where there are labels.
    pub accuracy: Option<Accuracy>,
    /// Bytes of the files.
    pub bytes_before: usize,
    /// Bytes of the quantised model's file.
    pub bytes_after: usize,
    /// Median milliseconds of a run on one thread; not a number where the platform has no clock.
    pub ms_before: f64,
    /// Median milliseconds of a run of the quantised model on one thread, likewise.
    pub ms_after: f64,
}
