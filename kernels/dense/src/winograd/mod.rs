//! Winograd convolution for windows of 3 x 3 with stride 1.
//!
//! Tiles of the input are transformed, multiplied position by position by transformed weights (as many matrix products
//! as a tile has positions, by the shared micro-kernel), and transformed back with the epilogue. F(2, 3) takes 2.25
//! times fewer multiplications than the direct sum, F(4, 3) four times fewer, for more memory traffic.

mod engine;
mod plan;
mod scheme;
mod transform;

use crate::{
    epilogue::{self, Epilogue},
    stamp::{self, stamp},
};
use core::marker::PhantomData;
use engine::Engine;
use paring_core::{AlignedBuf, Layout};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Offer, Packed, Prepared, Problem, Reject,
    Scratch,
};
use paring_simd::{LANES, Simd};
use plan::{PANEL, Plan};
use scheme::{F2, F4, Scheme};
use std::sync::Arc;

/// Winograd convolution by one scheme.
pub struct Winograd<S, F, const N: usize, const M: usize> {
    descriptor: &'static KernelDescriptor,
    _marker: PhantomData<fn() -> (S, F)>,
}

impl<S, F, const N: usize, const M: usize> Winograd<S, F, N, M> {
    const fn new(descriptor: &'static KernelDescriptor) -> Self {
        Winograd { descriptor, _marker: PhantomData }
    }
}

type WinogradF2<S> = Winograd<S, F2, 4, 2>;
type WinogradF4<S> = Winograd<S, F4, 6, 4>;

stamp! {
    WinogradF2,
    F2_AVX2 = "conv_winograd_f2_f32_avx2",
    F2_PORTABLE = "conv_winograd_f2_f32_portable",
    "Winograd convolution F(2, 3): 2.25 times fewer multiplications",
    ["Conv"],
    Transformed
}

stamp! {
    WinogradF4,
    F4_AVX2 = "conv_winograd_f4_f32_avx2",
    F4_PORTABLE = "conv_winograd_f4_f32_portable",
    "Winograd convolution F(4, 3) with points 0, +-sqrt 2, +-1/sqrt 2: 4 times fewer multiplications",
    ["Conv"],
    Transformed
}

const BLOCKED: Layout = Layout::Blocked(LANES as u8);

/// Variants of offers: whether workers share blocks of tiles.
const VARIANTS: [bool; 2] = [false, true];

impl<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize> Kernel for Winograd<S, F, N, M> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        for (variant, shared) in VARIANTS.into_iter().enumerate() {
            let plan = Plan::new(p, N, M, shared)?;
            if shared && plan.all_tiles() <= Plan::new(p, N, M, false)?.block {
                // A single block: the same work with more meetings, unless there are workers to meet.
                continue;
            }
            let fused = epilogue::fusable(p, plan.outputs);
            let mut inputs = vec![None; p.inputs.len()];
            inputs[0] = Some(BLOCKED);
            for r in epilogue::residuals(p, fused) {
                inputs[r] = Some(BLOCKED);
            }
            let bytes = plan.scratch() * size_of::<f32>();
            out.push(Offer {
                inputs,
                outputs: vec![BLOCKED; p.outputs.len()],
                fused,
                scratch: if shared {
                    Scratch { shared: bytes, per_worker: 0 }
                } else {
                    Scratch { shared: 0, per_worker: bytes }
                },
                packed_bytes: plan.weights() * size_of::<f32>(),
                packed_format: F::NAME.into(),
                numerics: NumericClass::Transformed,
                in_place: epilogue::residuals(p, fused).next(),
                variant: variant as u32,
            });
        }
        Ok(())
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Ok(plan) = chosen::<N, M>(p, o) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let rate = stamp::rate::<S>(m);
        let tiles = plan.all_tiles() as f64;
        let macs = tiles * (N * N * plan.inputs) as f64 * plan.width() as f64;
        // Sixteen multiply-adds per cycle at best.
        let cycle = 16.0 / rate;
        let (blocks_in, blocks_out) = ((plan.depth() / LANES) as f64, (plan.width() / LANES) as f64);
        let transforms = tiles * (blocks_in * F::CYCLES.0 + blocks_out * F::CYCLES.1) * cycle;
        // Filling and draining the accumulators takes as long as some eight terms of the sum.
        let multiply = macs * (1.0 + 8.0 / plan.inputs as f64) / (0.97 * rate);
        // Weights are read once for each block; a block that leaves the second-level cache is written and read twice
        // from the next.
        let weights = o.packed_bytes as f64 * plan.blocks() as f64 / m.bandwidth(o.packed_bytes);
        let block = (plan.scratch() * size_of::<f32>()) as f64;
        let spilt = if block > 2.0 * m.l2 as f64 { 4.0 * block * plan.blocks() as f64 / m.l3_bandwidth } else { 0.0 };
        let stream = weights + spilt;
        let bytes = |i: Option<&paring_kernel::Operand>| i.and_then(|i| i.bytes(BLOCKED)).unwrap_or(0) as f64;
        let moved = bytes(p.input(0)) + bytes(p.output(0)) * (1 + epilogue::residuals(p, o.fused).count()) as f64;
        // Measured: reading ahead hides all but a quarter of the lesser.
        let ns = multiply.max(stream) + 0.25 * multiply.min(stream) + transforms + 300.0;
        Cost { ns, bytes: moved + o.packed_bytes as f64 }
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let plan = chosen::<N, M>(p, o)?;
        let weights = p.const_f32s(1).ok_or_else(|| KernelError::Problem("the weights are not constant f32".into()))?;
        if weights.len() != plan.outputs * plan.inputs * 9 {
            return Err(KernelError::Problem("the offer is of another problem".into()));
        }
        let mut data = AlignedBuf::zeroed(plan.weights() * size_of::<f32>())?;
        let packed: &mut [f32] = bytemuck::cast_slice_mut(data.as_mut_slice());
        let g = F::weights();
        for (i, w) in weights.chunks_exact(9).enumerate() {
            let (output, input) = (i / plan.inputs, i % plan.inputs);
            let at = (output / PANEL * plan.inputs + input) * PANEL + output % PANEL;
            let row = |r: usize| [0, 1, 2].map(|k| f64::from(w[3 * r + k]));
            let rows = [row(0), row(1), row(2)];
            for r in 0..N {
                let half = [0, 1, 2].map(|k| (0..3).map(|j| g[r][j] * rows[j][k]).sum::<f64>());
                for c in 0..N {
                    let u: f64 = (0..3).map(|k| half[k] * g[c][k]).sum();
                    packed[(r * N + c) * plan.panels() * plan.inputs * PANEL + at] = u as f32;
                }
            }
        }
        Ok(Packed { data })
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = chosen::<N, M>(p, o)?;
        let epilogue = Epilogue::new(p, o.fused, plan.outputs, true)?;
        let nothing = Epilogue::new(p, 0, plan.outputs, true)?;
        Ok(Box::new(Engine::<S, F, N, M>::new(stamp::token::<S>()?, plan, packed, epilogue, nothing)?))
    }
}

/// The plan of an offer that was chosen.
fn chosen<const N: usize, const M: usize>(p: &Problem, o: &Offer) -> Result<Plan, KernelError> {
    let shared = VARIANTS.get(o.variant as usize).copied();
    let shared = shared.ok_or_else(|| KernelError::Problem("the offer is of another kernel".into()))?;
    Plan::new(p, N, M, shared).map_err(|r| KernelError::Problem(r.to_string()))
}
