//! Operators whose output shape depends on the data.

use crate::io::{KernelResult, View, data, ensure, problem};
use crate::kernel::aligned;
use crate::reduce::compare;
use crate::scalar::total;
use crate::walk::around;
use alloc::{format, vec, vec::Vec};
use core::cmp::Ordering;
use paring_core::{
    Op, Tensor, normalize_axis,
    op::{CompressAttrs, NmsAttrs, UniqueAttrs},
    strides,
};
use paring_kernel::KernelError;

/// Computes the outputs of an operator whose output shape [depends on the data](Op::is_data_dependent), all of them
/// in order.
///
/// # Errors
/// [`KernelError`] as for [`crate::evaluate`], and for an operator whose shapes do not depend on the data.
pub fn evaluate_dynamic(op: &Op, inputs: &[Option<&Tensor>]) -> Result<Vec<Tensor>, KernelError> {
    let inputs = Inputs {
        op: op.name(),
        tensors: inputs.iter().map(|t| t.map(aligned).transpose()).collect::<Result<Vec<_>, _>>()?,
    };
    match op {
        Op::NonZero => non_zero(&inputs),
        Op::Compress(a) => compress(&inputs, a),
        Op::Unique(a) => unique(&inputs, a),
        Op::NonMaxSuppression(a) => non_max_suppression(&inputs, a),
        _ => Err(problem(format!("the shape of the output of {} does not depend on the data", op.name()))),
    }
}

struct Inputs {
    op: &'static str,
    tensors: Vec<Option<Tensor>>,
}

impl Inputs {
    fn get(&self, i: usize) -> Option<&Tensor> {
        self.tensors.get(i)?.as_ref()
    }

    fn need(&self, i: usize) -> KernelResult<&Tensor> {
        self.get(i).ok_or_else(|| problem(format!("{} lacks input {i}", self.op)))
    }

    /// The only number of an optional input.
    fn scalar(&self, i: usize) -> KernelResult<Option<f64>> {
        let Some(t) = self.get(i) else { return Ok(None) };
        let v = t.to_f64s().unwrap_or_default();
        ensure(v.len() <= 1, || format!("input {i} of {} is not a scalar", self.op))?;
        Ok(v.first().copied())
    }
}

fn view(t: &Tensor) -> View<'_> {
    View::new(t.dtype(), t.bytes())
}

fn indices(shape: &[usize], v: &[i64]) -> KernelResult<Tensor> {
    Ok(Tensor::new(shape, v)?)
}

fn non_zero(inputs: &Inputs) -> KernelResult<Vec<Tensor>> {
    let x = inputs.need(0)?;
    let v = view(x);
    let float = x.dtype().is_float();
    let hits: Vec<usize> = (0..x.len()).filter(|&i| if float { v.f(i) != 0.0 } else { v.int(i) != 0 }).collect();
    let own = strides(x.shape());
    let rows = own.iter().zip(x.shape()).flat_map(|(&s, &n)| hits.iter().map(move |&i| (i / s % n) as i64));
    let rows: Vec<i64> = rows.collect();
    Ok(vec![indices(&[x.shape().len(), hits.len()], &rows)?])
}

/// The slices `keep` along the middle of `(outer, n, inner)`.
fn pick(x: &Tensor, (outer, n, inner): (usize, usize, usize), keep: &[usize], shape: &[usize]) -> KernelResult<Tensor> {
    if x.is_empty() || keep.is_empty() {
        return Ok(Tensor::from_bytes(x.dtype(), shape, &[])?);
    }
    let unit = inner * x.dtype().bits() / 8;
    let mut bytes = Vec::with_capacity(outer * keep.len() * unit);
    for o in 0..outer {
        for &k in keep {
            bytes.extend_from_slice(&x.bytes()[(o * n + k) * unit..][..unit]);
        }
    }
    Ok(Tensor::from_bytes(x.dtype(), shape, &bytes)?)
}

/// The slices of a tensor along an axis, or its elements where there is none.
fn slices(x: &Tensor, axis: Option<i64>) -> KernelResult<(Option<usize>, (usize, usize, usize))> {
    let Some(axis) = axis else { return Ok((None, (1, x.len(), 1))) };
    let axis = normalize_axis(axis, x.shape().len()).map_err(|e| problem(format!("{e}")))?;
    Ok((Some(axis), around(x.shape(), axis)))
}

/// The shape of `x` with `n` slices.
fn resized(x: &Tensor, axis: Option<usize>, n: usize) -> Vec<usize> {
    let Some(axis) = axis else { return vec![n] };
    let mut shape = x.shape().to_vec();
    shape[axis] = n;
    shape
}

fn compress(inputs: &Inputs, a: &CompressAttrs) -> KernelResult<Vec<Tensor>> {
    let (x, condition) = (inputs.need(0)?, inputs.need(1)?);
    let (axis, extent) = slices(x, a.axis)?;
    ensure(condition.shape().len() == 1, || format!("the condition {:?} is not a vector", condition.shape()))?;
    let c = view(condition);
    let keep: Vec<usize> = (0..condition.len()).filter(|&i| c.int(i) != 0).collect();
    match keep.last() {
        Some(&k) if k >= extent.1 => Err(data(format!("slice {k} is picked of {}", extent.1))),
        _ => Ok(vec![pick(x, extent, &keep, &resized(x, axis, keep.len()))?]),
    }
}

