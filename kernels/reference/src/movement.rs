//! Operators that move elements by position, whatever their type.

use crate::io::{Built, KernelResult, Slot, built, constant_i64s, ensure, optional_i64s, problem};
use crate::walk::{Walk, around};
use alloc::{format, vec, vec::Vec};
use paring_core::{
    op::{
        AxisAttrs, ChannelShuffleAttrs, DepthToSpaceAttrs, PadAttrs, PadMode, SplitAttrs, TransposeAttrs, TriluAttrs,
    },
    strides,
};
use paring_kernel::Problem;

fn pair(p: &Problem) -> KernelResult<(Slot, Slot)> {
    let (x, y) = (Slot::input(p, 0)?, Slot::output(p, 0)?);
    y.expect_dtype("the output", x.dtype)?;
    Ok((x, y))
}

/// A copy under another shape.
pub(crate) fn view(p: &Problem) -> KernelResult<Built> {
    let (x, y) = pair(p)?;
    y.expect_len("the output", x.len)?;
    built(0, move |io| {
        let from = x.bytes(io);
        y.target_bytes(io).copy_from_slice(from);
        Ok(())
    })
}

/// Output element `o` is input element `walk.at(o)`.
fn walked(x: Slot, y: Slot, walk: Walk) -> KernelResult<Built> {
    let size = x.size();
    built(0, move |io| {
        let from = x.bytes(io);
        for (o, to) in y.target_bytes(io).chunks_exact_mut(size).enumerate() {
            to.copy_from_slice(&from[walk.at(o) * size..][..size]);
        }
        Ok(())
    })
}

/// Views `x` as `dims`, reorders these axes, and views the result as the output.
fn reordered(p: &Problem, dims: &[usize], perm: &[usize], shape: &[usize]) -> KernelResult<Built> {
    let (x, y) = pair(p)?;
    y.expect_shape("the output", shape)?;
    let own = strides(dims);
    let out: Vec<usize> = perm.iter().map(|&i| dims[i]).collect();
    let steps: Vec<isize> = perm.iter().map(|&i| own[i] as isize).collect();
    walked(x, y, Walk::new(&out, &steps, 0))
}

/// `Transpose`.
pub(crate) fn transpose(p: &Problem, a: &TransposeAttrs) -> KernelResult<Built> {
    let (x, _) = pair(p)?;
    let perm = a.perm.clone().unwrap_or_else(|| (0..x.rank()).rev().collect());
    let mut seen = perm.clone();
    seen.sort_unstable();
    ensure(seen.iter().copied().eq(0..x.rank()), || format!("{perm:?} does not reorder {} axes", x.rank()))?;
    let shape: Vec<usize> = perm.iter().map(|&i| x.shape[i]).collect();
    reordered(p, &x.shape, &perm, &shape)
}

/// Channels and plane of an `[N, C, H, W]` input.
fn nchw(x: &Slot) -> KernelResult<[usize; 4]> {
    x.shape.as_slice().try_into().map_err(|_| problem(format!("input {:?} is not of rank 4", x.shape)))
}

fn divide(n: usize, by: usize) -> KernelResult<usize> {
    ensure(by > 0 && n.is_multiple_of(by), || format!("{n} is not a multiple of {by}"))?;
    Ok(n / by)
}

/// `DepthToSpace`.
pub(crate) fn depth_to_space(p: &Problem, a: &DepthToSpaceAttrs) -> KernelResult<Built> {
    let (b, [n, c, h, w]) = (a.block, nchw(&Slot::input(p, 0)?)?);
    let d = divide(divide(c, b)?, b)?;
    let (dims, perm) = if a.column_row_depth {
        ([n, d, b, b, h, w], [0, 1, 4, 2, 5, 3])
    } else {
        ([n, b, b, d, h, w], [0, 3, 4, 1, 5, 2])
    };
    reordered(p, &dims, &perm, &[n, d, h.saturating_mul(b), w.saturating_mul(b)])
}

/// `SpaceToDepth`.
pub(crate) fn space_to_depth(p: &Problem, b: usize) -> KernelResult<Built> {
    let [n, c, h, w] = nchw(&Slot::input(p, 0)?)?;
    let (h, w) = (divide(h, b)?, divide(w, b)?);
    let deep = c.saturating_mul(b).saturating_mul(b);
    reordered(p, &[n, c, h, b, w, b], &[0, 3, 5, 1, 2, 4], &[n, deep, h, w])
}

