//! What sums of products of bytes stand for, where that is known only while running.

use crate::{PassCx, Proposal, matching::as_binary};
use paring_core::{
    DType, Tensor,
    op::{Binary, ReshapeAttrs},
};
use paring_ir::{Node, NodeId, Op, ValueId};

/// A product of integers whose sums become numbers by a scale: dynamically quantised networks write a `Cast` and a
/// multiplication for that.
pub fn scaled(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (a, b) = as_binary(node, Binary::Mul)?;
    let y = node.output(0)?;
    let (sums, scale) = [(a, b), (b, a)].into_iter().find_map(|(v, scale)| Some((Sums::of(cx, v)?, scale)))?;
    if !cx.same_type(sums.numbers, y) {
        return Some(Proposal::Decline("the scale has another shape than the sums that it multiplies".into()));
    }
    let dims = cx.dims(scale)?;
    let one = dims.iter().all(|d| d.is(1));
    // Broadcasting lays the axes of both shapes together from the last one on.
    let at = (sums.axis + dims.len()).checked_sub(sums.rank);
    let others = dims.iter().enumerate().all(|(i, d)| Some(i) == at || d.is(1));
    let channels = at.and_then(|at| dims.get(at)?.known());
    let each = others && channels.is_some() && channels == cx.dim(y, sums.axis);
    if !(one || each) {
        return Some(Proposal::Decline("the scale is neither one number nor one for each channel".into()));
    }
    let mut patch = cx.patch(id, format!("the scale of its sums into '{}'", sums.product.name));
    let vector = match channels {
        Some(n) if !one && dims.len() > 1 => {
            let shape = patch.constant(&format!("{}.shape", node.name), Tensor::from_i64s(&[n as i64]));
            let view = Op::Reshape(ReshapeAttrs { allow_zero: false });
            patch.op(&format!("{}.scale", sums.product.name), view, &[scale, shape])
        }
        _ => scale,
    };
    let mut fused = sums.product.clone();
    fused.inputs.resize(SCALE, None);
    fused.inputs.push(Some(vector));
    let new = patch.node(fused, 1)[0];
    Some(patch.replace(y, new).remove(id).remove(sums.cast).remove(sums.id).into())
}

/// The input of an integer product that is a scale.
const SCALE: usize = 4;

/// Sums of products of bytes, made numbers.
struct Sums<'a> {
    numbers: ValueId,
    cast: NodeId,
    id: NodeId,
    product: &'a Node,
    rank: usize,
    /// Its axis of channels.
    axis: usize,
}

impl<'a> Sums<'a> {
    fn of(cx: &'a PassCx<'_>, numbers: ValueId) -> Option<Sums<'a>> {
        let (cast, node) = cx.made_by(numbers)?;
        if !matches!(node.op, Op::Cast(a) if a.to == DType::F32) || !node.epilogue.is_empty() {
            return None;
        }
        let (id, product) = cx.made_by(node.input(0)?)?;
        let rank = cx.graph().ty(numbers).rank()?;
        let axis = match product.op {
            Op::MatMulInteger if cx.graph().ty(product.input(1)?).rank()? > 1 => rank.checked_sub(1)?,
            Op::ConvInteger(_) => 1,
            _ => return None,
        };
        let bare = product.input(SCALE).is_none() && product.epilogue.is_empty();
        bare.then_some(Sums { numbers, cast, id, product, rank, axis })
    }
}
