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
    epilogue::{self, Epilogue},
    stamp::{self, generic_kernel, stamp},
};
use engine::Engine;
use paring_core::{AlignedBuf, Layout};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Offer, Packed, Prepared, Problem, Reject,
    Scratch,
};
use paring_simd::{LANES, Simd};
use plan::Plan;
use std::sync::Arc;

generic_kernel! {
    /// Convolution by Fourier transforms of tiles.
    FftConv
}

stamp! {
    FftConv,
    FFT_AVX2 = "conv_fft_f32_avx2",
    FFT_PORTABLE = "conv_fft_f32_portable",
    "Convolution by Fourier transforms of tiles of 16 x 16 or 32 x 32, for windows from 5 x 5 to 31 x 31",
    ["Conv"],
    Transformed
}

const BLOCKED: Layout = Layout::Blocked(LANES as u8);

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
            let fused = epilogue::fusable(p, plan.outputs);
            let mut inputs = vec![None; p.inputs.len()];
            inputs[0] = Some(BLOCKED);
            for r in epilogue::residuals(p, fused) {
                inputs[r] = Some(BLOCKED);
            }
            out.push(Offer {
                inputs,
                outputs: vec![BLOCKED; p.outputs.len()],
                fused,
                scratch: Scratch {
                    shared: plan.scratch() * size_of::<f32>(),
                    per_worker: transform::memory(tiling.n) * size_of::<f32>(),
                },
                packed_bytes: plan.weights() * size_of::<f32>(),
                packed_format: format!("{}-{:?}", tiling.format, plan.window).into(),
                numerics: NumericClass::Transformed,
                in_place: epilogue::residuals(p, fused).next(),
                variant: variant as u32,
            });
        }
        why.filter(|_| out.len() == before).map_or(Ok(()), Err)
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Ok((tiling, plan)) = chosen(p, o) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let rate = stamp::rate::<S>(m);
        let tiles = plan.all_tiles() as f64;
        let macs = tiles * (plan.planes() * plan.inputs) as f64 * plan.width() as f64;
        // Sixteen multiply-adds per cycle at best.
        let cycle = 16.0 / rate;
        let (blocks_in, blocks_out) = ((plan.depth() / LANES) as f64, (plan.width() / LANES) as f64);
        let transforms = tiles * (blocks_in * tiling.cycles.0 + blocks_out * tiling.cycles.1) * cycle;
        // Filling and draining the accumulators takes as long as some eight terms of the sum, and each product of
        // a plane and a panel some forty cycles more.
        let calls = (plan.planes() * plan.panels() * plan.blocks()) as f64 * 40.0 * cycle;
        let multiply = macs * (1.0 + 8.0 / plan.inputs as f64) / (0.97 * rate) + calls;
        let weights = m.weights(o.packed_bytes, plan.blocks());
        // Measured: a block of up to four times the second-level cache costs no time of its own, as its planes are
        // fetched while others are worked on; from fourteen times on it costs that of reading it five times.
        let block = (plan.scratch() * size_of::<f32>()) as f64;
        let share = ((block / m.l2 as f64 - 4.0) / 10.0).clamp(0.0, 1.0);
        let spilt = share * 5.0 * block * plan.blocks() as f64 / m.l3_bandwidth;
        let bytes = |i: Option<&paring_kernel::Operand>| i.and_then(|i| i.bytes(BLOCKED)).unwrap_or(0) as f64;
        let moved = bytes(p.input(0)) + bytes(p.output(0)) * (1 + epilogue::residuals(p, o.fused).count()) as f64;
        // As for Winograd: reading ahead hides most of the weights' or of the products' time, whichever is less.
        let ns = multiply.max(weights) + 0.25 * multiply.min(weights) + spilt + transforms + 300.0;
        Cost { ns, bytes: moved + o.packed_bytes as f64 }
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let (_, plan) = chosen(p, o)?;
        let weights = stamp::weights(p, 1)?;
        let taps: usize = plan.window.iter().product();
        if weights.len() != plan.outputs * plan.inputs * taps || plan.weights() * size_of::<f32>() != o.packed_bytes {
            return Err(KernelError::Problem("the offer is of another problem".into()));
        }
        let mut data = AlignedBuf::zeroed(o.packed_bytes)?;
        let packed = bytemuck::cast_slice_mut(data.as_mut_slice());
        stamp::token::<S>()?.vectorize(pack::Pack { plan: &plan, weights: &weights, packed });
        Ok(Packed { data })
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (_, plan) = chosen(p, o)?;
        let epilogue = Epilogue::new(p, o.fused, plan.outputs, true)?;
        let nothing = Epilogue::new(p, 0, plan.outputs, true)?;
        let s = stamp::token::<S>()?;
        Ok(match plan.n {
            16 => Box::new(Engine::<S, 16>::new(s, plan, packed, epilogue, nothing)?),
            _ => Box::new(Engine::<S, 32>::new(s, plan, packed, epilogue, nothing)?),
        })
    }
}

/// The tiling and the plan of an offer that was chosen.
fn chosen(p: &Problem, o: &Offer) -> Result<(&'static Tiling, Plan), KernelError> {
    let tiling = TILINGS.get(o.variant as usize);
    let tiling = tiling.ok_or_else(|| KernelError::Problem("the offer is of another kernel".into()))?;
    Ok((tiling, Plan::new(p, tiling.n).map_err(|r| KernelError::Problem(r.to_string()))?))
}
