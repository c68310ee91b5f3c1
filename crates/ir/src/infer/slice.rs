//! Slices, with ONNX's clamping of starts and ends.

use super::cx::*;
use crate::Dim;
use alloc::vec;

/// Ends beyond this mean "to the end" whatever the dimension is.
const FAR: i64 = i32::MAX as i64;

pub(super) fn slice(cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    let starts = list(cx.input(1, "starts")?, "starts")?;
    let ends = list(cx.input(2, "ends")?, "ends")?;
    let axes = cx.optional(3).map(|f| list(f, "axes")).transpose()?;
    let steps = cx.optional(4).map(|f| list(f, "steps")).transpose()?;
    let count = starts.len.or(ends.len);
    for (other, what) in [(Some(&ends), "ends"), (axes.as_ref(), "axes"), (steps.as_ref(), "steps")] {
        if let (Some(n), Some(m)) = (count, other.and_then(|l| l.len))
            && n != m
        {
            return Err(shape_error!("{what} must have {n} entries, as starts has, found {m}"));
        }
    }
    let Some(shape) = &x.ty.shape else { return Ok(vec![moved(x, None)]) };
    let named = match &axes {
        Some(l) => l.numbers(),
        None => count.map(|n| (0..n as i64).collect()),
    };
    let Some(named) = named else { return Ok(vec![moved(x, Some(cx.fresh_shape(shape.len())))]) };
    axes_of(&named, shape.len())?;
    let step_values = match &steps {
        Some(l) => l.numbers(),
        None => Some(vec![1; named.len()]),
    };
    if step_values.iter().flatten().any(|&s| s == 0) {
        return Err(shape_error!("steps must not be 0"));
    }
    let mut out = shape.clone();
    let mut picks = None;
    for (i, &axis) in named.iter().enumerate() {
        let axis = axis_of(axis, shape.len())?;
        let at = |l: &List| l.elements.as_ref().and_then(|e| e.get(i).cloned());
        let length = match (at(&starts), at(&ends), step_values.as_ref().and_then(|s| s.get(i))) {
            (Some(start), Some(end), Some(&step)) => {
                picks = known_range(&shape[axis], &start, &end, step);
                match picks {
                    Some((_, n)) => Some(Dim::from_i64(n)),
                    None => symbolic_length(&shape[axis], &start, &end, step),
                }
            }
            _ => None,
        };
        out[axis] = length.unwrap_or_else(|| cx.fresh());
    }
    let tracked = elements(x).and_then(|e| match (shape.len(), named.len()) {
        (_, 0) => Some(e),
        (1, 1) => {
            let (start, n) = picks?;
            let step = *step_values.as_ref()?.first()?;
            (0..n).map(|i| e.get(usize::try_from(start.checked_add(i.checked_mul(step)?)?).ok()?).cloned()).collect()
        }
        _ => None,
    });
    Ok(vec![with_elements(moved(x, Some(out)), tracked)])
}

/// First index and number of elements, where everything is a number.
fn known_range(dim: &Dim, start: &Dim, end: &Dim, step: i64) -> Option<(i64, i64)> {
    let d = i128::from(dim.as_i64()?);
    let (start, end, step) = (i128::from(start.as_i64()?), i128::from(end.as_i64()?), i128::from(step));
    let from_front = |i: i128| if i < 0 { i + d } else { i };
    let (start, end) = if step > 0 {
        (from_front(start).clamp(0, d), from_front(end).clamp(0, d))
    } else {
        (from_front(start).clamp(0, (d - 1).max(0)), from_front(end).clamp(-1, (d - 1).max(-1)))
    };
    let distance = if step > 0 { end - start } else { start - end };
    let count = if distance <= 0 || d == 0 { 0 } else { (distance + step.abs() - 1) / step.abs() };
    Some((i64::try_from(start).ok()?, i64::try_from(count).ok()?))
}

/// Number of elements as an expression, where it can be told.
fn symbolic_length(dim: &Dim, start: &Dim, end: &Dim, step: i64) -> Option<Dim> {
    if step < 0 {
        let whole = matches!(start.as_i64(), Some(s) if s == -1 || s >= FAR) && end.as_i64().is_some_and(|e| e < -FAR);
        return if whole { Some(dim.div_ceil(usize::try_from(step.unsigned_abs()).ok()?)) } else { None };
    }
    let zero = Dim::Known(0);
    let bound = |i: &Dim| match i.as_i64() {
        Some(n) if n >= FAR => Some(dim.clone()),
        Some(n) if n <= -FAR => Some(zero.clone()),
        Some(n) if n < 0 => Some(dim.add(i).max_of(&zero)),
        Some(0) => Some(zero.clone()),
        _ if i.is_nonnegative() => Some(i.min_of(dim)),
        _ => None,
    };
    let (from, to) = (bound(start)?, bound(end)?);
    let length = to.sub(&from);
    let length = if length.is_nonnegative() { length } else { length.max_of(&zero) };
    Some(if step == 1 { length } else { length.div_ceil(usize::try_from(step).ok()?) })
}
