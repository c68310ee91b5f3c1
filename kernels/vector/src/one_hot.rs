//! Slices that hold one value at an index and another everywhere else.

use crate::{gather::Indices, support::*};
use paring_core::{DType, Layout, Op, normalize_axis};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::Simd;
use std::sync::Arc;

/// `OneHot`, to any element type.
pub(crate) struct OneHot;

fn around(p: &Problem) -> Result<Around, Reject> {
    let Op::OneHot(a) = &p.op else { return Err("nothing one-hot".into()) };
    let (indices, y) = operands(p)?;
    if !matches!(indices.dtype, DType::I64 | DType::I32) {
        return Err("the indices are neither i64 nor i32".into());
    }
    if p.input(2).is_none_or(|v| v.dtype != y.dtype || v.shape != [2]) {
        return Err("there are not two values of the output's type".into());
    }
    let axis = normalize_axis(a.axis, y.shape.len()).map_err(|e| Reject::from(e.to_string()))?;
    let mut rest = y.shape.clone();
    rest.remove(axis);
    if rest != indices.shape {
        return Err(format!("output {:?} does not fit indices {:?}", y.shape, indices.shape).into());
    }
    Ok(Around::axes(&y.shape, axis, axis + 1))
}

impl Family for OneHot {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        around(p)?;
        out.push(Offer { numerics: NumericClass::Exact, ..uniform(p, Layout::Plain, 0) });
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        p.input(0).map_or(0.0, |indices| indices.len() as f64 * 2.0)
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let around = around(p).map_err(problem)?;
        let (indices, y) = operands(p).map_err(problem)?;
        Ok(Box::new(Run { dtype: y.dtype, wide: indices.dtype == DType::I64, around }))
    }
}

struct Run {
    dtype: DType,
    /// Indices of 64 rather than 32 bits.
    wide: bool,
    around: Around,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        by_width!(self.dtype, T => self.go::<T>(cx));
        Ok(())
    }
}

impl Run {
    fn go<T: bytemuck::Pod + Send + Sync>(&self, cx: &mut RunCx<'_>) {
        let (indices, values) = (Indices::of(cx, 0, self.wide), cx.input::<T>(2));
        let parallel = cx.parallel();
        let y = cx.shared_output::<T>(0);
        let Around { outer, len, inner } = self.around;
        split(parallel, outer, y.len() * size_of::<T>(), &|units, _| {
            for unit in units {
                // SAFETY: every unit has slices of its own.
                let y = unsafe { y.slice(unit * len * inner, len * inner) };
                y.fill(values[0]);
                for i in 0..inner {
                    // Indices outside name no element.
                    if let Some(at) = indices.get(unit * inner + i, len) {
                        y[at * inner + i] = values[1];
                    }
                }
            }
        });
    }
}
