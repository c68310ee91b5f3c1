//! What a pass sees of the graph, and the gate through which it changes it.

use crate::{Applied, Evaluator, OptError, Options, Patch, Remark, Report, passes::fold, patch::Item};
use paring_ir::{Fact, Graph, GraphError, Node, NodeId, TensorType, ValueId};

/// One rewriting of the graph.
pub trait Pass: Sync {
    /// The name in reports and options.
    fn name(&self) -> &'static str;

    /// Looks over the whole graph once and applies what it finds.
    ///
    /// # Errors
    /// Those of [`PassCx::apply`].
    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError>;
}

/// What a rule makes of a node that it knows.
#[derive(Clone, Debug)]
pub enum Proposal {
    /// Change the graph so.
    Patch(Patch),
    /// The pattern is there but must stay, for this reason.
    Decline(String),
}

impl From<Patch> for Proposal {
    fn from(p: Patch) -> Proposal {
        Proposal::Patch(p)
    }
}

/// The graph, an index of it, and the driver's state while a pass runs.
pub struct PassCx<'a> {
    graph: &'a mut Graph,
    evaluator: &'a dyn Evaluator,
    options: &'a Options,
    report: &'a mut Report,
    pass: &'static str,
    uses: Vec<Vec<(NodeId, usize)>>,
    outputs: Vec<u32>,
    fresh: Vec<NodeId>,
    next_node: usize,
    stale: bool,
}

