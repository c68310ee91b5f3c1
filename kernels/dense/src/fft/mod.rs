//! Convolution by Fourier transforms, for large windows with stride 1.
//!
//! Tiles of the input, which overlap by the window, are transformed, multiplied frequency by frequency by transformed
//! weights, and transformed back with the epilogue (overlap-save). Real input needs half the frequencies. A complex
//! product of matrices is made of three real ones by the shared micro-kernel, of the sum of the parts and of each part
//! (after Gauss): that makes 2.7 multiplications for each output of a window of 5 x 5 or 9 x 9, where the direct sum
//! takes 25 or 81.

mod engine;
mod fourier;
mod pack;
mod plan;
mod transform;

use crate::{
    stamp::{self, generic_kernel},
    tiled::{self, Layer, Rates},
};
use engine::Engine;
use paring_core::AlignedBuf;
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch,
};
use paring_simd::Simd;
use plan::Plan;
use std::sync::Arc;

generic_kernel! {
    /// Convolution by Fourier transforms of tiles.
    FftConv
}

/// What differs between tiles.
struct Tiling {
    /// Inputs of a tile along each axis.
    n: usize,
    /// Names the packed weights.
    format: &'static str,
    /// Measured cycles of the input and of the output transform of a tile and eight channels.
    cycles: (f64, f64),
}

/// Variants of offers.
const TILINGS: [Tiling; 2] = [
    Tiling { n: 16, format: "fft-16", cycles: (3000.0, 2600.0) },
    Tiling { n: 32, format: "fft-32", cycles: (11800.0, 10500.0) },
];

impl<S: Simd> Kernel for FftConv<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let mut why = None;
        let before = out.len();
        for (variant, tiling) in TILINGS.iter().enumerate() {
            let plan = match Plan::new(p, tiling.n) {
                Ok(plan) => plan,
                Err(reason) => {
                    why = why.or(Some(reason));
                    continue;
                }
            };
            out.push(Offer {
                scratch: Scratch {
                    shared: plan.grid.scratch() * size_of::<f32>(),
                    per_worker: transform::memory(tiling.n) * size_of::<f32>(),
                },
                packed_format: format!("{}-{:?}", tiling.format, plan.window).into(),
                variant: variant as u32,
                ..tiled::offer(p, &plan.grid)
            });
        }
        why.filter(|_| out.len() == before).map_or(Ok(()), Err)
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Ok((tiling, plan)) = chosen(p, o) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        // Measured: a block of up to four times the second-level cache costs no time of its own, as its planes are
        // fetched while others are worked on; from fourteen times on it costs that of reading it five times.
        let block = (plan.grid.scratch() * size_of::<f32>()) as f64;
        let spilt = 5.0 * ((block / m.l2 as f64 - 4.0) / 10.0).clamp(0.0, 1.0);
        let spilt = spilt * block * plan.grid.blocks() as f64;
        tiled::cost(p, o, m, &plan.grid, Rates::of(S::ISA, m), tiling.cycles, 40.0, spilt)
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let (_, plan) = chosen(p, o)?;
        let weights = stamp::weights(p, 1)?;
        let taps: usize = plan.window.iter().product();
        let grid = &plan.grid;
        if weights.len() != grid.outputs * grid.inputs * taps || grid.weights() * size_of::<f32>() != o.packed_bytes {
            return Err(KernelError::Problem("the offer is of another problem".into()));
        }
        let mut data = AlignedBuf::zeroed(o.packed_bytes)?;
        let packed = bytemuck::cast_slice_mut(data.as_mut_slice());
        stamp::token::<S>()?.vectorize(pack::Pack { plan: &plan, weights: &weights, packed });
        Ok(data.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (tiling, plan) = chosen(p, o)?;
        let s = stamp::token::<S>()?;
        let layer = Layer::new(p, o, plan.grid, packed)?;
        Ok(match tiling.n {
            16 => Box::new(Engine::<S, 16> { s, layer }),
            _ => Box::new(Engine::<S, 32> { s, layer }),
        })
    }
}

/// The tiling and the plan of an offer that was chosen.
fn chosen(p: &Problem, o: &Offer) -> Result<(&'static Tiling, Plan), KernelError> {
    let tiling = TILINGS.get(o.variant as usize);
    let tiling = tiling.ok_or_else(|| KernelError::Problem("the offer is of another kernel".into()))?;
    Ok((tiling, Plan::new(p, tiling.n).map_err(|r| KernelError::Problem(r.to_string()))?))
}
