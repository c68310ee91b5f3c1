//! Reductions over any axes.

use crate::{global_pool::fold, loops::MOST_DIMS, support::*};
use paring_core::{
    Layout, Op,
    op::{ReduceAttrs, ReduceKind as Kind},
};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd, Task, math};
use std::{ops::Range, sync::Arc};

/// `Reduce` on `f32`.
pub(crate) struct Reduce;

/// The input as a loop nest with neighbouring axes of one kind merged.
#[derive(Clone, Debug)]
struct Nest {
    /// Kept dimensions but an innermost one: extent and stride.
    kept: Vec<(usize, usize)>,
    /// Reduced dimensions but an innermost one.
    reduced: Vec<(usize, usize)>,
    /// Extent of the innermost dimension, and whether it is reduced.
    inner: (usize, bool),
    /// Elements that one result is made of.
    count: usize,
}

fn attrs(p: &Problem) -> Result<&ReduceAttrs, Reject> {
    match &p.op {
        Op::Reduce(a) => Ok(a),
        _ => Err("not a reduction".into()),
    }
}

fn nest(p: &Problem, a: &ReduceAttrs) -> Result<Nest, Reject> {
    let (x, y) = require_f32(p)?;
    let axes = match (&a.axes, p.input(1)) {
        (Some(axes), _) => Some(axes.clone()),
        (None, Some(_)) => Some(p.const_i64s(1).ok_or("the axes are not constant")?),
        (None, None) => None,
    };
    let mut is_reduced = vec![false; x.len()];
    match axes {
        Some(axes) if !axes.is_empty() => {
            for axis in axes {
                let axis = paring_core::normalize_axis(axis, x.len()).map_err(|e| Reject::from(e.to_string()))?;
                is_reduced[axis] = true;
            }
        }
        _ => is_reduced.fill(!a.noop_if_empty),
    }
    let mut dims: Vec<(usize, bool)> = Vec::new();
    for (&n, &r) in x.iter().zip(&is_reduced) {
        match dims.last_mut() {
            _ if n == 1 => {}
            Some((m, kind)) if *kind == r => *m *= n,
            _ => dims.push((n, r)),
        }
    }
    let expected: usize = dims.iter().filter(|d| !d.1).map(|d| d.0).product();
    if expected != paring_core::numel(y).unwrap_or(usize::MAX) {
        return Err(format!("output {y:?} does not fit input {x:?}").into());
    }
    if dims.is_empty() {
        dims.push((1, true));
    }
    if dims.len() > MOST_DIMS {
        return Err("more than eight groups of axes".into());
    }
    let count = dims.iter().filter(|d| d.1).map(|d| d.0).product();
    let (mut kept, mut reduced, mut stride) = (Vec::new(), Vec::new(), 1);
    let inner = dims[dims.len() - 1];
    for (i, &(n, r)) in dims.iter().enumerate().rev() {
        if i + 1 < dims.len() {
            if r { &mut reduced } else { &mut kept }.push((n, stride));
        }
        stride *= n;
    }
    kept.reverse();
    reduced.reverse();
    Ok(Nest { kept, reduced, inner, count })
}

impl Family for Reduce {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let a = attrs(p)?;
        let n = nest(p, a)?;
        if a.kind == Kind::LogSumExp && !(n.inner.1 && n.reduced.is_empty()) {
            return Err("the logarithm of a sum of exponentials needs trailing axes".into());
        }
        if n.count == 0 {
            return Err("nothing to reduce".into());
        }
        let mut o = uniform(p, Layout::Plain, 0);
        if p.input(1).is_some() {
            o.inputs[1] = None;
        }
        o.numerics = NumericClass::Reassociated;
        out.push(o);
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        let slow = attrs(p).is_ok_and(|a| a.kind == Kind::LogSumExp);
        p.input(0).map_or(0, |x| x.len()) as f64 * if slow { 0.8 } else { 0.08 }
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let a = attrs(p).map_err(problem)?;
        Ok(Box::new(Run { s, kind: a.kind, nest: nest(p, a).map_err(problem)? }))
    }
}

struct Run<S> {
    s: S,
    kind: Kind,
    nest: Nest,
}

