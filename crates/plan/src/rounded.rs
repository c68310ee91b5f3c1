//! Numbers that are quantised on their way from one layer of numbers to the next.
//!
//! Where the planner runs quantised layers on numbers, their results become bytes only for the next layer to make numbers
//! of those again. Here the layer itself rounds its results to what the bytes would stand for or, where it cannot, one step
//! on numbers does.

use crate::lower::{Builder, Candidate, LNode, ValueIx};
use paring_core::{
    DType, Op,
    op::{Act, EpiOp},
};
use paring_kernel::{Operand, Problem};
use std::collections::HashMap;

impl Builder<'_> {
    /// Replaces conversions to bytes and back, where that takes less time.
    pub(crate) fn round_between_layers(&mut self) {
        let back: Vec<ValueIx> = self.low.nodes.iter().filter_map(makes_numbers).collect();
        for real in back {
            self.round_between(real);
        }
    }

    /// The same for the numbers `real` of some bytes.
    fn round_between(&mut self, real: ValueIx) -> Option<()> {
        let makers = makers(&self.low.nodes);
        let &back = makers.get(&real)?;
        let bytes = self.low.nodes[back].inputs[0]?;
        let &quantise = makers.get(&bytes)?;
        let (Op::Identity, [step]) =
            (&self.low.nodes[quantise].problem.op, &self.low.nodes[quantise].problem.epilogue[..])
        else {
            return None;
        };
        let grid = step.grid()?;
        let numbers = self.low.nodes[quantise].inputs[0].filter(|&v| is_number(&self.low.values[v].operand))?;
        let maker = makers.get(&numbers).copied().filter(|&n| !self.low.nodes[n].is_view && self.wanted(numbers) == 1);
        if let Some(layer) = maker
            && let Some(problem) = rounded(&self.low.nodes[layer].problem, grid)
        {
            let candidates = self.whole(&problem);
            let before = least(&self.low.nodes[layer].candidates)? + least(&self.low.nodes[back].candidates)?;
            if least(&candidates).is_some_and(|ns| ns <= before) {
                let node = &mut self.low.nodes[layer];
                (node.problem, node.candidates, node.outputs[0]) = (problem, candidates, Some(real));
                // Where others want the bytes, those are made of the rounded numbers.
                self.low.nodes[quantise].inputs[0] = Some(real);
                let unwanted = if self.wanted(bytes) > 1 { back } else { quantise };
                self.remove([back, unwanted]);
                return Some(());
            }
        }
        if self.wanted(bytes) > 1 {
            return None;
        }
        let from = &self.low.nodes[quantise].problem;
        let problem = Problem {
            name: from.name.clone(),
            op: Op::Activation(grid),
            inputs: from.inputs.clone(),
            outputs: self.low.nodes[back].problem.outputs.clone(),
            epilogue: vec![],
            numerics: from.numerics,
        };
        let candidates = self.whole(&problem);
        let before = least(&self.low.nodes[quantise].candidates)? + least(&self.low.nodes[back].candidates)?;
        if least(&candidates)? < before {
            let node = &mut self.low.nodes[quantise];
            (node.problem, node.candidates, node.outputs[0]) = (problem, candidates, Some(real));
            self.remove([back, back]);
        }
        Some(())
    }

    /// How many nodes read `v`, and how often it is an output.
    fn wanted(&self, v: ValueIx) -> usize {
        let outputs = self.low.outputs.iter().map(|o| o.2).chain(self.low.kept.iter().map(|k| k.1));
        let readers = self.low.nodes.iter().flat_map(|n| n.inputs.iter().flatten().copied());
        outputs.chain(readers).filter(|&o| o == v).count()
    }

    /// Candidates that leave nothing of the epilogue to others.
    fn whole(&self, p: &Problem) -> Vec<Candidate> {
        let steps = p.epilogue.len();
        self.ask(p).0.into_iter().filter(|c| c.offer.fused == steps).collect()
    }

    fn remove(&mut self, gone: [usize; 2]) {
        let mut index = 0..;
        self.low.nodes.retain(|_| index.next().is_none_or(|i| !gone.contains(&i)));
    }
}

/// The output of a node that makes numbers of bytes by what the type of those says.
fn makes_numbers(node: &LNode) -> Option<ValueIx> {
    let p = &node.problem;
    let (scale, zero_point) = p.input(0)?.quant.as_ref()?.whole()?;
    let same_zero = p.const_i64s(2).map_or(zero_point == 0, |z| z == [i64::from(zero_point)]);
    let same = matches!(p.op, Op::DequantizeLinear(_)) && p.const_f32s(1)? == [scale] && same_zero;
    let numbers = p.epilogue.is_empty() && is_number(p.output(0)?);
    (same && numbers).then(|| node.outputs[0]).flatten()
}

fn is_number(o: &Operand) -> bool {
    o.dtype == DType::F32 && o.quant.is_none()
}

/// The node that makes each value.
fn makers(nodes: &[LNode]) -> HashMap<ValueIx, usize> {
    let of = |(n, node): (usize, &LNode)| node.outputs.iter().flatten().map(move |&v| (v, n)).collect::<Vec<_>>();
    nodes.iter().enumerate().flat_map(of).collect()
}

fn least(candidates: &[Candidate]) -> Option<f64> {
    candidates.iter().map(|c| c.cost_ns).min_by(f64::total_cmp)
}

/// The layer with its results rounded, in one step with bounds that come before; `None` where it is not one on numbers.
fn rounded(p: &Problem, grid: Act) -> Option<Problem> {
    if !is_number(p.output(0)?) || !p.op.reads_reals() || p.pools() || p.is_quantised() {
        return None;
    }
    let mut rounded = p.clone();
    let bounded = |act| match (act, grid) {
        // Rounding keeps the order of numbers.
        (Act::Relu, Act::Grid { scale, lo, hi }) => Some(Act::Grid { scale, lo: lo.max(0.0), hi: hi.max(0.0) }),
        (Act::Clamp { lo: a, hi: b }, Act::Grid { scale, lo, hi }) => {
            let within = |v: f32| (v / scale).round_ties_even().clamp(lo, hi);
            Some(Act::Grid { scale, lo: within(a), hi: within(b) })
        }
        _ => None,
    };
    let last = rounded.epilogue.last().and_then(|e| if let EpiOp::Act(act) = e { bounded(*act) } else { None });
    if last.is_some() {
        rounded.epilogue.pop();
    }
    rounded.epilogue.push(EpiOp::Act(last.unwrap_or(grid)));
    Some(rounded)
}
