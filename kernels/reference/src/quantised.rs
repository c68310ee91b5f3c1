//! Operators on quantised operands: the integers are made real numbers, the operator computes with those, and the
//! result is quantised again.

use crate::io::{Built, KernelResult, Redirect, Slot, View, built, cast_scratch, ensure, problem};
use crate::scalar::round_even;
use alloc::{format, vec::Vec};
use paring_core::{DType, Quant, op, op::EpiOp};
use paring_kernel::{Operand, Problem};

/// What integers stand for, element by element.
struct Reals {
    slot: Slot,
    scale: Vec<f32>,
    zero_point: Vec<i32>,
    /// Elements from one index of the axis to the next.
    span: usize,
}

impl Reals {
    fn new(slot: Slot, quant: &Quant) -> KernelResult<Reals> {
        ensure(slot.dtype.is_int() || slot.dtype == DType::Sign, || format!("{} cannot be quantised", slot.dtype))?;
        let misfit = || problem(format!("scales and zero points of {quant:?} do not fit {:?}", slot.shape));
        let span = quant.span(&slot.shape).ok_or_else(misfit)?;
        Ok(Reals { slot, scale: quant.scale.clone(), zero_point: quant.zero_point.clone(), span })
    }

    fn at(&self, view: &View<'_>, i: usize) -> f32 {
        let c = i / self.span % self.scale.len();
        (view.int(i) - i128::from(self.zero_point[c])) as f32 * self.scale[c]
    }
}

/// The step that quantises.
#[derive(Clone, Copy)]
enum Last {
    Quantize { lo: f64, hi: f64, scale: f32, zero_point: i32 },
    Sign { of_zero: i8 },
}

impl Last {
    fn of(step: Option<&EpiOp>) -> Option<Last> {
        match *step? {
            EpiOp::Quantize { to, scale, zero_point } => {
                let (lo, hi) = if to == DType::I8 { (-128.0, 127.0) } else { (0.0, 255.0) };
                Some(Last::Quantize { lo, hi, scale, zero_point })
            }
            EpiOp::Sign { of_zero } => Some(Last::Sign { of_zero }),
            _ => None,
        }
    }

    fn integer(self, v: f32) -> f64 {
        match self {
            Last::Quantize { lo, hi, scale, zero_point } => {
                let q = round_even(f64::from(v / scale)) + f64::from(zero_point);
                // NaN has no integer; it becomes the zero point.
                if q.is_nan() { f64::from(zero_point) } else { q.clamp(lo, hi) }
            }
            Last::Sign { .. } if v > 0.0 => 1.0,
            Last::Sign { .. } if v < 0.0 => -1.0,
            Last::Sign { of_zero } => f64::from(of_zero),
        }
    }
}

/// Runs a problem of quantised operands through the function that `build` makes of the same problem in `f32`.
pub(crate) fn with_quantised(p: &Problem, build: impl Fn(&Problem) -> KernelResult<Built>) -> KernelResult<Built> {
    let mut real = p.clone();
    let mut reals: Vec<Reals> = Vec::new();
    for (i, operand) in real.inputs.iter_mut().enumerate() {
        let Some(x) = operand else { continue };
        let Some(quant) = x.quant.take() else { continue };
        let from = Reals::new(Slot::input(p, i)?, &quant)?;
        *x = Operand::new(DType::F32, &x.shape);
        reals.push(from);
    }
    ensure(reals.len() <= MOST, || format!("{} quantised operands where at most {MOST} are served", reals.len()))?;
    let last = Last::of(real.epilogue.last());
    let out = Slot::output(p, 0)?;
    if let Some((to, _)) = op::quantized(&real.epilogue) {
        out.expect_dtype("the quantised output", to)?;
        real.epilogue.pop();
        if let Some(Some(o)) = real.outputs.first_mut() {
            *o = Operand::new(DType::F32, &o.shape);
        }
    }
    let inner = build(&real)?;
    let floats = |n: usize| n.checked_mul(size_of::<f32>()).map(|b| b.next_multiple_of(64));
    let sizes: Option<Vec<usize>> = reals.iter().map(|r| floats(r.slot.len)).collect();
    let too_large = || problem("the scratch exceeds the address space");
    let sizes = sizes.ok_or_else(too_large)?;
    let result = if last.is_some() { floats(out.len).ok_or_else(too_large)? } else { 0 };
    let total = sizes.iter().chain([&result, &inner.scratch]).try_fold(0usize, |a, &b| a.checked_add(b));
    built(total.filter(|&t| t <= isize::MAX as usize).ok_or_else(too_large)?, move |io| {
        let mut rest = io.scratch();
        let mut inputs: [(usize, &[u8]); MOST] = [(usize::MAX, &[]); MOST];
        for (input, (from, &bytes)) in inputs.iter_mut().zip(reals.iter().zip(&sizes)) {
            let (own, left) = core::mem::take(&mut rest).split_at_mut(bytes);
            rest = left;
            let own = &mut own[..from.slot.len * size_of::<f32>()];
            let view = from.slot.view(io);
            for (i, v) in cast_scratch::<f32>(own).iter_mut().enumerate() {
                *v = from.at(&view, i);
            }
            *input = (from.slot.index, own);
        }
        let (own, rest) = rest.split_at_mut(result);
        let own = &mut own[..if last.is_some() { out.len * size_of::<f32>() } else { 0 }];
        let result = last.is_some().then_some(&mut *own);
        (inner.run)(&mut Redirect { inner: io, inputs: &inputs, result, scratch: Some(rest) })?;
        if let Some(last) = last {
            let values = cast_scratch::<f32>(own);
            let mut target = out.target(io);
            for (i, &v) in values.iter().enumerate() {
                target.put_f(i, last.integer(v));
            }
        }
        Ok(())
    })
}

/// Quantised operands of one operator.
const MOST: usize = 8;
