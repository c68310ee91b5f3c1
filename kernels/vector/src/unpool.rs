//! The way back from max pooling.

use crate::support::*;
use paring_core::{DType, Layout, Op, numel, strides};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::Simd;
use std::sync::Arc;

/// `MaxUnpool`, of any element type.
pub(crate) struct MaxUnpool;

/// The shape that the indices count in: what the attributes alone give. An explicit output shape only extends it.
fn inner(p: &Problem) -> Result<Vec<usize>, Reject> {
    let Op::MaxUnpool(a) = &p.op else { return Err("not an unpooling".into()) };
    let (x, y) = operands(p)?;
    let n = x.shape.len().saturating_sub(2);
    if n == 0
        || y.shape.len() != x.shape.len()
        || y.shape[..2] != x.shape[..2]
        || a.kernel.len() != n
        || a.stride.len() != n
    {
        return Err("window and operands do not fit".into());
    }
    if p.input(1).is_none_or(|i| i.dtype != DType::I64 || i.shape != x.shape) {
        return Err("there is not one i64 index per element".into());
    }
    let mut inner = x.shape.clone();
    for d in 0..n {
        let pad = |v: &[usize]| v.get(d).copied().unwrap_or(0);
        let full = (x.shape[d + 2] - 1).saturating_mul(a.stride[d]).saturating_add(a.kernel[d]);
        inner[d + 2] = full.saturating_sub(pad(&a.before).saturating_add(pad(&a.after)));
    }
    numel(&inner).map_err(|e| Reject::from(e.to_string()))?;
    Ok(inner)
}

impl Family for MaxUnpool {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        require_movable(p, 0..1)?;
        inner(p)?;
        let mut o = uniform(p, Layout::Plain, 0);
        o.inputs.iter_mut().skip(2).for_each(|x| *x = None);
        o.numerics = NumericClass::Exact;
        out.push(o);
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        p.input(0).map_or(0.0, |x| x.len() as f64 * 4.0)
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (x, y) = operands(p).map_err(problem)?;
        let inner = inner(p).map_err(problem)?;
        let same = inner == y.shape;
        Ok(Box::new(Run {
            dtype: x.dtype,
            from: strides(&inner),
            to: strides(&y.shape),
            inner,
            outer: y.shape.clone(),
            same,
        }))
    }
}

struct Run {
    dtype: DType,
    inner: Vec<usize>,
    outer: Vec<usize>,
    from: Vec<usize>,
    to: Vec<usize>,
    same: bool,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        by_width!(self.dtype, T => self.go::<T>(cx))
    }
}

impl Run {
    /// One worker: two elements may name one place, where the last one must win.
    fn go<T: bytemuck::Pod>(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, indices) = (cx.input::<T>(0), cx.input::<i64>(1));
        let y = cx.output::<T>(0);
        y.fill(T::zeroed());
        for (&v, &i) in x.iter().zip(indices) {
            let place = self.place(i).filter(|&at| at < y.len());
            let at = place.ok_or_else(|| KernelError::Data(format!("index {i} lies outside the output")))?;
            y[at] = v;
        }
        Ok(())
    }

    fn place(&self, i: i64) -> Option<usize> {
        let flat = usize::try_from(i).ok()?;
        if self.same {
            return Some(flat);
        }
        let mut at = 0;
        if flat >= self.inner.iter().product() {
            return None;
        }
        for d in 0..self.inner.len() {
            let i = flat / self.from[d] % self.inner[d];
            if i >= self.outer[d] {
                return None;
            }
            at += i * self.to[d];
        }
        Some(at)
    }
}
