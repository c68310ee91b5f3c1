//! The micro-kernel: pixels times columns, summed over rows of four bytes.

use crate::finish::{Finish, Place};
use paring_simd::{LANES, Simd};

/// Inputs of a tile: bytes without a sign, and weights of bytes.
pub const UNSIGNED: u8 = 0;
/// Bytes with a sign, and weights of bytes.
pub const SIGNED: u8 = 1;
/// Words of sixteen bits, two for each four bytes, on both sides.
pub const WORDS: u8 = 2;

/// What all tiles of a panel share.
pub struct Panel<'a> {
    /// Rows of `vectors * 32` bytes.
    pub weights: *const i8,
    /// For each row the bytes from a pixel's first to the four that it multiplies.
    pub offsets: &'a [usize],
    /// Where sums start from, one for each column.
    pub init: *const i32,
    /// Columns, in the output and in the vectors of the epilogue.
    pub place: Place,
    pub finish: &'a Finish<'a>,
}

/// Pixels of the largest tile for so many vectors.
const fn most(vectors: usize) -> usize {
    match vectors {
        1 => 8,
        2 => 4,
        _ => 3,
    }
}

/// Computes pixels that begin at `x` and are stored at `y`, bytes from the output's first element.
///
/// # Safety
/// Every pixel must be readable at all offsets, and its columns in the output be this task's alone.
#[inline(always)]
pub unsafe fn pixels<S: Simd, const NV: usize, const KIND: u8>(s: S, panel: &Panel<'_>, x: &[*const u8], y: &[usize]) {
    let mut at = 0;
    macro_rules! tiles {
        ($($n:literal)*) => {$(
            while $n <= most(NV) && x.len() - at >= $n {
                // SAFETY: the caller's promise.
                unsafe { tile::<S, $n, NV, KIND>(s, panel, &x[at..at + $n], &y[at..at + $n]) };
                at += $n;
            }
        )*};
    }
    tiles!(8 4 3 2 1);
}

/// # Safety
/// As for [`pixels`].
#[inline(always)]
unsafe fn tile<S: Simd, const PX: usize, const NV: usize, const KIND: u8>(
    s: S,
    panel: &Panel<'_>,
    x: &[*const u8],
    y: &[usize],
) {
    if PX > most(NV) {
        return;
    }
    // SAFETY: the caller's promise; weights and starts are there for all columns of a panel.
    unsafe {
        let mut from = [x[0]; PX];
        from.copy_from_slice(x);
        let mut sums = [[s.load_sums(panel.init); NV]; PX];
        for h in 1..NV {
            let init = s.load_sums(panel.init.add(h * LANES));
            for i in 0..PX {
                sums[i][h] = init;
            }
        }
        let mut w = panel.weights;
        for &offset in panel.offsets {
            for i in 0..PX {
                let quad = if KIND == SIGNED {
                    s.quad::<true>(from[i].add(offset))
                } else {
                    s.quad::<false>(from[i].add(offset))
                };
                for h in 0..NV {
                    let w = w.add(h * 4 * LANES);
                    sums[i][h] = if KIND == WORDS {
                        s.dot_words(sums[i][h], quad, w.cast())
                    } else {
                        s.dot(sums[i][h], quad, w)
                    };
                }
            }
            w = w.add(NV * 4 * LANES);
        }
        panel.finish.store_sums::<S, PX, NV>(s, &panel.place, sums, y);
    }
}
