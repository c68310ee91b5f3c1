//! Reductions, running sums and order.

use crate::io::{Built, KernelResult, Slot, View, built, cast_scratch, data, ensure, optional_i64s, words};
use crate::scalar::total;
use crate::walk::{Walk, around, product};
use alloc::{format, vec::Vec};
use core::cmp::Ordering;
use libm::{exp, fabs, log, sqrt};
use paring_core::{
    DType,
    op::{ArgReduceAttrs, CumSumAttrs, ReduceAttrs, ReduceKind, TopKAttrs},
    strides,
};
use paring_kernel::Problem;

/// `Reduce`.
pub(crate) fn reduce(p: &Problem, a: &ReduceAttrs) -> KernelResult<Built> {
    let (x, y) = (Slot::input(p, 0)?, Slot::output(p, 0)?);
    let float = x.dtype.is_float();
    ensure(float && y.dtype.is_float() || y.dtype == x.dtype, || format!("input is {}, output {}", x.dtype, y.dtype))?;
    let order = matches!(a.kind, ReduceKind::Max | ReduceKind::Min);
    ensure(order || x.dtype != DType::Bool, || format!("{:?} of booleans has no reference", a.kind))?;
    let axes = match &a.axes {
        Some(axes) => axes.clone(),
        None => optional_i64s(p, 1)?.unwrap_or_default(),
    };
    let all = axes.is_empty() && a.axes.is_none() && !a.noop_if_empty;
    let mut gone = alloc::vec![all; x.rank()];
    for &d in &axes {
        gone[x.axis(d)?] = true;
    }
    let lengths =
        |keep: bool| -> Vec<usize> { (0..x.rank()).map(|d| if gone[d] == keep { 1 } else { x.shape[d] }).collect() };
    // What remains, and what one output element reduces, both over the axes of the input.
    let (rest, reduced) = (lengths(true), lengths(false));
    let dropped: Vec<usize> = (0..x.rank()).filter(|&d| !gone[d]).map(|d| x.shape[d]).collect();
    y.expect_shape("the output", if a.keep_dims { &rest } else { &dropped })?;
    let steps: Vec<isize> = strides(&x.shape).iter().map(|&s| s as isize).collect();
    let (outer, inner) = (Walk::new(&rest, &steps, 0), Walk::new(&reduced, &steps, 0));
    let count: usize = product(&reduced);
    let kind = a.kind;
    built(0, move |io| {
        let xv = x.view(io);
        let mut out = y.target(io);
        for o in 0..y.len {
            let line = (0..count).map(|i| outer.at(o) + inner.at(i));
            if float {
                out.put_f(o, reduce_floats(kind, line.map(|i| xv.f(i)), count));
            } else if matches!(kind, ReduceKind::L2 | ReduceKind::LogSum | ReduceKind::LogSumExp) {
                // Their results are real numbers; the fraction is cut off, as in a cast.
                out.put_f(o, reduce_floats(kind, line.map(|i| xv.f(i)), count));
            } else {
                out.put_int(o, reduce_ints(kind, line.map(|i| xv.int(i)), x.dtype));
            }
        }
        Ok(())
    })
}

fn reduce_floats(kind: ReduceKind, line: impl Iterator<Item = f64> + Clone, count: usize) -> f64 {
    match kind {
        ReduceKind::Sum => line.sum(),
        ReduceKind::Mean => line.sum::<f64>() / count as f64,
        ReduceKind::Max => line.fold(f64::NEG_INFINITY, crate::scalar::max),
        ReduceKind::Min => line.fold(f64::INFINITY, crate::scalar::min),
        ReduceKind::Prod => line.product(),
        ReduceKind::L1 => line.map(fabs).sum(),
        ReduceKind::L2 => sqrt(line.map(|v| v * v).sum()),
        ReduceKind::SumSquare => line.map(|v| v * v).sum(),
        ReduceKind::LogSum => log(line.sum()),
        ReduceKind::LogSumExp => {
            let largest = line.clone().fold(f64::NEG_INFINITY, crate::scalar::max);
            // An infinite maximum is the result: subtracting it would make NaN.
            if largest.is_infinite() { largest } else { largest + log(line.map(|v| exp(v - largest)).sum()) }
        }
    }
}

