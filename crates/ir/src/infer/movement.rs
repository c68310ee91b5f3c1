//! Joining, cutting, padding and repeating.

use super::cx::*;
use crate::{Dim, Fact, InferError};
use alloc::{format, vec, vec::Vec};
use paring_core::op::{
    AxisAttrs, ChannelShuffleAttrs, DepthToSpaceAttrs, PadAttrs, PadMode, ReverseSequenceAttrs, SpaceToDepthAttrs,
    SplitAttrs,
};

pub(super) fn concat(a: &AxisAttrs, cx: &mut Cx<'_>) -> Facts {
    let first = cx.input(0, "x")?;
    let mut out: Option<Vec<Dim>> = None;
    let mut unranked = false;
    let mut tracked = Some(Vec::new());
    for i in 0..cx.inputs.len() {
        let x = cx.input(i, "x")?;
        same_dtype(first, "input 0", x, &format!("input {i}"))?;
        tracked = match (tracked, elements(x)) {
            (Some(all), Some(e)) if all.len() + e.len() <= MAX_ELEMENTS => Some([all, e].concat()),
            _ => None,
        };
        let Some(shape) = &x.ty.shape else {
            unranked = true;
            continue;
        };
        let axis = axis_of(a.axis, shape.len())?;
        out = Some(match out {
            None => shape.clone(),
            Some(so_far) => joined(&so_far, shape, axis, i)?,
        });
    }
    let out = match out {
        // One unknown length makes the sum unknown.
        Some(mut shape) if unranked => {
            let axis = axis_of(a.axis, shape.len())?;
            shape[axis] = cx.fresh();
            Some(shape)
        }
        out => out,
    };
    let quant = first
        .ty
        .quant
        .clone()
        .filter(|q| q.axis.is_none() && cx.inputs.iter().flatten().all(|x| x.ty.quant.as_ref() == Some(q)));
    let mut fact = with_elements(typed(first.ty.dtype, out), tracked);
    fact.ty.quant = quant;
    Ok(vec![fact])
}

fn joined(so_far: &[Dim], shape: &[Dim], axis: usize, input: usize) -> Result<Vec<Dim>> {
    if so_far.len() != shape.len() {
        return Err(shape_error!(
            "input {input} must have rank {} as those before it, found shape {}",
            so_far.len(),
            show(shape)
        ));
    }
    let join = |(i, (a, b)): (usize, (&Dim, &Dim))| {
        if i == axis { Ok(a.add(b)) } else { unify(a, b, &format!("axis {i} of input {input}")) }
    };
    so_far.iter().zip(shape).enumerate().map(join).collect()
}

pub(super) fn split(a: &SplitAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let n = cx.outputs;
    if n == 0 {
        return Err(InferError::Arity("expected at least one output, found none".into()));
    }
    let sizes = match (&a.sizes, cx.optional(1)) {
        (Some(s), _) => Some(Some(s.iter().map(|&d| Dim::from(d)).collect::<Vec<Dim>>())),
        (None, Some(f)) => {
            let list = list(f, "sizes")?;
            if let Some(len) = list.len.filter(|&len| len != n) {
                return Err(InferError::Arity(format!("sizes name {len} parts, but the node has {n} outputs")));
            }
            Some(list.elements)
        }
        (None, None) => None,
    };
    if let Some(Some(s)) = &sizes
        && s.len() != n
    {
        return Err(InferError::Arity(format!("sizes name {} parts, but the node has {n} outputs", s.len())));
    }
    let Some(shape) = &x.ty.shape else { return Ok(vec![moved(x, None); n]) };
    let axis = axis_of(a.axis, shape.len())?;
    let whole = &shape[axis];
    let parts = match sizes {
        Some(Some(s)) => {
            if let Some(bad) = s.iter().find(|d| d.as_i64().is_some_and(|n| n < 0)) {
                return Err(shape_error!("sizes must not be negative, found {bad}"));
            }
            let sum = s.iter().fold(Dim::Known(0), |sum, d| sum.add(d));
            unify(whole, &sum, &format!("axis {axis} of x, and the sum of the sizes {}", show(&s)))?;
            s
        }
        Some(None) => cx.fresh_shape(n),
        None => equal_parts(whole, n)?,
    };
    Ok(cut(x, shape, axis, &parts))
}

