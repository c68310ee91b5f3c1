//! Depthwise convolution on blocks of eight channels.
//!
//! A lane is a channel, so there is nothing to sum across lanes. Each column of the input is loaded once for all the
//! windows of a row of pixels that it is in; the weights of a row of taps stay in registers. Borders cost no memory:
//! rows of taps outside the input are left out, columns outside it are skipped in the first and last pixels of a row.

mod engine;
pub mod tile;

use crate::{
    conv::Geometry,
    epilogue::{self, Epilogue},
    stamp::{self, generic_kernel},
};
use engine::{Engine, Extents};
use paring_core::{AlignedBuf, Layout, Op};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch,
};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

generic_kernel! {
    /// Depthwise convolution.
    Depthwise
}

/// Largest stride and dilation.
const MAX_STEP: usize = 1 << 24;

const BLOCKED: Layout = Layout::Blocked(LANES as u8);

/// The extents of `p`.
fn extents(p: &Problem) -> Result<Extents, Reject> {
    let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
    let g = Geometry::of_conv(p, a)?;
    if g.depth != 1 {
        return Err(Reject::because("groups have more than one input channel"));
    }
    if a.kernel.len() > 2 {
        return Err(Reject::because("only one or two spatial axes"));
    }
    // Tiles compute places of pixels that a row lacks, and must not overflow there.
    if a.stride.iter().chain(&a.dilation).any(|&d| d > MAX_STEP) {
        return Err(Reject::because("the stride or dilation is too large"));
    }
    Ok(Extents::new(&g, a))
}

impl<S: Simd> Kernel for Depthwise<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let e = extents(p)?;
        let fused = epilogue::fusable(p, e.outputs);
        out.push(Offer {
            scratch: Scratch { shared: 0, per_worker: e.gathered() * size_of::<f32>() },
            packed_bytes: e.blocks() * e.taps() * LANES * size_of::<f32>(),
            packed_format: "depthwise-f32-8".into(),
            ..epilogue::offer(p, fused, BLOCKED, BLOCKED)
        });
        Ok(())
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Ok(e) = extents(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let pixels = |[h, w]: [usize; 2]| (h * w) as f64;
        let block = (e.samples * LANES * size_of::<f32>()) as f64;
        let input = block * e.inputs.div_ceil(LANES) as f64 * pixels(e.input);
        let output = block * e.blocks() as f64 * pixels(e.output);
        let residual = output * epilogue::residuals(p, o.fused).count() as f64;
        // Rows are computed in fours or eights.
        let (rows, row) = (e.samples * e.blocks() * e.output[0], e.output[1].next_multiple_of(4));
        let macs = (rows * row * LANES * e.taps()) as f64;
        // Measured: shares of the peak, and the time that a row takes besides.
        let eta = match (e.kernel[1], e.stride[1], e.dilation[1]) {
            (3 | 5 | 7, 1, 1) => 0.85,
            (3 | 5, 2, 1) => 0.5,
            _ => 0.35,
        };
        let gather = if e.source.is_some() { input * 0.5 } else { 0.0 };
        let compute = macs / (stamp::rate(S::ISA, m) * eta) + 4.0 * rows as f64 + gather;
        let bytes = input + output + residual;
        let stream = bytes / m.bandwidth(bytes as usize);
        Cost { ns: compute.max(stream) + 0.1 * compute.min(stream) + 200.0, bytes }
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let e = chosen(p)?;
        let weights = p.const_f32s(1).ok_or_else(|| KernelError::Problem("the weights are not constant f32".into()))?;
        let taps = e.taps();
        if weights.len() != e.outputs * taps || o.packed_bytes != e.blocks() * taps * LANES * size_of::<f32>() {
            return Err(KernelError::Problem("the offer is of another problem".into()));
        }
        let mut data = AlignedBuf::zeroed(o.packed_bytes)?;
        let packed: &mut [f32] = bytemuck::cast_slice_mut(data.as_mut_slice());
        for (channel, w) in weights.chunks_exact(taps).enumerate() {
            let to = channel / LANES * taps * LANES + channel % LANES;
            for (tap, &w) in w.iter().enumerate() {
                packed[to + tap * LANES] = w;
            }
        }
        Ok(data.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let e = chosen(p)?;
        let epilogue = Epilogue::new(p, o.fused, e.outputs, true)?;
        Ok(Box::new(Engine::new(stamp::token::<S>()?, e, packed, epilogue)?))
    }
}

/// The extents of a problem that an offer was made for.
fn chosen(p: &Problem) -> Result<Extents, KernelError> {
    extents(p).map_err(|r| KernelError::Problem(r.to_string()))
}
