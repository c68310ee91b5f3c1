//! Weights in fewer bits: stored at their width, computed with in `f32`.

mod balance;
mod codebook;
mod make;
mod names;
mod pack;
mod report;
mod rows;
mod store;
mod ternary;
mod uniform;

pub use codebook::Shared;
pub use make::{CodedModel, code_weights};
pub use report::{CodeReport, CodedLayer};
pub use ternary::Threshold;

use rows::{Coded, Cut};
use serde::Serialize;

/// How the weights of a layer are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Coding {
    /// What codes stand for.
    #[serde(flatten)]
    pub values: Values,
    /// Weights that share a scale, within an output channel; all of the channel where there is no such number.
    pub group: Option<usize>,
}

/// What codes stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "values", rename_all = "lowercase")]
pub enum Values {
    /// Multiples of a scale.
    Uniform {
        /// Bits of a code, 2 to 8.
        bits: u32,
    },
    /// Values that were learnt.
    Codebook {
        /// Bits of a code, 2 to 8.
        bits: u32,
        /// Who shares them.
        shared: Shared,
    },
    /// -1, 0 and 1 times a scale, in two bits.
    Ternary {
        /// Which become zero.
        threshold: Threshold,
        /// Whether the layer has one scale, rather than one for each output channel.
        whole: bool,
    },
    /// -1 and 1 times a scale, in one bit.
    Binary,
}

impl Coding {
    /// Multiples of a scale for each output channel.
    pub fn uniform(bits: u32) -> Coding {
        Values::Uniform { bits }.into()
    }

    /// Bits of a code.
    pub fn bits(&self) -> u32 {
        match self.values {
            Values::Uniform { bits } | Values::Codebook { bits, .. } => bits,
            Values::Ternary { .. } => 2,
            Values::Binary => 1,
        }
    }

    /// The same with codes of so many bits, where their number is free.
    fn with_bits(self, to: u32) -> Coding {
        let values = match self.values {
            Values::Uniform { .. } => Values::Uniform { bits: to },
            Values::Codebook { shared, .. } => Values::Codebook { bits: to, shared },
            other => other,
        };
        Coding { values, ..self }
    }

    /// Codes `weights`, which come channel after channel.
    fn code(&self, weights: &[f32], channels: usize) -> Coded {
        let cut = Cut::channels(channels, weights.len(), self.group);
        match self.values {
            Values::Uniform { bits } => {
                let mut coded = uniform::code(weights, cut, bits);
                balance::balance(weights, &mut coded);
                coded
            }
            Values::Codebook { bits, shared } => codebook::code(weights, cut, bits, shared),
            Values::Ternary { threshold, whole: false } => ternary::ternary(weights, cut, threshold),
            Values::Ternary { threshold, whole: true } => {
                ternary::ternary(weights, Cut::whole(weights.len()), threshold)
            }
            Values::Binary => ternary::binary(weights, cut),
        }
    }
}

impl From<Values> for Coding {
    fn from(values: Values) -> Coding {
        Coding { values, group: None }
    }
}

/// Which layers are coded, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CodeOptions {
    /// How layers are coded for which `bits_for` says nothing.
    pub coding: Coding,
    /// Names of layers, `*` standing for any characters and `?` for one, with their bits, or `None` for `f32`. The last
    /// that fits holds.
    pub bits_for: Vec<(String, Option<u32>)>,
    /// Names of the layers to code; others stay in `f32`.
    pub layers: Option<Vec<String>>,
    /// Leave the first and the last layer in `f32`, unless `layers` names them.
    pub keep_ends: bool,
    /// Make coded layers read but the signs of their inputs.
    pub sign_inputs: bool,
    /// Let biases make up for the mean error of the weights, where there are samples.
    pub bias_correction: bool,
    /// The class of each sample, for accuracy.
    pub labels: Option<Vec<i64>>,
    /// How models run meanwhile.
    pub run: paring::Options,
}

impl CodeOptions {
    /// All layers in this way.
    pub fn new(coding: Coding) -> CodeOptions {
        CodeOptions {
            coding,
            bits_for: Vec::new(),
            layers: None,
            keep_ends: false,
            sign_inputs: false,
            bias_correction: true,
            labels: None,
            run: paring::Options::default(),
        }
    }
}

#[cfg(test)]
pub mod tests {
    /// Numbers that are normally distributed, the same for every seed.
    pub fn normal(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut uniform = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
        };
        // The sum of twelve has a variance of one.
        (0..count).map(|_| (0..12).map(|_| uniform()).sum()).collect()
    }
}
