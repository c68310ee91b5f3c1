//! Sampling at computed places.

use crate::io::{Built, KernelResult, Slot, View, built, data, ensure, problem};
use crate::resize::cubic;
use crate::walk::product;
use alloc::format;
use libm::{ceil, fabs, floor, fmod, rint};
use paring_core::op::{GridMode, GridPadding, GridSampleAttrs, RoiAlignAttrs};
use paring_kernel::Problem;

/// At most four elements of one axis with their weights.
#[derive(Clone, Copy, Default)]
struct Taps {
    at: [(usize, f64); 4],
    count: usize,
}

/// `GridSample` over two or three spatial axes.
pub(crate) fn grid_sample(p: &Problem, a: &GridSampleAttrs) -> KernelResult<Built> {
    let (x, grid, y) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::output(p, 0)?);
    x.expect_float("the input")?;
    grid.expect_float("the grid")?;
    y.expect_float("the output")?;
    let axes = x.rank().saturating_sub(2);
    ensure(axes == 2 || axes == 3, || format!("input {:?} has {axes} spatial axes, not 2 or 3", x.shape))?;
    ensure(grid.rank() == x.rank() && grid.shape[0] == x.shape[0] && grid.shape[axes + 1] == axes, || {
        format!("grid {:?} does not fit input {:?}", grid.shape, x.shape)
    })?;
    y.expect_shape("the output", &[&x.shape[..2], &grid.shape[1..=axes]].concat())?;
    ensure(x.len > 0 || y.len == 0, || format!("input {:?} has nothing to sample", x.shape))?;
    let (points, plane): (usize, usize) = (product(&grid.shape[1..=axes]), product(&x.shape[2..]));
    let (channels, a) = (x.shape[1], *a);
    built(0, move |io| {
        let (xv, gv) = (x.view(io), grid.view(io));
        let mut out = y.target(io);
        for n in 0..x.shape[0] {
            for point in 0..points {
                let mut taps = [Taps::default(); 3];
                for d in 0..axes {
                    // The grid names the last axis first.
                    let c = gv.f((n * points + point) * axes + axes - 1 - d);
                    taps[d] = grid_taps(&a, c, x.shape[2 + d]);
                }
                for k in 0..channels {
                    let base = (n * channels + k) * plane;
                    let v = weigh(&xv, &taps[..axes], &x.shape[2..], base, 0);
                    out.put_f((n * channels + k) * points + point, v);
                }
            }
        }
        Ok(())
    })
}

/// The weighted sum over the first axis and those after it; `row` counts the elements of the axes before.
fn weigh(x: &View<'_>, taps: &[Taps], shape: &[usize], base: usize, row: usize) -> f64 {
    let ([first, rest @ ..], [n, inner @ ..]) = (taps, shape) else { return x.f(base + row) };
    first.at[..first.count].iter().map(|&(i, w)| w * weigh(x, rest, inner, base, row * n + i)).sum()
}

/// The elements of an axis of length `n` that make up the value at `c`, which runs from -1 to 1.
fn grid_taps(a: &GridSampleAttrs, c: f64, n: usize) -> Taps {
    let len = n as f64;
    let (place, low, high) = if a.align_corners {
        ((c + 1.0) / 2.0 * (len - 1.0), 0.0, len - 1.0)
    } else {
        (((c + 1.0) * len - 1.0) / 2.0, -0.5, len - 0.5)
    };
    let mut place = if a.mode == GridMode::Nearest { rint(place) } else { place };
    // Outside is decided for the place first and then for each element around it.
    match a.padding {
        GridPadding::Zeros => {}
        GridPadding::Border => place = place.max(0.0).min(len - 1.0),
        GridPadding::Reflection => place = reflect(place, low, high),
    }
    let mut taps = Taps::default();
    if place.is_nan() || fabs(place) > 9e15 {
        return taps;
    }
    let below = floor(place);
    let (first, count) = match a.mode {
        GridMode::Nearest => (below, 1),
        GridMode::Linear => (below, 2),
        GridMode::Cubic => (below - 1.0, 4),
    };
    for k in 0..count {
        let i = first + k as f64;
        let distance = fabs(place - i);
        let weight = match a.mode {
            GridMode::Nearest => 1.0,
            GridMode::Linear => 1.0 - distance,
            GridMode::Cubic => cubic(distance, -0.75),
        };
        let at = match a.padding {
            GridPadding::Zeros if i < 0.0 || i > len - 1.0 => continue,
            GridPadding::Zeros => i,
            GridPadding::Border => i.max(0.0).min(len - 1.0),
            GridPadding::Reflection => reflect(i, low, high).max(0.0).min(len - 1.0),
        };
        taps.at[taps.count] = (at as usize, weight);
        taps.count += 1;
    }
    taps
}

