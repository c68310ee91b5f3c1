//! A bound graph made ready to run: one plan where all shapes are known, or a plan for the first stage and the graph
//! that is left where some shape depends on data.

use crate::{Error, ErrorKind, Options, Result, bind, evaluate};
use paring_core::{Tensor, numel};
use paring_ir::{Graph, NodeId, Output, ValueId};
use paring_kernel::{Machine, Registry};
use paring_plan::{PackCache, Plan};
use std::sync::Arc;

/// Something to run for one set of input shapes.
pub(crate) struct Program {
    pub plan: Arc<Plan>,
    /// What the plan's outputs are: outputs of the graph first, as far as this stage computes them.
    pub produced: Vec<Produced>,
    /// What is left after the plan has run.
    pub rest: Option<Graph>,
}

/// The meaning of one output of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Produced {
    /// Output `k` of the graph.
    Output(usize),
    /// A value that the rest of the graph reads.
    Value(ValueId),
}

/// What lowering needs besides the graph.
#[derive(Clone, Copy)]
pub(crate) struct Tools<'a> {
    pub registry: &'a Registry,
    pub machine: &'a Machine,
    pub packs: &'a PackCache,
    pub options: &'a Options,
}

impl Tools<'_> {
    fn plan_options(&self, graph: &Graph) -> paring_plan::Options {
        let all = || graph.nodes().flat_map(|(_, n)| n.outputs.iter().flatten().copied()).collect();
        paring_plan::Options {
            numerics: self.options.numerics,
            arena_limit: self.options.limits.arena_bytes,
            max_memory: self.options.max_memory,
            tuning: self.options.tuning.clone(),
            keep: if self.options.keep_intermediates { all() } else { Vec::new() },
        }
    }

    /// Lowers `graph`, or as much of it as has known shapes.
    pub fn program(&self, mut graph: Graph) -> Result<Program> {
        bind::settle_shapes(&mut graph)?;
        let mut ready = ready_nodes(&graph)?;
        if graph.nodes().any(|(id, _)| !ready[id.index()]) {
            fold_small(&mut graph)?;
            ready = ready_nodes(&graph)?;
        }
        self.check_sizes(&graph)?;
        let options = self.plan_options(&graph);
        let all = graph.nodes().all(|(id, _)| ready[id.index()]);
        if all {
            let plan = paring_plan::plan(&graph, self.registry, self.machine, self.packs, &options)?;
            let produced = (0..graph.outputs().len()).map(Produced::Output).collect();
            return Ok(Program { plan: Arc::new(plan), produced, rest: None });
        }
        let (head, produced) = first_stage(&graph, &ready);
        let plan = paring_plan::plan(&head, self.registry, self.machine, self.packs, &options)?;
        Ok(Program { plan: Arc::new(plan), produced, rest: Some(graph) })
    }

    /// Refuses values of known shape that are larger than a tensor may be.
    fn check_sizes(&self, graph: &Graph) -> Result<()> {
        let limit = self.options.limits.tensor_bytes;
        for (_, node) in graph.nodes() {
            for &v in node.outputs.iter().flatten() {
                let ty = graph.ty(v);
                let Some(shape) = ty.known_shape() else { continue };
                let bytes = numel(&shape).ok().and_then(|n| ty.dtype.bytes(n));
                if bytes.is_none_or(|b| b > limit) {
                    let needed = bytes.map_or("more bytes than can be addressed".into(), |b| format!("{b} bytes"));
                    let op = node.op.name();
                    let message =
                        format!("node '{}' ({op}): an output {ty} has {needed}, the limit is {limit}", node.name);
                    return Err(Error::new(ErrorKind::Limit, message).at(&node.name));
                }
            }
        }
        Ok(())
    }

    /// The graph that is left once the values in `known` have been computed, with data-dependent operators evaluated
    /// as far as their operands are known. Fails where that gets nowhere.
    pub fn advance(&self, mut graph: Graph, known: Vec<(ValueId, Tensor)>) -> Result<Graph> {
        for (v, t) in known {
            graph.make_constant(v, Arc::new(t));
        }
        graph.remove_dead();
        let progress = fold_small(&mut graph)?;
        if !progress {
            let stuck = graph.nodes().next().map_or(String::new(), |(_, n)| format!("'{}' ({})", n.name, n.op.name()));
            let message = format!("node {stuck}: its shape stays unknown even after everything before it has run");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(graph)
    }
}

