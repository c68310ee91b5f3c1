//! The tiles of a convolution and the matrices that their transforms make.

use super::PANEL;
use crate::conv::{Geometry, only_f32};
use core::ops::Range;
use paring_core::op::ConvAttrs;
use paring_kernel::{Numerics, Problem, Reject};
use paring_simd::LANES;

/// The geometry of a convolution of `f32` that tiles can be transformed for.
///
/// # Errors
/// [`Reject`] where it is none.
pub fn geometry(p: &Problem, a: &ConvAttrs) -> Result<Geometry, Reject> {
    only_f32(p)?;
    let g = geometry_of_any(p, a)?;
    if p.numerics == Numerics::Strict {
        return Err(Reject::because("strict numerics allow no transformed products"));
    }
    Ok(g)
}

/// As [`geometry`], whatever the elements are.
///
/// # Errors
/// As there.
pub fn geometry_of_any(p: &Problem, a: &ConvAttrs) -> Result<Geometry, Reject> {
    if a.stride != [1, 1] {
        return Err(Reject::because("only stride 1"));
    }
    let g = Geometry::of_any_conv(p, a)?;
    if g.groups != 1 || g.select.is_some() {
        return Err(Reject::because("only one group, and input channels in order"));
    }
    Ok(g)
}

/// Refuses windows with taps that are not neighbours.
///
/// # Errors
/// [`Reject`] where they are not.
pub fn undilated(a: &ConvAttrs) -> Result<(), Reject> {
    if a.dilation != [1, 1] { Err(Reject::because("no dilation")) } else { Ok(()) }
}

/// Extents of a convolution, its tiles and blocks of tiles.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Images.
    pub samples: usize,
    /// Input channels.
    pub inputs: usize,
    /// Output channels.
    pub outputs: usize,
    /// Rows and columns of the input.
    pub input: [usize; 2],
    /// Rows and columns of the output, before it is pooled.
    pub output: [usize; 2],
    /// Rows and columns of padding before the input.
    pub before: [usize; 2],
    /// Inputs of a tile, per axis.
    pub n: [usize; 2],
    /// Outputs of a tile, per axis.
    pub m: [usize; 2],
    /// Pixels from one input or output of a tile to the next, per axis.
    pub dilation: [usize; 2],
    /// Tiles per axis.
    pub tiles: [usize; 2],
    /// Of those the ones that begin at the same remainder of the dilation, per axis.
    alike: [usize; 2],
    /// Matrix products: transformed values of a tile.
    pub planes: usize,
    /// Whether the largest of every two by two outputs is stored, not the outputs.
    pub pools: bool,
    /// Tiles that are transformed before their products are summed.
    block: usize,
}

impl Grid {
    /// Tiles of `n` inputs and `m` outputs per axis, in blocks of one.
    pub fn new(g: &Geometry, n: [usize; 2], m: [usize; 2], planes: usize) -> Grid {
        let output = [g.output[1], g.output[2]];
        let tiles = [output[0].div_ceil(m[0]), output[1].div_ceil(m[1])];
        Grid {
            samples: g.samples,
            inputs: g.inputs,
            outputs: g.outputs,
            input: [g.input[1], g.input[2]],
            output,
            before: [g.halo[1], g.halo[2]],
            n,
            m,
            dilation: [1, 1],
            tiles,
            alike: tiles,
            planes,
            pools: false,
            block: 1,
        }
    }

    /// This grid for windows whose taps are `dilation` pixels apart: pixels of one remainder are a convolution without
    /// dilation, and tiles take those.
    pub fn dilated(mut self, dilation: [usize; 2]) -> Grid {
        self.dilation = dilation;
        self.alike = [0, 1].map(|i| self.output[i].div_ceil(dilation[i]).div_ceil(self.m[i]));
        self.tiles = [0, 1].map(|i| self.alike[i] * dilation[i].min(self.output[i]));
        self
    }

