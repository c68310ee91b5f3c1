//! Gathers patches of the input into panels.

use super::PANEL;
use crate::conv::Extent;
use core::ops::Range;
use paring_core::{op::ConvAttrs, strides};

/// Most spatial axes.
pub const MOST_AXES: usize = 6;

/// Where the elements of patches lie.
#[derive(Clone, Debug)]
pub struct Patches {
    pub samples: usize,
    pub outputs: usize,
    pub groups: usize,
    inputs: usize,
    /// Input channels that a group sums over.
    depth: usize,
    select: Option<Vec<u32>>,
    pub taps: usize,
    axes: Vec<Axis>,
}

/// One spatial axis.
#[derive(Clone, Debug)]
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    /// Elements from one position of the input to the next.
    step: usize,
    /// Output pixels and taps from one position to the next.
    pixels: usize,
    taps: usize,
}

impl Axis {
    /// The first place, in the padded input, of the window of output pixel `pixel`.
    fn window(&self, pixel: usize) -> usize {
        pixel / self.pixels % self.output * self.stride
    }

    /// The place of tap `tap` within a window.
    fn tap(&self, tap: usize) -> usize {
        tap / self.taps % self.kernel * self.dilation
    }

    /// The element of the input at a place of the padded input; none where it is padding.
    fn at(&self, place: usize) -> Option<usize> {
        Some(place.checked_sub(self.before).filter(|&at| at < self.input)? * self.step)
    }
}

impl Patches {
    /// The patches of a convolution with `taps` taps.
    pub fn new(e: &Extent<'_>, a: &ConvAttrs, taps: usize) -> Patches {
        let (steps, pixels, places) = (strides(e.input), strides(e.output), strides(&a.kernel));
        let axis = |i: usize| Axis {
            input: e.input[i],
            output: e.output[i],
            kernel: a.kernel[i],
            stride: a.stride[i],
            dilation: a.dilation[i],
            before: e.before[i],
            step: steps[i],
            pixels: pixels[i],
            taps: places[i],
        };
        Patches {
            samples: e.samples,
            outputs: e.outputs,
            groups: a.groups,
            inputs: e.inputs,
            depth: e.depth,
            select: a.select.clone(),
            taps,
            axes: (0..e.input.len()).map(axis).collect(),
        }
    }

    /// Output pixels of a plane.
    pub fn pixels(&self) -> usize {
        self.axes.iter().map(|a| a.output).product()
    }

    /// Elements of an input plane.
    fn plane(&self) -> usize {
        self.axes.iter().map(|a| a.input).product()
    }

    /// Elements of the input.
    pub fn elements(&self) -> usize {
        self.samples * self.inputs * self.plane()
    }

    /// Length of the sum.
    pub fn sum(&self) -> usize {
        self.depth * self.taps
    }

    /// Elements of a panel.
    pub fn panel(&self) -> usize {
        self.sum() * PANEL
    }

    /// Writes the patches of `pixels`, at most [`PANEL`], to `panel`: one row for each weight of `group`, padding and
    /// columns that do not exist as zeros.
    pub fn gather(&self, x: &[f32], sample: usize, group: usize, pixels: Range<usize>, panel: &mut [f32]) {
        let plane = self.plane();
        let mut windows = [[0; PANEL]; MOST_AXES];
        for (windows, axis) in windows.iter_mut().zip(&self.axes) {
            windows.iter_mut().zip(pixels.clone()).for_each(|(w, pixel)| *w = axis.window(pixel));
        }
        for tap in 0..self.taps {
            // Elements of a plane, the same for all channels.
            let mut places = [None; PANEL];
            places[..pixels.len()].fill(Some(0));
            for (windows, axis) in windows.iter().zip(&self.axes) {
                let tap = axis.tap(tap);
                for (place, window) in places.iter_mut().zip(windows) {
                    *place = place.zip(axis.at(window + tap)).map(|(place, at)| place + at);
                }
            }
            let first = places[0].filter(|&first| places.iter().zip(first..).all(|(&p, at)| p == Some(at)));
            for k in 0..self.depth {
                let channel = group * self.depth + k;
                let channel = self.select.as_ref().map_or(channel, |s| s[channel] as usize);
                let x = &x[(sample * self.inputs + channel) * plane..][..plane];
                let row = &mut panel[(k * self.taps + tap) * PANEL..][..PANEL];
                match first {
                    Some(first) => row.copy_from_slice(&x[first..][..PANEL]),
                    None => row.iter_mut().zip(&places).for_each(|(to, at)| *to = at.map_or(0.0, |at| x[at])),
                }
            }
        }
    }
}
