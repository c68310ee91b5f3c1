//! The micro-kernel: a tile of rows (pixels) by one to three vectors of columns (channels).
//!
//! The common tile is 6 x 16: twelve accumulators, two vectors of weights and one broadcast make fifteen live vectors;
//! with sixteen, LLVM spills. Remainders of eight channels take tiles of 3 x 24 (nine chains of sums still hide the
//! latency of the multiply-add) or, alone, 8 x 8, which is bound by its loads. Where sixteen columns are one register, the
//! common tile is 7 x 32, of two panels: against one, every multiply-add would load a number of its own, and there are no
//! more ports for loads than for those.
//!
//! Rows are pointers, and the summed index runs through offsets shared by all rows, so that one kernel covers pointwise
//! and spatial convolution, strides, dilation, channel selection and matrix products without rearranging the input.

mod columns;
mod streams;
mod sum;

pub use streams::streams;

use crate::epilogue::{Finish, Place};
use paring_simd::{LANES, Simd, Task};
use sum::sum;

/// Most rows of a tile.
pub const ROWS: usize = 8;
/// Most vectors of columns: those of two panels of two.
pub const VECTORS: usize = 4;
/// Rows come in multiples of this where there is a choice.
pub const STEP: usize = 6;

/// The summed index runs through consecutive elements; offsets are not used.
pub const CONTIGUOUS: u8 = 0;
/// As [`CONTIGUOUS`], with weights that were not packed: their rows are [`Panel::step`] elements apart.
pub const STRIDED: u8 = 3;
/// Each offset stands for eight consecutive elements.
pub const BLOCKS: u8 = 1;
/// Each offset stands for one element.
pub const CHANNELS: u8 = 2;

/// Elements of a cache line.
pub const LINE: usize = 16;

/// Terms after which a running sum is put aside: rounding errors of very long sums grow with their length.
const CHUNK: usize = 2048;

/// What the tiles of one panel share.
#[derive(Clone, Copy)]
pub struct Panel<'a> {
    /// First row of the weights.
    pub weights: *const f32,
    /// The weights that are wanted next, as far as anyone knows: they are fetched meanwhile.
    pub ahead: *const f32,
    /// Elements from one row of the weights to the next, for [`STRIDED`]; else rows follow each other.
    pub step: usize,
    /// Byte offsets from a row's pointer.
    pub offsets: &'a [usize],
    /// Length of the sum, for [`CONTIGUOUS`].
    pub k: usize,
    /// Elements from the weights to those of the panel that goes along with it, where there is one.
    pub beside: usize,
    /// What accumulators start from: one entry per column.
    pub init: *const f32,
    /// Its columns in the output.
    pub place: Place,
    /// The epilogue.
    pub finish: &'a Finish<'a>,
}

/// Elements in a row of the weights of one panel, where tiles have so many vectors.
const fn width(vectors: usize) -> usize {
    if vectors > 3 { 2 * LANES } else { vectors * LANES }
}

/// Whether two panels of so many vectors are to go together.
pub const fn abreast<S: Simd>(vectors: usize, next: usize) -> bool {
    S::WIDE && vectors == 2 && next == 2
}

impl Panel<'_> {
    /// This panel and `next`, whose columns follow, together: four vectors. Both read the same rows.
    #[inline(always)]
    pub fn with(self, next: &Panel<'_>) -> Self {
        let lanes = self.place.lanes + next.place.lanes;
        let beside = (next.weights.addr() - self.weights.addr()) / size_of::<f32>();
        Panel { beside, ahead: next.ahead, place: Place { lanes, ..self.place }, ..self }
    }

    /// Where tile `t` of `tiles` begins to fetch what is wanted next. A panel is read from the cache by all tiles but
    /// the first, which would wait for memory if nobody had asked for it before.
    #[inline(always)]
    fn share<const NV: usize>(&self, t: usize, tiles: usize) -> *const f32 {
        let length = self.k.max(self.offsets.len() * LANES) * NV * LANES;
        self.ahead.wrapping_add(length / tiles * t)
    }
}

