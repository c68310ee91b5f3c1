//! Input and output transforms, eight channels at a time, straight from and to blocks of eight channels.

use super::{M, N};
use crate::{
    finish::{Finish, Place},
    operand::Bytes,
};
use core::ops::Range;
use paring_dense::tiled::Grid;
use paring_simd::{LANES, Simd};

/// `B^T d`.
#[inline(always)]
fn input<S: Simd>(s: S, d: [S::V; N]) -> [S::V; N] {
    [s.sub(d[0], d[2]), s.add(d[1], d[2]), s.sub(d[2], d[1]), s.sub(d[1], d[3])]
}

/// `A^T m`.
#[inline(always)]
fn output<S: Simd>(s: S, m: [S::I; N]) -> [S::I; M] {
    [s.add_sums(s.add_sums(m[0], m[1]), m[2]), s.sub_sums(s.sub_sums(m[1], m[2]), m[3])]
}

/// Transforms the inputs of `tiles` to `v`, less their zero point.
///
/// # Safety
/// `v` must be valid for writes of a block's transformed inputs, of which `first` is the first tile.
#[inline(always)]
pub unsafe fn inputs<S: Simd>(
    s: S,
    grid: &Grid,
    x: Bytes,
    bytes: &[u8],
    tiles: Range<usize>,
    first: usize,
    v: *mut i16,
) {
    let [height, width] = grid.input;
    let (plane, blocks) = (height * width * LANES, grid.depth() / LANES);
    for tile in tiles {
        let (sample, place) = grid.place(tile);
        let (inside, at) = (grid.inside(place), grid.offset(place));
        let whole = grid.is_whole(&inside);
        for block in 0..blocks {
            let from = bytes[(sample * blocks + block) * plane..][..plane].as_ptr();
            let window =
                Window { x, from: from.wrapping_add(at.wrapping_mul(LANES)), row: width * LANES, inside: &inside };
            // SAFETY: only rows and columns within the plane are read; the block of `v` has room for every tile.
            unsafe {
                let v = v.add((tile - first) * grid.depth() + block * LANES);
                match whole {
                    true => window.transform::<S, false>(s, v, grid.input_step()),
                    false => window.transform::<S, true>(s, v, grid.input_step()),
                }
            }
        }
    }
}

/// The inputs of one tile and eight channels.
struct Window<'a> {
    x: Bytes,
    /// The first, which may lie outside the input and is only read within it.
    from: *const u8,
    /// Bytes from one row to the next.
    row: usize,
    /// Rows and columns within the input; the others stand for zeros.
    inside: &'a [Range<usize>; 2],
}

impl Window<'_> {
    /// # Safety
    /// The window must lie as its ranges say; `v` be valid for writes of eight words at each of the values of a tile,
    /// which are `step` apart.
    #[inline(always)]
    unsafe fn transform<S: Simd, const EDGE: bool>(&self, s: S, v: *mut i16, step: usize) {
        let load = |r: usize, c: usize| {
            if EDGE && !(self.inside[0].contains(&r) && self.inside[1].contains(&c)) {
                return s.splat(self.x.zero_point as f32);
            }
            // SAFETY: within the input.
            unsafe { s.load_bytes(self.from.wrapping_add(r * self.row + c * LANES), self.x.signed) }
        };
        let mut half = [[s.splat(0.0); N]; N];
        for c in 0..N {
            let column = input(s, [load(0, c), load(1, c), load(2, c), load(3, c)]);
            for r in 0..N {
                half[r][c] = column[r];
            }
        }
        for r in 0..N {
            let mut row = input(s, half[r]);
            if r == 1 {
                // Of a row of `B^T` only the second does not add up to zero: to two.
                row[1] = s.sub(row[1], s.splat(4.0 * self.x.zero_point as f32));
            }
            for c in 0..N {
                // SAFETY: the caller's promise.
                unsafe { s.store_words(v.add((r * N + c) * step), row[c]) };
            }
        }
    }
}

/// Transforms the products of `tiles` at `products` back, and finishes and stores them.
///
/// # Safety
/// `products` must hold a block's products, of which `first` is the first tile; no one else may touch the pixels of
/// `tiles`.
#[inline(always)]
pub unsafe fn outputs<S: Simd>(
    s: S,
    grid: &Grid,
    products: *const i32,
    tiles: Range<usize>,
    first: usize,
    finish: &Finish<'_>,
) {
    let ([height, width], blocks) = (grid.output, grid.width() / LANES);
    // Two blocks share the lines of the products.
    for pair in (0..blocks).step_by(2) {
        for tile in tiles.clone() {
            let (sample, [row, column]) = grid.place(tile);
            let [rows, columns] = [(height - row).min(M), (width - column).min(M)];
            for block in pair..blocks.min(pair + 2) {
                let channel = block * LANES;
                let place = Place { channel, lanes: (grid.outputs - channel).min(LANES), first: 0, step: 0 };
                let y = (((sample * blocks + block) * height + row) * width + column) * LANES;
                // SAFETY: the tile's products and its pixels lie within their buffers.
                unsafe {
                    let sums = back(s, products.add((tile - first) * grid.width() + channel), grid.product_step());
                    if rows == M && columns == M {
                        let below = y + width * LANES;
                        let sums = [sums[0][0], sums[0][1], sums[1][0], sums[1][1]];
                        finish.store_sums(s, &place, sums, &[y, y + LANES, below, below + LANES]);
                        continue;
                    }
                    for r in 0..rows {
                        for c in 0..columns {
                            finish.store_sums(s, &place, [sums[r][c]], &[y + (r * width + c) * LANES]);
                        }
                    }
                }
            }
        }
    }
}

/// The sums of a tile and eight channels.
///
/// # Safety
/// `products` must be valid for reads of eight sums at each of the values of a tile, which are `step` apart.
#[inline(always)]
unsafe fn back<S: Simd>(s: S, products: *const i32, step: usize) -> [[S::I; M]; M] {
    // SAFETY: the caller's promise.
    let load = |r: usize, c: usize| unsafe { s.load_sums(products.add((r * N + c) * step)) };
    let column = |c: usize| output(s, [load(0, c), load(1, c), load(2, c), load(3, c)]);
    let half = [column(0), column(1), column(2), column(3)];
    let row = |r: usize| output(s, [half[0][r], half[1][r], half[2][r], half[3][r]]);
    [row(0), row(1)]
}