/// `ChannelShuffle`.
pub(crate) fn channel_shuffle(p: &Problem, a: &ChannelShuffleAttrs) -> KernelResult<Built> {
    let x = Slot::input(p, 0)?;
    ensure(x.rank() >= 2, || format!("input {:?} has no channels", x.shape))?;
    let (n, c, inner) = around(&x.shape, 1);
    reordered(p, &[n, a.groups, divide(c, a.groups)?, inner], &[0, 2, 1, 3], &x.shape)
}

/// `Expand`.
pub(crate) fn expand(p: &Problem) -> KernelResult<Built> {
    let (x, y) = pair(p)?;
    let walk = Walk::broadcast(&x.shape, &y.shape)?;
    walked(x, y, walk)
}

/// `Concat`.
pub(crate) fn concat(p: &Problem, a: &AxisAttrs) -> KernelResult<Built> {
    let y = Slot::output(p, 0)?;
    let parts =
        (0..p.inputs.len()).filter_map(|i| Slot::optional_input(p, i).transpose()).collect::<KernelResult<Vec<_>>>()?;
    let axis = y.axis(a.axis)?;
    let mut total = 0usize;
    for x in &parts {
        x.expect_dtype("an input", y.dtype)?;
        ensure(x.rank() == y.rank(), || format!("input {:?} does not fit output {:?}", x.shape, y.shape))?;
        let mut expected = y.shape.clone();
        expected[axis] = x.shape[axis];
        x.expect_shape("an input", &expected)?;
        total = total.saturating_add(x.shape[axis]);
    }
    ensure(total == y.shape[axis], || format!("the inputs have {total} slices, the output {}", y.shape[axis]))?;
    let (outer, _, inner) = around(&y.shape, axis);
    let unit = inner * y.size();
    built(0, move |io| {
        for o in 0..outer {
            let mut at = o * total * unit;
            for x in &parts {
                let part = x.shape[axis] * unit;
                let from = &x.bytes(io)[o * part..][..part];
                y.target_bytes(io)[at..at + part].copy_from_slice(from);
                at += part;
            }
        }
        Ok(())
    })
}

/// `Split`.
pub(crate) fn split(p: &Problem, a: &SplitAttrs) -> KernelResult<Built> {
    let x = Slot::input(p, 0)?;
    let axis = x.axis(a.axis)?;
    let (outer, n, inner) = around(&x.shape, axis);
    let count = p.outputs.len();
    let sizes = match (&a.sizes, optional_i64s(p, 1)?) {
        (Some(s), _) => s.clone(),
        (None, Some(s)) => s.iter().map(|&s| usize::try_from(s).unwrap_or(usize::MAX)).collect(),
        (None, None) => {
            let each = n.div_ceil(count.max(1));
            (0..count).map(|i| each.min(n.saturating_sub(i.saturating_mul(each)))).collect()
        }
    };
    let total = sizes.iter().fold(0usize, |t, &s| t.saturating_add(s));
    ensure(sizes.len() == count && total == n, || format!("parts {sizes:?} do not make up {n} in {count} outputs"))?;
    let (mut parts, mut start) = (Vec::new(), 0);
    for (i, &s) in sizes.iter().enumerate() {
        if let Some(y) = Slot::optional_output(p, i)? {
            let mut expected = x.shape.clone();
            expected[axis] = s;
            y.expect_shape("an output", &expected)?;
            y.expect_dtype("an output", x.dtype)?;
            parts.push((y, start));
        }
        start += s;
    }
    let unit = inner * x.size();
    built(0, move |io| {
        let from = x.bytes(io);
        for (y, start) in &parts {
            let part = y.shape[axis] * unit;
            let out = y.target_bytes(io);
            for o in 0..outer {
                out[o * part..][..part].copy_from_slice(&from[(o * n + start) * unit..][..part]);
            }
        }
        Ok(())
    })
}

