//! Quantised networks in integers: conversions between layers go into the layers.
//!
//! Files write a quantised layer as one of real numbers between a `DequantizeLinear` of its inputs and a
//! `QuantizeLinear` of its output. Here the latter becomes the last step of the layer's epilogue, whose output then has
//! a type that says what its integers stand for, and layers read such values as they are. What only moves elements about
//! moves the integers. Kernels that compute with integers are the planner's choice: it may as well convert.

use crate::{
    OptError, Pass, PassCx, Proposal,
    matching::{Linear, close},
};
use paring_core::{
    DType, Quant,
    op::{Act, Binary, EpiOp, PoolKind},
};
use paring_ir::{Node, NodeId, Op, ValueId};

/// See the module.
pub struct Integers;

type Rule = fn(&PassCx<'_>, NodeId, &Node) -> Option<Proposal>;

const RULES: &[Rule] = &[move_integers, quantise_result, read_integers, gate, dequantise_later];

impl Pass for Integers {
    fn name(&self) -> &'static str {
        "integers"
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        cx.sweep(|cx, id, node| RULES.iter().find_map(|rule| rule(cx, id, node)))
    }
}

/// Inputs of one node whose integers are moved: kernels that convert them see no more.
const MOST_MOVED: usize = 8;

/// The step that quantises as `node` does, where it is a conversion to bytes with constant parameters that are the same
/// for a whole tensor.
fn quantisation(cx: &PassCx<'_>, node: &Node) -> Option<(DType, f32, i32)> {
    let Op::QuantizeLinear(a) = node.op else { return None };
    let quant = Linear::parameters(cx, node, a.axis)?;
    let (scale, zero_point) = quant.whole()?;
    let bytes = matches!(a.to, DType::U8 | DType::I8) && cx.is_f32(node.input(0)?);
    bytes.then_some((a.to, scale, zero_point))
}

/// The typed integers behind `v`, where it is a conversion of those.
fn typed(cx: &PassCx<'_>, v: ValueId) -> Option<(ValueId, Quant)> {
    let linear = Linear::of(cx, v).filter(|l| l.quant.whole().is_some())?;
    let says = cx.graph().ty(linear.x).quant.as_ref();
    (says == Some(&linear.quant) && cx.is_f32(v)).then_some((linear.x, linear.quant))
}

/// Whether an operator does to integers what it would do to the numbers they stand for, and to how many inputs.
pub(super) fn moved_inputs(node: &Node) -> Option<usize> {
    let one = match &node.op {
        Op::Pool(a) => a.kind == PoolKind::Max && node.outputs.iter().flatten().count() == 1,
        Op::DepthToSpace(_) | Op::SpaceToDepth(_) | Op::ChannelShuffle(_) | Op::Transpose(_) | Op::Slice => true,
        Op::Concat(_) => {
            return (node.epilogue.is_empty() && node.inputs.len() <= MOST_MOVED).then_some(node.inputs.len());
        }
        op => op.is_view(),
    };
    (one && node.epilogue.is_empty()).then_some(1)
}

/// A node that computes nothing, for an epilogue to convert what it hands on.
fn unchanged(name: String, x: ValueId) -> Node {
    Node { name, op: Op::Identity, inputs: vec![Some(x)], outputs: vec![], epilogue: vec![] }
}

