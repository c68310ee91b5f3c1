//! Operators that only move elements: each is a strided copy of its input.

use crate::{loops::broadcast_strides, strided::Strided, support::*};
use paring_core::{DType, Layout, Op, normalize_axis, strides};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

/// Transposes, slices, broadcasts, shuffles and copies, of any element type.
pub(crate) struct Movement;

/// Where the elements of an output come from: dimensions, steps in the input, first place.
type View = (Vec<usize>, Vec<isize>, isize);

fn signed(strides: &[usize]) -> Vec<isize> {
    strides.iter().map(|&s| s as isize).collect()
}

fn view(p: &Problem, layout: Layout) -> Result<View, Reject> {
    let (x, y) = operands(p)?;
    let (x, y) = (x.shape.as_slice(), y.shape.as_slice());
    if layout != Layout::Plain {
        return match p.op {
            Op::Identity if x == y => Ok((vec![layout.elements(x).ok_or("too large")?], vec![1], 0)),
            Op::Slice => slice(p, x, y, layout),
            _ => Err("moves channels between blocks".into()),
        };
    }
    let st = signed(&strides(x));
    match &p.op {
        Op::Transpose(a) => {
            let perm = a.perm.clone().unwrap_or_else(|| (0..x.len()).rev().collect());
            let mut sorted = perm.clone();
            sorted.sort_unstable();
            if !sorted.into_iter().eq(0..x.len()) {
                return Err("not a permutation of the axes".into());
            }
            Ok((perm.iter().map(|&i| x[i]).collect(), perm.iter().map(|&i| st[i]).collect(), 0))
        }
        Op::Slice => slice(p, x, y, layout),
        Op::Expand => Ok((y.to_vec(), signed(&broadcast_strides(x, y)?), 0)),
        Op::Tile => {
            let repeats = p.const_i64s(1).ok_or("the repeats are not constant")?;
            if repeats.len() != x.len() {
                return Err("one repeat per axis is needed".into());
            }
            let (mut dims, mut steps) = (Vec::new(), Vec::new());
            for (i, r) in repeats.into_iter().enumerate() {
                dims.extend([usize::try_from(r).map_err(|_| "a repeat is negative")?, x[i]]);
                steps.extend([0, st[i]]);
            }
            Ok((dims, steps, 0))
        }
        Op::ChannelShuffle(a) => {
            let Planes { samples, channels, plane } = Planes::of(x)?;
            if a.groups == 0 || !channels.is_multiple_of(a.groups) {
                return Err("the groups do not divide the channels".into());
            }
            permuted(&[samples, a.groups, channels / a.groups, plane], &[0, 2, 1, 3])
        }
        Op::DepthToSpace(a) => {
            let ([n, c, h, w], b) = (image(x)?, a.block);
            let depth = b.checked_mul(b).filter(|&d| d > 0 && c.is_multiple_of(d)).ok_or("the block does not fit")?;
            if a.column_row_depth {
                permuted(&[n, c / depth, b, b, h, w], &[0, 1, 4, 2, 5, 3])
            } else {
                permuted(&[n, b, b, c / depth, h, w], &[0, 3, 4, 1, 5, 2])
            }
        }
        Op::SpaceToDepth(a) => {
            let ([n, c, h, w], b) = (image(x)?, a.block);
            if b == 0 || !h.is_multiple_of(b) || !w.is_multiple_of(b) {
                return Err("the block does not fit".into());
            }
            permuted(&[n, c, h / b, b, w / b, b], &[0, 3, 5, 1, 2, 4])
        }
        op if op.is_view() => Ok((vec![x.iter().product()], vec![1], 0)),
        _ => Err("not a movement".into()),
    }
}

fn image(x: &[usize]) -> Result<[usize; 4], Reject> {
    x.try_into().map_err(|_| "not a tensor of rank 4".into())
}

/// A contiguous tensor of `dims` with its axes in another order.
fn permuted(dims: &[usize], perm: &[usize]) -> Result<View, Reject> {
    let st = signed(&strides(dims));
    Ok((perm.iter().map(|&i| dims[i]).collect(), perm.iter().map(|&i| st[i]).collect(), 0))
}

