//! The optimizer, where it is built in.

use crate::{AppliedRow, Options, RemarkRow, Result};
use paring_ir::Graph;

/// A graph after the optimizer, and what the optimizer said.
pub(crate) struct Rewritten {
    pub graph: Graph,
    pub applied: Vec<AppliedRow>,
    pub remarks: Vec<RemarkRow>,
}

/// Optimises `graph`: what was done, and what was declined.
#[cfg(feature = "optimizer")]
pub(crate) fn rewrite(graph: &mut Graph, options: &Options) -> Result<(Vec<AppliedRow>, Vec<RemarkRow>)> {
    use crate::{Error, ErrorKind, evaluate::ReferenceEvaluator};
    if !options.optimize {
        return Ok(Default::default());
    }
    let opt = paring_opt::Options { stop_at: options.opt_stop_at, ..paring_opt::Options::default() };
    let report = paring_opt::optimize(graph, &ReferenceEvaluator, &opt).map_err(|e| match e {
        paring_opt::OptError::Graph(e) => e.into(),
        e => Error::from_source(ErrorKind::Internal, e),
    })?;
    let applied = report.applied.into_iter().map(|a| AppliedRow { pass: a.pass.into(), node: a.node, what: a.what });
    let remark = |m: paring_opt::Remark| RemarkRow { pass: m.pass.into(), node: m.node, reason: m.reason };
    Ok((applied.collect(), report.remarks.into_iter().map(remark).collect()))
}

/// Leaves the graph as it is: this program was built without the optimizer.
#[cfg(not(feature = "optimizer"))]
pub(crate) fn rewrite(_: &mut Graph, _: &Options) -> Result<(Vec<AppliedRow>, Vec<RemarkRow>)> {
    Ok(Default::default())
}