/// `QuantizeLinear` of integers that were moved about as numbers: they are moved as they are, those of other scales
/// converted before.
fn move_integers(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (to, scale, zero_point) = quantisation(cx, node)?;
    let (_, mover) = cx.made_by(node.input(0)?)?;
    let moved = moved_inputs(mover)?;
    let from = mover.inputs[..moved].iter().map(|v| typed(cx, (*v)?)).collect::<Option<Vec<_>>>()?;
    if !stays_quantised(cx, node.output(0)?, DEPTH) {
        return None;
    }
    let wanted = Quant::per_tensor(scale, zero_point);
    let mut patch = cx.patch(id, format!("{} of integers", mover.op.name()));
    let mut new = mover.clone();
    for (slot, (x, quant)) in new.inputs.iter_mut().zip(from) {
        let same = quant == wanted && cx.graph().ty(x).dtype == to;
        let x = if same {
            x
        } else {
            let mut convert = unchanged(format!("{}.requantize", node.name), x);
            convert.push_epilogue(None, |_| EpiOp::Quantize { to, scale, zero_point });
            patch.node(convert, 1)[0]
        };
        *slot = Some(x);
    }
    let y = patch.node(new, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

/// `QuantizeLinear` as the last step of the epilogue of what made its input.
fn quantise_result(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (to, scale, zero_point) = quantisation(cx, node)?;
    let x = node.input(0)?;
    if !stays_quantised(cx, node.output(0)?, DEPTH) {
        return Some(Proposal::Decline("quantised, but something computes with the integers themselves".into()));
    }
    // What was quantised so already need not be again.
    let again = typed(cx, x).filter(|(v, q)| cx.graph().ty(*v).dtype == to && q.whole() == Some((scale, zero_point)));
    if let Some((integers, _)) = again {
        let patch = cx.patch(id, "quantised as it was before");
        return Some(patch.replace(node.output(0)?, integers).remove(id).into());
    }
    let maker = cx.made_by(x).filter(|(_, n)| n.op.reads_reals() && cx.has_one_use(x));
    let mut quantised = match &maker {
        Some((_, maker)) => Node::clone(maker),
        None => unchanged(node.name.clone(), typed(cx, x).map_or(x, |(integers, _)| integers)),
    };
    let what = match &maker {
        Some((_, maker)) => format!("quantisation into the epilogue of '{}'", maker.name),
        None => "quantisation to a type that says so".into(),
    };
    quantised.push_epilogue(None, |_| EpiOp::Quantize { to, scale, zero_point });
    let mut patch = cx.patch(id, what);
    let y = patch.node(quantised, 1)[0];
    let mut patch = patch.replace(node.output(0)?, y).remove(id);
    if let Some((maker, _)) = maker {
        patch = patch.remove(maker);
    }
    Some(patch.into())
}

/// An operator on numbers that reads integers as they are.
fn read_integers(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    if !node.op.reads_reals() {
        return None;
    }
    let mut new = node.clone();
    let mut count = 0;
    for slot in new.inputs.iter_mut() {
        if let Some((integers, _)) = slot.and_then(|v| typed(cx, v)) {
            *slot = Some(integers);
            count += 1;
        }
    }
    if count == 0 {
        return None;
    }
    Some(cx.exchange(id, node, new, format!("{} reads {count} quantised operand(s)", node.op.name())).into())
}

/// Integers times their sigmoid, which was rounded to integers in between: one function of an integer. What was lost by that
/// rounding is not lost any more.
fn gate(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (Op::Binary(Binary::Mul), [EpiOp::Quantize { .. }]) = (&node.op, &node.epilogue[..]) else { return None };
    let of = |x: ValueId, gate: ValueId| {
        let (_, sigmoid) = cx.made_by(gate).filter(|(_, n)| n.input(0) == Some(x))?;
        let [EpiOp::Quantize { .. }] = sigmoid.epilogue[..] else { return None };
        match sigmoid.op {
            Op::Activation(Act::Sigmoid) => Some((x, Act::Swish(1.0))),
            Op::Activation(Act::HardSigmoid { alpha, beta: 0.5 }) if close(alpha.into(), 1.0 / 6.0) => {
                Some((x, Act::HardSwish))
            }
            _ => None,
        }
    };
    let (a, b) = (node.input(0)?, node.input(1)?);
    let (x, act) = of(a, b).or_else(|| of(b, a))?;
    cx.graph().ty(x).quant.as_ref()?;
    let new = Node { op: Op::Activation(act), inputs: vec![Some(x)], ..node.clone() };
    Some(cx.exchange(id, node, new, "integers times their sigmoid as one function").into())
}

/// What moves numbers that were integers moves those, and they are converted afterwards.
fn dequantise_later(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    if moved_inputs(node)? != 1 || matches!(node.op, Op::Concat(_)) {
        return None;
    }
    let x = node.input(0)?;
    let (integers, _) = typed(cx, x)?;
    let (_, conversion) = cx.made_by(x)?;
    let mut patch = cx.patch(id, format!("{} of integers, converted afterwards", node.op.name()));
    let mut moved = node.clone();
    moved.inputs[0] = Some(integers);
    let moved = patch.node(moved, 1)[0];
    let mut after = conversion.clone();
    after.name = format!("{}.dequantize", node.name);
    after.inputs[0] = Some(moved);
    let y = patch.node(after, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

/// How far [`stays_quantised`] looks.
const DEPTH: usize = 16;

/// Whether everything that reads the integers `v` takes them for what they stand for, or moves them to where that holds.
fn stays_quantised(cx: &PassCx<'_>, v: ValueId, depth: usize) -> bool {
    cx.uses(v).iter().all(|&(user, input)| {
        let Some(node) = cx.graph().node(user) else { return true };
        match node.op {
            Op::DequantizeLinear(_) => input == 0,
            _ if depth > 0 && moved_inputs(node).is_some_and(|n| input < n) => {
                node.output(0).is_none_or(|y| stays_quantised(cx, y, depth - 1))
            }
            _ => false,
        }
    })
}
