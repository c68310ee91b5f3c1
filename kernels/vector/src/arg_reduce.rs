//! Where the largest or smallest element of an axis is.

use crate::support::*;
use paring_core::{DType, Layout, Op, op::ArgReduceAttrs};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd, Task, math};
use std::sync::Arc;

/// `ArgReduce` on `f32`.
pub(crate) struct ArgReduce;

/// Places are kept in lanes of `f32`, as bits of numbers too small to be normal.
const MOST: usize = 1 << 23;

fn shapes(p: &Problem) -> Result<(ArgReduceAttrs, Around), Reject> {
    let Op::ArgReduce(a) = p.op else { return Err("not an index of an extreme".into()) };
    let (x, y) = operands(p)?;
    if x.dtype != DType::F32 || y.dtype != DType::I64 {
        return Err(format!("{} to {} is not f32 to i64", x.dtype, y.dtype).into());
    }
    let around = Around::axis(&x.shape, a.axis)?;
    if around.outer.checked_mul(around.inner) != Some(y.len()) {
        return Err(format!("output {:?} does not fit input {:?}", y.shape, x.shape).into());
    }
    if around.len > MOST {
        return Err("the axis is longer than 8388608".into());
    }
    Ok((a, around))
}

impl Family for ArgReduce {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        shapes(p)?;
        out.push(Offer { numerics: NumericClass::Exact, ..uniform(p, Layout::Plain, 0) });
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        p.input(0).map_or(0.0, |x| x.len() as f64 * 0.4)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (a, around) = shapes(p).map_err(problem)?;
        Ok(Box::new(Run { on: Box::new(On(s)), a, around }))
    }
}

/// What is compiled for every instruction set; all else is there once.
trait Extremes: Send + Sync {
    /// See [`Rows`].
    fn rows(&self, rows: Rows<'_>);

    /// See [`Columns`].
    fn columns(&self, columns: Columns<'_>);
}

struct On<S>(S);

impl<S: Simd> Extremes for On<S> {
    fn rows(&self, rows: Rows<'_>) {
        self.0.vectorize(rows);
    }

    fn columns(&self, columns: Columns<'_>) {
        self.0.vectorize(columns);
    }
}

struct Run {
    on: Box<dyn Extremes>,
    a: ArgReduceAttrs,
    around: Around,
}

/// Neighbouring columns of one unit.
const WIDTH: usize = 256;

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<f32>(0);
        let parallel = cx.parallel();
        let y = cx.shared_output::<i64>(0);
        let Around { outer, len, inner } = self.around;
        if inner == 1 {
            split(parallel, outer, x.len() * 4, &|units, _| {
                // SAFETY: these results are this task's alone.
                let y = unsafe { y.slice(units.start, units.len()) };
                self.rows(&x[units.start * len..units.end * len], y);
            });
            return Ok(());
        }
        let parts = inner.div_ceil(WIDTH);
        split(parallel, outer * parts, x.len() * 4, &|units, _| {
            for unit in units {
                let (outer, column) = (unit / parts, unit % parts * WIDTH);
                let n = (inner - column).min(WIDTH);
                // SAFETY: these results are this unit's alone.
                let y = unsafe { y.slice(outer * inner + column, n) };
                self.columns(&x[outer * len * inner..][..len * inner][column..], y);
            }
        });
        Ok(())
    }
}

impl Run {
    /// The bits to change so that the largest is asked for.
    fn flip(&self) -> u32 {
        if self.a.max { 0 } else { 1 << 31 }
    }

    /// The places of the extremes of rows.
    fn rows(&self, x: &[f32], y: &mut [i64]) {
        let len = self.around.len;
        self.on.rows(Rows { x, len, last: self.a.last, flip: self.flip(), y: &mut *y });
        for (y, x) in y.iter_mut().zip(x.chunks_exact(len)).filter(|(y, _)| **y == NAN) {
            *y = self.nan(x, 1);
        }
    }

    /// The places of the extremes of neighbouring columns, of which `x` holds the first row and all that follows.
    fn columns(&self, x: &[f32], y: &mut [i64]) {
        let Around { len, inner, .. } = self.around;
        let (mut best, mut at) = ([0.0; WIDTH], [0; WIDTH]);
        let (best, at) = (&mut best[..y.len()], &mut at[..y.len()]);
        self.on.columns(Columns { x, len, inner, last: self.a.last, flip: self.flip(), best, at });
        for (c, y) in y.iter_mut().enumerate() {
            *y = if best[c].is_nan() { self.nan(&x[c..], inner) } else { at[c].into() };
        }
    }

    /// The place of NaN, which wins either way, along the axis from `x` on.
    #[cold]
    fn nan(&self, x: &[f32], step: usize) -> i64 {
        let mut all = x.iter().step_by(step).take(self.around.len);
        let nan = |x: &f32| x.is_nan();
        if self.a.last { all.rposition(nan) } else { all.position(nan) }.unwrap_or(0) as i64
    }
}

