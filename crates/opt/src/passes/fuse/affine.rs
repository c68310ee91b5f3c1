//! Scales and shifts per channel: batch normalisation and arithmetic with constants.

use super::layer::Layer;
use crate::{PassCx, Patch, Proposal, matching::f32_tensor};
use paring_core::op::{Binary, EpiOp};
use paring_ir::{Node, NodeId, Op, ValueId};

/// Batch normalisation after a layer goes into its weights, computed in `f64`.
pub fn batch_norm(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::BatchNorm(attrs) = &node.op else { return None };
    let x = node.input(0)?;
    let layer = Layer::of(cx, x)?;
    if layer.axis != 1 || !node.epilogue.is_empty() {
        return None;
    }
    let parameter = |i: usize| cx.constant(node.input(i)?)?.to_f64s().filter(|p| p.len() == layer.channels);
    let [scale, bias, mean, variance] = [parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?];
    let scale: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / (v + f64::from(attrs.epsilon)).sqrt()).collect();
    let shift: Vec<f64> = bias.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    fuse(cx, id, node, &layer, &scale, &shift, "batch normalisation")
}

/// Addition, subtraction, multiplication or division by a constant per channel.
pub fn arithmetic(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Binary(kind @ (Binary::Add | Binary::Sub | Binary::Mul | Binary::Div)) = node.op else { return None };
    let (x, c) = (node.input(0)?, node.input(1)?);
    let layer = Layer::of(cx, x)?;
    if !cx.same_type(x, node.output(0)?) || !node.epilogue.is_empty() {
        return None;
    }
    let c = cx.per_channel(c, layer.rank, layer.axis, layer.channels)?;
    let (ones, zeros) = (vec![1.0; c.len()], vec![0.0; c.len()]);
    let (scale, shift) = match kind {
        Binary::Add => (ones, c),
        Binary::Sub => (ones, c.iter().map(|c| -c).collect()),
        Binary::Mul => (c, zeros),
        _ => (c.iter().map(|c| 1.0 / c).collect(), zeros),
    };
    fuse(cx, id, node, &layer, &scale, &shift, "constant per channel")
}

/// `scale * layer + shift` in place of the layer and of `node`.
fn fuse(
    cx: &PassCx<'_>,
    id: NodeId,
    node: &Node,
    layer: &Layer<'_>,
    scale: &[f64],
    shift: &[f64],
    what: &str,
) -> Option<Proposal> {
    let as_f32 = |x: &f64| (*x as f32).is_finite();
    if !scale.iter().chain(shift).all(as_f32) {
        return Some(Proposal::Decline(format!("{what}: a scale or shift is not a finite number")));
    }
    let name = &layer.node.name;
    let mut fused = layer.node.clone();
    let mut patch;
    if let Some((weights, bias)) = layer.folded(cx, scale, shift) {
        patch = cx.patch(id, format!("{what} into the weights of '{name}'"));
        if scale.iter().any(|&s| s != 1.0) {
            fused.inputs[1] = Some(patch.constant(&format!("{name}.weight"), weights));
        }
        fused.inputs.truncate(2);
        fused.epilogue.clear();
        push_vector(&mut patch, &mut fused, "bias", &bias, 0.0, |input| EpiOp::Bias { input })?;
    } else {
        patch = cx.patch(id, format!("{what} into the epilogue of '{name}'"));
        push_vector(&mut patch, &mut fused, "scale", scale, 1.0, |input| EpiOp::Scale { input })?;
        push_vector(&mut patch, &mut fused, "bias", shift, 0.0, |input| EpiOp::Bias { input })?;
    }
    let y: ValueId = patch.node(fused, 1)[0];
    Some(patch.replace(node.output(0)?, y).remove(id).remove(layer.id).into())
}

/// Appends a step with a constant vector, unless all its entries are `neutral`.
fn push_vector(
    patch: &mut Patch,
    node: &mut Node,
    role: &str,
    values: &[f64],
    neutral: f64,
    make: impl FnOnce(usize) -> EpiOp,
) -> Option<()> {
    if values.iter().any(|&v| v != neutral) {
        let vector = patch.constant(&format!("{}.{role}", node.name), f32_tensor(&[values.len()], values)?);
        node.push_epilogue(Some(vector), make);
    }
    Some(())
}