impl<'a> PassCx<'a> {
    pub(crate) fn new(
        graph: &'a mut Graph,
        evaluator: &'a dyn Evaluator,
        options: &'a Options,
        report: &'a mut Report,
        pass: &'static str,
    ) -> PassCx<'a> {
        let uses = graph.uses();
        let mut outputs = vec![0; uses.len()];
        for o in graph.outputs() {
            outputs[o.value.index()] += 1;
        }
        let next_node = graph.nodes().last().map_or(0, |(id, _)| id.index() + 1);
        PassCx { graph, evaluator, options, report, pass, uses, outputs, fresh: Vec::new(), next_node, stale: false }
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        self.graph
    }

    /// The options of this run.
    pub fn options(&self) -> &Options {
        self.options
    }

    /// Whatever computes constants.
    pub fn evaluator(&self) -> &dyn Evaluator {
        self.evaluator
    }

    /// The nodes and input indices that read `v`; an output of the graph is not among them.
    pub fn uses(&self, v: ValueId) -> &[(NodeId, usize)] {
        self.uses.get(v.index()).map_or(&[], Vec::as_slice)
    }

    /// Whether `v` is an output of the graph.
    pub fn is_output(&self, v: ValueId) -> bool {
        self.outputs.get(v.index()).is_some_and(|&n| n > 0)
    }

    /// Whether one input of one node, and nothing else, reads `v`.
    pub fn has_one_use(&self, v: ValueId) -> bool {
        self.uses(v).len() == 1 && !self.is_output(v)
    }

    /// Begins a patch about `node`.
    pub fn patch(&self, node: NodeId, what: impl Into<String>) -> Patch {
        Patch::new(node, what.into(), self.graph.value_count())
    }

    /// Puts `new` in the place of `node`, output for output.
    pub fn exchange(&self, id: NodeId, node: &Node, new: Node, what: impl Into<String>) -> Patch {
        let mut patch = self.patch(id, what);
        let outputs = patch.node(new, node.outputs.len());
        for (old, new) in node.outputs.iter().zip(outputs) {
            if let Some(old) = old {
                patch = patch.replace(*old, new);
            }
        }
        patch.remove(id)
    }

    /// Whether no more steps may be taken.
    pub fn exhausted(&self) -> bool {
        self.report.steps >= self.options.stop_at.unwrap_or(usize::MAX).min(self.options.max_steps)
    }

    /// Notes why something at `node` was left as it is.
    pub fn remark(&mut self, node: NodeId, reason: impl Into<String>) {
        let name = self.graph.node(node).map_or(String::new(), |n| n.name.clone());
        self.report.remark(Remark { pass: self.pass, node: name, reason: reason.into() });
    }

    /// Shows every node to `rule`, each after those it reads from, and applies what the rule proposes. New nodes are
    /// shown to it as well, at once.
    ///
    /// # Errors
    /// Those of [`PassCx::apply`].
    pub fn sweep(&mut self, rule: impl Fn(&PassCx<'_>, NodeId, &Node) -> Option<Proposal>) -> Result<(), OptError> {
        let mut queue = self.graph.order()?;
        queue.reverse();
        while let Some(id) = queue.pop() {
            if self.exhausted() {
                break;
            }
            let Some(node) = self.graph.node(id) else { continue };
            match rule(self, id, node) {
                None => {}
                Some(Proposal::Decline(reason)) => self.remark(id, reason),
                Some(Proposal::Patch(patch)) => {
                    // A patch that was declined leaves nothing fresh.
                    self.apply(patch)?;
                    queue.extend(self.fresh.drain(..).rev());
                }
            }
        }
        Ok(())
    }

    /// Applies a patch, unless it would take away something that is still wanted or does not fit; that is noted as a
    /// remark. Returns whether it was applied.
    ///
    /// # Errors
    /// [`OptError::Broken`] where verification is on and the graph is not well formed afterwards.
    pub fn apply(&mut self, patch: Patch) -> Result<bool, OptError> {
        self.fresh.clear();
        if self.exhausted() {
            return Ok(false);
        }
        debug_assert_eq!(patch.base, self.graph.value_count(), "a patch must be applied before the next is begun");
        let about = self.graph.node(patch.node).map_or(String::new(), |n| n.name.clone());
        if let Err(reason) = self.check_removal(&patch).and_then(|()| self.insert(&patch)) {
            self.report.remark(Remark {
                pass: self.pass,
                node: about,
                reason: format!("{}: declined, {reason}", patch.what),
            });
            return Ok(false);
        }
        for &(old, new) in &patch.replaced {
            self.redirect(old, new);
        }
        for &id in &patch.removed {
            self.remove(id);
        }
        for &(id, index) in &patch.dropped {
            if let Some(slot) = self.graph.node_mut(id).and_then(|n| n.outputs.get_mut(index))
                && let Some(v) = slot.take()
            {
                self.graph.value_mut(v).producer = None;
            }
        }
        self.report.steps += 1;
        self.report.applied.push(Applied { pass: self.pass, node: about, what: patch.what.clone() });
        // A whole verification per step of a huge graph would be quadratic: there it is once per pass.
        if self.options.verify && self.graph.node_count() <= VERIFY_EACH_STEP {
            self.settle()?;
        }
        Ok(true)
    }

    /// Brings facts up to date and verifies, where that is called for.
    pub(crate) fn settle(&mut self) -> Result<(), OptError> {
        let stale = core::mem::take(&mut self.stale);
        let fresh = if stale { self.refresh_facts() } else { Ok(()) };
        let checked = fresh.and_then(|()| if self.options.verify { self.graph.verify() } else { Ok(()) });
        checked.map_err(|source| match source {
            // Not the pass broke the graph: a constant that was computed just now does not fit.
            source @ GraphError::Infer { .. } if self.pass == fold::NAME => OptError::Graph(source),
            source => OptError::Broken {
                pass: self.pass,
                step: self.report.steps,
                what: self.report.applied.last().map_or(String::new(), |a| format!("{} at '{}'", a.what, a.node)),
                source: Box::new(source),
            },
        })
    }

    /// Infers everything anew, and keeps what was known beyond that (a user's shape function is not asked here).
    fn refresh_facts(&mut self) -> Result<(), GraphError> {
        for id in self.graph.order()? {
            let Some(node) = self.graph.node(id).cloned() else { continue };
            let facts = self.graph.infer_node(&node, node.outputs.len())?;
            for (v, fact) in node.outputs.iter().zip(facts) {
                if let Some(v) = *v {
                    let joined = join(&self.graph.value(v).fact, &fact);
                    self.graph.value_mut(v).fact = joined;
                }
            }
        }
        Ok(())
    }

    fn check_removal(&self, patch: &Patch) -> Result<(), String> {
        for &id in &patch.removed {
            let Some(node) = self.graph.node(id) else { return Err("a node is already gone".into()) };
            for &v in node.outputs.iter().flatten() {
                let name = &self.graph.value(v).name;
                if patch.reads(v) {
                    return Err(format!("'{name}' would still be read"));
                }
                if patch.replaced.iter().any(|r| r.0 == v) {
                    continue;
                }
                if self.is_output(v) {
                    return Err(format!("'{name}' is an output of the graph"));
                }
                if self.uses(v).iter().any(|(user, _)| !patch.removed.contains(user)) {
                    return Err(format!("'{name}' has other users"));
                }
            }
        }
        Ok(())
    }

    /// Adds the constants and nodes, and checks that the new values fit where they are to go.
    fn insert(&mut self, patch: &Patch) -> Result<(), String> {
        let mut inserted = Vec::new();
        let result = patch.items.iter().try_for_each(|item| match item {
            Item::Constant { name, tensor } => {
                self.graph.add_constant(name, tensor.clone());
                Ok(())
            }
            Item::Node { node, outputs } => {
                inserted.push(self.insert_node(node, *outputs).map_err(|e| e.to_string())?);
                Ok(())
            }
        });
        let result = result.and_then(|()| patch.replaced.iter().try_for_each(|&(old, new)| self.fit(old, new)));
        self.uses.resize(self.graph.value_count(), Vec::new());
        self.outputs.resize(self.graph.value_count(), 0);
        if result.is_err() {
            for id in inserted {
                self.graph.remove(id);
            }
            return result;
        }
        for id in inserted {
            let node = self.graph.node(id).expect("inserted above");
            for (i, v) in node.inputs.iter().enumerate() {
                if let Some(v) = v {
                    self.uses[v.index()].push((id, i));
                }
            }
            self.fresh.push(id);
        }
        Ok(())
    }

    fn insert_node(&mut self, node: &Node, outputs: usize) -> Result<NodeId, GraphError> {
        let facts = self.graph.infer_node(node, outputs)?;
        let mut ids = Vec::with_capacity(outputs);
        for (i, fact) in facts.into_iter().enumerate() {
            let name = if i == 0 { node.name.clone() } else { format!("{}.{i}", node.name) };
            ids.push(Some(self.graph.add_value(&name, fact)));
        }
        self.next_node += 1;
        self.graph.insert(Node { outputs: ids, ..node.clone() })
    }

    /// Checks that `new` can stand for `old`, and joins what is known of both.
    fn fit(&mut self, old: ValueId, new: ValueId) -> Result<(), String> {
        let (before, after) = (&self.graph.value(old).fact, &self.graph.value(new).fact);
        if !compatible(&before.ty, &after.ty) {
            return Err(format!("{} is not {}", after.ty, before.ty));
        }
        if after.constant.is_some() || before == after {
            return Ok(());
        }
        let joined = join(before, after);
        self.stale |= joined.ty != before.ty || joined.symbolic != before.symbolic;
        self.graph.value_mut(new).fact = joined;
        Ok(())
    }

    fn redirect(&mut self, old: ValueId, new: ValueId) {
        if old == new {
            return;
        }
        let users = core::mem::take(&mut self.uses[old.index()]);
        for &(user, i) in &users {
            if let Some(node) = self.graph.node_mut(user) {
                node.inputs[i] = Some(new);
            }
        }
        self.uses[new.index()].extend(users);
        let outputs = core::mem::take(&mut self.outputs[old.index()]);
        if outputs > 0 {
            self.outputs[new.index()] += outputs;
            let mut list = self.graph.outputs().to_vec();
            list.iter_mut().filter(|o| o.value == old).for_each(|o| o.value = new);
            self.graph.set_outputs(list);
        }
        // The value that took the place keeps the name by which people know it.
        if self.fresh.iter().any(|id| self.graph.producer(new).is_some_and(|(p, _)| p == *id)) {
            let name = core::mem::take(&mut self.graph.value_mut(old).name);
            self.graph.value_mut(new).name = name;
        }
    }

    fn remove(&mut self, id: NodeId) {
        if let Some(node) = self.graph.remove(id) {
            for v in node.inputs.iter().flatten() {
                self.uses[v.index()].retain(|(user, _)| *user != id);
            }
        }
    }
}