/// First place and step along every axis.
pub(crate) fn slice_steps(p: &Problem, x: &[usize], y: &[usize]) -> Result<Vec<(usize, isize)>, Reject> {
    let read = |i: usize| p.const_i64s(i).ok_or("a bound of the slice is not constant");
    let (starts, ends) = (read(1)?, read(2)?);
    let axes = if p.input(3).is_some() { read(3)? } else { (0..starts.len() as i64).collect() };
    let steps = if p.input(4).is_some() { read(4)? } else { vec![1; starts.len()] };
    if ends.len() != starts.len() || axes.len() != starts.len() || steps.len() != starts.len() || x.len() != y.len() {
        return Err("starts, ends, axes and steps differ in length".into());
    }
    let mut result = vec![(0usize, 1isize); x.len()];
    let mut lengths = x.to_vec();
    for i in 0..starts.len() {
        let axis = normalize_axis(axes[i], x.len()).map_err(|e| Reject::from(e.to_string()))?;
        let (n, step) = (x[axis] as i64, steps[i]);
        if step == 0 {
            return Err("a step is 0".into());
        }
        let from_end = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
        let (lo, hi) = if step > 0 { (0, n) } else { (-1, n - 1) };
        let start = from_end(starts[i]).clamp(lo.max(0), hi);
        let end = from_end(ends[i]).clamp(lo, hi);
        let span = if step > 0 { end.saturating_sub(start) } else { start.saturating_sub(end) };
        lengths[axis] = (span.max(0) as u64).div_ceil(step.unsigned_abs()) as usize;
        let step = isize::try_from(step).unwrap_or(isize::MAX);
        result[axis] = (start.max(0) as usize, step);
    }
    if lengths != y {
        return Err(format!("the slice is {lengths:?}, the output {y:?}").into());
    }
    Ok(result)
}

fn slice(p: &Problem, x: &[usize], y: &[usize], layout: Layout) -> Result<View, Reject> {
    let mut steps = slice_steps(p, x, y)?;
    let (from, to) = (physical(x, layout), physical(y, layout));
    if layout != Layout::Plain {
        let (start, step) = steps[1];
        let whole = y[1].is_multiple_of(LANES) || start + y[1] == x[1];
        if step != 1 || !start.is_multiple_of(LANES) || !whole {
            return Err("the slice does not fall on whole blocks of channels".into());
        }
        steps[1].0 /= LANES;
        steps.push((0, 1));
    }
    let st = strides(&from);
    let offset = steps.iter().zip(&st).map(|(&(start, _), &s)| start * s).sum::<usize>();
    // A step beyond the axis is never taken, as the output then has one element there.
    let step = |i: usize| if to[i] == 1 { 0 } else { steps[i].1.saturating_mul(st[i] as isize) };
    Ok(((to.clone()), (0..to.len()).map(step).collect(), offset as isize))
}

fn strided(p: &Problem, layout: Layout) -> Result<Strided, Reject> {
    let (dims, steps, offset) = view(p, layout)?;
    let (x, y) = operands(p)?;
    let (from, to) = (layout.elements(&x.shape).ok_or("too large")?, layout.elements(&y.shape).ok_or("too large")?);
    if paring_core::numel(&dims).ok() != Some(to) {
        return Err(format!("output {:?} does not fit input {:?}", y.shape, x.shape).into());
    }
    Strided::new(&dims, &steps, offset, from)
}

impl Family for Movement {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let dtype = require_movable(p, 0..1)?;
        let rank = operands(p)?.0.shape.len();
        let mut reason = None;
        for &layout in layouts(rank) {
            if layout != Layout::Plain && (dtype != DType::F32 || operands(p)?.1.shape.len() != rank) {
                continue;
            }
            match strided(p, layout) {
                Ok(_) => {
                    let mut o = uniform(p, layout, 0);
                    // What the other inputs say is settled while preparing.
                    o.inputs[1..].fill(None);
                    o.numerics = NumericClass::Exact;
                    out.push(o);
                }
                Err(r) => reason = Some(r),
            }
        }
        if out.is_empty() { Err(reason.unwrap_or("no layout fits".into())) } else { Ok(()) }
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        let each = match p.op {
            Op::Transpose(_) | Op::DepthToSpace(_) | Op::SpaceToDepth(_) => 0.3,
            _ => 0.05,
        };
        each * output_len(p) as f64
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let dtype = require_movable(p, 0..1).map_err(problem)?;
        Ok(Box::new(Run { s, dtype, copy: strided(p, o.outputs[0]).map_err(problem)? }))
    }
}

struct Run<S> {
    s: S,
    dtype: DType,
    copy: Strided,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let parallel = cx.parallel();
        by_width!(self.dtype, T => {
            let x = cx.input::<T>(0);
            self.copy.run(self.s, x, cx.shared_output::<T>(0), parallel);
        });
        Ok(())
    }
}
