//! A proposed change of the graph.

use paring_ir::{Node, NodeId, Op, Tensor, ValueId};
use std::sync::Arc;

/// New constants and nodes, values that take the place of others, and nodes that go.
///
/// Made by [`crate::PassCx::patch`]. The names of new values are final: a patch must be applied before another one
/// is begun. Nothing is checked here; that is the driver's part.
#[derive(Clone, Debug)]
pub struct Patch {
    pub(crate) node: NodeId,
    pub(crate) what: String,
    pub(crate) base: usize,
    next: usize,
    pub(crate) items: Vec<Item>,
    pub(crate) replaced: Vec<(ValueId, ValueId)>,
    pub(crate) removed: Vec<NodeId>,
    pub(crate) dropped: Vec<(NodeId, usize)>,
}

#[derive(Clone, Debug)]
pub(crate) enum Item {
    Constant {
        name: String,
        tensor: Arc<Tensor>,
    },
    /// A node without outputs, and how many it is to get.
    Node {
        node: Box<Node>,
        outputs: usize,
    },
}

impl Patch {
    pub(crate) fn new(node: NodeId, what: String, base: usize) -> Patch {
        Patch {
            node,
            what,
            base,
            next: base,
            items: Vec::new(),
            replaced: Vec::new(),
            removed: Vec::new(),
            dropped: Vec::new(),
        }
    }

    fn allocate(&mut self, n: usize) -> Vec<ValueId> {
        let first = self.next;
        self.next += n;
        (first..self.next).map(|i| ValueId(i as u32)).collect()
    }

    /// Whether a new node reads `v`.
    pub(crate) fn reads(&self, v: ValueId) -> bool {
        self.items.iter().any(|item| matches!(item, Item::Node { node, .. } if node.inputs.contains(&Some(v))))
    }

    /// Adds a constant.
    pub fn constant(&mut self, name: &str, tensor: impl Into<Arc<Tensor>>) -> ValueId {
        self.items.push(Item::Constant { name: name.into(), tensor: tensor.into() });
        self.allocate(1)[0]
    }

    /// Adds a node with one output.
    pub fn op(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> ValueId {
        let inputs = inputs.iter().map(|&v| Some(v)).collect();
        self.node(Node { name: name.into(), op, inputs, outputs: Vec::new(), epilogue: Vec::new() }, 1)[0]
    }

    /// Adds `node`, whose own list of outputs is ignored, with `outputs` new outputs.
    pub fn node(&mut self, node: Node, outputs: usize) -> Vec<ValueId> {
        self.items.push(Item::Node { node: Box::new(Node { outputs: Vec::new(), ..node }), outputs });
        self.allocate(outputs)
    }

    /// Makes all that read `old`, outputs of the graph included, read `new`.
    #[must_use]
    pub fn replace(mut self, old: ValueId, new: ValueId) -> Patch {
        self.replaced.push((old, new));
        self
    }

    /// Removes a node. The driver declines the patch where one of its outputs is neither replaced nor used by removed
    /// nodes only.
    #[must_use]
    pub fn remove(mut self, node: NodeId) -> Patch {
        self.removed.push(node);
        self
    }

    /// Marks output `index` of a node as unwanted.
    #[must_use]
    pub fn drop_output(mut self, node: NodeId, index: usize) -> Patch {
        self.dropped.push((node, index));
        self
    }
}
