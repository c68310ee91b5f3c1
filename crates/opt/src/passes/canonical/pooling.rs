//! Pooling written as reductions, windows as large as the input, and padding before windows.

use crate::{PassCx, Proposal, matching::sorted_axes};
use paring_core::op::{AxisAttrs, GlobalPool, PadAttrs, PadMode, Padding, PoolAttrs, PoolKind, ReduceKind};
use paring_ir::{Node, NodeId, Op, ValueId};

/// A mean or maximum over all spatial axes.
pub fn reduce_to_global_pool(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Reduce(attrs) = &node.op else { return None };
    let kind = match attrs.kind {
        ReduceKind::Mean => GlobalPool::Average,
        ReduceKind::Max => GlobalPool::Max,
        _ => return None,
    };
    let (x, y) = (node.input(0)?, node.output(0)?);
    let rank = cx.graph().ty(x).rank().filter(|&r| r >= 3)?;
    let axes = sorted_axes(attrs.axes.as_ref()?, rank)?;
    if axes != (2..rank).collect::<Vec<_>>() || !cx.is_f32(x) || !node.epilogue.is_empty() {
        return None;
    }
    let mut patch = cx.patch(id, "reduction over the spatial axes as GlobalPool");
    let mut new = patch.op(&node.name, Op::GlobalPool(kind), &[x]);
    if !attrs.keep_dims {
        new = patch.op(&format!("{}.flat", node.name), Op::Flatten(AxisAttrs { axis: 1 }), &[new]);
    }
    Some(patch.replace(y, new).remove(id).into())
}

/// A window that covers the whole input.
pub fn pool_to_global_pool(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Pool(attrs) = &node.op else { return None };
    let kind = match attrs.kind {
        PoolKind::Max => GlobalPool::Max,
        PoolKind::Average { .. } => GlobalPool::Average,
        PoolKind::Lp { p } => GlobalPool::Lp { p },
    };
    let (x, y) = (node.input(0)?, node.output(0)?);
    let spatial: Vec<usize> = cx.dims(x)?.get(2..)?.iter().map(|d| d.known()).collect::<Option<_>>()?;
    let single = cx.dims(y)?.get(2..)?.iter().all(|d| d.is(1));
    let plain = attrs.padding == Padding::none(spatial.len()) && attrs.dilation.iter().all(|&d| d == 1);
    if spatial != attrs.kernel || !single || !plain || spatial.is_empty() || node.outputs.iter().flatten().count() > 1 {
        return None;
    }
    let mut pool = node.clone();
    pool.op = Op::GlobalPool(kind);
    let mut patch = cx.patch(id, "window as large as the input as GlobalPool");
    let new = patch.node(pool, 1)[0];
    Some(patch.replace(y, new).remove(id).into())
}

/// Zero padding of the spatial axes before a convolution, or before an average that counts padding.
pub fn pad_into_window(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let mut new = node.clone();
    let padding = match &mut new.op {
        Op::Conv(a) => &mut a.padding,
        Op::Pool(PoolAttrs { kind: PoolKind::Average { count_padding: true }, ceil: false, padding, .. }) => padding,
        _ => return None,
    };
    let (_, pad) = cx.made_by(node.input(0)?)?;
    let Op::Pad(PadAttrs { mode }) = pad.op else { return None };
    let (x, (more_before, more_after)) = (pad.input(0)?, spatial_pads(cx, pad)?);
    if mode != PadMode::Constant {
        return Some(Proposal::Decline(format!("padding by {mode:?} does not fit into a window")));
    }
    if let Some(value) = pad.input(2)
        && cx.scalar(value) != Some(0.0)
    {
        return Some(Proposal::Decline("padding by something else than 0 does not fit into a window".into()));
    }
    let Padding::Explicit { before, after } = padding else { return None };
    let add = |to: &mut Vec<usize>, more: &[usize]| -> Option<()> {
        (to.len() == more.len()).then_some(())?;
        to.iter_mut().zip(more).try_for_each(|(p, m)| p.checked_add(*m).map(|sum| *p = sum))
    };
    add(before, &more_before)?;
    add(after, &more_after)?;
    new.inputs[0] = Some(x);
    let mut patch = cx.patch(id, format!("padding into {}", node.op.name()));
    let outputs = patch.node(new, 1);
    Some(patch.replace(node.output(0)?, outputs[0]).remove(id).into())
}

/// What a `Pad` adds before and after each spatial axis, where it touches no other.
fn spatial_pads(cx: &PassCx<'_>, pad: &Node) -> Option<(Vec<usize>, Vec<usize>)> {
    let x: ValueId = pad.input(0)?;
    let rank = cx.graph().ty(x).rank()?;
    let pads = cx.ints(pad.input(1)?)?;
    let axes = match pad.input(3) {
        Some(axes) => {
            cx.ints(axes)?.iter().map(|&a| paring_core::normalize_axis(a, rank).ok()).collect::<Option<_>>()?
        }
        None => (0..rank).collect::<Vec<_>>(),
    };
    if pads.len() != 2 * axes.len() || rank < 3 {
        return None;
    }
    let (mut before, mut after) = (vec![0; rank], vec![0; rank]);
    for (i, &axis) in axes.iter().enumerate() {
        before[axis] = usize::try_from(pads[i]).ok()?;
        after[axis] = usize::try_from(pads[i + axes.len()]).ok()?;
    }
    let spatial_only = before[..2].iter().chain(&after[..2]).all(|&p| p == 0);
    spatial_only.then(|| (before[2..].to_vec(), after[2..].to_vec()))
}
