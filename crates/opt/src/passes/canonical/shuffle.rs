//! Channel shuffles written as Reshape, Transpose, Reshape (ShuffleNet, Zhang et al. 2018, section 3.1).

use crate::{PassCx, Proposal};
use paring_core::op::ChannelShuffleAttrs;
use paring_ir::{Dim, Node, NodeId, Op};

/// `[N, C, ...] -> [N, g, C/g, ...] -> [N, C/g, g, ...] -> [N, C, ...]`, for any batch.
pub fn channel_shuffle(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Reshape(_) = node.op else { return None };
    let y = node.output(0)?;
    let (_, transpose) = cx.made_by(node.input(0)?)?;
    let Op::Transpose(attrs) = &transpose.op else { return None };
    let grouped = transpose.input(0)?;
    let (_, reshape) = cx.made_by(grouped)?;
    let Op::Reshape(_) = reshape.op else { return None };
    let x = reshape.input(0)?;

    let (from, to, mid) = (cx.dims(x)?, cx.dims(y)?, cx.dims(grouped)?);
    let perm = attrs.perm.as_ref()?;
    let swaps = perm.len() >= 3 && perm[..3] == [0, 2, 1] && perm.iter().enumerate().skip(3).all(|(i, &p)| i == p);
    if !swaps || from.len() < 3 || from != to || mid.len() != perm.len() {
        return None;
    }
    let (groups, per_group) = (mid[1].known()?, mid[2].known()?);
    let product = |dims: &[Dim]| dims.iter().fold(Dim::Known(1), |p, d| p.mul(d));
    let fits = from[1].is(groups.checked_mul(per_group)? as i64)
        && groups > 0
        && from[0] == mid[0]
        && product(&from[2..]) == product(&mid[3..]);
    if !fits {
        return None;
    }
    let mut patch = cx.patch(id, "Reshape, Transpose, Reshape as ChannelShuffle");
    let new = patch.op(&transpose.name, Op::ChannelShuffle(ChannelShuffleAttrs { groups }), &[x]);
    Some(patch.replace(y, new).remove(id).into())
}
