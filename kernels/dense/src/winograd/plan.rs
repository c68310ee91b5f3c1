//! What a Winograd convolution cuts its work into.

use crate::tiled::{self, Grid};
use paring_core::Op;
use paring_kernel::{Problem, Reject};

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

/// Tiles, and who transforms them.
#[derive(Clone, Debug)]
pub struct Plan {
    pub grid: Grid,
    pub axes: Axes,
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
        let unpooled = p.unpooled();
        let p = unpooled.as_ref().unwrap_or(p);
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        let taps = n - m + 1;
        let axes = match a.kernel[..] {
            [h, w] if square && h == taps && w == taps => Axes::Both,
            [1, w] if !square && w == taps => Axes::Across,
            [h, 1] if !square && h == taps => Axes::Down,
            _ if square => return Err(Reject::from(format!("only windows of {taps} x {taps}"))),
            _ => return Err(Reject::from(format!("only windows of 1 x {taps} and {taps} x 1"))),
        };
        let g = tiled::geometry(p, a)?;
        let (n, m) = (axes.extent(n), axes.extent(m));
        if unpooled.is_some() && axes != Axes::Both {
            return Err(Reject::because("pools only what square windows make"));
        }
        let mut grid = Grid::new(&g, n, m, n[0] * n[1]);
        grid.pools = unpooled.is_some();
        let most = if shared {
            let large = grid.checked_weights().is_none_or(|n| n > CACHED_WEIGHTS / size_of::<f32>());
            let bytes = if large { SHARED_BYTES_OF_LARGE } else { SHARED_BYTES };
            (bytes / grid.tile_bytes()).max(2 * OWN_TILES)
        } else {
            OWN_TILES
        };
        Ok(Plan { grid: grid.in_blocks(most)?, axes, shared })
    }

    /// Whether there are enough blocks for each worker to have its own.
    pub fn is_divisible(&self) -> bool {
        self.grid.all_tiles() > (LEAST_BLOCKS - 1) * OWN_TILES
    }
}
