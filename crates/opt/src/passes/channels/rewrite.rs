//! Walks the graph from the inputs on and lets every reader follow its selection.

use super::analysis::{Readers, Role, permutable};
use crate::{OptError, PassCx};
use paring_core::{
    Tensor,
    op::{AxisAttrs, EpiOp},
};
use paring_ir::{Node, NodeId, Op, ValueId};
use std::collections::HashMap;

/// Channels per block of the physical layout: what starts at a multiple of it is a view.
const BLOCK: usize = 8;
/// A channelwise node may run on this many times the channels it needs; above that they are gathered first.
const SLACK: usize = 6;

/// Channel `i` is channel `index[i]` of `base`.
#[derive(Clone)]
struct Selection {
    base: ValueId,
    index: Vec<u32>,
}

struct Rewriter<'a, 'b> {
    cx: &'a mut PassCx<'b>,
    readers: Readers,
    selections: HashMap<ValueId, Selection>,
}

pub fn rewrite(cx: &mut PassCx<'_>, readers: Readers) -> Result<(), OptError> {
    let order = cx.graph().order()?;
    let mut r = Rewriter { cx, readers, selections: HashMap::new() };
    for id in order {
        if r.cx.exhausted() {
            break;
        }
        let Some(node) = r.cx.graph().node(id).cloned() else { continue };
        match Role::of(r.cx, &node) {
            Role::Mixer => r.mixer(id, node)?,
            Role::Channelwise => r.channelwise(id, node)?,
            Role::Mover(parts) => r.mover(id, &node, parts)?,
            Role::Joiner => r.joiner(id, &node)?,
            Role::Other => {}
        }
    }
    Ok(())
}

impl Rewriter<'_, '_> {
    fn channels(&self, v: ValueId) -> usize {
        self.cx.dim(v, 1).unwrap_or(0)
    }

    /// The selection that `v` is; at least of itself.
    fn selection(&self, v: ValueId) -> Selection {
        let whole = || Selection { base: v, index: (0..self.channels(v) as u32).collect() };
        self.selections.get(&v).cloned().unwrap_or_else(whole)
    }

    /// A convolution reads through the selection. One whose channels do not fill their last block, and that goes into
    /// a concatenation, gets more of them, so that the next part starts at a block: they cost nothing, as kernels
    /// compute whole blocks, and nobody selects them.
    fn mixer(&mut self, id: NodeId, node: Node) -> Result<(), OptError> {
        let (Some(x), Some(y), Op::Conv(attrs)) = (node.input(0), node.output(0), &node.op) else { return Ok(()) };
        let mut new = node.clone();
        let mut what = Vec::new();
        if let Some(s) = self.selections.get(&x) {
            let wanted: Vec<u32> = match &attrs.select {
                Some(select) => select.iter().filter_map(|&c| s.index.get(c as usize).copied()).collect(),
                None => s.index.clone(),
            };
            let all: Vec<u32> = (0..self.channels(s.base) as u32).collect();
            new.inputs[0] = Some(s.base);
            if let Op::Conv(a) = &mut new.op {
                a.select = (wanted != all).then_some(wanted);
            }
            what.push("reads its channels where they are");
        }
        let missing = self.channels(y).next_multiple_of(BLOCK) - self.channels(y);
        let pad = missing > 0 && attrs.groups == 1 && self.joins_later(y);
        let padded = if pad { self.with_more_channels(&new, missing) } else { None };
        let mut patch = self.cx.patch(id, "");
        if let Some(operands) = &padded {
            for (input, tensor) in operands {
                let name = self.cx.graph().value(node.inputs[*input].unwrap_or(y)).name.clone();
                new.inputs[*input] = Some(patch.constant(&name, tensor.clone()));
            }
            what.push("fills its last block of channels");
        }
        if what.is_empty() {
            return Ok(());
        }
        patch.what = format!("'{}' {}", node.name, what.join(" and "));
        let out = patch.node(new, 1)[0];
        if padded.is_none() {
            if self.cx.apply(patch.replace(y, out).remove(id))? {
                self.readers.inherit(y, out);
            }
        } else if self.cx.apply(patch)? {
            let index = (0..self.channels(y) as u32).collect();
            self.selections.insert(y, Selection { base: out, index });
        }
        Ok(())
    }

