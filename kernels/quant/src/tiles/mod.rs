//! Pixels against panels by instructions that multiply matrices of bytes, whose sums come by way of memory.
//!
//! The bytes that a pixel multiplies lie in eights, a block of channels at a position of the window each. They are brought
//! side by side first, once for all panels that read the same.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "aarch64")]
mod matrix;

#[cfg(target_arch = "x86_64")]
pub use amx::ByTiles;
#[cfg(target_arch = "aarch64")]
pub use matrix::ByMatrices;

use crate::{conv::Kind, multiply::Multiply, operand::Bytes, tile::Panel};
use paring_kernel::{KernelError, Machine};
use paring_simd::{LANES, PairBytes, Simd};

/// Rows of weights that an eight of inputs is multiplied by.
const ROWS_OF_EIGHT: usize = 2;

/// A way to multiply that has panels of sixteen columns, with two rows for every eight of inputs.
pub trait Tiles: Multiply {
    /// How their weights are packed.
    const KIND: Kind;
    /// Rows of the shortest sum.
    const LEAST_ROWS: usize;

    /// That of inputs of bytes `x`, with all else done by the instructions of `S`.
    ///
    /// # Errors
    /// [`KernelError::Problem`] where this machine lacks the instructions.
    fn of<S: Simd>(x: Bytes) -> Result<Self, KernelError>;

    /// What multiplying takes, in nanoseconds, with inputs brought side by side and results finished.
    fn price(extent: &Extent, m: &Machine) -> f64;
}

/// What is multiplied, for its price.
pub struct Extent {
    pub pixels: f64,
    pub panels: usize,
    /// Weights that a pixel is multiplied by.
    pub per_pixel: f64,
    /// Bytes of a pixel that are brought side by side.
    pub gathered: f64,
    /// Results.
    pub elements: f64,
}

/// What the bits of eight bytes are turned by before they are multiplied.
fn turn<S: Simd>(x: Bytes) -> u64 {
    const UPPERMOST: u64 = 0x8080_8080_8080_8080;
    if x.turned::<S>() { UPPERMOST } else { 0 }
}

/// Finishes and stores sixteen columns of the sums of pixels, which are `ROW` apart.
///
/// # Safety
/// As for [`Run::multiply`](crate::product::Run::multiply); the sums of as many pixels as `y` must be there.
#[inline(always)]
unsafe fn store<S: Simd, const ROW: usize>(s: S, panel: &Panel<'_>, sums: *const i32, y: &[usize]) {
    let mut at = 0;
    // SAFETY: the caller's promise.
    unsafe {
        while at + 8 <= y.len() {
            store_some::<S, ROW, 8>(s, panel, sums.add(at * ROW), &y[at..at + 8]);
            at += 8;
        }
        while at + 4 <= y.len() {
            store_some::<S, ROW, 4>(s, panel, sums.add(at * ROW), &y[at..at + 4]);
            at += 4;
        }
        while at < y.len() {
            store_some::<S, ROW, 1>(s, panel, sums.add(at * ROW), &y[at..at + 1]);
            at += 1;
        }
    }
}

/// As [`store`], of `N` pixels.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn store_some<S: Simd, const ROW: usize, const N: usize>(
    s: S,
    panel: &Panel<'_>,
    sums: *const i32,
    y: &[usize],
) {
    // SAFETY: the caller's promise.
    unsafe {
        // Panels end in one vector where the output does.
        if panel.place.lanes > LANES {
            let mut pairs = [s.pair().load_sums(sums); N];
            for i in 0..N {
                pairs[i] = s.pair().load_sums(sums.add(i * ROW));
            }
            panel.finish.store_pairs(s, &panel.place, pairs, y);
        } else {
            let mut singles = [s.load_sums(sums); N];
            for i in 0..N {
                singles[i] = s.load_sums(sums.add(i * ROW));
            }
            panel.finish.store_sums(s, &panel.place, singles, y);
        }
    }
}