/// Columns of one unit where the innermost axis is kept.
const WIDTH: usize = 512;

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<f32>(0);
        let parallel = cx.parallel();
        let y = cx.shared_output::<f32>(0);
        let outer: usize = self.nest.kept.iter().map(|d| d.0).product();
        let parts = if self.nest.inner.1 { 1 } else { self.nest.inner.0.div_ceil(WIDTH) };
        split(parallel, outer * parts, x.len() * 4, &|units, _| {
            let (kind, nest) = (self.kind, &self.nest);
            self.s.vectorize(Pass { kind, nest, parts, x, dst: y.as_ptr(), units });
        });
        Ok(())
    }
}

struct Pass<'a> {
    kind: Kind,
    nest: &'a Nest,
    parts: usize,
    x: &'a [f32],
    dst: *mut f32,
    units: Range<usize>,
}

impl Task for Pass<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        match self.kind {
            Kind::Max => self.go::<S, Max>(s),
            Kind::Min => self.go::<S, Min>(s),
            Kind::Prod => self.go::<S, Prod>(s),
            Kind::L1 => self.go::<S, Magnitudes>(s),
            Kind::L2 | Kind::SumSquare => self.go::<S, Squares>(s),
            Kind::Sum | Kind::Mean | Kind::LogSum => self.go::<S, Sum>(s),
            Kind::LogSumExp => self.log_sum_exp(s),
        }
    }
}

/// What is folded.
trait Fold {
    const START: f32;
    fn take<S: Simd>(s: S, acc: S::V, x: S::V) -> S::V;
    /// Two that have taken elements.
    fn merge<S: Simd>(s: S, a: S::V, b: S::V) -> S::V;
    fn join(a: f32, b: f32) -> f32;
    fn map(x: f32) -> f32 {
        x
    }
}

macro_rules! folds {
    ($($name:ident, $start:expr, |$s:ident, $a:ident, $x:ident| $v:expr, $both:expr, $one:expr, $map:expr;)*) => {$(
        struct $name;
        impl Fold for $name {
            const START: f32 = $start;
            #[inline(always)]
            fn take<S: Simd>($s: S, $a: S::V, $x: S::V) -> S::V {
                $v
            }
            #[inline(always)]
            fn merge<S: Simd>($s: S, $a: S::V, $x: S::V) -> S::V {
                $both($s, $a, $x)
            }
            #[inline(always)]
            fn join($a: f32, $x: f32) -> f32 {
                $one
            }
            #[inline(always)]
            fn map($x: f32) -> f32 {
                $map
            }
        }
    )*};
}
folds! {
    Sum, 0.0, |s, a, x| s.add(a, x), S::add, a + x, x;
    Prod, 1.0, |s, a, x| s.mul(a, x), S::mul, a * x, x;
    Max, f32::NEG_INFINITY, |s, a, x| math::max_nan(s, a, x), math::max_nan, if a > x || a.is_nan() { a } else { x }, x;
    Min, f32::INFINITY, |s, a, x| math::min_nan(s, a, x), math::min_nan, if a < x || a.is_nan() { a } else { x }, x;
    Magnitudes, 0.0, |s, a, x| s.add(a, s.abs(x)), S::add, a + x, x.abs();
    Squares, 0.0, |s, a, x| s.mul_add(x, x, a), S::add, a + x, x * x;
}

/// The offset of combination `i` of `dims`.
#[inline(always)]
fn offset(dims: &[(usize, usize)], mut i: usize) -> usize {
    let Some((&(_, first), inner)) = dims.split_first() else { return 0 };
    let mut at = 0;
    for &(n, stride) in inner.iter().rev() {
        at += i % n * stride;
        i /= n;
    }
    at + i * first
}

/// The lanes of the last eight elements of a row of `len` that are in no whole vector from the front.
#[inline(always)]
fn last_lanes<S: Simd>(s: S, len: usize) -> S::V {
    let mut a = [0.0; LANES];
    a[LANES - len % LANES..].fill(f32::from_bits(u32::MAX));
    s.from_array(a)
}

