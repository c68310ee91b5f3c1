//! Tensors made from shapes and numbers.

use super::cx::*;
use crate::{Dim, Fact};
use alloc::{vec, vec::Vec};
use paring_core::{
    DType,
    op::{ConstantOfShapeAttrs, EyeLikeAttrs, ShapeAttrs},
};

pub(super) fn range(cx: &mut Cx<'_>) -> Facts {
    let (start, limit, delta) = (cx.input(0, "start")?, cx.input(1, "limit")?, cx.input(2, "delta")?);
    need_number(start, "start")?;
    same_dtype(start, "start", limit, "limit")?;
    same_dtype(start, "start", delta, "delta")?;
    let dtype = start.ty.dtype;
    if dtype.is_float() {
        let length = match (number(start), number(limit), number(delta)) {
            (Some(s), Some(l), Some(d)) => Dim::from_i64(float_range(s, l, d)?),
            _ => cx.fresh(),
        };
        return one(dtype, Some(vec![length]));
    }
    let (s, l, d) = (scalar(start, "start")?, scalar(limit, "limit")?, scalar(delta, "delta")?);
    let (Some(s), Some(l), Some(d)) = (s, l, d) else { return one(dtype, Some(vec![cx.fresh()])) };
    let length = match (s.as_i64(), l.as_i64(), d.as_i64()) {
        (_, _, Some(0)) => return Err(shape_error!("delta must not be 0")),
        (Some(s), Some(l), Some(d)) => Dim::from_i64(int_range(s, l, d)?),
        (_, _, Some(1)) => {
            let length = l.sub(&s);
            if length.is_nonnegative() { length } else { length.max_of(&Dim::Known(0)) }
        }
        _ => cx.fresh(),
    };
    let tracked = length
        .known()
        .filter(|&n| n <= MAX_ELEMENTS)
        .map(|n| (0..n).map(|i| s.add(&d.mul(&Dim::from(i)))).collect::<Vec<Dim>>());
    Ok(vec![with_elements(typed(dtype, Some(vec![length])), tracked)])
}

fn number(f: &Fact) -> Option<f64> {
    let c = f.constant.as_ref().filter(|c| c.len() == 1)?;
    c.to_f64s()?.first().copied()
}

fn float_range(start: f64, limit: f64, delta: f64) -> Result<i64> {
    if delta == 0.0 || !(start.is_finite() && limit.is_finite() && delta.is_finite()) {
        return Err(shape_error!(
            "start, limit and delta must be finite and delta not 0, found {start}, {limit}, {delta}"
        ));
    }
    let n = libm::ceil((limit - start) / delta).max(0.0);
    if n < 9.0e18 { Ok(n as i64) } else { Err(shape_error!("a range of {n} elements overflows")) }
}

fn int_range(start: i64, limit: i64, delta: i64) -> Result<i64> {
    let (distance, step) = (i128::from(limit) - i128::from(start), i128::from(delta));
    let n = if (distance > 0) == (step > 0) { (distance.abs() + step.abs() - 1) / step.abs() } else { 0 };
    i64::try_from(n).map_err(|_| shape_error!("a range of {n} elements overflows"))
}

pub(super) fn constant_of_shape(a: &ConstantOfShapeAttrs, cx: &mut Cx<'_>) -> Facts {
    let list = list(cx.input(0, "shape")?, "shape")?;
    let shape = match (list.elements, list.len) {
        (Some(e), _) => {
            if let Some(bad) = e.iter().find(|d| d.as_i64().is_some_and(|n| n < 0)) {
                return Err(shape_error!("shape {} has a negative dimension: {bad}", show(&e)));
            }
            Some(e)
        }
        (None, Some(rank)) => Some(cx.fresh_shape(rank)),
        (None, None) => None,
    };
    let count = match shape.as_deref() {
        Some([]) => Some(1),
        Some([n]) => n.known().filter(|&n| n <= MAX_ELEMENTS),
        _ => None,
    };
    let value = (libm::trunc(a.value) == a.value && a.value.abs() < 9.0e15).then_some(Dim::from_i64(a.value as i64));
    let tracked = count.zip(value).map(|(n, v)| vec![v; n]);
    Ok(vec![with_elements(typed(a.dtype, shape), tracked)])
}

pub(super) fn shape_of(a: &ShapeAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let Some(shape) = &x.ty.shape else { return one(DType::I64, Some(vec![cx.fresh()])) };
    let rank = shape.len() as i64;
    let clamp = |i: i64| (if i < 0 { i.saturating_add(rank) } else { i }).clamp(0, rank) as usize;
    let (start, end) = (clamp(a.start), a.end.map_or(shape.len(), clamp));
    let part = if start < end { shape[start..end].to_vec() } else { vec![] };
    Ok(vec![with_elements(typed(DType::I64, Some(vec![Dim::from(part.len())])), Some(part))])
}

pub(super) fn size(cx: &mut Cx<'_>) -> Facts {
    let shape = cx.input(0, "x")?.ty.shape.as_ref();
    Ok(vec![with_elements(typed(DType::I64, Some(vec![])), shape.map(|s| vec![product(s)]))])
}

pub(super) fn eye_like(a: &EyeLikeAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let shape = cx.dims_of_rank(x, 2, "x")?;
    one(a.dtype, Some(shape))
}
