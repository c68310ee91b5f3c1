//! What a network costs, by counting.

use crate::{Dim, Graph, Node, NodeId, TensorType, ValueId};
use alloc::{collections::BTreeSet, vec::Vec};
use paring_core::{DType, Op, op::Cell, op::Direction};

/// Counts of one node, or of a whole graph. What depends on unknown dimensions is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Elements of constant operands, without shapes, indices and the like.
    pub params: u64,
    /// Bytes of those.
    pub weight_bytes: u64,
    /// Multiplications with an addition, of convolutions, matrix products and recurrent layers. Padding counts, as is
    /// usual; biases do not.
    pub macs: Option<u64>,
    /// Elements read and written: activations in and out, and weights, each once.
    pub memory_elements: Option<u64>,
    /// Bytes of those.
    pub memory_bytes: Option<u64>,
}

impl Stats {
    /// Floating-point operations: two for each of [`Stats::macs`].
    pub fn flops(&self) -> Option<u64> {
        self.macs?.checked_mul(2)
    }
}

impl Graph {
    /// Counts of each node, in order of execution where there is one.
    pub fn node_stats(&self) -> Vec<(NodeId, Stats)> {
        let order = self.order().unwrap_or_else(|_| self.nodes().map(|(id, _)| id).collect());
        order.into_iter().filter_map(|id| Some((id, self.stats_of(self.node(id)?)))).collect()
    }

    /// Counts of one node, which may belong to a graph under construction.
    pub fn stats_of(&self, node: &Node) -> Stats {
        let mut stats = Stats { macs: self.macs(node), ..Stats::default() };
        let mut elements = Some(0u64);
        let mut bytes = Some(0u64);
        let mut seen = BTreeSet::new();
        for (i, &v) in node.inputs.iter().enumerate() {
            let Some(v) = v.filter(|&v| self.contains(v) && seen.insert(v)) else { continue };
            if self.is_weight(node, i, v) {
                let (n, b) = size(self.ty(v)).unwrap_or_default();
                stats.params = stats.params.saturating_add(n);
                stats.weight_bytes = stats.weight_bytes.saturating_add(b);
            }
            (elements, bytes) = add(elements, bytes, size(self.ty(v)));
        }
        for &v in node.outputs.iter().flatten().filter(|v| self.contains(**v)) {
            (elements, bytes) = add(elements, bytes, size(self.ty(v)));
        }
        Stats { memory_elements: elements, memory_bytes: bytes, ..stats }
    }

    /// Counts of the whole graph. A constant that several nodes read counts once as parameters.
    pub fn stats(&self) -> Stats {
        let mut total = Stats { macs: Some(0), memory_elements: Some(0), memory_bytes: Some(0), ..Stats::default() };
        let mut seen = BTreeSet::new();
        for (_, node) in self.nodes() {
            let s = self.stats_of(node);
            let sum = |a: Option<u64>, b: Option<u64>| a?.checked_add(b?);
            total.macs = sum(total.macs, s.macs);
            total.memory_elements = sum(total.memory_elements, s.memory_elements);
            total.memory_bytes = sum(total.memory_bytes, s.memory_bytes);
            for (i, &v) in node.inputs.iter().enumerate() {
                let Some(v) = v.filter(|&v| self.contains(v) && self.is_weight(node, i, v) && seen.insert(v)) else {
                    continue;
                };
                let (n, b) = size(self.ty(v)).unwrap_or_default();
                total.params = total.params.saturating_add(n);
                total.weight_bytes = total.weight_bytes.saturating_add(b);
            }
        }
        total
    }

    /// Whether operand `i` was trained rather than tells a shape or places.
    fn is_weight(&self, node: &Node, i: usize, v: ValueId) -> bool {
        self.constant(v).is_some()
            && !node.op.shape_operands().contains(&i)
            && !matches!(self.ty(v).dtype, DType::I64 | DType::U64 | DType::Bool)
    }

    fn macs(&self, node: &Node) -> Option<u64> {
        let ty = |v: Option<ValueId>| v.filter(|&v| self.contains(v)).map(|v| self.ty(v));
        let known = |v: Option<ValueId>| ty(v)?.known_shape();
        match &node.op {
            Op::Conv(_) | Op::ConvInteger(_) => {
                per_output(count(&self.type_before_pooling(node)?)?, known(node.input(1))?.get(1..)?)
            }
            Op::ConvTranspose(_) => per_output(count(ty(node.input(0))?)?, known(node.input(1))?.get(1..)?),
            Op::Dense(_) | Op::MatMul | Op::MatMulInteger => {
                let depth = ty(node.input(0))?.shape.as_ref()?.last().and_then(Dim::known)?;
                per_output(count(ty(node.output(0))?)?, &[depth])
            }
            Op::Recurrent(a) => {
                let x = known(node.input(0))?;
                let gates = match a.cell {
                    Cell::Lstm => 4,
                    Cell::Gru { .. } => 3,
                    Cell::Plain => 1,
                };
                let directions = if a.direction == Direction::Bidirectional { 2 } else { 1 };
                let rows = a.hidden.checked_mul(gates)?;
                per_output(1, &[*x.first()?, *x.get(1)?, directions, rows, x.get(2)?.checked_add(a.hidden)?])
            }
            _ => Some(0),
        }
    }
}

fn per_output(outputs: u64, depth: &[usize]) -> Option<u64> {
    depth.iter().try_fold(outputs, |n, &d| n.checked_mul(d as u64))
}

fn count(ty: &TensorType) -> Option<u64> {
    Some(paring_core::numel(&ty.known_shape()?).ok()? as u64)
}

/// Elements and bytes.
fn size(ty: &TensorType) -> Option<(u64, u64)> {
    let n = count(ty)?;
    Some((n, ty.dtype.bytes(n as usize)? as u64))
}

fn add(elements: Option<u64>, bytes: Option<u64>, more: Option<(u64, u64)>) -> (Option<u64>, Option<u64>) {
    let Some((n, b)) = more else { return (None, None) };
    (elements.and_then(|e| e.checked_add(n)), bytes.and_then(|e| e.checked_add(b)))
}
