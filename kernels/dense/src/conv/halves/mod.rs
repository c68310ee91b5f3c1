//! Direct convolution of numbers that are made halves first: of sixteen bits, one, two or three for each number.

#[cfg(target_arch = "x86_64")]
mod bf16;
mod engine;
#[cfg(target_arch = "aarch64")]
mod fp16;
mod way;

use super::{engine::halo, geometry::Geometry, lower::Walk};
use crate::{epilogue, stamp};
use core::marker::PhantomData;
use engine::{Cuts, Engine, Room};
use paring_core::{AlignedBuf, Layout, Op, op::EpiOp};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch,
};
use paring_simd::{LANES, Simd, act::is_cheap};
use std::sync::Arc;
use way::{Rates, Way};

/// Convolution of sums of `bf16`: of two for each number where its class is `Reduced`, or else three.
#[cfg(target_arch = "x86_64")]
pub type SplitConv<S> = HalvesConv<S, paring_simd::amx::Pieces>;

/// Convolution in half precision.
#[cfg(target_arch = "aarch64")]
pub type HalfConv<S> = HalvesConv<S, fp16::Halves>;

/// Direct convolution on blocks of eight channels, of numbers made halves, which does all else with the instructions of `S`.
pub struct HalvesConv<S, W> {
    descriptor: &'static KernelDescriptor,
    _kind: PhantomData<fn() -> (S, W)>,
}

impl<S, W: Way> HalvesConv<S, W> {
    /// Described by `descriptor`.
    pub const fn new(descriptor: &'static KernelDescriptor) -> Self {
        HalvesConv { descriptor, _kind: PhantomData }
    }

    fn way(&self) -> W {
        W::of(self.descriptor.numerics)
    }

    /// The geometry of a convolution that is served.
    fn geometry(&self, p: &Problem) -> Result<Geometry, Reject> {
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        if !p.numerics.allows(self.descriptor.numerics) {
            return Err(Reject::because(self.way().excluded()));
        }
        let g = Geometry::of_conv(p, a)?;
        if g.groups != 1 || g.walk(LANES) != Walk::Blocks {
            return Err(Reject::because("only one group, and input channels in whole blocks"));
        }
        Ok(g)
    }
}

/// Columns of a panel.
const PANEL: usize = 2 * LANES;

/// Terms of the sum of one pixel and one column.
fn terms(g: &Geometry) -> usize {
    g.depth.next_multiple_of(LANES) * g.taps
}

/// Steps of such a sum.
fn steps<W: Way>(g: &Geometry) -> usize {
    terms(g).div_ceil(W::TERMS)
}

/// Steps that are summed before the sums are put aside.
fn steps_abreast<W: Way>(g: &Geometry, way: W) -> usize {
    let (steps, most) = (steps::<W>(g), W::INPUT_BYTES / (W::PIXELS / W::GROUP * way.input_bytes()));
    steps.div_ceil(steps.div_ceil(most))
}

/// Bytes of packed weights; `None` on overflow.
fn packed_bytes<W: Way>(g: &Geometry, way: W) -> Option<usize> {
    g.outputs.div_ceil(PANEL).checked_mul(steps::<W>(g))?.checked_mul(way.weight_bytes())
}

/// The weights, panel by panel and step by step.
fn pack<W: Way>(g: &Geometry, way: W, weights: &[f32]) -> Result<AlignedBuf, KernelError> {
    let too_large = || KernelError::Problem("the weights are too large".into());
    let rows = g.sizes(Walk::Blocks).ok_or_else(too_large)?.0;
    let rows = g.pack(Walk::Blocks, rows, weights)?;
    let rows: &[f32] = bytemuck::cast_slice(rows.as_slice());
    let mut buf = AlignedBuf::zeroed(packed_bytes(g, way).ok_or_else(too_large)?)?;
    let terms = terms(g);
    // For each column where its terms are: the first, and from one to the next.
    let (mut places, mut from) = (Vec::with_capacity(g.outputs), 0);
    for c in crate::panel::columns(g.outputs, 1) {
        places.extend((0..c.lanes).map(|lane| (from + lane, c.width())));
        from += terms * c.width();
    }
    let mut out = buf.as_mut_slice().chunks_exact_mut(way.weight_bytes());
    for places in places.chunks(PANEL) {
        for (first, out) in (0..terms).step_by(W::TERMS).zip(&mut out) {
            let mut step = vec![[0f32; PANEL]; W::TERMS.min(terms - first)];
            for (column, &(from, width)) in places.iter().enumerate() {
                for (k, row) in step.iter_mut().enumerate() {
                    row[column] = rows[from + (first + k) * width];
                }
            }
            way.pack(&step, out);
        }
    }
    Ok(buf)
}

impl<S: Simd, W: Way> Kernel for HalvesConv<S, W> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        // Beside what its descriptor names.
        if !m.isa.has(S::ISA) {
            return Err(format!("needs {} as well", S::ISA).into());
        }
        let (g, way) = (self.geometry(p)?, self.way());
        let packed_bytes = packed_bytes(&g, way).ok_or_else(|| Reject::because("the weights are too large"))?;
        let per_worker = Room::of(&g, way, &Cuts::of::<W>(&g)).bytes::<W>();
        let shared = halo(&g, LANES).map_or(0, |h| h.elements() * size_of::<f32>());
        let fused = epilogue::fusable(p, g.outputs);
        out.push(Offer {
            scratch: Scratch { shared, per_worker },
            packed_bytes,
            packed_format: way.format().into(),
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
        let cycle = 32.0 / m.gmacs;
        let Rates { terms, products, convert, begin } = self.way().rates(terms(&g));
        // Finishing takes longer for an activation that waits for itself.
        let waits = |e: &EpiOp| matches!(e, EpiOp::Act(act) if !is_cheap(*act));
        let finish = if p.epilogue[..o.fused].iter().any(waits) { 2.0 } else { 0.5 };
        let (terms, panels) = (terms as f64, g.outputs.div_ceil(PANEL));
        let rounds = steps::<W>(&g).div_ceil(steps_abreast(&g, self.way()));
        let begun = (pixels / W::GROUP as f64).ceil() * (panels.div_ceil(W::ABREAST) * rounds) as f64;
        // Tasks of the same pixels convert them each.
        let convert = convert * Cuts::of::<W>(&g).parts as f64;
        let multiply = pixels * terms * (panels * PANEL) as f64 / products + begin * begun;
        let compute = (multiply + pixels * terms * convert + elements * finish) * cycle;
        // Weights are read once for each block of pixels.
        let blocks = (pixels / W::PIXELS as f64).ceil() as usize;
        let stream = m.weights(o.packed_bytes, blocks) + stored / (2.0 * m.l3_bandwidth);
        let copy = o.scratch.shared as f64 * 2.0 / m.l3_bandwidth;
        Cost {
            ns: compute.max(stream) + 0.5 * compute.min(stream) + copy + 500.0,
            bytes: input + stored + o.packed_bytes as f64 + 2.0 * o.scratch.shared as f64,
        }
    }

    fn pack(&self, p: &Problem, _o: &Offer) -> Result<Packed, KernelError> {
        let g = self.geometry(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(pack(&g, self.way(), &stamp::weights(p, 1)?)?.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let g = self.geometry(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let lacks = || KernelError::Problem(format!("this machine lacks {}", self.descriptor.isa));
        let proof = W::detect().ok_or_else(lacks)?;
        Ok(Box::new(Engine::new(stamp::token::<S>()?, (proof, self.way()), p, o, g, packed)?))
    }
}
