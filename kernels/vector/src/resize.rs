//! Nearest and linear interpolation over the last two axes, by tables of places and weights.

use crate::support::*;
use paring_core::{
    Layout, Op, normalize_axis,
    op::{AspectPolicy, Coordinates, Nearest, ResizeAttrs, ResizeMode},
};
use paring_kernel::{
    KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx, Scratch, SharedMut, WorkerScratch,
};
use paring_simd::{LANES, Simd, Task};
use std::{ops::Range, sync::Arc};

/// `Resize` of `f32` images.
pub(crate) struct Resize;

/// Which two elements make up one output index, and the weight of the second.
#[derive(Clone, Copy, Debug)]
struct Tap {
    first: usize,
    second: usize,
    weight: f32,
    /// Outside the region of interest.
    outside: bool,
}

/// How one axis is resized.
#[derive(Clone, Copy, Debug)]
struct Axis {
    input: usize,
    output: usize,
    scale: f64,
    roi: (f64, f64),
}

#[derive(Clone, Debug)]
struct Plan {
    /// Images: all axes but the last two.
    images: usize,
    input: [usize; 2],
    rows: Vec<Tap>,
    cols: Vec<Tap>,
    linear: bool,
    extrapolation: f32,
}

/// The elements of a constant input that may be absent or empty.
fn numbers(p: &Problem, i: usize) -> Result<Option<Vec<f64>>, Reject> {
    if p.input(i).is_none_or(|x| x.is_empty()) {
        return Ok(None);
    }
    let v = p.constant(i).and_then(|t| t.to_f64s()).ok_or("an input that says the size is not constant")?;
    Ok(Some(v))
}

fn axes(p: &Problem, a: &ResizeAttrs) -> Result<Vec<Axis>, Reject> {
    let (x, y) = require_f32(p)?;
    if x.len() != y.len() {
        return Err("the ranks differ".into());
    }
    let named: Vec<usize> = match &a.axes {
        Some(axes) => {
            let axes: Result<_, _> = axes.iter().map(|&d| normalize_axis(d, x.len())).collect();
            axes.map_err(|e| Reject::from(e.to_string()))?
        }
        None => (0..x.len()).collect(),
    };
    let factors = match (numbers(p, 2)?, numbers(p, 3)?) {
        (Some(scales), _) => scales,
        (None, Some(sizes)) => {
            let mut f: Vec<f64> = sizes.iter().zip(&named).map(|(s, &d)| s / x[d] as f64).collect();
            let common = match a.aspect {
                AspectPolicy::Stretch => None,
                AspectPolicy::NotLarger => f.iter().copied().reduce(f64::min),
                AspectPolicy::NotSmaller => f.iter().copied().reduce(f64::max),
            };
            common.into_iter().for_each(|c| f.fill(c));
            f
        }
        (None, None) => return Err("there are neither scales nor sizes".into()),
    };
    let crop = a.coordinates == Coordinates::TfCropAndResize;
    let roi = if crop { numbers(p, 1)? } else { None };
    let n = named.len();
    if factors.len() != n || roi.as_ref().is_some_and(|r| r.len() != 2 * n) {
        return Err("scales, sizes or region do not fit the axes".into());
    }
    let mut all: Vec<Axis> =
        x.iter().zip(y).map(|(&input, &output)| Axis { input, output, scale: 1.0, roi: (0.0, 1.0) }).collect();
    for (k, &d) in named.iter().enumerate() {
        all[d].scale = factors[k];
        if let Some(r) = &roi {
            all[d].roi = (r[k], r[n + k]);
        }
    }
    if all.iter().any(|s| !(s.scale > 0.0 && s.scale.is_finite())) {
        return Err("a scale is not positive".into());
    }
    Ok(all)
}

