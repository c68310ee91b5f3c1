//! Residual sums, non-linearities and pooling as steps of an epilogue.

use super::layer::Layer;
use crate::{PassCx, Proposal, matching::as_binary, matching::f32_tensor};
use paring_core::op::{Act, Binary, EpiOp, PoolAttrs};
use paring_ir::{Node, NodeId, Op, ValueId};

/// The sum of a layer's output and another value of its very shape.
///
/// The other value cannot depend on the layer: nothing but the sum reads the layer's output.
pub fn residual(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (a, b) = as_binary(node, Binary::Add)?;
    let y = node.output(0)?;
    if cx.constant(b).is_some() || cx.constant(a).is_some() || !cx.same_type(a, y) || !cx.same_type(b, y) {
        return None;
    }
    let layer = |v| Layer::of(cx, v).filter(|l| !l.has_residual());
    let (on, other) = match (layer(a), layer(b)) {
        (Some(l), _) if cx.has_one_use(a) => (l, b),
        (_, Some(l)) if cx.has_one_use(b) => (l, a),
        // Neither may go; the driver says why.
        (Some(l), _) => (l, b),
        (None, Some(l)) => (l, a),
        (None, None) => return None,
    };
    let mut fused = on.node.clone();
    fused.push_epilogue(Some(other), |input| EpiOp::Residual { input });
    replace_both(cx, id, node, on.id, fused, format!("residual sum into the epilogue of '{}'", on.node.name))
}

/// A leaky ReLU with one constant slope per channel.
pub fn prelu(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (x, slope) = as_binary(node, Binary::PRelu)?;
    let layer = Layer::of(cx, x)?;
    let slopes = cx.per_channel(slope, layer.rank, layer.axis, layer.channels)?;
    let mut fused = layer.node.clone();
    let what = format!("PReLU into the epilogue of '{}'", fused.name);
    let mut patch = cx.patch(id, what);
    if slopes.iter().all(|&s| s == slopes[0]) {
        fused.push_epilogue(None, |_| EpiOp::Act(Act::LeakyRelu(slopes[0] as f32)));
    } else {
        let vector = patch.constant(&format!("{}.slope", fused.name), f32_tensor(&[slopes.len()], &slopes)?);
        fused.push_epilogue(Some(vector), |input| EpiOp::PRelu { input });
    }
    let y = patch.node(fused, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).remove(layer.id).into())
}

/// A non-linearity after a node that can have one.
pub fn activation(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Activation(act) = node.op else { return None };
    let x: ValueId = node.input(0)?;
    let (on, before) = cx.made_by(x)?;
    let products = matches!(before.op, Op::Conv(_) | Op::ConvTranspose(_) | Op::Dense(_) | Op::MatMul);
    let integers = matches!(before.op, Op::ConvInteger(_) | Op::MatMulInteger);
    let elements = matches!(before.op, Op::Binary(_) | Op::BatchNorm(_));
    if !(products || integers || elements) || before.pools() || !cx.is_f32(x) || !node.epilogue.is_empty() {
        return None;
    }
    let mut fused = before.clone();
    fused.push_epilogue(None, |_| EpiOp::Act(act));
    replace_both(cx, id, node, on, fused, format!("activation into the epilogue of '{}'", before.name))
}

/// Maxima of two by two elements after a convolution.
pub fn max_pool(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Pool(attrs) = &node.op else { return None };
    let x = node.input(0)?;
    let (on, before) = cx.made_by(x)?;
    // Kernels that read quantised operands and signs do not pool.
    let reads_numbers = before.inputs.iter().flatten().all(|&v| cx.graph().ty(v).quant.is_none());
    let fits = *attrs == PoolAttrs::halving() && node.outputs.iter().flatten().count() == 1 && reads_numbers;
    if !fits || !matches!(before.op, Op::Conv(_)) || before.pools() || !cx.is_f32(x) || !node.epilogue.is_empty() {
        return None;
    }
    let mut fused = before.clone();
    fused.push_epilogue(None, |_| EpiOp::MaxPool);
    replace_both(cx, id, node, on, fused, format!("max pooling into the epilogue of '{}'", before.name))
}

fn replace_both(
    cx: &PassCx<'_>,
    id: NodeId,
    node: &Node,
    before: NodeId,
    fused: Node,
    what: String,
) -> Option<Proposal> {
    let mut patch = cx.patch(id, what);
    let y = patch.node(fused, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).remove(before).into())
}
