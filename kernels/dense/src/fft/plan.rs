//! What a Fourier convolution cuts its work into.

use crate::conv::Geometry;
use core::ops::{Range, RangeInclusive};
use paring_core::Op;
use paring_kernel::{Numerics, Problem, Reject};
use paring_simd::LANES;

/// Columns of a panel of weights.
pub const PANEL: usize = 2 * LANES;
/// Windows along each axis.
pub const WINDOWS: RangeInclusive<usize> = 5..=31;
/// Real products for each complex one.
pub const PARTS: usize = 3;
/// Real spectral values of a tile: of both even frequencies, down and across.
pub const REALS: usize = 4;

/// Most bytes of a block's spectra: half of a usual last-level cache, so that they are read back from there.
const BLOCK_BYTES: usize = 12 << 20;
/// Tiles of a block where they take more: as many as the micro-kernel takes at once.
const LEAST_TILES: usize = 6;
/// Most bytes of transformed weights. Beyond, reading them takes longer than what they save.
const WEIGHT_BYTES: usize = 256 << 20;

/// Extents, tiles and blocks.
#[derive(Clone, Debug)]
pub struct Plan {
    pub samples: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub before: [usize; 2],
    pub window: [usize; 2],
    /// Inputs of a tile, along each axis.
    pub n: usize,
    /// Outputs of a tile, per axis.
    pub m: [usize; 2],
    /// Tiles per axis.
    pub tiles: [usize; 2],
    /// Tiles that are transformed before their products are summed.
    pub block: usize,
}

impl Plan {
    /// The plan of `p` for tiles of `n` inputs along each axis.
    ///
    /// # Errors
    /// [`Reject`] where the problem is none for this algorithm.
    pub fn new(p: &Problem, n: usize) -> Result<Plan, Reject> {
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        let window = match a.kernel[..] {
            [h, w] if WINDOWS.contains(&h) && WINDOWS.contains(&w) => [h, w],
            _ => {
                return Err(Reject::from(format!(
                    "only windows of {0} x {0} to {1} x {1}",
                    WINDOWS.start(),
                    WINDOWS.end()
                )));
            }
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
        if window.iter().any(|&k| k >= n) {
            return Err(Reject::from(format!("tiles of {n} x {n} are too small for the window")));
        }
        let output = [g.output[1], g.output[2]];
        let m = [n + 1 - window[0], n + 1 - window[1]];
        let mut plan = Plan {
            samples: g.samples,
            inputs: g.inputs,
            outputs: g.outputs,
            input: [g.input[1], g.input[2]],
            output,
            before: [g.halo[1], g.halo[2]],
            window,
            n,
            m,
            tiles: [output[0].div_ceil(m[0]), output[1].div_ceil(m[1])],
            block: 1,
        };
        let bounded = |elements: Option<usize>, bytes: usize| elements.is_some_and(|e| e <= bytes / size_of::<f32>());
        if !bounded(plan.checked_weights(), WEIGHT_BYTES) {
            return Err(Reject::from(format!(
                "the transformed weights would take more than {} MiB",
                WEIGHT_BYTES >> 20
            )));
        }
        plan.block = plan.best_block();
        if !bounded(plan.checked_scratch(), isize::MAX as usize / 16) {
            return Err(Reject::because("the transformed operands are too large"));
        }
        Ok(plan)
    }

    /// Complex spectral values of a real tile that determine the others, but for those that are real.
    pub fn frequencies(&self) -> usize {
        (self.n / 2 - 1) * (self.n + 2)
    }

    /// Matrix products: [`PARTS`] for each complex frequency, and one for each real one.
    pub fn planes(&self) -> usize {
        PARTS * self.frequencies() + REALS
    }

    /// The plane of the first part of the complex frequency `down` of column `across`. Those of column 0 and of the last
    /// column, which are their own opposites, stop before the middle.
    pub fn plane(&self, down: usize, across: usize) -> usize {
        let inner = (self.n / 2 - 1) * self.n;
        PARTS
            * match across {
                0 => inner + down - 1,
                _ if across == self.n / 2 => inner + self.n / 2 - 1 + down - 1,
                _ => (across - 1) * self.n + down,
            }
    }

    /// The plane of the real frequency in the middle of the axes that are said to be.
    pub fn real_plane(&self, down: bool, across: bool) -> usize {
        PARTS * self.frequencies() + 2 * usize::from(down) + usize::from(across)
    }

    /// All tiles.
    pub fn all_tiles(&self) -> usize {
        self.samples * self.tiles[0] * self.tiles[1]
    }

    fn best_block(&self) -> usize {
        let tiles = self.all_tiles();
        let each = self.planes() * (self.depth() + self.width()) * size_of::<f32>();
        let most = (BLOCK_BYTES / each).max(LEAST_TILES);
        // As equal as can be.
        tiles.div_ceil(tiles.div_ceil(most).max(1)).max(1)
    }

    /// Blocks of tiles.
    pub fn blocks(&self) -> usize {
        self.all_tiles().div_ceil(self.block)
    }

    /// The tiles of a block.
    pub fn range(&self, block: usize) -> Range<usize> {
        block * self.block..self.all_tiles().min((block + 1) * self.block)
    }

    /// The sample and the first output row and column of a tile.
    pub fn place(&self, tile: usize) -> (usize, [usize; 2]) {
        let [down, across] = self.tiles;
        let (row, column) = (tile / across, tile % across);
        (row / down, [row % down * self.m[0], column * self.m[1]])
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

    /// Elements from one plane of the spectra of a block to the next. Not a power of two: all planes of a tile are
    /// written together, and would fall into the same few lines of the cache.
    pub fn input_step(&self) -> usize {
        self.block * self.depth() + PANEL
    }

    /// Elements from one plane of the products of a block to the next.
    pub fn product_step(&self) -> usize {
        self.block * self.width() + PANEL
    }

    /// Elements of a block's spectra and products.
    pub fn scratch(&self) -> usize {
        self.planes() * (self.input_step() + self.product_step())
    }

    /// Elements of the transformed weights.
    pub fn weights(&self) -> usize {
        self.planes() * self.panels() * self.inputs * PANEL
    }

    fn checked_weights(&self) -> Option<usize> {
        self.panels().checked_mul(PANEL)?.checked_mul(self.inputs)?.checked_mul(self.planes())
    }

    fn checked_scratch(&self) -> Option<usize> {
        let channels = self.depth().checked_add(self.width())?;
        self.block.checked_mul(channels)?.checked_add(2 * PANEL)?.checked_mul(self.planes())
    }
}
