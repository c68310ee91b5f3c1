//! The inner loops: four or eight pixels of one row and one block of channels.

use crate::{epilogue::Finish, tile::Panel};
use paring_simd::{LANES, Simd};

/// The pixels of one output row.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    /// Where the first window would begin, padding included: may lie outside the input and is only read within it.
    pub x: *const f32,
    /// Elements from one row of taps to the next.
    pub row_step: usize,
    /// Weights of the first row of taps that lies within the input.
    pub weights: *const f32,
    /// Rows of taps that lie within the input.
    pub taps_down: usize,
    /// Taps per row.
    pub taps_across: usize,
    /// Pixels from one window to the next.
    pub stride: usize,
    /// Pixels from one tap to the next.
    pub dilation: usize,
    /// Padding before the row.
    pub before: usize,
    /// Input pixels of a row.
    pub input: usize,
    /// Output pixels of a row.
    pub output: usize,
    /// First output pixel.
    pub y: *mut f32,
    /// Where the sums of eight channels start from.
    pub init: *const f32,
    /// What happens to them.
    pub out: Out<'a>,
}

/// What happens to sums before they are stored.
#[derive(Clone, Copy)]
pub enum Out<'a> {
    /// They are clamped.
    Bounded((f32, f32)),
    /// They go through the epilogue of a panel.
    Finished(&'a Panel<'a>),
}

/// Taps per row and stride are not known when compiling.
pub const ANY: usize = 0;

/// Computes one row whose windows have `KW` taps across at stride `ST` without dilation, or [`ANY`].
///
/// # Safety
/// Pointers must be valid for what [`Row`] says of them.
#[inline(always)]
pub unsafe fn row<S: Simd, const KW: usize, const ST: usize>(s: S, row: &Row<'_>) {
    let mut at = 0;
    while at < row.output {
        let left = row.output - at;
        // SAFETY: the caller's promise.
        unsafe {
            if left > 4 && wide::<S, KW, ST>() {
                pixels::<S, 8, KW, ST>(s, row, at, left.min(8));
                at += 8;
            } else {
                pixels::<S, 4, KW, ST>(s, row, at, left.min(4));
                at += 4;
            }
        }
    }
}

/// Whether eight sums, the weights of a row and an input fit the registers, and their columns the unrolled loop.
#[inline(always)]
fn wide<S: Simd, const KW: usize, const ST: usize>() -> bool {
    !S::SMALL && 7 * ST + KW <= COLUMNS
}

/// Computes `count` pixels from `at`; the others of the `N` are not stored.
#[inline(always)]
unsafe fn pixels<S: Simd, const N: usize, const KW: usize, const ST: usize>(
    s: S,
    row: &Row<'_>,
    at: usize,
    count: usize,
) {
    let (taps, stride) = if KW == ANY { (row.taps_across, row.stride) } else { (KW, ST) };
    let dilation = if KW == ANY { row.dilation } else { 1 };
    // Columns are counted from the first window's; those below `lo` or from `hi` on are padding.
    let first = at * stride;
    let lo = row.before.saturating_sub(first);
    let hi = (row.before + row.input).saturating_sub(first);
    let columns = (N - 1) * stride + (taps - 1) * dilation + 1;
    let x = row.x.wrapping_add(first * LANES);
    // SAFETY: columns from `lo` to `hi` lie within the input; the rest is the caller's promise.
    unsafe {
        let init = s.load(row.init);
        let whole = columns <= hi;
        let sums = match (lo, whole) {
            (0, true) if KW == ANY => sum_any::<S, N, false>(s, row, x, [init; N], lo, hi),
            (0, true) => sum::<S, N, KW, ST, false, false>(s, row, x, [init; N], hi),
            (0, false) if KW != ANY && !S::SMALL => sum::<S, N, KW, ST, false, true>(s, row, x, [init; N], hi),
            (lo, true) if KW != ANY && !S::SMALL && lo == KW / 2 => {
                sum::<S, N, KW, ST, true, false>(s, row, x, [init; N], hi)
            }
            (lo, false) if KW != ANY && !S::SMALL && lo == KW / 2 => {
                sum::<S, N, KW, ST, true, true>(s, row, x, [init; N], hi)
            }
            _ => sum_any::<S, N, true>(s, row, x, [init; N], lo, hi),
        };
        let y = row.y.add(at * LANES);
        match &row.out {
            Out::Bounded(bounds) => {
                // Opaque, lest the bounds be kept in registers that the sums need: one sum in memory costs a quarter.
                let bounds = core::hint::black_box(bounds);
                let (lo, hi) = (s.splat(bounds.0), s.splat(bounds.1));
                for i in 0..N {
                    if i < count {
                        s.store(y.add(i * LANES), s.min(hi, s.max(lo, sums[i])));
                    }
                }
            }
            Out::Finished(panel) => {
                store_some(s, panel, [sums[0], sums[1], sums[2], sums[3]], y, count);
                if N == 8 && count > 4 {
                    let y = y.add(4 * LANES);
                    store_some(s, panel, [sums[N - 4], sums[N - 3], sums[N - 2], sums[N - 1]], y, count - 4);
                }
            }
        }
    }
}

