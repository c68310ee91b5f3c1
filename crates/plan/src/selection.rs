//! What a plan chooses from, for those who measure whether it chooses well.

use crate::tuning::{describe, describe_offer};
use crate::{Options, PlanError, assign, lower, place};
use paring_ir::Graph;
use paring_kernel::{Kernel, Machine, Offer, Problem, Registry};
use std::collections::HashSet;

/// A problem of a graph with every kernel that could run it, and the one that the plan chose.
pub struct Selection {
    /// The node, with everything concrete.
    pub problem: Problem,
    /// Who offered what.
    pub cases: Vec<Case>,
    /// The case that the plan takes, where its packed weights are not too many altogether.
    pub chosen: usize,
}

/// A kernel that could run a problem.
pub struct Case {
    /// Who offered.
    pub kernel: &'static dyn Kernel,
    /// What.
    pub offer: Offer,
    /// Nanoseconds it is estimated to take.
    pub cost_ns: f64,
}

impl Selection {
    /// Whether that case reads and writes the layouts of the chosen one. Only such cases are comparable by their own
    /// time: what others save or cost in reorders is the business of the whole graph.
    pub fn is_rival(&self, case: usize) -> bool {
        let (a, b) = (&self.cases[case].offer, &self.cases[self.chosen].offer);
        a.inputs == b.inputs && a.outputs == b.outputs
    }

    /// Equal for problems that no kernel can tell apart in equal layouts, whatever graph they come from.
    pub fn key(&self) -> String {
        format!("{} [{}]", describe(&self.problem), lower::layouts(&self.cases[self.chosen].offer))
    }
}

impl Case {
    /// Layouts and variant in short, such as `8c,- -> 8c v0`.
    pub fn offered(&self) -> String {
        describe_offer(&self.offer)
    }
}

/// What is chosen from in a graph whose shapes are numbers: each problem once for each set of layouts it is run in,
/// without those that become views.
///
/// # Errors
/// As for [`crate::plan`].
pub fn selections(
    graph: &Graph,
    registry: &Registry,
    machine: &Machine,
    options: &Options,
) -> Result<Vec<Selection>, PlanError> {
    let lowered = lower::lower(graph, registry, machine, options)?;
    let choice = assign::assign(&lowered, registry, machine)?;
    let mut seen = HashSet::new();
    let chosen = lowered.nodes.into_iter().zip(choice).filter(|(n, _)| !n.is_view);
    let all = chosen.map(|(n, chosen)| {
        let case = |c: lower::Candidate| Case { kernel: c.kernel, offer: c.offer, cost_ns: c.cost_ns };
        Selection { problem: n.problem, cases: n.candidates.into_iter().map(case).collect(), chosen }
    });
    let copies = all.filter(|s| place::parts(&s.problem, &s.cases[s.chosen].offer).is_none());
    Ok(copies.filter(|s| seen.insert(s.key())).collect())
}
