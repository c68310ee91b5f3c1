//! Sampling of images at places that a grid names.

use crate::support::*;
use paring_core::{
    DType, Layout, Op,
    op::{GridMode, GridPadding, GridSampleAttrs},
};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::Simd;
use std::sync::Arc;

/// `GridSample` of `f32` images, by the nearest element or the four around.
pub(crate) struct GridSample;

/// Points whose places are computed together, and then used for every channel.
const POINTS: usize = 64;

/// Channels that are computed together.
const TOGETHER: usize = 4;

fn run_of(p: &Problem) -> Result<Run, Reject> {
    let Op::GridSample(attrs) = p.op else { return Err("not sampling by a grid".into()) };
    if attrs.mode == GridMode::Cubic {
        return Err("cubic".into());
    }
    let (x, y) = require_f32(p)?;
    let grid = p.input(1).filter(|g| g.dtype == DType::F32).ok_or("there is no grid of f32")?;
    let (&[samples, channels, height, width], &[of, rows, columns, 2]) = (x, grid.shape.as_slice()) else {
        return Err("not images, or the grid does not name two axes".into());
    };
    if of != samples || *y != [samples, channels, rows, columns] {
        return Err(format!("output {y:?} and grid {:?} do not fit input {x:?}", grid.shape).into());
    }
    if height.saturating_mul(width) > i32::MAX as usize {
        return Err("an image has too many elements".into());
    }
    Ok(Run { attrs, samples, channels, size: [height, width], points: rows * columns })
}

impl Family for GridSample {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let run = run_of(p)?;
        let numerics =
            if run.attrs.mode == GridMode::Nearest { NumericClass::Exact } else { NumericClass::Reassociated };
        out.push(Offer { numerics, ..uniform(p, Layout::Plain, 0) });
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        output_len(p) as f64 * 0.5
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(run_of(p).map_err(problem)?))
    }
}

struct Run {
    attrs: GridSampleAttrs,
    samples: usize,
    channels: usize,
    /// Height and width of an image.
    size: [usize; 2],
    points: usize,
}

/// The elements of a channel that make up the value at one point, with their weights.
#[derive(Clone, Copy, Default)]
struct Taps {
    at: [u32; 4],
    weight: [f32; 4],
    count: usize,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, grid) = (cx.input::<f32>(0), cx.input::<f32>(1));
        let parallel = cx.parallel();
        let y = cx.shared_output::<f32>(0);
        let axes = self.size.map(|n| Axis::new(self.attrs, n));
        let (plane, chunks) = (self.size[0] * self.size[1], self.points.div_ceil(POINTS));
        split(parallel, self.samples * chunks, y.len() * 16, &|units, _| {
            let mut taps = [Taps::default(); POINTS];
            for unit in units {
                let (sample, first) = (unit / chunks, unit % chunks * POINTS);
                let taps = &mut taps[..POINTS.min(self.points - first)];
                let places = grid[(sample * self.points + first) * 2..].chunks_exact(2);
                for (taps, place) in taps.iter_mut().zip(places) {
                    *taps = self::taps(&axes, place[0], place[1]);
                }
                let mut channel = sample * self.channels;
                while channel < (sample + 1) * self.channels {
                    let to = channel * self.points + first;
                    let from = &x[channel * plane..];
                    channel += if channel + TOGETHER <= (sample + 1) * self.channels {
                        // SAFETY: every unit has points of its own in every channel.
                        let y = std::array::from_fn(|i| unsafe { y.slice(to + i * self.points, taps.len()) });
                        weigh::<TOGETHER>(std::array::from_fn(|i| &from[i * plane..][..plane]), taps, y)
                    } else {
                        // SAFETY: as above.
                        weigh::<1>([&from[..plane]], taps, [unsafe { y.slice(to, taps.len()) }])
                    };
                }
            }
        });
        Ok(())
    }
}

/// The elements at column `x` and row `y`, which run from -1 to 1.
#[inline(always)]
fn taps(axes: &[Axis; 2], x: f32, y: f32) -> Taps {
    let (down, across) = (axes[0].around(y), axes[1].around(x));
    let width = axes[1].len as u32;
    let weight = |i: usize, k: usize| (down.weight[i] * across.weight[k]) as f32;
    if down.count == 2 && across.count == 2 {
        let ([i, j], [k, l]) = (down.at.map(|i| i * width), across.at);
        let weight = [weight(0, 0), weight(0, 1), weight(1, 0), weight(1, 1)];
        return Taps { at: [i + k, i + l, j + k, j + l], weight, count: 4 };
    }
    let mut taps = Taps::default();
    for i in 0..down.count {
        for k in 0..across.count {
            taps.at[taps.count] = down.at[i] * width + across.at[k];
            taps.weight[taps.count] = weight(i, k);
            taps.count += 1;
        }
    }
    taps
}