    fn joins_later(&self, y: ValueId) -> bool {
        let joins = |user: &NodeId| self.cx.graph().node(*user).is_some_and(|n| matches!(n.op, Op::Concat(_)));
        self.readers.follow(y) && self.readers.shuffled(y) && self.cx.uses(y).iter().any(|u| joins(&u.0))
    }

    /// The constant operands of a convolution with `missing` more output channels of zeros, by input index.
    fn with_more_channels(&self, node: &Node, missing: usize) -> Option<Vec<(usize, Tensor)>> {
        if !permutable(self.cx, node) {
            return None;
        }
        let operands = core::iter::once(1).chain(node.epilogue.iter().filter_map(EpiOp::input));
        operands
            .map(|input| {
                let t = self.cx.constant(node.input(input)?)?;
                let mut values = t.elements::<f32>()?.into_owned();
                let mut shape = t.shape().to_vec();
                let row = values.len().checked_div(*shape.first()?)?;
                values.resize(values.len() + row * missing, 0.0);
                shape[0] += missing;
                Some((input, Tensor::new(&shape, &values).ok()?))
            })
            .collect()
    }

    /// A depthwise convolution or elementwise node runs on the underlying value, its constants put where the
    /// channels are.
    fn channelwise(&mut self, id: NodeId, node: Node) -> Result<(), OptError> {
        let (Some(x), Some(y)) = (node.input(0), node.output(0)) else { return Ok(()) };
        let Some(s) = self.selections.get(&x).cloned() else { return Ok(()) };
        let total = self.channels(s.base);
        let Some(operands) = scattered(self.cx, &node, &s.index, total) else {
            return self.gather(id, x, &s);
        };
        let mut new = node.clone();
        let mut patch = self.cx.patch(id, format!("'{}' works on channels where they are", node.name));
        for (input, tensor) in operands {
            let name = self.cx.graph().value(node.inputs[input].unwrap_or(x)).name.clone();
            new.inputs[input] = Some(patch.constant(&name, tensor));
        }
        if let Op::Conv(a) = &mut new.op {
            a.groups = total;
        }
        new.inputs[0] = Some(s.base);
        let out = patch.node(new, 1)[0];
        if self.cx.apply(patch)? {
            self.selections.insert(y, Selection { base: out, index: s.index });
        }
        Ok(())
    }

    /// Makes the selected channels a value of their own, where following would cost more than a copy.
    fn gather(&mut self, id: NodeId, x: ValueId, s: &Selection) -> Result<(), OptError> {
        let index: Vec<i64> = s.index.iter().map(|&c| i64::from(c)).collect();
        let name = self.cx.graph().value(x).name.clone();
        let mut patch = self.cx.patch(id, format!("channels of '{name}' copied once"));
        let index = patch.constant(&format!("{name}.channels"), Tensor::from_i64s(&index));
        let out = patch.op(&name, Op::Gather(AxisAttrs { axis: 1 }), &[s.base, index]);
        if self.cx.apply(patch.replace(x, out))? {
            self.readers.inherit(x, out);
            self.selections.remove(&x);
        }
        Ok(())
    }

