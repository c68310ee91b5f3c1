//! Normalisation, softmax and reductions.

use super::cx::*;
use crate::{Dim, Fact};
use alloc::{format, vec, vec::Vec};
use paring_core::{
    DType,
    op::{
        ArgReduceAttrs, GroupNormAttrs, LayerNormAttrs, LpNormAttrs, LrnAttrs, ReduceAttrs, ReduceKind, SoftmaxAttrs,
    },
};

/// `x` of rank 2 or more, and vectors with one entry per channel.
fn per_channel(cx: &Cx<'_>, vectors: &[&'static str]) -> Facts {
    let x = cx.input(0, "x")?;
    need_float(x, "x")?;
    for (i, &what) in vectors.iter().enumerate() {
        need_float(cx.input(i + 1, what)?, what)?;
    }
    if let Some(shape) = &x.ty.shape {
        let channels = shape.get(1).ok_or_else(|| shape_error!("x must have rank 2 or more, found {}", x.ty))?;
        for (i, &what) in vectors.iter().enumerate() {
            need_vector(cx.input(i + 1, what)?, channels, what)?;
        }
    }
    one(x.ty.dtype, x.ty.shape.clone())
}

pub(super) fn batch_norm(cx: &mut Cx<'_>) -> Facts {
    per_channel(cx, &["scale", "bias", "mean", "var"])
}

pub(super) fn instance_norm(cx: &mut Cx<'_>) -> Facts {
    per_channel(cx, &["scale", "bias"])
}

pub(super) fn group_norm(a: &GroupNormAttrs, cx: &mut Cx<'_>) -> Facts {
    let out = per_channel(cx, &["scale", "bias"])?;
    match &out[0].ty.shape {
        Some(shape) => need_multiple(&shape[1], a.groups, "channels of x (split into groups)")?,
        None if a.groups == 0 => return Err(shape_error!("groups must be at least 1, found 0")),
        None => {}
    }
    Ok(out)
}

pub(super) fn layer_norm(a: &LayerNormAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    need_float(x, "x")?;
    let statistics_dtype = if matches!(x.ty.dtype, DType::F16 | DType::BF16) { DType::F32 } else { x.ty.dtype };
    let mut statistics = None;
    if let Some(shape) = &x.ty.shape {
        let axis = axis_of(a.axis, shape.len())?;
        for (i, what) in [(1, "scale"), (2, "bias")] {
            let Some(f) = cx.optional(i) else { continue };
            need_float(f, what)?;
            broadcasts_to(f, shape, what)?;
        }
        statistics =
            Some(shape.iter().enumerate().map(|(i, d)| if i < axis { d.clone() } else { Dim::Known(1) }).collect());
    }
    let statistics = typed(statistics_dtype, statistics);
    Ok(vec![typed(x.ty.dtype, x.ty.shape.clone()), statistics.clone(), statistics])
}

/// An output like `x`, which has `axis`.
fn along_axis(cx: &Cx<'_>, axis: i64) -> Facts {
    let x = cx.input(0, "x")?;
    need_float(x, "x")?;
    if let Some(rank) = x.ty.rank() {
        axis_of(axis, rank)?;
    }
    one(x.ty.dtype, x.ty.shape.clone())
}

pub(super) fn lrn(a: &LrnAttrs, cx: &mut Cx<'_>) -> Facts {
    if a.size == 0 {
        return Err(shape_error!("size must be at least 1, found 0"));
    }
    per_channel(cx, &[])
}

pub(super) fn lp_norm(a: &LpNormAttrs, cx: &mut Cx<'_>) -> Facts {
    if !matches!(a.p, 1 | 2) {
        return Err(shape_error!("p must be 1 or 2, found {}", a.p));
    }
    along_axis(cx, a.axis)
}

pub(super) fn softmax(a: &SoftmaxAttrs, cx: &mut Cx<'_>) -> Facts {
    along_axis(cx, a.axis)
}

/// The axes of a reduction.
enum Axes {
    These(Vec<i64>),
    All,
    None,
    /// As many, of unknown place.
    Count(Option<usize>),
}

