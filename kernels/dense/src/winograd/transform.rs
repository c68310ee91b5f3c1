//! Input and output transforms, eight channels at a time, straight from and to blocks of eight channels.

use super::{plan::Plan, scheme::Scheme};
use crate::{depthwise::store_some, tile::Panel};
use core::ops::Range;
use paring_simd::{LANES, Simd};

/// The sample and the first output row and column of a tile.
fn place(plan: &Plan, tile: usize) -> (usize, usize, usize) {
    let [down, across] = plan.tiles;
    let (row, column) = (tile / across, tile % across);
    (row / down, row % down * plan.m, column * plan.m)
}

/// Positions of a window of `n` from `at` on that lie within an axis of `extent` elements after `before` zeros.
fn inside(at: usize, n: usize, before: usize, extent: usize) -> Range<usize> {
    before.saturating_sub(at).min(n)..(before + extent).saturating_sub(at).min(n)
}

/// Transforms the inputs of `tiles` to `v`.
///
/// # Safety
/// `x` must be the input, `v` valid for writes of a block's transformed inputs.
#[inline(always)]
pub unsafe fn inputs<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    s: S,
    plan: &Plan,
    x: &[f32],
    tiles: Range<usize>,
    first: usize,
    v: *mut f32,
) {
    let [height, width] = plan.input;
    let (plane, blocks) = (height * width * LANES, plan.depth() / LANES);
    for tile in tiles {
        let (sample, row, column) = place(plan, tile);
        let rows = inside(row, N, plan.before[0], height);
        let columns = inside(column, N, plan.before[1], width);
        let whole = rows.len() == N && columns.len() == N;
        let at =
            (row.wrapping_sub(plan.before[0]).wrapping_mul(width)).wrapping_add(column.wrapping_sub(plan.before[1]));
        for block in 0..blocks {
            let x = x[(sample * blocks + block) * plane..][..plane].as_ptr().wrapping_add(at.wrapping_mul(LANES));
            // SAFETY: only rows and columns within the plane are read; the block of `v` has room for every tile.
            unsafe {
                let v = v.add((tile - first) * plan.depth() + block * LANES);
                if whole {
                    input::<S, F, N, M, false>(s, x, width, 0..N, 0..N, v, plan.input_step());
                } else {
                    input::<S, F, N, M, true>(s, x, width, rows.clone(), columns.clone(), v, plan.input_step());
                }
            }
        }
    }
}

/// Transforms one tile of eight channels; rows and columns outside the ranges are zeros where `EDGE`.
#[inline(always)]
unsafe fn input<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize, const EDGE: bool>(
    s: S,
    x: *const f32,
    width: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    v: *mut f32,
    step: usize,
) {
    let zero = s.splat(0.0);
    let mut half = [[zero; N]; N];
    for c in 0..N {
        let mut d = [zero; N];
        for r in 0..N {
            if !EDGE || (rows.contains(&r) && columns.contains(&c)) {
                // SAFETY: within the input.
                d[r] = unsafe { s.load(x.wrapping_add((r * width + c) * LANES)) };
            }
        }
        let d = F::input(s, d);
        for r in 0..N {
            half[r][c] = d[r];
        }
    }
    for r in 0..N {
        let d = F::input(s, half[r]);
        for c in 0..N {
            // SAFETY: the caller's promise.
            unsafe { s.store(v.add((r * N + c) * step), d[c]) };
        }
    }
}

/// Transforms the products of `tiles` at `products` back and finishes them. `panel` makes the panel of a block of
/// channels.
///
/// # Safety
/// `products` must hold a block's products, `y` be the output, of which no one else touches the pixels of `tiles`.
#[inline(always)]
pub unsafe fn outputs<'a, S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    s: S,
    plan: &Plan,
    products: *const f32,
    tiles: Range<usize>,
    first: usize,
    y: *mut f32,
    panel: impl Fn(usize) -> Panel<'a>,
) {
    let [height, width] = plan.output;
    let blocks = plan.width() / LANES;
    for tile in tiles {
        let (sample, row, column) = place(plan, tile);
        let (rows, count) = (M.min(height - row), M.min(width - column));
        for block in 0..blocks {
            let panel = panel(block);
            // SAFETY: the tile's products and its pixels lie within their buffers.
            unsafe {
                let products = products.add((tile - first) * plan.width() + block * LANES);
                let y = y.add((((sample * blocks + block) * height + row) * width + column) * LANES);
                output::<S, F, N, M>(s, products, plan.product_step(), &panel, y, width * LANES, rows, count);
            }
        }
    }
}

/// Transforms and stores one tile of eight channels.
#[inline(always)]
unsafe fn output<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    s: S,
    products: *const f32,
    step: usize,
    panel: &Panel<'_>,
    y: *mut f32,
    row_step: usize,
    rows: usize,
    count: usize,
) {
    let zero = s.splat(0.0);
    let mut half = [[zero; N]; M];
    for c in 0..N {
        let mut d = [zero; N];
        for r in 0..N {
            // SAFETY: the caller's promise.
            d[r] = unsafe { s.load(products.add((r * N + c) * step)) };
        }
        let d = F::output(s, d);
        for r in 0..M {
            half[r][c] = d[r];
        }
    }
    // SAFETY: the caller's promise.
    unsafe {
        let init = s.load(panel.init);
        for r in 0..rows {
            let d = F::output(s, half[r]).map(|v| s.add(v, init));
            store_some(s, panel, [d[0], d[1], d[M / 2], d[M - 1]], y.add(r * row_step), count);
        }
    }
}
