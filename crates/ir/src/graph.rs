//! The graph itself.

use crate::{Fact, GraphError, Node, NodeId, TensorType, ValueId};
use alloc::{collections::BinaryHeap, format, string::String, sync::Arc, vec, vec::Vec};
use core::cmp::Reverse;
use paring_core::{Op, Tensor};

/// One value: an input, a constant, or the output of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// A name for people; need not be unique.
    pub name: String,
    /// What is known of it.
    pub fact: Fact,
    /// The node and the output index that make it; `None` for inputs and constants.
    pub producer: Option<(NodeId, usize)>,
}

/// One named result of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The name that callers ask for.
    pub name: String,
    /// The value.
    pub value: ValueId,
}

/// A network: values, nodes, inputs and outputs. Nodes are kept in no particular order; see [`Graph::order`].
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The network's name.
    pub name: String,
    values: Vec<Value>,
    nodes: Vec<Option<Node>>,
    inputs: Vec<ValueId>,
    outputs: Vec<Output>,
    symbols: u32,
}

impl Graph {
    /// An empty graph.
    pub fn new(name: &str) -> Graph {
        Graph { name: name.into(), ..Graph::default() }
    }

    /// An empty graph of the same name whose fresh symbols are not those of this one.
    pub fn emptied(&self) -> Graph {
        Graph { name: self.name.clone(), symbols: self.symbols, ..Graph::default() }
    }

    // ---- looking