/// The values at all points in `N` channels; how many that are.
fn weigh<const N: usize>(x: [&[f32]; N], taps: &[Taps], y: [&mut [f32]; N]) -> usize {
    for (i, t) in taps.iter().enumerate() {
        for c in 0..N {
            // SAFETY: the places of `t` lie within a channel, and there are as many values as points.
            unsafe {
                let term = |k: usize| x[c].get_unchecked(t.at[k] as usize) * t.weight[k];
                // Elements outside are left out rather than weighed with 0: that times infinity is NaN.
                *y[c].get_unchecked_mut(i) = match t.count {
                    4 => (term(0) + term(1)) + (term(2) + term(3)),
                    2 => term(0) + term(1),
                    1 => term(0),
                    _ => 0.0,
                };
            }
        }
    }
    N
}

/// An axis of an image.
struct Axis {
    nearest: bool,
    padding: GridPadding,
    len: f64,
    /// The place of a number from -1 to 1: that times the first, plus the second.
    scale: [f64; 2],
    /// Where places are mirrored.
    ends: [f64; 2],
}

/// At most two elements of an axis, with their weights.
#[derive(Clone, Copy, Default)]
struct Around {
    at: [u32; 2],
    weight: [f64; 2],
    count: usize,
}

impl Axis {
    fn new(a: GridSampleAttrs, n: usize) -> Axis {
        let len = n as f64;
        let (scale, ends) = if a.align_corners {
            ([(len - 1.0) / 2.0; 2], [0.0, len - 1.0])
        } else {
            ([len / 2.0, (len - 1.0) / 2.0], [-0.5, len - 0.5])
        };
        Axis { nearest: a.mode == GridMode::Nearest, padding: a.padding, len, scale, ends }
    }

    /// The elements that make up the value at `c`, which runs from -1 to 1.
    #[inline(always)]
    fn around(&self, c: f32) -> Around {
        let place = f64::from(c) * self.scale[0] + self.scale[1];
        if self.nearest || !(place >= 0.0 && place < self.len - 1.0) {
            return self.beyond(if self.nearest { place.round_ties_even() } else { place });
        }
        // SAFETY: within an axis, whose length fits.
        let first: i32 = unsafe { place.to_int_unchecked() };
        let beyond = place - f64::from(first);
        Around { at: [first as u32, first as u32 + 1], weight: [1.0 - beyond, beyond], count: 2 }
    }

    /// As [`Axis::around`], for places anywhere.
    #[inline(never)]
    fn beyond(&self, mut place: f64) -> Around {
        let last = self.len - 1.0;
        // Outside is decided for the place first and then for each element around it.
        match self.padding {
            GridPadding::Zeros => {}
            GridPadding::Border => place = place.max(0.0).min(last),
            GridPadding::Reflection => place = self.reflect(place),
        }
        let mut around = Around::default();
        // Neither NaN nor so far outside that elements could not be told apart.
        if place.abs() < 9e15 {
            let below = floor(place);
            for k in 0..if self.nearest { 1 } else { 2 } {
                let i = below + f64::from(k);
                let at = match self.padding {
                    GridPadding::Zeros if i < 0.0 || i > last => continue,
                    GridPadding::Zeros => i,
                    GridPadding::Border => i.max(0.0).min(last),
                    GridPadding::Reflection => self.reflect(i).max(0.0).min(last),
                };
                around.at[around.count] = at as u32;
                around.weight[around.count] = if self.nearest { 1.0 } else { 1.0 - (place - i).abs() };
                around.count += 1;
            }
        }
        around
    }

    /// `v` mirrored at the ends until it lies between them.
    fn reflect(&self, v: f64) -> f64 {
        let [low, high] = self.ends;
        let range = high - low;
        if range <= 0.0 || !v.is_finite() {
            return low.max(0.0);
        }
        if v >= low && v <= high {
            return v;
        }
        let beyond = (v - low).abs() % (2.0 * range);
        if beyond <= range { low + beyond } else { high - (beyond - range) }
    }
}

/// The largest integer not above `v`, which an `i64` can hold.
fn floor(v: f64) -> f64 {
    let toward_zero = v as i64 as f64;
    toward_zero - f64::from(toward_zero > v)
}
