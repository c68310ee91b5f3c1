//! Nodes that change nothing, and the order of operands.

use crate::{PassCx, Proposal};
use paring_core::{Tensor, normalize_axis, op::Binary};
use paring_ir::{Node, NodeId, Op, ValueId};
use std::sync::Arc;

/// Takes out a node whose output is its first input.
pub fn remove_neutral(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    if !node.epilogue.is_empty() || node.outputs.iter().flatten().count() > 1 {
        return None;
    }
    let same = || cx.same_type(x, y);
    let why = match &node.op {
        Op::Identity => "is the identity",
        Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Flatten(_) | Op::Expand if same() => "keeps the shape",
        Op::Cast(_) if same() => "keeps the element type",
        Op::Transpose(a) => {
            let perm = a.perm.as_ref()?;
            perm.iter().enumerate().all(|(i, &p)| i == p).then_some("keeps the axes")?
        }
        Op::Slice if same() && steps_are_one(cx, node) => "takes everything",
        Op::Pad(_) if cx.ints(node.input(1)?)?.iter().all(|&p| p == 0) => "adds nothing",
        Op::Tile if cx.ints(node.input(1)?)?.iter().all(|&n| n == 1) => "repeats once",
        Op::Concat(_) if node.inputs.len() == 1 => "joins one input",
        Op::Split(_) if node.outputs.len() == 1 && same() => "has one part",
        Op::Binary(kind) if same() && is_neutral(*kind, cx.scalar(node.input(1)?)?) => "has a neutral operand",
        _ => return None,
    };
    Some(cx.patch(id, format!("{} {why}", node.op.name())).replace(y, x).remove(id).into())
}

fn steps_are_one(cx: &PassCx<'_>, node: &Node) -> bool {
    match node.input(4) {
        None => true,
        Some(steps) => cx.ints(steps).is_some_and(|s| s.iter().all(|&s| s == 1)),
    }
}

fn is_neutral(kind: Binary, c: f64) -> bool {
    match kind {
        Binary::Add | Binary::Sub => c == 0.0,
        Binary::Mul | Binary::Div | Binary::Pow => c == 1.0,
        _ => false,
    }
}

/// Puts the constant of a commutative function second, where other rules look for it.
pub fn constant_second(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Binary(kind) = node.op else { return None };
    let (a, b) = (node.input(0)?, node.input(1)?);
    if !kind.is_commutative() || cx.constant(a).is_none() || cx.constant(b).is_some() {
        return None;
    }
    let mut swapped = node.clone();
    swapped.inputs.swap(0, 1);
    let mut patch = cx.patch(id, "constant operand second");
    let y = patch.node(swapped, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

/// Division by a power of two is multiplication by its reciprocal, to the bit.
pub fn divide_by_power_of_two(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Binary(Binary::Div) = node.op else { return None };
    let divisor = node.input(1).filter(|&v| cx.is_f32(v))?;
    let tensor: &Arc<Tensor> = cx.constant(divisor)?;
    let values = tensor.elements::<f32>()?;
    const MANTISSA: u32 = (1 << 23) - 1;
    let exact = |x: &f32| x.is_normal() && x.to_bits() & MANTISSA == 0 && x.recip().is_normal();
    if values.is_empty() || !values.iter().all(exact) {
        return None;
    }
    let reciprocal: Vec<f32> = values.iter().map(|x| x.recip()).collect();
    let mut patch = cx.patch(id, "division by a power of two as multiplication");
    let c = patch.constant(&cx.graph().value(divisor).name, Tensor::new(tensor.shape(), &reciprocal).ok()?);
    let mut mul = node.clone();
    mul.op = Op::Binary(Binary::Mul);
    mul.inputs[1] = Some(c);
    let y = patch.node(mul, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

/// The axis of a node as counted from the front, for a value of known rank.
pub fn axis_of(cx: &PassCx<'_>, axis: i64, v: ValueId) -> Option<usize> {
    normalize_axis(axis, cx.graph().ty(v).rank()?).ok()
}
