//! Interpolation on a grid (ONNX, `Resize`): along each axis a table says which elements make up an output index.

use crate::io::{Built, KernelResult, Slot, View, built, ensure, problem};
use alloc::{format, vec, vec::Vec};
use libm::{fabs, floor, rint};
use paring_core::{
    op::{AspectPolicy, Coordinates, Nearest, ResizeAttrs, ResizeMode},
    strides,
};
use paring_kernel::Problem;

/// The elements of an axis that make up one output index, with their weights.
struct Table {
    taps: Vec<(usize, f64)>,
    /// Where the taps of each output index begin and end; `None`: outside the region of interest.
    spans: Vec<Option<(usize, usize)>>,
}

/// What one axis is resized by.
#[derive(Clone, Copy)]
struct Axis {
    input: usize,
    output: usize,
    scale: f64,
    roi: (f64, f64),
}

/// `Resize`.
pub(crate) fn resize(p: &Problem, a: &ResizeAttrs) -> KernelResult<Built> {
    let (x, y) = (Slot::input(p, 0)?, Slot::output(p, 0)?);
    y.expect_dtype("the output", x.dtype)?;
    ensure(x.rank() == y.rank(), || format!("output {:?} does not fit input {:?}", y.shape, x.shape))?;
    let axes = axes(p, a, &x, &y)?;
    let tables = axes.iter().map(|s| table(a, s)).collect::<KernelResult<Vec<_>>>()?;
    let moves = tables.iter().all(|t| t.taps.iter().all(|&(_, w)| w == 1.0) && t.taps.len() <= t.spans.len());
    let (from, to, size) = (strides(&x.shape), strides(&y.shape), x.size());
    let (extrapolation, float) = (a.extrapolation as f64, x.dtype.is_float());
    built(0, move |io| {
        let (xv, xb) = (x.view(io), x.bytes(io));
        for o in 0..y.len {
            let span = |d: usize| tables[d].spans[o / to[d] % y.shape[d]];
            if (0..y.rank()).any(|d| span(d).is_none()) {
                y.target(io).put_f(o, extrapolation);
            } else if moves {
                let at: usize = (0..y.rank()).map(|d| tables[d].taps[span(d).unwrap_or_default().0].0 * from[d]).sum();
                y.target_bytes(io)[o * size..][..size].copy_from_slice(&xb[at * size..][..size]);
            } else {
                let v = weigh(&xv, &tables, &from, &to, &y.shape, o, 0, 0);
                y.target(io).put_f(o, if float { v } else { rint(v) });
            }
        }
        Ok(())
    })
}

/// The weighted sum over the taps of axis `d` and those after it.
fn weigh(
    x: &View<'_>,
    tables: &[Table],
    from: &[usize],
    to: &[usize],
    shape: &[usize],
    o: usize,
    d: usize,
    at: usize,
) -> f64 {
    let Some(table) = tables.get(d) else { return x.f(at) };
    let (start, end) = table.spans[o / to[d] % shape[d]].unwrap_or_default();
    let rest = |i: usize| weigh(x, tables, from, to, shape, o, d + 1, at + i * from[d]);
    match &table.taps[start..end] {
        &[(i, 1.0)] => rest(i),
        taps => taps.iter().map(|&(i, w)| w * rest(i)).sum(),
    }
}

/// The numbers of a constant input that may be absent or empty.
fn numbers(p: &Problem, i: usize) -> KernelResult<Option<Vec<f64>>> {
    if p.input(i).is_none() {
        return Ok(None);
    }
    let v = p.constant(i).and_then(|t| t.to_f64s());
    let v = v.ok_or_else(|| problem(format!("input {i} of Resize must be constant")))?;
    Ok(Some(v).filter(|v| !v.is_empty()))
}

fn axes(p: &Problem, a: &ResizeAttrs, x: &Slot, y: &Slot) -> KernelResult<Vec<Axis>> {
    let named = match &a.axes {
        Some(axes) => axes.iter().map(|&d| x.axis(d)).collect::<KernelResult<Vec<_>>>()?,
        None => (0..x.rank()).collect(),
    };
    let n = named.len();
    let (roi, scales, sizes) = (numbers(p, 1)?, numbers(p, 2)?, numbers(p, 3)?);
    let region = if a.coordinates == Coordinates::TfCropAndResize { roi } else { None };
    let mut axes: Vec<Axis> = x
        .shape
        .iter()
        .zip(&y.shape)
        .map(|(&input, &output)| Axis { input, output, scale: 1.0, roi: (0.0, 1.0) })
        .collect();
    let factors = match (&scales, &sizes) {
        (Some(s), _) => s.clone(),
        (None, Some(s)) => {
            let mut f: Vec<f64> = s.iter().zip(&named).map(|(s, &d)| s / x.shape[d] as f64).collect();
            let common = match a.aspect {
                AspectPolicy::Stretch => None,
                AspectPolicy::NotLarger => f.iter().copied().reduce(f64::min),
                AspectPolicy::NotSmaller => f.iter().copied().reduce(f64::max),
            };
            if let Some(c) = common {
                f.fill(c);
            }
            f
        }
        (None, None) => return Err(problem("Resize has neither scales nor sizes")),
    };
    ensure(factors.len() == n, || format!("{} factors for {n} axes", factors.len()))?;
    ensure(region.as_ref().is_none_or(|r| r.len() == 2 * n), || "the region of interest does not fit the axes".into())?;
    for (k, &d) in named.iter().enumerate() {
        axes[d].scale = factors[k];
        if let Some(r) = &region {
            axes[d].roi = (r[k], r[n + k]);
        }
    }
    for s in &axes {
        ensure(s.output == 0 || s.input > 0 && s.scale > 0.0 && s.scale.is_finite(), || {
            format!("{} elements cannot be resized to {} by {}", s.input, s.output, s.scale)
        })?;
    }
    Ok(axes)
}

