//! Runs the passes to a fixed point.

use crate::{Applied, Evaluator, PassCx, Remark, Report, passes, widen};
use paring_ir::{Graph, GraphError};
use std::collections::BTreeSet;
use thiserror::Error;

/// What the optimizer may do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Passes that must not run, by name (see [`passes::names`]).
    pub disabled: BTreeSet<String>,
    /// Stop after this many patches. Halving it finds a bad one.
    pub stop_at: Option<usize>,
    /// Verify the graph after every patch.
    pub verify: bool,
    /// More patches than this mean that passes undo each other's work: the optimizer stops with a remark.
    pub max_steps: usize,
    /// Constants that folding makes larger than its inputs have at most this many elements.
    pub fold_limit: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            disabled: BTreeSet::new(),
            stop_at: None,
            verify: cfg!(debug_assertions),
            max_steps: 200_000,
            fold_limit: 1 << 16,
        }
    }
}

impl Options {
    /// Only the named passes.
    pub fn only(names: &[&str]) -> Options {
        let disabled = passes::names().filter(|n| !names.contains(n)).map(String::from).collect();
        Options { disabled, ..Options::default() }
    }
}

/// The optimizer cannot go on.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum OptError {
    /// The graph was not well formed, to begin with or once its constants had been computed.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A patch broke the graph; a defect of the pass.
    #[error("pass '{pass}' broke the graph at step {step} ({what}): {source}")]
    Broken {
        /// The pass.
        pass: &'static str,
        /// The step, counted from 1.
        step: usize,
        /// What was done.
        what: String,
        /// What is wrong now.
        source: Box<GraphError>,
    },
}

/// Before all passes, which know single precision best.
fn widen_halves(graph: &mut Graph, report: &mut Report) -> Result<(), OptError> {
    if let Some(wide) = widen::widen(graph)? {
        *graph = wide;
        report.steps += 1;
        let what = "half precision computed as single precision".into();
        report.applied.push(Applied { pass: widen::NAME, node: String::new(), what });
    }
    Ok(())
}

/// Rewrites `graph` into one that computes the same, faster.
///
/// # Errors
/// [`OptError`]. The graph may then be half done.
pub fn optimize(graph: &mut Graph, evaluator: &dyn Evaluator, options: &Options) -> Result<Report, OptError> {
    let mut report = Report::default();
    if !options.disabled.contains(widen::NAME) && options.stop_at != Some(0) {
        widen_halves(graph, &mut report)?;
    }
    for phase in passes::PHASES {
        // Every round that goes on has taken a step, and steps are limited.
        loop {
            let before = report.steps;
            for pass in phase.iter().filter(|p| !options.disabled.contains(p.name())) {
                let mut cx = PassCx::new(graph, evaluator, options, &mut report, pass.name());
                pass.run(&mut cx)?;
                cx.settle()?;
            }
            if report.steps == before {
                break;
            }
        }
    }
    if report.steps >= options.max_steps {
        let reason = format!("stopped after {} steps without reaching a fixed point", report.steps);
        report.remark(Remark { pass: "driver", node: String::new(), reason });
    }
    Ok(report)
}
