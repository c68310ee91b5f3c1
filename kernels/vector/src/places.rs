//! Places and weights of nearest and linear interpolation over the last two axes.

use crate::support::{Planes, operands};
use paring_core::{
    Layout, Op, normalize_axis,
    op::{AspectPolicy, Coordinates, Nearest, ResizeAttrs, ResizeMode},
};
use paring_kernel::{Problem, Reject};

/// Which two elements make up one output index, and the weight of the second.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    /// One element.
    pub first: usize,
    /// The other.
    pub second: usize,
    /// What the second counts, of 1.
    pub weight: f32,
    /// Outside the region of interest.
    pub outside: bool,
}

/// How one axis is resized.
#[derive(Clone, Copy, Debug)]
struct Axis {
    input: usize,
    output: usize,
    scale: f64,
    roi: (f64, f64),
}

/// How images are resized.
#[derive(Clone, Debug)]
pub struct Places {
    /// Images: all axes but the last two, blocks of channels instead of those.
    pub images: usize,
    /// Rows and columns of the input.
    pub input: [usize; 2],
    /// Where rows of the output come from.
    pub rows: Vec<Tap>,
    /// Where columns of the output come from.
    pub cols: Vec<Tap>,
    /// Whether elements are interpolated rather than copied.
    pub linear: bool,
    /// What is outside the region of interest.
    pub extrapolation: f32,
}

impl Places {
    /// Those of a problem in a layout.
    ///
    /// # Errors
    /// [`Reject`] where it is no resizing that takes two places along each of the last two axes.
    pub fn of(p: &Problem, layout: Layout) -> Result<Places, Reject> {
        let Op::Resize(a) = &p.op else { return Err("not a resize".into()) };
        if matches!(a.mode, ResizeMode::Cubic { .. }) {
            return Err("cubic interpolation".into());
        }
        let axes = axes(p, a)?;
        let linear = a.mode == ResizeMode::Linear;
        if linear && a.antialias && axes.iter().any(|s| s.scale < 1.0) {
            return Err("shrinking with a low-pass filter".into());
        }
        if layout != Layout::Plain && a.coordinates == Coordinates::TfCropAndResize {
            return Err("regions of interest are cut in plain layout".into());
        }
        let spatial = axes.len().saturating_sub(2).max(if layout == Layout::Plain { 0 } else { 2 });
        let (outer, inner) = axes.split_at_checked(spatial).ok_or("too few axes")?;
        if outer.iter().any(|s| !untouched(s)) {
            return Err("an axis before the last two changes".into());
        }
        let whole = Axis { input: 1, output: 1, scale: 1.0, roi: (0.0, 1.0) };
        let (h, w) = match *inner {
            [h, w] => (h, w),
            [w] => (whole, w),
            _ => return Err("no spatial axis".into()),
        };
        let shape = &operands(p)?.0.shape;
        let images = match layout {
            Layout::Plain => outer.iter().map(|s| s.input).product(),
            _ => {
                let planes = Planes::of(shape)?;
                planes.samples * planes.blocks() * shape[2..spatial].iter().product::<usize>()
            }
        };
        let input = [h.input, w.input];
        Ok(Places { images, input, rows: taps(a, &h)?, cols: taps(a, &w)?, linear, extrapolation: a.extrapolation })
    }
}

/// The elements of a constant input that may be absent or empty.
fn numbers(p: &Problem, i: usize) -> Result<Option<Vec<f64>>, Reject> {
    if p.input(i).is_none_or(|x| x.is_empty()) {
        return Ok(None);
    }
    let v = p.constant(i).and_then(|t| t.to_f64s()).ok_or("an input that says the size is not constant")?;
    Ok(Some(v))
}

