//! What the planner decided and why, for `explain`.

use paring_kernel::NumericClass;
use serde::Serialize;

/// Everything about one node of the plan.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// The node's name.
    pub name: String,
    /// Operator and attributes in short.
    pub op: String,
    /// Shape of output 0.
    pub shape: Vec<usize>,
    /// Steps of the epilogue that the kernel does as well.
    pub fused: Vec<String>,
    /// What runs: a kernel's name, or `view` where nothing has to.
    pub chosen: String,
    /// Layouts of the inputs and of output 0, such as `8c,- -> 8c`.
    pub layouts: String,
    /// Estimated microseconds on one core.
    pub cost_us: f64,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes of all operands.
    pub bytes: u64,
    /// All candidates.
    pub candidates: Vec<CandidateReport>,
}

/// One kernel's answer to one node.
#[derive(Clone, Debug, Serialize)]
pub struct CandidateReport {
    /// The kernel.
    pub kernel: String,
    /// Its answer.
    pub verdict: Verdict,
}

/// An answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It can.
    Offer {
        /// Layouts of inputs and outputs.
        layouts: String,
        /// Estimated microseconds on one core.
        cost_us: f64,
        /// Whether that was measured (see [`crate::Tuning`]).
        measured: bool,
        /// Steps of the epilogue it fuses.
        fused: usize,
        /// Bytes of packed weights.
        packed_bytes: usize,
        /// Relation to the definition.
        numerics: String,
        /// Whether this one runs.
        chosen: bool,
    },
    /// It declines.
    Reject {
        /// Why.
        reason: String,
    },
}

pub(crate) fn numerics_name(n: NumericClass) -> &'static str {
    match n {
        NumericClass::Exact => "exact",
        NumericClass::Reassociated => "reassociated",
        NumericClass::Transformed => "transformed",
        NumericClass::Reduced => "reduced",
    }
}
