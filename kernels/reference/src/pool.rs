//! Pooling over windows and over planes, and the way back.

use crate::conv::{Axis, axes};
use crate::io::{Built, KernelResult, Slot, View, built, data, ensure, problem};
use crate::walk::product;
use alloc::{format, vec::Vec};
use libm::{fabs, pow};
use paring_core::{
    DType,
    op::{GlobalPool, MaxUnpoolAttrs, PoolAttrs, PoolKind},
    strides,
};
use paring_kernel::Problem;

/// The windows of a pooling.
struct Windows {
    axes: Vec<Axis>,
    out_strides: Vec<usize>,
    in_strides: Vec<usize>,
    tap_strides: Vec<usize>,
    taps: usize,
}

impl Windows {
    /// The position of tap `t` of window `o` within a plane, if it is not padding; and whether it lies within the
    /// padded input at all (a partial window of `ceil` may reach beyond).
    fn tap(&self, o: usize, t: usize) -> (Option<usize>, bool) {
        let (mut place, mut inside) = (Some(0), true);
        for (d, s) in self.axes.iter().enumerate() {
            let (w, k) = (o / self.out_strides[d] % s.output, t / self.tap_strides[d] % s.kernel);
            inside &= w * s.stride + k * s.dilation < s.before + s.input + s.after;
            place = place.zip(s.tap(w, k)).map(|(p, i)| p + i * self.in_strides[d]);
        }
        (place, inside)
    }

    /// Flat position of the largest element of window `o` in the plane from `base`; NaN is the largest.
    fn argmax(&self, x: &View<'_>, base: usize, o: usize) -> Option<usize> {
        let mut best: Option<usize> = None;
        for at in (0..self.taps).filter_map(|t| self.tap(o, t).0) {
            let wins = |b: usize| {
                let (new, old) = (x.f(base + at), x.f(base + b));
                new > old || (new.is_nan() && !old.is_nan())
            };
            if best.is_none_or(wins) {
                best = Some(at);
            }
        }
        best
    }
}

/// `Pool`.
pub(crate) fn pool(p: &Problem, a: &PoolAttrs) -> KernelResult<Built> {
    let x = Slot::input(p, 0)?;
    let (y, indices) = (Slot::optional_output(p, 0)?, Slot::optional_output(p, 1)?);
    let Some(shape) = y.as_ref().or(indices.as_ref()).map(|s| s.shape.clone()) else { return built(0, |_| Ok(())) };
    let axes = axes(&x.shape, &shape, &a.kernel, &a.stride, &a.dilation, &a.padding)?;
    ensure(shape[..2] == x.shape[..2], || format!("output {shape:?} does not fit input {:?}", x.shape))?;
    let max = a.kind == PoolKind::Max;
    if let Some(y) = &y {
        ensure(y.dtype == x.dtype || x.dtype.is_float() && y.dtype.is_float(), || "the types differ".into())?;
        ensure(max || x.dtype.is_float(), || format!("{:?} pooling of {} has no reference", a.kind, x.dtype))?;
    }
    if let Some(i) = &indices {
        i.expect_shape("the indices", &shape)?;
        i.expect_dtype("the indices", DType::I64)?;
        ensure(max, || "only max pooling has indices".into())?;
    }
    let (out_plane, in_plane): (usize, usize) = (product(&shape[2..]), product(&x.shape[2..]));
    // A window beyond this is no window of a network, and would take ages.
    let taps = a.kernel.iter().try_fold(1usize, |n, &k| n.checked_mul(k)).filter(|&n| n < 1 << 31);
    let taps = taps.ok_or_else(|| problem(format!("the window {:?} is too large", a.kernel)))?;
    let windows = Windows {
        axes,
        out_strides: strides(&shape[2..]),
        in_strides: strides(&x.shape[2..]),
        tap_strides: strides(&a.kernel),
        taps,
    };
    let (kind, column_major) = (a.kind, a.column_major);
    let spatial = x.shape[2..].to_vec();
    built(0, move |io| {
        let xv = x.view(io);
        if let Some(y) = &y {
            let mut out = y.target(io);
            for at in 0..y.len {
                let (base, o) = (at / out_plane * in_plane, at % out_plane);
                match kind {
                    PoolKind::Max => match windows.argmax(&xv, base, o) {
                        Some(i) if x.dtype.is_float() => out.put_f(at, xv.f(base + i)),
                        Some(i) => out.put_int(at, xv.int(base + i)),
                        None => out.put_f(at, f64::NEG_INFINITY),
                    },
                    PoolKind::Average { count_padding } => {
                        out.put_f(at, average(&windows, &xv, base, o, count_padding));
                    }
                    PoolKind::Lp { p } => {
                        let places = (0..windows.taps).filter_map(|t| windows.tap(o, t).0);
                        out.put_f(at, lp(places.map(|i| xv.f(base + i)), p));
                    }
                }
            }
        }
        if let Some(indices) = &indices {
            let mut out = indices.target(io);
            for at in 0..indices.len {
                let (base, o) = (at / out_plane * in_plane, at % out_plane);
                let i = windows.argmax(&xv, base, o).unwrap_or(0);
                let i = if column_major { to_column_major(i, &spatial) } else { i };
                out.put_int(at, (base + i) as i128);
            }
        }
        Ok(())
    })
}

