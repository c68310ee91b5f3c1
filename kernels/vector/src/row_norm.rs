//! Layer, group and instance normalisation: rows with their own mean and variance, taken in two passes.

use crate::{
    batch_norm::affine,
    global_pool::fold,
    post::{Bound, Post},
    support::*,
};
use paring_core::{DType, Layout, Op};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, Reject, RunCx, SharedMut};
use paring_simd::{LANES, Simd, Task};
use std::{ops::Range, sync::Arc};

/// `LayerNorm`, `GroupNorm` and `InstanceNorm` on `f32`.
pub(crate) struct RowNorm;

/// How rows lie and what scales them.
#[derive(Clone, Copy, Debug)]
struct Rows {
    /// Rows.
    count: usize,
    /// Elements of one row.
    len: usize,
    /// Elements that share one scale and bias; 1: each has its own.
    segment: usize,
    /// Rows after which scales and biases repeat; each row goes on where the one before ended.
    period: usize,
    epsilon: f32,
    /// Only divide, by the root of the mean square.
    rms: bool,
}

fn rows(p: &Problem) -> Result<Rows, Reject> {
    let shape = require_same_shape(p)?;
    let r = match &p.op {
        Op::LayerNorm(a) => {
            let axis = paring_core::normalize_axis(a.axis, shape.len()).map_err(|e| Reject::from(e.to_string()))?;
            let around = Around::axes(shape, axis, shape.len());
            Rows { count: around.outer, len: around.len, segment: 1, period: 1, epsilon: a.epsilon, rms: a.rms }
        }
        Op::GroupNorm(a) => {
            let Planes { samples, channels, plane } = Planes::of(shape)?;
            if a.groups == 0 || !channels.is_multiple_of(a.groups) {
                return Err("the groups do not divide the channels".into());
            }
            let len = channels / a.groups * plane;
            let count = samples * a.groups;
            Rows { count, len, segment: plane, period: a.groups, epsilon: a.epsilon, rms: false }
        }
        Op::InstanceNorm(a) => {
            let Planes { samples, channels, plane } = Planes::of(shape)?;
            let count = samples * channels;
            Rows { count, len: plane, segment: plane, period: channels, epsilon: a.epsilon, rms: false }
        }
        _ => return Err("not a normalisation of rows".into()),
    };
    let factors = r.len / r.segment.max(1) * r.period;
    for i in 1..3 {
        match p.input(i) {
            Some(x) if x.dtype != DType::F32 || x.len() != factors => {
                return Err(format!("input {i} is not {factors} elements of f32").into());
            }
            None if !matches!(p.op, Op::LayerNorm(_)) => return Err(format!("input {i} is absent").into()),
            _ => {}
        }
    }
    for y in p.outputs.iter().skip(1).flatten() {
        if y.dtype != DType::F32 || y.len() != r.count {
            return Err("a statistic is not one f32 per row".into());
        }
    }
    Ok(r)
}

impl Family for RowNorm {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        rows(p)?;
        let fused = Post::fusable(p);
        out.push(Offer { in_place: Some(0), ..uniform(p, Layout::Plain, fused) });
        if matches!(p.op, Op::InstanceNorm(_)) {
            out.push(Offer { in_place: Some(0), ..uniform(p, BLOCKED, fused) });
        }
        Ok(())
    }

    fn work(p: &Problem, o: &Offer) -> f64 {
        0.34 * output_len(p) as f64 + Post::work(p, o.fused)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let layout = o.outputs[0];
        let post = Post::new(p, o.fused, layout, true);
        let planes = match layout {
            Layout::Plain => None,
            _ => Some(Planes::of(require_same_shape(p).map_err(problem)?).map_err(problem)?),
        };
        Ok(Box::new(Run { s, rows: rows(p).map_err(problem)?, planes, post }))
    }
}

struct Run<S> {
    s: S,
    rows: Rows,
    /// Where the layout is blocked.
    planes: Option<Planes>,
    post: Post,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = (cx.in_place() != Some(0)).then(|| cx.input::<f32>(0));
        let optional = |i: usize| cx.has_input(i).then(|| cx.input::<f32>(i));
        let (scale, bias) = (optional(1), optional(2));
        let post = self.post.bind(cx);
        let parallel = cx.parallel();
        let statistic = |cx: &mut RunCx<'_>, i: usize| {
            cx.has_output(i).then(|| {
                let y = cx.shared_output::<f32>(i);
                (Src(y.as_ptr()), y.len())
            })
        };
        let stats = [statistic(cx, 1), statistic(cx, 2)];
        let y = cx.shared_output::<f32>(0);
        let src = Src(x.map_or(y.as_ptr(), <[f32]>::as_ptr));
        let units = self.planes.map_or(self.rows.count, |p| p.samples * p.blocks());
        split(parallel, units, y.len() * 16, &|units, _| {
            let (rows, planes) = (self.rows, self.planes);
            self.s.vectorize(Pass { rows, planes, src, y, scale, bias, stats, post: &post, units });
        });
        Ok(())
    }
}