/// Above this many nodes the graph is verified after each pass rather than after each step.
const VERIFY_EACH_STEP: usize = 300;

/// Whether a value of type `b` may stand where one of type `a` was.
fn compatible(a: &TensorType, b: &TensorType) -> bool {
    a.dtype == b.dtype
        && match (&a.shape, &b.shape) {
            (Some(a), Some(b)) => {
                a.len() == b.len()
                    && a.iter().zip(b).all(|(a, b)| match (a.as_i64(), b.as_i64()) {
                        (Some(a), Some(b)) => a == b,
                        _ => true,
                    })
            }
            _ => true,
        }
}

/// All that is known of one value from two facts about it, the second the newer; where both know, the first stays.
fn join(a: &Fact, b: &Fact) -> Fact {
    let mut out = a.clone();
    match (&mut out.ty.shape, &b.ty.shape) {
        (Some(dims), Some(other)) => {
            for (d, o) in dims.iter_mut().zip(other) {
                if d.as_i64().is_none() && o.as_i64().is_some() {
                    *d = o.clone();
                }
            }
        }
        (shape @ None, Some(other)) => *shape = Some(other.clone()),
        _ => {}
    }
    out.symbolic = out.symbolic.or_else(|| b.symbolic.clone());
    // What integers stand for is for those to say who make them.
    out.ty.quant = b.ty.quant.clone();
    out
}
