//! Running sums.

use crate::support::*;
use bytemuck::Pod;
use paring_core::{DType, Layout, Op};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::Simd;
use std::sync::Arc;

/// `CumSum` of `f32`, `i32` and `i64`.
pub(crate) struct CumSum;

fn shapes(p: &Problem) -> Result<Run, Reject> {
    let Op::CumSum(a) = p.op else { return Err("not a running sum".into()) };
    let (x, y) = operands(p)?;
    if x.dtype != y.dtype || !matches!(x.dtype, DType::F32 | DType::I32 | DType::I64) {
        return Err(format!("{} to {} is neither f32, i32 nor i64 throughout", x.dtype, y.dtype).into());
    }
    if x.shape != y.shape {
        return Err(format!("output {:?} differs from input {:?}", y.shape, x.shape).into());
    }
    let axis = p.const_i64s(1).ok_or("the axis is not constant")?;
    let &[axis] = axis.as_slice() else { return Err("there is not one axis".into()) };
    let around = Around::axis(&x.shape, axis)?;
    Ok(Run { dtype: x.dtype, around, exclusive: a.exclusive, reverse: a.reverse })
}

impl Family for CumSum {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        shapes(p)?;
        let mut o = Offer { numerics: NumericClass::Exact, ..uniform(p, Layout::Plain, 0) };
        o.inputs[1] = None;
        out.push(o);
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        // Along the last axis every sum waits for the one before.
        let waits = shapes(p).is_ok_and(|r| r.around.inner == 1);
        output_len(p) as f64 * if waits { 0.6 } else { 0.15 }
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(shapes(p).map_err(problem)?))
    }
}

struct Run {
    dtype: DType,
    around: Around,
    /// Each sum leaves out its own element.
    exclusive: bool,
    /// From the back.
    reverse: bool,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        match self.dtype {
            DType::F32 => self.go::<f32, f64>(cx, |sum, x| sum + f64::from(x), |sum| sum as f32),
            DType::I32 => self.go::<i32, i32>(cx, i32::wrapping_add, |sum| sum),
            _ => self.go::<i64, i64>(cx, i64::wrapping_add, |sum| sum),
        }
        Ok(())
    }
}

/// Neighbouring columns of one unit, where there are [`FEW`] or more.
const WIDTH: usize = 64;

/// Fewer columns than this are done one by one.
const FEW: usize = 8;

impl Run {
    /// Sums of `A` over elements of `T`.
    fn go<T: Pod + Send + Sync, A: Pod>(
        &self,
        cx: &mut RunCx<'_>,
        add: impl Fn(A, T) -> A + Sync,
        round: impl Fn(A) -> T + Sync,
    ) {
        let x = cx.input::<T>(0);
        let parallel = cx.parallel();
        let y = cx.shared_output::<T>(0);
        let Around { outer, len, inner } = self.around;
        let width = if inner < FEW { 1 } else { WIDTH };
        let parts = inner.div_ceil(width);
        split(parallel, outer * parts, size_of_val(x) * 2, &|units, _| {
            for unit in units {
                let column = unit % parts * width;
                let n = (inner - column).min(width);
                let place =
                    |k: usize| (unit / parts * len + if self.reverse { len - 1 - k } else { k }) * inner + column;
                if width == 1 {
                    let mut sum = A::zeroed();
                    for k in 0..len {
                        let at = place(k);
                        let next = add(sum, x[at]);
                        // SAFETY: every unit has columns of its own.
                        let y = unsafe { y.slice(at, 1) };
                        y[0] = round(if self.exclusive { sum } else { next });
                        sum = next;
                    }
                    continue;
                }
                let mut sums = [A::zeroed(); WIDTH];
                for k in 0..len {
                    let at = place(k);
                    // SAFETY: as above.
                    let y = unsafe { y.slice(at, n) };
                    for ((y, &x), sum) in y.iter_mut().zip(&x[at..][..n]).zip(&mut sums) {
                        let next = add(*sum, x);
                        *y = round(if self.exclusive { *sum } else { next });
                        *sum = next;
                    }
                }
            }
        });
    }
}
