//! Functions of single elements, broadcast, and conversions of the element type.

use crate::io::{Built, KernelResult, Slot, View, built, ensure};
use crate::scalar::{activation, activation_int, binary, binary_int, unary, unary_int};
use crate::walk::{Walk, around};
use alloc::format;
use paring_core::{
    DType,
    op::{Act, Binary, CastAttrs, QuantizeAttrs, Unary},
};
use paring_kernel::Problem;

/// Input 0 and output 0 of equal shape.
fn one_to_one(p: &Problem) -> KernelResult<(Slot, Slot)> {
    let (x, y) = (Slot::input(p, 0)?, Slot::output(p, 0)?);
    y.expect_shape("the output", &x.shape)?;
    Ok((x, y))
}

/// Whether results of these types are computed as floating-point numbers; mixing is an error.
fn float_pair(x: &Slot, y: &Slot) -> KernelResult<bool> {
    let float = x.dtype.is_float();
    ensure(float && y.dtype.is_float() || !float && x.dtype == y.dtype, || {
        format!("input is {}, output {}", x.dtype, y.dtype)
    })?;
    Ok(float)
}

/// `Unary`.
pub(crate) fn unary_op(p: &Problem, u: Unary) -> KernelResult<Built> {
    let (x, y) = one_to_one(p)?;
    match u {
        Unary::IsNan | Unary::IsInf { .. } => {
            x.expect_float("the input")?;
            y.expect_dtype("the output", DType::Bool)?;
        }
        Unary::Not => x.expect_dtype("the input", DType::Bool)?,
        Unary::BitNot => ensure(x.dtype.is_int(), || format!("BitNot is not defined on {}", x.dtype))?,
        _ => {
            float_pair(&x, &y)?;
        }
    }
    if x.dtype.is_float() {
        return built(0, move |io| {
            let xv = x.view(io);
            let mut out = y.target(io);
            (0..y.len).for_each(|i| out.put_f(i, unary(u, xv.f(i))));
            Ok(())
        });
    }
    unary_int(u, 0)?;
    built(0, move |io| {
        let xv = x.view(io);
        let mut out = y.target(io);
        for i in 0..y.len {
            out.put_int(i, unary_int(u, xv.int(i))?);
        }
        Ok(())
    })
}

/// `Activation`.
pub(crate) fn activation_op(p: &Problem, a: Act) -> KernelResult<Built> {
    let (x, y) = one_to_one(p)?;
    if float_pair(&x, &y)? {
        return built(0, move |io| {
            let xv = x.view(io);
            let mut out = y.target(io);
            (0..y.len).for_each(|i| out.put_f(i, activation(a, xv.f(i))));
            Ok(())
        });
    }
    activation_int(a, 0)?;
    built(0, move |io| {
        let xv = x.view(io);
        let mut out = y.target(io);
        for i in 0..y.len {
            out.put_int(i, activation_int(a, xv.int(i))?);
        }
        Ok(())
    })
}

/// `Binary`.
pub(crate) fn binary_op(p: &Problem, b: Binary) -> KernelResult<Built> {
    let (x, z, y) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::output(p, 0)?);
    let (xw, zw) = (Walk::broadcast(&x.shape, &y.shape)?, Walk::broadcast(&z.shape, &y.shape)?);
    let shift = matches!(b, Binary::ShiftLeft | Binary::ShiftRight);
    ensure(x.dtype == z.dtype || b == Binary::Pow || shift, || format!("operands are {} and {}", x.dtype, z.dtype))?;
    if b.is_comparison() {
        y.expect_dtype("the output", DType::Bool)?;
    } else {
        float_pair(&x, &y)?;
    }
    let logical = matches!(b, Binary::And | Binary::Or | Binary::Xor);
    let comparable = b.is_comparison() || logical || matches!(b, Binary::BitAnd | Binary::BitOr | Binary::BitXor);
    ensure(!logical || x.dtype == DType::Bool, || format!("{b:?} is not defined on {}", x.dtype))?;
    ensure(x.dtype != DType::Bool || comparable, || format!("{b:?} is not defined on bool"))?;
    if x.dtype.is_float() || z.dtype.is_float() {
        binary(b, 1.0, 1.0)?;
        return built(0, move |io| {
            let (xv, zv) = (x.view(io), z.view(io));
            let mut out = y.target(io);
            for i in 0..y.len {
                out.put_f(i, binary(b, xv.f(xw.at(i)), zv.f(zw.at(i)))?);
            }
            Ok(())
        });
    }
    let bits = x.dtype.bits();
    built(0, move |io| {
        let (xv, zv) = (x.view(io), z.view(io));
        let mut out = y.target(io);
        for i in 0..y.len {
            out.put_int(i, binary_int(b, xv.int(xw.at(i)), zv.int(zw.at(i)), bits)?);
        }
        Ok(())
    })
}

