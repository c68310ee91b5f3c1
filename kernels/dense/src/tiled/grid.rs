//! The tiles of a convolution and the matrices that their transforms make.

use super::PANEL;
use crate::conv::{Geometry, only_f32};
use core::ops::Range;
use paring_core::op::ConvAttrs;
use paring_kernel::{NumericClass, Problem, Reject};
use paring_simd::LANES;

/// The geometry of a convolution of `f32`, with that stride, that tiles can be transformed for.
///
/// # Errors
/// [`Reject`] where it is none.
pub fn geometry(p: &Problem, a: &ConvAttrs, stride: usize) -> Result<Geometry, Reject> {
    only_f32(p)?;
    let g = geometry_of_any(p, a, stride)?;
    if !p.numerics.allows(NumericClass::Transformed) {
        return Err(Reject::because("strict numerics allow no transformed products"));
    }
    Ok(g)
}

/// As [`geometry`], whatever the elements are.
///
/// # Errors
/// As there.
pub fn geometry_of_any(p: &Problem, a: &ConvAttrs, stride: usize) -> Result<Geometry, Reject> {
    if a.stride != [stride; 2] {
        return Err(Reject::from(format!("only stride {stride}")));
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
    /// Inputs of a tile, per axis: of its first phase, where there are several.
    pub n: [usize; 2],
    /// Outputs of a tile, per axis.
    pub m: [usize; 2],
    /// The stride of the convolution. Pixels of the input of each remainder by it, along both axes, are a *phase*: tiles
    /// have `n` inputs of the first phase and one less of the others, which are transformed apart and summed by one product.
    pub stride: usize,
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
            stride: 1,
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

    /// This grid for a convolution with that stride along both axes.
    ///
    /// # Errors
    /// [`Reject`] where there are several phases, and channels are neither within one block nor fill all.
    pub fn strided(mut self, stride: usize) -> Result<Grid, Reject> {
        if stride > 1 && self.inputs > LANES && !self.inputs.is_multiple_of(LANES) {
            return Err(Reject::because("only fewer than eight input channels, or multiples of eight"));
        }
        self.stride = stride;
        Ok(self)
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
        self.planes * (self.row() + self.width()) * size_of::<f32>()
    }

    /// Inputs of a tile along an axis, of all phases.
    fn span(&self, axis: usize) -> usize {
        self.stride * self.n[axis] - (self.stride - 1)
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
            let first = place[i] * self.stride;
            let inputs = |before: usize| self.steps(i, before.saturating_sub(first)).min(self.span(i));
            inputs(self.before[i])..inputs(self.before[i] + self.input[i])
        })
    }

    /// Whether these rows and columns of a tile are all.
    pub fn is_whole(&self, inside: &[Range<usize>; 2]) -> bool {
        inside[0].len() == self.span(0) && inside[1].len() == self.span(1)
    }

    /// Pixels from the first of a plane to the first of the tile at `place`, which may lie before it: modulo the size
    /// of the address space.
    pub fn offset(&self, place: [usize; 2]) -> usize {
        let [row, column] = [0, 1].map(|i| (place[i] * self.stride).wrapping_sub(self.before[i]));
        row.wrapping_mul(self.input[1]).wrapping_add(column)
    }

    /// Input channels, those that pad the last block included.
    pub fn depth(&self) -> usize {
        self.inputs.next_multiple_of(LANES)
    }

    /// Phases that have a plane, along both axes: only the first has the last row and column.
    fn phases(&self, plane: usize) -> [usize; 2] {
        if self.stride == 1 {
            return [1, 1];
        }
        let at = [plane / self.n[1], plane % self.n[1]];
        [0, 1].map(|i| if at[i] + 1 == self.n[i] { 1 } else { self.stride })
    }

    /// Terms of the sums of a plane: its phases' channels, phase by phase.
    pub fn terms(&self, plane: usize) -> usize {
        let [down, across] = self.phases(plane);
        down * across * self.inputs
    }

    /// The term of a plane that an input channel of a phase is.
    pub fn term(&self, plane: usize, phase: [usize; 2], input: usize) -> usize {
        (phase[0] * self.phases(plane)[1] + phase[1]) * self.inputs + input
    }

    /// Elements from one phase to the next in the transformed inputs of a tile. Where channels do not fill a block, those of
    /// the next phase lie on what pads it.
    pub fn phase_step(&self) -> usize {
        if self.inputs < LANES { self.inputs } else { self.depth() }
    }

    /// Elements from one tile to the next in a plane of transformed inputs.
    pub fn row(&self) -> usize {
        ((self.stride * self.stride - 1) * self.phase_step() + self.depth()).next_multiple_of(LANES)
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
        self.block * self.row() + PANEL
    }

    /// Elements from one plane of the products of a block to the next.
    pub fn product_step(&self) -> usize {
        self.block * self.width() + PANEL
    }

    /// Elements of a block's transformed inputs, followed by its products.
    pub fn scratch(&self) -> usize {
        self.planes * (self.input_step() + self.product_step())
    }

    /// Products of an input channel with all planes.
    pub fn products(&self) -> usize {
        if self.stride == 1 { self.planes } else { self.span(0) * self.span(1) }
    }

    /// Elements of the transformed weights.
    pub fn weights(&self) -> usize {
        self.products() * self.panels() * self.inputs * PANEL
    }

    /// Where the weights of a term of a plane's sums for a panel begin.
    pub fn weights_at(&self, plane: usize, panel: usize, term: usize) -> usize {
        let before = if self.stride == 1 {
            plane
        } else {
            let (down, across) = (plane / self.n[1], plane % self.n[1]);
            self.stride * down * self.span(1) + self.phases(plane)[0] * self.stride * across
        };
        (before * self.panels() * self.inputs + panel * self.terms(plane) + term) * PANEL
    }

    /// As [`Grid::weights`]; `None` where that overflows.
    pub fn checked_weights(&self) -> Option<usize> {
        self.panels().checked_mul(PANEL)?.checked_mul(self.inputs)?.checked_mul(self.products())
    }

    fn checked_scratch(&self) -> Option<usize> {
        let channels = self.row().checked_add(self.width())?;
        self.block.checked_mul(channels)?.checked_add(2 * PANEL)?.checked_mul(self.planes)
    }
}
