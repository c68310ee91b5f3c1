//! Direct convolution of numbers that are split into two or three of sixteen bits each, by tiles.
//!
//! AMX multiplies `bf16` sixteen times as fast as AVX-512 multiplies `f32`. A number is the sum of three: the `bf16` nearest to
//! it, the one nearest to what that lacks, and what both lack; of their nine products six are not less than the last bit of the
//! number's own. It is all but the sum of the first two: three products then make one of numbers, but for 2^-15 of each at most
//! (Henry, Tang, Heinecke: "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", 2019).

mod engine;

use super::{engine::halo, geometry::Geometry, lower::Walk};
use crate::{epilogue, stamp};
use engine::{Cuts, Engine, Room};
use half::bf16;
use paring_core::{AlignedBuf, Layout, Op, op::EpiOp};
use paring_kernel::{
    Cost, Isa, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Offer, Packed, Prepared, Problem, Reject,
    Scratch,
};
use paring_simd::{
    LANES, Simd,
    act::is_cheap,
    amx::{Amx, GROUP, Pieces, ROW_BYTES, SPLIT_TERMS, TILE_ROWS},
};
use std::sync::Arc;

stamp::generic_kernel! {
    /// Direct convolution on blocks of eight channels, of split numbers: in two pieces where its class is `Reduced`.
    SplitConv
}

impl<S> SplitConv<S> {
    fn pieces(&self) -> Pieces {
        match self.descriptor.numerics {
            NumericClass::Reduced => Pieces::Two,
            _ => Pieces::Three,
        }
    }

    /// The geometry of a convolution that is served.
    fn geometry(&self, p: &Problem) -> Result<Geometry, Reject> {
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        if !p.numerics.allows(self.descriptor.numerics) {
            return Err(Reject::because(match self.pieces() {
                Pieces::Two => "only numerics 'fast' allow numbers in two pieces",
                Pieces::Three => "numerics 'strict' exclude split numbers",
            }));
        }
        let g = Geometry::of_conv(p, a)?;
        if g.groups != 1 || g.walk(LANES) != Walk::Blocks {
            return Err(Reject::because("only one group, and input channels in whole blocks"));
        }
        Ok(g)
    }
}

/// Columns of a panel.
const PANEL: usize = TILE_ROWS;
/// Pixels that are split before they are multiplied.
const PIXELS: usize = 4 * GROUP;
/// Bytes of the split inputs of [`PIXELS`]: they stay in the second-level cache.
const INPUT_BYTES: usize = 400 << 10;

/// Steps of the sum of one pixel and one column.
fn steps(g: &Geometry) -> usize {
    (g.depth.next_multiple_of(LANES) * g.taps).div_ceil(SPLIT_TERMS)
}

/// Steps that are summed before the sums are put aside.
fn steps_abreast(g: &Geometry, pieces: Pieces) -> usize {
    let most = INPUT_BYTES / (PIXELS / GROUP * pieces.input_bytes());
    steps(g).div_ceil(steps(g).div_ceil(most))
}

/// Bytes of packed weights; `None` on overflow.
fn packed_bytes(g: &Geometry, pieces: Pieces) -> Option<usize> {
    g.outputs.div_ceil(PANEL).checked_mul(steps(g))?.checked_mul(pieces.weight_bytes())
}