fn plan(p: &Problem, layout: Layout) -> Result<Plan, Reject> {
    let Op::Resize(a) = &p.op else { return Err("not a resize".into()) };
    if matches!(a.mode, ResizeMode::Cubic { .. }) {
        return Err("cubic interpolation".into());
    }
    let axes = axes(p, a)?;
    let linear = a.mode == ResizeMode::Linear;
    if linear && a.antialias && axes.iter().any(|s| s.scale < 1.0) {
        return Err("shrinking with a low-pass filter".into());
    }
    if layout != Layout::Plain && a.coordinates == Coordinates::TfCropAndResize {
        return Err("regions of interest are cut in plain layout".into());
    }
    let spatial = axes.len().saturating_sub(2).max(if layout == Layout::Plain { 0 } else { 2 });
    let (outer, inner) = axes.split_at_checked(spatial).ok_or("too few axes")?;
    if outer.iter().any(|s| !untouched(s)) {
        return Err("an axis before the last two changes".into());
    }
    let whole = Axis { input: 1, output: 1, scale: 1.0, roi: (0.0, 1.0) };
    let (h, w) = match *inner {
        [h, w] => (h, w),
        [w] => (whole, w),
        _ => return Err("no spatial axis".into()),
    };
    let shape = &operands(p)?.0.shape;
    let images = match layout {
        Layout::Plain => outer.iter().map(|s| s.input).product(),
        _ => {
            let planes = Planes::of(shape)?;
            planes.samples * planes.blocks()
        }
    };
    let input = [h.input, w.input];
    Ok(Plan { images, input, rows: taps(a, &h)?, cols: taps(a, &w)?, linear, extrapolation: a.extrapolation })
}

fn untouched(s: &Axis) -> bool {
    (s.scale - 1.0).abs() < 1e-9 && s.input == s.output && s.roi == (0.0, 1.0)
}

/// The place in the input of an output index (ONNX, `Resize`).
fn coordinate(c: Coordinates, s: &Axis, o: f64) -> f64 {
    let (input, resized) = (s.input as f64, s.scale * s.input as f64);
    let half_pixel = (o + 0.5) / s.scale - 0.5;
    match c {
        Coordinates::HalfPixel => half_pixel,
        Coordinates::HalfPixelSymmetric => input / 2.0 * (1.0 - s.output as f64 / resized) + half_pixel,
        Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if resized == 1.0 => 0.0,
        Coordinates::PytorchHalfPixel => half_pixel,
        Coordinates::AlignCorners => o * (input - 1.0) / (resized - 1.0),
        Coordinates::Asymmetric => o / s.scale,
        Coordinates::TfHalfPixelForNn => (o + 0.5) / s.scale,
        Coordinates::TfCropAndResize => {
            let within = if resized == 1.0 { 0.5 } else { o / (resized - 1.0) };
            (s.roi.0 + within * (s.roi.1 - s.roi.0)) * (input - 1.0)
        }
    }
}

fn taps(a: &ResizeAttrs, s: &Axis) -> Result<Vec<Tap>, Reject> {
    let last = s.input as f64 - 1.0;
    let tap = |o: usize| {
        if untouched(s) {
            return Ok(Tap { first: o, second: o, weight: 0.0, outside: false });
        }
        let c = coordinate(a.coordinates, s, o as f64);
        if !c.is_finite() {
            return Err(Reject::because("an output index has no place in the input"));
        }
        let outside = a.coordinates == Coordinates::TfCropAndResize && (c < 0.0 || c > last);
        let (below, fraction) = (c.floor(), c - c.floor());
        let place = |v: f64| v.clamp(0.0, last) as usize;
        if let ResizeMode::Nearest(n) = a.mode {
            let up = match n {
                Nearest::RoundPreferFloor => fraction > 0.5,
                Nearest::RoundPreferCeil => fraction >= 0.5,
                Nearest::Floor => false,
                Nearest::Ceil => fraction > 0.0,
            };
            let first = place(below + f64::from(up));
            return Ok(Tap { first, second: first, weight: 0.0, outside });
        }
        Ok(Tap { first: place(below), second: place(below + 1.0), weight: fraction as f32, outside })
    };
    (0..s.output).map(tap).collect()
}

impl Family for Resize {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let rank = require_f32(p)?.0.len();
        let mut reason = None;
        for &layout in layouts(rank) {
            match plan(p, layout) {
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
        output_len(p) as f64 * if o.outputs[0] == Layout::Plain { 1.3 } else { 0.2 }
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let layout = o.outputs[0];
        Ok(Box::new(Run { s, blocked: layout != Layout::Plain, plan: plan(p, layout).map_err(problem)? }))
    }
}

struct Run<S> {
    s: S,
    blocked: bool,
    plan: Plan,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<f32>(0);
        let parallel = cx.parallel();
        let scratch = cx.worker_scratch();
        let y = cx.shared_output::<f32>(0);
        split(parallel, self.plan.images * self.plan.rows.len(), y.len() * 8, &|rows, worker| {
            let (plan, blocked) = (&self.plan, self.blocked);
            self.s.vectorize(Pass { plan, blocked, x, y, rows, scratch, worker });
        });
        Ok(())
    }
}

struct Pass<'a> {
    plan: &'a Plan,
    blocked: bool,
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
            if r.outside {
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
