//! Normalisations and softmax.

use crate::io::{Built, KernelResult, Slot, View, ViewMut, built, ensure, problem};
use crate::walk::{Walk, around, product};
use alloc::format;
use libm::{exp, fabs, log, pow, sqrt};
use paring_core::op::{LayerNormAttrs, LpNormAttrs, LrnAttrs, SoftmaxAttrs, SoftmaxKind};
use paring_kernel::Problem;

/// Floating-point input 0 and output 0 of equal shape.
fn floats(p: &Problem) -> KernelResult<(Slot, Slot)> {
    let (x, y) = (Slot::input(p, 0)?, Slot::output(p, 0)?);
    x.expect_float("the input")?;
    y.expect_float("the output")?;
    y.expect_shape("the output", &x.shape)?;
    Ok((x, y))
}

/// Input `i` with one entry per channel.
fn per_channel(p: &Problem, i: usize, channels: usize) -> KernelResult<Slot> {
    let s = Slot::input(p, i)?;
    s.expect_float("a per-channel operand")?;
    s.expect_shape("a per-channel operand", &[channels])?;
    Ok(s)
}

fn channels(x: &Slot) -> KernelResult<(usize, usize, usize)> {
    ensure(x.rank() >= 2, || format!("input {:?} has no channels", x.shape))?;
    Ok(around(&x.shape, 1))
}

/// `BatchNorm`.
pub(crate) fn batch_norm(p: &Problem, epsilon: f32) -> KernelResult<Built> {
    let (x, y) = floats(p)?;
    // A vector has no channel axis: it is one channel (ONNX, `BatchNormalization`).
    let (c, span) = if x.rank() < 2 { (1, x.len.max(1)) } else { channels(&x).map(|(_, c, s)| (c, s))? };
    let [scale, bias, mean, var] =
        [per_channel(p, 1, c)?, per_channel(p, 2, c)?, per_channel(p, 3, c)?, per_channel(p, 4, c)?];
    built(0, move |io| {
        let (xv, sv, bv, mv, vv) = (x.view(io), scale.view(io), bias.view(io), mean.view(io), var.view(io));
        let mut out = y.target(io);
        for i in 0..y.len {
            let k = i / span % c;
            let unit = (xv.f(i) - mv.f(k)) / sqrt(vv.f(k) + epsilon as f64);
            out.put_f(i, sv.f(k) * unit + bv.f(k));
        }
        Ok(())
    })
}

/// Mean and variance of a run of elements.
fn moments(x: &View<'_>, start: usize, len: usize) -> (f64, f64) {
    let n = len as f64;
    let mean = (start..start + len).map(|i| x.f(i)).sum::<f64>() / n;
    let var = (start..start + len).map(|i| (x.f(i) - mean) * (x.f(i) - mean)).sum::<f64>() / n;
    (mean, var)
}

/// `GroupNorm`; with as many groups as channels it is `InstanceNorm`.
pub(crate) fn group_norm(p: &Problem, epsilon: f32, groups: Option<usize>) -> KernelResult<Built> {
    let (x, y) = floats(p)?;
    let (n, c, span) = channels(&x)?;
    let groups = groups.unwrap_or(c);
    ensure(c == 0 || groups > 0 && c.is_multiple_of(groups), || {
        format!("{c} channels do not fall into {groups} groups")
    })?;
    let (scale, bias) = (per_channel(p, 1, c)?, per_channel(p, 2, c)?);
    let len = c.checked_div(groups).unwrap_or(0) * span;
    built(0, move |io| {
        let (xv, sv, bv) = (x.view(io), scale.view(io), bias.view(io));
        let mut out = y.target(io);
        for start in (0..n * groups).map(|g| g * len) {
            let (mean, var) = moments(&xv, start, len);
            for i in start..start + len {
                let k = i / span % c;
                out.put_f(i, sv.f(k) * (xv.f(i) - mean) / sqrt(var + epsilon as f64) + bv.f(k));
            }
        }
        Ok(())
    })
}

/// `LayerNorm`.
pub(crate) fn layer_norm(p: &Problem, a: &LayerNormAttrs) -> KernelResult<Built> {
    let x = Slot::input(p, 0)?;
    x.expect_float("the input")?;
    let axis = x.axis(a.axis)?;
    let rows: usize = product(&x.shape[..axis]);
    let inner = &x.shape[axis..];
    let len: usize = product(inner);
    let operand = |i: usize| -> KernelResult<Option<(Slot, Walk)>> {
        let Some(s) = Slot::optional_input(p, i)? else { return Ok(None) };
        s.expect_float("scale or bias")?;
        // Broadcast against the whole input; operands of the normalised axes alone are the usual case.
        let walk = Walk::broadcast(&s.shape, &x.shape)?;
        Ok(Some((s, walk)))
    };
    let (scale, bias) = (operand(1)?, operand(2)?);
    let y = Slot::optional_output(p, 0)?;
    let statistics = [Slot::optional_output(p, 1)?, Slot::optional_output(p, 2)?];
    if let Some(y) = &y {
        y.expect_float("the output")?;
        y.expect_shape("the output", &x.shape)?;
    }
    for s in statistics.iter().flatten() {
        s.expect_float("a statistic")?;
        s.expect_len("a statistic", rows)?;
    }
    let (epsilon, rms) = (a.epsilon as f64, a.rms);
    built(0, move |io| {
        let xv = x.view(io);
        let (sv, bv) = (scale.as_ref().map(|s| s.0.view(io)), bias.as_ref().map(|s| s.0.view(io)));
        for r in 0..rows {
            let start = r * len;
            let (mean, var) = if rms {
                (0.0, (start..start + len).map(|i| xv.f(i) * xv.f(i)).sum::<f64>() / len as f64)
            } else {
                moments(&xv, start, len)
            };
            let inverse = 1.0 / sqrt(var + epsilon);
            for (s, v) in statistics.iter().zip([mean, inverse]) {
                if let Some(s) = s {
                    s.target(io).put_f(r, v);
                }
            }
            let Some(y) = &y else { continue };
            let mut out = y.target(io);
            for i in start..start + len {
                let mut v = (xv.f(i) - mean) * inverse;
                if let (Some(sv), Some((_, w))) = (&sv, &scale) {
                    v *= sv.f(w.at(i));
                }
                if let (Some(bv), Some((_, w))) = (&bv, &bias) {
                    v += bv.f(w.at(i));
                }
                out.put_f(i, v);
            }
        }
        Ok(())
    })
}