fn reduced_axes(a: &ReduceAttrs, cx: &Cx<'_>) -> Result<Axes> {
    let named = match (&a.axes, cx.optional(1)) {
        (Some(axes), _) => Some(axes.clone()),
        (None, None) => None,
        (None, Some(operand)) => {
            let list = list(operand, "axes")?;
            match (list.numbers(), list.len) {
                (Some(n), _) => Some(n),
                (None, Some(0)) => Some(vec![]),
                (None, len) => return Ok(Axes::Count(len)),
            }
        }
    };
    Ok(match named {
        Some(axes) if !axes.is_empty() => Axes::These(axes),
        _ if a.noop_if_empty => Axes::None,
        _ => Axes::All,
    })
}

pub(super) fn reduce(a: &ReduceAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    match a.kind {
        // ONNX lets booleans through the two that are `any` and `all`.
        ReduceKind::Max | ReduceKind::Min if x.ty.dtype == DType::Bool => {}
        _ => need_number(x, "x")?,
    }
    let Some(shape) = &x.ty.shape else { return one(x.ty.dtype, None) };
    let axes = match reduced_axes(a, cx)? {
        Axes::These(axes) => axes_of(&axes, shape.len())?,
        Axes::All => (0..shape.len()).collect(),
        Axes::None => vec![],
        Axes::Count(Some(n)) if n > shape.len() => {
            return Err(shape_error!("{n} axes to reduce, but x is {}", x.ty));
        }
        Axes::Count(_) if a.keep_dims => return one(x.ty.dtype, Some(cx.fresh_shape(shape.len()))),
        Axes::Count(Some(n)) => return one(x.ty.dtype, Some(cx.fresh_shape(shape.len() - n))),
        Axes::Count(None) => return one(x.ty.dtype, None),
    };
    let out = typed(x.ty.dtype, Some(without(shape, &axes, a.keep_dims)));
    let tracked = match axes.as_slice() {
        [] if matches!(a.kind, ReduceKind::Sum | ReduceKind::Prod | ReduceKind::Min | ReduceKind::Max) => elements(x),
        [0] if shape.len() == 1 => reduce_elements(a.kind, x),
        _ => None,
    };
    Ok(vec![with_elements(out, tracked)])
}

fn reduce_elements(kind: ReduceKind, x: &Fact) -> Option<Vec<Dim>> {
    let e = elements(x)?;
    let (first, rest) = e.split_first()?;
    let join: fn(&Dim, &Dim) -> Dim = match kind {
        ReduceKind::Sum => Dim::add,
        ReduceKind::Prod => Dim::mul,
        ReduceKind::Min => Dim::min_of,
        ReduceKind::Max => Dim::max_of,
        _ => return None,
    };
    Some(vec![rest.iter().fold(first.clone(), |a, b| join(&a, b))])
}

/// `shape` with axes removed, or made 1.
fn without(shape: &[Dim], axes: &[usize], keep: bool) -> Vec<Dim> {
    let kept = shape.iter().enumerate().filter(|(i, _)| keep || !axes.contains(i));
    kept.map(|(i, d)| if axes.contains(&i) { Dim::Known(1) } else { d.clone() }).collect()
}

pub(super) fn arg_reduce(a: &ArgReduceAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    need_number(x, "x")?;
    let Some(shape) = &x.ty.shape else { return one(DType::I64, None) };
    let axis = axis_of(a.axis, shape.len())?;
    need_positive(&shape[axis], &format!("axis {axis} of x"))?;
    one(DType::I64, Some(without(shape, &[axis], a.keep_dims)))
}

pub(super) fn cum_sum(cx: &mut Cx<'_>) -> Facts {
    let (x, axis) = (cx.input(0, "x")?, cx.input(1, "axis")?);
    need_number(x, "x")?;
    let axis = scalar(axis, "axis")?;
    if let (Some(rank), Some(axis)) = (x.ty.rank(), axis.and_then(|a| a.as_i64())) {
        axis_of(axis, rank)?;
    }
    one(x.ty.dtype, x.ty.shape.clone())
}
