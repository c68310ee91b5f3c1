//! Operators that make elements from shapes and counts.

use crate::io::{Built, KernelResult, Slot, built, ensure, problem};
use alloc::{format, vec::Vec};
use paring_core::{
    DType,
    op::{ConstantOfShapeAttrs, EyeLikeAttrs, ShapeAttrs},
};
use paring_kernel::Problem;

/// `Range`.
pub(crate) fn range(p: &Problem) -> KernelResult<Built> {
    let (start, delta, y) = (Slot::input(p, 0)?, Slot::input(p, 2)?, Slot::output(p, 0)?);
    for s in [&start, &delta] {
        s.expect_len("start or delta", 1)?;
        s.expect_dtype("start or delta", y.dtype)?;
    }
    ensure(y.rank() == 1, || format!("output {:?} is not a vector", y.shape))?;
    let float = y.dtype.is_float();
    built(0, move |io| {
        let (sv, dv) = (start.view(io), delta.view(io));
        let mut out = y.target(io);
        for i in 0..y.len {
            if float {
                out.put_f(i, sv.f(0) + i as f64 * dv.f(0));
            } else {
                out.put_int(i, sv.int(0) + i as i128 * dv.int(0));
            }
        }
        Ok(())
    })
}

/// `ConstantOfShape`.
pub(crate) fn constant_of_shape(p: &Problem, a: &ConstantOfShapeAttrs) -> KernelResult<Built> {
    let y = Slot::output(p, 0)?;
    y.expect_dtype("the output", a.dtype)?;
    let value = a.value;
    built(0, move |io| {
        let mut out = y.target(io);
        (0..y.len).for_each(|i| out.put_f(i, value));
        Ok(())
    })
}

/// `Shape`.
pub(crate) fn shape(p: &Problem, a: &ShapeAttrs) -> KernelResult<Built> {
    let (x, y) = (p.input(0).ok_or_else(|| problem("Shape lacks its input"))?, Slot::output(p, 0)?);
    let rank = x.shape.len() as i64;
    let place = |v: i64| (if v < 0 { v.saturating_add(rank) } else { v }).clamp(0, rank) as usize;
    let (start, end) = (place(a.start), place(a.end.unwrap_or(rank)));
    let dims: Vec<i128> = x.shape.get(start..end).unwrap_or(&[]).iter().map(|&d| d as i128).collect();
    y.expect_shape("the output", &[dims.len()])?;
    y.expect_dtype("the output", DType::I64)?;
    built(0, move |io| {
        let mut out = y.target(io);
        dims.iter().enumerate().for_each(|(i, &d)| out.put_int(i, d));
        Ok(())
    })
}

/// `Size`.
pub(crate) fn size(p: &Problem) -> KernelResult<Built> {
    let (x, y) = (Slot::input(p, 0)?, Slot::output(p, 0)?);
    y.expect_shape("the output", &[])?;
    y.expect_dtype("the output", DType::I64)?;
    built(0, move |io| {
        y.target(io).put_int(0, x.len as i128);
        Ok(())
    })
}

/// `EyeLike`.
pub(crate) fn eye_like(p: &Problem, a: &EyeLikeAttrs) -> KernelResult<Built> {
    let (x, y) = (Slot::input(p, 0)?, Slot::output(p, 0)?);
    y.expect_shape("the output", &x.shape)?;
    y.expect_dtype("the output", a.dtype)?;
    let &[_, columns] = x.shape.as_slice() else {
        return Err(problem(format!("input {:?} is not a matrix", x.shape)));
    };
    let k = a.k as i128;
    built(0, move |io| {
        let mut out = y.target(io);
        for i in 0..y.len {
            let diagonal = (i % columns) as i128 - (i / columns) as i128;
            out.put_int(i, (diagonal == k) as i128);
        }
        Ok(())
    })
}
