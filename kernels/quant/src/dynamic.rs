//! Numbers to bytes by their own range.

use crate::{
    convert::straight,
    family::{Family, Target, streaming},
    lanes::{Eights, Kind},
    operand::Bytes,
};
use paring_core::{DType, Layout};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, Scratch,
};
use paring_reference::dynamic_parameters;
use paring_simd::{LANES, Simd, Task};
use paring_vector::support::{BLOCKED, split};
use std::sync::Arc;

/// `DynamicQuantizeLinear`, in either layout: channels that do not exist are zeros, which belong to every range.
pub struct DynamicQuantize;

/// Elements that one range is found of at a time.
const STRETCH: usize = 1 << 13;

/// The least and the largest of some numbers.
type Range = [f32; 2];

impl Family for DynamicQuantize {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let x = p.input(0).filter(|x| x.dtype == DType::F32).ok_or("only f32")?;
        if p.output(0).is_some_and(|y| y.dtype != DType::U8 || y.shape != x.shape) {
            return Err("the output is not the input in u8".into());
        }
        for layout in if x.shape.len() < 2 { &[Layout::Plain][..] } else { &[Layout::Plain, BLOCKED] } {
            let elements = eights(&x.shape, *layout).elements();
            let mut offer = Offer::plain(p);
            offer.inputs[0] = Some(*layout);
            if let Some(y) = offer.outputs.first_mut() {
                *y = *layout;
            }
            let shared = elements.div_ceil(STRETCH) * size_of::<Range>();
            let scratch = Scratch { shared, per_worker: 0 };
            out.push(Offer { scratch, numerics: NumericClass::Exact, ..offer });
        }
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        // Estimated: what an element takes to become a byte (measured for conversions), and a little to find the range.
        streaming(p, o, target, m, 0.22 * p.input(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let x = p.input(0).ok_or_else(|| KernelError::Problem("the input is missing".into()))?;
        Ok(Box::new(Engine { s, eights: eights(&x.shape, o.inputs[0].unwrap_or(Layout::Plain)) }))
    }
}

fn eights(shape: &[usize], layout: Layout) -> Eights {
    match layout {
        Layout::Plain => Eights::plain(shape.iter().product()),
        _ => Eights::blocked(shape),
    }
}

struct Engine<S> {
    s: S,
    eights: Eights,
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, ranges) = (cx.input::<f32>(0), cx.parallel(), cx.scratch::<Range>());
        let x = &x[..self.eights.elements()];
        let stretches = x.len().div_ceil(STRETCH);
        split(parallel, stretches, size_of_val(x), &|units, _| {
            for unit in units {
                let end = x.len().min((unit + 1) * STRETCH);
                // SAFETY: no other task has this range.
                let to = unsafe { ranges.slice(unit, 1) };
                to[0] = self.s.vectorize(Find { x: &x[unit * STRETCH..end] });
            }
        });
        // SAFETY: nobody writes to them from here on.
        let ranges: &[Range] = unsafe { ranges.slice(0, stretches) };
        let [low, high] = ranges.iter().fold([0.0; 2], |all, r| wider(wider(all, r[0]), r[1]));
        let (scale, zero) = dynamic_parameters(low, high);
        if cx.has_output(1) {
            cx.output::<f32>(1)[0] = scale;
        }
        if cx.has_output(2) {
            cx.output::<u8>(2)[0] = zero;
        }
        if cx.has_output(0) {
            let to = Kind::Bytes(Bytes { signed: false, scale, zero_point: zero.into() });
            let (from, y) = ((Kind::F32, bytemuck::cast_slice(x)), cx.shared_output::<u8>(0));
            straight(self.s, parallel, self.eights, from, (to, y));
        }
        Ok(())
    }
}

/// The range with `v` in it; what is not a number changes nothing.
fn wider([low, high]: Range, v: f32) -> Range {
    [if v < low { v } else { low }, if v > high { v } else { high }]
}

/// Finds the range of some numbers and 0.
struct Find<'a> {
    x: &'a [f32],
}

impl Task for Find<'_> {
    type Output = Range;

    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> Range {
        /// Vectors at once: a minimum waits some four cycles for the one before it.
        const SEVERAL: usize = 4;
        let (mut low, mut high) = ([s.splat(0.0); SEVERAL], [s.splat(0.0); SEVERAL]);
        let (several, rest) = self.x.as_chunks::<{ SEVERAL * LANES }>();
        for chunk in several {
            for i in 0..SEVERAL {
                // SAFETY: within the chunk.
                let v = unsafe { s.load(chunk.as_ptr().add(i * LANES)) };
                // Where `v` is not a number, the second operand stays.
                (low[i], high[i]) = (s.min(v, low[i]), s.max(v, high[i]));
            }
        }
        let found = low.iter().chain(&high).flat_map(|&v| s.to_array(v));
        found.chain(rest.iter().copied()).fold([0.0; 2], wider)
    }
}