    fn mover(&mut self, id: NodeId, node: &Node, parts: Vec<Vec<u32>>) -> Result<(), OptError> {
        let Some(x) = node.input(0) else { return Ok(()) };
        let outputs: Vec<(usize, ValueId)> =
            node.outputs.iter().enumerate().filter_map(|(i, v)| Some((i, (*v)?))).collect();
        // Parts of whole blocks are views already.
        let is_view = |part: &Vec<u32>| {
            part.first().is_some_and(|&c| (c as usize).is_multiple_of(BLOCK))
                && part.windows(2).all(|w| w[1] == w[0] + 1)
        };
        let shuffles = matches!(node.op, Op::ChannelShuffle(_));
        let moved = shuffles || self.selections.contains_key(&x);
        if !moved && parts.iter().all(is_view) {
            return Ok(());
        }
        if outputs.iter().any(|&(_, v)| !self.readers.follow(v)) {
            self.cx.remark(id, format!("{} stays: not every reader can select channels", node.op.name()));
            return Ok(());
        }
        if !moved {
            let mixed = |v: ValueId| {
                let role = |u: &(NodeId, usize)| self.cx.graph().node(u.0).map(|n| Role::of(self.cx, n));
                self.cx.uses(v).iter().all(|u| matches!(role(u), Some(Role::Mixer)))
            };
            if !outputs.iter().all(|&(_, v)| mixed(v)) {
                return Ok(());
            }
        }
        let s = self.selection(x);
        for (i, v) in outputs {
            let index = parts[i].iter().filter_map(|&c| s.index.get(c as usize).copied()).collect();
            self.selections.insert(v, Selection { base: s.base, index });
        }
        Ok(())
    }

    /// A concatenation of selections is a selection of a concatenation of what they select from.
    fn joiner(&mut self, id: NodeId, node: &Node) -> Result<(), OptError> {
        let Some(y) = node.output(0) else { return Ok(()) };
        let inputs: Vec<ValueId> = node.inputs.iter().copied().flatten().collect();
        if !self.readers.follow(y) || !inputs.iter().any(|v| self.selections.contains_key(v)) {
            return Ok(());
        }
        let parts: Vec<Selection> = inputs.iter().map(|&v| self.selection(v)).collect();
        let mut bases: Vec<(ValueId, u32)> = Vec::new();
        let mut total = 0;
        for part in &parts {
            if !bases.iter().any(|b| b.0 == part.base) {
                bases.push((part.base, total));
                total += self.channels(part.base) as u32;
            }
        }
        let offset = |v: ValueId| bases.iter().find(|b| b.0 == v).map_or(0, |b| b.1);
        let index = parts.iter().flat_map(|p| p.index.iter().map(|&c| c + offset(p.base))).collect();
        let base = match bases[..] {
            [(only, _)] => only,
            _ => {
                let mut patch = self.cx.patch(id, format!("'{}' joins values where they are", node.name));
                let sources: Vec<ValueId> = bases.iter().map(|b| b.0).collect();
                let wide = patch.op(&format!("{}.wide", node.name), Op::Concat(AxisAttrs { axis: 1 }), &sources);
                if !self.cx.apply(patch)? {
                    return Ok(());
                }
                wide
            }
        };
        self.selections.insert(y, Selection { base, index });
        Ok(())
    }
}

/// The constant operands of a channelwise node for `total` channels, those of channel `i` at `index[i]`. `None` where
/// that does not go, or costs too much.
fn scattered(cx: &PassCx<'_>, node: &Node, index: &[u32], total: usize) -> Option<Vec<(usize, Tensor)>> {
    let mut seen = vec![false; total];
    let distinct = index.iter().all(|&c| seen.get_mut(c as usize).is_some_and(|s| !core::mem::replace(s, true)));
    if !distinct || total > index.len().saturating_mul(SLACK) {
        return None;
    }
    let weights = matches!(node.op, Op::Conv(_)).then_some(1);
    let operands = weights.into_iter().chain(node.epilogue.iter().filter_map(EpiOp::input));
    operands
        .map(|input| {
            let t = cx.constant(node.input(input)?)?;
            let values = t.elements::<f32>()?;
            let mut shape = t.shape().to_vec();
            let row = values.len().checked_div(index.len())?;
            let mut out = vec![0.0f32; row * total];
            for (from, &to) in values.chunks_exact(row.max(1)).zip(index) {
                out[to as usize * row..][..row].copy_from_slice(from);
            }
            *shape.first_mut()? = total;
            Some((input, Tensor::new(&shape, &out).ok()?))
        })
        .collect()
}
