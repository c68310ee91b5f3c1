//! The chosen kernels and the reorders between their layouts, in order; views instead of steps where they do.

use crate::{
    LayerReport, Location, PlanError,
    assign::{Choice, Reorders, input_layout, output_layout},
    lower::{Candidate, LNode, Lowered, Origin, ValueIx, layouts, no_kernel, verdict},
    place::{Part, Parts, parts},
    report::{CandidateReport, Verdict},
    work::work,
};
use paring_core::{Layout, Op, Tensor, op::EpiOp};
use paring_kernel::{Kernel, Machine, Offer, Operand, Problem, Registry};
use std::{collections::HashMap, sync::Arc};

/// A value in one layout, somewhere in memory.
pub(crate) struct Physical {
    pub operand: Operand,
    pub layout: Layout,
    pub bytes: usize,
    /// Fixed memory outside the arena.
    pub outside: Option<Location>,
    /// The physical value inside which this one lies, and its first byte there.
    pub parent: Option<(usize, usize)>,
    /// Readable after the run.
    pub kept: bool,
}

impl Physical {
    pub fn is_arena(&self) -> bool {
        self.outside.is_none()
    }
}

/// One kernel to run.
pub(crate) struct EmittedStep {
    pub problem: Problem,
    pub kernel: &'static dyn Kernel,
    pub offer: Offer,
    pub cost_ns: f64,
    pub inputs: Vec<Option<usize>>,
    pub outputs: Vec<Option<usize>>,
}

pub(crate) struct Emitted {
    pub physicals: Vec<Physical>,
    pub steps: Vec<EmittedStep>,
    pub constants: Vec<Arc<Tensor>>,
    pub kept: Vec<(String, usize)>,
    pub layers: Vec<LayerReport>,
}

impl Emitted {
    /// The outermost value in which `v` lies, and the first byte of `v` in it.
    pub fn root(&self, mut v: usize) -> (usize, usize) {
        let mut offset = 0;
        while let Some((parent, at)) = self.physicals[v].parent {
            offset += at;
            v = parent;
        }
        (v, offset)
    }
}

pub(crate) fn emit(
    low: &mut Lowered,
    choice: &Choice,
    registry: &Registry,
    machine: &Machine,
) -> Result<Emitted, PlanError> {
    let mut e = Emitter {
        reorders: Reorders { registry, machine },
        out: Emitted { physicals: vec![], steps: vec![], constants: vec![], kept: vec![], layers: vec![] },
        made: HashMap::new(),
    };
    let nodes = std::mem::take(&mut low.nodes);
    for (node, &a) in nodes.into_iter().zip(choice) {
        e.node(low, node, a)?;
    }
    for (k, (_, name, v)) in low.outputs.iter().enumerate() {
        e.output(low, k, name, *v)?;
    }
    for (name, v) in &low.kept {
        let physical = e.any_layout(low, *v)?;
        e.out.physicals[physical].kept = true;
        e.out.kept.push((name.clone(), physical));
    }
    Ok(e.out)
}

struct Emitter<'a> {
    reorders: Reorders<'a>,
    out: Emitted,
    /// The physical values of each value, by layout.
    made: HashMap<ValueIx, Vec<usize>>,
}

