//! Operands that are constant become attributes; products with constant matrices become `Dense`.

use crate::{PassCx, Proposal};
use paring_core::op::DenseAttrs;
use paring_ir::{Node, NodeId, Op};

/// The axes of reductions, squeezes and unsqueezes and the sizes of splits, where they are constant.
pub fn operand_to_attribute(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let operand = node.input(1)?;
    // Most operands are no such lists, and long.
    let values = || cx.ints(operand);
    let mut new = node.clone();
    match &mut new.op {
        Op::Reduce(a) if a.axes.is_none() => {
            let values = values()?;
            if values.is_empty() && a.noop_if_empty {
                return None;
            }
            // An empty list means all axes, as an absent one does.
            a.axes = (!values.is_empty()).then_some(values);
        }
        Op::Squeeze(a) | Op::Unsqueeze(a) if a.axes.is_none() => a.axes = Some(values()?),
        Op::Split(a) if a.sizes.is_none() => {
            a.sizes = Some(values()?.into_iter().map(|n| usize::try_from(n).ok()).collect::<Option<_>>()?);
        }
        _ => return None,
    }
    if !node.epilogue.is_empty() {
        return None;
    }
    new.inputs.truncate(1);
    Some(cx.exchange(id, node, new, format!("constant operand of {} as an attribute", node.op.name())).into())
}

/// `MatMul` with a constant matrix on the right.
pub fn product_with_constant(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::MatMul = node.op else { return None };
    let (a, b) = (node.input(0)?, node.input(1)?);
    let c = cx.constant(b)?;
    if c.shape().len() != 2 || cx.graph().ty(a).rank()? < 2 || !c.dtype().is_float() {
        return None;
    }
    let dense = Node { op: Op::Dense(DenseAttrs { transposed: false }), ..node.clone() };
    Some(cx.exchange(id, node, dense, "MatMul with a constant matrix as Dense").into())
}