/// Equal parts, the last one smaller where it does not come out even.
fn equal_parts(whole: &Dim, n: usize) -> Result<Vec<Dim>> {
    let count = Dim::from(n);
    let even = whole.div_floor(&count);
    if even.mul(&count) == *whole {
        return Ok(vec![even; n]);
    }
    let part = whole.div_ceil(n);
    let last = whole.sub(&part.mul(&Dim::from(n - 1)));
    if last.as_i64().is_some_and(|l| l < 0) {
        return Err(shape_error!("{whole} elements cannot be split into {n} parts of {part}"));
    }
    let mut parts = vec![part; n];
    parts[n - 1] = last;
    Ok(parts)
}

fn cut(x: &Fact, shape: &[Dim], axis: usize, parts: &[Dim]) -> Vec<Fact> {
    let all = elements(x);
    let mut at = Some(0usize);
    parts
        .iter()
        .map(|part| {
            let mut shape = shape.to_vec();
            shape[axis] = part.clone();
            let range = at.zip(part.known()).and_then(|(a, n)| Some(a..a.checked_add(n)?));
            at = range.as_ref().map(|r| r.end);
            let own = range.and_then(|r| all.as_ref()?.get(r).map(<[Dim]>::to_vec));
            with_elements(moved(x, Some(shape)), own)
        })
        .collect()
}

pub(super) fn pad(a: &PadAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, pads) = (cx.input(0, "x")?, cx.input(1, "pads")?);
    if let Some(value) = cx.optional(2) {
        same_dtype(x, "x", value, "value")?;
    }
    let pads = list(pads, "pads")?;
    let axes = cx.optional(3).map(|f| list(f, "axes")).transpose()?;
    let Some(shape) = &x.ty.shape else { return Ok(vec![moved(x, None)]) };
    let axes = match axes.as_ref().map(List::numbers) {
        None => (0..shape.len()).collect::<Vec<usize>>(),
        Some(None) => return Ok(vec![moved(x, Some(cx.fresh_shape(shape.len())))]),
        Some(Some(axes)) => {
            // The order matters here: pads follow that of the axes.
            axes_of(&axes, shape.len())?;
            axes.iter().map(|&a| axis_of(a, shape.len())).collect::<Result<Vec<usize>>>()?
        }
    };
    if let Some(len) = pads.len.filter(|&len| len != 2 * axes.len()) {
        return Err(shape_error!("pads must have {} entries, two per axis, found {len}", 2 * axes.len()));
    }
    let mut out = shape.clone();
    for (i, &axis) in axes.iter().enumerate() {
        out[axis] = match &pads.elements {
            None => cx.fresh(),
            Some(p) => padded_axis(a.mode, axis, &shape[axis], &p[i], &p[i + axes.len()])?,
        };
    }
    Ok(vec![moved(x, Some(out))])
}

fn padded_axis(mode: PadMode, axis: usize, d: &Dim, before: &Dim, after: &Dim) -> Result<Dim> {
    let out = d.add(before).add(after);
    if out.as_i64().is_some_and(|n| n < 0) {
        return Err(shape_error!("axis {axis} of {d} with pads {before} and {after} would be negative"));
    }
    let grows = |p: &Dim| p.as_i64().is_some_and(|p| p > 0);
    if mode != PadMode::Constant && d.is(0) && (grows(before) || grows(after)) {
        return Err(shape_error!("axis {axis} is empty: there is nothing to pad it with"));
    }
    Ok(out)
}

pub(super) fn expand(cx: &mut Cx<'_>) -> Facts {
    let (x, shape) = (cx.input(0, "x")?, cx.input(1, "shape")?);
    let target = list(shape, "shape")?;
    let out = match (&x.ty.shape, target.elements, target.len) {
        (Some(s), Some(t), _) => {
            non_negative(&t, "shape")?;
            Some(broadcast(s, &t)?)
        }
        (Some(s), None, Some(len)) => Some(cx.fresh_shape(len.max(s.len()))),
        _ => None,
    };
    let tracked = elements(x).and_then(|e| match out.as_deref()? {
        [] => Some(e),
        [n] if e.len() == 1 => Some(vec![e[0].clone(); n.known().filter(|&n| n <= MAX_ELEMENTS)?]),
        _ => Some(e),
    });
    Ok(vec![with_elements(moved(x, out), tracked)])
}

