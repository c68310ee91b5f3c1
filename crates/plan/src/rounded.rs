//! Numbers that are quantised on their way from one layer of numbers to the next.
//!
//! Where the planner runs quantised layers on numbers, their results become bytes only for the next layer to make numbers
//! of those again. Here the layer itself rounds its results to what the bytes would stand for or, where it cannot, one step
//! on numbers does.

use crate::lower::{Builder, Candidate, LNode, Lowered, ValueIx, least};
use paring_core::{
    DType, Op,
    op::{Act, EpiOp},
};
use paring_kernel::{Operand, Problem};

impl Builder<'_> {
    /// Replaces conversions to bytes and back, where that takes less time.
    pub(crate) fn round_between_layers(&mut self) {
        let mut uses = Uses::of(&self.low);
        for back in 0..self.low.nodes.len() {
            if makes_numbers(&self.low.nodes[back]) {
                self.round_between(&mut uses, back);
            }
        }
        let mut gone = uses.gone.iter();
        self.low.nodes.retain(|_| gone.next() != Some(&true));
    }

    /// The same where the node `back` makes numbers of bytes. `None` where those were not made of numbers.
    fn round_between(&mut self, uses: &mut Uses, back: usize) -> Option<()> {
        let nodes = &mut self.low.nodes;
        let (bytes, real) = (nodes[back].inputs[0]?, nodes[back].outputs[0]?);
        let quantise = uses.maker[bytes]?;
        let (Op::Identity, [step]) = (&nodes[quantise].problem.op, &nodes[quantise].problem.epilogue[..]) else {
            return None;
        };
        let grid = step.grid()?;
        let numbers = nodes[quantise].inputs[0].filter(|&v| is_number(&self.low.values[v].operand))?;
        let layer = uses.maker[numbers].filter(|&n| !nodes[n].is_view && uses.wanted[numbers] == 1);
        if let Some(layer) = layer
            && let Some(problem) = rounded(&nodes[layer].problem, grid)
        {
            let before = least(&nodes[layer].candidates)? + least(&nodes[back].candidates)?;
            let candidates = self.whole(&problem);
            if least(&candidates).is_some_and(|ns| ns <= before) {
                self.replace(layer, problem, candidates, real);
                uses.makes(layer, numbers, real);
                uses.drop(back, bytes);
                if uses.wanted[bytes] == 0 {
                    uses.gone[quantise] = true;
                } else {
                    // Others want the bytes, which then are made of the rounded numbers.
                    self.low.nodes[quantise].inputs[0] = Some(real);
                    uses.wanted[real] += 1;
                }
                return Some(());
            }
        }
        if uses.wanted[bytes] > 1 {
            return Some(());
        }
        let (from, to) = (&self.low.nodes[quantise].problem, &self.low.nodes[back].problem);
        let problem = Problem {
            name: from.name.clone(),
            op: Op::Activation(grid),
            inputs: from.inputs.clone(),
            outputs: to.outputs.clone(),
            epilogue: vec![],
            numerics: from.numerics,
        };
        let before = least(&self.low.nodes[quantise].candidates)? + least(&self.low.nodes[back].candidates)?;
        let candidates = self.whole(&problem);
        if least(&candidates)? < before {
            self.replace(quantise, problem, candidates, real);
            uses.makes(quantise, bytes, real);
            uses.drop(back, bytes);
        }
        Some(())
    }

    /// Candidates that leave nothing of the epilogue to others.
    fn whole(&self, p: &Problem) -> Vec<Candidate> {
        let steps = p.epilogue.len();
        self.ask(p).0.into_iter().filter(|c| c.offer.fused == steps).collect()
    }

    /// Has a node of one output solve another problem, and make `to`.
    fn replace(&mut self, node: usize, problem: Problem, candidates: Vec<Candidate>, to: ValueIx) {
        let node = &mut self.low.nodes[node];
        (node.problem, node.candidates, node.outputs[0]) = (problem, candidates, Some(to));
    }
}

/// Who makes and who wants each value, while nodes are replaced.
struct Uses {
    /// The node of which the value is the only output.
    maker: Vec<Option<usize>>,
    /// How many nodes read it, and how often it is an output.
    wanted: Vec<usize>,
    /// Nodes that are to be removed.
    gone: Vec<bool>,
}

impl Uses {
    fn of(low: &Lowered) -> Uses {
        let (mut maker, mut wanted) = (vec![None; low.values.len()], vec![0; low.values.len()]);
        for (n, node) in low.nodes.iter().enumerate() {
            if let [Some(v), rest @ ..] = &node.outputs[..]
                && rest.iter().all(Option::is_none)
            {
                maker[*v] = Some(n);
            }
            node.inputs.iter().flatten().for_each(|&v| wanted[v] += 1);
        }
        low.outputs.iter().map(|o| o.2).chain(low.kept.iter().map(|k| k.1)).for_each(|v| wanted[v] += 1);
        Uses { maker, wanted, gone: vec![false; low.nodes.len()] }
    }

    /// A node makes another value than before.
    fn makes(&mut self, node: usize, before: ValueIx, now: ValueIx) {
        self.maker[before] = None;
        self.maker[now] = Some(node);
    }

    /// A node that read `v` goes.
    fn drop(&mut self, node: usize, v: ValueIx) {
        self.gone[node] = true;
        self.wanted[v] -= 1;
    }
}

/// Whether a node makes numbers of bytes by what the type of those says.
fn makes_numbers(node: &LNode) -> bool {
    let p = &node.problem;
    let quant = p.input(0).and_then(|x| x.quant.as_ref()?.whole());
    let Some((scale, zero_point)) = quant.filter(|_| matches!(p.op, Op::DequantizeLinear(_))) else { return false };
    let same_scale = p.const_f32s(1).is_some_and(|s| s == [scale]);
    let same_zero = match p.input(2) {
        None => zero_point == 0,
        Some(_) => p.const_i64s(2).is_some_and(|z| z == [i64::from(zero_point)]),
    };
    same_scale && same_zero && p.epilogue.is_empty() && p.output(0).is_some_and(is_number)
}

fn is_number(o: &Operand) -> bool {
    o.dtype == DType::F32 && o.quant.is_none()
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
        (Act::Clamp { lo: a, hi: b }, Act::Grid { scale, lo, hi }) if !a.is_nan() && !b.is_nan() => {
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
