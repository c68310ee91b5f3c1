//! Input and output transforms, eight channels at a time, straight from and to blocks of eight channels.

use super::{plan::Axes, scheme::Scheme};
use crate::{
    tile::{LINE, Panel},
    tiled::Grid,
};
use core::{mem::MaybeUninit, ops::Range};
use paring_simd::{LANES, Simd};

/// The inputs of one tile and eight channels.
struct Window<'a> {
    /// The first, which may lie outside the input and is only read within it.
    x: *const f32,
    /// The first of the window that is wanted next.
    next: *const f32,
    /// Elements from one row to the next.
    row_step: usize,
    /// Rows and columns within the input; the others are zeros.
    inside: &'a [Range<usize>; 2],
}

impl Window<'_> {
    /// Fetches row `r` of `n` columns of what is wanted next.
    #[inline(always)]
    fn fetch<S: Simd>(&self, s: S, r: usize, n: usize) {
        for i in 0..n * LANES / LINE {
            s.prefetch(self.next.wrapping_add(r * self.row_step + i * LINE));
        }
    }

    /// # Safety
    /// The window must lie as its ranges say.
    #[inline(always)]
    unsafe fn load<S: Simd, const EDGE: bool>(&self, s: S, row: usize, column: usize) -> S::V {
        if EDGE && !(self.inside[0].contains(&row) && self.inside[1].contains(&column)) {
            return s.splat(0.0);
        }
        // SAFETY: within the input.
        unsafe { s.load(self.x.wrapping_add(row * self.row_step + column * LANES)) }
    }
}

/// A tile of `R` rows and `C` columns that was transformed along its columns. Not initialised: clearing it takes a fifth
/// of the time of a transform.
struct Half<S: Simd, const R: usize, const C: usize>([MaybeUninit<[S::V; C]>; R]);

impl<S: Simd, const R: usize, const C: usize> Half<S, R, C> {
    #[inline(always)]
    fn new() -> Self {
        Half([const { MaybeUninit::uninit() }; R])
    }

    #[inline(always)]
    fn set_column(&mut self, c: usize, column: [S::V; R]) {
        assert!(c < C);
        for r in 0..R {
            // SAFETY: within the row.
            unsafe { self.0[r].as_mut_ptr().cast::<S::V>().add(c).write(column[r]) };
        }
    }

    /// # Safety
    /// Every column must have been set.
    #[inline(always)]
    unsafe fn row(&self, r: usize) -> [S::V; C] {
        // SAFETY: the caller's promise.
        unsafe { self.0[r].assume_init_read() }
    }
}

/// Transforms the inputs of `tiles` to `v`.
///
/// # Safety
/// `x` must be the input, `v` valid for writes of a block's transformed inputs.
#[inline(always)]
pub unsafe fn inputs<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    s: S,
    grid: &Grid,
    axes: Axes,
    x: &[f32],
    tiles: Range<usize>,
    first: usize,
    v: *mut f32,
) {
    let [height, width] = grid.input;
    let (plane, blocks) = (height * width * LANES, grid.depth() / LANES);
    for tile in tiles {
        let (sample, place) = grid.place(tile);
        let (inside, at) = (grid.inside(place), grid.offset(place));
        let whole = inside[0].len() == grid.n[0] && inside[1].len() == grid.n[1];
        for block in 0..blocks {
            let x = x[(sample * blocks + block) * plane..][..plane].as_ptr().wrapping_add(at.wrapping_mul(LANES));
            let next = x.wrapping_add(if block + 1 < blocks { plane } else { M * LANES });
            let window = Window { x, next, row_step: width * LANES, inside: &inside };
            // SAFETY: only rows and columns within the plane are read; the block of `v` has room for every tile.
            unsafe {
                let v = v.add((tile - first) * grid.depth() + block * LANES);
                match (axes, whole) {
                    (Axes::Both, true) => square::<S, F, N, M, false>(s, &window, v, grid.input_step()),
                    (Axes::Both, false) => square::<S, F, N, M, true>(s, &window, v, grid.input_step()),
                    (axes, _) => line::<S, F, N, M>(s, &window, axes, v, grid.input_step()),
                }
            }
        }
    }
}

