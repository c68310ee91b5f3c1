//! Input and output transforms of tiles, eight channels at a time, straight from and to blocks of eight channels.
//!
//! Rows are transformed two at a time, as the real and imaginary parts of one complex transform. Of their spectra,
//! columns 1 to `N / 2 - 1` are kept, and the real columns 0 and `N / 2` as parts of one complex column; the others
//! follow by symmetry. The complex columns are transformed next. Complex spectral values become three planes, whose
//! real products with three planes of weights make up the complex product.

use super::{
    fourier::{Line, forward, join, split, work},
    plan::{plane, real_plane},
};
use crate::{tile::Panel, tiled::Grid};
use core::ops::Range;
use paring_simd::{LANES, Simd};

/// Pixels that are finished together.
const TOGETHER: usize = 4;

/// Memory of a worker, in parts: a tile, its half transformed, a line, and what [`forward`] works in.
struct Memory {
    tile: *mut f32,
    half: *mut f32,
    line: Line,
    work: *mut f32,
}

/// Elements of a part of a half transformed column. Not a power of two: rows are read across all columns.
const fn part(n: usize) -> usize {
    (n + 2) * LANES
}

/// Elements of memory that a worker needs.
pub const fn memory(n: usize) -> usize {
    n * n * LANES + n * part(n) + 2 * work(n)
}

impl Memory {
    fn new<const N: usize>(at: *mut f32) -> Memory {
        let half = at.wrapping_add(N * N * LANES);
        let line = half.wrapping_add(N * part(N));
        Memory {
            tile: at,
            half,
            line: Line { re: line, im: line.wrapping_add(N * LANES), step: LANES },
            work: line.wrapping_add(work(N)),
        }
    }

    /// The half transformed column `i`.
    #[inline(always)]
    fn column<const N: usize>(&self, i: usize) -> Line {
        let re = self.half.wrapping_add(2 * i * part(N));
        Line { re, im: re.wrapping_add(part(N)), step: LANES }
    }
}

/// Stores the three parts of a complex value.
///
/// # Safety
/// All must be valid for writes of a vector.
#[inline(always)]
unsafe fn spread<S: Simd>(s: S, v: *mut f32, step: usize, (re, im): (S::V, S::V)) {
    // SAFETY: the caller's promise.
    unsafe {
        s.store(v, s.add(re, im));
        s.store(v.add(step), re);
        s.store(v.add(2 * step), im);
    }
}

/// Fetches the parts of a column, which are far apart: to wait for one after the other would take longer than to
/// transform them.
#[inline(always)]
fn fetch<S: Simd, const N: usize>(s: S, v: *const f32, step: usize) {
    for part in 0..3 * N {
        s.prefetch(v.wrapping_add(part * step));
    }
}

/// The complex value that three products make up.
///
/// # Safety
/// All must be valid for reads of a vector.
#[inline(always)]
unsafe fn gather<S: Simd>(s: S, v: *const f32, step: usize) -> (S::V, S::V) {
    // SAFETY: the caller's promise.
    unsafe {
        let both = s.load(v);
        (s.sub(both, s.load(v.add(2 * step))), s.add(both, s.load(v.add(step))))
    }
}

/// Transforms the inputs of a tile in some blocks of channels to `v`, the place of the tile in the first plane.
///
/// # Safety
/// `x` must be the input, `v` valid for writes of the tile in all planes, `own` of [`memory`] elements.
#[inline(always)]
pub unsafe fn inputs<S: Simd, const N: usize>(
    s: S,
    grid: &Grid,
    x: &[f32],
    tile: usize,
    blocks: Range<usize>,
    v: *mut f32,
    own: *mut f32,
) {
    let [height, width] = grid.input;
    let (plane, all) = (height * width * LANES, grid.depth() / LANES);
    let (sample, place) = grid.place(tile);
    let ([rows, columns], at) = (grid.inside(place), grid.offset(place));
    let memory = Memory::new::<N>(own);
    for block in blocks {
        let x = x[(sample * all + block) * plane..][..plane].as_ptr().wrapping_add(at.wrapping_mul(LANES));
        // SAFETY: only rows and columns within the plane are read; the rest is the caller's promise.
        unsafe {
            let (from, step) = if rows.len() == N && columns.len() == N {
                (x.cast_mut(), width * LANES)
            } else {
                copy::<S, N>(s, x, width * LANES, &rows, &columns, memory.tile);
                (memory.tile, N * LANES)
            };
            let pairs = rows.start / 2..rows.end.div_ceil(2);
            for pair in 0..N / 2 {
                if pairs.contains(&pair) {
                    let re = from.wrapping_add(2 * pair * step);
                    row_pair::<S, N>(s, &memory, Line { re, im: re.wrapping_add(step), step: LANES }, 2 * pair);
                } else {
                    clear::<S, N>(s, &memory, 2 * pair);
                }
            }
            columns_to_planes::<S, N>(s, grid, &memory, v.add(block * LANES));
        }
    }
}

