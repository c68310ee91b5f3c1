//! Pooling over two-dimensional windows.
//!
//! Blocked: eight channels at a time, window by window. Plain: the rows of a window are first reduced column by column
//! into a scratch row, then the columns window by window, so that only the second pass walks windows.

use crate::{
    post::{Bound, Post},
    support::*,
    windows::{self, Grid, Window},
};
use paring_core::{
    DType, Layout, Op,
    op::{PoolAttrs, PoolKind},
};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, Reject, RunCx, Scratch, SharedMut, WorkerScratch};
use paring_simd::{LANES, Simd, Task, math};
use std::{ops::Range, sync::Arc};

/// `Pool` on `f32`, one or two spatial axes.
pub(crate) struct Pool;

fn attrs(p: &Problem) -> Result<&PoolAttrs, Reject> {
    match &p.op {
        Op::Pool(a) => Ok(a),
        _ => Err("not a pooling".into()),
    }
}

/// The shapes seen as two-dimensional images.
fn images(p: &Problem, a: &PoolAttrs) -> Result<(Planes, [usize; 2], [usize; 2]), Reject> {
    let (x, y) = require_f32(p)?;
    let (input, output) = windows::images(x, y, a)?;
    Ok((Planes::of(x)?, input, output))
}

fn grid(p: &Problem, a: &PoolAttrs) -> Result<Grid, Reject> {
    let (x, y) = require_f32(p)?;
    Grid::of(x, y, a)
}

fn taps(a: &PoolAttrs) -> f64 {
    a.kernel.iter().map(|&k| k as f64).product()
}

impl Family for Pool {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let a = attrs(p)?;
        let (_, input, _) = images(p, a)?;
        if matches!(a.kind, PoolKind::Lp { p } if p != 1 && p != 2) {
            return Err("only norms 1 and 2".into());
        }
        let indices = p.output(1).is_some();
        if indices && (a.kind != PoolKind::Max || p.output(1).is_some_and(|i| i.dtype != DType::I64)) {
            return Err("indices are those of max pooling, in i64".into());
        }
        let fused = Post::fusable(p);
        for layout in [BLOCKED, Layout::Plain] {
            if indices && layout != Layout::Plain {
                continue;
            }
            let mut o = uniform(p, layout, fused);
            if layout == Layout::Plain {
                let per_worker = input[1].checked_mul(4).ok_or("a row is too long")?;
                o.scratch = Scratch { shared: 0, per_worker: per_worker.next_multiple_of(64) };
            }
            out.push(o);
        }
        Ok(())
    }

    fn work(p: &Problem, o: &Offer) -> f64 {
        let Ok(a) = attrs(p) else { return 0.0 };
        let len = output_len(p) as f64;
        let each = match o.outputs[0] {
            Layout::Plain if p.output(1).is_some() => 2.0 * taps(a),
            Layout::Plain => 1.7 + a.kernel.last().map_or(1, |&k| k) as f64 * 0.7,
            _ => 0.3 + 0.06 * taps(a),
        };
        len * each + Post::work(p, o.fused)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let a = attrs(p).map_err(problem)?;
        let (planes, ..) = images(p, a).map_err(problem)?;
        let layout = o.outputs[0];
        // The maximum of no element is -infinity, in padding lanes too.
        let post = Post::new(p, o.fused, layout, false);
        Ok(Box::new(Run {
            s,
            kind: a.kind,
            planes,
            grid: grid(p, a).map_err(problem)?,
            blocked: layout != Layout::Plain,
            column_major: a.column_major,
            post,
        }))
    }
}

struct Run<S> {
    s: S,
    kind: PoolKind,
    planes: Planes,
    grid: Grid,
    blocked: bool,
    column_major: bool,
    post: Post,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<f32>(0);
        let post = self.post.bind(cx);
        let parallel = cx.parallel();
        let scratch = cx.worker_scratch();
        let bytes = (x.len() * 4).max(1) * 2;
        let planes = self.planes.samples * if self.blocked { self.planes.blocks() } else { self.planes.channels };
        if cx.has_output(1) {
            return self.with_indices(cx, x, &post);
        }
        let y = cx.shared_output::<f32>(0);
        split(parallel, planes * self.grid.output[0], bytes, &|rows, worker| {
            let (kind, grid, dst) = (self.kind, &self.grid, y.as_ptr());
            if self.blocked {
                self.s.vectorize(Blocked { kind, grid, x, dst, post: &post, rows });
            } else {
                self.s.vectorize(Plain { kind, grid, x, dst, post: &post, rows, scratch, worker });
            }
        });
        Ok(())
    }
}

