//! Networks of signs: what multiplies signs by weights of one magnitude reads them as such.
//!
//! Files write a layer of XNOR-Net and its kin as `Sign` of numbers, or as a choice between 1 and -1, and a convolution or
//! product in `f32` with weights that are plus or minus a number of their output channel, zeros perhaps among them. Here
//! signs become the last step of an epilogue, of the batch norm before where nothing else reads that, and the layer reads
//! a value of signs. Kernels for these are the planner's choice: it may as well take the numbers.

use super::integers::moved_inputs;
use crate::{OptError, Pass, PassCx, Patch, Proposal};
use paring_core::{
    op::{Binary, EpiOp, Unary},
    signs::Weights,
};
use paring_ir::{Node, NodeId, Op, ValueId};

/// See the module.
pub struct Signs;

impl Pass for Signs {
    fn name(&self) -> &'static str {
        "signs"
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        cx.sweep(read_signs)
    }
}

/// How far signs are followed through what moves them.
const DEPTH: usize = 8;

/// A layer of one magnitude for each output channel that reads numbers which are signs.
fn read_signs(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    if !matches!(node.op, Op::Conv(_) | Op::Dense(_)) {
        return None;
    }
    let x = node.input(0)?;
    if !cx.is_f32(x) {
        return None;
    }
    let mut patch = cx.patch(id, format!("{} reads signs", node.op.name()));
    let signs = as_signs(cx, &mut patch, x, DEPTH)?;
    let Some(w) = cx.constant(node.input(1)?) else {
        return Some(Proposal::Decline("reads signs, but its weights are not constant".into()));
    };
    if Weights::of(&node.op, w).is_none() {
        return Some(Proposal::Decline("reads signs, but a row of its weights has more than one magnitude".into()));
    }
    let mut new = node.clone();
    new.inputs[0] = Some(signs);
    let y = patch.node(new, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

/// The value of signs for numbers that are signs, or signs that were moved about.
fn as_signs(cx: &PassCx<'_>, patch: &mut Patch, v: ValueId, depth: usize) -> Option<ValueId> {
    let (_, node) = cx.made_by(v)?;
    if let Some(Taken { x, of_zero }) = taken(cx, v) {
        let norm = cx.made_by(x).filter(|(_, n)| matches!(n.op, Op::BatchNorm(_)) && n.epilogue.is_empty());
        let mut signs = match norm.filter(|_| cx.has_one_use(x)) {
            Some((_, norm)) => norm.clone(),
            None => Node { op: Op::Identity, inputs: vec![Some(x)], epilogue: vec![], ..node.clone() },
        };
        signs.name.clone_from(&node.name);
        signs.push_epilogue(None, |_| EpiOp::Sign { of_zero });
        return patch.node(signs, 1).first().copied();
    }
    let mut moved = node.clone();
    for slot in moved.inputs.iter_mut().take(moved_inputs(node)?) {
        *slot = Some(as_signs(cx, patch, (*slot)?, depth.checked_sub(1)?)?);
    }
    patch.node(moved, 1).first().copied()
}

/// Numbers whose signs are taken.
struct Taken {
    x: ValueId,
    of_zero: i8,
}

/// What `v` is the signs of, in any of the ways in which networks write that.
fn taken(cx: &PassCx<'_>, v: ValueId) -> Option<Taken> {
    let (_, node) = cx.made_by(v)?;
    if !node.epilogue.is_empty() || !cx.is_f32(v) {
        return None;
    }
    let taken = match node.op {
        Op::Unary(Unary::Sign) => of_sign(cx, node.input(0)?),
        Op::Where => {
            let (yes, no) = (cx.scalar(node.input(1)?)?, cx.scalar(node.input(2)?)?);
            of_choice(cx, node.input(0)?, yes, no)?
        }
        _ => return None,
    };
    (cx.is_f32(taken.x) && cx.graph().ty(taken.x).rank()? >= 1).then_some(taken)
}

/// `Sign(x)`, or `Sign(Sign(x) + c)` for a number less than 1, whose sign is that of zero.
fn of_sign(cx: &PassCx<'_>, x: ValueId) -> Taken {
    let of_zero = || {
        let (signs, c) = cx.shifted(x)?;
        let (_, node) = cx.made_by(signs)?;
        let inner = matches!(node.op, Op::Unary(Unary::Sign)) && node.epilogue.is_empty();
        let of_zero = if c > 0.0 { 1 } else { -1 };
        (inner && c != 0.0 && c.abs() < 1.0).then_some(Taken { x: node.input(0)?, of_zero })
    };
    of_zero().unwrap_or(Taken { x, of_zero: 0 })
}

/// A choice between 1 and -1 by a comparison with zero. What is not a number takes the side of zero.
fn of_choice(cx: &PassCx<'_>, condition: ValueId, yes: f64, no: f64) -> Option<Taken> {
    let (_, node) = cx.made_by(condition)?;
    let Op::Binary(comparison) = node.op else { return None };
    let (a, b) = (node.input(0)?, node.input(1)?);
    if !node.epilogue.is_empty() || cx.scalar(b) != Some(0.0) || (yes, no) != (-no, -yes) || yes.abs() != 1.0 {
        return None;
    }
    // What positive numbers and zero become.
    let (positive, zero) = match comparison {
        Binary::GreaterOrEqual => (yes, yes),
        Binary::Greater => (yes, no),
        Binary::LessOrEqual => (no, yes),
        Binary::Less => (no, no),
        _ => return None,
    };
    (positive == 1.0).then_some(Taken { x: a, of_zero: zero as i8 })
}