fn axes(p: &Problem, a: &ResizeAttrs) -> Result<Vec<Axis>, Reject> {
    let (x, y) = operands(p)?;
    let (x, y) = (&x.shape, &y.shape);
    if x.len() != y.len() {
        return Err("the ranks differ".into());
    }
    let named: Vec<usize> = match &a.axes {
        Some(axes) => {
            let axes: Result<_, _> = axes.iter().map(|&d| normalize_axis(d, x.len())).collect();
            axes.map_err(|e| Reject::from(e.to_string()))?
        }
        None => (0..x.len()).collect(),
    };
    let factors = match (numbers(p, 2)?, numbers(p, 3)?) {
        (Some(scales), _) => scales,
        (None, Some(sizes)) => {
            let mut f: Vec<f64> = sizes.iter().zip(&named).map(|(s, &d)| s / x[d] as f64).collect();
            let common = match a.aspect {
                AspectPolicy::Stretch => None,
                AspectPolicy::NotLarger => f.iter().copied().reduce(f64::min),
                AspectPolicy::NotSmaller => f.iter().copied().reduce(f64::max),
            };
            common.into_iter().for_each(|c| f.fill(c));
            f
        }
        (None, None) => return Err("there are neither scales nor sizes".into()),
    };
    let crop = a.coordinates == Coordinates::TfCropAndResize;
    let roi = if crop { numbers(p, 1)? } else { None };
    let n = named.len();
    if factors.len() != n || roi.as_ref().is_some_and(|r| r.len() != 2 * n) {
        return Err("scales, sizes or region do not fit the axes".into());
    }
    let mut all: Vec<Axis> =
        x.iter().zip(y).map(|(&input, &output)| Axis { input, output, scale: 1.0, roi: (0.0, 1.0) }).collect();
    for (k, &d) in named.iter().enumerate() {
        all[d].scale = factors[k];
        if let Some(r) = &roi {
            all[d].roi = (r[k], r[n + k]);
        }
    }
    if all.iter().any(|s| !(s.scale > 0.0 && s.scale.is_finite())) {
        return Err("a scale is not positive".into());
    }
    Ok(all)
}

fn untouched(s: &Axis) -> bool {
    (s.scale - 1.0).abs() < 1e-9 && s.input == s.output && s.roi == (0.0, 1.0)
}

/// The place in the input of an output index (ONNX, `Resize`).
fn coordinate(c: Coordinates, s: &Axis, o: f64) -> f64 {
    let (input, resized) = (s.input as f64, s.scale * s.input as f64);
    let half_pixel = (o + 0.5) / s.scale - 0.5;
    match c {
        Coordinates::HalfPixel => half_pixel,
        Coordinates::HalfPixelSymmetric => input / 2.0 * (1.0 - s.output as f64 / resized) + half_pixel,
        Coordinates::PytorchHalfPixel | Coordinates::AlignCorners if resized == 1.0 => 0.0,
        Coordinates::PytorchHalfPixel => half_pixel,
        Coordinates::AlignCorners => o * (input - 1.0) / (resized - 1.0),
        Coordinates::Asymmetric => o / s.scale,
        Coordinates::TfHalfPixelForNn => (o + 0.5) / s.scale,
        Coordinates::TfCropAndResize => {
            let within = if resized == 1.0 { 0.5 } else { o / (resized - 1.0) };
            (s.roi.0 + within * (s.roi.1 - s.roi.0)) * (input - 1.0)
        }
    }
}

fn taps(a: &ResizeAttrs, s: &Axis) -> Result<Vec<Tap>, Reject> {
    let last = s.input as f64 - 1.0;
    let tap = |o: usize| {
        if untouched(s) {
            return Ok(Tap { first: o, second: o, weight: 0.0, outside: false });
        }
        let c = coordinate(a.coordinates, s, o as f64);
        if !c.is_finite() {
            return Err(Reject::because("an output index has no place in the input"));
        }
        let outside = a.coordinates == Coordinates::TfCropAndResize && (c < 0.0 || c > last);
        let (below, fraction) = (c.floor(), c - c.floor());
        let place = |v: f64| v.clamp(0.0, last) as usize;
        if let ResizeMode::Nearest(n) = a.mode {
            let up = match n {
                Nearest::RoundPreferFloor => fraction > 0.5,
                Nearest::RoundPreferCeil => fraction >= 0.5,
                Nearest::Floor => false,
                Nearest::Ceil => fraction > 0.0,
            };
            let first = place(below + f64::from(up));
            return Ok(Tap { first, second: first, weight: 0.0, outside });
        }
        Ok(Tap { first: place(below), second: place(below + 1.0), weight: fraction as f32, outside })
    };
    (0..s.output).map(tap).collect()
}