fn non_negative(dims: &[Dim], what: &str) -> Result<()> {
    match dims.iter().find(|d| d.as_i64().is_some_and(|n| n < 0)) {
        Some(bad) => Err(shape_error!("{what} {} has a negative entry: {bad}", show(dims))),
        None => Ok(()),
    }
}

pub(super) fn tile(cx: &mut Cx<'_>) -> Facts {
    let (x, repeats) = (cx.input(0, "x")?, cx.input(1, "repeats")?);
    let repeats = list(repeats, "repeats")?;
    let Some(shape) = &x.ty.shape else { return Ok(vec![moved(x, None)]) };
    if let Some(len) = repeats.len.filter(|&len| len != shape.len()) {
        return Err(shape_error!("repeats must have {} entries, one per axis of x, found {len}", shape.len()));
    }
    let out = match &repeats.elements {
        Some(r) => {
            non_negative(r, "repeats")?;
            shape.iter().zip(r).map(|(d, r)| d.mul(r)).collect()
        }
        None => cx.fresh_shape(shape.len()),
    };
    Ok(vec![moved(x, Some(out))])
}

pub(super) fn depth_to_space(a: &DepthToSpaceAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let s = cx.dims_of_rank(x, 4, "x")?;
    let area = block_area(a.block)?;
    need_multiple(&s[1], area, "channels of x (block squared)")?;
    let b = Dim::from(a.block);
    Ok(vec![moved(x, Some(vec![s[0].clone(), s[1].div_floor(&Dim::from(area)), s[2].mul(&b), s[3].mul(&b)]))])
}

pub(super) fn space_to_depth(a: &SpaceToDepthAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let s = cx.dims_of_rank(x, 4, "x")?;
    let area = block_area(a.block)?;
    need_multiple(&s[2], a.block, "rows of x (block)")?;
    need_multiple(&s[3], a.block, "columns of x (block)")?;
    let b = Dim::from(a.block);
    Ok(vec![moved(x, Some(vec![s[0].clone(), s[1].mul(&Dim::from(area)), s[2].div_floor(&b), s[3].div_floor(&b)]))])
}

fn block_area(block: usize) -> Result<usize> {
    let area = block.checked_mul(block).filter(|&a| a > 0 && i64::try_from(a).is_ok());
    area.ok_or_else(|| shape_error!("block must be at least 1 and its square below 2^63, found {block}"))
}

pub(super) fn channel_shuffle(a: &ChannelShuffleAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    if a.groups == 0 {
        return Err(shape_error!("groups must be at least 1, found 0"));
    }
    if let Some(shape) = &x.ty.shape {
        let channels = shape.get(1).ok_or_else(|| shape_error!("x must have rank 2 or more, found {}", x.ty))?;
        need_multiple(channels, a.groups, "channels of x (split into groups)")?;
    }
    Ok(vec![moved(x, x.ty.shape.clone())])
}

pub(super) fn reverse_sequence(a: &ReverseSequenceAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, lengths) = (cx.input(0, "x")?, cx.input(1, "lengths")?);
    need_index(lengths, "lengths")?;
    if a.batch_axis.max(a.time_axis) > 1 || a.batch_axis == a.time_axis {
        return Err(shape_error!("batch and time axes must be 0 and 1, found {} and {}", a.batch_axis, a.time_axis));
    }
    if let Some(shape) = &x.ty.shape {
        if shape.len() < 2 {
            return Err(shape_error!("x must have rank 2 or more, found {}", x.ty));
        }
        need_vector(lengths, &shape[a.batch_axis], "lengths")?;
    }
    Ok(vec![moved(x, x.ty.shape.clone())])
}

pub(super) fn trilu(cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    if let Some(k) = cx.optional(1) {
        scalar(k, "k")?;
    }
    match x.ty.rank() {
        Some(r) if r < 2 => Err(shape_error!("x must have rank 2 or more, found {}", x.ty)),
        _ => Ok(vec![moved(x, x.ty.shape.clone())]),
    }
}