    /// All values ever made, by index; some may be dead.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        self.values.iter().enumerate().map(|(i, v)| (ValueId(i as u32), v))
    }

    /// All nodes, in the order they were added.
    pub fn nodes(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().filter_map(|(i, n)| Some((NodeId(i as u32), n.as_ref()?)))
    }

    /// Number of values, dead ones included; [`ValueId::index`] is below this.
    pub fn value_count(&self) -> usize {
        self.values.len()
    }

    /// Number of nodes.
    pub fn node_count(&self) -> usize {
        self.nodes.iter().flatten().count()
    }

    /// The inputs.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// The outputs.
    pub fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// A value.
    ///
    /// # Panics
    /// Where `v` is not of this graph.
    pub fn value(&self, v: ValueId) -> &Value {
        &self.values[v.index()]
    }

    /// A value, to change its name or fact.
    ///
    /// # Panics
    /// Where `v` is not of this graph.
    pub fn value_mut(&mut self, v: ValueId) -> &mut Value {
        &mut self.values[v.index()]
    }

    /// Whether `v` is one of the values of this graph.
    pub fn contains(&self, v: ValueId) -> bool {
        v.index() < self.values.len()
    }

    /// A node, unless it was removed.
    pub fn node(&self, n: NodeId) -> Option<&Node> {
        self.nodes.get(n.index())?.as_ref()
    }

    /// A node, to change. Whoever changes operands or operator calls [`Graph::reinfer`] or sets the facts.
    pub fn node_mut(&mut self, n: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(n.index())?.as_mut()
    }

    /// The type of a value.
    pub fn ty(&self, v: ValueId) -> &TensorType {
        &self.value(v).fact.ty
    }

    /// The elements of a constant.
    pub fn constant(&self, v: ValueId) -> Option<&Arc<Tensor>> {
        self.value(v).fact.constant.as_ref()
    }

    /// The node and output index that make `v`.
    pub fn producer(&self, v: ValueId) -> Option<(NodeId, usize)> {
        self.value(v).producer
    }

    /// Whether `v` is an output of the graph.
    pub fn is_output(&self, v: ValueId) -> bool {
        self.outputs.iter().any(|o| o.value == v)
    }

    /// The uses of every value, by [`ValueId::index`]: node and input index, in node order. An output of the graph is
    /// not a use here.
    pub fn uses(&self) -> Vec<Vec<(NodeId, usize)>> {
        let mut uses = vec![Vec::new(); self.values.len()];
        for (id, node) in self.nodes() {
            for (i, v) in node.inputs.iter().enumerate() {
                if let Some(v) = v {
                    uses[v.index()].push((id, i));
                }
            }
        }
        uses
    }

    /// The nodes so that each comes after those it reads from; among free ones, in the order they were added.
    ///
    /// # Errors
    /// [`GraphError::Cycle`].
    pub fn order(&self) -> Result<Vec<NodeId>, GraphError> {
        let mut waiting: Vec<usize> = vec![0; self.nodes.len()];
        let mut readers: Vec<Vec<NodeId>> = vec![Vec::new(); self.nodes.len()];
        let mut ready = BinaryHeap::new();
        for (id, node) in self.nodes() {
            for v in node.inputs.iter().flatten() {
                if let Some((producer, _)) = self.values.get(v.index()).and_then(|v| v.producer) {
                    waiting[id.index()] += 1;
                    readers[producer.index()].push(id);
                }
            }
            if waiting[id.index()] == 0 {
                ready.push(Reverse(id));
            }
        }
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(Reverse(id)) = ready.pop() {
            order.push(id);
            for &reader in &readers[id.index()] {
                waiting[reader.index()] -= 1;
                if waiting[reader.index()] == 0 {
                    ready.push(Reverse(reader));
                }
            }
        }
        match self.nodes().find(|(id, _)| waiting[id.index()] > 0) {
            Some((_, node)) => Err(GraphError::Cycle { node: node.name.clone() }),
            None => Ok(order),
        }
    }

    /// Symbols of the dimensions of the inputs, each once, in order.
    pub fn symbols(&self) -> Vec<Arc<str>> {
        let mut out: Vec<Arc<str>> = Vec::new();
        for &v in &self.inputs {
            for s in self.ty(v).shape.iter().flatten().flat_map(crate::Dim::symbols) {
                if !out.contains(&s) {
                    out.push(s);
                }
            }
        }
        out
    }

    // ---- building

    /// Adds an input.
    pub fn add_input(&mut self, name: &str, ty: TensorType) -> ValueId {
        let v = self.add_value(name, Fact::of(ty));
        self.inputs.push(v);
        v
    }

    /// Adds a constant.
    pub fn add_constant(&mut self, name: &str, tensor: impl Into<Arc<Tensor>>) -> ValueId {
        self.add_value(name, Fact::constant(tensor.into()))
    }

    /// Makes `v` an output called `name`.
    pub fn add_output(&mut self, name: &str, v: ValueId) {
        self.outputs.push(Output { name: name.into(), value: v });
    }

    /// Adds a value that neither is an input nor has a producer yet.
    pub fn add_value(&mut self, name: &str, fact: Fact) -> ValueId {
        self.values.push(Value { name: name.into(), fact, producer: None });
        ValueId((self.values.len() - 1) as u32)
    }

    /// Adds a node whose outputs are existing values without a producer.
    ///
    /// # Errors
    /// [`GraphError::ProducedTwice`] and [`GraphError::NoSuchValue`].
    pub fn insert(&mut self, node: Node) -> Result<NodeId, GraphError> {
        let id = NodeId(self.nodes.len() as u32);
        for v in node.inputs.iter().chain(&node.outputs).flatten() {
            if !self.contains(*v) {
                return Err(GraphError::NoSuchValue { node: node.name.clone(), value: v.0 });
            }
        }
        for (i, v) in node.outputs.iter().enumerate() {
            let Some(v) = *v else { continue };
            let taken = match self.values[v.index()].producer {
                Some((first, _)) => Some(self.node(first).map_or(String::new(), |n| n.name.clone())),
                None if self.inputs.contains(&v) => Some("the inputs".into()),
                None if self.constant(v).is_some() => Some("the constants".into()),
                None => None,
            };
            if let Some(first) = taken {
                let value = self.value(v).name.clone();
                return Err(GraphError::ProducedTwice { value, first, second: node.name.clone() });
            }
            self.values[v.index()].producer = Some((id, i));
        }
        self.nodes.push(Some(node));
        Ok(id)
    }

    /// A name for a symbol that no other has.
    pub fn fresh_symbol(&mut self) -> crate::Dim {
        self.symbols = self.symbols.saturating_add(1);
        crate::Dim::symbol(&format!("?{}", self.symbols))
    }

    /// Keeps [`Graph::fresh_symbol`] from making any of the first `n` symbols.
    pub(crate) fn reserve_symbols(&mut self, n: u32) {
        self.symbols = self.symbols.max(n);
    }

    // ---- changing

    /// Makes every reader of `old`, and every output that is `old`, take `new` instead.
    pub fn replace_uses(&mut self, old: ValueId, new: ValueId) {
        for node in self.nodes.iter_mut().flatten() {
            for v in node.inputs.iter_mut().flatten() {
                if *v == old {
                    *v = new;
                }
            }
        }
        for o in &mut self.outputs {
            if o.value == old {
                o.value = new;
            }
        }
    }

    /// Removes a node; its outputs lose their producer.
    pub fn remove(&mut self, n: NodeId) -> Option<Node> {
        let node = self.nodes.get_mut(n.index())?.take()?;
        for v in node.outputs.iter().flatten() {
            self.values[v.index()].producer = None;
        }
        Some(node)
    }

    /// Turns a computed value into a constant: its producer forgets it.
    pub fn make_constant(&mut self, v: ValueId, tensor: Arc<Tensor>) {
        if let Some((n, i)) = self.values[v.index()].producer.take()
            && let Some(node) = self.node_mut(n)
        {
            node.outputs[i] = None;
        }
        self.values[v.index()].fact = Fact::constant(tensor);
    }

    /// Removes nodes none of whose outputs anybody uses. Returns how many went.
    pub fn remove_dead(&mut self) -> usize {
        let mut live = vec![false; self.nodes.len()];
        let mut stack: Vec<NodeId> =
            self.outputs.iter().filter_map(|o| self.values[o.value.index()].producer.map(|p| p.0)).collect();
        while let Some(id) = stack.pop() {
            if core::mem::replace(&mut live[id.index()], true) {
                continue;
            }
            if let Some(node) = self.node(id) {
                stack.extend(node.inputs.iter().flatten().filter_map(|v| Some(self.values[v.index()].producer?.0)));
            }
        }
        let dead: Vec<NodeId> = self.nodes().map(|(id, _)| id).filter(|id| !live[id.index()]).collect();
        for &id in &dead {
            self.remove(id);
        }
        dead.len()
    }

    /// Replaces the list of inputs, for passes that specialise one away.
    pub fn set_inputs(&mut self, inputs: Vec<ValueId>) {
        self.inputs = inputs;
    }

    /// Replaces the outputs.
    pub fn set_outputs(&mut self, outputs: Vec<Output>) {
        self.outputs = outputs;
    }

    /// Whether some node applies this operator.
    pub fn has_op(&self, test: impl Fn(&Op) -> bool) -> bool {
        self.nodes().any(|(_, n)| test(&n.op))
    }
}