fn table(a: &ResizeAttrs, s: &Axis) -> KernelResult<Table> {
    let mut t = Table { taps: Vec::new(), spans: Vec::new() };
    let untouched = fabs(s.scale - 1.0) < 1e-9 && s.input == s.output && s.roi == (0.0, 1.0);
    for o in 0..s.output {
        let start = t.taps.len();
        if untouched {
            t.taps.push((o, 1.0));
        } else {
            let c = coordinate(a.coordinates, s, o as f64);
            ensure(c.is_finite(), || format!("output index {o} has no place in the input"))?;
            if a.coordinates == Coordinates::TfCropAndResize && (c < 0.0 || c > s.input as f64 - 1.0) {
                t.spans.push(None);
                continue;
            }
            taps(a, s, c, &mut t.taps)?;
        }
        t.spans.push(Some((start, t.taps.len())));
    }
    Ok(t)
}

/// The place in the input of an output index.
fn coordinate(c: Coordinates, s: &Axis, o: f64) -> f64 {
    let (input, resized) = (s.input as f64, s.scale * s.input as f64);
    match c {
        Coordinates::HalfPixel => (o + 0.5) / s.scale - 0.5,
        Coordinates::HalfPixelSymmetric => input / 2.0 * (1.0 - s.output as f64 / resized) + (o + 0.5) / s.scale - 0.5,
        Coordinates::PytorchHalfPixel if resized == 1.0 => 0.0,
        Coordinates::PytorchHalfPixel => (o + 0.5) / s.scale - 0.5,
        Coordinates::AlignCorners if resized == 1.0 => 0.0,
        Coordinates::AlignCorners => o * (input - 1.0) / (resized - 1.0),
        Coordinates::Asymmetric => o / s.scale,
        Coordinates::TfHalfPixelForNn => (o + 0.5) / s.scale,
        Coordinates::TfCropAndResize => {
            let (from, to) = s.roi;
            let within = if resized == 1.0 { 0.5 } else { o / (resized - 1.0) };
            (from + within * (to - from)) * (input - 1.0)
        }
    }
}

/// The elements around place `c`, those beyond the edge being the edge's.
fn taps(a: &ResizeAttrs, s: &Axis, c: f64, out: &mut Vec<(usize, f64)>) -> KernelResult<()> {
    let last = s.input as i64 - 1;
    let below = floor(c);
    let fraction = c - below;
    if let ResizeMode::Nearest(n) = a.mode {
        let up = match n {
            Nearest::RoundPreferFloor => fraction > 0.5,
            Nearest::RoundPreferCeil => fraction >= 0.5,
            Nearest::Floor => false,
            Nearest::Ceil => fraction > 0.0,
        };
        out.push(((below as i64).saturating_add(up as i64).clamp(0, last) as usize, 1.0));
        return Ok(());
    }
    let (reach, kernel): (f64, &dyn Fn(f64) -> f64) = match a.mode {
        ResizeMode::Cubic { a } => (2.0, &move |d| cubic(d, a as f64)),
        _ => (1.0, &|d| (1.0 - d).max(0.0)),
    };
    // Shrinking with a low-pass filter widens the kernel by as much.
    let narrow = if a.antialias { s.scale.min(1.0) } else { 1.0 };
    let half = libm::ceil(reach / narrow);
    ensure(half <= 4.0 * s.input as f64 + 8.0, || format!("a factor of {} is too small", s.scale))?;
    let first = below as i64 - half as i64 + (fraction > 0.0) as i64;
    let mut weights: Vec<(i64, f64)> =
        (first..first + 2 * half as i64).map(|i| (i, kernel(fabs(i as f64 - c) * narrow))).collect();
    if a.exclude_outside {
        weights.retain(|&(i, _)| (0..=last).contains(&i));
    }
    let sum: f64 = weights.iter().map(|&(_, w)| w).sum();
    let divisor = if (a.antialias || a.exclude_outside) && sum != 0.0 { sum } else { 1.0 };
    weights.retain(|&(_, w)| w != 0.0);
    if weights.is_empty() {
        weights = vec![(below as i64, 0.0)];
    }
    out.extend(weights.iter().map(|&(i, w)| (i.clamp(0, last) as usize, w / divisor)));
    Ok(())
}

/// Cubic convolution at distance `d` (Keys, "Cubic convolution interpolation for digital image processing", 1981).
pub(crate) fn cubic(d: f64, a: f64) -> f64 {
    if d <= 1.0 {
        ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0
    } else if d < 2.0 {
        ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a
    } else {
        0.0
    }
}
