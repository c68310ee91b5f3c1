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
use std::ops::Range;

/// Products of a byte with a weight that has a zero point, whose sum is exact in `f32`.
const MOST_TAPS: usize = (1 << 24) / (255 * 255);
/// Output pixels of a task, about.
const TASK_PIXELS: usize = 1024;

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
    /// Output rows of a task, and blocks of channels, where that is all rows.
    band: usize,
    several: usize,
}

/// What a task computes.
struct Start {
    sample: usize,
    /// Blocks of output channels.
    blocks: Range<usize>,
    /// The first of the rows.
    row: usize,
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
        let band = TASK_PIXELS / g.output[2].max(1);
        let mut plan = Plan {
            kernel: pair(&a.kernel),
            stride: pair(&a.stride),
            dilation: pair(&a.dilation),
            geometry: g,
            x,
            channels,
            source,
            band: 1,
            several: 1,
        };
        plan.cut(band);
        Ok(plan)
    }

    /// Makes tasks of so many rows at most; of several blocks where a block has fewer.
    fn cut(&mut self, band: usize) {
        let [_, rows, columns] = self.geometry.output;
        self.band = band.clamp(1, rows.max(1));
        self.several = match band >= rows {
            true => (TASK_PIXELS / (rows * columns).max(1)).clamp(1, self.blocks().max(1)),
            false => 1,
        };
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

    /// Tasks of a sample and a band.
    fn units(&self) -> usize {
        self.blocks().div_ceil(self.several)
    }

    /// Tasks: samples, blocks and bands.
    fn tasks(&self) -> usize {
        self.geometry.samples * self.units() * self.bands()
    }

    /// What a task computes.
    fn start(&self, task: usize) -> Start {
        let (unit, band) = (task / self.bands(), task % self.bands());
        let first = unit % self.units() * self.several;
        let blocks = first..(first + self.several).min(self.blocks());
        Start { sample: unit / self.units(), blocks, row: band * self.band }
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

/// Which input channels a block of output channels reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sources {
    /// Those of a block, in order.
    Block,
    /// One.
    One,
    /// Any.
    Any,
}

impl Sources {
    fn of(channels: &[usize]) -> Sources {
        let first = channels[0];
        if channels.iter().enumerate().all(|(i, &c)| c == first / LANES * LANES + i) {
            Sources::Block
        } else if channels.iter().all(|&c| c == first) {
            Sources::One
        } else {
            Sources::Any
        }
    }
}
