//! The columns of a panel in registers.

use paring_simd::{LANES, Lanes, Pair, Simd};

/// A row of `NV` vectors.
pub trait Columns<S: Simd, const NV: usize> {
    /// The row.
    type Row: Copy;

    /// Zeros.
    fn zero(s: S) -> Self::Row;

    /// A row from memory.
    ///
    /// # Safety
    /// `p` must be valid for reads of `NV` vectors.
    unsafe fn load(s: S, p: *const f32) -> Self::Row;

    /// The number at `a` times `b`, plus `c`.
    ///
    /// # Safety
    /// `a` must be valid for a read.
    unsafe fn mul_add(s: S, a: *const f32, b: Self::Row, c: Self::Row) -> Self::Row;

    /// `a + b`.
    fn add(s: S, a: Self::Row, b: Self::Row) -> Self::Row;

    /// The vectors of a row.
    fn vectors(s: S, row: Self::Row) -> [S::V; NV];
}

/// One register for each vector.
pub struct Narrow;

impl<S: Simd, const NV: usize> Columns<S, NV> for Narrow {
    type Row = [S::V; NV];

    #[inline(always)]
    fn zero(s: S) -> [S::V; NV] {
        [s.splat(0.0); NV]
    }

    #[inline(always)]
    unsafe fn load(s: S, p: *const f32) -> [S::V; NV] {
        let mut row = [s.splat(0.0); NV];
        for h in 0..NV {
            // SAFETY: the caller's promise.
            row[h] = unsafe { s.load(p.add(LANES * h)) };
        }
        row
    }

    #[inline(always)]
    unsafe fn mul_add(s: S, a: *const f32, b: [S::V; NV], mut c: [S::V; NV]) -> [S::V; NV] {
        // SAFETY: the caller's promise.
        let a = unsafe { s.broadcast(a) };
        for h in 0..NV {
            c[h] = s.mul_add(a, b[h], c[h]);
        }
        c
    }

    #[inline(always)]
    fn add(s: S, a: [S::V; NV], mut b: [S::V; NV]) -> [S::V; NV] {
        for h in 0..NV {
            b[h] = s.add(a[h], b[h]);
        }
        b
    }

    #[inline(always)]
    fn vectors(_: S, row: [S::V; NV]) -> [S::V; NV] {
        row
    }
}

/// One register for two vectors: `NV` is 2.
pub struct Wide;

impl<S: Simd, const NV: usize> Columns<S, NV> for Wide {
    type Row = <S::Pair as Lanes>::V;

    #[inline(always)]
    fn zero(s: S) -> Self::Row {
        s.pair().splat(0.0)
    }

    #[inline(always)]
    unsafe fn load(s: S, p: *const f32) -> Self::Row {
        // SAFETY: the caller's promise.
        unsafe { s.pair().load(p) }
    }

    #[inline(always)]
    unsafe fn mul_add(s: S, a: *const f32, b: Self::Row, c: Self::Row) -> Self::Row {
        let pair = s.pair();
        // SAFETY: the caller's promise.
        pair.mul_add(unsafe { pair.broadcast(a) }, b, c)
    }

    #[inline(always)]
    fn add(s: S, a: Self::Row, b: Self::Row) -> Self::Row {
        s.pair().add(a, b)
    }

    #[inline(always)]
    fn vectors(s: S, row: Self::Row) -> [S::V; NV] {
        let halves = s.pair().halves(row);
        let mut vectors = [halves[0]; NV];
        for h in 0..NV {
            vectors[h] = halves[h % 2];
        }
        vectors
    }
}
