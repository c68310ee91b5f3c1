//! `Conv` and `Dense` of signs with weights of one magnitude for each output channel, by some method.

use crate::{
    engine::{self, Engine, Method},
    plan::Plan,
};
use core::marker::PhantomData;
use paring_dense::{conv::Halo, epilogue};
use paring_kernel::{Cost, KernelError, Machine, Offer, Operand, Packed, Prepared, Problem, Reject, Scratch};
use paring_quant::family::{Family, Target};
use paring_simd::Simd;
use std::sync::Arc;

/// See the module.
pub struct Product<M>(PhantomData<M>);

impl<M: Method> Family for Product<M> {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let plan = Plan::of(p)?;
        let (input, output) = plan.layouts();
        out.push(Offer {
            scratch: Scratch { shared: plan.halo().as_ref().map_or(0, Halo::elements), per_worker: M::scratch(&plan) },
            packed_bytes: engine::packed_bytes::<M>(&plan),
            packed_format: plan.packed_format(M::NAME).into(),
            ..epilogue::offer(p, p.epilogue.len(), input, output)
        });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let outputs = p.output(0).map_or(0, Operand::len) as f64;
        let pixels = p.output(0).map_or(0, |y| y.len() / y.shape.get(1).copied().unwrap_or(1).max(1)) as f64;
        // A bit of packed weights is a multiply-add of every pixel.
        let macs = pixels * 8.0 * o.packed_bytes as f64;
        let bytes = |i: Option<&Operand>| i.map_or(0, |i| i.len() * i.dtype.bits() / 8) as f64;
        let residuals: f64 =
            p.inputs.iter().skip(2).flatten().filter(|i| i.constant.is_none()).map(|i| bytes(Some(i))).sum();
        let moved = bytes(p.output(0)) + residuals;
        let ns = macs / M::rate(target.isa, m)
            + M::FINISH * outputs
            + m.weights(o.packed_bytes, 1)
            + moved / (2.0 * m.l3_bandwidth)
            + 0.1 * o.scratch.shared as f64
            + 400.0;
        Cost { ns, bytes: moved + o.packed_bytes as f64 }
    }

    fn pack(p: &Problem, _: &Offer) -> Result<Packed, KernelError> {
        engine::pack::<M>(&plan(p)?, p)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(Engine::<S, M>::new(s, plan(p)?, p, o, packed)?))
    }
}

fn plan(p: &Problem) -> Result<Plan, KernelError> {
    Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))
}