/// Evaluates data-dependent operators, and the arithmetic on shapes, as far as their operands are known; everything
/// larger is left to a plan. Whether anything was evaluated.
fn fold_small(graph: &mut Graph) -> Result<bool> {
    const SMALL: usize = 64;
    let mut progress = false;
    for id in graph.order()? {
        bind::settle_shapes(graph)?;
        graph.reinfer(id).map_err(|e| Error::from(e).blame(ErrorKind::Data))?;
        let Some(node) = graph.node(id).cloned() else { continue };
        if node.op.as_custom().is_some() {
            // Only a plan runs those.
            continue;
        }
        let constants: Option<Vec<Option<Arc<Tensor>>>> =
            node.inputs.iter().map(|v| v.map_or(Some(None), |v| graph.constant(v).cloned().map(Some))).collect();
        let Some(constants) = constants else { continue };
        let small = |v: ValueId| graph.ty(v).known_shape().is_some_and(|s| numel(&s).is_ok_and(|n| n <= SMALL));
        if !node.op.is_data_dependent() && !node.outputs.iter().flatten().all(|&v| small(v)) {
            continue;
        }
        let inputs: Vec<Option<&Tensor>> = constants.iter().map(Option::as_deref).collect();
        let outputs = evaluate::evaluate(graph, &node, &inputs).map_err(|e| {
            Error::new(ErrorKind::Data, format!("node '{}' ({}): {e}", node.name, node.op.name())).at(&node.name)
        })?;
        for (v, t) in node.outputs.iter().zip(outputs) {
            if let (Some(v), Some(t)) = (*v, t) {
                graph.make_constant(v, Arc::new(t));
            }
        }
        graph.remove(id);
        progress = true;
    }
    Ok(progress)
}

/// Nodes that can be planned: every operand can, and every shape is a number.
fn ready_nodes(g: &Graph) -> Result<Vec<bool>> {
    let count = g.nodes().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
    let mut ready = vec![false; count];
    for id in g.order()? {
        let Some(node) = g.node(id) else { continue };
        let known = |v: ValueId| g.ty(v).known_shape().is_some();
        let producer_ready = |v: ValueId| g.producer(v).is_none_or(|(p, _)| ready[p.index()]);
        let operands = node.inputs.iter().flatten().all(|&v| known(v) && producer_ready(v));
        let shapes = node.op.shape_operands().iter().filter_map(|&i| node.input(i)).all(|v| g.constant(v).is_some());
        ready[id.index()] =
            operands && shapes && !node.op.is_data_dependent() && node.outputs.iter().flatten().all(|&v| known(v));
    }
    Ok(ready)
}

fn first_stage(g: &Graph, ready: &[bool]) -> (Graph, Vec<Produced>) {
    let is_ready = |v: ValueId| g.producer(v).is_none_or(|(p, _)| ready[p.index()]);
    let mut outputs = Vec::new();
    let mut produced = Vec::new();
    for (k, o) in g.outputs().iter().enumerate() {
        if is_ready(o.value) && g.ty(o.value).known_shape().is_some() {
            outputs.push(o.clone());
            produced.push(Produced::Output(k));
        }
    }
    let waiting: Vec<NodeId> = g.nodes().map(|(id, _)| id).filter(|id| !ready[id.index()]).collect();
    for id in waiting {
        for &v in g.node(id).iter().flat_map(|n| n.inputs.iter().flatten()) {
            let wanted = is_ready(v) && g.constant(v).is_none() && g.ty(v).known_shape().is_some();
            if wanted && !produced.contains(&Produced::Value(v)) {
                outputs.push(Output { name: g.value(v).name.clone(), value: v });
                produced.push(Produced::Value(v));
            }
        }
    }
    let mut head = g.clone();
    head.set_outputs(outputs);
    head.remove_dead();
    (head, produced)
}
