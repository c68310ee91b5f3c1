//! From nodes to problems with candidates.

use crate::{Options, PlanError, Tuning, report};
use paring_core::{
    Layout, Op, Tensor,
    op::{Binary, EpiOp, PoolAttrs},
};
use paring_ir::{Graph, Node, ValueId};
use paring_kernel::{Kernel, Machine, Offer, Operand, Problem, Registry};
use std::{collections::HashMap, sync::Arc};

/// Index of a value of the lowered graph.
pub(crate) type ValueIx = usize;

/// The graph as the planner sees it: operands with concrete shapes, nodes with candidates.
pub(crate) struct Lowered {
    pub values: Vec<LValue>,
    pub nodes: Vec<LNode>,
    pub inputs: Vec<(ValueId, String, ValueIx)>,
    pub outputs: Vec<(ValueId, String, ValueIx)>,
    pub kept: Vec<(String, ValueIx)>,
}

pub(crate) struct LValue {
    pub operand: Operand,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Input(usize),
    Constant,
    Node,
}

pub(crate) struct LNode {
    pub problem: Problem,
    pub inputs: Vec<Option<ValueIx>>,
    pub outputs: Vec<Option<ValueIx>>,
    /// Empty for a view, which needs no kernel.
    pub candidates: Vec<Candidate>,
    pub rejects: Vec<(&'static str, String)>,
    pub is_view: bool,
}

pub(crate) struct Candidate {
    pub kernel: &'static dyn Kernel,
    pub offer: Offer,
    pub cost_ns: f64,
    /// Whether the cost was measured.
    pub measured: bool,
}

pub(crate) fn lower(
    graph: &Graph,
    registry: &Registry,
    machine: &Machine,
    options: &Options,
) -> Result<Lowered, PlanError> {
    let mut b = Builder {
        graph,
        registry,
        machine,
        options,
        map: HashMap::new(),
        reals: HashMap::new(),
        low: Lowered { values: vec![], nodes: vec![], inputs: vec![], outputs: vec![], kept: vec![] },
    };
    for (i, &v) in graph.inputs().iter().enumerate() {
        let operand = b.operand(v, "the inputs", "input")?;
        let ix = b.add(operand, Origin::Input(i));
        b.map.insert(v, ix);
        b.low.inputs.push((v, graph.value(v).name.clone(), ix));
    }
    for id in graph.order()? {
        if let Some(node) = graph.node(id) {
            b.node(node)?;
        }
    }
    for o in graph.outputs() {
        let ix = b.value(o.value, "the outputs", "output")?;
        b.low.outputs.push((o.value, o.name.clone(), ix));
    }
    for &v in &options.keep {
        if let Some(&ix) = b.map.get(&v) {
            b.low.kept.push((graph.value(v).name.clone(), ix));
        }
    }
    b.round_between_layers();
    Ok(b.low)
}

pub(crate) struct Builder<'a> {
    graph: &'a Graph,
    registry: &'a Registry,
    pub(crate) machine: &'a Machine,
    options: &'a Options,
    map: HashMap<ValueId, ValueIx>,
    /// For values of quantised type, the one of the numbers they stand for.
    pub(crate) reals: HashMap<ValueIx, ValueIx>,
    pub(crate) low: Lowered,
}