impl<S: Simd> Run<S> {
    /// Max pooling that also says where each maximum is.
    fn with_indices(&self, cx: &mut RunCx<'_>, x: &[f32], post: &Bound<'_>) -> Result<(), KernelError> {
        let [ih, iw] = self.grid.input;
        let out_plane = self.grid.output[0] * self.grid.output[1];
        let parallel = cx.parallel();
        let (y, indices) = cx.two_outputs::<f32, i64>(0, 1);
        let (y, indices) = (SharedMut::new(y), SharedMut::new(indices));
        split(parallel, self.planes.samples * self.planes.channels, x.len() * 16, &|planes, _| {
            for plane in planes {
                let image = &x[plane * ih * iw..][..ih * iw];
                // SAFETY: each task has planes of its own.
                let out = unsafe { indices.slice(plane * out_plane, out_plane) };
                // SAFETY: as above.
                let values = unsafe { y.slice(plane * out_plane, out_plane) };
                for (o, index) in out.iter_mut().enumerate() {
                    let (r, c) = (self.grid.rows[o / self.grid.output[1]], self.grid.cols[o % self.grid.output[1]]);
                    let (h, w) = self.argmax(image, r, c);
                    *index = (plane * ih * iw + if self.column_major { w * ih + h } else { h * iw + w }) as i64;
                    values[o] = if r.taps * c.taps == 0 { f32::NEG_INFINITY } else { image[h * iw + w] };
                }
                if !post.is_empty() {
                    // SAFETY: as above.
                    unsafe { post.apply(self.s, y.as_ptr(), plane * out_plane, out_plane) };
                }
            }
        });
        Ok(())
    }

    fn argmax(&self, image: &[f32], r: Window, c: Window) -> (usize, usize) {
        if r.taps * c.taps == 0 {
            return (0, 0);
        }
        let (iw, mut best) = (self.grid.input[1], (r.first, c.first));
        for i in 0..r.taps {
            for j in 0..c.taps {
                let at = (r.first + i * self.grid.dilation[0], c.first + j * self.grid.dilation[1]);
                let (new, old) = (image[at.0 * iw + at.1], image[best.0 * iw + best.1]);
                if new > old || (new.is_nan() && !old.is_nan()) {
                    best = at;
                }
            }
        }
        best
    }
}

/// How values of a window are joined.
trait Join {
    const START: f32;
    /// The join of nothing and `x`.
    #[inline(always)]
    fn each<S: Simd>(s: S, x: S::V) -> S::V {
        Self::join(s, s.splat(Self::START), x)
    }
    /// Joins what was joined before.
    fn merge<S: Simd>(s: S, a: S::V, b: S::V) -> S::V;
    fn join<S: Simd>(s: S, acc: S::V, x: S::V) -> S::V;
    fn join_one(acc: f32, x: f32) -> f32;
}

macro_rules! joins {
    ($($name:ident, $start:expr, |$s:ident, $a:ident, $x:ident| $v:expr, $merge:expr, $one:expr;)*) => {$(
        struct $name;
        impl Join for $name {
            const START: f32 = $start;
            #[inline(always)]
            fn join<S: Simd>($s: S, $a: S::V, $x: S::V) -> S::V {
                $v
            }
            #[inline(always)]
            fn merge<S: Simd>($s: S, $a: S::V, $x: S::V) -> S::V {
                $merge
            }
            #[inline(always)]
            fn join_one($a: f32, $x: f32) -> f32 {
                $one
            }
        }
    )*};
}
joins! {
    Max, f32::NEG_INFINITY, |s, a, x| math::max_nan(s, x, a), math::max_nan(s, x, a), if x > a || x.is_nan() { x } else { a };
    Sum, 0.0, |s, a, x| s.add(a, x), s.add(a, x), a + x;
    Magnitudes, 0.0, |s, a, x| s.add(a, s.abs(x)), s.add(a, x), a + x.abs();
    Squares, 0.0, |s, a, x| s.mul_add(x, x, a), s.add(a, x), a + x * x;
}

