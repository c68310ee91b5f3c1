//! Padding, with a constant or with elements of the input.

use crate::{loops::MOST_DIMS, support::*};
use paring_core::{DType, Layout, Op, normalize_axis, op::PadMode};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

/// `Pad`, of any element type.
pub(crate) struct Pad;

/// One dimension: extents and the signed padding before.
type Dim = (usize, usize, isize);

/// Dimensions in memory, outermost first, and how many elements each index of the last one stands for.
struct Plan {
    mode: PadMode,
    dims: Vec<Dim>,
    inner: usize,
}

/// Dimensions that are not padded are merged into the next one out: with a constant always, else where that is not padded.
fn plan(p: &Problem, layout: Layout) -> Result<Plan, Reject> {
    let Op::Pad(a) = &p.op else { return Err("not padding".into()) };
    let constant = a.mode == PadMode::Constant;
    let (x, y) = operands(p)?;
    let rank = x.shape.len();
    let pads = p.const_i64s(1).ok_or("the pads are not constant")?;
    let axes = match p.input(3) {
        Some(_) => p.const_i64s(3).ok_or("the axes are not constant")?,
        None => (0..rank as i64).collect(),
    };
    if pads.len() != 2 * axes.len() || y.shape.len() != rank {
        return Err("two pads per axis are needed".into());
    }
    let mut before = vec![0isize; rank];
    for (i, &axis) in axes.iter().enumerate() {
        let axis = normalize_axis(axis, rank).map_err(|e| Reject::from(e.to_string()))?;
        let (b, a) = (pads[i], pads[i + axes.len()]);
        if (x.shape[axis] as i64).checked_add(b).and_then(|n| n.checked_add(a)) != Some(y.shape[axis] as i64) {
            return Err("pads and output do not agree".into());
        }
        if b < -(x.shape[axis] as i64) || b > y.shape[axis] as i64 {
            return Err("an axis is padded beyond its output".into());
        }
        before[axis] = b as isize;
    }
    if (0..rank)
        .any(|i| before[i] == 0 && x.shape[i] != y.shape[i] && !axes.iter().any(|&a| normalize_axis(a, rank) == Ok(i)))
    {
        return Err("an axis changes without being padded".into());
    }
    let (from, to) = (physical(&x.shape, layout), physical(&y.shape, layout));
    if layout != Layout::Plain {
        if before[1] != 0 || x.shape[1] != y.shape[1] {
            return Err("padding of channels moves them between blocks".into());
        }
        before.push(0);
    }
    let mut dims: Vec<Dim> = Vec::new();
    for d in 0..from.len() {
        let padded = from[d] != to[d] || before[d] != 0;
        match dims.last_mut() {
            Some(last) if !padded && (constant || (last.0 == last.1 && last.2 == 0)) => {
                *last = (last.0 * from[d], last.1 * to[d], last.2 * from[d] as isize);
            }
            _ => dims.push((from[d], to[d], before[d])),
        }
    }
    let inner = match dims.last() {
        Some(&(n, m, 0)) if n == m && dims.len() > 1 => {
            dims.pop();
            n
        }
        _ => 1,
    };
    if dims.is_empty() || dims.len() > MOST_DIMS {
        return Err("no dimensions, or more than eight that are padded".into());
    }
    Ok(Plan { mode: a.mode, dims, inner })
}

impl Family for Pad {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let dtype = require_movable(p, 0..1)?;
        if p.input(2).is_some_and(|v| v.dtype != dtype || v.len() != 1) {
            return Err("the value is not one element of the input's type".into());
        }
        let rank = operands(p)?.0.shape.len();
        let mut reason = None;
        for &layout in layouts(rank) {
            if layout != Layout::Plain {
                let whole = operands(p)?.0.shape[1].is_multiple_of(LANES);
                let zero = p.input(2).is_none() || p.const_f32s(2).is_some_and(|v| v == [0.0]);
                let copied = matches!(&p.op, Op::Pad(a) if a.mode != PadMode::Constant);
                if dtype != DType::F32 || !(whole || zero || copied) {
                    continue;
                }
            }
            match plan(p, layout) {
                Ok(_) => {
                    let mut o = uniform(p, layout, 0);
                    for i in [1, 3] {
                        o.inputs.iter_mut().skip(i).take(1).for_each(|x| *x = None);
                    }
                    o.numerics = NumericClass::Exact;
                    out.push(o);
                }
                Err(r) => reason = Some(r),
            }
        }
        if out.is_empty() { Err(reason.unwrap_or("no layout fits".into())) } else { Ok(()) }
    }

    fn prepare<S: Simd>(_: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let dtype = require_movable(p, 0..1).map_err(problem)?;
        let plan = plan(p, o.outputs[0]).map_err(problem)?;
        let (n, m, before) = plan.dims[plan.dims.len() - 1];
        let (to, from) = (before.max(0) as usize, (-before).max(0) as usize);
        let kept = n.saturating_sub(from).min(m.saturating_sub(to));
        let outside = |i: &usize| !(to..to + kept).contains(i);
        let border = match plan.mode {
            PadMode::Constant => Vec::new(),
            mode => (0..m).filter(outside).filter_map(|i| source(mode, i as isize - before, n)).collect(),
        };
        Ok(Box::new(Run { dtype, valued: p.input(2).is_some(), plan, to, from, kept, border }))
    }
}

