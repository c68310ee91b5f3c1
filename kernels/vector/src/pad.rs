//! Padding with a constant.

use crate::{loops::MOST_DIMS, support::*};
use paring_core::{DType, Layout, Op, normalize_axis, op::PadMode};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

/// `Pad` with a constant, of any element type.
pub(crate) struct Pad;

/// One dimension: extents and the signed padding before.
type Dim = (usize, usize, isize);

/// Dimensions in memory, outermost first; those that are not padded are merged into the next one out.
fn dims(p: &Problem, layout: Layout) -> Result<Vec<Dim>, Reject> {
    match &p.op {
        Op::Pad(a) if a.mode == PadMode::Constant => {}
        _ => return Err("not padding with a constant".into()),
    }
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
    let mut merged: Vec<Dim> = Vec::new();
    for d in 0..from.len() {
        match merged.last_mut() {
            Some(last) if from[d] == to[d] && before[d] == 0 => {
                *last = (last.0 * from[d], last.1 * to[d], last.2 * from[d] as isize);
            }
            _ => merged.push((from[d], to[d], before[d])),
        }
    }
    if merged.is_empty() || merged.len() > MOST_DIMS {
        return Err("no dimensions, or more than eight that are padded".into());
    }
    Ok(merged)
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
                if dtype != DType::F32 || !(whole || zero) {
                    continue;
                }
            }
            match dims(p, layout) {
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
        Ok(Box::new(Run { dtype, valued: p.input(2).is_some(), dims: dims(p, o.outputs[0]).map_err(problem)? }))
    }
}

struct Run {
    dtype: DType,
    valued: bool,
    dims: Vec<Dim>,
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
        let (outer, last) = self.dims.split_at(self.dims.len() - 1);
        let (n, m, before) = last[0];
        let rows: usize = outer.iter().map(|d| d.1).product();
        // The part of a row that is kept: first place in the output, first in the input, length.
        let (to, from) = (before.max(0) as usize, (-before).max(0) as usize);
        let kept = n.saturating_sub(from).min(m.saturating_sub(to));
        split(parallel, rows, y.len() * size_of::<T>() * 2, &|units, _| {
            for row in units {
                // SAFETY: every row is one unit's own.
                let y = unsafe { y.slice(row * m, m) };
                match source_row(outer, row) {
                    Some(r) if kept > 0 => {
                        y[..to].fill(value);
                        y[to..to + kept].copy_from_slice(&x[r * n + from..][..kept]);
                        y[to + kept..].fill(value);
                    }
                    _ => y.fill(value),
                }
            }
        });
    }
}

/// The row of the input that lies at `row` of the output, if it is not padding.
fn source_row(outer: &[Dim], mut row: usize) -> Option<usize> {
    let (mut at, mut step) = (0, 1);
    for &(n, m, before) in outer.iter().rev() {
        let i = (row % m).checked_add_signed(-before).filter(|&i| i < n)?;
        row /= m;
        at += i * step;
        step *= n;
    }
    Some(at)
}
