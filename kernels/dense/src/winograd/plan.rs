//! What a Winograd convolution cuts its work into.

use crate::conv::Geometry;
use core::ops::Range;
use paring_core::Op;
use paring_kernel::{Numerics, Problem, Reject};
use paring_simd::LANES;

/// Columns of a panel of weights.
pub const PANEL: usize = 2 * LANES;

/// The axes along which windows extend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axes {
    /// Square windows.
    Both,
    /// Windows of one row.
    Across,
    /// Windows of one column.
    Down,
}

impl Axes {
    /// `n` along the axes of the windows, 1 along the other.
    pub fn extent(self, n: usize) -> [usize; 2] {
        match self {
            Axes::Both => [n, n],
            Axes::Across => [1, n],
            Axes::Down => [n, 1],
        }
    }
}

/// Extents, tiles and blocks.
#[derive(Clone, Debug)]
pub struct Plan {
    pub samples: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub before: [usize; 2],
    pub axes: Axes,
    /// Tiles per axis.
    pub tiles: [usize; 2],
    /// Inputs and outputs of a tile, per axis.
    pub n: [usize; 2],
    pub m: [usize; 2],
    /// Tiles that are transformed before their products are summed.
    pub block: usize,
    /// Whether workers share a block, rather than each having its own.
    pub shared: bool,
}

/// Tiles of a worker's own block: two of the micro-kernel's, so that the block stays in the second-level cache.
const OWN_TILES: usize = 12;
/// Blocks below which workers share them instead: weights are read once for each block, and few blocks leave workers
/// without one.
const LEAST_BLOCKS: usize = 8;
/// Most bytes of a shared block, which goes through the last-level cache: no more than need be where the weights stay
/// there, as much as fits where they come from memory for each block.
const SHARED_BYTES: usize = 2 << 20;
const SHARED_BYTES_OF_LARGE: usize = 12 << 20;
/// Bytes of weights that stay in the last-level cache.
const CACHED_WEIGHTS: usize = 8 << 20;

impl Plan {
    /// The plan of `p` for tiles of `m` outputs from `n` inputs per axis, where windows extend along two axes or along
    /// one as `square` says.
    ///
    /// # Errors
    /// [`Reject`] where the problem is none for this algorithm.
    pub fn new(p: &Problem, n: usize, m: usize, square: bool, shared: bool) -> Result<Plan, Reject> {
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        let taps = n - m + 1;
        let axes = match a.kernel[..] {
            [h, w] if square && h == taps && w == taps => Axes::Both,
            [1, w] if !square && w == taps => Axes::Across,
            [h, 1] if !square && h == taps => Axes::Down,
            _ if square => return Err(Reject::from(format!("only windows of {taps} x {taps}"))),
            _ => return Err(Reject::from(format!("only windows of 1 x {taps} and {taps} x 1"))),
        };
        if a.stride != [1, 1] || a.dilation != [1, 1] {
            return Err(Reject::because("only stride 1 and no dilation"));
        }
        let g = Geometry::of_conv(p, a)?;
        if g.groups != 1 || g.select.is_some() {
            return Err(Reject::because("only one group, and input channels in order"));
        }
        if p.numerics == Numerics::Strict {
            return Err(Reject::because("strict numerics allow no transformed products"));
        }
        let output = [g.output[1], g.output[2]];
        let (n, m) = (axes.extent(n), axes.extent(m));
        let mut plan = Plan {
            samples: g.samples,
            inputs: g.inputs,
            outputs: g.outputs,
            input: [g.input[1], g.input[2]],
            output,
            before: [g.halo[1], g.halo[2]],
            axes,
            tiles: [output[0].div_ceil(m[0]), output[1].div_ceil(m[1])],
            n,
            m,
            block: 1,
            shared,
        };
        plan.block = plan.best_block();
        let bounded = |elements: Option<usize>| elements.is_some_and(|e| e <= isize::MAX as usize / 64);
        if !bounded(plan.checked_weights()) || !bounded(plan.checked_scratch()) {
            return Err(Reject::because("the transformed operands are too large"));
        }
        Ok(plan)
    }

    /// Positions of a tile: as many matrix products are summed.
    pub fn positions(&self) -> usize {
        self.n[0] * self.n[1]
    }

    /// All tiles.
    pub fn all_tiles(&self) -> usize {
        self.samples * self.tiles[0] * self.tiles[1]
    }

    fn best_block(&self) -> usize {
        let tiles = self.all_tiles();
        let most = if self.shared {
            let each = self.positions() * (self.depth() + self.width()) * size_of::<f32>();
            let large = self.checked_weights().is_none_or(|n| n > CACHED_WEIGHTS / size_of::<f32>());
            let bytes = if large { SHARED_BYTES_OF_LARGE } else { SHARED_BYTES };
            (bytes / each).max(2 * OWN_TILES)
        } else {
            OWN_TILES
        };
        // As equal as can be.
        tiles.div_ceil(tiles.div_ceil(most))
    }

    /// Whether there are enough blocks for each worker to have its own.
    pub fn is_divisible(&self) -> bool {
        self.all_tiles() > (LEAST_BLOCKS - 1) * OWN_TILES
    }

    /// Blocks of tiles.
    pub fn blocks(&self) -> usize {
        self.all_tiles().div_ceil(self.block)
    }

    /// The tiles of a block.
    pub fn range(&self, block: usize) -> Range<usize> {
        block * self.block..self.all_tiles().min((block + 1) * self.block)
    }

    /// Input channels, those that pad the last block included.
    pub fn depth(&self) -> usize {
        self.inputs.next_multiple_of(LANES)
    }

    /// Output channels, those that pad the last block included.
    pub fn width(&self) -> usize {
        self.outputs.next_multiple_of(LANES)
    }

    /// Panels of weights.
    pub fn panels(&self) -> usize {
        self.outputs.div_ceil(PANEL)
    }

    /// Elements from one position of the transformed inputs of a block to the next. Not a power of two: all positions
    /// of a tile are written together, and would fall into the same few lines of the cache.
    pub fn input_step(&self) -> usize {
        self.block * self.depth() + PANEL
    }

    /// Elements from one position of the products of a block to the next.
    pub fn product_step(&self) -> usize {
        self.block * self.width() + PANEL
    }

    /// Elements of a block's transformed inputs and products.
    pub fn scratch(&self) -> usize {
        self.positions() * (self.input_step() + self.product_step())
    }

    /// Elements of the transformed weights.
    pub fn weights(&self) -> usize {
        self.positions() * self.panels() * self.inputs * PANEL
    }

    fn checked_weights(&self) -> Option<usize> {
        self.panels().checked_mul(PANEL)?.checked_mul(self.inputs)?.checked_mul(self.positions())
    }

    fn checked_scratch(&self) -> Option<usize> {
        let channels = self.depth().checked_add(self.width())?;
        self.block.checked_mul(channels)?.checked_add(2 * PANEL)?.checked_mul(self.positions())
    }
}