impl Builder<'_> {
    pub(crate) fn add(&mut self, operand: Operand, origin: Origin) -> ValueIx {
        self.low.values.push(LValue { operand, origin });
        self.low.values.len() - 1
    }

    fn operand(&self, v: ValueId, node: &str, op: &str) -> Result<Operand, PlanError> {
        let value = self.graph.value(v);
        let shape = value.fact.ty.known_shape().ok_or_else(|| PlanError::UnknownShape {
            node: node.into(),
            op: op.into(),
            value: value.name.clone(),
            found: value.fact.ty.to_string(),
        })?;
        let mut operand = Operand::new(value.fact.ty.dtype, &shape);
        operand.quant = value.fact.ty.quant.clone();
        operand.constant = value.fact.constant.clone();
        Ok(operand)
    }

    /// The lowered value of `v`, made on first sight: constants enter here.
    fn value(&mut self, v: ValueId, node: &str, op: &str) -> Result<ValueIx, PlanError> {
        if let Some(&ix) = self.map.get(&v) {
            return Ok(ix);
        }
        let operand = self.operand(v, node, op)?;
        let origin = if operand.constant.is_some() { Origin::Constant } else { Origin::Node };
        let ix = self.add(operand, origin);
        self.map.insert(v, ix);
        Ok(ix)
    }

    fn node(&mut self, node: &Node) -> Result<(), PlanError> {
        let name = node.op.name();
        let mut ends = |list: &[Option<ValueId>]| -> Result<Vec<Option<ValueIx>>, PlanError> {
            list.iter().map(|v| v.map(|v| self.value(v, &node.name, name)).transpose()).collect()
        };
        let (inputs, outputs) = (ends(&node.inputs)?, ends(&node.outputs)?);
        self.emit(node.name.clone(), node.op.clone(), inputs, outputs, node.epilogue.clone())
    }

    fn problem(
        &self,
        name: String,
        op: Op,
        inputs: &[Option<ValueIx>],
        outputs: &[Option<ValueIx>],
        epilogue: Vec<EpiOp>,
    ) -> Problem {
        let operands = |list: &[Option<ValueIx>]| -> Vec<Option<Operand>> {
            list.iter().map(|v| v.map(|v| self.low.values[v].operand.clone())).collect()
        };
        let (inputs, outputs) = (operands(inputs), operands(outputs));
        Problem { name, op, inputs, outputs, epilogue, numerics: self.options.numerics }
    }

    /// Adds a node, in the form that takes the least time: on quantised operands or on the numbers they stand for, with
    /// its epilogue or cut in two.
    pub(crate) fn emit(
        &mut self,
        name: String,
        op: Op,
        inputs: Vec<Option<ValueIx>>,
        outputs: Vec<Option<ValueIx>>,
        epilogue: Vec<EpiOp>,
    ) -> Result<(), PlanError> {
        let problem = self.problem(name, op, &inputs, &outputs, epilogue);
        if problem.is_quantised() {
            self.quantised(problem, inputs, outputs)
        } else if let Some(unpooled) = problem.unpooled() {
            self.pooled(problem, unpooled, inputs, outputs)
        } else {
            self.split_epilogue(problem, inputs, outputs)
        }
    }

    /// Adds the node, as one where a kernel fuses its whole epilogue at a good price, else cut in two.
    fn split_epilogue(
        &mut self,
        problem: Problem,
        inputs: Vec<Option<ValueIx>>,
        outputs: Vec<Option<ValueIx>>,
    ) -> Result<(), PlanError> {
        let (op, epilogue) = (&problem.op, &problem.epilogue);
        let is_view = op.is_view() && epilogue.is_empty();
        let (candidates, rejects) = self.ask(&problem);
        if is_view {
            self.low.nodes.push(LNode { problem, inputs, outputs, candidates, rejects, is_view });
            return Ok(());
        }
        let all_steps = |c: &Candidate| self.with_separate_steps(&problem, c);
        let Some(best) = candidates.iter().min_by(|a, b| all_steps(a).total_cmp(&all_steps(b))) else {
            return Err(no_kernel(&problem, &rejects));
        };
        let fused = best.offer.fused.min(epilogue.len());
        if fused == epilogue.len() {
            let candidates = candidates.into_iter().filter(|c| c.offer.fused >= fused).collect();
            self.low.nodes.push(LNode { problem, inputs, outputs, candidates, rejects, is_view: false });
            return Ok(());
        }
        let name = &problem.name;
        let first_out = outputs.first().copied().flatten();
        let Some(target) = first_out else {
            return Err(PlanError::Internal(format!("node '{name}' has an epilogue but no output")));
        };
        let mut middle = self.low.values[target].operand.clone();
        middle.constant = None;
        let middle = self.add(middle, Origin::Node);
        let mut head_outputs = outputs;
        head_outputs[0] = Some(middle);
        let step = epilogue[fused];
        let rest = epilogue[fused + 1..].to_vec();
        let mut head_inputs = inputs.clone();
        for i in epilogue[fused..].iter().filter_map(EpiOp::input) {
            if let Some(input) = head_inputs.get_mut(i) {
                *input = None;
            }
        }
        self.emit(name.clone(), op.clone(), head_inputs, head_outputs, epilogue[..fused].to_vec())?;
        self.separate_step(name, op, step, rest, &inputs, middle, target)
    }

    /// What `c` takes, and after it the steps of the epilogue that it leaves to others.
    pub(crate) fn with_separate_steps(&self, p: &Problem, c: &Candidate) -> f64 {
        let out = p.output(0).and_then(|o| o.bytes(Layout::Plain)).unwrap_or(0) as f64;
        let steps = p.epilogue.len().saturating_sub(c.offer.fused) as f64;
        c.cost_ns + steps * (500.0 + 2.0 * out / self.machine.l3_bandwidth)
    }

    /// Adds a node that pools last: as one where that is the better price, else cut in two.
    fn pooled(
        &mut self,
        problem: Problem,
        unpooled: Problem,
        inputs: Vec<Option<ValueIx>>,
        outputs: Vec<Option<ValueIx>>,
    ) -> Result<(), PlanError> {
        let pool = Op::Pool(PoolAttrs::halving());
        let pool_name = format!("{}.pool", problem.name);
        let large = unpooled.output(0).cloned();
        let alone = Problem {
            name: pool_name.clone(),
            op: pool.clone(),
            inputs: vec![large.clone()],
            outputs: problem.outputs.clone(),
            epilogue: vec![],
            numerics: problem.numerics,
        };
        let (candidates, mut rejects) = self.ask(&problem);
        let ((apart, apart_rejects), (pools, _)) = (self.ask(&unpooled), self.ask(&alone));
        let least = |costs: &mut dyn Iterator<Item = f64>| costs.fold(f64::INFINITY, f64::min);
        let pool_ns = least(&mut pools.iter().map(|c| c.cost_ns));
        let apart_ns = pool_ns + least(&mut apart.iter().map(|c| self.with_separate_steps(&unpooled, c)));
        if least(&mut candidates.iter().map(|c| c.cost_ns)) <= apart_ns {
            let shown = |name: &str| self.registry.get(name).is_some_and(|k| k.pools());
            rejects.extend(apart_rejects.into_iter().filter(|(name, _)| !shown(name)));
            rejects.extend(apart.iter().filter(|c| !c.kernel.pools()).map(|c| {
                let us = (self.with_separate_steps(&unpooled, c) + pool_ns) / 1e3;
                (c.kernel.descriptor().name, format!("does not pool: would take {us:.1} us with pooling apart"))
            }));
            self.low.nodes.push(LNode { problem, inputs, outputs, candidates, rejects, is_view: false });
            return Ok(());
        }
        let large = large.ok_or_else(|| PlanError::Internal(format!("nobody wants what '{}' makes", problem.name)))?;
        let middle = self.add(large, Origin::Node);
        self.emit(unpooled.name, unpooled.op, inputs, vec![Some(middle)], unpooled.epilogue)?;
        self.emit(pool_name, pool, vec![Some(middle)], outputs, vec![])
    }

    /// One epilogue step as a node of its own, with the rest of the epilogue still to fuse into that one.
    fn separate_step(
        &mut self,
        name: &str,
        op: &Op,
        step: EpiOp,
        rest: Vec<EpiOp>,
        inputs: &[Option<ValueIx>],
        from: ValueIx,
        to: ValueIx,
    ) -> Result<(), PlanError> {
        let rank = self.low.values[from].operand.shape.len();
        let per_channel = |e: &EpiOp| e.input().is_some() && !matches!(e, EpiOp::Residual { .. });
        // Operands of channels run along the last axis of what the step becomes: others stay apart from it.
        if channel_axis(op, rank) + 1 < rank
            && let [next, after @ ..] = &rest[..]
            && rest.iter().any(per_channel)
        {
            let (next, after) = (*next, after.to_vec());
            let between = Operand { constant: None, ..self.low.values[to].operand.clone() };
            let between = self.add(between, Origin::Node);
            self.separate_step(name, op, step, vec![], inputs, from, between)?;
            return self.separate_step(name, op, next, after, inputs, between, to);
        }
        let mut new_inputs = vec![Some(from)];
        let new_op = match step {
            EpiOp::Act(a) => Op::Activation(a),
            EpiOp::Bias { .. } | EpiOp::Residual { .. } => Op::Binary(Binary::Add),
            EpiOp::Scale { .. } => Op::Binary(Binary::Mul),
            EpiOp::PRelu { .. } => Op::Binary(Binary::PRelu),
            EpiOp::Quantize { .. } | EpiOp::Sign { .. } => {
                return Err(PlanError::Internal(format!("'{name}': only whole problems are quantised")));
            }
            EpiOp::MaxPool => return Err(PlanError::Internal(format!("'{name}' pools what is no convolution"))),
        };
        if let Some(i) = step.input() {
            let operand = inputs.get(i).copied().flatten();
            let operand = operand.ok_or_else(|| PlanError::Internal(format!("'{name}': epilogue operand {i}")))?;
            let full = matches!(step, EpiOp::Residual { .. });
            new_inputs.push(Some(if full { operand } else { self.along_channels(operand, op, from)? }));
        }
        let rest = rest
            .into_iter()
            .map(|e| match e.input() {
                Some(i) => {
                    new_inputs.push(inputs.get(i).copied().flatten());
                    e.with_input(new_inputs.len() - 1)
                }
                None => e,
            })
            .collect();
        let name = format!("{name}.{}", if step.input().is_some() { "epilogue" } else { "act" });
        self.emit(name, new_op, new_inputs, vec![Some(to)], rest)
    }

    /// A per-channel constant, shaped so that broadcasting lays it along the channels of `like`.
    fn along_channels(&mut self, constant: ValueIx, op: &Op, like: ValueIx) -> Result<ValueIx, PlanError> {
        let rank = self.low.values[like].operand.shape.len();
        let axis = channel_axis(op, rank);
        let fail = || PlanError::Internal("an epilogue operand is not a constant vector".into());
        let tensor = self.low.values[constant].operand.constant.clone().ok_or_else(fail)?;
        let mut shape = vec![1; rank - axis];
        shape[0] = tensor.len();
        let tensor: Tensor = tensor.reshaped(&shape).map_err(|_| fail())?;
        Ok(self.add(Operand::constant(Arc::new(tensor)), Origin::Constant))
    }

    pub(crate) fn ask(&self, p: &Problem) -> (Vec<Candidate>, Vec<(&'static str, String)>) {
        candidates(p, self.registry, self.machine, self.options.tuning.as_deref())
    }
}