fn average(windows: &Windows, x: &View<'_>, base: usize, o: usize, count_padding: bool) -> f64 {
    let (mut sum, mut count) = (0.0, 0usize);
    for t in 0..windows.taps {
        let (place, inside) = windows.tap(o, t);
        if let Some(i) = place {
            sum += x.f(base + i);
        }
        count += (place.is_some() || count_padding && inside) as usize;
    }
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// `(sum |x|^p)^(1/p)`.
fn lp(values: impl Iterator<Item = f64>, p: u32) -> f64 {
    let p = p.max(1) as f64;
    pow(values.map(|v| pow(fabs(v), p)).sum(), 1.0 / p)
}

/// A row-major position within `shape` counted with the first axis innermost.
fn to_column_major(i: usize, shape: &[usize]) -> usize {
    let (mut rest, mut inner) = (i, product(shape));
    let mut at = 0;
    for &d in shape.iter().rev() {
        inner /= d.max(1);
        at += rest % d * inner;
        rest /= d;
    }
    at
}

/// `GlobalPool`.
pub(crate) fn global_pool(p: &Problem, kind: GlobalPool) -> KernelResult<Built> {
    let (x, y) = (Slot::input(p, 0)?, Slot::output(p, 0)?);
    x.expect_float("the input")?;
    y.expect_float("the output")?;
    ensure(x.rank() >= 2, || format!("input {:?} has no channels", x.shape))?;
    let mut expected = x.shape.clone();
    expected[2..].fill(1);
    y.expect_shape("the output", &expected)?;
    let plane: usize = product(&x.shape[2..]);
    built(0, move |io| {
        let xv = x.view(io);
        let mut out = y.target(io);
        for at in 0..y.len {
            let values = (at * plane..(at + 1) * plane).map(|i| xv.f(i));
            let v = match kind {
                GlobalPool::Max => values.fold(f64::NEG_INFINITY, crate::scalar::max),
                GlobalPool::Average => values.sum::<f64>() / plane as f64,
                GlobalPool::Lp { p } => lp(values, p),
            };
            out.put_f(at, v);
        }
        Ok(())
    })
}

/// `MaxUnpool`. Indices count within the output that the attributes alone would give; an explicit output shape only
/// extends it.
pub(crate) fn max_unpool(p: &Problem, a: &MaxUnpoolAttrs) -> KernelResult<Built> {
    let (x, indices, y) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::output(p, 0)?);
    indices.expect_shape("the indices", &x.shape)?;
    indices.expect_dtype("the indices", DType::I64)?;
    y.expect_dtype("the output", x.dtype)?;
    let n = x.rank().saturating_sub(2);
    let fits = y.rank() == x.rank() && x.rank() > 2 && y.shape[..2] == x.shape[..2];
    ensure(fits && a.kernel.len() == n && a.stride.len() == n, || {
        format!("output {:?} and kernel {:?} do not fit input {:?}", y.shape, a.kernel, x.shape)
    })?;
    let mut inner = x.shape.clone();
    for d in 0..n {
        let pads = |v: &[usize]| v.get(d).copied().unwrap_or(0);
        let full = x.shape[d + 2].saturating_sub(1).saturating_mul(a.stride[d]).saturating_add(a.kernel[d]);
        inner[d + 2] = full.saturating_sub(pads(&a.before).saturating_add(pads(&a.after)));
    }
    let total = paring_core::numel(&inner).map_err(|e| problem(format!("{e}")))?;
    let (from, to, size) = (strides(&inner), strides(&y.shape), x.size());
    built(0, move |io| {
        let (xb, iv) = (x.bytes(io), indices.view(io));
        let out = y.target_bytes(io);
        out.fill(0);
        for e in 0..x.len {
            let i = iv.int(e);
            let fail = || data(format!("index {i} of element {e} lies outside the output {:?}", y.shape));
            let flat = usize::try_from(i).ok().filter(|&f| f < total).ok_or_else(fail)?;
            let mut at = 0;
            for d in 0..inner.len() {
                let place = flat / from[d] % inner[d];
                if place >= y.shape[d] {
                    return Err(fail());
                }
                at += place * to[d];
            }
            out[at * size..][..size].copy_from_slice(&xb[e * size..][..size]);
        }
        Ok(())
    })
}