fn reduce_ints(kind: ReduceKind, line: impl Iterator<Item = i128> + Clone, dtype: DType) -> i128 {
    let bits = if dtype == DType::Bool { 1 } else { dtype.bits() };
    let (lowest, highest) =
        if dtype.is_signed() { (-(1i128 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    let sum = |l: &mut dyn Iterator<Item = i128>| l.fold(0i128, i128::wrapping_add);
    match kind {
        ReduceKind::Mean => {
            let (total, n) = line.fold((0i128, 0), |(s, n), v| (s.wrapping_add(v), n + 1));
            if n == 0 { 0 } else { total / n }
        }
        ReduceKind::Max => line.fold(lowest, i128::max),
        ReduceKind::Min => line.fold(highest, i128::min),
        ReduceKind::Prod => line.fold(1, i128::wrapping_mul),
        ReduceKind::L1 => sum(&mut line.map(i128::abs)),
        ReduceKind::SumSquare => sum(&mut line.map(|v| v.wrapping_mul(v))),
        _ => sum(&mut { line }),
    }
}

/// How two elements of an input compare: NaN is above everything.
pub(crate) fn compare(x: &View<'_>, float: bool, i: usize, j: usize) -> Ordering {
    if float { total(x.f(i), x.f(j)) } else { x.int(i).cmp(&x.int(j)) }
}

/// `ArgReduce`. NaN wins either way, as in NumPy.
pub(crate) fn arg_reduce(p: &Problem, a: &ArgReduceAttrs) -> KernelResult<Built> {
    let (x, y) = (Slot::input(p, 0)?, Slot::output(p, 0)?);
    let axis = x.axis(a.axis)?;
    let (_, n, inner) = around(&x.shape, axis);
    let mut expected = x.shape.clone();
    if a.keep_dims {
        expected[axis] = 1;
    } else {
        expected.remove(axis);
    }
    y.expect_shape("the output", &expected)?;
    y.expect_dtype("the output", DType::I64)?;
    ensure(n > 0 || y.len == 0, || format!("axis {axis} of input {:?} has no elements", x.shape))?;
    let (a, float) = (*a, x.dtype.is_float());
    built(0, move |io| {
        let xv = x.view(io);
        let mut out = y.target(io);
        for o in 0..y.len {
            let start = o / inner * n * inner + o % inner;
            let at = |k: usize| start + k * inner;
            let mut best = 0;
            for k in 1..n {
                let nan = |k: usize| float && xv.f(at(k)).is_nan();
                let order = match (nan(k), nan(best)) {
                    (false, false) if a.max => compare(&xv, float, at(k), at(best)),
                    (false, false) => compare(&xv, float, at(best), at(k)),
                    (new, old) => new.cmp(&old),
                };
                if order == Ordering::Greater || a.last && order == Ordering::Equal {
                    best = k;
                }
            }
            out.put_int(o, best as i128);
        }
        Ok(())
    })
}

/// `CumSum`.
pub(crate) fn cum_sum(p: &Problem, a: &CumSumAttrs) -> KernelResult<Built> {
    let (x, axis, y) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::output(p, 0)?);
    y.expect_shape("the output", &x.shape)?;
    let float = x.dtype.is_float();
    ensure(float && y.dtype.is_float() || x.dtype.is_int() && x.dtype == y.dtype, || {
        format!("input is {}, output {}", x.dtype, y.dtype)
    })?;
    ensure(axis.dtype.is_int(), || "the axis is not an integer".into())?;
    axis.expect_len("the axis", 1)?;
    let a = *a;
    built(0, move |io| {
        let (xv, rank) = (x.view(io), x.rank() as i128);
        let d = axis.view(io).int(0);
        let at = if d < 0 { d + rank } else { d };
        if at < 0 || at >= rank {
            return Err(data(format!("axis {d} is outside a tensor of rank {rank}")));
        }
        let mut out = y.target(io);
        let (outer, n, inner) = around(&x.shape, at as usize);
        for start in (0..outer * inner).map(|s| s / inner * n * inner + s % inner) {
            let (mut sum, mut whole) = (0.0, 0i128);
            for k in 0..n {
                let i = start + if a.reverse { n - 1 - k } else { k } * inner;
                let before = (sum, whole);
                if float {
                    sum += xv.f(i);
                    out.put_f(i, if a.exclusive { before.0 } else { sum });
                } else {
                    whole = whole.wrapping_add(xv.int(i));
                    out.put_int(i, if a.exclusive { before.1 } else { whole });
                }
            }
        }
        Ok(())
    })
}

/// `TopK`.
pub(crate) fn top_k(p: &Problem, a: &TopKAttrs) -> KernelResult<Built> {
    let x = Slot::input(p, 0)?;
    let (values, indices) = (Slot::optional_output(p, 0)?, Slot::optional_output(p, 1)?);
    let Some(shape) = values.as_ref().or(indices.as_ref()).map(|s| s.shape.clone()) else {
        return built(0, |_| Ok(()));
    };
    let axis = x.axis(a.axis)?;
    let (outer, n, inner) = around(&x.shape, axis);
    ensure(shape.len() == x.rank() && shape[axis] <= n, || format!("no {shape:?} of the elements of {:?}", x.shape))?;
    let k = shape[axis];
    let mut expected = x.shape.clone();
    expected[axis] = k;
    if let Some(v) = &values {
        v.expect_shape("the values", &expected)?;
        v.expect_dtype("the values", x.dtype)?;
    }
    if let Some(i) = &indices {
        i.expect_shape("the indices", &expected)?;
        i.expect_dtype("the indices", DType::I64)?;
    }
    let (largest, float, size) = (a.largest, x.dtype.is_float(), x.size());
    built(words(n)?, move |io| {
        let (xv, xb) = (x.view(io), x.bytes(io));
        let order = &mut cast_scratch::<u64>(io.scratch())[..n];
        for s in 0..outer * inner {
            let start = s / inner * n * inner + s % inner;
            order.iter_mut().enumerate().for_each(|(k, o)| *o = k as u64);
            order.sort_unstable_by(|&i, &j| {
                let by_value = compare(&xv, float, start + i as usize * inner, start + j as usize * inner);
                (if largest { by_value.reverse() } else { by_value }).then(i.cmp(&j))
            });
            for (place, &from) in order[..k].iter().enumerate() {
                let to = s / inner * k * inner + place * inner + s % inner;
                if let Some(v) = &values {
                    let bytes = &xb[(start + from as usize * inner) * size..][..size];
                    v.target_bytes(io)[to * size..][..size].copy_from_slice(bytes);
                }
                if let Some(i) = &indices {
                    i.target(io).put_int(to, from as i128);
                }
            }
        }
        Ok(())
    })
}
