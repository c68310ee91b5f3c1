//! Softmax and its logarithm, and division by Lp norms, along one axis or several trailing ones.

use crate::{global_pool::fold, support::*};
use paring_core::{Layout, Op, op::SoftmaxKind};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Lanes, Several, Simd, Task, math};
use std::{ops::Range, sync::Arc};

/// `Softmax` and `LpNorm` on `f32`.
pub(crate) struct Softmax;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Softmax,
    LogSoftmax,
    L1,
    L2,
}

fn shapes(p: &Problem) -> Result<(Kind, Around), Reject> {
    let shape = require_same_shape(p)?;
    match &p.op {
        Op::Softmax(a) => {
            let kind = match a.kind {
                SoftmaxKind::Softmax => Kind::Softmax,
                SoftmaxKind::LogSoftmax => Kind::LogSoftmax,
                SoftmaxKind::Hardmax => return Err("hardmax is not a softmax".into()),
            };
            let around = if a.to_end {
                // Rank 0 has no axis; the axis may also be one past the last.
                let rank = shape.len() as i64;
                let axis = if a.axis < 0 { a.axis + rank } else { a.axis };
                let axis = usize::try_from(axis).ok().filter(|&x| x <= shape.len()).ok_or("the axis is outside")?;
                Around::axes(shape, axis, shape.len())
            } else {
                Around::axis(shape, a.axis)?
            };
            Ok((kind, around))
        }
        Op::LpNorm(a) => match a.p {
            1 => Ok((Kind::L1, Around::axis(shape, a.axis)?)),
            2 => Ok((Kind::L2, Around::axis(shape, a.axis)?)),
            _ => Err("only norms 1 and 2".into()),
        },
        _ => Err("not a softmax".into()),
    }
}

impl Family for Softmax {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        shapes(p)?;
        out.push(Offer { in_place: Some(0), ..uniform(p, Layout::Plain, 0) });
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        output_len(p) as f64 * if matches!(p.op, Op::Softmax(_)) { 0.9 } else { 0.2 }
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (kind, around) = shapes(p).map_err(problem)?;
        Ok(Box::new(Run { s, kind, around }))
    }
}

struct Run<S> {
    s: S,
    kind: Kind,
    around: Around,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = (cx.in_place() != Some(0)).then(|| cx.input::<f32>(0));
        let parallel = cx.parallel();
        let y = cx.shared_output::<f32>(0);
        let src = Src(x.map_or(y.as_ptr(), <[f32]>::as_ptr));
        let Around { outer, inner, .. } = self.around;
        // A unit is a row, or up to eight neighbouring columns.
        let groups = if inner == 1 { 1 } else { inner.div_ceil(LANES) };
        split(parallel, outer * groups, y.len() * 24, &|units, _| {
            let (kind, around) = (self.kind, self.around);
            self.s.vectorize(Pass { kind, around, groups, src, dst: y.as_ptr(), units });
        });
        Ok(())
    }
}

struct Pass {
    kind: Kind,
    around: Around,
    groups: usize,
    src: Src,
    dst: *mut f32,
    units: Range<usize>,
}

impl Task for Pass {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Around { len, inner, .. } = self.around;
        for unit in self.units.clone() {
            // SAFETY: rows and columns lie within the operands; this task alone touches them.
            unsafe {
                if inner == 1 {
                    self.row(s, self.src.0.add(unit * len), self.dst.add(unit * len), len);
                } else {
                    let column = unit % self.groups * LANES;
                    let at = unit / self.groups * len * inner + column;
                    self.columns(s, self.src.0.add(at), self.dst.add(at), (inner - column).min(LANES));
                }
            }
        }
    }
}

/// Vectors of a row that are made powers of e at once: a single one waits for itself.
const TOGETHER: usize = 4;

/// `e^x`, and 0 where that is below the normal numbers.
#[inline(always)]
fn exp_or_zero<S: Lanes>(s: S, x: S::V) -> S::V {
    s.select(s.less(x, s.splat(-87.0)), s.splat(0.0), math::exp_normal(s, x))
}

