//! Layers with weights, seen alike.

use crate::{PassCx, matching::f32_tensor};
use paring_core::{Tensor, op::EpiOp};
use paring_ir::{Node, NodeId, Op, ValueId};

/// A convolution, transposed convolution or product with constant weights that makes a value.
pub struct Layer<'a> {
    pub id: NodeId,
    pub node: &'a Node,
    /// Rank of the output.
    pub rank: usize,
    /// Its axis of channels.
    pub axis: usize,
    /// Their number.
    pub channels: usize,
}

impl<'a> Layer<'a> {
    /// The layer that makes `v`, if one does.
    pub fn of(cx: &'a PassCx<'_>, v: ValueId) -> Option<Layer<'a>> {
        let (id, node) = cx.made_by(v)?;
        let rank = cx.graph().ty(v).rank()?;
        let axis = match node.op {
            Op::Conv(_) | Op::ConvTranspose(_) => 1,
            Op::Dense(_) => rank.checked_sub(1)?,
            _ => return None,
        };
        let channels = cx.dim(v, axis)?;
        cx.is_f32(v).then_some(Layer { id, node, rank, axis, channels })
    }

    pub fn has_residual(&self) -> bool {
        self.node.epilogue.iter().any(|e| matches!(e, EpiOp::Residual { .. }))
    }

    /// Weights and bias of `scale * layer + shift`, where the layer has constant weights and at most a bias.
    pub fn folded(&self, cx: &PassCx<'_>, scale: &[f64], shift: &[f64]) -> Option<(Tensor, Vec<f64>)> {
        let bias = match self.node.epilogue[..] {
            [] => vec![0.0; self.channels],
            [EpiOp::Bias { input }] => cx.constant(self.node.input(input)?)?.to_f64s()?,
            _ => return None,
        };
        let weights = cx.constant(self.node.input(1)?).filter(|w| w.elements::<f32>().is_some())?;
        if bias.len() != self.channels {
            return None;
        }
        let w = self.scale_weights(weights, scale)?;
        let bias = bias.iter().zip(scale).zip(shift).map(|((b, s), t)| b * s + t).collect();
        Some((w, bias))
    }

    fn scale_weights(&self, w: &Tensor, scale: &[f64]) -> Option<Tensor> {
        let shape = w.shape();
        let values = w.to_f64s()?;
        // The channel that element `i` contributes to.
        let inner = |from: usize| shape[from..].iter().product::<usize>().max(1);
        let channel: Box<dyn Fn(usize) -> usize> = match &self.node.op {
            Op::Conv(_) => {
                let per_channel = inner(1);
                Box::new(move |i| i / per_channel)
            }
            Op::ConvTranspose(a) => {
                let (taps, per_group) = (inner(2), *shape.get(1)?);
                let rows = shape[0].checked_div(a.groups)?.max(1);
                Box::new(move |i| i / (taps * per_group) / rows * per_group + i / taps % per_group)
            }
            Op::Dense(a) if a.transposed => {
                let k = inner(1);
                Box::new(move |i| i / k)
            }
            Op::Dense(_) => {
                let n = *shape.get(1)?;
                Box::new(move |i| i % n)
            }
            _ => return None,
        };
        let scaled: Option<Vec<f64>> =
            values.iter().enumerate().map(|(i, w)| Some(w * scale.get(channel(i))?)).collect();
        f32_tensor(shape, &scaled?)
    }
}
