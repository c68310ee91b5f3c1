//! Scales and shifts per channel: batch normalisation and arithmetic with constants.

use super::layer::Layer;
use crate::{PassCx, Patch, Proposal, matching::f32_tensor};
use paring_core::op::{Binary, EpiOp};
use paring_ir::{Node, NodeId, Op, ValueId};

/// `scale * x + shift`, one of each per channel.
pub struct Affine {
    pub x: ValueId,
    pub scale: Vec<f64>,
    pub shift: Vec<f64>,
    /// What it is, for reports.
    pub what: &'static str,
}

impl Affine {
    /// What `node` computes of a value with `channels` channels along `axis` of `rank`, where it is one.
    pub fn of(cx: &PassCx<'_>, node: &Node, rank: usize, axis: usize, channels: usize) -> Option<Affine> {
        let x = node.input(0)?;
        if !node.epilogue.is_empty() || !cx.same_type(x, node.output(0)?) {
            return None;
        }
        let kind = match &node.op {
            Op::BatchNorm(attrs) if axis == 1 => {
                let parameter = |i: usize| cx.constant(node.input(i)?)?.to_f64s().filter(|p| p.len() == channels);
                let [scale, bias, mean, variance] = [parameter(1)?, parameter(2)?, parameter(3)?, parameter(4)?];
                let deviation = |v: &f64| (v + f64::from(attrs.epsilon)).sqrt();
                let scale: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / deviation(v)).collect();
                let shift = bias.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
                return Some(Affine { x, scale, shift, what: "batch normalisation" });
            }
            Op::Binary(kind) => kind,
            _ => return None,
        };
        let c = cx.per_channel(node.input(1)?, rank, axis, channels)?;
        let (ones, zeros) = (vec![1.0; channels], vec![0.0; channels]);
        let (scale, shift) = match kind {
            Binary::Add => (ones, c),
            Binary::Sub => (ones, c.iter().map(|c| -c).collect()),
            Binary::Mul => (c, zeros),
            Binary::Div => (c.iter().map(|c| 1.0 / c).collect(), zeros),
            _ => return None,
        };
        Some(Affine { x, scale, shift, what: "constant per channel" })
    }

    /// Whether all numbers are finite in `f32`.
    pub fn is_finite(&self) -> bool {
        self.scale.iter().chain(&self.shift).all(|&x| (x as f32).is_finite())
    }
}

/// Batch normalisation, or arithmetic with constants, after a layer goes into its weights, computed in `f64`, or into
/// its epilogue.
pub fn after_layer(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let layer = Layer::of(cx, node.input(0)?)?;
    let affine = Affine::of(cx, node, layer.rank, layer.axis, layer.channels)?;
    let Affine { what, ref scale, ref shift, .. } = affine;
    if !affine.is_finite() {
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
pub fn push_vector(
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
