//! Convolutions brought to three spatial axes and checked.

use super::extent::{Extent, attributes, only_f32, product, shapes};
use paring_core::op::{ConvAttrs, ConvTransposeAttrs};
use paring_kernel::{Problem, Reject};

/// One weight position of a phase.
#[derive(Clone, Copy, Debug)]
pub struct Tap {
    /// Its flat index among the kernel's positions.
    pub index: usize,
    /// Input position, counted from that of the output pixel in the padded input.
    pub at: [usize; 3],
}

/// A grid of output pixels that all have the same taps.
#[derive(Clone, Debug)]
pub struct Phase {
    /// Output pixels per axis.
    pub grid: [usize; 3],
    /// Step in the padded input from one pixel to the next.
    pub input_step: [usize; 3],
    /// Output position of the first pixel.
    pub origin: [usize; 3],
    /// Step in the output from one pixel to the next.
    pub output_step: [usize; 3],
    /// Weight positions.
    pub taps: Vec<Tap>,
}

/// A convolution of either kind.
#[derive(Clone, Debug)]
pub struct Geometry {
    /// Samples.
    pub samples: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Groups.
    pub groups: usize,
    /// Input channels that a group sums over.
    pub depth: usize,
    /// The input channel for each weight channel of each group, where not in order.
    pub select: Option<Vec<u32>>,
    /// Extent of the input.
    pub input: [usize; 3],
    /// Extent of the output.
    pub output: [usize; 3],
    /// Weight positions.
    pub taps: usize,
    /// Zeros before the input.
    pub halo: [usize; 3],
    /// Extent of the input with its zeros, as far as it is read.
    pub padded: [usize; 3],
    /// Phases.
    pub phases: Vec<Phase>,
    /// Weights are `[C, M/group, ...]` rather than `[M, C/group, ...]`.
    pub transposed: bool,
}

/// Most phases of a transposed convolution: beyond, almost no phase has a tap.
const MAX_PHASES: usize = 1024;

/// The trailing axes, lifted to three by axes of `fill` in front.
fn lift(v: &[usize], fill: usize) -> [usize; 3] {
    let mut out = [fill; 3];
    out[3 - v.len()..].copy_from_slice(v);
    out
}

/// Refuses what this engine cannot serve: weights that it cannot pack, and more than three spatial axes.
fn servable(p: &Problem, axes: usize) -> Result<(), Reject> {
    if p.constant(1).is_none() {
        return Err(Reject::because("the weights are not constant"));
    }
    if axes > 3 {
        return Err(Reject::because("only one to three spatial axes"));
    }
    Ok(())
}

impl Geometry {
    /// Windows of one tap, with stride 1, over an input of that extent: a product of its pixels with a matrix.
    pub fn pointwise(samples: usize, extent: [usize; 3], depth: usize, outputs: usize) -> Geometry {
        let taps = vec![Tap { index: 0, at: [0; 3] }];
        let phase = Phase { grid: extent, input_step: [1; 3], origin: [0; 3], output_step: [1; 3], taps };
        Geometry {
            samples,
            inputs: depth,
            outputs,
            groups: 1,
            depth,
            select: None,
            input: extent,
            output: extent,
            taps: 1,
            halo: [0; 3],
            padded: extent,
            phases: vec![phase],
            transposed: false,
        }
    }

    /// The geometry of a convolution of `f32`.
    ///
    /// # Errors
    /// [`Reject`] where it is not one, or its shapes contradict each other.
    pub fn of_conv(p: &Problem, a: &ConvAttrs) -> Result<Geometry, Reject> {
        only_f32(p)?;
        Geometry::of_any_conv(p, a)
    }

