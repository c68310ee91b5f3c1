//! The same elements under another shape or order.

use super::cx::*;
use crate::{Dim, Fact};
use alloc::{vec, vec::Vec};
use paring_core::op::{AxesAttrs, AxisAttrs, ReshapeAttrs, TransposeAttrs};

/// The only output: the elements of `x` in order, in another shape.
fn view(x: &Fact, shape: Option<Vec<Dim>>) -> Facts {
    Ok(vec![with_elements(moved(x, shape), elements(x))])
}

pub(super) fn identity(cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let mut out = with_elements(typed(x.ty.dtype, x.ty.shape.clone()), elements(x));
    out.ty.quant = x.ty.quant.clone();
    Ok(vec![out])
}

pub(super) fn reshape(a: &ReshapeAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, shape) = (cx.input(0, "x")?, cx.input(1, "shape")?);
    let target = list(shape, "shape")?;
    let out = match (target.elements, target.len) {
        (Some(e), _) => Some(reshaped(a, cx, x, &e)?),
        (None, Some(rank)) => Some(cx.fresh_shape(rank)),
        (None, None) => None,
    };
    view(x, out)
}

fn reshaped(a: &ReshapeAttrs, cx: &mut Cx<'_>, x: &Fact, target: &[Dim]) -> Result<Vec<Dim>> {
    let mut out = Vec::with_capacity(target.len());
    let mut inferred = None;
    for (i, d) in target.iter().enumerate() {
        out.push(match d.as_i64() {
            Some(0) if !a.allow_zero => match &x.ty.shape {
                Some(s) => s.get(i).cloned().ok_or_else(|| {
                    shape_error!("shape {} copies axis {i}, which {} does not have", show(target), x.ty)
                })?,
                None => cx.fresh(),
            },
            Some(-1) => {
                if inferred.replace(i).is_some() {
                    return Err(shape_error!("shape {} leaves two axes open", show(target)));
                }
                Dim::Known(1)
            }
            Some(n) if n < 0 => return Err(shape_error!("shape {} has a negative dimension", show(target))),
            _ => d.clone(),
        });
    }
    if a.allow_zero && inferred.is_some() && target.iter().any(|d| d.is(0)) {
        return Err(shape_error!("shape {} leaves an axis open beside a dimension of 0", show(target)));
    }
    let Some(from) = &x.ty.shape else {
        if let Some(i) = inferred {
            out[i] = cx.fresh();
        }
        return Ok(out);
    };
    let (rest, divisor) = cancel(from, &out);
    let (rest, divisor) = (product(&rest), product(&divisor));
    let misfit = || shape_error!("{} cannot be reshaped to {}: the numbers of elements differ", x.ty, show(target));
    match (inferred, rest.as_i64(), divisor.as_i64()) {
        (Some(_), Some(_), Some(0)) => return Err(misfit()),
        (Some(_), Some(n), Some(d)) if n % d != 0 => return Err(misfit()),
        (Some(i), ..) => out[i] = rest.div_floor(&divisor),
        (None, Some(n), Some(d)) if n != d && !rest.is_overflow() => return Err(misfit()),
        (None, ..) => {}
    }
    Ok(out)
}

/// Both lists without the dimensions that they share; those that are 0 or 1 stay or go without effect.
fn cancel(a: &[Dim], b: &[Dim]) -> (Vec<Dim>, Vec<Dim>) {
    let mut left = a.to_vec();
    let mut right = Vec::new();
    for d in b {
        match left.iter().position(|l| l == d) {
            Some(i) => {
                left.swap_remove(i);
            }
            None => right.push(d.clone()),
        }
    }
    (left, right)
}

/// The axes of a squeeze: of the attribute or of input 1. `Err(len)` where only their number may be known.
fn named_axes(a: &AxesAttrs, cx: &Cx<'_>) -> Result<Option<core::result::Result<Vec<i64>, Option<usize>>>> {
    Ok(match (&a.axes, cx.optional(1)) {
        (Some(axes), _) => Some(Ok(axes.clone())),
        (None, None) => None,
        (None, Some(f)) => {
            let list = list(f, "axes")?;
            Some(list.numbers().ok_or(list.len))
        }
    })
}

pub(super) fn squeeze(a: &AxesAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let named = named_axes(a, cx)?;
    let Some(shape) = &x.ty.shape else { return view(x, None) };
    let axes = match named {
        Some(Ok(axes)) => axes_of(&axes, shape.len())?,
        Some(Err(Some(n))) if n <= shape.len() => return view(x, Some(cx.fresh_shape(shape.len() - n))),
        Some(Err(Some(n))) => return Err(shape_error!("{n} axes to remove, but x is {}", x.ty)),
        Some(Err(None)) => return view(x, None),
        // Which axes go is known only when all dimensions are.
        None if shape.iter().any(|d| d.as_i64().is_none()) => return view(x, None),
        None => (0..shape.len()).filter(|&i| shape[i].is(1)).collect(),
    };
    for &i in &axes {
        unify(&Dim::Known(1), &shape[i], &alloc::format!("axis {i} of x, which is to be removed"))?;
    }
    view(x, Some(shape.iter().enumerate().filter(|(i, _)| !axes.contains(i)).map(|(_, d)| d.clone()).collect()))
}

pub(super) fn unsqueeze(a: &AxesAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let Some(named) = named_axes(a, cx)? else {
        return Err(crate::InferError::MissingInput { index: 1, what: "axes" });
    };
    let Some(shape) = &x.ty.shape else { return view(x, None) };
    let axes = match named {
        Ok(axes) if axes.len() <= MAX_ELEMENTS => axes_of(&axes, shape.len() + axes.len())?,
        Ok(axes) => return Err(shape_error!("{} axes to insert, more than {MAX_ELEMENTS}", axes.len())),
        Err(len) => {
            let rank = len.map(|n| shape.len() + n);
            return view(x, rank.map(|r| cx.fresh_shape(r)));
        }
    };
    let mut out = shape.clone();
    for &i in &axes {
        out.insert(i, Dim::Known(1));
    }
    view(x, Some(out))
}

pub(super) fn flatten(a: &AxisAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let Some(shape) = &x.ty.shape else { return view(x, Some(cx.fresh_shape(2))) };
    // The axis may be one past the last.
    let axis = if a.axis == shape.len() as i64 { shape.len() } else { axis_of(a.axis, shape.len())? };
    view(x, Some(vec![product(&shape[..axis]), product(&shape[axis..])]))
}

pub(super) fn transpose(a: &TransposeAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let shape = match (&x.ty.shape, &a.perm) {
        (Some(s), _) => s.clone(),
        (None, Some(perm)) if perm.len() <= MAX_ELEMENTS => cx.fresh_shape(perm.len()),
        (None, _) => return view(x, None),
    };
    let Some(perm) = &a.perm else {
        return Ok(vec![with_elements(moved(x, Some(shape.iter().rev().cloned().collect())), elements(x))]);
    };
    let mut seen = vec![false; shape.len()];
    let whole = perm.len() == shape.len()
        && perm.iter().all(|&p| seen.get_mut(p).is_some_and(|s| !core::mem::replace(s, true)));
    if !whole {
        return Err(shape_error!("perm {perm:?} is not a permutation of the {} axes of x", shape.len()));
    }
    Ok(vec![with_elements(moved(x, Some(perm.iter().map(|&p| shape[p].clone()).collect())), elements(x))])
}
