//! Functions of single elements.

use super::cx::*;
use crate::{Dim, Fact};
use alloc::vec::Vec;
use paring_core::{
    DType,
    op::{Binary, CastAttrs, QuantizeAttrs, Unary},
};

pub(super) fn unary(f: Unary, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    match f {
        Unary::Not => need_bool(x, "x")?,
        Unary::BitNot => need_int(x, "x")?,
        Unary::Abs | Unary::Neg | Unary::Sign => need_number(x, "x")?,
        _ => need_float(x, "x")?,
    }
    let dtype = match f {
        Unary::IsNan | Unary::IsInf { .. } => DType::Bool,
        _ => x.ty.dtype,
    };
    let tracked = elements(x).and_then(|e| {
        e.iter()
            .map(|d| match f {
                Unary::Neg => Some(Dim::Known(0).sub(d)),
                Unary::Abs if d.is_nonnegative() => Some(d.clone()),
                Unary::Not => Some(Dim::Known(1 - d.as_i64()?.clamp(0, 1))),
                _ => None,
            })
            .collect()
    });
    Ok([with_elements(typed(dtype, x.ty.shape.clone()), tracked)].into())
}

pub(super) fn activation(cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    need_number(x, "x")?;
    one(x.ty.dtype, x.ty.shape.clone())
}

pub(super) fn binary(f: Binary, cx: &mut Cx<'_>) -> Facts {
    use Binary::*;
    let (a, b) = (cx.input(0, "a")?, cx.input(1, "b")?);
    same_dtype(a, "a", b, "b")?;
    match f {
        And | Or | Xor => need_bool(a, "a")?,
        BitAnd | BitOr | BitXor | ShiftLeft | ShiftRight => need_int(a, "a")?,
        Equal => {}
        _ => need_number(a, "a")?,
    }
    let dtype = if f.is_comparison() { DType::Bool } else { a.ty.dtype };
    let shape = broadcast_facts(a, b)?;
    Ok([with_elements(typed(dtype, shape), binary_elements(f, a, b))].into())
}

/// Elements of shape arithmetic, where every one can be told.
fn binary_elements(f: Binary, a: &Fact, b: &Fact) -> Option<Vec<Dim>> {
    zip_elements(&elements(a)?, &elements(b)?, |x, y| match f {
        Binary::Add => Some(x.add(y)),
        Binary::Sub => Some(x.sub(y)),
        Binary::Mul => Some(x.mul(y)),
        Binary::Div => divide(x, y),
        Binary::Mod => Some(Dim::Known(floor_mod(x.as_i64()?, y.as_i64()?)?)),
        Binary::Fmod => Some(Dim::Known(x.as_i64()?.checked_rem(y.as_i64()?)?)),
        Binary::Min => Some(x.min_of(y)),
        Binary::Max => Some(x.max_of(y)),
        Binary::Equal => equal(x, y),
        Binary::Greater => compare(x, y, |x, y| x > y),
        Binary::GreaterOrEqual => compare(x, y, |x, y| x >= y),
        Binary::Less => compare(x, y, |x, y| x < y),
        Binary::LessOrEqual => compare(x, y, |x, y| x <= y),
        Binary::And => compare(x, y, |x, y| x != 0 && y != 0),
        Binary::Or => compare(x, y, |x, y| x != 0 || y != 0),
        _ => None,
    })
}

fn zip_elements(a: &[Dim], b: &[Dim], f: impl Fn(&Dim, &Dim) -> Option<Dim>) -> Option<Vec<Dim>> {
    let n = match (a.len(), b.len()) {
        (m, n) if m == n => n,
        (1, n) => n,
        (m, 1) => m,
        _ => return None,
    };
    let at = |s: &[Dim], i: usize| if s.len() == 1 { s[0].clone() } else { s[i].clone() };
    (0..n).map(|i| f(&at(a, i), &at(b, i))).collect()
}

/// Integer division truncates, which is the floor only where neither side is negative.
fn divide(x: &Dim, y: &Dim) -> Option<Dim> {
    match (x.as_i64(), y.as_i64()) {
        (Some(x), Some(y)) => x.checked_div(y).map(Dim::Known),
        _ if y.is(0) => None,
        _ if x.is_nonnegative() && y.is_nonnegative() => Some(x.div_floor(y)),
        _ => None,
    }
}

/// Remainder with the sign of the divisor.
fn floor_mod(x: i64, y: i64) -> Option<i64> {
    let r = x.checked_rem(y)?;
    Some(if r != 0 && (r < 0) != (y < 0) { r + y } else { r })
}

fn equal(x: &Dim, y: &Dim) -> Option<Dim> {
    let negative = |d: &Dim| d.as_i64().is_some_and(|n| n < 0);
    match (x.as_i64(), y.as_i64()) {
        (Some(x), Some(y)) => Some(Dim::Known((x == y) as i64)),
        _ if x == y => Some(Dim::Known(1)),
        _ if negative(x) && y.is_nonnegative() || negative(y) && x.is_nonnegative() => Some(Dim::Known(0)),
        _ => None,
    }
}