/// Axis 1 for convolutions, the last for everything else; see [`EpiOp`].
fn channel_axis(op: &Op, rank: usize) -> usize {
    match op {
        Op::Conv(_) | Op::ConvInteger(_) | Op::ConvTranspose(_) => 1.min(rank.saturating_sub(1)),
        _ => rank.saturating_sub(1),
    }
}

/// What every kernel of the registry says to `p`.
pub(crate) fn candidates(
    p: &Problem,
    registry: &Registry,
    machine: &Machine,
    tuning: Option<&Tuning>,
) -> (Vec<Candidate>, Vec<(&'static str, String)>) {
    let (mut candidates, mut rejects) = (Vec::new(), Vec::new());
    for kernel in registry.candidates(p, machine) {
        let mut offers = Vec::new();
        match kernel.offers(p, machine, &mut offers) {
            Err(reject) => rejects.push((kernel.descriptor().name, reject.to_string())),
            Ok(()) => {
                for offer in offers {
                    let measured = tuning.and_then(|t| t.get(p, kernel.descriptor().name, &offer));
                    let cost_ns = measured.unwrap_or_else(|| kernel.cost(p, &offer, machine).ns);
                    if fits(p, &offer) && cost_ns.is_finite() {
                        candidates.push(Candidate { kernel, offer, cost_ns, measured: measured.is_some() });
                    } else {
                        rejects.push((kernel.descriptor().name, "its offer does not fit the operands".into()));
                    }
                }
            }
        }
    }
    (candidates, rejects)
}

/// What the cheapest takes, in nanoseconds.
pub(crate) fn least(candidates: &[Candidate]) -> Option<f64> {
    candidates.iter().map(|c| c.cost_ns).min_by(f64::total_cmp)
}

/// Whether the layouts of an offer can be those of the operands.
fn fits(p: &Problem, o: &Offer) -> bool {
    let left: Vec<usize> = p.epilogue.iter().skip(o.fused).filter_map(EpiOp::input).collect();
    let inputs_fit = o.inputs.len() == p.inputs.len()
        && o.inputs.iter().zip(&p.inputs).enumerate().all(|(i, (l, x))| match (l, x) {
            (None, _) if left.contains(&i) => true,
            (Some(l), Some(x)) => x.bytes(*l).is_some(),
            (Some(_), None) => false,
            // What is not read while running must be known before, be nothing but a shape, or belong to a step of the
            // epilogue that is left to others.
            (None, None) => true,
            (None, Some(x)) => x.constant.is_some() || matches!(p.op, Op::Shape(_) | Op::Size | Op::EyeLike(_)),
        });
    let outputs_fit = o.outputs.len() == p.outputs.len()
        && o.outputs.iter().zip(&p.outputs).all(|(l, y)| y.as_ref().is_none_or(|y| y.bytes(*l).is_some()));
    inputs_fit && outputs_fit && o.fused <= p.epilogue.len()
}

pub(crate) fn no_kernel(p: &Problem, rejects: &[(&'static str, String)]) -> PlanError {
    let kind = p.input(0).or(p.output(0)).map_or(String::new(), |x| format!(" {}{:?}", x.dtype, x.shape));
    let reasons = if rejects.is_empty() {
        format!("none is registered for {}{kind}", p.op.name())
    } else {
        rejects.iter().map(|(k, r)| format!("{k}: {r}")).collect::<Vec<_>>().join("; ")
    };
    PlanError::NoKernel { node: p.name.clone(), op: format!("{}{kind}", p.op.name()), reasons }
}

/// Layouts of an offer in short, such as `8c,- -> 8c`.
pub(crate) fn layouts(o: &Offer) -> String {
    let name = |l: &Option<Layout>| l.map_or("-".into(), |l| l.to_string());
    let inputs: Vec<String> = o.inputs.iter().map(name).collect();
    let outputs: Vec<String> = o.outputs.iter().map(Layout::to_string).collect();
    format!("{} -> {}", inputs.join(","), outputs.join(","))
}

pub(crate) fn verdict(c: &Candidate, chosen: bool) -> report::Verdict {
    report::Verdict::Offer {
        layouts: layouts(&c.offer),
        cost_us: c.cost_ns / 1e3,
        measured: c.measured,
        fused: c.offer.fused,
        packed_bytes: c.offer.packed_bytes,
        numerics: report::numerics_name(c.offer.numerics).into(),
        chosen,
    }
}