impl Pass {
    /// # Safety
    /// `x` and `y` must hold `len` elements.
    #[inline(always)]
    unsafe fn row<S: Simd>(&self, s: S, x: *const f32, y: *mut f32, len: usize) {
        // SAFETY: the caller's promise. The slice is only read before anything is written in its place.
        let all = unsafe { std::slice::from_raw_parts(x, len) };
        if matches!(self.kind, Kind::L1 | Kind::L2) {
            let norm = if self.kind == Kind::L1 {
                s.sum(fold(s, all, 0.0, |a, v| s.add(a, s.abs(v))))
            } else {
                s.sum(fold(s, all, 0.0, |a, v| s.mul_add(v, v, a))).sqrt()
            };
            let n = s.splat(norm);
            let zero = s.splat(0.0);
            map_loop!(s, x, y, len, v => quotient(s, v, n, zero));
            return;
        }
        let top = s.to_array(fold(s, all, f32::NEG_INFINITY, |a, v| math::max_nan(s, a, v)));
        let top = top.into_iter().fold(f32::NEG_INFINITY, |a, v| if v > a || v.is_nan() { v } else { a });
        let t = s.splat(top);
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [s.splat(0.0); TOGETHER];
            let (fours, full) = (len / (TOGETHER * LANES) * TOGETHER * LANES, len / LANES * LANES);
            let soft = self.kind == Kind::Softmax;
            let all = Several::<S, TOGETHER>(s);
            for i in (0..fours).step_by(TOGETHER * LANES) {
                let mut v = [t; TOGETHER];
                for k in 0..TOGETHER {
                    v[k] = s.load(x.add(i + k * LANES));
                }
                let e = exp_or_zero(all, all.sub(v, [t; TOGETHER]));
                for k in 0..TOGETHER {
                    if soft {
                        s.store(y.add(i + k * LANES), e[k]);
                    }
                    sums[k] = s.add(sums[k], e[k]);
                }
            }
            for i in (fours..full).step_by(LANES) {
                let e = exp_or_zero(s, s.sub(s.load(x.add(i)), t));
                if soft {
                    s.store(y.add(i), e);
                }
                let k = (i - fours) / LANES;
                sums[k] = s.add(sums[k], e);
            }
            if full < len {
                let n = len - full;
                let e = exp_or_zero(s, s.sub(load_n(s, x.add(full), n), t));
                if soft {
                    store_n(s, y.add(full), e, n);
                }
                sums[0] = s.add(sums[0], s.and(lane_mask(s, n), e));
            }
            let sum = s.sum(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])));
            if soft {
                let scale = s.splat(1.0 / sum);
                let from = y.cast_const();
                map_loop!(s, from, y, len, v => s.mul(v, scale));
            } else {
                let shift = s.splat(sum.ln());
                map_loop!(s, x, y, len, v => s.sub(s.sub(v, t), shift));
            }
        }
    }

    /// Up to eight neighbouring columns.
    ///
    /// # Safety
    /// `x` and `y` must hold `n` elements at every step of the axis.
    #[inline(always)]
    unsafe fn columns<S: Simd>(&self, s: S, x: *const f32, y: *mut f32, n: usize) {
        let Around { len, inner, .. } = self.around;
        let zero = s.splat(0.0);
        // SAFETY: the caller's promise.
        unsafe {
            let get = |p: *const f32, i: usize| {
                if n == LANES { s.load(p.add(i * inner)) } else { load_n(s, p.add(i * inner), n) }
            };
            let put = |i: usize, v: S::V| {
                if n == LANES { s.store(y.add(i * inner), v) } else { store_n(s, y.add(i * inner), v, n) }
            };
            if matches!(self.kind, Kind::L1 | Kind::L2) {
                let mut norm = zero;
                for i in 0..len {
                    let v = get(x, i);
                    norm = if self.kind == Kind::L1 { s.add(norm, s.abs(v)) } else { s.mul_add(v, v, norm) };
                }
                let norm = if self.kind == Kind::L1 { norm } else { s.sqrt(norm) };
                for i in 0..len {
                    put(i, quotient(s, get(x, i), norm, zero));
                }
                return;
            }
            let mut top = s.splat(f32::NEG_INFINITY);
            for i in 0..len {
                top = math::max_nan(s, top, get(x, i));
            }
            let soft = self.kind == Kind::Softmax;
            let mut sum = zero;
            for i in 0..len {
                let e = exp_or_zero(s, s.sub(get(x, i), top));
                if soft {
                    put(i, e);
                }
                sum = s.add(sum, e);
            }
            if soft {
                let scale = s.div(s.splat(1.0), sum);
                for i in 0..len {
                    put(i, s.mul(get(y, i), scale));
                }
            } else {
                let shift = math::ln(s, sum);
                for i in 0..len {
                    put(i, s.sub(s.sub(get(x, i), top), shift));
                }
            }
        }
    }
}

/// `v / norm`, and 0 where the norm is 0.
#[inline(always)]
fn quotient<S: Simd>(s: S, v: S::V, norm: S::V, zero: S::V) -> S::V {
    s.select(s.less(zero, norm), s.div(v, norm), v)
}
