//! Horizontal merging: 1x1 convolutions of one input become one, and a split of its channels.
//!
//! One wide product reads the input once and fills its tiles better than several narrow ones. Wider kernels gain
//! nothing of the kind: each already has enough work per element read.

use crate::{OptError, Pass, PassCx};
use paring_core::{
    Tensor,
    op::{Act, ConvAttrs, EpiOp, SplitAttrs},
};
use paring_ir::{Node, NodeId, Op, ValueId};

/// See the module.
pub struct MergeSiblings;

/// Channels per block of the physical layout: parts that start at a multiple of it are views.
const BLOCK: usize = 8;

impl Pass for MergeSiblings {
    fn name(&self) -> &'static str {
        "merge-siblings"
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        let values: Vec<ValueId> = cx.graph().values().map(|(v, _)| v).filter(|&v| cx.uses(v).len() > 1).collect();
        for x in values {
            merge_readers(cx, x)?;
        }
        Ok(())
    }
}

/// A 1x1 convolution that could be a part of a wider one.
struct Sibling {
    id: NodeId,
    attrs: ConvAttrs,
    weights: Vec<f32>,
    shape: Vec<usize>,
    bias: Option<Vec<f32>>,
    act: Option<Act>,
}

impl Sibling {
    fn of(cx: &PassCx<'_>, id: NodeId) -> Option<Sibling> {
        let node = cx.graph().node(id)?;
        let Op::Conv(attrs) = &node.op else { return None };
        if attrs.kernel.iter().any(|&k| k != 1) || attrs.groups != 1 || attrs.select.is_some() {
            return None;
        }
        let vector = |input: usize| Some(cx.constant(node.input(input)?)?.elements::<f32>()?.into_owned());
        let (bias, act) = match node.epilogue[..] {
            [] => (None, None),
            [EpiOp::Bias { input }] => (Some(vector(input)?), None),
            [EpiOp::Act(act)] => (None, Some(act)),
            [EpiOp::Bias { input }, EpiOp::Act(act)] => (Some(vector(input)?), Some(act)),
            _ => return None,
        };
        let weights = cx.constant(node.input(1)?)?;
        Some(Sibling {
            id,
            attrs: attrs.clone(),
            weights: weights.elements::<f32>()?.into_owned(),
            shape: weights.shape().to_vec(),
            bias,
            act,
        })
    }

    fn channels(&self) -> usize {
        self.shape[0]
    }

    fn fits(&self, other: &Sibling) -> bool {
        self.attrs == other.attrs
            && self.shape[1..] == other.shape[1..]
            && self.bias.is_some() == other.bias.is_some()
            && self.act == other.act
    }
}

fn merge_readers(cx: &mut PassCx<'_>, x: ValueId) -> Result<(), OptError> {
    let readers: Vec<NodeId> = cx.uses(x).iter().filter(|u| u.1 == 0).map(|u| u.0).collect();
    if !readers.iter().filter(|&&id| is_pointwise(cx, id)).nth(1).is_some_and(|_| true) {
        return Ok(());
    }
    let mut rest: Vec<Sibling> = readers.iter().filter_map(|&id| Sibling::of(cx, id)).collect();
    rest.sort_by_key(|s| s.id);
    while !rest.is_empty() {
        let first = rest.remove(0);
        let (mut group, others): (Vec<Sibling>, Vec<Sibling>) = rest.into_iter().partition(|s| first.fits(s));
        rest = others;
        if group.is_empty() {
            if !rest.is_empty() {
                cx.remark(first.id, "a sibling of the same input has other attributes or another activation");
            }
            continue;
        }
        group.insert(0, first);
        if group[..group.len() - 1].iter().any(|s| !s.channels().is_multiple_of(BLOCK)) {
            let reason = format!("siblings are not merged: their channels do not come in blocks of {BLOCK}");
            cx.remark(group[0].id, reason);
            continue;
        }
        merge(cx, x, &group)?;
    }
    Ok(())
}

fn is_pointwise(cx: &PassCx<'_>, id: NodeId) -> bool {
    let node = cx.graph().node(id);
    node.is_some_and(|n| matches!(&n.op, Op::Conv(a) if a.groups == 1 && a.kernel.iter().all(|&k| k == 1)))
}

fn merge(cx: &mut PassCx<'_>, x: ValueId, group: &[Sibling]) -> Result<(), OptError> {
    let node = |s: &Sibling| cx.graph().node(s.id).expect("seen just now");
    let names: Vec<&str> = group.iter().map(|s| node(s).name.as_str()).collect();
    let name = names.join("+");
    let sizes: Vec<usize> = group.iter().map(Sibling::channels).collect();
    let total = sizes.iter().sum();

    let mut shape = group[0].shape.clone();
    shape[0] = total;
    let weights: Vec<f32> = group.iter().flat_map(|s| s.weights.iter().copied()).collect();
    let bias: Vec<f32> = group.iter().flat_map(|s| s.bias.iter().flatten().copied()).collect();
    let Ok(weights) = Tensor::new(&shape, &weights) else { return Ok(()) };

    let mut patch =
        cx.patch(group[0].id, format!("{} convolutions of one input as one: {}", group.len(), names.join(", ")));
    let w = patch.constant(&format!("{name}.weight"), weights);
    let mut conv = Node {
        name: name.clone(),
        op: Op::Conv(group[0].attrs.clone()),
        inputs: vec![Some(x), Some(w)],
        outputs: Vec::new(),
        epilogue: Vec::new(),
    };
    if group[0].bias.is_some() {
        let Ok(bias) = Tensor::new(&[bias.len()], &bias) else { return Ok(()) };
        let b = patch.constant(&format!("{name}.bias"), bias);
        conv.push_epilogue(Some(b), |input| EpiOp::Bias { input });
    }
    if let Some(act) = group[0].act {
        conv.push_epilogue(None, |_| EpiOp::Act(act));
    }
    let wide = patch.node(conv, 1)[0];
    let split = Node {
        name: format!("{name}.split"),
        op: Op::Split(SplitAttrs { axis: 1, sizes: Some(sizes) }),
        inputs: vec![Some(wide)],
        outputs: Vec::new(),
        epilogue: Vec::new(),
    };
    let parts = patch.node(split, group.len());
    for (s, part) in group.iter().zip(parts) {
        if let Some(old) = node(s).output(0) {
            patch = patch.replace(old, part);
        }
        patch = patch.remove(s.id);
    }
    cx.apply(patch)?;
    Ok(())
}