/// Rows of the tallest tile that fits the registers.
const fn height<S: Simd, const NV: usize>() -> usize {
    // Two of the sixteen registers of SSE make one vector.
    match (NV, S::SMALL) {
        (1, false) => 8,
        // More than these, and LLVM runs out of registers for rows or sums.
        (2, false) if S::WIDE => 8,
        (4, false) if S::WIDE => 7,
        (3, false) if S::WIDE => 6,
        (2, false) => 6,
        (_, false) => 3,
        (1, true) => 4,
        (2, true) => 2,
        (_, true) => 1,
    }
}

/// Calls `$tile` with as many rows as a constant. No size is compiled that is taller than what fits the registers.
macro_rules! of_height {
    ($n:expr, $s:ty, $nv:ident, $tile:ident => $call:expr) => {
        of_height!($n, $s, $nv, $tile => $call, 8 7 6 5 4 3 2 1)
    };
    ($n:expr, $s:ty, $nv:ident, $tile:ident => $call:expr, $($size:literal)*) => {
        match $n {
            $($size if const { height::<$s, $nv>() >= $size } => {
                const $tile: usize = $size;
                $call
            })*
            _ => {}
        }
    };
}

/// Computes any number of rows against one panel of `NV` vectors, in tiles as equal as can be: nine tiles of five and
/// six rows cost less than eight of six and one of one, whose chain of sums would wait for itself.
///
/// A function of its own, compiled once for all who multiply: a call is nothing beside a panel's worth of work, and
/// seventeen sizes of tiles inlined everywhere take minutes to compile.
///
/// # Safety
/// Every row pointer must be valid for reads at all offsets, every output pointer for the columns that exist (all of
/// them where [`Finish::padded`] holds), the weights for all rows.
#[inline(never)]
pub unsafe fn rows<S: Simd, const NV: usize, const WALK: u8>(
    s: S,
    panel: &Panel<'_>,
    x: &[*const f32],
    y: &[*mut f32],
) {
    s.vectorize(Rows::<NV, WALK> { panel, x, y });
}

/// As [`rows`] of consecutive elements, for a panel of any width, packed or not.
///
/// # Safety
/// As for [`rows`].
#[inline(always)]
pub unsafe fn product<S: Simd>(s: S, vectors: usize, panel: &Panel<'_>, x: &[*const f32], y: &[*mut f32]) {
    // SAFETY: the caller's promise.
    unsafe {
        match (vectors, panel.step == width(vectors)) {
            (4, true) if S::WIDE => rows::<S, 4, CONTIGUOUS>(s, panel, x, y),
            (3, true) => rows::<S, 3, CONTIGUOUS>(s, panel, x, y),
            (2, true) => rows::<S, 2, CONTIGUOUS>(s, panel, x, y),
            (_, true) => rows::<S, 1, CONTIGUOUS>(s, panel, x, y),
            (3, false) => rows::<S, 3, STRIDED>(s, panel, x, y),
            (2, false) => rows::<S, 2, STRIDED>(s, panel, x, y),
            (_, false) => rows::<S, 1, STRIDED>(s, panel, x, y),
        }
    }
}

/// Multiplies `rows` rows of consecutive elements at `x`, `x_step` elements apart, by one packed panel, and stores the
/// sums as they are at `y`, `y_step` elements apart.
///
/// # Safety
/// Rows must be valid for reads of `panel.k` elements, and for writes of the columns of `vectors` vectors.
#[inline(always)]
pub unsafe fn plain<S: Simd>(
    s: S,
    vectors: usize,
    panel: &Panel<'_>,
    x: *const f32,
    x_step: usize,
    y: *mut f32,
    y_step: usize,
    rows: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match (vectors, panel.step == width(vectors)) {
            (4, _) if S::WIDE => plain_rows::<S, 4, CONTIGUOUS>(s, panel, x, x_step, y, y_step, rows),
            (2, _) => plain_rows::<S, 2, CONTIGUOUS>(s, panel, x, x_step, y, y_step, rows),
            (_, true) => plain_rows::<S, 1, CONTIGUOUS>(s, panel, x, x_step, y, y_step, rows),
            (_, false) => plain_rows::<S, 1, STRIDED>(s, panel, x, x_step, y, y_step, rows),
        }
    }
}

