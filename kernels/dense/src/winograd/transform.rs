//! Input and output transforms, eight channels at a time, straight from and to blocks of eight channels.

use super::{plan::Axes, scheme::Scheme};
use crate::{
    tile::{LINE, Panel},
    tiled::Grid,
};
use core::{mem::MaybeUninit, ops::Range};
use paring_simd::{LANES, Simd, math};

/// The inputs of one tile and eight channels.
struct Window<'a> {
    /// The first, which may lie outside the input and is only read within it.
    x: *const f32,
    /// The first of the window that is wanted next.
    next: *const f32,
    /// Elements from one row, and from one column, to the next.
    steps: [usize; 2],
    /// Rows and columns within the input; the others are zeros.
    inside: &'a [Range<usize>; 2],
}

impl Window<'_> {
    /// Fetches `n` columns of row `r`, from `column` on, of what is wanted next.
    #[inline(always)]
    fn fetch<S: Simd>(&self, s: S, r: usize, column: usize, n: usize) {
        for i in 0..(n * LANES).div_ceil(LINE) {
            s.prefetch_near(self.next.wrapping_add(r * self.steps[0] + column * LANES + i * LINE));
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
        unsafe { s.load(self.x.wrapping_add(row * self.steps[0] + column * self.steps[1])) }
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
pub unsafe fn inputs<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize, const STRIDE: usize>(
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
    let steps = [grid.dilation[0] * width * LANES, grid.dilation[1] * LANES];
    for tile in tiles {
        let (sample, place) = grid.place(tile);
        let (inside, at) = (grid.inside(place), grid.offset(place));
        let whole = grid.is_whole(&inside);
        for block in 0..blocks {
            let x = x[(sample * blocks + block) * plane..][..plane].as_ptr().wrapping_add(at.wrapping_mul(LANES));
            let next = x.wrapping_add(if block + 1 < blocks { plane } else { STRIDE * M * LANES });
            let window = Window { x, next, steps, inside: &inside };
            // SAFETY: only rows and columns within the plane are read; the block of `v` has room for every tile.
            unsafe {
                let v = v.add((tile - first) * grid.row() + block * LANES);
                let planes = [grid.input_step(), grid.phase_step()];
                match (axes, whole) {
                    (Axes::Both, true) => square::<S, F, N, M, STRIDE, false>(s, &window, v, planes),
                    (Axes::Both, false) => square::<S, F, N, M, STRIDE, true>(s, &window, v, planes),
                    (axes, _) => line::<S, F, N, M>(s, &window, axes, v, grid.input_step()),
                }
            }
        }
    }
}

/// Transforms one square tile of eight channels, phase by phase. `step` from one plane to the next, `phase_step` from one
/// phase to the next.
///
/// # Safety
/// As for [`inputs`].
#[inline(always)]
unsafe fn square<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize, const STRIDE: usize, const EDGE: bool>(
    s: S,
    window: &Window<'_>,
    v: *mut f32,
    [step, phase_step]: [usize; 2],
) {
    for phase in 0..STRIDE * STRIDE {
        let [down, across] = [phase / STRIDE, phase % STRIDE];
        // Phases but the first lack the last row or column: they read the one before again, and leave its result.
        let at = |i: usize, odd: usize| if i + 1 < N { STRIDE * i + odd } else { STRIDE * i - odd };
        let mut half = Half::<S, N, N>::new();
        for c in 0..N {
            let mut d = [s.splat(0.0); N];
            for r in 0..N {
                // SAFETY: the caller's promise.
                d[r] = unsafe { window.load::<S, EDGE>(s, at(r, down), at(c, across)) };
            }
            window.fetch(s, STRIDE * c + down, across * N, N);
            half.set_column(c, F::input(s, d));
        }
        for r in 0..N - usize::from(down > 0) {
            // The last column and row have but the first phases of their axis.
            let beside = if r + 1 < N { down * STRIDE } else { 0 };
            // SAFETY: every column was set.
            let d = F::input(s, unsafe { half.row(r) });
            for c in 0..N - 1 {
                // SAFETY: the caller's promise.
                unsafe { s.store(v.add((r * N + c) * step + (beside + across) * phase_step), d[c]) };
            }
            if across == 0 {
                // SAFETY: the caller's promise.
                unsafe { s.store(v.add((r * N + N - 1) * step + down * phase_step), d[N - 1]) };
            }
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

/// Transforms the products of `tiles` at `products` back, `POOL`s them by two along both axes, and finishes them. `panel` makes
/// the panel of a block of channels.
///
/// # Safety
/// `products` must hold a block's products, `y` be the output, of which no one else touches the pixels of `tiles`.
#[inline(always)]
pub unsafe fn outputs<'a, S: Simd, F: Scheme<N, M>, const N: usize, const M: usize, const POOL: bool>(
    s: S,
    grid: &Grid,
    axes: Axes,
    products: *const f32,
    tiles: Range<usize>,
    first: usize,
    y: *mut f32,
    panel: impl Fn(usize) -> Panel<'a>,
) {
    let ([height, width], each) = (grid.stored(), if POOL { 2 } else { 1 });
    let (blocks, step) = (grid.width() / LANES, grid.product_step());
    let steps = [grid.dilation[0] * width * LANES, grid.dilation[1] * LANES];
    // Two blocks share the lines of the products.
    for pair in (0..blocks).step_by(2) {
        for tile in tiles.clone() {
            for block in pair..blocks.min(pair + 2) {
                let panel = panel(block);
                let bounds = panel.finish.bounds(panel.place.lanes);
                let (sample, place) = grid.place(tile);
                let [row, column] = [place[0] / each, place[1] / each];
                let rows = grid.outputs(0, row, height).min(grid.m[0] / each);
                let columns = grid.outputs(1, column, width).min(grid.m[1] / each);
                // SAFETY: the tile's products and its pixels lie within their buffers.
                unsafe {
                    let products = products.add((tile - first) * grid.width() + block * LANES);
                    let y = y.wrapping_add((((sample * blocks + block) * height + row) * width + column) * LANES);
                    if axes == Axes::Both {
                        let to = Square { panel: &panel, bounds, y, steps, rows, columns };
                        square_output::<S, F, N, M, POOL>(s, products, step, &to);
                        continue;
                    }
                    let mut m = [s.splat(0.0); N];
                    for i in 0..N {
                        m[i] = s.load(products.add(i * step));
                    }
                    let pixel_step = steps[usize::from(axes == Axes::Across)];
                    finish::<S, M>(s, &panel, F::output(s, m), y, pixel_step, rows * columns);
                }
            }
        }
    }
}

/// Where a square tile of eight channels goes.
struct Square<'a, 'p> {
    panel: &'a Panel<'p>,
    /// Of its [`Finish`](crate::epilogue::Finish).
    bounds: Option<(f32, f32)>,
    /// Its first pixel.
    y: *mut f32,
    /// Elements from one row, and from one column, to the next.
    steps: [usize; 2],
    /// Rows and columns that lie within the output.
    rows: usize,
    columns: usize,
}

/// Transforms and stores one square tile of eight channels, `POOL`ed by two along both axes.
///
/// # Safety
/// As for [`outputs`].
#[inline(always)]
unsafe fn square_output<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize, const POOL: bool>(
    s: S,
    products: *const f32,
    step: usize,
    to: &Square<'_, '_>,
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
    let side = if POOL { M / 2 } else { M };
    for r in 0..to.rows {
        // SAFETY: the caller's promise; every column was set.
        unsafe {
            let row = if POOL { pooled::<S, F, N, M>(s, &half, r) } else { F::output(s, half.row(r)) };
            let y = to.y.add(r * to.steps[0]);
            fetch(s, y, side);
            // Measured: only few pixels are stored faster past all other cases of an epilogue.
            if let Some((lo, hi)) = to.bounds.filter(|_| POOL && to.columns == side) {
                let (init, lo, hi) = (s.load(to.panel.init), s.splat(lo), s.splat(hi));
                for i in 0..side {
                    s.store(y.add(i * LANES), s.min(hi, s.max(lo, s.add(row[i], init))));
                }
            } else {
                finish::<S, M>(s, to.panel, row, y, to.steps[1], to.columns);
            }
        }
    }
}

/// Fetches what follows `count` pixels at `y`: where the next tile goes.
#[inline(always)]
fn fetch<S: Simd>(s: S, y: *mut f32, count: usize) {
    for i in 0..(count * LANES).div_ceil(LINE) {
        s.prefetch(y.wrapping_add(count * LANES + i * LINE));
    }
}

/// Maxima of two by two pixels, of rows `2 * r` and `2 * r + 1`: half as many as there are entries.
///
/// # Safety
/// Every column of `half` must have been set.
#[inline(always)]
unsafe fn pooled<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize>(
    s: S,
    half: &Half<S, M, N>,
    r: usize,
) -> [S::V; M] {
    // SAFETY: the caller's promise.
    let (above, below) = unsafe { (half.row(2 * r), half.row(2 * r + 1)) };
    // One row after the other, and side by side first: fewer values wait for others in registers.
    let mut largest = side_by_side::<S, M>(s, F::output(s, above));
    let below = side_by_side::<S, M>(s, F::output(s, below));
    for i in 0..M / 2 {
        largest[i] = math::max_nan(s, largest[i], below[i]);
    }
    largest
}

/// The larger of every two pixels of a row: half as many as there are entries.
#[inline(always)]
fn side_by_side<S: Simd, const M: usize>(s: S, mut row: [S::V; M]) -> [S::V; M] {
    for i in 0..M / 2 {
        row[i] = math::max_nan(s, row[2 * i], row[2 * i + 1]);
    }
    row
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
            panel.finish.store::<S, M, 1>(s, &panel.place, sums, to);
            return;
        }
        for i in 0..M {
            if i < count {
                panel.finish.store::<S, 1, 1>(s, &panel.place, [sums[i]], [to[i]]);
            }
        }
    }
}