/// What is done with a joined window that saw `seen` elements out of `count`.
#[inline(always)]
fn finish<S: Simd>(s: S, kind: PoolKind, v: S::V, r: Window, c: Window) -> S::V {
    match kind {
        PoolKind::Average { count_padding } => {
            let n = if count_padding { r.count * c.count } else { r.taps * c.taps };
            s.mul(v, s.splat(1.0 / n.max(1) as f32))
        }
        PoolKind::Lp { p: 2 } => s.sqrt(v),
        _ => v,
    }
}

macro_rules! by_kind {
    ($kind:expr, $self:ident . $method:ident ($s:ident)) => {
        match $kind {
            PoolKind::Max => $self.$method::<S, Max>($s),
            PoolKind::Average { .. } => $self.$method::<S, Sum>($s),
            PoolKind::Lp { p: 2 } => $self.$method::<S, Squares>($s),
            PoolKind::Lp { .. } => $self.$method::<S, Magnitudes>($s),
        }
    };
}

struct Blocked<'a> {
    kind: PoolKind,
    grid: &'a Grid,
    x: &'a [f32],
    dst: *mut f32,
    post: &'a Bound<'a>,
    /// Output rows, counted over all blocks of channels.
    rows: Range<usize>,
}

impl Task for Blocked<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        by_kind!(self.kind, self.go(s))
    }
}

impl Blocked<'_> {
    #[inline(always)]
    fn go<S: Simd, J: Join>(&self, s: S) {
        let ([ih, iw], [oh, ow]) = (self.grid.input, self.grid.output);
        for row in self.rows.clone() {
            let r = self.grid.rows[row % oh];
            let plane = &self.x[row / oh * ih * iw * LANES..][..ih * iw * LANES];
            // SAFETY: windows hold positions within the plane only; this task alone writes the row.
            unsafe {
                let x = plane.as_ptr().add(r.first * iw * LANES);
                let y = self.dst.add(row * ow * LANES);
                let slid = self.slide::<S, J>(s, r, x, y);
                for (o, &c) in self.grid.cols.iter().enumerate() {
                    if slid.contains(&o) {
                        continue;
                    }
                    let p = x.add(c.first * LANES);
                    let v = match (r.taps, c.taps) {
                        (2, 2) => self.window::<S, J>(s, p, 2, 2),
                        (h, w) => self.window::<S, J>(s, p, h, w),
                    };
                    s.store(y.add(o * LANES), finish(s, self.kind, v, r, c));
                }
                if !self.post.is_empty() {
                    self.post.apply(s, self.dst, row * ow * LANES, ow * LANES);
                }
            }
        }
    }

    /// Windows of 3 x 3 of a row that all lie within the plane: columns are joined once for all the windows they are in.
    /// Returns which outputs were stored.
    ///
    /// # Safety
    /// `x` must be the first row of the windows, `y` the row of outputs.
    #[inline(always)]
    unsafe fn slide<S: Simd, J: Join>(&self, s: S, r: Window, x: *const f32, y: *mut f32) -> Range<usize> {
        let cols = &self.grid.cols;
        let first = cols.iter().position(|c| c.taps == 3).unwrap_or(cols.len());
        let end = cols.iter().rposition(|c| c.taps == 3).map_or(first, |last| last + 1);
        // Larger windows have three taps at the edges, and more in between.
        let all = cols[first..end].iter().all(|c| c.taps == 3);
        if self.grid.dilation != [1, 1] || r.taps != 3 || end - first < 2 || !all {
            return 0..0;
        }
        let stride = cols[first + 1].first - cols[first].first;
        if stride > 2 {
            return 0..0;
        }
        let row = self.grid.input[1] * LANES;
        // A macro, as a closure would be compiled without the instructions of `S`.
        macro_rules! column {
            ($at:expr) => {{
                let at = $at;
                let (top, middle) = (J::each(s, s.load(at)), s.load(at.add(row)));
                J::join(s, J::join(s, top, middle), s.load(at.add(2 * row)))
            }};
        }
        // SAFETY: windows lie within the plane, outputs within the row.
        unsafe {
            let mut p = x.add(cols[first].first * LANES);
            let (mut a, mut b) = (column!(p), column!(p.add(LANES)));
            for o in first..end {
                let c = column!(p.add(2 * LANES));
                let v = J::merge(s, J::merge(s, a, b), c);
                s.store(y.add(o * LANES), finish(s, self.kind, v, r, cols[o]));
                p = p.add(stride * LANES);
                if stride == 1 {
                    (a, b) = (b, c);
                } else if o + 1 < end {
                    (a, b) = (c, column!(p.add(LANES)));
                }
            }
        }
        first..end
    }

    /// # Safety
    /// The window must lie within the plane.
    #[inline(always)]
    unsafe fn window<S: Simd, J: Join>(&self, s: S, p: *const f32, h: usize, w: usize) -> S::V {
        let (dy, dx) = (self.grid.dilation[0] * self.grid.input[1] * LANES, self.grid.dilation[1] * LANES);
        let mut acc = s.splat(J::START);
        for i in 0..h {
            for j in 0..w {
                // SAFETY: the caller's promise.
                acc = J::join(s, acc, unsafe { s.load(p.add(i * dy + j * dx)) });
            }
        }
        acc
    }
}