/// Stands for the place in a row where there is NaN.
const NAN: i64 = -1;

/// Rows, and the place of the largest of each once the bits of `flip` are changed.
struct Rows<'a> {
    x: &'a [f32],
    len: usize,
    last: bool,
    flip: u32,
    /// One element per row.
    y: &'a mut [i64],
}

impl Task for Rows<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (len, end) = (self.len, self.len.saturating_sub(LANES));
        let flip = s.splat(f32::from_bits(self.flip));
        // Places count down from 0 where the last is asked for: it is the least, too.
        let way = if self.last { -1.0 } else { 1.0 };
        let mut order = [0.0; LANES];
        for (i, order) in order.iter_mut().enumerate() {
            // A vector that is longer than the row repeats its last element.
            *order = i.min(len - 1) as f32 * way;
        }
        let order = s.from_array(order);
        for (row, y) in self.x.chunks_exact(len).zip(self.y) {
            let mut tops = [s.splat(f32::NEG_INFINITY); 2];
            for i in (0..len).step_by(2 * LANES) {
                // The last vectors reach back.
                tops[0] = math::max_nan(s, tops[0], s.xor(flip, load(s, row, i.min(end))));
                tops[1] = math::max_nan(s, tops[1], s.xor(flip, load(s, row, (i + LANES).min(end))));
            }
            let top = across(s.to_array(math::max_nan(s, tops[0], tops[1])), larger);
            if top.is_nan() {
                *y = NAN;
                continue;
            }
            let (top, mut least) = (s.splat(top), s.splat(f32::INFINITY));
            for i in (0..len).step_by(LANES) {
                let i = i.min(end);
                let place = s.add(order, s.splat(i as f32 * way));
                let below = s.less(s.xor(flip, load(s, row, i)), top);
                least = s.min(least, s.select(below, least, place));
            }
            *y = across(s.to_array(least), |a, b| if a < b { a } else { b }).abs() as i64;
        }
    }
}

/// The eight elements of a row from `i` on; a shorter row is filled up with its last one.
#[inline(always)]
fn load<S: Simd>(s: S, row: &[f32], i: usize) -> S::V {
    if i + LANES <= row.len() {
        // SAFETY: just checked.
        return unsafe { s.load(row.as_ptr().add(i)) };
    }
    let mut a = [row[row.len() - 1]; LANES];
    for (a, &x) in a.iter_mut().zip(row) {
        *a = x;
    }
    s.from_array(a)
}

/// What the lanes of a vector become.
#[inline(always)]
fn across(v: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    f(f(f(v[0], v[4]), f(v[2], v[6])), f(f(v[1], v[5]), f(v[3], v[7])))
}

/// The larger; NaN where either is.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    // Both differ only where one is NaN, whose bits then win, or where both are zeros.
    let (one, other) = (if a > b { a } else { b }, if b > a { b } else { a });
    f32::from_bits(one.to_bits() | other.to_bits())
}

/// Neighbouring columns: the largest of each once the bits of `flip` are changed, and where it is.
struct Columns<'a> {
    /// From the first row of the first column on.
    x: &'a [f32],
    len: usize,
    inner: usize,
    last: bool,
    flip: u32,
    /// One element per column, as `at`. NaN where there is one in the column; `at` means nothing there.
    best: &'a mut [f32],
    at: &'a mut [u32],
}

impl Task for Columns<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let n = self.best.len();
        let full = n / LANES * LANES;
        self.best.fill(f32::NEG_INFINITY);
        self.at.fill(if self.last { self.len as u32 - 1 } else { 0 });
        let (best, at) = (self.best.as_mut_ptr(), self.at.as_mut_ptr().cast::<f32>());
        let flip = s.splat(f32::from_bits(self.flip));
        for i in 0..self.len {
            // From the end, the first of equal elements is the last one.
            let k = if self.last { self.len - 1 - i } else { i };
            let row = &self.x[k * self.inner..][..n];
            let place = s.splat(f32::from_bits(k as u32));
            for c in (0..full).step_by(LANES) {
                // SAFETY: `c + 8 <= n`, the length of all three.
                unsafe {
                    let (v, old) = (s.xor(flip, s.load(row.as_ptr().add(c))), s.load(best.add(c)));
                    let new = s.select(s.less(old, v), place, s.load(at.add(c)));
                    s.store(at.add(c), new);
                    s.store(best.add(c), math::max_nan(s, old, v));
                }
            }
            for c in full..n {
                let v = f32::from_bits(row[c].to_bits() ^ self.flip);
                // SAFETY: `c < n`, the length of both.
                unsafe {
                    if v > *best.add(c) {
                        *at.add(c) = f32::from_bits(k as u32);
                    }
                    *best.add(c) = larger(*best.add(c), v);
                }
            }
        }
    }
}
