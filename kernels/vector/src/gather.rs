//! Picking by indices, checked against their axis.

use crate::support::*;
use paring_core::{DType, Layout, Op, normalize_axis, strides};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::Simd;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// `Gather` and `GatherElements`, of any element type.
pub(crate) struct Gather;

#[derive(Clone, Debug)]
struct Shape {
    around: Around,
    /// Number of indices.
    count: usize,
    /// Element by element: extents of the indices and steps in the input, with 0 along the axis.
    elements: Option<Vec<(usize, usize)>>,
}

fn shape(p: &Problem) -> Result<(DType, Shape), Reject> {
    let (x, y) = operands(p)?;
    let indices = p.input(1).ok_or("the indices are absent")?;
    if !matches!(indices.dtype, DType::I64 | DType::I32) {
        return Err("the indices are neither i64 nor i32".into());
    }
    let (attrs, single) = match &p.op {
        Op::Gather(a) => (a, false),
        Op::GatherElements(a) => (a, true),
        _ => return Err("does not gather".into()),
    };
    let axis = normalize_axis(attrs.axis, x.shape.len()).map_err(|e| Reject::from(e.to_string()))?;
    let around = Around::axes(&x.shape, axis, axis + 1);
    let mut expected = x.shape.clone();
    let elements = if single {
        let fits = |(i, (&n, &m)): (usize, (&usize, &usize))| i == axis || m <= n;
        if indices.shape.len() != x.shape.len() || !x.shape.iter().zip(&indices.shape).enumerate().all(fits) {
            return Err("the indices reach beyond the input".into());
        }
        expected.clone_from(&indices.shape);
        let st = strides(&x.shape);
        Some(indices.shape.iter().enumerate().map(|(i, &n)| (n, if i == axis { 0 } else { st[i] })).collect())
    } else {
        expected.splice(axis..axis + 1, indices.shape.iter().copied());
        None
    };
    if y.shape != expected || y.dtype != x.dtype {
        return Err(format!("output {:?} is not {expected:?} of {}", y.shape, x.dtype).into());
    }
    Ok((indices.dtype, Shape { around, count: indices.len(), elements }))
}

impl Family for Gather {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        shape(p)?;
        out.push(Offer { numerics: NumericClass::Exact, ..uniform(p, Layout::Plain, 0) });
        Ok(())
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (indices, shape) = shape(p).map_err(problem)?;
        Ok(Box::new(Run { dtype: operands(p).map_err(problem)?.0.dtype, wide: indices == DType::I64, shape }))
    }
}

struct Run {
    dtype: DType,
    /// Indices of 64 rather than 32 bits.
    wide: bool,
    shape: Shape,
}

/// Indices of either width.
#[derive(Clone, Copy)]
pub(crate) enum Indices<'a> {
    Wide(&'a [i64]),
    Narrow(&'a [i32]),
}

impl<'a> Indices<'a> {
    /// Input `i`, of 64 rather than 32 bits where `wide`.
    pub(crate) fn of(cx: &RunCx<'a>, i: usize, wide: bool) -> Indices<'a> {
        if wide { Indices::Wide(cx.input(i)) } else { Indices::Narrow(cx.input(i)) }
    }

    /// Index `i` counted from the front of an axis of `len` elements, if it is on it.
    pub(crate) fn get(self, i: usize, len: usize) -> Option<usize> {
        let v = match self {
            Indices::Wide(x) => x[i],
            Indices::Narrow(x) => x[i].into(),
        };
        let v = if v < 0 { v.checked_add(len as i64)? } else { v };
        usize::try_from(v).ok().filter(|&v| v < len)
    }
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        by_width!(self.dtype, T => self.go::<T>(cx))
    }
}

impl Run {
    fn go<T: bytemuck::Pod + Send + Sync>(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<T>(0);
        let indices = Indices::of(cx, 1, self.wide);
        let parallel = cx.parallel();
        let y = cx.shared_output::<T>(0);
        let Shape { around: Around { outer, len, inner }, count, ref elements } = self.shape;
        let outside = AtomicBool::new(false);
        let (units, each) = if elements.is_some() { (count, 1) } else { (outer * count, inner) };
        split(parallel, units, y.len() * size_of::<T>() * 2, &|units, _| {
            for unit in units {
                // SAFETY: every unit has a place of its own in the output.
                let y = unsafe { y.slice(unit * each, each) };
                match elements {
                    Some(dims) => match indices.get(unit, len) {
                        Some(i) => y[0] = x[place(dims, unit) + i * inner],
                        None => outside.store(true, Ordering::Relaxed),
                    },
                    None => match indices.get(unit % count, len) {
                        Some(i) => y.copy_from_slice(&x[(unit / count * len + i) * inner..][..inner]),
                        None => outside.store(true, Ordering::Relaxed),
                    },
                }
            }
        });
        if outside.into_inner() {
            return Err(KernelError::Data(format!("an index lies outside its axis of length {len}")));
        }
        Ok(())
    }
}

/// Where the slice of the axis begins that holds element `i` of the indices.
fn place(dims: &[(usize, usize)], mut i: usize) -> usize {
    let mut at = 0;
    for &(n, step) in dims.iter().rev() {
        at += i % n * step;
        i /= n;
    }
    at
}