    /// The geometry of a convolution, whatever its elements are.
    ///
    /// # Errors
    /// [`Reject`] where its shapes contradict each other.
    pub fn of_any_conv(p: &Problem, a: &ConvAttrs) -> Result<Geometry, Reject> {
        let e = Extent::of(p, a)?;
        servable(p, e.input.len())?;
        let (kernel, dilation) = (lift(&a.kernel, 1), lift(&a.dilation, 1));
        let taps = product(&kernel).ok_or_else(|| Reject::because("the kernel is too large"))?;
        let at = |index: usize| {
            let [_, h, w] = kernel;
            let place = [index / (h * w), index / w % h, index % w];
            [0, 1, 2].map(|i| place[i] * dilation[i])
        };
        let output = lift(e.output, 1);
        let phase = Phase {
            grid: output,
            input_step: lift(&a.stride, 1),
            origin: [0; 3],
            output_step: [1; 3],
            taps: (0..taps).map(|index| Tap { index, at: at(index) }).collect(),
        };
        Geometry {
            samples: e.samples,
            inputs: e.inputs,
            outputs: e.outputs,
            groups: a.groups,
            depth: e.depth,
            select: a.select.clone(),
            input: lift(e.input, 1),
            output,
            taps,
            halo: lift(&e.before, 0),
            padded: lift(&e.padded, 1),
            phases: vec![phase],
            transposed: false,
        }
        .bounded()
    }

    /// The geometry of a transposed convolution.
    ///
    /// # Errors
    /// [`Reject`] as for [`Geometry::of_conv`].
    pub fn of_transposed(p: &Problem, a: &ConvTransposeAttrs) -> Result<Geometry, Reject> {
        only_f32(p)?;
        let [x, w, y] = shapes(p)?;
        let axes = x.len() - 2;
        servable(p, axes)?;
        attributes(axes, &w[2..], [&a.kernel, &a.stride, &a.dilation])?;
        let groups = a.groups;
        if groups == 0
            || !x[1].is_multiple_of(groups)
            || w[0] != x[1]
            || Some(y[1]) != w[1].checked_mul(groups)
            || y[0] != x[0]
        {
            return Err(Reject::because("channels, groups and weights contradict each other"));
        }
        let mut phases = vec![Axis::default(); axes];
        for i in 0..axes {
            let before = leading_cut(a, i, x[2 + i], y[2 + i])
                .ok_or_else(|| Reject::because("the output's extent contradicts the attributes"))?;
            phases[i] = Axis::new(y[2 + i], a.kernel[i], a.stride[i], a.dilation[i], before)
                .ok_or_else(|| Reject::because("attributes are too large"))?;
        }
        while phases.len() < 3 {
            phases.insert(0, Axis::unit());
        }
        if phases.iter().try_fold(1usize, |n, a| n.checked_mul(a.phases.len())).is_none_or(|n| n > MAX_PHASES) {
            return Err(Reject::because("the stride is too large"));
        }
        let kernel = lift(&a.kernel, 1);
        let taps = product(&kernel).ok_or_else(|| Reject::because("the kernel is too large"))?;
        let mut list = vec![];
        for d in &phases[0].phases {
            for h in &phases[1].phases {
                for w in &phases[2].phases {
                    let mut taps = vec![];
                    for &(kd, id) in &d.taps {
                        for &(kh, ih) in &h.taps {
                            for &(kw, iw) in &w.taps {
                                taps.push(Tap { index: (kd * kernel[1] + kh) * kernel[2] + kw, at: [id, ih, iw] });
                            }
                        }
                    }
                    list.push(Phase {
                        grid: [d.count, h.count, w.count],
                        input_step: [1; 3],
                        origin: [d.origin, h.origin, w.origin],
                        output_step: [0, 1, 2].map(|i| phases[i].stride),
                        taps,
                    });
                }
            }
        }
        Geometry {
            samples: x[0],
            inputs: x[1],
            outputs: y[1],
            groups,
            depth: x[1] / groups,
            select: None,
            input: lift(&x[2..], 1),
            output: lift(&y[2..], 1),
            taps,
            halo: [0, 1, 2].map(|i| phases[i].halo),
            padded: [0, 1, 2].map(|i| phases[i].padded),
            phases: list,
            transposed: true,
        }
        .bounded()
    }

    /// Whether the input has to be copied into a frame of zeros before it can be read.
    pub fn needs_halo(&self) -> bool {
        (0..3).any(|i| self.halo[i] > 0 || self.padded[i] > self.input[i])
    }

