//! The descriptions in a file: where the network comes from, how the file was made, what is packed.

use crate::FormatError;
use paring_ir::notation;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Where a network comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    /// The program that wrote the original, with version.
    pub producer: String,
    /// The documentation string.
    pub doc: String,
    /// Operator sets by domain.
    pub opsets: Vec<(String, i64)>,
    /// Free key-value pairs.
    pub properties: Vec<(String, String)>,
}

/// How a file was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    /// The program and its version.
    pub tool: String,
    /// The name of the file it was made from.
    pub source: String,
    /// SHA-256 of that file, in hexadecimal.
    pub source_sha256: String,
    /// Whether the optimizer went over the graph already.
    pub optimized: bool,
    /// What was done to the weights, in order, such as `weights stored as f16`.
    pub compression: Vec<String>,
    /// What the optimizer did: how often each pass changed something.
    pub passes: Vec<(String, usize)>,
}

/// Weights packed for one kind of machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackSet {
    /// The kind, such as `avx2`.
    pub machine: String,
    /// The version of the kernels: another version may pack otherwise.
    pub kernels: String,
    /// What there is.
    pub packs: Vec<PackDescription>,
}

/// One block of packed weights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackDescription {
    /// The name of the form, which a kernel asks for.
    pub format: String,
    /// The constants that it was made of, by their numbers in the graph.
    pub constants: Vec<usize>,
    /// Which of the packed sections, in the order of the table.
    pub section: usize,
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<String, FormatError> {
    ron::to_string(value).map_err(|e| FormatError::Structure(e.to_string()))
}

pub(crate) fn decode<T: DeserializeOwned>(text: &str, what: &str) -> Result<T, FormatError> {
    notation::from_str(text).map_err(|e| FormatError::Structure(format!("the {what}: {e}")))
}