/// Copies a tile that lies partly outside the input, with zeros there.
///
/// # Safety
/// Rows and columns must lie as their ranges say, `to` be valid for writes of a tile.
#[inline(always)]
unsafe fn copy<S: Simd, const N: usize>(
    s: S,
    x: *const f32,
    step: usize,
    rows: &Range<usize>,
    columns: &Range<usize>,
    to: *mut f32,
) {
    let zero = s.splat(0.0);
    for r in rows.start / 2 * 2..rows.end.next_multiple_of(2) {
        let (x, to) = (x.wrapping_add(r * step), to.wrapping_add(r * N * LANES));
        let columns = if rows.contains(&r) { columns.clone() } else { N..N };
        // SAFETY: the caller's promise.
        unsafe {
            for c in 0..columns.start {
                s.store(to.add(c * LANES), zero);
            }
            for c in columns.clone() {
                s.store(to.add(c * LANES), s.load(x.wrapping_add(c * LANES)));
            }
            for c in columns.end..N {
                s.store(to.add(c * LANES), zero);
            }
        }
    }
}

/// Transforms rows `row` and `row + 1`, the parts of `from`, to half transformed columns.
///
/// # Safety
/// `from` must be valid for reads, the memory its own.
#[inline(always)]
unsafe fn row_pair<S: Simd, const N: usize>(s: S, memory: &Memory, from: Line, row: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        forward::<S, N>(s, from, memory.line, memory.work);
        let (first, middle) = (memory.line.load(s, 0), memory.line.load(s, N / 2));
        let own = memory.column::<N>(0);
        own.store(s, row, (first.0, middle.0));
        own.store(s, row + 1, (first.1, middle.1));
        for k in 1..N / 2 {
            let [a, b] = split(s, memory.line.load(s, k), memory.line.load(s, N - k));
            let column = memory.column::<N>(k);
            column.store(s, row, a);
            column.store(s, row + 1, b);
        }
    }
}

/// Half transformed rows of nothing but zeros.
///
/// # Safety
/// The memory must be its own.
#[inline(always)]
unsafe fn clear<S: Simd, const N: usize>(s: S, memory: &Memory, row: usize) {
    let zero = (s.splat(0.0), s.splat(0.0));
    for k in 0..N / 2 {
        // SAFETY: the caller's promise.
        unsafe {
            memory.column::<N>(k).store(s, row, zero);
            memory.column::<N>(k).store(s, row + 1, zero);
        }
    }
}

/// Transforms the half transformed columns to the planes at `v`.
///
/// # Safety
/// `v` must be valid for writes in all planes.
#[inline(always)]
unsafe fn columns_to_planes<S: Simd, const N: usize>(s: S, grid: &Grid, memory: &Memory, v: *mut f32) {
    let (step, line) = (grid.input_step(), memory.line);
    // SAFETY: the caller's promise.
    unsafe {
        fetch::<S, N>(s, v.add(plane(N, 0, 1) * step), step);
        for c in 1..N / 2 {
            fetch::<S, N>(s, v.add(plane(N, 0, c) * step).wrapping_add(3 * N * step), step);
            forward::<S, N>(s, memory.column::<N>(c), line, memory.work);
            let v = v.add(plane(N, 0, c) * step);
            for k in 0..N {
                spread(s, v.add(3 * k * step), step, line.load(s, k));
            }
        }
        forward::<S, N>(s, memory.column::<N>(0), line, memory.work);
        for k in 1..N / 2 {
            let [a, b] = split(s, line.load(s, k), line.load(s, N - k));
            spread(s, v.add(plane(N, k, 0) * step), step, a);
            spread(s, v.add(plane(N, k, N / 2) * step), step, b);
        }
        for k in [0, N / 2] {
            let (a, b) = line.load(s, k);
            s.store(v.add(real_plane(N, k != 0, false) * step), a);
            s.store(v.add(real_plane(N, k != 0, true) * step), b);
        }
    }
}

