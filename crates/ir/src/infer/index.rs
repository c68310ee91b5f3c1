//! Picking and placing by index, and outputs whose extent only the data tells.

use super::cx::*;
use crate::{Dim, Fact};
use alloc::{format, vec, vec::Vec};
use paring_core::{
    DType,
    op::{AxisAttrs, CompressAttrs, GatherNdAttrs, ScatterAttrs, TopKAttrs, UniqueAttrs},
};

/// Fails where a constant index lies outside `-dim..dim`.
fn check_range(indices: &Fact, dim: &Dim, what: &str) -> Result<()> {
    let (Some(values), Some(d)) = (indices.constant.as_ref().and_then(|c| c.to_i64s()), dim.as_i64()) else {
        return Ok(());
    };
    match values.iter().find(|&&i| i >= d || i < -d) {
        Some(i) => Err(shape_error!("{what} names index {i} on an axis of length {d}")),
        None => Ok(()),
    }
}

pub(super) fn gather(a: &AxisAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, indices) = (cx.input(0, "x")?, cx.input(1, "indices")?);
    need_index(indices, "indices")?;
    let Some(shape) = &x.ty.shape else { return Ok(vec![moved(x, None)]) };
    let axis = axis_of(a.axis, shape.len())?;
    check_range(indices, &shape[axis], "indices")?;
    let Some(picked) = &indices.ty.shape else { return Ok(vec![moved(x, None)]) };
    let out = [&shape[..axis], picked, &shape[axis + 1..]].concat();
    let tracked = gathered(x, indices);
    Ok(vec![with_elements(moved(x, Some(out)), tracked)])
}

fn gathered(x: &Fact, indices: &Fact) -> Option<Vec<Dim>> {
    let (e, picks) = (elements(x)?, elements(indices)?);
    let n = e.len() as i64;
    picks
        .iter()
        .map(|i| {
            let i = i.as_i64()?;
            e.get(usize::try_from(if i < 0 { i.checked_add(n)? } else { i }).ok()?).cloned()
        })
        .collect()
}

/// `indices` of the rank of `x`, and no longer than it beside `axis`.
fn beside(x: &Fact, indices: &Fact, axis: i64) -> Result<()> {
    let Some(xs) = &x.ty.shape else { return Ok(()) };
    let axis = axis_of(axis, xs.len())?;
    check_range(indices, &xs[axis], "indices")?;
    let Some(is) = &indices.ty.shape else { return Ok(()) };
    if xs.len() != is.len() {
        return Err(shape_error!("indices must have rank {} as x has, found {}", xs.len(), indices.ty));
    }
    for (i, (d, n)) in xs.iter().zip(is).enumerate() {
        if let (Some(d), Some(n)) = (d.known(), n.known())
            && i != axis
            && n > d
        {
            return Err(shape_error!("axis {i} of indices must be at most {d}, found {n}"));
        }
    }
    Ok(())
}

pub(super) fn gather_elements(a: &AxisAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, indices) = (cx.input(0, "x")?, cx.input(1, "indices")?);
    need_index(indices, "indices")?;
    beside(x, indices, a.axis)?;
    Ok(vec![moved(x, indices.ty.shape.clone())])
}

/// Splits indices into their leading axes and the length of one tuple.
fn tuples(indices: &Fact) -> Result<Option<(&[Dim], Option<usize>)>> {
    let Some(shape) = &indices.ty.shape else { return Ok(None) };
    let Some((last, outer)) = shape.split_last() else {
        return Err(shape_error!("indices must have rank 1 or more, found a scalar"));
    };
    Ok(Some((outer, last.known())))
}

pub(super) fn gather_nd(a: &GatherNdAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, indices) = (cx.input(0, "x")?, cx.input(1, "indices")?);
    need(indices)?;
    let (Some(xs), Some((outer, Some(k)))) = (&x.ty.shape, tuples(indices)?) else { return Ok(vec![moved(x, None)]) };
    let b = a.batch_dims;
    if b > outer.len() || b.checked_add(k).is_none_or(|n| n > xs.len()) {
        return Err(shape_error!(
            "index tuples of {k} after {b} batch axes do not fit x of {} and indices of {}",
            x.ty,
            indices.ty
        ));
    }
    let mut out = unify_shapes(&xs[..b], &outer[..b], "batch axes of indices")?;
    out.extend(outer[b..].iter().chain(&xs[b + k..]).cloned());
    Ok(vec![moved(x, Some(out))])
}

fn need(indices: &Fact) -> Result<()> {
    need_index(indices, "indices")
}

pub(super) fn scatter_elements(a: &ScatterAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, indices, updates) = (cx.input(0, "x")?, cx.input(1, "indices")?, cx.input(2, "updates")?);
    need(indices)?;
    same_dtype(x, "x", updates, "updates")?;
    beside(x, indices, a.axis)?;
    if let (Some(i), Some(u)) = (&indices.ty.shape, &updates.ty.shape) {
        unify_shapes(i, u, "updates")?;
    }
    Ok(vec![moved(x, x.ty.shape.clone())])
}

