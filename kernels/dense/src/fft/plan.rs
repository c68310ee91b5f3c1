//! Which tiles a Fourier convolution takes, and where their frequencies go.

use crate::tiled::{self, Grid};
use core::ops::RangeInclusive;
use paring_core::Op;
use paring_kernel::{Problem, Reject};

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

/// Tiles, and the window that they are for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub grid: Grid,
    pub window: [usize; 2],
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
        let g = tiled::geometry(p, a, 1)?;
        tiled::undilated(a)?;
        if window.iter().any(|&k| k >= n) {
            return Err(Reject::from(format!("tiles of {n} x {n} are too small for the window")));
        }
        let planes = PARTS * frequencies(n) + REALS;
        let grid = Grid::new(&g, [n, n], window.map(|k| n + 1 - k), planes);
        if grid.checked_weights().is_none_or(|w| w > WEIGHT_BYTES / size_of::<f32>()) {
            return Err(Reject::from(format!(
                "the transformed weights would take more than {} MiB",
                WEIGHT_BYTES >> 20
            )));
        }
        let most = (BLOCK_BYTES / grid.tile_bytes()).max(LEAST_TILES);
        Ok(Plan { grid: grid.in_blocks(most)?, window })
    }

    /// Inputs of a tile, along each axis.
    pub fn n(&self) -> usize {
        self.grid.n[0]
    }
}

/// The plane, for tiles of `n` inputs along each axis, of the first part of the complex frequency `down` of column
/// `across`. Those of column 0 and of the last column, which are their own opposites, stop before the middle.
pub fn plane(n: usize, down: usize, across: usize) -> usize {
    let half = n / 2;
    let inner = (half - 1) * n;
    PARTS
        * match across {
            0 => inner + down - 1,
            _ if across == half => inner + half - 1 + down - 1,
            _ => (across - 1) * n + down,
        }
}

/// The plane of the real frequency in the middle of the axes that are said to be.
pub fn real_plane(n: usize, down: bool, across: bool) -> usize {
    PARTS * frequencies(n) + 2 * usize::from(down) + usize::from(across)
}

/// Complex spectral values of a real tile that determine the others, but for those that are real.
fn frequencies(n: usize) -> usize {
    (n / 2 - 1) * (n + 2)
}
