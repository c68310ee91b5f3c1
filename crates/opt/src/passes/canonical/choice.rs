//! Choices between two numbers.

use crate::{PassCx, Proposal};
use paring_core::{DType, Tensor, op::Binary};
use paring_ir::{Node, NodeId, Op};

/// `a * condition + b`, where that is 1 or -1, as a choice between the two.
pub fn sign_of_condition(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let y = node.output(0)?;
    let (scaled, shift) = match node.op {
        Op::Binary(Binary::Sub) if node.epilogue.is_empty() => (node.input(0)?, -cx.scalar(node.input(1)?)?),
        _ => cx.shifted(y)?,
    };
    let (number, factor) = cx.scaled(scaled)?;
    let (_, cast) = cx.made_by(number)?;
    let condition = cast.input(0)?;
    let converts = matches!(&cast.op, Op::Cast(c) if c.to == DType::F32) && cast.epilogue.is_empty();
    if !converts || cx.graph().ty(condition).dtype != DType::Bool || shift.abs() != 1.0 || factor != -2.0 * shift {
        return None;
    }
    // Constants of the shape that the numbers have broadcast to, so that the choice has it as well.
    let rank = cx.graph().ty(y).rank().filter(|&r| Some(r) == cx.graph().ty(condition).rank())?;
    let mut patch = cx.patch(id, "a condition, scaled and shifted, as a choice");
    let mut number = |name: &str, v: f64| {
        Tensor::new(&vec![1; rank], &[v as f32]).ok().map(|t| patch.constant(&format!("{}.{name}", node.name), t))
    };
    let (yes, no) = (number("yes", factor + shift)?, number("no", shift)?);
    let choice = patch.op(&node.name, Op::Where, &[condition, yes, no]);
    Some(patch.replace(y, choice).remove(id).into())
}