/// `Slice`.
pub(crate) fn slice(p: &Problem) -> KernelResult<Built> {
    let (x, y) = pair(p)?;
    let (starts, ends) = (constant_i64s(p, 1)?, constant_i64s(p, 2)?);
    let axes = optional_i64s(p, 3)?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let by = optional_i64s(p, 4)?.unwrap_or_else(|| vec![1; starts.len()]);
    ensure(starts.len() == ends.len() && starts.len() == axes.len() && starts.len() == by.len(), || {
        format!("{} starts, {} ends, {} axes, {} steps", starts.len(), ends.len(), axes.len(), by.len())
    })?;
    let own = strides(&x.shape);
    let mut shape = x.shape.clone();
    let mut steps: Vec<isize> = own.iter().map(|&s| s as isize).collect();
    let mut offset = 0isize;
    for i in 0..starts.len() {
        let d = x.axis(axes[i])?;
        let n = x.shape[d] as i128;
        let (step, back) = (by[i] as i128, by[i] < 0);
        ensure(step != 0, || "a step is 0".into())?;
        // Positions one before the first and one past the last element end a slice.
        let (low, high) = if back { (-1, n - 1) } else { (0, n) };
        let place = |v: i64| (if v < 0 { v as i128 + n } else { v as i128 }).clamp(low, high);
        let (start, end) = (place(starts[i]), place(ends[i]));
        let room = if back { start - end } else { end - start };
        let count = if room <= 0 { 0 } else { (room + step.abs() - 1) / step.abs() };
        shape[d] = count as usize;
        if count > 0 {
            offset += start as isize * own[d] as isize;
            steps[d] = if count > 1 { step as isize * own[d] as isize } else { 0 };
        }
    }
    y.expect_shape("the output", &shape)?;
    let walk = Walk::new(&shape, &steps, offset);
    walked(x, y, walk)
}

/// For every output axis, the input index of each output index; `None`: filled.
type Maps = Vec<Vec<Option<usize>>>;

fn mapped(x: Slot, y: Slot, maps: Maps, value: Option<Slot>) -> KernelResult<Built> {
    let (from, to, size) = (strides(&x.shape), strides(&y.shape), x.size());
    built(0, move |io| {
        let xb = x.bytes(io);
        let fill = value.as_ref().map(|v| v.bytes(io));
        for (o, out) in y.target_bytes(io).chunks_exact_mut(size).enumerate() {
            let mut at = Some(0);
            for (d, map) in maps.iter().enumerate() {
                at = at.zip(map[o / to[d] % map.len()]).map(|(a, i)| a + i * from[d]);
            }
            match (at, fill) {
                (Some(at), _) => out.copy_from_slice(&xb[at * size..][..size]),
                (None, Some(v)) => out.copy_from_slice(&v[..size]),
                (None, None) => out.fill(0),
            }
        }
        Ok(())
    })
}

/// `Tile`.
pub(crate) fn tile(p: &Problem) -> KernelResult<Built> {
    let (x, y) = pair(p)?;
    let fits =
        x.rank() == y.rank() && x.shape.iter().zip(&y.shape).all(|(&a, &b)| a == 0 && b == 0 || a > 0 && b % a == 0);
    ensure(fits, || format!("output {:?} does not repeat input {:?}", y.shape, x.shape))?;
    if y.len == 0 {
        return built(0, |_| Ok(()));
    }
    let maps = y.shape.iter().zip(&x.shape).map(|(&out, &n)| (0..out).map(|i| Some(i % n)).collect()).collect();
    mapped(x, y, maps, None)
}