/// Columns that [`sum`] is unrolled for.
const COLUMNS: usize = 17;

/// The sums of `N` pixels: a column is loaded once for all windows it is in. `LEFT`: the first `KW / 2` columns are
/// padding; `RIGHT`: so are those from `hi` on.
#[inline(always)]
#[allow(clippy::erasing_op, clippy::identity_op)]
unsafe fn sum<S: Simd, const N: usize, const KW: usize, const ST: usize, const LEFT: bool, const RIGHT: bool>(
    s: S,
    row: &Row<'_>,
    mut x: *const f32,
    mut sums: [S::V; N],
    hi: usize,
) -> [S::V; N] {
    let lo = if LEFT { KW / 2 } else { 0 };
    let mut w = row.weights;
    for _ in 0..row.taps_down {
        let mut taps = [s.splat(0.0); KW];
        for k in 0..KW {
            // SAFETY: each row of taps has `KW` vectors of weights.
            taps[k] = unsafe { s.load(w.add(k * LANES)) };
        }
        // Loops over arrays of registers are spelled out: were one not unrolled, all sums would live in memory.
        macro_rules! window {
            ($v:ident, $j:literal, $($i:literal)*) => {$(
                if $i < N && $j >= $i * ST && $j < $i * ST + KW {
                    sums[$i] = s.mul_add(taps[$j - $i * ST], $v, sums[$i]);
                }
            )*};
        }
        macro_rules! columns {
            ($($j:literal)*) => {$(
                if $j < (N - 1) * ST + KW && $j >= lo && (!RIGHT || $j < hi) {
                    // SAFETY: the column lies within the input.
                    let v = unsafe { s.load(x.wrapping_add($j * LANES)) };
                    window!(v, $j, 0 1 2 3 4 5 6 7);
                }
            )*};
        }
        columns!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
        x = x.wrapping_add(row.row_step);
        // SAFETY: at most one past the last weight.
        w = unsafe { w.add(KW * LANES) };
    }
    sums
}

/// The sums of `N` pixels for any number of taps, stride and dilation.
#[inline(always)]
unsafe fn sum_any<S: Simd, const N: usize, const EDGE: bool>(
    s: S,
    row: &Row<'_>,
    mut x: *const f32,
    mut sums: [S::V; N],
    lo: usize,
    hi: usize,
) -> [S::V; N] {
    let mut w = row.weights;
    for _ in 0..row.taps_down {
        for k in 0..row.taps_across {
            let column = k * row.dilation;
            // SAFETY: each row of taps has as many vectors of weights.
            let tap = unsafe { s.load(w.add(k * LANES)) };
            macro_rules! windows {
                ($($i:literal)*) => {$(
                    let j = column + $i * row.stride;
                    if $i < N && (!EDGE || (j >= lo && j < hi)) {
                        // SAFETY: the column lies within the input.
                        sums[$i] = s.mul_add(tap, unsafe { s.load(x.wrapping_add(j * LANES)) }, sums[$i]);
                    }
                )*};
            }
            windows!(0 1 2 3 4 5 6 7);
        }
        x = x.wrapping_add(row.row_step);
        // SAFETY: at most one past the last weight.
        w = unsafe { w.add(row.taps_across * LANES) };
    }
    sums
}

/// Finishes and stores the first `count` of four pixels, `LANES` apart.
///
/// # Safety
/// These pixels must lie within the output, which must have whole blocks of channels.
#[inline(always)]
unsafe fn store_some<S: Simd>(s: S, panel: &Panel<'_>, sums: [S::V; 4], y: *mut f32, count: usize) {
    let finish: &Finish<'_> = panel.finish;
    let [a, b, c, d] = sums;
    let px = |i: usize| y.wrapping_add(i * LANES);
    // SAFETY: `count` pixels from `y` lie within the output, which has whole blocks of channels.
    unsafe {
        match count {
            0 => {}
            1 => finish.store(s, &panel.place, [[a]], [y]),
            2 => finish.store(s, &panel.place, [[a], [b]], [y, px(1)]),
            3 => finish.store(s, &panel.place, [[a], [b], [c]], [y, px(1), px(2)]),
            _ => finish.store(s, &panel.place, [[a], [b], [c], [d]], [y, px(1), px(2), px(3)]),
        }
    }
}