fn compare(x: &Dim, y: &Dim, f: impl Fn(i64, i64) -> bool) -> Option<Dim> {
    Some(Dim::Known(f(x.as_i64()?, y.as_i64()?) as i64))
}

pub(super) fn select(cx: &mut Cx<'_>) -> Facts {
    let (c, x, y) = (cx.input(0, "condition")?, cx.input(1, "x")?, cx.input(2, "y")?);
    need_bool(c, "condition")?;
    same_dtype(x, "x", y, "y")?;
    let shape = match (broadcast_facts(x, y)?, &c.ty.shape) {
        (Some(xy), Some(c)) => Some(broadcast(c, &xy)?),
        _ => None,
    };
    let out = typed(x.ty.dtype, shape);
    let tracked = select_elements(c, x, y, out.ty.known_shape());
    Ok([with_elements(out, tracked)].into())
}

fn select_elements(c: &Fact, x: &Fact, y: &Fact, shape: Option<Vec<usize>>) -> Option<Vec<Dim>> {
    let n = match shape?.as_slice() {
        [] => 1,
        [n] if *n <= MAX_ELEMENTS => *n,
        _ => return None,
    };
    let (c, x, y) = (elements(c)?, elements(x)?, elements(y)?);
    let at = |s: &[Dim], i: usize| if s.len() == 1 { s.first().cloned() } else { s.get(i).cloned() };
    (0..n).map(|i| if at(&c, i)?.as_i64()? != 0 { at(&x, i) } else { at(&y, i) }).collect()
}

pub(super) fn cast(a: &CastAttrs, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let keeps = match a.to {
        DType::Bool => x.ty.dtype == DType::Bool,
        _ => true,
    };
    let tracked = if keeps { elements(x) } else { None };
    Ok([with_elements(typed(a.to, x.ty.shape.clone()), tracked)].into())
}

pub(super) fn quantize(a: &QuantizeAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, scale) = (cx.input(0, "x")?, cx.input(1, "scale")?);
    if !x.ty.dtype.is_float() && x.ty.dtype != DType::I32 {
        return Err(dtype_error!("x must have a floating-point type or i32, found {}", x.ty.dtype));
    }
    if !a.to.is_int() {
        return Err(dtype_error!("values are quantised to an integer type, found {}", a.to));
    }
    if let Some(zero) = cx.optional(2)
        && zero.ty.dtype != a.to
    {
        return Err(dtype_error!("zero_point must be {}, found {}", a.to, zero.ty.dtype));
    }
    quantised_shape(a, cx, x, scale)?;
    one(a.to, x.ty.shape.clone())
}

pub(super) fn dequantize(a: &QuantizeAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, scale) = (cx.input(0, "x")?, cx.input(1, "scale")?);
    if x.ty.dtype != DType::Sign {
        need_int(x, "x")?;
    }
    if !a.to.is_float() {
        return Err(dtype_error!("values are dequantised to a floating-point type, found {}", a.to));
    }
    if let Some(zero) = cx.optional(2) {
        same_dtype(x, "x", zero, "zero_point")?;
    }
    quantised_shape(a, cx, x, scale)?;
    one(a.to, x.ty.shape.clone())
}

pub(super) fn dynamic_quantize(cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    if x.ty.dtype != DType::F32 {
        return Err(dtype_error!("x must be f32, found {}", x.ty.dtype));
    }
    let one_number = || Some(Vec::new());
    Ok(Vec::from([
        typed(DType::U8, x.ty.shape.clone()),
        typed(DType::F32, one_number()),
        typed(DType::U8, one_number()),
    ]))
}

/// Scale and zero point are one number, or one per index of the axis; scales are positive.
fn quantised_shape(a: &QuantizeAttrs, cx: &Cx<'_>, x: &Fact, scale: &Fact) -> Result<()> {
    need_float(scale, "scale")?;
    for (f, what) in [(Some(scale), "scale"), (cx.optional(2), "zero_point")] {
        let Some(f) = f else { continue };
        match (f.ty.shape.as_deref(), &x.ty.shape) {
            (None | Some([]), _) => {}
            (Some([n]), _) if n.is(1) => {}
            (Some([_]), Some(shape)) => need_vector(f, &shape[axis_of(a.axis, shape.len())?], what)?,
            (Some([_]), None) => {}
            (Some(_), _) => return Err(shape_error!("{what} must be one number or a vector, found {}", f.ty)),
        }
    }
    if let Some(values) = scale.constant.as_ref().and_then(|c| c.to_f64s())
        && let Some(bad) = values.iter().find(|v| !v.is_finite() || **v <= 0.0)
    {
        return Err(shape_error!("scales must be positive and finite, found {bad}"));
    }
    Ok(())
}