fn unique(inputs: &Inputs, a: &UniqueAttrs) -> KernelResult<Vec<Tensor>> {
    let x = inputs.need(0)?;
    let (axis, (outer, n, inner)) = slices(x, a.axis)?;
    let (v, float) = (view(x), x.dtype().is_float());
    let order = |i: usize, j: usize| {
        let at = |k: usize, e: usize| (e / inner * n + k) * inner + e % inner;
        let orders = (0..outer * inner).map(|e| compare(&v, float, at(i, e), at(j, e)));
        orders.into_iter().find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    };
    let mut sorted: Vec<usize> = (0..n).collect();
    sorted.sort_by(|&i, &j| order(i, j));
    // Groups of equal slices, each led by its first appearance, since the sort is stable.
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in sorted {
        match groups.last_mut() {
            Some(g) if order(g[0], i).is_eq() => g.push(i),
            _ => groups.push(vec![i]),
        }
    }
    if !a.sorted {
        groups.sort_by_key(|g| g[0]);
    }
    let firsts: Vec<usize> = groups.iter().map(|g| g[0]).collect();
    let mut inverse = vec![0i64; n];
    for (k, g) in groups.iter().enumerate() {
        g.iter().for_each(|&i| inverse[i] = k as i64);
    }
    let count = groups.len();
    let counts: Vec<i64> = groups.iter().map(|g| g.len() as i64).collect();
    let first: Vec<i64> = firsts.iter().map(|&i| i as i64).collect();
    Ok(vec![
        pick(x, (outer, n, inner), &firsts, &resized(x, axis, count))?,
        indices(&[count], &first)?,
        indices(&[n], &inverse)?,
        indices(&[count], &counts)?,
    ])
}

/// Lower and upper corner of a box.
struct Corners {
    low: [f64; 2],
    high: [f64; 2],
}

impl Corners {
    fn read(boxes: &View<'_>, i: usize, center: bool) -> Corners {
        let [a, b, c, d] = [0, 1, 2, 3].map(|k| boxes.f(i * 4 + k));
        if center {
            Corners { low: [a - c / 2.0, b - d / 2.0], high: [a + c / 2.0, b + d / 2.0] }
        } else {
            Corners { low: [a.min(c), b.min(d)], high: [a.max(c), b.max(d)] }
        }
    }

    fn area(&self) -> f64 {
        (self.high[0] - self.low[0]) * (self.high[1] - self.low[1])
    }

    /// Intersection over union; 0 where either is empty.
    fn overlap(&self, other: &Corners) -> f64 {
        let side = |d: usize| self.high[d].min(other.high[d]) - self.low[d].max(other.low[d]);
        let (h, w) = (side(0), side(1));
        let (mine, others) = (self.area(), other.area());
        if !(h > 0.0 && w > 0.0 && mine > 0.0 && others > 0.0) {
            return 0.0;
        }
        h * w / (mine + others - h * w)
    }
}

fn non_max_suppression(inputs: &Inputs, a: &NmsAttrs) -> KernelResult<Vec<Tensor>> {
    let (boxes, scores) = (inputs.need(0)?, inputs.need(1)?);
    let (&[batches, n, 4], &[score_batches, classes, m]) = (boxes.shape(), scores.shape()) else {
        return Err(problem(format!("boxes {:?} and scores {:?} do not fit", boxes.shape(), scores.shape())));
    };
    ensure(batches == score_batches && n == m && boxes.dtype().is_float() && scores.dtype().is_float(), || {
        format!("boxes {:?} and scores {:?} do not fit", boxes.shape(), scores.shape())
    })?;
    let most = inputs.scalar(2)?.unwrap_or(0.0).max(0.0) as usize;
    let (limit, threshold) = (inputs.scalar(3)?.unwrap_or(0.0), inputs.scalar(4)?);
    let (bv, sv) = (view(boxes), view(scores));
    let mut found: Vec<i64> = Vec::new();
    for b in 0..batches {
        let corners: Vec<Corners> = (0..n).map(|i| Corners::read(&bv, b * n + i, a.center)).collect();
        for c in 0..classes {
            let score = |i: usize| sv.f((b * classes + c) * n + i);
            let mut candidates: Vec<usize> = (0..n).filter(|&i| threshold.is_none_or(|t| score(i) > t)).collect();
            candidates.sort_by(|&i, &j| total(score(j), score(i)).then(i.cmp(&j)));
            let mut kept: Vec<usize> = Vec::new();
            for i in candidates {
                if kept.len() >= most {
                    break;
                }
                if kept.iter().all(|&k| corners[i].overlap(&corners[k]) <= limit) {
                    kept.push(i);
                }
            }
            found.extend(kept.iter().flat_map(|&i| [b as i64, c as i64, i as i64]));
        }
    }
    Ok(vec![indices(&[found.len() / 3, 3], &found)?])
}
