//! Direct convolution of numbers that are split into two of sixteen bits each, by tiles.
//!
//! AMX multiplies `bf16` sixteen times as fast as AVX-512 multiplies `f32`. A number is all but the sum of two: the `bf16` nearest to
//! it, and the one nearest to what that lacks. Three products of tiles then make one of numbers, but for 2^-15 of each at most
//! (Henry, Tang, Heinecke: "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", 2019).

mod engine;

use super::{engine::halo, geometry::Geometry, lower::Walk};
use crate::{epilogue, stamp};
use engine::Engine;
use half::bf16;
use paring_core::{AlignedBuf, Layout, Op};
use paring_kernel::{
    Cost, Isa, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Numerics, Offer, Packed, Prepared,
    Problem, Reject, Scratch,
};
use paring_simd::{
    LANES, Simd,
    amx::{Amx, GROUP, ROW_BYTES, SPLIT_STEP, SPLIT_TERMS, TILE_ROWS},
};
use std::sync::Arc;

stamp::generic_kernel! {
    /// Direct convolution on blocks of eight channels, of split numbers.
    SplitConv
}

/// Columns of a panel.
const PANEL: usize = TILE_ROWS;
/// Pixels that are split before they are multiplied.
const PIXELS: usize = 2 * GROUP;

/// Steps of the sum of one pixel and one column.
fn steps(g: &Geometry) -> usize {
    (g.depth.next_multiple_of(LANES) * g.taps).div_ceil(SPLIT_TERMS)
}

/// Bytes of packed weights; `None` on overflow.
fn packed_bytes(g: &Geometry) -> Option<usize> {
    g.outputs.div_ceil(PANEL).checked_mul(steps(g))?.checked_mul(SPLIT_STEP[1])
}

/// The geometry of a convolution that is served.
fn geometry(p: &Problem) -> Result<Geometry, Reject> {
    let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
    if p.numerics != Numerics::Fast {
        return Err(Reject::because("only numerics 'fast' allow split numbers"));
    }
    let g = Geometry::of_conv(p, a)?;
    if g.groups != 1 || g.walk(LANES) != Walk::Blocks {
        return Err(Reject::because("only one group, and input channels in whole blocks"));
    }
    Ok(g)
}

/// The weights, panel by panel and step by step: first halves, then second ones, two terms for each column.
fn pack(g: &Geometry, weights: &[f32]) -> Result<AlignedBuf, KernelError> {
    let too_large = || KernelError::Problem("the weights are too large".into());
    let (rows, steps) = (g.sizes(Walk::Blocks).ok_or_else(too_large)?.0, steps(g));
    let rows = g.pack(Walk::Blocks, rows, weights)?;
    let rows: &[f32] = bytemuck::cast_slice(rows.as_slice());
    let mut buf = AlignedBuf::zeroed(packed_bytes(g).ok_or_else(too_large)?)?;
    let halves: &mut [bf16] = bytemuck::cast_slice_mut(buf.as_mut_slice());
    let depth = g.depth.next_multiple_of(LANES) * g.taps;
    let mut from = 0;
    for c in crate::panel::columns(g.outputs, 1) {
        for k in 0..depth {
            for lane in 0..c.lanes {
                let (column, value) = (c.first + lane, rows[from + k * c.width() + lane]);
                let step = (column / PANEL * steps + k / SPLIT_TERMS) * SPLIT_STEP[1] / size_of::<bf16>();
                let at = step + k % SPLIT_TERMS / 2 * ROW_BYTES / size_of::<bf16>() + column % PANEL * 2 + k % 2;
                let first = bf16::from_f32(value);
                halves[at] = first;
                halves[at + TILE_ROWS * ROW_BYTES / size_of::<bf16>()] = bf16::from_f32(value - first.to_f32());
            }
        }
        from += depth * c.width();
    }
    Ok(buf)
}

impl<S: Simd> Kernel for SplitConv<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        // Beside what its descriptor names.
        if !m.isa.has(Isa::Avx512) {
            return Err(Reject::because("needs avx512 as well"));
        }
        let g = geometry(p)?;
        let packed_bytes = packed_bytes(&g).ok_or_else(|| Reject::because("the weights are too large"))?;
        let split = steps(&g).checked_mul(PIXELS / GROUP * SPLIT_STEP[0]);
        let per_worker = split.ok_or_else(|| Reject::because("the sums are too long"))?;
        let shared = halo(&g, LANES).map_or(0, |h| h.elements() * size_of::<f32>());
        let fused = epilogue::fusable(p, g.outputs);
        out.push(Offer {
            scratch: Scratch { shared, per_worker },
            packed_bytes,
            packed_format: "conv-split-bf16".into(),
            numerics: NumericClass::Reduced,
            ..epilogue::offer(p, fused, Layout::Blocked(8), Layout::Blocked(8))
        });
        Ok(())
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Ok(g) = geometry(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let elements = p.output(0).map_or(0, |y| y.len()) as f64;
        let pixels = elements / g.outputs as f64;
        let input = p.input(0).and_then(|x| x.bytes(Layout::Blocked(8))).unwrap_or(0) as f64;
        let stored = 4.0 * elements * (1 + epilogue::residuals(p, o.fused).count()) as f64;
        // Measured, in cycles: products of 80 numbers in each, of 170 at best, or of 60 where operands come from the second-level
        // cache; five split numbers, or three finished ones; and 200 for each product of tiles, to begin and to end.
        let cycle = 32.0 / m.gmacs;
        let rate = if steps(&g) > 16 { 60.0 } else { 80.0 };
        let (terms, panels) = ((steps(&g) * SPLIT_TERMS) as f64, g.outputs.div_ceil(PANEL));
        let products = (pixels / GROUP as f64).ceil() * panels.div_ceil(2) as f64;
        let multiply = pixels * terms * (panels * PANEL) as f64 / rate + 200.0 * products;
        let compute = (multiply + pixels * terms / 5.0 + elements / 3.0) * cycle;
        // Weights are read once for each block of pixels.
        let blocks = (pixels / PIXELS as f64).ceil() as usize;
        let stream = m.weights(o.packed_bytes, blocks) + stored / (2.0 * m.l3_bandwidth);
        let copy = o.scratch.shared as f64 * 2.0 / m.l3_bandwidth;
        Cost {
            ns: compute.max(stream) + 0.5 * compute.min(stream) + copy + 500.0,
            bytes: input + stored + o.packed_bytes as f64 + 2.0 * o.scratch.shared as f64,
        }
    }

    fn pack(&self, p: &Problem, _o: &Offer) -> Result<Packed, KernelError> {
        let g = geometry(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(pack(&g, &stamp::weights(p, 1)?)?.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let g = geometry(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let amx = Amx::detect().ok_or_else(|| KernelError::Problem("this machine lacks amx".into()))?;
        Ok(Box::new(Engine::new(stamp::token::<S>()?, amx, p, o, g, packed)?))
    }
}