impl Emitter<'_> {
    fn physical(&mut self, operand: &Operand, layout: Layout) -> Result<usize, PlanError> {
        let bytes = operand.bytes(layout).ok_or_else(|| {
            PlanError::Internal(format!("{:?} of {} in layout {layout} overflows", operand.shape, operand.dtype))
        })?;
        let operand = Operand { constant: None, ..operand.clone() };
        self.out.physicals.push(Physical { operand, layout, bytes, outside: None, parent: None, kept: false });
        Ok(self.out.physicals.len() - 1)
    }

    /// Some physical form of `v`, whichever was made first.
    fn any_layout(&mut self, low: &Lowered, v: ValueIx) -> Result<usize, PlanError> {
        if let Some(&first) = self.made.get(&v).and_then(|m| m.first()) {
            return Ok(first);
        }
        let value = &low.values[v];
        let physical = self.physical(&value.operand, Layout::Plain)?;
        self.out.physicals[physical].outside = Some(match value.origin {
            Origin::Input(i) => Location::Input(i),
            Origin::Constant => {
                let tensor = value.operand.constant.clone();
                self.out.constants.push(tensor.ok_or_else(|| PlanError::Internal("constant without data".into()))?);
                Location::Constant(self.out.constants.len() - 1)
            }
            Origin::Node => return Err(PlanError::Internal(format!("value {v} is read before it is made"))),
        });
        self.made.entry(v).or_default().push(physical);
        Ok(physical)
    }

    /// `v` in `layout`, by a reorder where it has to be.
    fn in_layout(&mut self, low: &Lowered, v: ValueIx, layout: Layout) -> Result<usize, PlanError> {
        let first = self.any_layout(low, v)?;
        let all = &self.made[&v];
        if let Some(&p) = all.iter().find(|&&p| self.out.physicals[p].layout == layout) {
            return Ok(p);
        }
        let operand = &low.values[v].operand;
        let from = self.out.physicals[first].layout;
        let p = self.physical(operand, layout)?;
        if from.same_bytes(layout, &operand.shape) {
            self.out.physicals[p].parent = Some((first, 0));
        } else {
            self.copy(first, p, "reorder")?;
        }
        self.made.entry(v).or_default().push(p);
        Ok(p)
    }

    /// A step that copies `from` into `to`.
    fn copy(&mut self, from: usize, to: usize, name: &str) -> Result<(), PlanError> {
        let operand = self.out.physicals[from].operand.clone();
        let (a, b) = (self.out.physicals[from].layout, self.out.physicals[to].layout);
        let mut found = self.reorders.find(&operand, a, b).ok_or_else(|| PlanError::NoKernel {
            node: name.into(),
            op: format!("Identity {}{:?}", operand.dtype, operand.shape),
            reasons: format!("none copies from layout {a} to {b}"),
        })?;
        found.problem.name = name.into();
        self.out.steps.push(EmittedStep {
            problem: found.problem,
            kernel: found.kernel,
            offer: Offer { in_place: None, ..found.offer },
            cost_ns: found.cost_ns,
            inputs: vec![Some(from)],
            outputs: vec![Some(to)],
        });
        Ok(())
    }

    fn node(&mut self, low: &Lowered, mut node: LNode, a: usize) -> Result<(), PlanError> {
        if node.is_view {
            return self.view(low, node);
        }
        if node.candidates.is_empty() {
            return Err(no_kernel(&node.problem, &node.rejects));
        }
        match parts(&node.problem, &node.candidates[a].offer) {
            Some(Parts::Inputs(parts)) => return self.concat(low, node, a, &parts),
            Some(Parts::Outputs(parts)) => return self.split(low, node, a, &parts),
            None => {}
        }
        let mut inputs = Vec::with_capacity(node.inputs.len());
        for (i, v) in node.inputs.iter().enumerate() {
            inputs.push(match (*v, input_layout(&node, a, i)) {
                (Some(v), Some(layout)) => Some(self.in_layout(low, v, layout)?),
                _ => None,
            });
        }
        let outputs = self.outputs(low, &node, a)?;
        self.report(&node, Some(a), None);
        let Candidate { kernel, offer, cost_ns, .. } = node.candidates.swap_remove(a);
        self.out.steps.push(EmittedStep { problem: node.problem, kernel, offer, cost_ns, inputs, outputs });
        Ok(())
    }

    fn outputs(&mut self, low: &Lowered, node: &LNode, a: usize) -> Result<Vec<Option<usize>>, PlanError> {
        let mut outputs = Vec::with_capacity(node.outputs.len());
        for (o, v) in node.outputs.iter().enumerate() {
            outputs.push(match *v {
                Some(v) => {
                    let p = self.physical(&low.values[v].operand, output_layout(node, a, o))?;
                    self.made.entry(v).or_default().push(p);
                    Some(p)
                }
                None => None,
            });
        }
        Ok(outputs)
    }

    /// The same bytes under another shape.
    fn view(&mut self, low: &Lowered, node: LNode) -> Result<(), PlanError> {
        let (Some(Some(from)), Some(Some(to))) = (node.inputs.first(), node.outputs.first()) else {
            return Err(PlanError::Internal(format!("view '{}' lacks an operand", node.problem.name)));
        };
        let source = self.in_layout(low, *from, Layout::Plain)?;
        let p = self.physical(&low.values[*to].operand, Layout::Plain)?;
        if self.out.physicals[p].bytes != self.out.physicals[source].bytes {
            return Err(PlanError::Internal(format!("view '{}' changes the size", node.problem.name)));
        }
        self.out.physicals[p].parent = Some((source, 0));
        self.made.entry(*to).or_default().push(p);
        self.report(&node, None, Some("view"));
        Ok(())
    }

    /// Producers write straight into the parts of the output, where they can; what cannot is copied.
    fn concat(&mut self, low: &Lowered, node: LNode, a: usize, parts: &[Part]) -> Result<(), PlanError> {
        let layout = output_layout(&node, a, 0);
        let whole =
            self.outputs(low, &node, a)?[0].ok_or_else(|| PlanError::Internal("concat without output".into()))?;
        let mut copied = 0;
        for (v, part) in node.inputs.iter().zip(parts) {
            let Some(v) = *v else { continue };
            let p = self.in_layout(low, v, layout)?;
            let (root, offset) = self.out.root(p);
            let r = &self.out.physicals[root];
            if r.is_arena() && offset == 0 && r.bytes == part.len && root != whole {
                self.out.physicals[root].parent = Some((whole, part.offset));
            } else if part.len > 0 {
                let q = self.physical(&low.values[v].operand, layout)?;
                self.out.physicals[q].parent = Some((whole, part.offset));
                self.copy(p, q, &node.problem.name)?;
                copied += 1;
            }
        }
        let how = if copied == 0 { "view".to_string() } else { format!("view, {copied} of {} copied", parts.len()) };
        self.report(&node, Some(a), Some(&how));
        Ok(())
    }

    fn split(&mut self, low: &Lowered, node: LNode, a: usize, parts: &[Part]) -> Result<(), PlanError> {
        let layout = output_layout(&node, a, 0);
        let Some(Some(from)) = node.inputs.first() else {
            return Err(PlanError::Internal(format!("'{}' lacks its input", node.problem.name)));
        };
        let source = self.in_layout(low, *from, layout)?;
        let outputs = self.outputs(low, &node, a)?;
        for (p, part) in outputs.iter().zip(parts) {
            if let Some(p) = *p {
                self.out.physicals[p].parent = Some((source, part.offset));
            }
        }
        self.report(&node, Some(a), Some("view"));
        Ok(())
    }

    /// Brings output `k` into the caller's memory: its producer writes there where it can.
    fn output(&mut self, low: &Lowered, k: usize, name: &str, v: ValueIx) -> Result<(), PlanError> {
        let p = self.in_layout(low, v, Layout::Plain)?;
        let (root, offset) = self.out.root(p);
        let (r, bytes) = (&self.out.physicals[root], self.out.physicals[p].bytes);
        if r.is_arena() && offset == 0 && r.bytes == bytes {
            self.out.physicals[root].outside = Some(Location::Output(k));
            return Ok(());
        }
        let q = self.physical(&low.values[v].operand, Layout::Plain)?;
        self.out.physicals[q].outside = Some(Location::Output(k));
        self.copy(p, q, name)
    }

    fn report(&mut self, node: &LNode, a: Option<usize>, view: Option<&str>) {
        let chosen = a.and_then(|a| node.candidates.get(a));
        let mut all: Vec<CandidateReport> = node
            .candidates
            .iter()
            .enumerate()
            .map(|(i, c)| CandidateReport {
                kernel: c.kernel.descriptor().name.into(),
                verdict: verdict(c, view.is_none() && Some(i) == a),
            })
            .collect();
        all.extend(node.rejects.iter().map(|(kernel, reason)| CandidateReport {
            kernel: (*kernel).into(),
            verdict: Verdict::Reject { reason: reason.clone() },
        }));
        let w = work(&node.problem);
        self.out.layers.push(LayerReport {
            name: node.problem.name.clone(),
            op: describe(&node.problem.op),
            shape: node.problem.output(0).map(|o| o.shape.clone()).unwrap_or_default(),
            fused: node.problem.epilogue.iter().map(describe_step).collect(),
            chosen: match (view, chosen) {
                (Some(how), _) => how.into(),
                (None, Some(c)) => c.kernel.descriptor().name.into(),
                (None, None) => String::new(),
            },
            layouts: chosen.map_or_else(|| "plain -> plain".into(), |c| layouts(&c.offer)),
            cost_us: if view.is_some() { 0.0 } else { chosen.map_or(0.0, |c| c.cost_ns / 1e3) },
            macs: w.macs,
            bytes: w.bytes,
            candidates: all,
        });
    }
}