/// Transforms one square tile of eight channels.
///
/// # Safety
/// As for [`inputs`].
#[inline(always)]
unsafe fn square<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize, const EDGE: bool>(
    s: S,
    window: &Window<'_>,
    v: *mut f32,
    step: usize,
) {
    let mut half = Half::<S, N, N>::new();
    for c in 0..N {
        let mut d = [s.splat(0.0); N];
        for r in 0..N {
            // SAFETY: the caller's promise.
            d[r] = unsafe { window.load::<S, EDGE>(s, r, c) };
        }
        window.fetch(s, c, N);
        half.set_column(c, F::input(s, d));
    }
    for r in 0..N {
        // SAFETY: every column was set.
        let d = F::input(s, unsafe { half.row(r) });
        for c in 0..N {
            // SAFETY: the caller's promise.
            unsafe { s.store(v.add((r * N + c) * step), d[c]) };
        }
    }
}

/// Transforms one tile of a single row or column of eight channels.
///
/// # Safety
/// As for [`inputs`].
#[inline(always)]
unsafe fn line<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    s: S,
    window: &Window<'_>,
    axes: Axes,
    v: *mut f32,
    step: usize,
) {
    let mut d = [s.splat(0.0); N];
    for i in 0..N {
        let (row, column) = if axes == Axes::Across { (0, i) } else { (i, 0) };
        // SAFETY: the caller's promise.
        d[i] = unsafe { window.load::<S, true>(s, row, column) };
    }
    let d = F::input(s, d);
    for i in 0..N {
        // SAFETY: the caller's promise.
        unsafe { s.store(v.add(i * step), d[i]) };
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
    grid: &Grid,
    axes: Axes,
    products: *const f32,
    tiles: Range<usize>,
    first: usize,
    y: *mut f32,
    panel: impl Fn(usize) -> Panel<'a>,
) {
    let [height, width] = grid.output;
    let (blocks, step) = (grid.width() / LANES, grid.product_step());
    for block in 0..blocks {
        let panel = panel(block);
        for tile in tiles.clone() {
            let (sample, [row, column]) = grid.place(tile);
            let (rows, columns) = (grid.m[0].min(height - row), grid.m[1].min(width - column));
            // SAFETY: the tile's products and its pixels lie within their buffers.
            unsafe {
                let products = products.add((tile - first) * grid.width() + block * LANES);
                let y = y.add((((sample * blocks + block) * height + row) * width + column) * LANES);
                if axes == Axes::Both {
                    let row_step = width * LANES;
                    square_output::<S, F, N, M>(s, products, step, &panel, y, row_step, rows, columns);
                    continue;
                }
                let mut m = [s.splat(0.0); N];
                for i in 0..N {
                    m[i] = s.load(products.add(i * step));
                }
                let pixel_step = if axes == Axes::Across { LANES } else { width * LANES };
                finish::<S, M>(s, &panel, F::output(s, m), y, pixel_step, rows * columns);
            }
        }
    }
}

/// Transforms and stores one square tile of eight channels.
///
/// # Safety
/// As for [`outputs`].
#[inline(always)]
unsafe fn square_output<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    s: S,
    products: *const f32,
    step: usize,
    panel: &Panel<'_>,
    y: *mut f32,
    row_step: usize,
    rows: usize,
    columns: usize,
) {
    let mut half = Half::<S, M, N>::new();
    for c in 0..N {
        let mut d = [s.splat(0.0); N];
        for r in 0..N {
            // SAFETY: the caller's promise.
            d[r] = unsafe { s.load(products.add((r * N + c) * step)) };
        }
        half.set_column(c, F::output(s, d));
    }
    for r in 0..rows {
        // SAFETY: the caller's promise; every column was set.
        unsafe {
            let y = y.add(r * row_step);
            for i in 0..M * LANES / LINE {
                s.prefetch(y.wrapping_add(M * LANES + i * LINE));
            }
            finish::<S, M>(s, panel, F::output(s, half.row(r)), y, LANES, columns)
        };
    }
}

/// Finishes and stores the first `count` of a line of pixels.
///
/// # Safety
/// They must lie within the output, which has whole blocks of channels.
#[inline(always)]
unsafe fn finish<S: Simd, const M: usize>(
    s: S,
    panel: &Panel<'_>,
    pixels: [S::V; M],
    y: *mut f32,
    step: usize,
    count: usize,
) {
    let mut sums = [[s.splat(0.0)]; M];
    let mut to = [y; M];
    // SAFETY: the caller's promise; one entry per column.
    unsafe {
        let init = s.load(panel.init);
        for i in 0..M {
            sums[i][0] = s.add(pixels[i], init);
            to[i] = y.wrapping_add(i * step);
        }
        if count == M {
            panel.finish.store::<S, M, 1>(s, panel, sums, to);
            return;
        }
        for i in 0..M {
            if i < count {
                panel.finish.store::<S, 1, 1>(s, panel, [sums[i]], [to[i]]);
            }
        }
    }
}
