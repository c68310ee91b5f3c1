//! Conversions of `f32` to integers and booleans: loops that are compiled to vector instructions.

use crate::{cast::converted, support::*};
use paring_core::{DType, Layout, Op};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{Simd, Task};
use std::sync::Arc;

/// `Cast` of `f32` to the integers that networks compute with: fractions are cut off, numbers out of range saturate, NaN
/// is 0.
pub(crate) struct CastF32;

impl Family for CastF32 {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let (x, y) = operands(p)?;
        let to = matches!(y.dtype, DType::I64 | DType::I32 | DType::I8 | DType::U8 | DType::Bool);
        if !matches!(p.op, Op::Cast(_)) || x.shape != y.shape || x.dtype != DType::F32 || !to {
            return Err(format!("no loop from {} to {}", x.dtype, y.dtype).into());
        }
        out.push(Offer { numerics: NumericClass::Exact, ..uniform(p, Layout::Plain, 0) });
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        output_len(p) as f64 * 0.1
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(Run { s, to: operands(p).map_err(problem)?.1.dtype }))
    }
}

struct Run<S> {
    s: S,
    to: DType,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        converted(cx, size_of::<f32>(), self.to.bits() / 8, &|x, y| {
            self.s.vectorize(Pass { x: bytemuck::cast_slice(x), y, to: self.to });
        });
        Ok(())
    }
}

struct Pass<'a> {
    x: &'a [f32],
    y: &'a mut [u8],
    to: DType,
}

impl Task for Pass<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, _: S) {
        let Pass { x, y, to } = self;
        match to {
            DType::I64 => to_i64s(x, bytemuck::cast_slice_mut(y)),
            DType::I32 => each(x, bytemuck::cast_slice_mut(y), to_i32),
            DType::I8 => each(x, y, |x| within(x, -128.0, 127.0) as u8),
            DType::U8 => each(x, y, |x| within(x, 0.0, 255.0) as u8),
            _ => each(x, y, |x| u8::from(x != 0.0)),
        }
    }
}

#[inline(always)]
fn each<Y>(x: &[f32], y: &mut [Y], f: impl Fn(f32) -> Y) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = f(x);
    }
}

/// The integer part of `x` from `lo` to `hi`, which an `i32` can hold; 0 of NaN.
#[inline(always)]
fn within(x: f32, lo: f32, hi: f32) -> i32 {
    let x = if x.is_nan() { 0.0 } else { x };
    let x = if x > lo { x } else { lo };
    let x = if x < hi { x } else { hi };
    // SAFETY: finite and within the range of `i32`.
    unsafe { x.to_int_unchecked() }
}

/// 2^31, the least number that is too large for an `i32`.
const BEYOND: f32 = 2_147_483_648.0;

#[inline(always)]
fn to_i32(x: f32) -> i32 {
    let below = within(x, -BEYOND, BEYOND.next_down());
    if x >= BEYOND { i32::MAX } else { below }
}

#[inline(always)]
fn to_i64s(x: &[f32], y: &mut [i64]) {
    // There are vector instructions for 32 bits only.
    for (x, y) in x.chunks(32).zip(y.chunks_mut(32)) {
        if x.iter().fold(true, |all, x| all & (x.abs() < BEYOND)) {
            each(x, y, |x| i64::from(within(x, -BEYOND, BEYOND.next_down())));
        } else {
            each(x, y, |x| x as i64);
        }
    }
}