/// Operator and the attributes one looks for first.
fn describe(op: &Op) -> String {
    let by = |n: &[usize]| n.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    match op {
        Op::Conv(c) | Op::ConvInteger(c) => {
            let mut s = format!("{} {}", op.name(), by(&c.kernel));
            if c.stride.iter().any(|&x| x != 1) {
                s += &format!(" s{}", by(&c.stride));
            }
            if c.dilation.iter().any(|&x| x != 1) {
                s += &format!(" d{}", by(&c.dilation));
            }
            if c.groups > 1 {
                s += &format!(" g{}", c.groups);
            }
            if c.select.is_some() {
                s += " select";
            }
            s
        }
        Op::ConvTranspose(c) => format!("ConvTranspose {} s{}", by(&c.kernel), by(&c.stride)),
        Op::Pool(p) => format!("Pool {:?} {} s{}", p.kind, by(&p.kernel), by(&p.stride)),
        Op::GlobalPool(p) => format!("GlobalPool {p:?}"),
        Op::Unary(u) => format!("{u:?}"),
        Op::Activation(a) => format!("{a:?}"),
        Op::Binary(b) => format!("{b:?}"),
        other => other.name().into(),
    }
}

fn describe_step(step: &EpiOp) -> String {
    match step {
        EpiOp::Bias { .. } => "Bias".into(),
        EpiOp::Scale { .. } => "Scale".into(),
        EpiOp::Residual { .. } => "Residual".into(),
        EpiOp::PRelu { .. } => "PRelu".into(),
        EpiOp::Act(a) => format!("{a:?}"),
        EpiOp::Quantize { to, .. } => format!("Quantize to {to}"),
        EpiOp::Sign { .. } => "Sign".into(),
        EpiOp::MaxPool => "MaxPool".into(),
    }
}
