//! Well-known networks with made-up weights, and what they must compute.
//!
//! The files in `data/zoo/skeletons` are ONNX models without their float weights. [`fill_model`] puts deterministic
//! pseudo-random ones in, scaled so that activations stay near RMS 1 through the whole depth. The graphs are exact,
//! the weights mean nothing. [`goldens`] tells what another implementation computed with seed 0.

mod fill;
mod generate;
mod golden;

pub use fill::fill_model;
pub use generate::{fnv1a64, generate, hash};
pub use golden::{Golden, GoldenInput, GoldenOutput, goldens};

use bytes::Bytes;
use paring_core::Tensor;
use std::path::PathBuf;
use thiserror::Error;

/// Why part of the zoo could not be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ZooError {
    /// No file.
    #[error("{path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Not what it should be.
    #[error("{0}")]
    Malformed(String),
}

fn data() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("data/zoo")
}

pub(crate) fn read(path: PathBuf) -> Result<Vec<u8>, ZooError> {
    std::fs::read(&path).map_err(|source| ZooError::Read { path: path.display().to_string(), source })
}

/// The names of all models, sorted.
///
/// # Errors
/// [`ZooError::Read`] where the data is missing.
pub fn names() -> Result<Vec<String>, ZooError> {
    goldens().map(|g| g.into_keys().collect())
}

/// The model of that name without weights.
///
/// # Errors
/// [`ZooError::Read`] where there is none.
pub fn skeleton(name: &str) -> Result<Vec<u8>, ZooError> {
    read(data().join("skeletons").join(format!("{name}.onnx")))
}

/// The model of that name with the weights of a seed.
///
/// # Errors
/// As for [`skeleton`] and [`fill_model`].
pub fn model(name: &str, seed: u64) -> Result<Bytes, ZooError> {
    fill_model(&skeleton(name)?, seed).map(Bytes::from)
}

/// The inputs that the golden results of a model belong to, by name.
///
/// # Errors
/// [`ZooError::Malformed`] for an element type that the zoo does not use.
pub fn golden_inputs(golden: &Golden) -> Result<Vec<(String, Tensor)>, ZooError> {
    golden.inputs.iter().map(|(name, i)| Ok((name.clone(), i.tensor(name)?))).collect()
}
