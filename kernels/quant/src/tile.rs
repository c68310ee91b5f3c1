//! The micro-kernel: pixels times columns, summed over rows of four bytes.

use crate::finish::{Finish, Place};
use paring_kernel::Isa;
use paring_simd::{LANES, PairBytes, Simd, Task};

/// Inputs of a tile: bytes as products take them, and weights of bytes.
pub const STRAIGHT: u8 = 0;
/// Bytes whose uppermost bits are turned first, and weights of bytes.
pub const TURNED: u8 = 1;
/// Words of sixteen bits, two for each four bytes, on both sides.
pub const WORDS: u8 = 2;

/// Pixels that follow one another in memory: rows of most maps are multiples of so many.
const RUN: usize = 7;
/// Pixels of the largest tiles where registers are wide: two runs, which have two addresses and whose sums take 28 of 32
/// registers.
pub const RUNS: usize = 2 * RUN;

/// Rows of the sums for which those are worth it: what is left over when they are stored by fours outweighs what they save where
/// there are fewer.
const LONG: usize = 64;

/// What all tiles of a panel share.
pub struct Panel<'a> {
    /// Rows of `vectors * 32` bytes.
    pub weights: *const i8,
    /// Bytes from the weights to those of a panel of two vectors that goes along with this one, for four.
    pub beside: usize,
    /// For each row the bytes from a pixel's first to the four that it multiplies.
    pub offsets: &'a [usize],
    /// Where sums start from, one for each column.
    pub init: *const i32,
    /// Columns, in the output and in the vectors of the epilogue.
    pub place: Place,
    pub finish: &'a Finish<'a>,
}

impl Panel<'_> {
    /// This panel of two vectors and `next`, whose columns follow and which has rows of the same sources.
    #[inline(always)]
    pub fn with(self, next: &Panel<'_>) -> Self {
        let beside = next.weights.addr() - self.weights.addr();
        let lanes = self.place.lanes + next.place.lanes;
        Panel { beside, place: Place { lanes, ..self.place }, ..self }
    }
}

/// Pixels of the largest tile for so many vectors.
const fn most<S: Simd>(vectors: usize) -> usize {
    let sizes = match S::ISA {
        _ if S::SMALL => [4, 2, 1, 1],
        // A sum waits some five cycles for the one before it while two begin in each: ten or more keep that busy.
        Isa::AvxVnni => [12, 6, 4, 1],
        // The same, with two vectors in one register and twice the registers.
        Isa::Avx512Vnni => [12, 12, 8, 8],
        // 24 of 32 registers: two for eight sums, or four where products are widened.
        Isa::DotProd | Isa::I8mm => [12, 6, 4, 1],
        Isa::Neon => [6, 3, 2, 1],
        _ => [8, 4, 3, 1],
    };
    sizes[if vectors < 4 { vectors - 1 } else { 3 }]
}

/// Whether there are tiles of `n` pixels for so many vectors.
const fn has_tile<S: Simd>(n: usize, vectors: usize) -> bool {
    let most = most::<S>(vectors);
    n == most || n < most && (n < 5 || S::WIDE && n != 6)
}

/// Computes pixels that begin at `x` and are stored at `y`, bytes from the output's first element.
///
/// A function of its own, compiled once for all who multiply: a call is nothing beside a panel's worth of work.
///
/// # Safety
/// Every pixel must be readable at all offsets, those that follow one another in memory by the pointer of the first as well, and
/// its columns in the output be this task's alone.
#[inline(never)]
pub unsafe fn pixels<S: Simd, const NV: usize, const KIND: u8>(s: S, panel: &Panel<'_>, x: &[*const u8], y: &[usize]) {
    s.vectorize(Pixels::<NV, KIND> { panel, x, y });
}

/// The body of [`pixels`].
struct Pixels<'a, const NV: usize, const KIND: u8> {
    panel: &'a Panel<'a>,
    x: &'a [*const u8],
    y: &'a [usize],
}

impl<const NV: usize, const KIND: u8> Task for Pixels<'_, NV, KIND> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Pixels { panel, x, y } = self;
        // What comes next in memory is what the next panels need. The first tile fetches a line for each row, which is as much as a
        // panel of two vectors has, the second as much of the panel beside it.
        let bytes = panel.offsets.len() * if NV == 4 { 2 } else { NV } * 4 * LANES;
        let next = panel.beside + bytes;
        let (mut at, mut ahead) = (0, next);
        let runs = const { S::WIDE && NV == 4 && KIND != WORDS } && panel.offsets.len() >= LONG;
        while at < x.len() {
            let left = x.len() - at;
            macro_rules! tile {
                ($n:tt in runs of $run:tt) => {{
                    // SAFETY: the promise of the caller of `pixels`.
                    unsafe { tile::<S, $n, $run, NV, KIND>(s, panel, ahead, &x[at..at + $n], &y[at..at + $n]) };
                    at += $n;
                    ahead = if NV == 4 && ahead == next { next + bytes } else { 0 };
                    continue;
                }};
            }
            macro_rules! tiles {
                ($($n:literal)*) => {$(
                    // Few sizes, as each is a loop of its own.
                    if const { has_tile::<S>($n, NV) } && left >= $n {
                        tile!($n in runs of 1);
                    }
                )*};
            }
            if runs && left >= RUNS && are_runs(&x[at..at + RUNS]) {
                tile!(RUNS in runs of RUN);
            }
            tiles!(12 8 7 6 4 3 2 1);
        }
    }
}