/// `v` mirrored at the bounds until it lies within them.
fn reflect(v: f64, low: f64, high: f64) -> f64 {
    let range = high - low;
    if range <= 0.0 || !v.is_finite() {
        return low.max(0.0);
    }
    if v >= low && v <= high {
        return v;
    }
    let beyond = fmod(fabs(v - low), 2.0 * range);
    if beyond <= range { low + beyond } else { high - (beyond - range) }
}

/// Samples per axis of one bin beyond which a region cannot be meant.
const MOST_SAMPLES: f64 = 4096.0;

/// The samples of one axis of a region.
struct Bins {
    start: f64,
    size: f64,
    samples: usize,
}

impl Bins {
    fn new(a: &RoiAlignAttrs, from: f64, to: f64, count: usize) -> KernelResult<Bins> {
        let offset = if a.half_pixel { 0.5 } else { 0.0 };
        let (start, end) = (from * a.spatial_scale as f64 - offset, to * a.spatial_scale as f64 - offset);
        let length = if a.half_pixel { end - start } else { (end - start).max(1.0) };
        let size = length / count as f64;
        let samples = if a.sampling_ratio > 0 { a.sampling_ratio as f64 } else { ceil(size) };
        if !(start.is_finite() && samples <= MOST_SAMPLES) {
            return Err(data(format!("the region from {from} to {to} is too large")));
        }
        Ok(Bins { start, size, samples: samples.max(0.0) as usize })
    }

    /// The two elements around sample `i` of bin `b` with their weights; `None` outside the map.
    fn sample(&self, b: usize, i: usize, n: usize) -> Option<[(usize, f64); 2]> {
        let at = self.start + b as f64 * self.size + (i as f64 + 0.5) * self.size / self.samples as f64;
        if !(at >= -1.0 && at <= n as f64) {
            return None;
        }
        let at = at.max(0.0).min(n as f64 - 1.0);
        let low = at as usize;
        let high = (low + 1).min(n - 1);
        Some([(low, 1.0 - (at - low as f64)), (high, at - low as f64)])
    }
}

/// `RoiAlign`.
pub(crate) fn roi_align(p: &Problem, a: &RoiAlignAttrs) -> KernelResult<Built> {
    let (x, rois, batches) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::input(p, 2)?);
    let y = Slot::output(p, 0)?;
    let &[n, c, h, w] = x.shape.as_slice() else {
        return Err(problem(format!("input {:?} is not of rank 4", x.shape)));
    };
    x.expect_float("the input")?;
    rois.expect_float("the regions")?;
    y.expect_float("the output")?;
    ensure(batches.rank() == 1 && batches.dtype.is_int(), || format!("batch indices {:?}", batches.shape))?;
    rois.expect_shape("the regions", &[batches.len, 4])?;
    let (rows, columns, a) = (a.output_height, a.output_width, *a);
    y.expect_shape("the output", &[batches.len, c, rows, columns])?;
    ensure(h > 0 && w > 0 || y.len == 0, || format!("input {:?} has nothing to sample", x.shape))?;
    built(0, move |io| {
        let (xv, rv, bv) = (x.view(io), rois.view(io), batches.view(io));
        let mut out = y.target(io);
        for r in 0..batches.len {
            let b = bv.int(r);
            let batch = usize::try_from(b).ok().filter(|&b| b < n);
            let batch = batch.ok_or_else(|| data(format!("batch index {b} of region {r} is outside 0..{n}")))?;
            let across = Bins::new(&a, rv.f(r * 4), rv.f(r * 4 + 2), columns)?;
            let down = Bins::new(&a, rv.f(r * 4 + 1), rv.f(r * 4 + 3), rows)?;
            for k in 0..c {
                let base = (batch * c + k) * h * w;
                for o in 0..rows * columns {
                    let v = pool_bin(a.max, &xv, base, (h, w), (&down, o / columns), (&across, o % columns));
                    out.put_f((r * c + k) * rows * columns + o, v);
                }
            }
        }
        Ok(())
    })
}

/// Mean of the samples of one bin, or the maximum of their weighted corners (as ONNX defines it).
fn pool_bin(
    maximum: bool,
    x: &View<'_>,
    base: usize,
    (h, w): (usize, usize),
    (down, row): (&Bins, usize),
    (across, column): (&Bins, usize),
) -> f64 {
    let (mut sum, mut best) = (0.0, None::<f64>);
    for i in 0..down.samples {
        for j in 0..across.samples {
            let corners = down.sample(row, i, h).zip(across.sample(column, j, w));
            let mut value = f64::NEG_INFINITY;
            match corners {
                Some((ys, xs)) => {
                    for (iy, wy) in ys {
                        for (ix, wx) in xs {
                            let v = wy * wx * x.f(base + iy * w + ix);
                            sum += v;
                            value = crate::scalar::max(value, v);
                        }
                    }
                }
                None => value = 0.0,
            }
            best = Some(best.map_or(value, |b| crate::scalar::max(b, value)));
        }
    }
    if maximum { best.unwrap_or(0.0) } else { sum / (down.samples * across.samples).max(1) as f64 }
}