struct Plain<'a> {
    kind: PoolKind,
    grid: &'a Grid,
    x: &'a [f32],
    dst: *mut f32,
    post: &'a Bound<'a>,
    rows: Range<usize>,
    scratch: WorkerScratch<'a>,
    worker: usize,
}

impl Task for Plain<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        by_kind!(self.kind, self.go(s))
    }
}

impl Plain<'_> {
    #[inline(always)]
    fn go<S: Simd, J: Join>(&self, s: S) {
        let ([ih, iw], [oh, ow]) = (self.grid.input, self.grid.output);
        // SAFETY: this task runs as `worker`.
        let line: &mut [f32] = unsafe { self.scratch.of(self.worker) };
        let line = &mut line[..iw];
        for row in self.rows.clone() {
            let r = self.grid.rows[row % oh];
            let plane = &self.x[row / oh * ih * iw..][..ih * iw];
            line.fill(J::START);
            for i in 0..r.taps {
                let from = &plane[(r.first + i * self.grid.dilation[0]) * iw..][..iw];
                join_rows::<S, J>(s, line, from);
            }
            // SAFETY: this task alone writes the row.
            let y = unsafe { std::slice::from_raw_parts_mut(self.dst.add(row * ow), ow) };
            for (y, &c) in y.iter_mut().zip(&self.grid.cols) {
                let mut acc = J::START;
                for j in 0..c.taps {
                    // The first pass already took squares and magnitudes.
                    let x = line[c.first + j * self.grid.dilation[1]];
                    acc = if matches!(self.kind, PoolKind::Max) { J::join_one(acc, x) } else { acc + x };
                }
                *y = match self.kind {
                    PoolKind::Average { count_padding } => {
                        let n = if count_padding { r.count * c.count } else { r.taps * c.taps };
                        acc * (1.0 / n.max(1) as f32)
                    }
                    PoolKind::Lp { p: 2 } => acc.sqrt(),
                    _ => acc,
                };
            }
            if !self.post.is_empty() {
                // SAFETY: as above.
                unsafe { self.post.apply(s, self.dst, row * ow, ow) };
            }
        }
    }
}

/// Joins `from` into `line`, element by element.
#[inline(always)]
fn join_rows<S: Simd, J: Join>(s: S, line: &mut [f32], from: &[f32]) {
    let n = line.len().min(from.len());
    let full = n / LANES * LANES;
    for i in (0..full).step_by(LANES) {
        // SAFETY: `i + 8 <= n`.
        unsafe {
            let v = J::join(s, s.load(line.as_ptr().add(i)), s.load(from.as_ptr().add(i)));
            s.store(line.as_mut_ptr().add(i), v);
        }
    }
    for i in full..n {
        line[i] = J::join_one(line[i], from[i]);
    }
}
