//! Weights stored as integers stay integers, whose type says what they stand for.

use crate::{PassCx, Proposal, matching::Linear};
use paring_core::{Tensor, op::DenseAttrs};
use paring_ir::{Node, NodeId, Op, ValueId};

/// `DequantizeLinear` of constants as the weights of a layer. A product with such a matrix, or with its transpose, is
/// `Dense`.
pub fn quantised_weights(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let w = node.input(1)?;
    let (op, tensor) = match &node.op {
        op @ (Op::Conv(_) | Op::ConvTranspose(_) | Op::Dense(_)) => (op.clone(), constant(cx, w)?),
        Op::MatMul if cx.graph().ty(node.input(0)?).rank()? >= 2 => match constant(cx, w) {
            Some(t) => (Op::Dense(DenseAttrs { transposed: false }), t),
            None => (Op::Dense(DenseAttrs { transposed: true }), constant(cx, transpose_of(cx, w)?)?),
        },
        _ => return None,
    };
    if tensor.shape().len() < 2 || (matches!(op, Op::Dense(_)) && tensor.shape().len() != 2) {
        return None;
    }
    let mut patch = cx.patch(id, format!("weights of {} kept as {}", op.name(), tensor.dtype()));
    let mut new = Node { op, ..node.clone() };
    new.inputs[1] = Some(patch.constant(&cx.graph().value(w).name, tensor));
    let y = patch.node(new, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

/// The matrix of which `v` is the transpose.
fn transpose_of(cx: &PassCx<'_>, v: ValueId) -> Option<ValueId> {
    let (_, node) = cx.made_by(v)?;
    let Op::Transpose(a) = &node.op else { return None };
    let swaps = cx.graph().ty(v).rank() == Some(2) && a.perm.as_deref().is_none_or(|p| p == [1, 0]);
    if swaps { node.input(0) } else { None }
}

/// The integers behind `v`, where they are constant, with what they stand for.
fn constant(cx: &PassCx<'_>, v: ValueId) -> Option<Tensor> {
    let linear = Linear::of(cx, v)?;
    let tensor = cx.constant(linear.x)?;
    Some(Tensor::clone(tensor).with_quant(Some(linear.quant)))
}
