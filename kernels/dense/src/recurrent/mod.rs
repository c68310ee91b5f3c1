//! Recurrent layers: LSTM, GRU and plain recurrence.
//!
//! What the gates get from the input is one product for many steps at once; each step then multiplies the state alone, and
//! goes over the gates. Steps wait for each other, directions and sequences do not: those are what workers share.

mod cell;
mod extent;
mod pack;
mod run;

use crate::stamp::{self, generic_kernel};
use extent::Extent;
use paring_core::Layout;
use paring_kernel::{
    Cost, Isa, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch,
};
use paring_simd::Simd;
use std::sync::Arc;

generic_kernel! {
    /// LSTM, GRU and plain recurrence.
    Recurrent
}

impl<S: Simd> Kernel for Recurrent<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        out.push(offer(p)?);
        Ok(())
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        cost(S::ISA, p, o, m)
    }

    fn pack(&self, p: &Problem, _o: &Offer) -> Result<Packed, KernelError> {
        pack::pack(&extent(p)?, p)
    }

    fn prepare(&self, p: &Problem, _o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let extent = extent(p)?;
        if packed.data.as_slice().len() != extent.packed * size_of::<f32>() {
            return Err(KernelError::Problem("weights were packed for another problem".into()));
        }
        Ok(Box::new(run::Bound::new(stamp::token::<S>()?, extent, p, packed)?))
    }
}

fn extent(p: &Problem) -> Result<Extent, KernelError> {
    Extent::of(p).map_err(|r| KernelError::Problem(r.to_string()))
}

fn offer(p: &Problem) -> Result<Offer, Reject> {
    let e = Extent::of(p)?;
    // The input and the initial states; all else is constant.
    let read = |i: usize| matches!(i, 0 | 5 | 6) && p.input(i).is_some();
    Ok(Offer {
        inputs: (0..p.inputs.len()).map(|i| read(i).then_some(Layout::Plain)).collect(),
        scratch: Scratch { shared: e.scratch * size_of::<f32>(), per_worker: 0 },
        packed_bytes: e.packed * size_of::<f32>(),
        packed_format: format!("recurrent-f32-{}x{}x{}", e.directions, e.gates, e.hidden).into(),
        ..Offer::plain(p)
    })
}

fn cost(isa: Isa, p: &Problem, o: &Offer, m: &Machine) -> Cost {
    let Ok(e) = Extent::of(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
    let rate = 0.85 * stamp::rate(isa, m);
    let (steps, samples, width) = ((e.directions * e.time) as f64, e.batch as f64, e.width() as f64);
    let project = steps * samples * width * e.features as f64 / rate;
    let weights = e.hidden as f64 * width;
    let bytes = weights * size_of::<f32>() as f64;
    let step = (weights * samples / rate).max(bytes / m.bandwidth(bytes as usize));
    // What a step takes besides: calls, and about seven cycles for each vector of gates.
    let gates = 150.0 + samples * width / 8.0 * 7.0 * stamp::cycle(isa, m);
    let operands: usize = p.outputs.iter().flatten().chain(p.input(0)).map(|o| o.len() * size_of::<f32>()).sum();
    Cost {
        ns: project + steps * (step + gates) + m.weights(o.packed_bytes, 1) + 1000.0,
        bytes: (operands + o.packed_bytes) as f64,
    }
}
