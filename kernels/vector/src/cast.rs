//! Conversions between element types.

use crate::support::*;
use half::{bf16, f16};
use paring_core::{DType, Element, Layout, Op};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::Simd;
use std::{marker::PhantomData, sync::Arc};

/// `Cast` among the types that networks compute with.
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
conversions!(f32 => f32, f64, i64, i32, i8, u8);
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

struct Run<X, Y>(PhantomData<fn(X) -> Y>);

impl<X: Convert<Y>, Y: Element> Prepared for Run<X, Y> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        each::<X, Y>(cx, X::convert);
        Ok(())
    }
}

/// To booleans: whether the element is not 0.
struct Truth<X>(PhantomData<fn(X)>);

impl<X: Element + PartialEq> Prepared for Truth<X> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        each::<X, u8>(cx, |x| (x != X::zeroed()) as u8);
        Ok(())
    }
}

fn each<X: Element, Y: Element>(cx: &mut RunCx<'_>, f: impl Fn(X) -> Y + Sync) {
    let x = cx.input::<X>(0);
    let parallel = cx.parallel();
    let y = cx.shared_output::<Y>(0);
    let len = y.len();
    split(parallel, len.div_ceil(CHUNK), len * (size_of::<X>() + size_of::<Y>()), &|chunks, _| {
        let (start, end) = (chunks.start * CHUNK, (chunks.end * CHUNK).min(len));
        // SAFETY: chunks are disjoint.
        let y = unsafe { y.slice(start, end - start) };
        for (y, &x) in y.iter_mut().zip(&x[start..end]) {
            *y = f(x);
        }
    });
}

fn prepared(p: &Problem) -> Result<Box<dyn Prepared>, Reject> {
    let (x, y) = operands(p)?;
    if !matches!(p.op, Op::Cast(_)) || x.shape != y.shape {
        return Err("not a conversion".into());
    }
    macro_rules! table {
        ($($from:ident $x:ty => { $($to:ident $y:ty),* };)*) => {
            match (x.dtype, y.dtype) {
                $($((DType::$from, DType::$to) => Ok(Box::new(Run::<$x, $y>(PhantomData))),)*)*
                $((DType::$from, DType::Bool) => Ok(Box::new(Truth::<$x>(PhantomData))),)*
                (from, to) => Err(format!("no loop from {from} to {to}").into()),
            }
        };
    }
    table! {
        F32 f32 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8, F16 f16, BF16 bf16 };
        F64 f64 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        I64 i64 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        I32 i32 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        I8 i8 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        U8 u8 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        Bool u8 => { F32 f32, F64 f64, I64 i64, I32 i32, I8 i8, U8 u8 };
        F16 f16 => { F32 f32 };
        BF16 bf16 => { F32 f32 };
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
