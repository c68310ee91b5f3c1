//! What the models must compute.

use super::{ZooError, data, generate, read};
use paring_core::Tensor;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What is known of one model.
#[derive(Clone, Debug, Deserialize)]
pub struct Golden {
    /// Nodes of the file.
    pub nodes: usize,
    /// Nodes by operator.
    pub ops: BTreeMap<String, usize>,
    /// Elements of the weights.
    pub params: u64,
    /// Multiply-accumulates of convolutions and matrix products, at batch 1 (`bert_plain_dyn`: batch 2, length 96).
    pub macs: u64,
    /// The seed of the weights and inputs.
    pub seed: u64,
    /// Inputs by name.
    pub inputs: BTreeMap<String, GoldenInput>,
    /// Outputs by name.
    pub outputs: BTreeMap<String, GoldenOutput>,
}

/// One input.
#[derive(Clone, Debug, Deserialize)]
pub struct GoldenInput {
    /// The element type as NumPy names it.
    pub dtype: String,
    /// The shape.
    pub shape: Vec<usize>,
}

/// One output.
#[derive(Clone, Debug, Deserialize)]
pub struct GoldenOutput {
    /// The shape.
    pub shape: Vec<usize>,
    /// Root of the mean square of the elements.
    pub rms: f64,
    /// The largest magnitude.
    pub max_abs: f64,
    /// Largest difference between two configurations of the implementation that made it, over the RMS.
    pub noise: f64,
    /// Places of the samples in the flat, row-major output.
    pub index: Vec<usize>,
    /// The elements there.
    pub value: Vec<f64>,
}

impl GoldenInput {
    /// The input's data. Attention masks hold 1 for the first three quarters of the last axis.
    ///
    /// # Errors
    /// [`ZooError::Malformed`] for an element type other than float32 and int64.
    pub fn tensor(&self, name: &str) -> Result<Tensor, ZooError> {
        let count = self.shape.iter().product();
        let source = format!("input:{name}");
        let made = match (self.dtype.as_str(), name) {
            ("float32", _) => Tensor::new(&self.shape, &generate("normal std=1", &source, count, 0)?),
            ("int64", name) if name.contains("mask") => {
                let length = self.shape.last().copied().unwrap_or(1).max(1);
                let mask: Vec<i64> = (0..count).map(|i| i64::from(i % length < length * 3 / 4)).collect();
                Tensor::new(&self.shape, &mask)
            }
            ("int64", name) => {
                let spec = if name.contains("type") { "index n=2" } else { "index n=4096" };
                let ids: Vec<i64> = generate(spec, &source, count, 0)?.into_iter().map(|x| x as i64).collect();
                Tensor::new(&self.shape, &ids)
            }
            (other, _) => return Err(ZooError::Malformed(format!("input '{name}' has element type {other}"))),
        };
        made.map_err(|e| ZooError::Malformed(e.to_string()))
    }
}

impl GoldenOutput {
    /// The largest difference of the sampled elements, and that of the RMS, both over the golden RMS. `None` where
    /// the number of elements differs.
    pub fn error(&self, elements: &[f32]) -> Option<f64> {
        if elements.len() != self.shape.iter().product::<usize>() {
            return None;
        }
        let sum: f64 = elements.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let rms = (sum / elements.len().max(1) as f64).sqrt();
        let samples = self.index.iter().zip(&self.value);
        let differences = samples.map(|(&i, &v)| elements.get(i).map(|&x| (f64::from(x) - v).abs()));
        let worst = differences.collect::<Option<Vec<f64>>>()?.into_iter().fold((rms - self.rms).abs(), |a, b| {
            // A NaN must not pass for a small difference.
            if b.is_nan() { f64::INFINITY } else { a.max(b) }
        });
        if rms.is_nan() { Some(f64::INFINITY) } else { Some(worst / self.rms) }
    }
}

/// What is known of every model, by name.
///
/// # Errors
/// [`ZooError`] where the data is missing or damaged.
pub fn goldens() -> Result<BTreeMap<String, Golden>, ZooError> {
    serde_json::from_slice(&read(data().join("goldens.json"))?).map_err(|e| ZooError::Malformed(e.to_string()))
}
