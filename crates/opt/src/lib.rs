//! Graph passes and their driver.
//!
//! A [`Pass`] looks at the graph and proposes [`Patch`]es; the driver ([`PassCx`]) checks that nothing a patch removes is
//! still wanted, applies it, keeps the index of uses up to date, verifies, and counts steps. A pass that sees its
//! pattern but declines says why, as a [`Remark`]. [`optimize`] runs the passes of [`passes::PHASES`] to a fixed point.
//!
//! A new pass is one file under `passes/` and one entry in that list.
#![forbid(unsafe_code)]

mod cx;
mod driver;
mod matching;
pub mod passes;
mod patch;
mod report;
mod widen;

pub use cx::{Pass, PassCx, Proposal};
pub use driver::{OptError, Options, optimize};
pub use patch::Patch;
pub use report::{Applied, Remark, Report};

use paring_ir::{Graph, Node, Tensor};

/// Computes single nodes, for constant folding.
pub trait Evaluator {
    /// The outputs of `node` of `graph`, given the elements of its inputs (`None`: absent).
    ///
    /// # Errors
    /// Why it cannot be computed, in words. The node then stays as it is.
    fn evaluate(&self, graph: &Graph, node: &Node, inputs: &[Option<&Tensor>]) -> Result<Vec<Option<Tensor>>, String>;
}

/// An evaluator that computes nothing: only shape arithmetic folds.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEvaluator;

impl Evaluator for NoEvaluator {
    fn evaluate(&self, _: &Graph, _: &Node, _: &[Option<&Tensor>]) -> Result<Vec<Option<Tensor>>, String> {
        Err("no evaluator was given".into())
    }
}
