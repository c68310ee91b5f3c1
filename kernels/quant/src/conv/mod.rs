//! Convolution of bytes: direct, on blocks of eight channels.
//!
//! A row of the packed weights multiplies four neighbouring channels at one position of the window, so any order and
//! grouping of the input channels is a matter of which weights are zero.

mod engine;
mod plan;
#[cfg(any(all(target_arch = "x86_64", feature = "avx512"), target_arch = "aarch64"))]
mod tiles;

use crate::{
    family::{Family, Target, pair_rate, rate, word_rate},
    finish,
    multiply::Vectors,
};
use engine::Engine;
use paring_kernel::{Cost, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch};
use paring_simd::Simd;
use paring_vector::support::BLOCKED;
pub use plan::Kind;
use plan::Plan;
use std::sync::Arc;
#[cfg(any(all(target_arch = "x86_64", feature = "avx512"), target_arch = "aarch64"))]
pub use tiles::ConvTiles;

/// See the module.
pub struct Conv;

impl Family for Conv {
    fn offers(p: &Problem, target: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let mut offer = |plan: &Plan, kind: Kind, packed_bytes: usize| {
            let offer = finish::offer(p, BLOCKED);
            out.push(Offer {
                inputs: plan.late.as_ref().map_or(offer.inputs.clone(), |late| late.inputs(&offer)),
                scratch: Scratch { shared: plan.scratch().iter().sum(), per_worker: 0 },
                packed_bytes,
                packed_format: plan.packed_format(kind).into(),
                variant: kind as u32,
                ..offer
            });
        };
        for &kind in Kind::on(target) {
            let plan = Plan::of(p, kind)?;
            let [wide, narrow] = plan.packed_bytes(p).ok_or_else(|| Reject::because("the weights are not constant"))?;
            offer(&plan, kind, wide);
            if kind == Kind::Bytes {
                offer(&plan, Kind::Narrow, narrow);
            }
        }
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let kind = Kind::of(o);
        let pixels = p.output(0).map_or(0, |y| y.len() / y.shape.get(1).copied().unwrap_or(1).max(1)) as f64;
        let macs = pixels * (o.packed_bytes / kind.size()) as f64;
        let bytes = |i: Option<&paring_kernel::Operand>| i.and_then(|i| i.bytes(BLOCKED)).unwrap_or(0) as f64;
        let (input, output) = (bytes(p.input(0)), bytes(p.output(0)));
        // Measured: filling and draining a tile takes as long as some four rows, where those multiply pairs.
        let drain = 14.0 * p.output(0).map_or(0, |y| y.len()) as f64;
        let stream = m.weights(o.packed_bytes, 1) + output / (2.0 * m.l3_bandwidth);
        let (rate, convert) = match kind {
            // Measured: what it takes to make a word of a byte, in nanoseconds.
            Kind::Words => (word_rate(target, m), 0.1),
            _ => (rate(target, m), 0.0),
        };
        let copy = o.scratch.shared as f64 * (2.0 / m.l3_bandwidth + convert);
        Cost {
            ns: (macs / rate + drain / rate.min(pair_rate(m))) / 0.92 + 0.5 * stream + copy + 300.0,
            bytes: input + output + o.packed_bytes as f64 + 2.0 * o.scratch.shared as f64,
        }
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let plan = Plan::of(p, Kind::of(o)).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(plan.rows(p)?.pack()?.into())
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p, Kind::of(o)).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(Box::new(Engine::new(s, Vectors, p, plan, packed)?))
    }
}
