//! What a Winograd convolution cuts its work into.

use crate::tiled::{self, Grid, stages};
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

impl Plan {
    /// The plan of `p` for tiles of `m` outputs from `n` inputs of the first phase per axis, where windows extend along two
    /// axes or along one as `square` says, and move by `stride`.
    ///
    /// # Errors
    /// [`Reject`] where the problem is none for this algorithm.
    pub fn new(p: &Problem, n: usize, m: usize, square: bool, stride: usize, shared: bool) -> Result<Plan, Reject> {
        let unpooled = p.unpooled();
        let p = unpooled.as_ref().unwrap_or(p);
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        let taps = stride * (n - m) + 1;
        let axes = match a.kernel[..] {
            [h, w] if square && h == taps && w == taps => Axes::Both,
            [1, w] if !square && w == taps => Axes::Across,
            [h, 1] if !square && h == taps => Axes::Down,
            _ if square => return Err(Reject::from(format!("only windows of {taps} x {taps}"))),
            _ => return Err(Reject::from(format!("only windows of 1 x {taps} and {taps} x 1"))),
        };
        let g = tiled::geometry(p, a, stride)?;
        let (n, m) = (axes.extent(n), axes.extent(m));
        let dilation = [0, 1].map(|i| if n[i] == 1 { 1 } else { a.dilation[i] });
        if stride > 1 && dilation != [1, 1] {
            return Err(Reject::because("no dilation where windows move by more than a pixel"));
        }
        if unpooled.is_some() && (stride > 1 || axes != Axes::Both || dilation != [1, 1]) {
            return Err(Reject::because("pools only what square windows make, with stride 1 and without dilation"));
        }
        let mut grid = Grid::new(&g, n, m, n[0] * n[1]).dilated(dilation).strided(stride)?;
        grid.pools = unpooled.is_some();
        let weights = grid.checked_weights().map(|n| n.saturating_mul(size_of::<f32>()));
        let most = stages::tiles_of_block(shared, weights, grid.tile_bytes());
        Ok(Plan { grid: grid.in_blocks(most)?, axes, shared })
    }
}