/// [`plain`] for `NV` vectors, compiled once.
#[inline(never)]
unsafe fn plain_rows<S: Simd, const NV: usize, const WALK: u8>(
    s: S,
    panel: &Panel<'_>,
    x: *const f32,
    x_step: usize,
    y: *mut f32,
    y_step: usize,
    rows: usize,
) {
    s.vectorize(Plain::<NV, WALK> { panel, x, x_step, y, y_step, rows });
}

/// The body of [`plain`].
struct Plain<'a, const NV: usize, const WALK: u8> {
    panel: &'a Panel<'a>,
    x: *const f32,
    x_step: usize,
    y: *mut f32,
    y_step: usize,
    rows: usize,
}

impl<const NV: usize, const WALK: u8> Task for Plain<'_, NV, WALK> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let mut at = 0;
        let tiles = self.rows.div_ceil(height::<S, NV>()).max(1);
        let (each, more) = (self.rows / tiles, self.rows % tiles);
        for t in 0..tiles {
            let n = each + usize::from(t < more);
            let ahead = self.panel.share::<NV>(t, tiles);
            // SAFETY: `at + n` never exceeds the number of rows; the rest is the promise of the caller of `plain`.
            unsafe {
                of_height!(n, S, NV, PX => self.tile::<S, PX>(s, at, ahead));
            }
            at += n;
        }
    }
}

impl<const NV: usize, const WALK: u8> Plain<'_, NV, WALK> {
    /// `PX` rows from `at` on.
    ///
    /// # Safety
    /// As for [`plain`].
    #[inline(always)]
    unsafe fn tile<S: Simd, const PX: usize>(&self, s: S, at: usize, ahead: *const f32) {
        let mut x = [self.x; PX];
        for i in 0..PX {
            x[i] = self.x.wrapping_add((at + i) * self.x_step);
        }
        // SAFETY: the caller's promise.
        unsafe {
            let sums = sum::<S, PX, NV, WALK>(s, self.panel, x, ahead);
            let y = self.y.add(at * self.y_step);
            for i in 0..PX {
                for h in 0..NV {
                    s.store(y.add(i * self.y_step + h * LANES), sums[i][h]);
                }
            }
        }
    }
}

/// The body of [`rows`].
struct Rows<'a, const NV: usize, const WALK: u8> {
    panel: &'a Panel<'a>,
    x: &'a [*const f32],
    y: &'a [*mut f32],
}

impl<const NV: usize, const WALK: u8> Task for Rows<'_, NV, WALK> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Rows { panel, x, y } = self;
        let deferred = panel.finish.is_deferred(&panel.place, NV);
        debug_assert_eq!(x.len(), y.len());
        let tiles = x.len().div_ceil(height::<S, NV>()).max(1);
        let (each, more) = (x.len() / tiles, x.len() % tiles);
        let mut at = 0;
        for t in 0..tiles {
            let n = each + usize::from(t < more);
            let ahead = panel.share::<NV>(t, tiles);
            // SAFETY: `at + n` never exceeds the number of rows; the rest is the promise of the caller of `rows`.
            unsafe {
                let (x, y) = (x.as_ptr().add(at), y.as_ptr().add(at));
                of_height!(n, S, NV, PX => tile::<S, PX, NV, WALK>(s, panel, x, y, ahead, deferred));
            }
            at += n;
        }
        if deferred {
            // SAFETY: the promise of the caller of `rows`; every row was stored above.
            unsafe { panel.finish.finish(s, &panel.place, y, NV) };
        }
    }
}

/// One tile of `PX` rows.
///
/// # Safety
/// As for [`rows`], with `PX` pointers at `x` and at `y`.
#[inline(always)]
unsafe fn tile<S: Simd, const PX: usize, const NV: usize, const WALK: u8>(
    s: S,
    panel: &Panel<'_>,
    x: *const *const f32,
    y: *const *mut f32,
    ahead: *const f32,
    deferred: bool,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let x: [*const f32; PX] = x.cast::<[*const f32; PX]>().read();
        let y: [*mut f32; PX] = y.cast::<[*mut f32; PX]>().read();
        let sums = sum::<S, PX, NV, WALK>(s, panel, x, ahead);
        panel.finish.store_or_defer(s, &panel.place, sums, y, deferred);
    }
}
