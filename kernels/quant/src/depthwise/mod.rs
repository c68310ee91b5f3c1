//! Depthwise convolution of bytes.

mod dots;
mod numbers;

pub use dots::DepthwiseDots;
pub use numbers::Depthwise;

use crate::{
    finish,
    operand::{Bytes, Channels},
};
use paring_core::Op;
use paring_dense::conv::Geometry;
use paring_kernel::{Problem, Reject};
use paring_simd::LANES;

/// Products of a byte with a weight that has a zero point, whose sum is exact in `f32`.
const MOST_TAPS: usize = (1 << 24) / (255 * 255);
/// Output pixels of a task, about.
const TASK_PIXELS: usize = 4096;

/// A problem that is served here.
struct Plan {
    geometry: Geometry,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    x: Bytes,
    channels: Channels,
    /// The input channel of each output channel.
    source: Vec<usize>,
    /// Output rows of a task.
    band: usize,
}

impl Plan {
    fn of(p: &Problem) -> Result<Plan, Reject> {
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        let (Some(x), Some(w)) = (p.input(0), p.input(1)) else { return Err(Reject::because("an operand is missing")) };
        let (x, channels) = (Bytes::of(x)?, Channels::of(w, 0)?);
        let g = Geometry::of_any_conv(p, a)?;
        if g.depth != 1 {
            return Err(Reject::because("groups have more than one input channel"));
        }
        if a.kernel.len() > 2 || g.taps > MOST_TAPS {
            return Err(Reject::because("only windows of two axes, and not too large"));
        }
        finish::servable(p, g.outputs)?;
        let pair = |v: &[usize]| [if v.len() > 1 { v[0] } else { 1 }, v[v.len() - 1]];
        let each = g.outputs / g.groups;
        let source = (0..g.outputs).map(|m| g.select.as_ref().map_or(m / each, |s| s[m / each] as usize)).collect();
        let band = (TASK_PIXELS / g.output[2].max(1)).clamp(1, g.output[1]);
        Ok(Plan {
            kernel: pair(&a.kernel),
            stride: pair(&a.stride),
            dilation: pair(&a.dilation),
            geometry: g,
            x,
            channels,
            source,
            band,
        })
    }

    fn blocks(&self) -> usize {
        self.geometry.outputs.div_ceil(LANES)
    }

    /// Rows of the framed input that a task reads.
    fn rows(&self) -> usize {
        self.rows_of(self.band)
    }

    /// Rows of the framed input that `band` rows of the output read.
    fn rows_of(&self, band: usize) -> usize {
        (band - 1) * self.stride[0] + (self.kernel[0] - 1) * self.dilation[0] + 1
    }

    /// Columns of the framed input.
    fn columns(&self) -> usize {
        (self.geometry.output[2] - 1) * self.stride[1] + (self.kernel[1] - 1) * self.dilation[1] + 1
    }

    /// Tasks of a block of channels.
    fn bands(&self) -> usize {
        self.geometry.output[1].div_ceil(self.band)
    }

    /// Tasks: samples, blocks and bands.
    fn tasks(&self) -> usize {
        self.geometry.samples * self.blocks() * self.bands()
    }

    /// The sample, the block of channels and the first output row of a task.
    fn start(&self, task: usize) -> [usize; 3] {
        let (unit, band) = (task / self.bands(), task % self.bands());
        [unit / self.blocks(), unit % self.blocks(), band * self.band]
    }

    /// Makes sure that operands have so many elements.
    fn check(&self, x: usize, y: usize) {
        let (g, pixels) = (&self.geometry, |[d, h, w]: [usize; 3]| d * h * w * LANES);
        assert!(x >= g.samples * g.inputs.div_ceil(LANES) * pixels(g.input));
        assert!(y >= g.samples * self.blocks() * pixels(g.output));
    }

    /// The input channels of a block of output channels.
    fn sources(&self, block: usize) -> &[usize] {
        let first = block * LANES;
        &self.source[first..self.geometry.outputs.min(first + LANES)]
    }

    /// Where a row of the block of input channels that `channel` is in begins.
    fn row_at(&self, sample: usize, channel: usize, row: usize) -> usize {
        let (g, [_, height, width]) = (&self.geometry, self.geometry.input);
        ((sample * g.inputs.div_ceil(LANES) + channel / LANES) * height + row) * width * LANES
    }
}

/// Whether channels are those of a block, in order.
fn straight(channels: &[usize]) -> bool {
    channels.iter().enumerate().all(|(i, &c)| c == channels[0] / LANES * LANES + i)
}

/// Whether all channels are one.
fn alike(channels: &[usize]) -> bool {
    channels.iter().all(|&c| c == channels[0])
}