/// `Pad`.
pub(crate) fn pad(p: &Problem, a: &PadAttrs) -> KernelResult<Built> {
    let (x, y) = pair(p)?;
    let pads = constant_i64s(p, 1)?;
    let axes = match optional_i64s(p, 3)? {
        Some(axes) => axes.iter().map(|&d| x.axis(d)).collect::<KernelResult<Vec<_>>>()?,
        None => (0..x.rank()).collect(),
    };
    ensure(pads.len() == 2 * axes.len(), || format!("{} pads for {} axes", pads.len(), axes.len()))?;
    let value = Slot::optional_input(p, 2)?;
    if let Some(v) = &value {
        v.expect_len("the value", 1)?;
        v.expect_dtype("the value", x.dtype)?;
    }
    let mut before = vec![0i64; x.rank()];
    let mut shape: Vec<i128> = x.shape.iter().map(|&n| n as i128).collect();
    for (i, &d) in axes.iter().enumerate() {
        before[d] = pads[i];
        shape[d] += pads[i] as i128 + pads[axes.len() + i] as i128;
    }
    ensure(shape.iter().copied().eq(y.shape.iter().map(|&n| n as i128)), || {
        format!("output {:?} does not fit pads {pads:?} of input {:?}", y.shape, x.shape)
    })?;
    if y.len == 0 {
        return built(0, |_| Ok(()));
    }
    let map = |d: usize| -> KernelResult<Vec<Option<usize>>> {
        let n = x.shape[d] as i128;
        ensure(n > 0 || a.mode == PadMode::Constant, || format!("axis {d} has no element to pad with"))?;
        Ok((0..y.shape[d]).map(|o| source(a.mode, o as i128 - before[d] as i128, n)).collect())
    };
    let maps = (0..x.rank()).map(map).collect::<KernelResult<Maps>>()?;
    mapped(x, y, maps, value)
}

/// The element of an axis of `n` that stands at `i`, which may be outside.
fn source(mode: PadMode, i: i128, n: i128) -> Option<usize> {
    let i = match mode {
        PadMode::Constant if i < 0 || i >= n => return None,
        PadMode::Constant => i,
        PadMode::Edge => i.clamp(0, n - 1),
        PadMode::Wrap => i.rem_euclid(n),
        PadMode::Reflect if n == 1 => 0,
        PadMode::Reflect => {
            let i = i.rem_euclid(2 * (n - 1));
            i.min(2 * (n - 1) - i)
        }
    };
    Some(i as usize)
}

/// `Trilu`.
pub(crate) fn trilu(p: &Problem, a: &TriluAttrs) -> KernelResult<Built> {
    let (x, y) = pair(p)?;
    y.expect_shape("the output", &x.shape)?;
    let &[.., rows, columns] = x.shape.as_slice() else {
        return Err(problem(format!("input {:?} is not a matrix", x.shape)));
    };
    let k = Slot::optional_input(p, 1)?;
    if let Some(k) = &k {
        k.expect_len("k", 1)?;
    }
    let (upper, size) = (a.upper, x.size());
    built(0, move |io| {
        let from = x.bytes(io);
        let k = k.as_ref().map_or(0, |k| k.view(io).int(0));
        for (i, to) in y.target_bytes(io).chunks_exact_mut(size).enumerate() {
            let diagonal = (i % columns) as i128 - (i / columns % rows) as i128;
            if if upper { diagonal >= k } else { diagonal <= k } {
                to.copy_from_slice(&from[i * size..][..size]);
            } else {
                to.fill(0);
            }
        }
        Ok(())
    })
}

/// `ReverseSequence`.
pub(crate) fn reverse_sequence(p: &Problem, batch_axis: usize, time_axis: usize) -> KernelResult<Built> {
    let (x, y) = pair(p)?;
    let lengths = Slot::input(p, 1)?;
    y.expect_shape("the output", &x.shape)?;
    let axes = batch_axis < 2 && time_axis < 2 && batch_axis != time_axis && x.rank() >= 2;
    ensure(axes, || format!("batch axis {batch_axis} and time axis {time_axis} of input {:?}", x.shape))?;
    lengths.expect_shape("the lengths", &[x.shape[batch_axis]])?;
    ensure(lengths.dtype.is_int(), || "the lengths are not integers".into())?;
    let own = strides(&x.shape);
    let (time, size) = (x.shape[time_axis], x.size());
    built(0, move |io| {
        let (from, lv) = (x.bytes(io), lengths.view(io));
        for b in 0..lengths.len {
            let l = lv.int(b);
            if l < 0 || l > time as i128 {
                return Err(crate::io::data(format!("length {l} of sequence {b} is outside 0..={time}")));
            }
        }
        for (i, to) in y.target_bytes(io).chunks_exact_mut(size).enumerate() {
            let (b, t) = (i / own[batch_axis] % x.shape[batch_axis], i / own[time_axis] % time);
            let l = lv.int(b) as usize;
            let at = if t < l { i - t * own[time_axis] + (l - 1 - t) * own[time_axis] } else { i };
            to.copy_from_slice(&from[at * size..][..size]);
        }
        Ok(())
    })
}