/// `Where`.
pub(crate) fn select(p: &Problem) -> KernelResult<Built> {
    let (c, a, b, y) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::input(p, 2)?, Slot::output(p, 0)?);
    c.expect_dtype("the condition", DType::Bool)?;
    a.expect_dtype("the first choice", y.dtype)?;
    b.expect_dtype("the second choice", y.dtype)?;
    let walk = |s: &Slot| Walk::broadcast(&s.shape, &y.shape);
    let (cw, aw, bw, size) = (walk(&c)?, walk(&a)?, walk(&b)?, y.size());
    built(0, move |io| {
        let (cb, ab, bb) = (c.bytes(io), a.bytes(io), b.bytes(io));
        let out = y.target_bytes(io);
        for (i, to) in out.chunks_exact_mut(size).enumerate() {
            let from = if cb[cw.at(i)] != 0 { &ab[aw.at(i) * size..] } else { &bb[bw.at(i) * size..] };
            to.copy_from_slice(&from[..size]);
        }
        Ok(())
    })
}

/// `Cast`.
pub(crate) fn cast(p: &Problem, _: &CastAttrs) -> KernelResult<Built> {
    let (x, y) = one_to_one(p)?;
    built(0, move |io| {
        let xv = x.view(io);
        let mut out = y.target(io);
        if x.dtype.is_float() {
            (0..y.len).for_each(|i| out.put_f(i, xv.f(i)));
        } else {
            (0..y.len).for_each(|i| out.put_int(i, xv.int(i)));
        }
        Ok(())
    })
}

/// The scale and zero point of a quantisation, and which entry each element uses.
struct Steps {
    scale: Slot,
    zero: Option<Slot>,
    span: usize,
}

impl Steps {
    fn new(p: &Problem, x: &Slot, axis: i64, zero_type: DType) -> KernelResult<Steps> {
        let (scale, zero) = (Slot::input(p, 1)?, Slot::optional_input(p, 2)?);
        scale.expect_float("the scale")?;
        if let Some(z) = &zero {
            z.expect_len("the zero point", scale.len)?;
            z.expect_dtype("the zero point", zero_type)?;
        }
        let mut span = x.len.max(1);
        if scale.len != 1 || scale.rank() > 0 && scale.shape != [1] {
            let (_, n, inner) = around(&x.shape, x.axis(axis)?);
            scale.expect_shape("the scale", &[n])?;
            span = inner.max(1);
        }
        Ok(Steps { scale, zero, span })
    }

    fn at(&self, scale: &View<'_>, zero: Option<&View<'_>>, i: usize) -> (f64, i128) {
        let e = i / self.span % self.scale.len.max(1);
        (scale.f(e), zero.map_or(0, |z| z.int(e)))
    }
}

/// `QuantizeLinear`. The quotient is rounded to `f32` before it is rounded to an integer, as the operator's types ask:
/// otherwise ties would fall differently.
pub(crate) fn quantize(p: &Problem, a: &QuantizeAttrs) -> KernelResult<Built> {
    let (x, y) = one_to_one(p)?;
    let (lo, hi) = range(y.dtype)?;
    let s = Steps::new(p, &x, a.axis, y.dtype)?;
    let wide = x.dtype == DType::F64;
    built(0, move |io| {
        let (xv, sv, zv) = (x.view(io), s.scale.view(io), s.zero.as_ref().map(|z| z.view(io)));
        let mut out = y.target(io);
        for i in 0..y.len {
            let (scale, zero) = s.at(&sv, zv.as_ref(), i);
            let q = if wide { xv.f(i) / scale } else { (xv.f(i) as f32 / scale as f32) as f64 };
            // NaN has no integer; it becomes the zero point.
            let q = (crate::scalar::round_even(q) as i128).saturating_add(zero);
            out.put_int(i, q.clamp(lo, hi));
        }
        Ok(())
    })
}

fn range(dtype: DType) -> KernelResult<(i128, i128)> {
    ensure(dtype.is_int(), || format!("quantisation to {dtype} has no reference"))?;
    let half = 1i128 << (dtype.bits() - 1);
    Ok(if dtype.is_signed() { (-half, half - 1) } else { (0, 2 * half - 1) })
}

/// `DequantizeLinear`.
pub(crate) fn dequantize(p: &Problem, a: &QuantizeAttrs) -> KernelResult<Built> {
    let (x, y) = one_to_one(p)?;
    let integers = x.dtype.is_int() || x.dtype == DType::Sign;
    ensure(integers, || format!("the input is {}, not an integer type", x.dtype))?;
    y.expect_float("the output")?;
    let s = Steps::new(p, &x, a.axis, x.dtype)?;
    built(0, move |io| {
        let (xv, sv, zv) = (x.view(io), s.scale.view(io), s.zero.as_ref().map(|z| z.view(io)));
        let mut out = y.target(io);
        for i in 0..y.len {
            let (scale, zero) = s.at(&sv, zv.as_ref(), i);
            out.put_f(i, (xv.int(i) - zero) as f64 * scale);
        }
        Ok(())
    })
}
