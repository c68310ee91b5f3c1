//! Convolution as a product of the weights with a matrix of patches, made a panel at a time (im2col).
//!
//! The slow but general one: up to six spatial axes, any padding, and weights that are known only while running.
//! Nothing is packed: a row of the weights is a row of the product. Sixteen output pixels make a panel whose rows are
//! the elements of their patches, so that memory is bounded by the length of the sum, not by the image.

mod engine;
mod gather;

use crate::{
    conv::{Extent, only_f32, product},
    epilogue::{self, Epilogue},
    stamp::{self, generic_kernel},
};
use engine::{Bound, Weights};
use gather::{MOST_AXES, Patches};
use paring_core::{Layout, Op};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch,
};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

generic_kernel! {
    /// Convolution as a product with patches.
    Im2col
}

/// Output pixels of a panel.
const PANEL: usize = 2 * LANES;
/// Most bytes of a worker's panel.
const PANEL_BYTES: usize = 64 << 20;

/// The patches of `p`.
fn patches(p: &Problem) -> Result<Patches, Reject> {
    let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
    only_f32(p)?;
    let e = Extent::of(p, a)?;
    if e.input.len() > MOST_AXES {
        return Err(Reject::from(format!("more than {MOST_AXES} spatial axes")));
    }
    let too_long = || Reject::because("the sum is too long");
    let taps = product(&a.kernel).ok_or_else(too_long)?;
    let sum = product(&[e.depth, taps, PANEL * size_of::<f32>()]).ok_or_else(too_long)?;
    if sum > PANEL_BYTES {
        return Err(too_long());
    }
    Ok(Patches::new(&e, a, taps))
}

/// How many steps of the epilogue can be fused: rows are channels, so that only what is the same for all of them can.
fn fusable(p: &Problem) -> usize {
    epilogue::fusable(p, usize::MAX)
}

impl<S: Simd> Kernel for Im2col<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let patches = patches(p)?;
        let mut offer = epilogue::offer(p, fusable(p), Layout::Plain, Layout::Plain);
        offer.inputs[1] = p.constant(1).is_none().then_some(Layout::Plain);
        offer.scratch = Scratch { shared: 0, per_worker: patches.panel() * size_of::<f32>() };
        out.push(offer);
        Ok(())
    }

    fn cost(&self, p: &Problem, _o: &Offer, m: &Machine) -> Cost {
        let Ok(e) = patches(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let rate = stamp::rate(S::ISA, m);
        // A panel is made for each group of each sample.
        let panels = (e.samples * e.groups * e.pixels().div_ceil(PANEL)) as f64;
        let elements = panels * e.panel() as f64;
        let compute = elements * (e.outputs / e.groups) as f64 / (0.85 * rate);
        // Measured: an element takes three cycles, and finding the places of a tap, which all channels share, 25 for each.
        let gather = elements * (3.0 + 25.0 * e.taps as f64 / e.sum() as f64) * stamp::cycle(S::ISA, m);
        let bytes = |i: usize| p.input(i).and_then(|x| x.bytes(Layout::Plain)).unwrap_or(0) as f64;
        let weights = m.weights(bytes(1) as usize, e.pixels().div_ceil(PANEL));
        let moved = bytes(0) + bytes(1) + (e.samples * e.outputs * e.pixels() * size_of::<f32>()) as f64;
        Cost { ns: compute.max(weights) + 0.25 * compute.min(weights) + gather + 300.0, bytes: moved }
    }

    fn prepare(&self, p: &Problem, o: &Offer, _packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let patches = patches(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let epilogue = Epilogue::new(p, o.fused, PANEL, false)?;
        Ok(Box::new(Bound { s: stamp::token::<S>()?, patches, weights: Weights::new(p), epilogue }))
    }
}
