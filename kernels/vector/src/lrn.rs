//! Local response normalisation across channels.

use crate::support::*;
use paring_core::{Layout, Op, op::LrnAttrs};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd, Task, math};
use std::{ops::Range, sync::Arc};

/// `Lrn` on `f32`.
pub(crate) struct Lrn;

fn attrs(p: &Problem) -> Result<(LrnAttrs, Planes), Reject> {
    match p.op {
        Op::Lrn(a) if a.size > 0 => Ok((a, Planes::of(require_same_shape(p)?)?)),
        _ => Err("not a local response normalisation".into()),
    }
}

impl Family for Lrn {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        attrs(p)?;
        out.extend([BLOCKED, Layout::Plain].map(|layout| uniform(p, layout, 0)));
        Ok(())
    }

    fn work(p: &Problem, o: &Offer) -> f64 {
        let window = attrs(p).map_or(1, |(a, _)| a.size) as f64;
        let each = if o.outputs[0] == Layout::Plain { 0.1 } else { 1.5 };
        output_len(p) as f64 * (0.7 + each * window)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (a, planes) = attrs(p).map_err(problem)?;
        Ok(Box::new(Run { s, a, planes, blocked: o.outputs[0] != Layout::Plain }))
    }
}

struct Run<S> {
    s: S,
    a: LrnAttrs,
    planes: Planes,
    blocked: bool,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<f32>(0);
        let parallel = cx.parallel();
        let y = cx.shared_output::<f32>(0);
        // A unit is eight pixels of all channels (plain), or one pixel (blocked).
        let groups = if self.blocked { self.planes.plane } else { self.planes.plane.div_ceil(LANES) };
        split(parallel, self.planes.samples * groups, x.len() * 24, &|units, _| {
            let Run { a, planes, blocked, .. } = *self;
            self.s.vectorize(Pass { a, planes, blocked, groups, x, dst: y.as_ptr(), units });
        });
        Ok(())
    }
}

struct Pass<'a> {
    a: LrnAttrs,
    planes: Planes,
    blocked: bool,
    groups: usize,
    x: &'a [f32],
    dst: *mut f32,
    units: Range<usize>,
}

impl Task for Pass<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        for unit in self.units.clone() {
            let (sample, group) = (unit / self.groups, unit % self.groups);
            if self.blocked { self.pixel(s, sample, group) } else { self.columns(s, sample, group * LANES) }
        }
    }
}

impl Pass<'_> {
    /// The channels of the window around `c`.
    #[inline(always)]
    fn window(&self, c: usize) -> Range<usize> {
        c.saturating_sub((self.a.size - 1) / 2)..c.saturating_add(self.a.size / 2 + 1).min(self.planes.channels)
    }

    /// `v / (bias + alpha / size * squares)^beta`.
    #[inline(always)]
    fn scaled<S: Simd>(&self, s: S, v: S::V, squares: S::V) -> S::V {
        let base = s.mul_add(squares, s.splat(self.a.alpha / self.a.size as f32), s.splat(self.a.bias));
        let power = match self.a.beta {
            0.75 => {
                let root = s.sqrt(base);
                s.mul(root, s.sqrt(root))
            }
            0.5 => s.sqrt(base),
            1.0 => base,
            beta => math::exp(s, s.mul(s.splat(beta), math::ln(s, base))),
        };
        s.div(v, power)
    }

    /// Up to eight pixels from `first` in every channel.
    #[inline(always)]
    fn columns<S: Simd>(&self, s: S, sample: usize, first: usize) {
        let Planes { channels, plane, .. } = self.planes;
        let n = (plane - first).min(LANES);
        let base = sample * channels * plane + first;
        // SAFETY: pixels and channels lie within both operands; this task alone writes these pixels.
        unsafe {
            let x = self.x.as_ptr().add(base);
            let get = |c: usize| if n == LANES { s.load(x.add(c * plane)) } else { load_n(s, x.add(c * plane), n) };
            for c in 0..channels {
                let mut squares = s.splat(0.0);
                for k in self.window(c) {
                    let v = get(k);
                    squares = s.mul_add(v, v, squares);
                }
                store_n(s, self.dst.add(base + c * plane), self.scaled(s, get(c), squares), n);
            }
        }
    }

    /// One pixel of blocked channels: the window of each lane runs over neighbouring lanes and blocks.
    #[inline(always)]
    fn pixel<S: Simd>(&self, s: S, sample: usize, pixel: usize) {
        let (blocks, step) = (self.planes.blocks(), self.planes.plane * LANES);
        let base = (sample * blocks * self.planes.plane + pixel) * LANES;
        let at = |c: usize| self.x[base + c / LANES * step + c % LANES];
        for b in 0..blocks {
            let lanes = self.planes.lanes(b);
            let mut squares = [0.0; LANES];
            for (lane, sum) in squares.iter_mut().enumerate().take(lanes) {
                *sum = self.window(b * LANES + lane).map(|c| at(c) * at(c)).sum();
            }
            // SAFETY: the vector lies within both operands; this task alone writes it.
            unsafe {
                let v = s.load(self.x[base + b * step..][..LANES].as_ptr());
                let y = self.scaled(s, v, s.from_array(squares));
                s.store(self.dst.add(base + b * step), s.and(lane_mask(s, lanes), y));
            }
        }
    }
}