    /// Refuses frames of zeros that dwarf the operands: only attributes made to exhaust memory ask for them.
    fn bounded(self) -> Result<Geometry, Reject> {
        if self.needs_halo() {
            let of = |c: usize, e: &[usize; 3]| product(&[self.samples, c.next_multiple_of(8), e[0], e[1], e[2]]);
            let padded = of(self.inputs, &self.padded);
            let operands = of(self.inputs, &self.input).zip(of(self.outputs, &self.output));
            let fits = |(a, b): (usize, usize)| padded.is_some_and(|p| p / 8 <= a + b + (1 << 20));
            if !operands.is_some_and(fits) {
                return Err(Reject::because("the padding dwarfs the operands"));
            }
        }
        Ok(self)
    }
}

/// Elements cut from the front of an axis of the full transposed output.
fn leading_cut(a: &ConvTransposeAttrs, axis: usize, input: usize, output: usize) -> Option<usize> {
    use paring_core::op::Padding;
    let span = (a.kernel[axis] - 1).checked_mul(a.dilation[axis])?.checked_add(1)?;
    let extra = a.output_padding.get(axis).copied().unwrap_or(0);
    let full = (input - 1).checked_mul(a.stride[axis])?.checked_add(span)?.checked_add(extra)?;
    let automatic = matches!(a.padding, Padding::SameUpper | Padding::SameLower);
    if a.output_shape.is_some() || automatic {
        // ONNX: the total follows from the extent; the odd element goes to the end for SAME_UPPER, else to the front.
        let total = full.saturating_sub(output);
        let upper = matches!(a.padding, Padding::SameUpper);
        return Some(if upper { total / 2 } else { total - total / 2 });
    }
    let (before, after) = a.padding.resolve(axis, input, a.kernel[axis], a.stride[axis], a.dilation[axis]);
    (full.checked_sub(before)?.checked_sub(after)? == output).then_some(before)
}

/// One axis of a transposed convolution.
#[derive(Clone, Debug, Default)]
struct Axis {
    stride: usize,
    halo: usize,
    padded: usize,
    phases: Vec<AxisPhase>,
}

#[derive(Clone, Debug)]
struct AxisPhase {
    origin: usize,
    count: usize,
    /// Kernel position and input position (from the pixel's, in the padded input).
    taps: Vec<(usize, usize)>,
}

impl Axis {
    /// An axis of length 1 that is not there.
    fn unit() -> Axis {
        let phase = AxisPhase { origin: 0, count: 1, taps: vec![(0, 0)] };
        Axis { stride: 1, halo: 0, padded: 1, phases: vec![phase] }
    }

    fn new(output: usize, kernel: usize, stride: usize, dilation: usize, before: usize) -> Option<Axis> {
        let small = |n: usize| i64::try_from(n).ok().filter(|&n| n < 1 << 40);
        let (s, d, cut) = (small(stride)?, small(dilation)?, small(before)?);
        small(d.checked_mul(kernel as i64)? as usize)?;
        let origins = output.min(stride);
        if origins > MAX_PHASES {
            return None;
        }
        // Output `r + j s` takes kernel position `k` from input `(r + cut - k d) / s + j`, where that divides.
        let reaches = |r: usize| {
            (0..kernel).filter_map(move |k| {
                let from = r as i64 + cut - k as i64 * d;
                (from.rem_euclid(s) == 0).then_some((k, from.div_euclid(s)))
            })
        };
        let least = (0..origins).flat_map(reaches).map(|(_, i)| i).min().unwrap_or(0).min(0);
        let halo = least.unsigned_abs() as usize;
        let mut axis = Axis { stride, halo, padded: 1, phases: vec![] };
        for origin in 0..origins {
            let count = (output - origin).div_ceil(stride);
            let taps: Vec<_> = reaches(origin).map(|(k, i)| (k, (i - least) as usize)).collect();
            let far = taps.iter().map(|t| t.1).max().unwrap_or(0);
            axis.padded = axis.padded.max(far.checked_add(count)?);
            axis.phases.push(AxisPhase { origin, count, taps });
        }
        Some(axis)
    }
}