/// The weights, panel by panel and step by step: first pieces, then second ones, and third, two terms for each column.
fn pack(g: &Geometry, pieces: Pieces, weights: &[f32]) -> Result<AlignedBuf, KernelError> {
    const ROW: usize = ROW_BYTES / size_of::<bf16>();
    let too_large = || KernelError::Problem("the weights are too large".into());
    let (rows, steps) = (g.sizes(Walk::Blocks).ok_or_else(too_large)?.0, steps(g));
    let rows = g.pack(Walk::Blocks, rows, weights)?;
    let rows: &[f32] = bytemuck::cast_slice(rows.as_slice());
    let mut buf = AlignedBuf::zeroed(packed_bytes(g, pieces).ok_or_else(too_large)?)?;
    let numbers: &mut [bf16] = bytemuck::cast_slice_mut(buf.as_mut_slice());
    let depth = g.depth.next_multiple_of(LANES) * g.taps;
    let mut from = 0;
    for c in crate::panel::columns(g.outputs, 1) {
        for k in 0..depth {
            for lane in 0..c.lanes {
                let column = c.first + lane;
                let step = (column / PANEL * steps + k / SPLIT_TERMS) * pieces.count() * TILE_ROWS * ROW;
                let at = step + k % SPLIT_TERMS / 2 * ROW + column % PANEL * 2 + k % 2;
                let mut rest = rows[from + k * c.width() + lane];
                for piece in 0..pieces.count() {
                    let nearest = bf16::from_f32(rest);
                    numbers[at + piece * TILE_ROWS * ROW] = nearest;
                    rest -= nearest.to_f32();
                }
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
        let (g, pieces) = (self.geometry(p)?, self.pieces());
        let packed_bytes = packed_bytes(&g, pieces).ok_or_else(|| Reject::because("the weights are too large"))?;
        let per_worker = Room::of(&g, pieces, &Cuts::of(&g)).bytes();
        let shared = halo(&g, LANES).map_or(0, |h| h.elements() * size_of::<f32>());
        let fused = epilogue::fusable(p, g.outputs);
        out.push(Offer {
            scratch: Scratch { shared, per_worker },
            packed_bytes,
            packed_format: format!("conv-split-bf16x{}", pieces.count()).into(),
            numerics: self.descriptor.numerics,
            ..epilogue::offer(p, fused, Layout::Blocked(8), Layout::Blocked(8))
        });
        Ok(())
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Ok(g) = self.geometry(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let elements = p.output(0).map_or(0, |y| y.len()) as f64;
        let pixels = elements / g.outputs as f64;
        let input = p.input(0).and_then(|x| x.bytes(Layout::Blocked(8))).unwrap_or(0) as f64;
        let stored = 4.0 * elements * (1 + epilogue::residuals(p, o.fused).count()) as f64;
        // Measured, in cycles: so many products in each, of 170 or 85 at best, fewer where operands come from the second-level cache;
        // splitting, and finishing, the longer for an activation that waits for itself; and 200 for each product of tiles, to begin
        // and to end.
        let cycle = 32.0 / m.gmacs;
        let (rate, split) = match (self.pieces(), steps(&g) > 16) {
            (Pieces::Two, false) => (90.0, 0.7),
            (Pieces::Two, true) => (70.0, 0.7),
            (Pieces::Three, false) => (60.0, 0.9),
            (Pieces::Three, true) => (42.0, 0.9),
        };
        let waits = |e: &EpiOp| matches!(e, EpiOp::Act(act) if !is_cheap(*act));
        let finish = if p.epilogue[..o.fused].iter().any(waits) { 2.0 } else { 0.5 };
        let (terms, panels) = ((steps(&g) * SPLIT_TERMS) as f64, g.outputs.div_ceil(PANEL));
        let rounds = steps(&g).div_ceil(steps_abreast(&g, self.pieces()));
        let products = (pixels / GROUP as f64).ceil() * (panels.div_ceil(2) * rounds) as f64;
        // Tasks of the same pixels split them each.
        let split = split * Cuts::of(&g).parts as f64;
        let multiply = pixels * terms * (panels * PANEL) as f64 / rate + 200.0 * products;
        let compute = (multiply + pixels * terms * split + elements * finish) * cycle;
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
        let g = self.geometry(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(pack(&g, self.pieces(), &stamp::weights(p, 1)?)?.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let g = self.geometry(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let amx = Amx::detect().ok_or_else(|| KernelError::Problem("this machine lacks amx".into()))?;
        Ok(Box::new(Engine::new(stamp::token::<S>()?, (amx, self.pieces()), p, o, g, packed)?))
    }
}
