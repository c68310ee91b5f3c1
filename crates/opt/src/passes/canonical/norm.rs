//! Layer normalisation written in single steps.

use crate::{PassCx, Proposal, matching::as_binary, matching::sorted_axes};
use paring_core::op::{Binary, GlobalPool, LayerNormAttrs, ReduceKind, Unary};
use paring_ir::{Node, NodeId, Op, ValueId};

/// `(x - mean(x)) / sqrt(mean((x - mean(x))^2) + epsilon)` over trailing axes.
pub fn layer_norm(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (centred, root) = as_binary(node, Binary::Div)?;
    let (x, mean) = cx.binary(centred, Binary::Sub)?;
    let axes = mean_axes(cx, mean, x)?;
    let variance = square_root(cx, root)?;
    let (mean_square, epsilon) = cx.shifted(variance)?;
    let (_, reduce) = cx.made_by(mean_square)?;
    let square = reduce.input(0)?;
    let squares_centred = cx.binary(square, Binary::Mul) == Some((centred, centred))
        || cx.binary(square, Binary::Pow).is_some_and(|(b, e)| b == centred && cx.scalar(e) == Some(2.0));
    let rank = cx.graph().ty(x).rank()?;
    let trailing = axes.first().is_some_and(|&first| axes == (first..rank).collect::<Vec<_>>());
    if !squares_centred || !trailing || mean_axes(cx, mean_square, square)? != axes || !cx.is_f32(x) {
        return None;
    }
    let attrs = LayerNormAttrs { axis: axes[0] as i64, epsilon: epsilon as f32, rms: false };
    let mut patch = cx.patch(id, "decomposed layer normalisation as one node");
    let y = patch.op(&node.name, Op::LayerNorm(attrs), &[x]);
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

/// The axes, where `v` is the mean of `x` along them and keeps them.
fn mean_axes(cx: &PassCx<'_>, v: ValueId, x: ValueId) -> Option<Vec<usize>> {
    let (_, node) = cx.made_by(v)?;
    let rank = cx.graph().ty(x).rank()?;
    if node.input(0) != Some(x) || !node.epilogue.is_empty() {
        return None;
    }
    match &node.op {
        Op::Reduce(a) if a.kind == ReduceKind::Mean && a.keep_dims => sorted_axes(a.axes.as_ref()?, rank),
        Op::GlobalPool(GlobalPool::Average) => Some((2..rank).collect()),
        _ => None,
    }
}

fn square_root(cx: &PassCx<'_>, v: ValueId) -> Option<ValueId> {
    if let Some((x, e)) = cx.binary(v, Binary::Pow) {
        return (cx.scalar(e)? == 0.5).then_some(x);
    }
    let (_, node) = cx.made_by(v)?;
    match node.op {
        Op::Unary(Unary::Sqrt) if node.epilogue.is_empty() => node.input(0),
        _ => None,
    }
}

/// A constant factor and then a constant summand after a layer normalisation that has none yet.
pub fn layer_norm_affine(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Binary(kind @ (Binary::Mul | Binary::Add)) = node.op else { return None };
    let (normalised, c) = as_binary(node, kind)?;
    let (norm_id, norm) = cx.made_by(normalised)?;
    let Op::LayerNorm(attrs) = &norm.op else { return None };
    let wanted = if kind == Binary::Mul { 1 } else { 2 };
    if norm.inputs.len() != wanted || !norm.epilogue.is_empty() || norm.outputs.iter().skip(1).flatten().count() > 0 {
        return None;
    }
    let dims = cx.dims(normalised)?;
    let axis = paring_core::normalize_axis(attrs.axis, dims.len()).ok()?;
    let tail: Vec<usize> = dims[axis..].iter().map(|d| d.known()).collect::<Option<_>>()?;
    if cx.constant(c)?.shape() != tail {
        return None;
    }
    let mut new = norm.clone();
    new.inputs.push(Some(c));
    let what = if kind == Binary::Mul { "scale of the layer normalisation" } else { "bias of the layer normalisation" };
    let mut patch = cx.patch(id, what);
    let y = patch.node(new, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).remove(norm_id).into())
}
