//! Why a plan could not be made.

use paring_ir::GraphError;
use paring_kernel::KernelError;
use thiserror::Error;

/// A failure of planning.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// No kernel offers to run a node.
    #[error("node '{node}' ({op}): no kernel can run it: {reasons}")]
    NoKernel {
        /// The node.
        node: String,
        /// The operator.
        op: String,
        /// Why each candidate declined.
        reasons: String,
    },
    /// A shape is still unknown.
    #[error("node '{node}' ({op}): the shape of '{value}' is not known before running ({found})")]
    UnknownShape {
        /// The node.
        node: String,
        /// The operator.
        op: String,
        /// The value.
        value: String,
        /// What is known.
        found: String,
    },
    /// A kernel could not pack or prepare.
    #[error("node '{node}' ({op}): {source}")]
    Kernel {
        /// The node.
        node: String,
        /// The operator.
        op: String,
        /// What went wrong.
        source: KernelError,
    },
    /// More memory than allowed.
    #[error("{what} needs {needed} bytes, more than the limit of {limit}: raise the limit or make the input smaller")]
    Limit {
        /// What needs it.
        what: String,
        /// Bytes needed.
        needed: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The graph itself is at fault.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A contradiction within the planner.
    #[error("internal contradiction while planning: {0}")]
    Internal(String),
}
