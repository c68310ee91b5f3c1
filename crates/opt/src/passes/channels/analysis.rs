//! Which values need not be there as such, because all their readers can follow a selection of channels.

use crate::{OptError, PassCx};
use paring_core::{
    DType, normalize_axis,
    op::{EpiOp, PoolAttrs},
};
use paring_ir::{Node, Op, ValueId};
use std::collections::HashSet;

/// How a node treats the channels of its input.
pub enum Role {
    /// Any output channel may read any input channel: a convolution, grouped or not.
    Mixer,
    /// Output channel `i` depends on input channel `i` alone, with operands that can be permuted.
    Channelwise,
    /// Output `i` takes the channels `parts[i]` of the input, in that order.
    Mover(Vec<Vec<u32>>),
    /// Joins channels.
    Joiner,
    /// Something else.
    Other,
}

impl Role {
    pub fn of(cx: &PassCx<'_>, node: &Node) -> Role {
        role(cx, node).unwrap_or(Role::Other)
    }
}

fn role(cx: &PassCx<'_>, node: &Node) -> Option<Role> {
    let x = node.input(0)?;
    let channels = cx.dims(x).filter(|d| d.len() >= 3)?[1].known()?;
    Some(match &node.op {
        Op::Conv(a) if a.groups == channels && channels > 1 => {
            let one_each = cx.dim(node.output(0)?, 1)? == channels;
            let constant = cx.constant(node.input(1)?)?.dtype() == DType::F32;
            (one_each && constant && a.select.is_none() && permutable(cx, node)).then_some(Role::Channelwise)?
        }
        Op::Conv(_) => Role::Mixer,
        Op::Activation(_) if node.epilogue.is_empty() => Role::Channelwise,
        Op::Pool(PoolAttrs { .. }) if node.epilogue.is_empty() && node.outputs.iter().flatten().count() == 1 => {
            Role::Channelwise
        }
        Op::ChannelShuffle(a) => {
            let per_group = channels.checked_div(a.groups).filter(|_| channels.is_multiple_of(a.groups))?;
            let from = |i: usize| (i % a.groups * per_group + i / a.groups) as u32;
            Role::Mover(vec![(0..channels).map(from).collect()])
        }
        Op::Split(a) if is_channel_axis(cx, a.axis, x) => {
            let mut at = 0;
            let mut parts = Vec::new();
            for &v in &node.outputs {
                let size = match (&a.sizes, v) {
                    (Some(sizes), _) => *sizes.get(parts.len())?,
                    (None, Some(v)) => cx.dim(v, 1)?,
                    (None, None) => return None,
                };
                parts.push((at as u32..(at + size) as u32).collect());
                at += size;
            }
            (at <= channels).then_some(Role::Mover(parts))?
        }
        Op::Slice => Role::Mover(vec![sliced_channels(cx, node, channels)?]),
        Op::Concat(a) if is_channel_axis(cx, a.axis, x) && node.epilogue.is_empty() => {
            node.inputs.iter().all(|v| v.is_some_and(|v| cx.dim(v, 1).is_some())).then_some(Role::Joiner)?
        }
        _ => return None,
    })
}

fn is_channel_axis(cx: &PassCx<'_>, axis: i64, x: ValueId) -> bool {
    cx.graph().ty(x).rank().and_then(|r| normalize_axis(axis, r).ok()) == Some(1)
}

/// Whether all operands of the epilogue are constant vectors.
pub fn permutable(cx: &PassCx<'_>, node: &Node) -> bool {
    node.epilogue.iter().all(|step| match step {
        EpiOp::Act(_) | EpiOp::Quantize { .. } | EpiOp::Sign { .. } | EpiOp::MaxPool => true,
        EpiOp::Residual { .. } => false,
        EpiOp::Bias { input } | EpiOp::Scale { input } | EpiOp::PRelu { input } => {
            node.input(*input).and_then(|v| cx.constant(v)).is_some_and(|c| c.dtype() == DType::F32)
        }
    })
}

