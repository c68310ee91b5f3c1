//! Nearest and linear interpolation over the last two axes, by tables of places and weights.

use crate::{places::Places, support::*};
use paring_core::Layout;
use paring_kernel::{
    KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx, Scratch, SharedMut, WorkerScratch,
};
use paring_simd::{LANES, Simd, Task};
use std::{ops::Range, sync::Arc};

/// `Resize` of `f32` images.
pub(crate) struct Resize;

impl Family for Resize {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let rank = require_f32(p)?.0.len();
        let mut reason = None;
        for &layout in layouts(rank) {
            match Places::of(p, layout) {
                Ok(plan) => {
                    let mut o = uniform(p, layout, 0);
                    o.inputs.iter_mut().skip(1).for_each(|x| *x = None);
                    if layout == Layout::Plain {
                        o.scratch = Scratch { shared: 0, per_worker: (plan.input[1] * 4).next_multiple_of(64) };
                    }
                    o.numerics = if plan.linear { NumericClass::Reassociated } else { NumericClass::Exact };
                    out.push(o);
                }
                Err(r) => reason = Some(r),
            }
        }
        if out.is_empty() { Err(reason.unwrap_or("no layout fits".into())) } else { Ok(()) }
    }

    fn work(p: &Problem, o: &Offer) -> f64 {
        let slow = o.outputs[0] == Layout::Plain && Places::of(p, Layout::Plain).is_ok_and(|plan| times(&plan) == 0);
        output_len(p) as f64 * if slow { 1.3 } else { 0.2 }
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let layout = o.outputs[0];
        let plan = Places::of(p, layout).map_err(problem)?;
        Ok(Box::new(Run { s, blocked: layout != Layout::Plain, times: times(&plan), plan }))
    }
}

/// How often every column is there, if all are copied in order and equally often; else 0.
fn times(plan: &Places) -> usize {
    let n = plan.cols.len() / plan.input[1];
    let in_order = plan.cols.iter().enumerate().all(|(i, c)| !c.outside && c.first == i / n.max(1));
    if !plan.linear && in_order && plan.cols.len() == n * plan.input[1] { n } else { 0 }
}

struct Run<S> {
    s: S,
    blocked: bool,
    times: usize,
    plan: Places,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<f32>(0);
        let parallel = cx.parallel();
        let scratch = cx.worker_scratch();
        let y = cx.shared_output::<f32>(0);
        split(parallel, self.plan.images * self.plan.rows.len(), y.len() * 8, &|rows, worker| {
            let Run { ref plan, blocked, times, .. } = *self;
            self.s.vectorize(Pass { plan, blocked, times, x, y, rows, scratch, worker });
        });
        Ok(())
    }
}

struct Pass<'a> {
    plan: &'a Places,
    blocked: bool,
    /// See [`times`].
    times: usize,
    x: &'a [f32],
    y: SharedMut<'a, f32>,
    /// Output rows of all images.
    rows: Range<usize>,
    scratch: WorkerScratch<'a>,
    worker: usize,
}

impl Task for Pass<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let lanes = if self.blocked { LANES } else { 1 };
        let ([ih, iw], ow) = (self.plan.input, self.plan.cols.len());
        for row in self.rows.clone() {
            let (image, r) = (row / self.plan.rows.len(), self.plan.rows[row % self.plan.rows.len()]);
            let image = &self.x[image * ih * iw * lanes..][..ih * iw * lanes];
            let line = |i: usize| &image[i * iw * lanes..][..iw * lanes];
            // SAFETY: every output row is one unit's own.
            let y = unsafe { self.y.slice(row * ow * lanes, ow * lanes) };
            if row > self.rows.start && self.repeats(row) {
                // SAFETY: the row above is this unit's own as well.
                y.copy_from_slice(unsafe { self.y.slice((row - 1) * ow * lanes, ow * lanes) });
            } else if r.outside {
                y.fill(self.plan.extrapolation);
            } else if self.blocked {
                self.blocks(s, line(r.first), line(r.second), r.weight, y);
            } else {
                self.plain(s, line(r.first), line(r.second), r.weight, y);
            }
        }
    }
}

impl Pass<'_> {
    /// Whether this output row is the same as the one above it.
    fn repeats(&self, row: usize) -> bool {
        let r = row % self.plan.rows.len();
        let (this, above) = (self.plan.rows[r], self.plan.rows[r.saturating_sub(1)]);
        !self.plan.linear && r > 0 && this.first == above.first && this.outside == above.outside
    }

    #[inline(always)]
    fn blocks<S: Simd>(&self, s: S, a: &[f32], b: &[f32], weight: f32, y: &mut [f32]) {
        let down = s.splat(weight);
        // SAFETY: the places of the table lie within a row.
        let get = |row: &[f32], i: usize| unsafe { s.load(row[i * LANES..][..LANES].as_ptr()) };
        for (c, y) in self.plan.cols.iter().zip(y.chunks_exact_mut(LANES)) {
            let v = if self.plan.linear {
                let right = s.splat(c.weight);
                let above = mix(s, get(a, c.first), get(a, c.second), right);
                mix(s, above, mix(s, get(b, c.first), get(b, c.second), right), down)
            } else {
                get(a, c.first)
            };
            // SAFETY: `y` has eight elements.
            unsafe { s.store(y.as_mut_ptr(), v) };
        }
    }

    #[inline(always)]
    fn plain<S: Simd>(&self, s: S, a: &[f32], b: &[f32], weight: f32, y: &mut [f32]) {
        match self.times {
            0 => {}
            1 => return y.copy_from_slice(a),
            // A number that is known here makes it vectors.
            2 => return y.chunks_exact_mut(2).zip(a).for_each(|(y, &v)| y.copy_from_slice(&[v; 2])),
            n => return y.chunks_exact_mut(n).zip(a).for_each(|(y, &v)| y.fill(v)),
        }
        let line = if self.plan.linear && weight != 0.0 {
            // SAFETY: this task runs as `worker`.
            let line: &mut [f32] = unsafe { self.scratch.of(self.worker) };
            let full = a.len() / LANES * LANES;
            let w = s.splat(weight);
            for i in (0..full).step_by(LANES) {
                // SAFETY: all three have `a.len()` elements.
                unsafe {
                    let v = mix(s, s.load(a.as_ptr().add(i)), s.load(b.as_ptr().add(i)), w);
                    s.store(line[i..][..LANES].as_mut_ptr(), v);
                }
            }
            for i in full..a.len() {
                line[i] = a[i] + weight * (b[i] - a[i]);
            }
            &line[..a.len()]
        } else {
            a
        };
        for (c, y) in self.plan.cols.iter().zip(y) {
            *y = match () {
                () if c.outside => self.plan.extrapolation,
                () if c.weight == 0.0 => line[c.first],
                () => line[c.first] + c.weight * (line[c.second] - line[c.first]),
            };
        }
    }
}

/// `a + w (b - a)`.
#[inline(always)]
fn mix<S: Simd>(s: S, a: S::V, b: S::V, w: S::V) -> S::V {
    s.mul_add(w, s.sub(b, a), a)
}