/// Whether pixels are two runs.
#[inline(always)]
fn are_runs(x: &[*const u8]) -> bool {
    x.chunks_exact(RUN).all(|run| run.iter().enumerate().all(|(i, at)| at.addr() == run[0].addr() + i * LANES))
}

/// `PX` pixels, of which each `LENGTH` follow one another in memory. Fetches lines that are `ahead` bytes from the weights.
///
/// # Safety
/// As for [`pixels`].
#[inline(always)]
unsafe fn tile<S: Simd, const PX: usize, const LENGTH: usize, const NV: usize, const KIND: u8>(
    s: S,
    panel: &Panel<'_>,
    ahead: usize,
    x: &[*const u8],
    y: &[usize],
) {
    /// Starts of sums that a tile does not have.
    const NONE: [i32; 2 * LANES] = [0; 2 * LANES];
    let (p, paired, single, both) = (s.pair(), NV >= 2, NV % 2 == 1, NV == 4);
    // SAFETY: the caller's promise; weights and starts are there for all columns of a panel.
    unsafe {
        let mut from = [x[0]; PX];
        from.copy_from_slice(x);
        // Columns by two vectors at once, which some instructions have in one register, those of a second panel, and an
        // odd vector.
        let odd = if single { panel.init.add(NV / 2 * 2 * LANES) } else { NONE.as_ptr() };
        let mut pairs = [p.load_sums(if paired { panel.init } else { NONE.as_ptr() }); PX];
        let mut second = [p.load_sums(if both { panel.init.add(2 * LANES) } else { NONE.as_ptr() }); PX];
        let mut singles = [s.load_sums(odd); PX];
        let (mut w, beside) = (panel.weights, panel.beside);
        for &offset in panel.offsets {
            // Two instructions more on other architectures, and never measured there.
            if cfg!(target_arch = "x86_64") && paired {
                s.prefetch(w.wrapping_add(ahead).cast());
            }
            for i in 0..PX {
                let x = from[i / LENGTH * LENGTH].add(offset + i % LENGTH * LANES);
                if paired {
                    let quad = if KIND == TURNED { p.quad::<true>(x) } else { p.quad::<false>(x) };
                    pairs[i] = dot_pair::<S, KIND>(s, pairs[i], quad, w);
                    if both {
                        second[i] = dot_pair::<S, KIND>(s, second[i], quad, w.add(beside));
                    }
                    if single {
                        singles[i] = dot::<S, KIND>(s, singles[i], p.half(quad), w.add(8 * LANES));
                    }
                } else {
                    let quad = if KIND == TURNED { s.quad::<true>(x) } else { s.quad::<false>(x) };
                    singles[i] = dot::<S, KIND>(s, singles[i], quad, w);
                }
            }
            w = w.add(if both { 2 } else { NV } * 4 * LANES);
        }
        if paired {
            panel.finish.store_pairs(s, &panel.place, pairs, y);
        }
        if both {
            panel.finish.store_pairs(s, &panel.place.from(2), second, y);
        }
        if single {
            panel.finish.store_sums(s, &panel.place.from(NV - 1), singles, y);
        }
    }
}

/// As [`dot`], with those of sixteen columns.
///
/// # Safety
/// As for [`paring_simd::PairBytes::dot`].
#[inline(always)]
unsafe fn dot_pair<S: Simd, const KIND: u8>(
    s: S,
    sums: <S::Pair as PairBytes<S>>::I,
    x: <S::Pair as PairBytes<S>>::Quad,
    w: *const i8,
) -> <S::Pair as PairBytes<S>>::I {
    // SAFETY: the caller's promise.
    unsafe {
        match KIND {
            WORDS => s.pair().dot_words(sums, x, w.cast()),
            _ => s.pair().dot(sums, x, w),
        }
    }
}

/// Adds the products of four bytes, or two words, with those of eight columns.
///
/// # Safety
/// As for [`paring_simd::Bytes::dot`].
#[inline(always)]
unsafe fn dot<S: Simd, const KIND: u8>(s: S, sums: S::I, x: S::Quad, w: *const i8) -> S::I {
    // SAFETY: the caller's promise.
    unsafe {
        match KIND {
            WORDS => s.dot_words(sums, x, w.cast()),
            _ => s.dot(sums, x, w),
        }
    }
}
