//! Interpolation.

use super::cx::*;
use crate::{Dim, Fact};
use alloc::{format, vec, vec::Vec};
use paring_core::{
    DType,
    op::{AspectPolicy, ResizeAttrs},
};

pub(super) fn resize(a: &ResizeAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    need_number(x, "x")?;
    let given = |i: usize| cx.optional(i).filter(|f| !f.ty.shape.as_ref().is_some_and(|s| s.iter().any(|d| d.is(0))));
    let (scales, sizes) = (given(2), given(3));
    let Some(shape) = &x.ty.shape else {
        check_operands(scales, sizes)?;
        return one(x.ty.dtype, None);
    };
    check_operands(scales, sizes)?;
    let axes = match &a.axes {
        Some(axes) => {
            axes_of(axes, shape.len())?;
            axes.iter().map(|&a| axis_of(a, shape.len())).collect::<Result<Vec<usize>>>()?
        }
        None => (0..shape.len()).collect(),
    };
    let targets = match (scales, sizes) {
        (Some(scales), _) => by_scales(cx, scales, shape, &axes)?,
        (None, Some(sizes)) => by_sizes(a, cx, sizes, shape, &axes)?,
        (None, None) => return Err(shape_error!("neither scales nor sizes are given")),
    };
    let mut out = shape.clone();
    for (&axis, target) in axes.iter().zip(targets) {
        if target.as_i64().is_some_and(|t| t < 1) && !shape[axis].is(0) {
            return Err(shape_error!(
                "axis {axis} of {} would be resized to {target}: the output would be empty",
                x.ty
            ));
        }
        out[axis] = target;
    }
    one(x.ty.dtype, Some(out))
}

fn check_operands(scales: Option<&Fact>, sizes: Option<&Fact>) -> Result<()> {
    if scales.is_some() && sizes.is_some() {
        return Err(shape_error!("both scales and sizes are given"));
    }
    if let Some(s) = scales
        && s.ty.dtype != DType::F32
    {
        return Err(dtype_error!("scales must be f32, found {}", s.ty));
    }
    Ok(())
}

fn need_len(f: &Fact, axes: &[usize], what: &str) -> Result<()> {
    need_vector(f, &Dim::from(axes.len()), &format!("{what} (one entry per resized axis)"))
}

fn by_scales(cx: &mut Cx<'_>, scales: &Fact, shape: &[Dim], axes: &[usize]) -> Result<Vec<Dim>> {
    need_len(scales, axes, "scales")?;
    let values = scales.constant.as_ref().and_then(|c| c.elements::<f32>());
    let Some(values) = values.filter(|v| v.len() == axes.len()) else { return Ok(cx.fresh_shape(axes.len())) };
    axes.iter().zip(values.iter()).map(|(&axis, &s)| scaled(cx, &shape[axis], s)).collect()
}

/// `floor(dim * scale)`.
fn scaled(cx: &mut Cx<'_>, dim: &Dim, scale: f32) -> Result<Dim> {
    if !scale.is_finite() || scale <= 0.0 {
        return Err(shape_error!("scales must be positive and finite, found {scale}"));
    }
    if let Some(d) = dim.known() {
        // In single precision, as the scale is.
        let out = libm::floorf(d as f32 * scale);
        return if out < 9.0e18 {
            Ok(Dim::from_i64(out as i64))
        } else {
            Err(shape_error!("a dimension of {d} scaled by {scale} overflows"))
        };
    }
    let whole = |s: f32| (1.0..1e6).contains(&s) && libm::floorf(s) == s;
    Ok(if whole(scale) {
        dim.mul(&Dim::from(scale as usize))
    } else if whole(1.0 / scale) {
        dim.div_floor(&Dim::from((1.0 / scale) as usize))
    } else {
        cx.fresh()
    })
}

fn by_sizes(a: &ResizeAttrs, cx: &mut Cx<'_>, sizes: &Fact, shape: &[Dim], axes: &[usize]) -> Result<Vec<Dim>> {
    let list = list(sizes, "sizes")?;
    need_len(sizes, axes, "sizes")?;
    let Some(sizes) = list.elements.filter(|e| e.len() == axes.len()) else { return Ok(cx.fresh_shape(axes.len())) };
    if a.aspect == AspectPolicy::Stretch {
        return Ok(sizes);
    }
    let known: Option<Vec<(usize, usize)>> =
        axes.iter().zip(&sizes).map(|(&axis, s)| Some((shape[axis].known()?, s.known()?))).collect();
    let Some(known) = known else { return Ok(cx.fresh_shape(axes.len())) };
    if known.iter().any(|&(d, _)| d == 0) {
        return Err(shape_error!("an empty axis cannot be resized"));
    }
    let ratios = known.iter().map(|&(d, s)| s as f64 / d as f64);
    let scale = match a.aspect {
        AspectPolicy::NotLarger => ratios.fold(f64::INFINITY, f64::min),
        _ => ratios.fold(0.0, f64::max),
    };
    known
        .iter()
        .map(|&(d, _)| {
            let out = libm::floor(d as f64 * scale + 0.5);
            if out < 9.0e18 {
                Ok(Dim::from_i64(out as i64))
            } else {
                Err(shape_error!("a dimension of {d} scaled by {scale} overflows"))
            }
        })
        .collect()
}

pub(super) fn grid_sample(cx: &mut Cx<'_>) -> Facts {
    let (x, grid) = (cx.input(0, "x")?, cx.input(1, "grid")?);
    need_float(x, "x")?;
    same_dtype(x, "x", grid, "grid")?;
    let Some(rank) = x.ty.rank().or(grid.ty.rank()) else { return one(x.ty.dtype, None) };
    if !matches!(rank, 4 | 5) {
        return Err(shape_error!("x must have rank 4 or 5, found {}", x.ty));
    }
    let (xs, gs) = (cx.dims_of_rank(x, rank, "x")?, cx.dims_of_rank(grid, rank, "grid")?);
    let n = unify(&xs[0], &gs[0], "batch of x, and of grid")?;
    unify(&Dim::from(rank - 2), &gs[rank - 1], "last axis of grid")?;
    let mut out = vec![n, xs[1].clone()];
    out.extend(gs[1..rank - 1].iter().cloned());
    one(x.ty.dtype, Some(out))
}