/// `Lrn`.
pub(crate) fn lrn(p: &Problem, a: &LrnAttrs) -> KernelResult<Built> {
    let (x, y) = floats(p)?;
    let (_, c, span) = channels(&x)?;
    ensure(a.size > 0, || "a window of 0 channels".into())?;
    let (before, after) = ((a.size - 1) / 2, a.size / 2);
    let a = *a;
    built(0, move |io| {
        let xv = x.view(io);
        let mut out = y.target(io);
        for i in 0..y.len {
            let k = i / span % c;
            let from = k.saturating_sub(before);
            let to = k.saturating_add(after).min(c - 1);
            let first = i - k * span;
            let sum: f64 = (from..=to).map(|k| xv.f(first + k * span)).map(|v| v * v).sum();
            let base = a.bias as f64 + a.alpha as f64 / a.size as f64 * sum;
            out.put_f(i, xv.f(i) / pow(base, a.beta as f64));
        }
        Ok(())
    })
}

/// `LpNorm`. A slice of zeros stays zero.
pub(crate) fn lp_norm(p: &Problem, a: &LpNormAttrs) -> KernelResult<Built> {
    let (x, y) = floats(p)?;
    let (outer, n, inner) = around(&x.shape, x.axis(a.axis)?);
    ensure(a.p == 1 || a.p == 2, || format!("the norm of order {} has no reference", a.p))?;
    let first = a.p == 1;
    built(0, move |io| {
        let xv = x.view(io);
        let mut out = y.target(io);
        for start in (0..outer * inner).map(|s| s / inner * n * inner + s % inner) {
            let line = (0..n).map(|k| start + k * inner);
            let norm = if first {
                line.clone().map(|i| fabs(xv.f(i))).sum::<f64>()
            } else {
                sqrt(line.clone().map(|i| xv.f(i) * xv.f(i)).sum::<f64>())
            };
            line.for_each(|i| out.put_f(i, if norm == 0.0 { 0.0 } else { xv.f(i) / norm }));
        }
        Ok(())
    })
}

/// `Softmax`.
pub(crate) fn softmax(p: &Problem, a: &SoftmaxAttrs) -> KernelResult<Built> {
    let (x, y) = floats(p)?;
    let rank = x.rank() as i64;
    let (outer, n, inner) = if a.to_end {
        // Here the axis may be the rank itself: then every element is a line of its own.
        let axis = if a.axis < 0 { a.axis + rank } else { a.axis };
        let axis = usize::try_from(axis).ok().filter(|&d| d <= x.rank());
        let axis = axis.ok_or_else(|| problem(format!("axis {} is outside a tensor of rank {rank}", a.axis)))?;
        (product(&x.shape[..axis]), product(&x.shape[axis..]), 1)
    } else {
        around(&x.shape, x.axis(a.axis)?)
    };
    let kind = a.kind;
    built(0, move |io| {
        let xv = x.view(io);
        let mut out = y.target(io);
        for start in (0..outer * inner).map(|s| s / inner * n * inner + s % inner) {
            softmax_line(kind, &xv, &mut out, start, inner, n);
        }
        Ok(())
    })
}

fn softmax_line(kind: SoftmaxKind, x: &View<'_>, y: &mut ViewMut<'_>, start: usize, step: usize, n: usize) {
    let line = (0..n).map(|k| start + k * step);
    let largest = line.clone().map(|i| x.f(i)).fold(f64::NEG_INFINITY, crate::scalar::max);
    match kind {
        SoftmaxKind::Hardmax => {
            let mut found = false;
            for i in line {
                let hit = !found && (x.f(i) == largest || x.f(i).is_nan());
                found |= hit;
                y.put_f(i, hit as u8 as f64);
            }
        }
        SoftmaxKind::Softmax => {
            let sum: f64 = line.clone().map(|i| exp(x.f(i) - largest)).sum();
            line.for_each(|i| y.put_f(i, exp(x.f(i) - largest) / sum));
        }
        SoftmaxKind::LogSoftmax => {
            let sum: f64 = line.clone().map(|i| exp(x.f(i) - largest)).sum();
            line.for_each(|i| y.put_f(i, x.f(i) - largest - log(sum)));
        }
    }
}
