//! Pooling over whole planes.

use crate::{
    post::{Bound, Post},
    support::*,
};
use paring_core::{Layout, Op, op::GlobalPool as Kind};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd, Task, math};
use std::{ops::Range, sync::Arc};

/// `GlobalPool` on `f32`.
pub(crate) struct GlobalPool;

fn shapes(p: &Problem) -> Result<(Kind, Planes), Reject> {
    let Op::GlobalPool(kind) = p.op else { return Err("not a global pooling".into()) };
    let (x, y) = require_f32(p)?;
    if matches!(kind, Kind::Lp { p } if p != 1 && p != 2) {
        return Err("only norms 1 and 2".into());
    }
    let planes = Planes::of(x)?;
    if y.len() != x.len() || y[..2] != x[..2] || y[2..].iter().any(|&d| d != 1) {
        return Err(format!("output {y:?} does not fit input {x:?}").into());
    }
    Ok((kind, planes))
}

impl Family for GlobalPool {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        shapes(p)?;
        let fused = Post::fusable(p);
        out.extend([BLOCKED, Layout::Plain].map(|layout| uniform(p, layout, fused)));
        Ok(())
    }

    fn work(p: &Problem, o: &Offer) -> f64 {
        0.06 * p.input(0).map_or(0, |x| x.len()) as f64 + Post::work(p, o.fused)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (kind, planes) = shapes(p).map_err(problem)?;
        let layout = o.outputs[0];
        let post = Post::new(p, o.fused, layout, false);
        Ok(Box::new(Run { s, kind, planes, blocked: layout != Layout::Plain, post }))
    }
}

struct Run<S> {
    s: S,
    kind: Kind,
    planes: Planes,
    blocked: bool,
    post: Post,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<f32>(0);
        let post = self.post.bind(cx);
        let parallel = cx.parallel();
        let units = self.planes.samples * if self.blocked { self.planes.blocks() } else { self.planes.channels };
        let y = cx.shared_output::<f32>(0);
        split(parallel, units, x.len() * 4, &|units, _| {
            let (kind, plane, blocked) = (self.kind, self.planes.plane, self.blocked);
            self.s.vectorize(Pass { kind, plane, blocked, x, dst: y.as_ptr(), post: &post, units });
        });
        Ok(())
    }
}

struct Pass<'a> {
    kind: Kind,
    plane: usize,
    blocked: bool,
    x: &'a [f32],
    dst: *mut f32,
    post: &'a Bound<'a>,
    /// Planes, or blocks of eight of them.
    units: Range<usize>,
}

impl Task for Pass<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let width = if self.blocked { LANES } else { 1 };
        for unit in self.units.clone() {
            let x = &self.x[unit * self.plane * width..][..self.plane * width];
            let v = match self.kind {
                Kind::Max => fold(s, x, f32::NEG_INFINITY, |a, v| math::max_nan(s, a, v)),
                Kind::Average => fold(s, x, 0.0, |a, v| s.add(a, v)),
                Kind::Lp { p: 2 } => fold(s, x, 0.0, |a, v| s.mul_add(v, v, a)),
                Kind::Lp { .. } => fold(s, x, 0.0, |a, v| s.add(a, s.abs(v))),
            };
            let v = if self.blocked { v } else { s.splat(self.across(s, v)) };
            let v = match self.kind {
                Kind::Average => s.div(v, s.splat(self.plane as f32)),
                Kind::Lp { p: 2 } => s.sqrt(v),
                _ => v,
            };
            // SAFETY: this task alone writes the results of its units.
            unsafe { store_n(s, self.dst.add(unit * width), v, width) };
        }
        if !self.post.is_empty() {
            let (first, len) = (self.units.start * width, self.units.len() * width);
            // SAFETY: as above.
            unsafe { self.post.apply(s, self.dst, first, len) };
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn across<S: Simd>(&self, s: S, v: S::V) -> f32 {
        let a = s.to_array(v);
        match self.kind {
            Kind::Max => a.into_iter().fold(f32::NEG_INFINITY, |a, v| if v > a || v.is_nan() { v } else { a }),
            _ => s.sum(v),
        }
    }
}

/// Folds vectors of `x` in four chains; `start` must be neutral, as it fills up the last vector.
#[inline(always)]
pub(crate) fn fold<S: Simd>(s: S, x: &[f32], start: f32, f: impl Fn(S::V, S::V) -> S::V) -> S::V {
    let mut acc = [s.splat(start); 4];
    let (p, n) = (x.as_ptr(), x.len());
    let mut i = 0;
    // SAFETY: every load is within `x`.
    unsafe {
        while i + 4 * LANES <= n {
            for (k, a) in acc.iter_mut().enumerate() {
                *a = f(*a, s.load(p.add(i + k * LANES)));
            }
            i += 4 * LANES;
        }
        while i + LANES <= n {
            acc[0] = f(acc[0], s.load(p.add(i)));
            i += LANES;
        }
    }
    if i < n {
        let mut rest = [start; LANES];
        rest[..n - i].copy_from_slice(&x[i..]);
        acc[0] = f(acc[0], s.from_array(rest));
    }
    // Joining the chains must not transform them again, as squares would: only sums and maxima join by themselves.
    join(s, acc, start)
}

/// Joins chains of a fold that starts at 0 (a sum) or at an infinity (a maximum).
#[inline(always)]
fn join<S: Simd>(s: S, acc: [S::V; 4], start: f32) -> S::V {
    let two = |a, b| if start == 0.0 { s.add(a, b) } else { math::max_nan(s, a, b) };
    two(two(acc[0], acc[1]), two(acc[2], acc[3]))
}
