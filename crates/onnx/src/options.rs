//! How a model is imported.

use crate::ExternalData;
use paring_core::{gibibytes, op::Definition};
use std::sync::Arc;

/// What a model may consist of at most. Beyond that it is refused before memory is spent on it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the model file.
    pub bytes: usize,
    /// Nodes, those of subgraphs and of inlined functions included.
    pub nodes: usize,
    /// Tensors stored in the file.
    pub tensors: usize,
    /// Bytes of all constants together, external ones included.
    pub constant_bytes: usize,
    /// Bytes of one name.
    pub name_bytes: usize,
    /// Nesting of messages, which is nesting of subgraphs; function calls count as well.
    pub depth: usize,
    /// Dimensions of one tensor.
    pub rank: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            bytes: gibibytes(8),
            nodes: 1_000_000,
            tensors: 1_000_000,
            constant_bytes: gibibytes(64),
            name_bytes: 64 << 10,
            depth: 60,
            rank: 32,
        }
    }
}

/// How a model is imported.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ImportOptions {
    /// Limits.
    pub limits: Limits,
    /// Where data outside the model file is read; without it, models with external data are refused.
    pub external: Option<Arc<dyn ExternalData>>,
    /// Operators of the program's own. One of a name that is known here, too, or that is a function of the model, takes
    /// its place.
    pub operators: Vec<Definition>,
}

impl ImportOptions {
    /// The same options with external data.
    #[must_use]
    pub fn with_external(mut self, external: Arc<dyn ExternalData>) -> ImportOptions {
        self.external = Some(external);
        self
    }
}

impl std::fmt::Debug for ImportOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportOptions").field("limits", &self.limits).finish_non_exhaustive()
    }
}
