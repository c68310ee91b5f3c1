//! Joining and cutting along an axis, where the parts are runs of memory.

use crate::support::*;
use paring_core::{DType, Layout, Op, normalize_axis};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Parallel, Prepared, Problem, Reject, RunCx, SharedMut};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

/// `Concat` and `Split`, of any element type.
pub(crate) struct Concat;

/// The whole as `[outer, run]`, each part being a range of every run.
#[derive(Clone, Debug)]
struct Parts {
    outer: usize,
    /// Elements of one run of the whole.
    run: usize,
    /// First element and length within a run; `None` for parts that nobody wants.
    parts: Vec<Option<(usize, usize)>>,
}

fn parts(p: &Problem, layout: Layout) -> Result<Parts, Reject> {
    let (whole, pieces, axis) = match &p.op {
        Op::Concat(a) => (p.output(0).ok_or("the output is not wanted")?, &p.inputs, a.axis),
        Op::Split(a) => (p.input(0).ok_or("input 0 is absent")?, &p.outputs, a.axis),
        _ => return Err("neither joins nor cuts".into()),
    };
    let axis = normalize_axis(axis, whole.shape.len()).map_err(|e| Reject::from(e.to_string()))?;
    let dims = physical(&whole.shape, layout);
    let around = Around::axes(&dims, axis, axis + 1);
    let mut at = 0usize;
    let mut result = Vec::new();
    let sizes = sizes(p, pieces.len(), axis)?;
    for (i, piece) in pieces.iter().enumerate() {
        let len = match (piece, &sizes) {
            (Some(piece), _) => {
                let rest = |s: &[usize]| s.iter().enumerate().filter(|d| d.0 != axis).map(|d| *d.1).collect::<Vec<_>>();
                if piece.shape.len() != whole.shape.len() || rest(&piece.shape) != rest(&whole.shape) {
                    return Err(format!("part {:?} does not fit {:?}", piece.shape, whole.shape).into());
                }
                piece.shape[axis]
            }
            (None, Some(sizes)) => *sizes.get(i).ok_or("a part has no size")?,
            (None, None) => return Err("an input is absent".into()),
        };
        let (first, len) = if layout != Layout::Plain && axis == 1 {
            if !at.is_multiple_of(LANES) || !(len.is_multiple_of(LANES) || at + len == whole.shape[1]) {
                return Err("a part does not begin or end with a block of channels".into());
            }
            (at / LANES, len.div_ceil(LANES))
        } else {
            (at, len)
        };
        result.push(piece.as_ref().map(|_| (first * around.inner, len * around.inner)));
        at += piece.as_ref().map_or(sizes.as_ref().map_or(0, |s| s[i]), |p| p.shape[axis]);
    }
    if at != whole.shape[axis] {
        return Err(format!("the parts make {at}, the whole is {}", whole.shape[axis]).into());
    }
    Ok(Parts { outer: around.outer, run: around.len * around.inner, parts: result })
}

/// Lengths of the parts of a split, where they are said.
pub(crate) fn sizes(p: &Problem, count: usize, axis: usize) -> Result<Option<Vec<usize>>, Reject> {
    let Op::Split(a) = &p.op else { return Ok(None) };
    if let Some(sizes) = &a.sizes {
        return Ok(Some(sizes.clone()));
    }
    if p.input(1).is_some() {
        let sizes = p.const_i64s(1).ok_or("the sizes are not constant")?;
        let sizes: Result<Vec<usize>, _> = sizes.into_iter().map(usize::try_from).collect();
        return Ok(Some(sizes.map_err(|_| "a size is negative")?));
    }
    let whole = p.input(0).ok_or("input 0 is absent")?.shape[axis];
    let each = whole.div_ceil(count.max(1));
    Ok(Some((0..count).map(|i| each.min(whole.saturating_sub(i * each))).collect()))
}

impl Family for Concat {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let all = if matches!(p.op, Op::Concat(_)) { p.inputs.len() } else { 1 };
        let dtype = require_movable(p, 0..all)?;
        let rank = p.input(0).map_or(0, |x| x.shape.len());
        let mut reason = None;
        for &layout in layouts(rank) {
            if layout != Layout::Plain && dtype != DType::F32 {
                continue;
            }
            match parts(p, layout) {
                Ok(_) => {
                    let mut o = uniform(p, layout, 0);
                    for (i, x) in o.inputs.iter_mut().enumerate() {
                        *x = p.input(i).filter(|_| i < all).map(|_| layout);
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
        let joins = matches!(p.op, Op::Concat(_));
        let dtype = require_movable(p, 0..1).map_err(problem)?;
        Ok(Box::new(Run { dtype, joins, parts: parts(p, o.outputs[0]).map_err(problem)? }))
    }
}

struct Run {
    dtype: DType,
    joins: bool,
    parts: Parts,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        by_width!(self.dtype, T => self.go::<T>(cx));
        Ok(())
    }
}

impl Run {
    fn go<T: bytemuck::Pod + Send + Sync>(&self, cx: &mut RunCx<'_>) {
        let (outer, run, parallel) = (self.parts.outer, self.parts.run, cx.parallel());
        for (i, part) in self.parts.parts.iter().enumerate() {
            let Some((first, len)) = *part else { continue };
            if self.joins {
                let x = cx.input::<T>(i);
                copy_runs(x, (0, len), cx.shared_output::<T>(0), (first, run), outer, len, parallel);
            } else {
                let x = cx.input::<T>(0);
                copy_runs(x, (first, run), cx.shared_output::<T>(i), (0, len), outer, len, parallel);
            }
        }
    }
}

/// Copies `len` elements `outer` times; `from` and `to` are the first place and the distance of the runs.
fn copy_runs<T: bytemuck::Pod + Send + Sync>(
    x: &[T],
    from: (usize, usize),
    y: SharedMut<'_, T>,
    to: (usize, usize),
    outer: usize,
    len: usize,
    parallel: &dyn Parallel,
) {
    const PIECE: usize = 4096;
    let pieces = len.div_ceil(PIECE);
    split(parallel, outer * pieces, outer * len * size_of::<T>() * 2, &|units, _| {
        for unit in units {
            let (at, row) = (unit % pieces * PIECE, unit / pieces);
            let n = PIECE.min(len - at);
            // SAFETY: units are disjoint pieces of the output.
            let y = unsafe { y.slice(to.0 + row * to.1 + at, n) };
            y.copy_from_slice(&x[from.0 + row * from.1 + at..][..n]);
        }
    });
}
