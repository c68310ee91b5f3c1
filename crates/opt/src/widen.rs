//! Half precision as single precision.
//!
//! Few machines compute in sixteen bits, so a network of `f16` or `bf16` runs in `f32`: its inputs are widened, its
//! constants too, and its outputs are rounded as they leave. What lies between is not rounded, which is never less exact.

use paring_core::{DType, Tensor, op::CastAttrs};
use paring_ir::{Fact, Graph, GraphError, Node, Op, ValueId};
use std::{collections::HashMap, sync::Arc};

/// The name of this pass.
pub(crate) const NAME: &str = "widen-halves";

fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

fn widened(dtype: DType) -> DType {
    if is_half(dtype) { DType::F32 } else { dtype }
}

/// The graph in single precision, where it is in half precision anywhere; `None` where it is not, or an operator of the
/// user's own may depend on it.
///
/// # Errors
/// [`GraphError`] where the graph is not well formed.
pub(crate) fn widen(graph: &Graph) -> Result<Option<Graph>, GraphError> {
    let half = |v: &Option<ValueId>| v.is_some_and(|v| is_half(graph.ty(v).dtype));
    let computes = |n: &Node| !matches!(n.op, Op::Cast(_)) && n.inputs.iter().chain(&n.outputs).any(half);
    if !graph.nodes().any(|(_, n)| computes(n)) || graph.has_op(|op| matches!(op, Op::Custom(_))) {
        return Ok(None);
    }
    let mut wide = Wide { from: graph, to: graph.emptied(), values: HashMap::new() };
    for &v in graph.inputs() {
        let value = graph.value(v);
        let mut new = wide.to.add_input(&value.name, value.fact.ty.clone());
        if is_half(value.fact.ty.dtype) {
            new = wide.cast(&format!("{}.wide", value.name), new, DType::F32)?;
        }
        wide.values.insert(v, new);
    }
    for id in graph.order()? {
        if let Some(node) = graph.node(id) {
            wide.node(node)?;
        }
    }
    for output in graph.outputs() {
        let mut v = wide.value(output.value);
        let dtype = graph.ty(output.value).dtype;
        if is_half(dtype) {
            v = wide.cast(&output.name, v, dtype)?;
        }
        wide.to.add_output(&output.name, v);
    }
    Ok(Some(wide.to))
}

struct Wide<'a> {
    from: &'a Graph,
    to: Graph,
    /// The new value for each old one that has one yet.
    values: HashMap<ValueId, ValueId>,
}

impl Wide<'_> {
    fn cast(&mut self, name: &str, v: ValueId, to: DType) -> Result<ValueId, GraphError> {
        self.to.append_one(name, Op::Cast(CastAttrs { to }), &[v])
    }

    /// The new value for `v`: constants are made on first sight.
    fn value(&mut self, v: ValueId) -> ValueId {
        if let Some(&new) = self.values.get(&v) {
            return new;
        }
        let value = self.from.value(v);
        let new = match &value.fact.constant {
            Some(t) => self.to.add_constant(&value.name, wide_tensor(t)),
            None => self.to.add_value(&value.name, wide_fact(&value.fact)),
        };
        self.values.insert(v, new);
        new
    }

    fn node(&mut self, node: &Node) -> Result<(), GraphError> {
        let inputs = node.inputs.iter().map(|v| v.map(|v| self.value(v))).collect();
        let outputs = node.outputs.iter().map(|v| v.map(|v| self.value(v))).collect();
        self.to.insert(Node { op: wide_op(&node.op), inputs, outputs, ..node.clone() }).map(drop)
    }
}

fn wide_tensor(t: &Arc<Tensor>) -> Arc<Tensor> {
    let wide = || {
        let values: Vec<f32> = t.to_f64s()?.into_iter().map(|x| x as f32).collect();
        Tensor::new(t.shape(), &values).ok().map(Arc::new)
    };
    if is_half(t.dtype()) { wide().unwrap_or_else(|| t.clone()) } else { t.clone() }
}

fn wide_fact(fact: &Fact) -> Fact {
    let mut fact = fact.clone();
    fact.ty.dtype = widened(fact.ty.dtype);
    fact
}

/// The operator with the types in its attributes widened.
fn wide_op(op: &Op) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::Cast(a) => a.to = widened(a.to),
        Op::DequantizeLinear(a) => a.to = widened(a.to),
        Op::ConstantOfShape(a) => a.dtype = widened(a.dtype),
        Op::EyeLike(a) => a.dtype = widened(a.dtype),
        _ => {}
    }
    op
}