struct Pass<'a> {
    rows: Rows,
    planes: Option<Planes>,
    src: Src,
    y: SharedMut<'a, f32>,
    scale: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    /// Where the mean and the inverse deviation go, if anywhere.
    stats: [Option<(Src, usize)>; 2],
    post: &'a Bound<'a>,
    units: Range<usize>,
}

impl Task for Pass<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        for unit in self.units.clone() {
            match self.planes {
                Some(planes) => self.block(s, planes, unit),
                None => self.row(s, unit),
            }
        }
    }
}

impl Pass<'_> {
    #[inline(always)]
    fn row<S: Simd>(&self, s: S, row: usize) {
        let Rows { len, segment, period, epsilon, rms, .. } = self.rows;
        // SAFETY: the row lies within the operand; this task alone touches it.
        let x = unsafe { std::slice::from_raw_parts(self.src.0.add(row * len), len) };
        let mean = if rms { 0.0 } else { s.sum(fold(s, x, 0.0, |a, v| s.add(a, v))) / len as f32 };
        let m = s.splat(mean);
        // Filling up a row adds nothing to the sum of the squares about 0, but something about the mean.
        let full = len / LANES * LANES;
        let squares = fold(s, &x[..full], 0.0, |a, v| {
            let d = s.sub(v, m);
            s.mul_add(d, d, a)
        });
        let rest: f32 = x[full..].iter().map(|&v| (v - mean) * (v - mean)).sum();
        let inverse = 1.0 / ((s.sum(squares) + rest) / len as f32 + epsilon).sqrt();
        for (stat, v) in self.stats.iter().zip([mean, inverse]) {
            if let Some((p, n)) = stat {
                assert!(row < *n);
                // SAFETY: in bounds; one element per row, which this task alone writes.
                unsafe { *p.0.cast_mut().add(row) = v };
            }
        }
        let first = row % period * (len / segment.max(1));
        let y = self.y.as_ptr();
        let x = x.as_ptr();
        // SAFETY: as above; the factors have been counted.
        unsafe {
            let y = y.add(row * len);
            if segment == 1 {
                let (i, shift) = (s.splat(inverse), s.splat(-mean * inverse));
                map_loop!(s, x, y, len, v => s.mul_add(v, i, shift));
                match (self.scale, self.bias) {
                    (Some(a), Some(b)) => affine(s, y, y, a.as_ptr().add(first), b.as_ptr().add(first), len),
                    (a, b) => (0..len).for_each(|i| {
                        *y.add(i) = *y.add(i) * a.map_or(1.0, |a| a[first + i]) + b.map_or(0.0, |b| b[first + i]);
                    }),
                }
            } else {
                for k in 0..len / segment.max(1) {
                    let a = self.scale.map_or(1.0, |a| a[first + k]) * inverse;
                    let b = self.bias.map_or(0.0, |b| b[first + k]);
                    let (a, b, m) = (s.splat(a), s.splat(b), s.splat(mean));
                    map_loop!(s, x.add(k * segment), y.add(k * segment), segment, v => s.mul_add(s.sub(v, m), a, b));
                }
            }
            if !self.post.is_empty() {
                self.post.apply(s, self.y.as_ptr(), row * len, len);
            }
        }
    }

    /// Eight instances at once, one per lane.
    #[inline(always)]
    fn block<S: Simd>(&self, s: S, planes: Planes, unit: usize) {
        let (b, len) = (unit % planes.blocks(), planes.plane * LANES);
        let lanes = planes.lanes(b);
        // SAFETY: the block lies within the operand; this task alone touches it.
        let x = unsafe { std::slice::from_raw_parts(self.src.0.add(unit * len), len) };
        let n = s.splat(planes.plane as f32);
        let m = s.div(fold(s, x, 0.0, |a, v| s.add(a, v)), n);
        let squares = fold(s, x, 0.0, |a, v| {
            let d = s.sub(v, m);
            s.mul_add(d, d, a)
        });
        let deviation = s.sqrt(s.add(s.div(squares, n), s.splat(self.rows.epsilon)));
        let x = x.as_ptr();
        // SAFETY: as above; factors are counted in channels, of which `lanes` remain. Padding lanes get a scale of 0.
        unsafe {
            let factor = |f: Option<&[f32]>| f.map_or(s.splat(0.0), |f| load_n(s, f[b * LANES..].as_ptr(), lanes));
            let (a, b) = (s.div(factor(self.scale), deviation), factor(self.bias));
            let a = s.and(lane_mask(s, lanes), a);
            map_loop!(s, x, self.y.as_ptr().add(unit * len), len, v => s.mul_add(s.sub(v, m), a, b));
            if !self.post.is_empty() {
                self.post.apply(s, self.y.as_ptr(), unit * len, len);
            }
        }
    }
}