/// The channels that a slice takes, where it leaves the other axes alone and goes forward.
fn sliced_channels(cx: &PassCx<'_>, node: &Node, channels: usize) -> Option<Vec<u32>> {
    let (x, y) = (node.input(0)?, node.output(0)?);
    let rank = cx.graph().ty(x).rank()?;
    let (starts, ends) = (cx.ints(node.input(1)?)?, cx.ints(node.input(2)?)?);
    let axes = match node.input(3) {
        Some(axes) => cx.ints(axes)?,
        None => (0..starts.len() as i64).collect(),
    };
    let steps = match node.input(4) {
        Some(steps) => cx.ints(steps)?,
        None => vec![1; starts.len()],
    };
    let others_whole = cx.dims(x)?.iter().zip(cx.dims(y)?).enumerate().all(|(i, (a, b))| i == 1 || a == b);
    if !others_whole || steps.iter().any(|&s| s < 1) {
        return None;
    }
    let i = axes.iter().position(|&a| normalize_axis(a, rank) == Ok(1))?;
    let count = channels as i64;
    let clamp = |at: i64| (if at < 0 { at.saturating_add(count) } else { at }).clamp(0, count);
    let (start, end, step) = (clamp(*starts.get(i)?), clamp(*ends.get(i)?), usize::try_from(*steps.get(i)?).ok()?);
    let taken: Vec<u32> = (start..end).step_by(step).map(|c| c as u32).collect();
    (cx.dim(y, 1)? == taken.len() && !taken.is_empty()).then_some(taken)
}

/// What is known of the readers of each value.
pub struct Readers {
    /// Values all of whose readers can follow a selection.
    follow: HashSet<ValueId>,
    /// Values that reach a shuffle before they are mixed.
    shuffled: HashSet<ValueId>,
    moves: bool,
}

impl Readers {
    pub fn of(cx: &PassCx<'_>) -> Result<Readers, OptError> {
        let mut readers = Readers { follow: HashSet::new(), shuffled: HashSet::new(), moves: false };
        for id in cx.graph().order()?.into_iter().rev() {
            let Some(node) = cx.graph().node(id) else { continue };
            for &v in node.outputs.iter().flatten() {
                readers.look_at(cx, v);
            }
            readers.moves |= matches!(node.op, Op::ChannelShuffle(_) | Op::Split(_) | Op::Slice);
        }
        Ok(readers)
    }

    /// All readers of `v` were looked at before.
    fn look_at(&mut self, cx: &PassCx<'_>, v: ValueId) {
        let mut all_follow = !cx.is_output(v) && !cx.uses(v).is_empty();
        for &(user, input) in cx.uses(v) {
            let Some(node) = cx.graph().node(user) else { continue };
            let role = Role::of(cx, node);
            let outputs_follow = || node.outputs.iter().flatten().all(|o| self.follow.contains(o));
            all_follow &= match role {
                Role::Mixer => input == 0,
                Role::Channelwise | Role::Mover(_) => input == 0 && outputs_follow(),
                Role::Joiner => outputs_follow(),
                Role::Other => false,
            };
            let passes_on = matches!(role, Role::Joiner | Role::Channelwise);
            let on_to_shuffle = passes_on && node.outputs.iter().flatten().any(|o| self.shuffled.contains(o));
            if (matches!(node.op, Op::ChannelShuffle(_)) && outputs_follow()) || on_to_shuffle {
                self.shuffled.insert(v);
            }
        }
        if all_follow {
            self.follow.insert(v);
        }
    }

    pub fn nothing_moves(&self) -> bool {
        !self.moves
    }

    pub fn follow(&self, v: ValueId) -> bool {
        self.follow.contains(&v)
    }

    pub fn shuffled(&self, v: ValueId) -> bool {
        self.shuffled.contains(&v)
    }

    /// What was known of `old` holds of `new`, which took its place.
    pub fn inherit(&mut self, old: ValueId, new: ValueId) {
        if self.follow(old) {
            self.follow.insert(new);
        }
        if self.shuffled(old) {
            self.shuffled.insert(new);
        }
    }
}