    /// This grid in blocks of at most `most` tiles, as equal as can be.
    ///
    /// # Errors
    /// [`Reject`] where a block's operands are beyond what can be addressed.
    pub fn in_blocks(mut self, most: usize) -> Result<Grid, Reject> {
        let tiles = self.all_tiles();
        self.block = tiles.div_ceil(tiles.div_ceil(most.max(1)).max(1)).max(1);
        let most = isize::MAX as usize / 64;
        if [self.checked_weights(), self.checked_scratch()].iter().any(|n| n.is_none_or(|n| n > most)) {
            return Err(Reject::because("the transformed operands are too large"));
        }
        Ok(self)
    }

    /// Outputs that become one along each axis.
    pub fn pooled(&self) -> usize {
        if self.pools { 2 } else { 1 }
    }

    /// Extents of what is stored.
    pub fn stored(&self) -> [usize; 2] {
        [self.output[0] / self.pooled(), self.output[1] / self.pooled()]
    }

    /// All tiles.
    pub fn all_tiles(&self) -> usize {
        self.samples * self.tiles[0] * self.tiles[1]
    }

    /// Bytes of one tile's transformed inputs and products.
    pub fn tile_bytes(&self) -> usize {
        self.planes * (self.depth() + self.width()) * size_of::<f32>()
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
        let at = [row % down, column];
        if self.dilation == [1, 1] {
            return (row / down, [at[0] * self.m[0], at[1] * self.m[1]]);
        }
        let first = |i: usize| at[i] / self.alike[i] + at[i] % self.alike[i] * self.m[i] * self.dilation[i];
        (row / down, [first(0), first(1)])
    }

    /// Outputs of the tile at `place` that there are along an axis of `extent`.
    pub fn outputs(&self, axis: usize, place: usize, extent: usize) -> usize {
        self.steps(axis, extent.saturating_sub(place)).min(self.m[axis])
    }

    /// Steps of the dilation that begin within so many pixels.
    fn steps(&self, axis: usize, pixels: usize) -> usize {
        // Divisions take longer than all else here.
        if self.dilation[axis] == 1 { pixels } else { pixels.div_ceil(self.dilation[axis]) }
    }

    /// Rows and columns of the tile at `place` that lie within the input; the others are zeros.
    pub fn inside(&self, place: [usize; 2]) -> [Range<usize>; 2] {
        [0, 1].map(|i| {
            let inputs = |before: usize| self.steps(i, before.saturating_sub(place[i])).min(self.n[i]);
            inputs(self.before[i])..inputs(self.before[i] + self.input[i])
        })
    }

    /// Pixels from the first of a plane to the first of the tile at `place`, which may lie before it: modulo the size
    /// of the address space.
    pub fn offset(&self, place: [usize; 2]) -> usize {
        let [row, column] = [0, 1].map(|i| place[i].wrapping_sub(self.before[i]));
        row.wrapping_mul(self.input[1]).wrapping_add(column)
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

    /// Elements from one plane of the transformed inputs of a block to the next. Not a power of two: all planes of
    /// a tile are written together, and would fall into the same few lines of the cache.
    pub fn input_step(&self) -> usize {
        self.block * self.depth() + PANEL
    }

    /// Elements from one plane of the products of a block to the next.
    pub fn product_step(&self) -> usize {
        self.block * self.width() + PANEL
    }

    /// Elements of a block's transformed inputs, followed by its products.
    pub fn scratch(&self) -> usize {
        self.planes * (self.input_step() + self.product_step())
    }

    /// Elements of the transformed weights.
    pub fn weights(&self) -> usize {
        self.planes * self.panels() * self.inputs * PANEL
    }

    /// Where the weights of an input channel for a panel begin.
    pub fn weights_at(&self, plane: usize, panel: usize, input: usize) -> usize {
        ((plane * self.panels() + panel) * self.inputs + input) * PANEL
    }

    /// As [`Grid::weights`]; `None` where that overflows.
    pub fn checked_weights(&self) -> Option<usize> {
        self.panels().checked_mul(PANEL)?.checked_mul(self.inputs)?.checked_mul(self.planes)
    }

    fn checked_scratch(&self) -> Option<usize> {
        let channels = self.depth().checked_add(self.width())?;
        self.block.checked_mul(channels)?.checked_add(2 * PANEL)?.checked_mul(self.planes)
    }
}
