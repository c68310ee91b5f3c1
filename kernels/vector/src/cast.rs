//! Conversions between element types.

use crate::support::*;
use half::{bf16, f16};
use paring_core::{DType, Element, Layout, Op};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::Simd;
use std::sync::Arc;

/// `Cast` among the types that networks compute with, but for what [`CastF32`](crate::cast_f32::CastF32) does.
pub(crate) struct Cast;

/// Conversion as the operator defines it: to integers, fractions are cut off, numbers out of range saturate, NaN is 0.
trait Convert<Y>: Element {
    fn convert(self) -> Y;
}

macro_rules! conversions {
    ($x:ty => $($y:ty),*) => {$(
        impl Convert<$y> for $x {
            #[inline(always)]
            fn convert(self) -> $y {
                self as $y
            }
        }
    )*};
}
conversions!(f32 => f32, f64);
conversions!(f64 => f32, f64, i64, i32, i8, u8);
conversions!(i64 => f32, f64, i64, i32, i8, u8);
conversions!(i32 => f32, f64, i64, i32, i8, u8);
conversions!(i8 => f32, f64, i64, i32, i8, u8);
conversions!(u8 => f32, f64, i64, i32, i8, u8);

macro_rules! halves {
    ($($h:ty),*) => {$(
        impl Convert<$h> for f32 {
            #[inline(always)]
            fn convert(self) -> $h {
                <$h>::from_f32(self)
            }
        }
        impl Convert<f32> for $h {
            #[inline(always)]
            fn convert(self) -> f32 {
                self.to_f32()
            }
        }
    )*};
}
halves!(f16, bf16);

/// A conversion of bytes that hold whole elements.
struct Run {
    from: usize,
    to: usize,
    convert: fn(&[u8], &mut [u8]),
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        converted(cx, self.from, self.to, &self.convert);
        Ok(())
    }
}

/// Converts all elements, of `from` bytes each, to those of `to` bytes.
pub(crate) fn converted(cx: &mut RunCx<'_>, from: usize, to: usize, convert: &(dyn Fn(&[u8], &mut [u8]) + Sync)) {
    let x = cx.input::<u8>(0);
    let parallel = cx.parallel();
    let y = cx.shared_output::<u8>(0);
    let len = y.len() / to;
    split(parallel, len.div_ceil(CHUNK), len * (from + to), &|chunks, _| {
        let (start, end) = (chunks.start * CHUNK, (chunks.end * CHUNK).min(len));
        // SAFETY: chunks are disjoint.
        let y = unsafe { y.slice(start * to, (end - start) * to) };
        convert(&x[start * from..end * from], y);
    });
}

fn run<X: Element, Y: Element>(convert: fn(&[u8], &mut [u8])) -> Result<Box<dyn Prepared>, Reject> {
    Ok(Box::new(Run { from: size_of::<X>(), to: size_of::<Y>(), convert }))
}

fn numbers<X: Convert<Y>, Y: Element>(x: &[u8], y: &mut [u8]) {
    for (y, x) in bytemuck::cast_slice_mut::<u8, Y>(y).iter_mut().zip(bytemuck::cast_slice::<u8, X>(x)) {
        *y = x.convert();
    }
}

/// To booleans: whether the element is not 0.
fn truths<X: Element + PartialEq>(x: &[u8], y: &mut [u8]) {
    for (y, x) in y.iter_mut().zip(bytemuck::cast_slice::<u8, X>(x)) {
        *y = (*x != X::zeroed()) as u8;
    }
}

fn prepared(p: &Problem) -> Result<Box<dyn Prepared>, Reject> {
    let (x, y) = operands(p)?;
    if !matches!(p.op, Op::Cast(_)) || x.shape != y.shape {
        return Err("not a conversion".into());
    }
    macro_rules! table {
        ($($from:ident $x:ty => { $($to:ident $y:ty),* };)* -> { $($some:ident $z:ty),* }) => {
            match (x.dtype, y.dtype) {
                $($((DType::$from, DType::$to) => run::<$x, $y>(numbers::<$x, $y>),)*)*
                $((DType::$some, DType::Bool) => run::<$z, u8>(truths::<$z>),)*
                (from, to) => Err(format!("no loop from {from} to {to}").into()),
            }
        };
    }
    table! {
        F32 f32 => { F32 f32, F64 f64, F16 f16, BF16 bf16 };
        F64 f64 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        I64 i64 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        I32 i32 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        I8 i8 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        U8 u8 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        Bool u8 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        F16 f16 => { F32 f32 };
        BF16 bf16 => { F32 f32 };
        -> { F64 f64, I64 i64, I32 i32, I8 i8, U8 u8, Bool u8, F16 f16, BF16 bf16 }
    }
}

impl Family for Cast {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        prepared(p)?;
        out.push(Offer { numerics: NumericClass::Exact, ..uniform(p, Layout::Plain, 0) });
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        output_len(p) as f64 * 0.5
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        prepared(p).map_err(problem)
    }
}
