//! Every decision, in a form for people and programs.

use crate::{
    Error, LayerStats, Model, Options, Result, Stats,
    bind::{self, Key},
    model,
    rewrite::Rewritten,
};
use paring_ir::Graph;
use paring_plan::LayerReport;
use serde::Serialize;
use std::collections::BTreeMap;

/// A rewrite that was made.
#[derive(Clone, Debug, Serialize)]
pub struct AppliedRow {
    /// The pass.
    pub pass: String,
    /// The node it began at.
    pub node: String,
    /// What was done.
    pub what: String,
}

/// A rewrite that was considered and declined.
#[derive(Clone, Debug, Serialize)]
pub struct RemarkRow {
    /// The pass.
    pub pass: String,
    /// The node.
    pub node: String,
    /// Why not.
    pub reason: String,
}

/// A graph after the optimizer.
#[derive(Clone, Debug, Serialize)]
pub struct Optimized {
    /// Its text form.
    pub text: String,
    /// Rewrites made, in order.
    pub applied: Vec<AppliedRow>,
    /// Rewrites declined.
    pub remarks: Vec<RemarkRow>,
}

/// Memory of a plan.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct MemoryReport {
    /// Values between the layers.
    pub arena_bytes: usize,
    /// The least that any arrangement of them takes.
    pub arena_bound_bytes: usize,
    /// Scratch with one worker.
    pub scratch_bytes: usize,
    /// Packed weights.
    pub packed_bytes: usize,
    /// Constants that are read as they are.
    pub constant_bytes: usize,
}

/// Every decision about a model on this machine.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// Rewrites made, in order.
    pub applied: Vec<AppliedRow>,
    /// Rewrites declined.
    pub remarks: Vec<RemarkRow>,
    /// Layer by layer: what runs, and what every other kernel said.
    pub layers: Vec<LayerReport>,
    /// Memory.
    pub memory: MemoryReport,
}

pub(crate) fn optimized(r: &Rewritten) -> Optimized {
    Optimized { text: r.graph.to_text(), applied: r.applied.clone(), remarks: r.remarks.clone() }
}

/// These shapes, completed by those the model fixes, and checked.
pub(crate) fn key(model: &Model, shapes: &[(&str, &[usize])]) -> Result<Key> {
    let mut key = Vec::new();
    for info in model.inputs() {
        let given = shapes.iter().find(|(n, _)| *n == info.name).map(|(_, s)| s.to_vec());
        let shape = given
            .or_else(|| info.known_shape())
            .ok_or_else(|| Error::invalid(format!("input '{}' has symbolic dimensions: give it a shape", info.name)))?;
        key.push((shape, None));
    }
    if let Some((name, _)) = shapes.iter().find(|(n, _)| !model.inputs().iter().any(|i| i.name == *n)) {
        return Err(Error::invalid(format!("there is no input '{name}'")));
    }
    let key = Key(key);
    bind::check_key(&model.0.graph, &key)?;
    Ok(key)
}

/// The numbers of the model with these input shapes.
pub(crate) fn stats_for(model: &Model, shapes: &[(&str, &[usize])]) -> Result<Stats> {
    Ok(stats(&bind::bind(&model.0.graph, &key(model, shapes)?)?))
}

pub(crate) fn explain(model: &Model, options: &Options, shapes: &[(&str, &[usize])]) -> Result<Explanation> {
    let key = key(model, shapes)?;
    let inner = &model.0;
    let machine = model::machine(options);
    let rewritten = inner.rewritten(options)?;
    let program = inner.program(options, &machine, &inner.registry(options), &key)?;
    let (applied, remarks) = (rewritten.applied.clone(), rewritten.remarks.clone());
    let m = program.plan.memory();
    let memory = MemoryReport {
        arena_bytes: m.arena,
        arena_bound_bytes: m.arena_bound,
        scratch_bytes: m.shared_scratch + m.worker_scratch,
        packed_bytes: m.packed,
        constant_bytes: m.constants,
    };
    Ok(Explanation { applied, remarks, layers: program.plan.layers.clone(), memory })
}

pub(crate) fn stats(graph: &Graph) -> Stats {
    let total = graph.stats();
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut layers = Vec::new();
    for (id, s) in graph.node_stats() {
        let Some(node) = graph.node(id) else { continue };
        *counts.entry(node.op.name()).or_default() += 1;
        layers.push(LayerStats {
            name: node.name.clone(),
            op: node.op.name().into(),
            shape: node.output(0).map_or(String::new(), |v| graph.ty(v).to_string()),
            params: s.params,
            macs: s.macs,
            memory_access: s.memory_elements,
            weight_bytes: s.weight_bytes,
        });
    }
    let mut ops: Vec<(String, usize)> = counts.into_iter().map(|(n, c)| (n.into(), c)).collect();
    ops.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    Stats {
        params: total.params,
        macs: total.macs,
        flops: total.flops(),
        memory_access: total.memory_elements,
        memory_bytes: total.memory_bytes,
        weight_bytes: total.weight_bytes,
        ops,
        layers,
    }
}
