//! Transpositions, views and concatenations that follow each other.

use super::neutral::axis_of;
use crate::{PassCx, Proposal};
use paring_core::{
    Tensor,
    op::{AxisAttrs, ReshapeAttrs, TransposeAttrs},
};
use paring_ir::{Node, NodeId, Op, ValueId};

fn permutation(cx: &PassCx<'_>, attrs: &TransposeAttrs, x: ValueId) -> Option<Vec<usize>> {
    match &attrs.perm {
        Some(p) => Some(p.clone()),
        None => Some((0..cx.graph().ty(x).rank()?).rev().collect()),
    }
}

/// Two transpositions are one.
pub fn merge_transposes(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Transpose(outer) = &node.op else { return None };
    let mid = node.input(0)?;
    let (_, inner_node) = cx.made_by(mid)?;
    let Op::Transpose(inner) = &inner_node.op else { return None };
    if !inner_node.epilogue.is_empty() || !node.epilogue.is_empty() {
        return None;
    }
    let x = inner_node.input(0)?;
    let (inner, outer) = (permutation(cx, inner, x)?, permutation(cx, outer, mid)?);
    let perm = outer.iter().map(|&o| inner.get(o).copied()).collect::<Option<Vec<_>>>()?;
    let mut patch = cx.patch(id, "two transpositions as one");
    let y = patch.op(&node.name, Op::Transpose(TransposeAttrs { perm: Some(perm) }), &[x]);
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

/// The transposition of an image that was normalised comes before what normalises it.
///
/// Images have their channels last, scales and shifts often stand before the transposition that puts them first, and only
/// behind it can a convolution take them into its weights (see `fuse`). Bytes are moved sooner than numbers, too.
pub fn transpose_image_first(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Transpose(attrs) = &node.op else { return None };
    let mid = node.input(0).filter(|&mid| cx.has_one_use(mid) && node.epilogue.is_empty())?;
    let (inner_id, inner) = cx.made_by(mid)?;
    let (x, constant) = elementwise(cx, inner)?;
    let widens = cx.graph().ty(x).dtype.bits() <= cx.graph().ty(mid).dtype.bits();
    let same = cx.dims(x).is_some() && cx.dims(x) == cx.dims(mid);
    if !widens || !same || !is_image(cx, x) || [x, mid].iter().any(|&v| cx.graph().ty(v).quant.is_some()) {
        return None;
    }
    let perm = permutation(cx, attrs, mid)?;
    let mut patch = cx.patch(id, "an image is transposed before it is normalised");
    let moved = patch.op(&node.name, Op::Transpose(TransposeAttrs { perm: Some(perm.clone()) }), &[x]);
    let mut operands: Vec<ValueId> = inner.inputs.iter().copied().collect::<Option<_>>()?;
    for (i, v) in operands.iter_mut().enumerate() {
        if Some(i) != constant {
            *v = moved;
        } else {
            *v = patch.constant(&format!("{}.operand", inner.name), transposed_vector(cx.constant(*v)?, &perm)?);
        }
    }
    let y = patch.op(&inner.name, inner.op.clone(), &operands);
    Some(patch.replace(node.output(0)?, y).remove(id).remove(inner_id).into())
}

/// What a node is a function of, element by element, and which of its operands is a constant.
fn elementwise(cx: &PassCx<'_>, node: &Node) -> Option<(ValueId, Option<usize>)> {
    if !node.epilogue.is_empty() {
        return None;
    }
    match node.op {
        Op::Cast(_) | Op::Unary(_) | Op::Activation(_) => Some((node.input(0)?, None)),
        Op::Binary(_) => {
            let constant = (0..2).find(|&i| node.input(i).is_some_and(|v| cx.constant(v).is_some()))?;
            Some((node.input(1 - constant)?, Some(constant)))
        }
        _ => None,
    }
}

/// Whether `v` is an input of the graph, or one that was transposed or normalised.
fn is_image(cx: &PassCx<'_>, mut v: ValueId) -> bool {
    /// Steps of a normalisation: no more are looked through.
    const MOST: usize = 16;
    for _ in 0..MOST {
        let Some((_, node)) = cx.made_by(v) else { return cx.graph().inputs().contains(&v) };
        let source = match node.op {
            Op::Transpose(_) => node.input(0),
            _ => elementwise(cx, node).map(|(x, _)| x),
        };
        let Some(x) = source else { return false };
        v = x;
    }
    false
}

/// An operand that varies along one axis at most, for an output that is transposed: the same elements under another shape.
fn transposed_vector(t: &Tensor, perm: &[usize]) -> Option<Tensor> {
    let missing = perm.len().checked_sub(t.shape().len())?;
    if t.shape().iter().filter(|&&d| d != 1).count() > 1 {
        return None;
    }
    let extent = |axis: usize| axis.checked_sub(missing).map_or(1, |axis| t.shape()[axis]);
    let shape: Vec<usize> = perm.iter().map(|&axis| extent(axis)).collect();
    t.reshaped(&shape).ok()
}

/// A view of a view is one `Reshape`, where its shape can be written down.
pub fn merge_views(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let y = node.output(0)?;
    let (_, inner) = cx.made_by(node.input(0)?)?;
    if !node.op.is_view() || !inner.op.is_view() || !node.epilogue.is_empty() || !inner.epilogue.is_empty() {
        return None;
    }
    let x = inner.input(0)?;
    if cx.same_type(x, y) {
        return Some(cx.patch(id, "views that undo each other").replace(y, x).remove(id).into());
    }
    let dims = cx.dims(y)?;
    if dims.iter().filter(|d| d.known().is_none()).count() > 1 {
        return None;
    }
    // With an extent of 0 a dimension of -1 is not determined.
    let shape: Vec<i64> = dims.iter().map(|d| d.as_i64().unwrap_or(-1)).collect();
    if shape.contains(&0) {
        return None;
    }
    let mut patch = cx.patch(id, "two views as one");
    let shape = patch.constant(&format!("{}.shape", node.name), Tensor::from_i64s(&shape));
    let new = patch.op(&node.name, Op::Reshape(ReshapeAttrs { allow_zero: false }), &[x, shape]);
    Some(patch.replace(y, new).remove(id).into())
}

/// A concatenation that only another one along the same axis reads becomes part of it.
pub fn flatten_concat(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Concat(outer) = &node.op else { return None };
    let axis = axis_of(cx, outer.axis, node.output(0)?)?;
    let mut inputs = Vec::new();
    let mut removed = Vec::new();
    for v in node.inputs.iter().copied() {
        let v = v?;
        match cx.made_by(v) {
            Some((inner, n)) if cx.has_one_use(v) && is_concat(cx, n, v, axis) => {
                inputs.extend(n.inputs.iter().copied());
                removed.push(inner);
            }
            _ => inputs.push(Some(v)),
        }
    }
    if removed.is_empty() || !node.epilogue.is_empty() {
        return None;
    }
    let mut patch = cx.patch(id, "nested concatenation as one");
    let op = Op::Concat(AxisAttrs { axis: axis as i64 });
    let flat = Node { name: node.name.clone(), op, inputs, outputs: Vec::new(), epilogue: Vec::new() };
    let y = patch.node(flat, 1)[0];
    Some(removed.into_iter().fold(patch.replace(node.output(0)?, y).remove(id), |p, n| p.remove(n)).into())
}

fn is_concat(cx: &PassCx<'_>, node: &Node, out: ValueId, axis: usize) -> bool {
    matches!(&node.op, Op::Concat(a) if axis_of(cx, a.axis, out) == Some(axis)) && node.epilogue.is_empty()
}
