//! Scales and shifts of a convolution's input: the normalisation of images.

use super::affine::{Affine, push_vector};
use crate::{PassCx, Patch, Proposal, matching::f32_tensor};
use paring_core::{
    DType,
    op::{Binary, ConvAttrs, EpiOp, Padding},
};
use paring_ir::{Node, NodeId, Op, Tensor, ValueId};

/// A chain of scales and shifts before a convolution goes into its weights and its bias, computed in `f64`.
///
/// Where the convolution pads, zeros stand beside *shifted* values: then the scales go into the weights, and one
/// addition remains of all shifts.
pub fn before_layer(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Conv(attrs) = &node.op else { return None };
    let (rank, channels) = (cx.dims(node.input(0)?)?.len(), cx.dim(node.input(0)?, 1)?);
    let chain = Chain::before(cx, node.input(0)?, rank, channels)?;
    let pads = !is_unpadded(attrs);
    // `scale * x + shift = scale * (x + rest)`.
    let rest: Vec<f64> =
        chain.all.shift.iter().zip(&chain.all.scale).map(|(t, s)| if pads { t / s } else { 0.0 }).collect();
    if pads && chain.nodes.len() == 1 && chain.all.scale.iter().all(|&s| s == 1.0) {
        return Some(Proposal::Decline("a shift of the input must stay before the zeros that pad it".into()));
    }
    if !chain.all.is_finite() || rest.iter().any(|&t| !(t as f32).is_finite()) {
        return Some(Proposal::Decline("the scale or shift of the input is not a finite number".into()));
    }
    let folded = fold(cx, node, attrs, &chain.all)?;
    let mut patch = cx.patch(id, format!("scales and shifts of the input into the weights of '{}'", node.name));
    let mut fused = node.clone();
    let mut x = chain.all.x;
    if rest.iter().any(|&t| t != 0.0) {
        let mut shape = vec![1; rank];
        shape[1] = channels;
        let name = format!("{}.shift", node.name);
        let shift = patch.constant(&name, f32_tensor(&shape, &rest)?);
        x = patch.op(&name, Op::Binary(Binary::Add), &[x, shift]);
    }
    fused.inputs[0] = Some(x);
    fused.inputs[1] = Some(patch.constant(&format!("{}.weight", node.name), folded.weights));
    if !pads {
        add_bias(cx, &mut patch, &mut fused, &folded.bias)?;
    }
    let y = patch.node(fused, 1)[0];
    let patch = chain.nodes.iter().fold(patch.replace(node.output(0)?, y).remove(id), |patch, &n| patch.remove(n));
    Some(patch.into())
}

/// Adds `bias` to what sums begin with.
fn add_bias(cx: &PassCx<'_>, patch: &mut Patch, layer: &mut Node, bias: &[f64]) -> Option<()> {
    if let Some(&EpiOp::Bias { input }) = layer.epilogue.first()
        && let Some(old) = cx.constant(layer.input(input)?).filter(|old| old.len() == bias.len())
    {
        let sum: Vec<f64> = old.to_f64s()?.iter().zip(bias).map(|(a, b)| a + b).collect();
        layer.inputs[input] = Some(patch.constant(&format!("{}.bias", layer.name), f32_tensor(&[sum.len()], &sum)?));
        return Some(());
    }
    let steps = core::mem::take(&mut layer.epilogue);
    push_vector(patch, layer, "bias", bias, 0.0, |input| EpiOp::Bias { input })?;
    layer.epilogue.extend(steps);
    Some(())
}

/// Scales and shifts, one after the other, that nothing else reads.
struct Chain {
    /// All of them as one, of the value before the first.
    all: Affine,
    nodes: Vec<NodeId>,
}

impl Chain {
    /// The chain that makes `v`.
    fn before(cx: &PassCx<'_>, v: ValueId, rank: usize, channels: usize) -> Option<Chain> {
        let mut chain: Option<Chain> = None;
        let mut at = v;
        while let Some((id, node)) = cx.made_by(at).filter(|_| cx.is_f32(at) && cx.has_one_use(at)) {
            let Some(first) = Affine::of(cx, node, rank, 1, channels) else { break };
            at = first.x;
            let nodes = chain.as_ref().map_or(vec![id], |c| [&c.nodes[..], &[id]].concat());
            let all = match chain {
                None => first,
                Some(Chain { all: then, .. }) => Affine {
                    x: first.x,
                    shift: (0..channels).map(|c| then.scale[c] * first.shift[c] + then.shift[c]).collect(),
                    scale: (0..channels).map(|c| then.scale[c] * first.scale[c]).collect(),
                    what: then.what,
                },
            };
            chain = Some(Chain { all, nodes });
        }
        chain
    }
}

/// Weights that take the input unscaled, and what the shift adds to each output.
struct Folded {
    weights: Tensor,
    bias: Vec<f64>,
}

fn fold(cx: &PassCx<'_>, node: &Node, attrs: &ConvAttrs, input: &Affine) -> Option<Folded> {
    let weights = cx.constant(node.input(1)?).filter(|w| w.dtype() == DType::F32)?;
    let &[outputs, depth, ref kernel @ ..] = weights.shape() else { return None };
    let taps: usize = kernel.iter().product();
    let each = outputs.checked_div(attrs.groups).filter(|&each| each > 0 && taps > 0)?;
    let mut w = weights.to_f64s()?;
    let mut bias = vec![0.0; outputs];
    for (i, taps) in w.chunks_exact_mut(taps).enumerate() {
        let (output, k) = (i / depth, i % depth);
        let at = output / each * depth + k;
        let channel = match &attrs.select {
            Some(select) => *select.get(at)? as usize,
            None => at,
        };
        let (scale, shift) = (*input.scale.get(channel)?, *input.shift.get(channel)?);
        bias[output] += taps.iter().sum::<f64>() * shift;
        taps.iter_mut().for_each(|w| *w *= scale);
    }
    Some(Folded { weights: f32_tensor(weights.shape(), &w)?, bias })
}

/// Whether no window reaches beyond the input.
fn is_unpadded(attrs: &ConvAttrs) -> bool {
    match &attrs.padding {
        Padding::Explicit { before, after } => before.iter().chain(after).all(|&n| n == 0),
        Padding::SameUpper | Padding::SameLower => attrs.kernel.iter().all(|&k| k == 1),
    }
}