impl Pass<'_> {
    #[inline(always)]
    fn go<S: Simd, F: Fold>(&self, s: S) {
        let (inner, reduced_inner) = self.nest.inner;
        let combinations: usize = self.nest.reduced.iter().map(|d| d.0).product();
        let last = last_lanes(s, inner);
        for unit in self.units.clone() {
            if reduced_inner {
                let base = offset(&self.nest.kept, unit);
                let mut total = F::START;
                for i in 0..combinations {
                    let row = &self.x[base + offset(&self.nest.reduced, i)..][..inner];
                    total = F::join(total, self.row::<S, F>(s, row, last));
                }
                // SAFETY: one result per unit, which this task alone writes.
                unsafe { *self.dst.add(unit) = self.finish(total) };
                continue;
            }
            let (part, outer) = (unit % self.parts, unit / self.parts);
            let first = part * WIDTH;
            let n = (inner - first).min(WIDTH);
            let base = offset(&self.nest.kept, outer) + first;
            // SAFETY: these results are this task's alone.
            let y = unsafe { std::slice::from_raw_parts_mut(self.dst.add(outer * inner + first), n) };
            y.fill(F::START);
            for i in 0..combinations {
                self.take_row::<S, F>(s, y, &self.x[base + offset(&self.nest.reduced, i)..][..n]);
            }
            for y in y {
                *y = self.finish(*y);
            }
        }
    }

    /// A row folded into one number. `last` is what [`last_lanes`] says.
    #[inline(always)]
    fn row<S: Simd, F: Fold>(&self, s: S, row: &[f32], last: S::V) -> f32 {
        let (x, n) = (row.as_ptr(), row.len());
        if n < LANES {
            return row.iter().fold(F::START, |t, &x| F::join(t, F::map(x)));
        }
        let start = s.splat(F::START);
        let mut acc = [start; 4];
        let mut i = 0;
        // SAFETY: every load is within the row.
        unsafe {
            while i + 4 * LANES <= n {
                for (k, a) in acc.iter_mut().enumerate() {
                    *a = F::take(s, *a, s.load(x.add(i + k * LANES)));
                }
                i += 4 * LANES;
            }
            while i + LANES <= n {
                acc[0] = F::take(s, acc[0], s.load(x.add(i)));
                i += LANES;
            }
            if i < n {
                acc[1] = F::take(s, acc[1], s.select(last, s.load(x.add(n - LANES)), start));
            }
        }
        let two = |a, b| F::merge(s, a, b);
        let a = s.to_array(two(two(acc[0], acc[1]), two(acc[2], acc[3])));
        let (even, odd) =
            (F::join(F::join(a[0], a[4]), F::join(a[2], a[6])), F::join(F::join(a[1], a[5]), F::join(a[3], a[7])));
        F::join(even, odd)
    }

    #[inline(always)]
    fn take_row<S: Simd, F: Fold>(&self, s: S, y: &mut [f32], row: &[f32]) {
        let n = y.len();
        let full = n / LANES * LANES;
        for i in (0..full).step_by(LANES) {
            // SAFETY: `i + 8 <= n`, the length of both.
            unsafe {
                let v = F::take(s, s.load(y.as_ptr().add(i)), s.load(row.as_ptr().add(i)));
                s.store(y.as_mut_ptr().add(i), v);
            }
        }
        for i in full..n {
            y[i] = F::join(y[i], F::map(row[i]));
        }
    }

    #[inline(always)]
    fn finish(&self, total: f32) -> f32 {
        match self.kind {
            Kind::Mean => total / self.nest.count as f32,
            Kind::L2 => total.sqrt(),
            Kind::LogSum => total.ln(),
            _ => total,
        }
    }

    #[inline(always)]
    fn log_sum_exp<S: Simd>(&self, s: S) {
        let inner = self.nest.inner.0;
        let last = last_lanes(s, inner);
        for unit in self.units.clone() {
            let row = &self.x[offset(&self.nest.kept, unit)..][..inner];
            let top = self.row::<S, Max>(s, row, last);
            // An infinite maximum would make NaN of the differences.
            let shift = if top.is_finite() { top } else { 0.0 };
            let t = s.splat(shift);
            let full = inner / LANES * LANES;
            let sum = fold(s, &row[..full], 0.0, |a, v| s.add(a, math::exp(s, s.sub(v, t))));
            let rest: f32 = row[full..].iter().map(|&v| (v - shift).exp()).sum();
            // SAFETY: one result per unit, which this task alone writes.
            unsafe { *self.dst.add(unit) = shift + (s.sum(sum) + rest).ln() };
        }
    }
}