/// Transforms the products of a tile back and finishes a block of channels, whose panel is given. `products` is the
/// place of the tile and the block in the first plane.
///
/// # Safety
/// `products` must be valid for reads in all planes, `y` be the output, of which no one else touches the pixels of the
/// tile in this block, `own` be valid for writes of [`memory`] elements.
#[inline(always)]
pub unsafe fn outputs<S: Simd, const N: usize>(
    s: S,
    grid: &Grid,
    products: *const f32,
    tile: usize,
    block: usize,
    y: *mut f32,
    panel: &Panel<'_>,
    own: *mut f32,
) {
    let [height, width] = grid.output;
    let (sample, [row, column]) = grid.place(tile);
    let (rows, columns) = (grid.m[0].min(height - row), grid.m[1].min(width - column));
    let memory = Memory::new::<N>(own);
    let all = grid.width() / LANES;
    // SAFETY: the tile's products and its pixels lie within their buffers.
    unsafe {
        columns_from_planes::<S, N>(s, grid, products, &memory);
        let y = y.add((((sample * all + block) * height + row) * width + column) * LANES);
        for r in (0..rows).step_by(2) {
            pair_from_columns::<S, N>(s, &memory, r);
            let y = y.add(r * width * LANES);
            finish(s, panel, memory.tile, y, columns);
            if r + 1 < rows {
                finish(s, panel, memory.tile.add(N * LANES), y.add(width * LANES), columns);
            }
        }
    }
}

/// Transforms planes back to half transformed columns.
///
/// # Safety
/// `products` must be valid for reads in all planes.
#[inline(always)]
unsafe fn columns_from_planes<S: Simd, const N: usize>(s: S, grid: &Grid, products: *const f32, memory: &Memory) {
    let (step, line) = (grid.product_step(), memory.line);
    // SAFETY: the caller's promise.
    unsafe {
        for c in 1..N / 2 {
            let v = products.add(plane(N, 0, c) * step);
            fetch::<S, N>(s, v.wrapping_add(3 * N * step), step);
            for k in 0..N {
                line.store(s, k, gather(s, v.add(3 * k * step), step));
            }
            forward::<S, N>(s, line.swapped(), memory.column::<N>(c).swapped(), memory.work);
        }
        for k in 1..N / 2 {
            let a = gather(s, products.add(plane(N, k, 0) * step), step);
            let b = gather(s, products.add(plane(N, k, N / 2) * step), step);
            let [z, opposite] = join(s, a, b);
            line.store(s, k, z);
            line.store(s, N - k, opposite);
        }
        for k in [0, N / 2] {
            let a = s.load(products.add(real_plane(N, k != 0, false) * step));
            let b = s.load(products.add(real_plane(N, k != 0, true) * step));
            line.store(s, k, (a, b));
        }
        forward::<S, N>(s, line.swapped(), memory.column::<N>(0).swapped(), memory.work);
    }
}

/// Transforms rows `row` and `row + 1` back to the first two rows of the memory's tile.
///
/// # Safety
/// The memory must be its own.
#[inline(always)]
unsafe fn pair_from_columns<S: Simd, const N: usize>(s: S, memory: &Memory, row: usize) {
    let line = memory.line;
    // SAFETY: the caller's promise.
    unsafe {
        let own = memory.column::<N>(0);
        let (a, b) = (own.load(s, row), own.load(s, row + 1));
        line.store(s, 0, (a.0, b.0));
        line.store(s, N / 2, (a.1, b.1));
        for k in 1..N / 2 {
            let column = memory.column::<N>(k);
            let [z, opposite] = join(s, column.load(s, row), column.load(s, row + 1));
            line.store(s, k, z);
            line.store(s, N - k, opposite);
        }
        let to = Line { re: memory.tile, im: memory.tile.wrapping_add(N * LANES), step: LANES };
        forward::<S, N>(s, line.swapped(), to.swapped(), memory.work);
    }
}

/// Finishes and stores a row of `count` pixels.
///
/// # Safety
/// They must lie within the output, which has whole blocks of channels.
#[inline(always)]
unsafe fn finish<S: Simd>(s: S, panel: &Panel<'_>, pixels: *const f32, y: *mut f32, count: usize) {
    macro_rules! some {
        ($n:expr, $at:expr) => {
            let mut sums = [[s.splat(0.0)]; $n];
            let mut to = [y; $n];
            // SAFETY: the caller's promise; one entry per column.
            unsafe {
                let init = s.load(panel.init);
                for i in 0..$n {
                    sums[i][0] = s.add(s.load(pixels.add(($at + i) * LANES)), init);
                    to[i] = y.add(($at + i) * LANES);
                }
                panel.finish.store::<S, $n, 1>(s, &panel.place, sums, to);
            }
        };
    }
    let whole = count / TOGETHER * TOGETHER;
    for at in (0..whole).step_by(TOGETHER) {
        some!(TOGETHER, at);
    }
    for at in whole..count {
        some!(1, at);
    }
}