struct Run {
    dtype: DType,
    valued: bool,
    plan: Plan,
    /// The part of the last dimension that is kept: first index in the output, first in the input, length.
    to: usize,
    from: usize,
    kept: usize,
    /// The index in the input for each in the output that is not kept; none with a constant.
    border: Vec<usize>,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        by_width!(self.dtype, T => self.go::<T>(cx));
        Ok(())
    }
}

impl Run {
    fn go<T: bytemuck::Pod + Send + Sync>(&self, cx: &mut RunCx<'_>) {
        let x = cx.input::<T>(0);
        let value = if self.valued { cx.input::<T>(2)[0] } else { T::zeroed() };
        let parallel = cx.parallel();
        let y = cx.shared_output::<T>(0);
        let (outer, last) = self.plan.dims.split_at(self.plan.dims.len() - 1);
        let inner = self.plan.inner;
        let (n, m) = (last[0].0 * inner, last[0].1 * inner);
        let constant = self.plan.mode == PadMode::Constant;
        let (to, from, kept) = (self.to * inner, self.from * inner, self.kept * inner);
        let rows: usize = outer.iter().map(|d| d.1).product();
        split(parallel, rows, y.len() * size_of::<T>() * 2, &|units, _| {
            for row in units {
                // SAFETY: every row is one unit's own.
                let y = unsafe { y.slice(row * m, m) };
                match source_row(self.plan.mode, outer, row) {
                    Some(r) if constant => {
                        y[..to].fill(value);
                        y[to..to + kept].copy_from_slice(&x[r * n + from..][..kept]);
                        y[to + kept..].fill(value);
                    }
                    Some(r) => self.row(&x[r * n..][..n], y),
                    None => y.fill(value),
                }
            }
        });
    }

    /// A row with elements of the input beside it.
    fn row<T: bytemuck::Pod>(&self, x: &[T], y: &mut [T]) {
        let inner = self.plan.inner;
        let (to, kept) = (self.to * inner, self.kept * inner);
        let (left, y) = y.split_at_mut(to);
        let (middle, right) = y.split_at_mut(kept);
        middle.copy_from_slice(&x[self.from * inner..][..kept]);
        if inner == 1 {
            left.iter_mut().chain(right).zip(&self.border).for_each(|(y, &i)| *y = x[i]);
        } else {
            let each = left.chunks_exact_mut(inner).chain(right.chunks_exact_mut(inner));
            each.zip(&self.border).for_each(|(y, &i)| y.copy_from_slice(&x[i * inner..][..inner]));
        }
    }
}

/// The row of the input that lies at `row` of the output, if that is not padding with a constant.
fn source_row(mode: PadMode, outer: &[Dim], mut row: usize) -> Option<usize> {
    let (mut at, mut step) = (0, 1);
    for &(n, m, before) in outer.iter().rev() {
        at += source(mode, (row % m) as isize - before, n)? * step;
        row /= m;
        step *= n;
    }
    Some(at)
}

/// The element of an axis of `n` that stands at `i`, which may be outside.
#[inline(always)]
fn source(mode: PadMode, i: isize, n: usize) -> Option<usize> {
    // A negative number without its sign is large.
    if (i as usize) < n { Some(i as usize) } else { outside(mode, i, n as isize) }
}

/// As [`source`], of one that is outside.
#[inline(never)]
fn outside(mode: PadMode, i: isize, n: isize) -> Option<usize> {
    let last = n - 1;
    let i = match mode {
        PadMode::Constant => return None,
        PadMode::Edge => i.clamp(0, last),
        PadMode::Wrap => i.rem_euclid(n),
        PadMode::Reflect if last == 0 => 0,
        PadMode::Reflect => {
            let i = i.rem_euclid(2 * last);
            i.min(2 * last - i)
        }
    };
    Some(i as usize)
}
