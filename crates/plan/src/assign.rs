//! One global choice of kernel and layout for every node.

use crate::{
    PlanError,
    lower::{LNode, Lowered, Origin, candidates},
    pbqp::{NEVER, Pbqp},
    place,
    thrift::priced,
};
use paring_core::{DType, Layout, Op};
use paring_kernel::{Kernel, Machine, Numerics, Offer, Operand, Problem, Registry};
use std::collections::HashMap;

/// For each node, the index of its candidate; meaningless for views.
pub(crate) type Choice = Vec<usize>;

pub(crate) fn assign(low: &Lowered, registry: &Registry, machine: &Machine) -> Result<Choice, PlanError> {
    // Alternatives: the cheapest candidate of each set of layouts.
    let alternatives: Vec<Vec<usize>> = low.nodes.iter().map(cheapest_per_layouts).collect();
    let reorders = Reorders { registry, machine };
    let mut costs = ReorderCosts { reorders, known: HashMap::new() };
    let mut p = Pbqp::default();
    for (node, alternatives) in low.nodes.iter().zip(&alternatives) {
        p.node(alternatives.iter().map(|&a| own_cost(node, a)).collect());
    }
    let mut producer: HashMap<usize, (usize, usize)> = HashMap::new();
    for (n, node) in low.nodes.iter().enumerate() {
        for (i, v) in node.outputs.iter().enumerate() {
            if let Some(v) = v {
                producer.insert(*v, (n, i));
            }
        }
    }
    for (n, node) in low.nodes.iter().enumerate() {
        for (i, v) in node.inputs.iter().enumerate() {
            let Some(v) = *v else { continue };
            let operand = &low.values[v].operand;
            let wants: Vec<Option<Layout>> = alternatives[n].iter().map(|&a| input_layout(node, a, i)).collect();
            match producer.get(&v) {
                Some(&(m, o)) if m != n => {
                    let makes: Vec<Layout> =
                        alternatives[m].iter().map(|&a| output_layout(&low.nodes[m], a, o)).collect();
                    let table: Vec<Vec<f64>> = makes
                        .iter()
                        .map(|&from| wants.iter().map(|&to| costs.between(operand, from, to)).collect())
                        .collect();
                    p.add_edge(m, n, |a, b| table[a][b]);
                }
                _ => {
                    for (a, &to) in wants.iter().enumerate() {
                        let c = costs.between(operand, Layout::Plain, to);
                        p.add_cost(n, a, c);
                    }
                }
            }
        }
    }
    for (_, _, v) in &low.outputs {
        if let (Some(&(m, o)), true) = (producer.get(v), low.values[*v].origin == Origin::Node) {
            for (a, &alt) in alternatives[m].iter().enumerate() {
                let from = output_layout(&low.nodes[m], alt, o);
                let c = costs.between(&low.values[*v].operand, from, Some(Layout::Plain));
                p.add_cost(m, a, c);
            }
        }
    }
    let choice = p.solve();
    Ok(choice.iter().zip(&alternatives).map(|(&c, a)| a[c]).collect())
}

fn cheapest_per_layouts(node: &LNode) -> Vec<usize> {
    if node.is_view {
        return vec![0];
    }
    let mut best: Vec<usize> = Vec::new();
    for (i, c) in node.candidates.iter().enumerate() {
        let same = |&&j: &&usize| {
            let o = &node.candidates[j].offer;
            o.inputs == c.offer.inputs && o.outputs == c.offer.outputs
        };
        match best.iter().position(|j| same(&j)) {
            Some(at) if priced(&node.candidates[best[at]]) > priced(c) => best[at] = i,
            Some(_) => {}
            None => best.push(i),
        }
    }
    best
}

/// A node that becomes views costs nothing to speak of, whatever its kernel would.
fn own_cost(node: &LNode, a: usize) -> f64 {
    match node.candidates.get(a) {
        _ if node.is_view => 0.0,
        Some(c) if place::parts(&node.problem, &c.offer).is_some() => 1.0,
        Some(c) => priced(c),
        None => NEVER,
    }
}

/// The layout in which candidate `a` reads input `i`; `None` where it does not.
pub(crate) fn input_layout(node: &LNode, a: usize, i: usize) -> Option<Layout> {
    if node.is_view {
        return (i == 0).then_some(Layout::Plain);
    }
    node.candidates[a].offer.inputs.get(i).copied().flatten()
}

/// The layout in which candidate `a` writes output `o`.
pub(crate) fn output_layout(node: &LNode, a: usize, o: usize) -> Layout {
    if node.is_view { Layout::Plain } else { node.candidates[a].offer.outputs[o] }
}

/// Finds the kernels that copy a value from one layout to another.
#[derive(Clone, Copy)]
pub(crate) struct Reorders<'a> {
    pub registry: &'a Registry,
    pub machine: &'a Machine,
}

pub(crate) struct Reorder {
    pub kernel: &'static dyn Kernel,
    pub offer: Offer,
    pub problem: Problem,
    pub cost_ns: f64,
}

impl Reorders<'_> {
    /// The cheapest kernel that copies `operand` from one layout to another.
    pub fn find(&self, operand: &Operand, from: Layout, to: Layout) -> Option<Reorder> {
        let mut plain = operand.clone();
        plain.constant = None;
        let problem = Problem {
            name: String::new(),
            op: Op::Identity,
            inputs: vec![Some(plain.clone())],
            outputs: vec![Some(plain)],
            epilogue: vec![],
            numerics: Numerics::Default,
        };
        let (found, _) = candidates(&problem, self.registry, self.machine, None);
        found
            .into_iter()
            .filter(|c| c.offer.inputs == [Some(from)] && c.offer.outputs == [to])
            .min_by(|a, b| a.cost_ns.total_cmp(&b.cost_ns))
            .map(|c| Reorder { kernel: c.kernel, offer: c.offer, problem, cost_ns: c.cost_ns })
    }
}

struct ReorderCosts<'a> {
    reorders: Reorders<'a>,
    known: HashMap<(DType, Vec<usize>, Layout, Layout), f64>,
}

impl ReorderCosts<'_> {
    fn between(&mut self, operand: &Operand, from: Layout, to: Option<Layout>) -> f64 {
        let Some(to) = to else { return 0.0 };
        if from.same_bytes(to, &operand.shape) {
            return 0.0;
        }
        let key = (operand.dtype, operand.shape.clone(), from, to);
        if let Some(&c) = self.known.get(&key) {
            return c;
        }
        let cost = self.reorders.find(operand, from, to).map_or(NEVER, |r| r.cost_ns);
        self.known.insert(key, cost);
        cost
    }
}