pub(super) fn scatter_nd(cx: &mut Cx<'_>) -> Facts {
    let (x, indices, updates) = (cx.input(0, "x")?, cx.input(1, "indices")?, cx.input(2, "updates")?);
    need(indices)?;
    same_dtype(x, "x", updates, "updates")?;
    if let (Some(xs), Some((outer, Some(k)))) = (&x.ty.shape, tuples(indices)?) {
        if k > xs.len() {
            return Err(shape_error!("index tuples of {k} do not fit x of {}", x.ty));
        }
        if let Some(u) = &updates.ty.shape {
            unify_shapes(&[outer, &xs[k..]].concat(), u, "updates")?;
        }
    }
    Ok(vec![moved(x, x.ty.shape.clone())])
}

pub(super) fn one_hot(a: &AxisAttrs, cx: &mut Cx<'_>) -> Facts {
    let (indices, depth, values) = (cx.input(0, "indices")?, cx.input(1, "depth")?, cx.input(2, "values")?);
    need_number(indices, "indices")?;
    need_number(depth, "depth")?;
    need_vector(values, &Dim::Known(2), "values")?;
    let Some(shape) = &indices.ty.shape else { return one(values.ty.dtype, None) };
    let axis = axis_of(a.axis, shape.len() + 1)?;
    let depth = match depth.ty.dtype.is_int() {
        true => scalar(depth, "depth")?,
        // ONNX allows any number type here.
        false => depth.constant.as_ref().and_then(|c| c.to_f64s()?.first().map(|&d| Dim::from_i64(d as i64))),
    };
    let depth = depth.unwrap_or_else(|| cx.fresh());
    need_positive(&depth, "depth")?;
    let mut out = shape.clone();
    out.insert(axis, depth);
    one(values.ty.dtype, Some(out))
}

pub(super) fn top_k(a: &TopKAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, k) = (cx.input(0, "x")?, cx.input(1, "k")?);
    need_number(x, "x")?;
    let k = scalar(k, "k")?;
    if let Some(n) = k.as_ref().and_then(Dim::as_i64).filter(|&n| n < 0) {
        return Err(shape_error!("k must not be negative, found {n}"));
    }
    let out = match &x.ty.shape {
        None => None,
        Some(shape) => {
            let axis = axis_of(a.axis, shape.len())?;
            let k = k.unwrap_or_else(|| cx.fresh());
            if let (Some(n), Some(d)) = (k.known(), shape[axis].known())
                && n > d
            {
                return Err(shape_error!("k must be at most the {d} elements of axis {axis}, found {n}"));
            }
            let mut out = shape.clone();
            out[axis] = k;
            Some(out)
        }
    };
    Ok(vec![moved(x, out.clone()), typed(DType::I64, out)])
}

pub(super) fn unique(a: &UniqueAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let found = cx.fresh();
    let (y, inverse) = match (a.axis, &x.ty.shape) {
        (None, shape) => {
            let all = shape.as_ref().map(|s| product(s));
            (Some(vec![found.clone()]), all.unwrap_or_else(|| cx.fresh()))
        }
        (Some(_), None) => (None, cx.fresh()),
        (Some(axis), Some(shape)) => {
            let axis = axis_of(axis, shape.len())?;
            let mut y = shape.clone();
            let along = core::mem::replace(&mut y[axis], found.clone());
            (Some(y), along)
        }
    };
    let counts = typed(DType::I64, Some(vec![found]));
    Ok(vec![moved(x, y), counts.clone(), typed(DType::I64, Some(vec![inverse])), counts])
}

pub(super) fn non_max_suppression(cx: &mut Cx<'_>) -> Facts {
    let (boxes, scores) = (cx.input(0, "boxes")?, cx.input(1, "scores")?);
    need_float(boxes, "boxes")?;
    same_dtype(boxes, "boxes", scores, "scores")?;
    let (b, s) = (cx.dims_of_rank(boxes, 3, "boxes")?, cx.dims_of_rank(scores, 3, "scores")?);
    unify(&Dim::Known(4), &b[2], "last axis of boxes")?;
    unify(&b[0], &s[0], "batch of boxes, and of scores")?;
    unify(&b[1], &s[2], "number of boxes, and last axis of scores")?;
    if let Some(most) = cx.optional(2) {
        scalar(most, "max_output")?;
    }
    for (i, what) in [(3, "iou"), (4, "score")] {
        if let Some(f) = cx.optional(i) {
            need_float(f, what)?;
        }
    }
    one(DType::I64, Some(vec![cx.fresh(), Dim::Known(3)]))
}

pub(super) fn non_zero(cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let rank = x.ty.rank().map_or_else(|| cx.fresh(), Dim::from);
    one(DType::I64, Some(vec![rank, cx.fresh()]))
}

pub(super) fn compress(a: &CompressAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, condition) = (cx.input(0, "x")?, cx.input(1, "condition")?);
    need_bool(condition, "condition")?;
    let length = cx.dims_of_rank(condition, 1, "condition")?[0].clone();
    let found = cx.fresh();
    let (whole, out) = match (a.axis, &x.ty.shape) {
        (None, shape) => (shape.as_ref().map(|s| product(s)), Some(vec![found])),
        (Some(_), None) => (None, None),
        (Some(axis), Some(shape)) => {
            let axis = axis_of(axis, shape.len())?;
            let mut out = shape.clone();
            let whole = core::mem::replace(&mut out[axis], found);
            (Some(whole), Some(out))
        }
    };
    if let (Some(n), Some(whole)) = (length.known(), whole.and_then(|w| w.known()))
        && n > whole
    {
        return Err(shape_error!("{}", format!("condition must have at most {whole} elements, found {n}")));
    }
    Ok(vec![moved(x, out)])
}
