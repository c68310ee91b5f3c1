//! Layers with weights, seen alike.

use crate::PassCx;
use paring_core::{AlignedBuf, DType, Tensor, op::EpiOp};
use paring_ir::{Node, NodeId, Op, ValueId};

/// A convolution, transposed convolution or product with constant weights that makes a value, or such a one of integers
/// whose sums stand for numbers.
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
    /// The layer that makes `v`, if one does that more steps can follow.
    pub fn of(cx: &'a PassCx<'_>, v: ValueId) -> Option<Layer<'a>> {
        let (id, node) = cx.made_by(v)?;
        let rank = cx.graph().ty(v).rank()?;
        let axis = match node.op {
            Op::Conv(_) | Op::ConvTranspose(_) | Op::ConvInteger(_) => 1,
            Op::Dense(_) | Op::MatMulInteger => rank.checked_sub(1)?,
            _ => return None,
        };
        let channels = cx.dim(v, axis)?;
        (cx.is_f32(v) && !node.pools()).then_some(Layer { id, node, rank, axis, channels })
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
        let weights = cx.constant(self.node.input(1)?).filter(|w| w.dtype() == DType::F32)?;
        if bias.len() != self.channels {
            return None;
        }
        let unscaled = scale.iter().all(|&s| s == 1.0);
        let w = if unscaled { Tensor::clone(weights) } else { self.scale_weights(weights, scale)? };
        let bias = bias.iter().zip(scale).zip(shift).map(|((b, s), t)| b * s + t).collect();
        Some((w, bias))
    }

    fn scale_weights(&self, w: &Tensor, scale: &[f64]) -> Option<Tensor> {
        let shape = w.shape();
        // Runs of `run` elements belong to one channel; run `i` to channel `channel(i)`.
        let taps = |from: usize| shape[from..].iter().product::<usize>();
        let (run, channel): (usize, Box<dyn Fn(usize) -> usize>) = match &self.node.op {
            Op::Conv(_) => (taps(1), Box::new(|i| i)),
            Op::ConvTranspose(a) => {
                let per_group = *shape.get(1)?;
                let rows = shape[0].checked_div(a.groups)?.max(1);
                (taps(2), Box::new(move |i| i / per_group / rows * per_group + i % per_group))
            }
            Op::Dense(a) if a.transposed => (taps(1), Box::new(|i| i)),
            Op::Dense(_) => {
                let n = *shape.get(1)?;
                (1, Box::new(move |i| i % n))
            }
            _ => return None,
        };
        // One copy, straight from the file's bytes, which need not be aligned: large networks open quickly.
        let mut scaled = AlignedBuf::zeroed(w.bytes().len()).ok()?;
        let values: &mut [f32] = bytemuck::cast_slice_mut(scaled.as_mut_slice());
        let size = size_of::<f32>();
        let runs = values.chunks_mut(run.max(1)).zip(w.bytes().chunks(run.max(1) * size));
        for (i, (to, from)) in runs.enumerate() {
            let factor = *scale.get(channel(i))?;
            for (to, from) in to.iter_mut().zip(from.chunks_exact(size)) {
                let v: f32 = bytemuck::pod_read_unaligned(from);
                *to = (f64::from(v) * factor) as f32;
            }
        }
        Tensor::from_buffer(w.dtype(), shape, scaled).ok()
    }
}
