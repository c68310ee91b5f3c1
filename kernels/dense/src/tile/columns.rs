//! The columns of a panel in registers.

use paring_simd::{LANES, Lanes, Pair, Simd};

/// A row of `NV` vectors.
pub trait Columns<S: Simd, const NV: usize> {
    /// The row.
    type Row: Copy;

    /// Zeros.
    fn zero(s: S) -> Self::Row;

    /// A row from memory; `beside` is where the columns of a second panel are, from those of the first.
    ///
    /// # Safety
    /// `p` must be valid for reads of `NV` vectors, of two each where there are two panels.
    unsafe fn load(s: S, p: *const f32, beside: usize) -> Self::Row;

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
    unsafe fn load(s: S, p: *const f32, _beside: usize) -> [S::V; NV] {
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
    unsafe fn load(s: S, p: *const f32, _beside: usize) -> Self::Row {
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

/// One register for each pair of vectors, and one for an odd one: `NV` is 3 or 4.
pub struct Wider;

/// A row of [`Wider`]: those that `NV` has no use for are never read.
#[derive(Clone, Copy)]
pub struct Paired<P, V> {
    pairs: [P; 2],
    single: V,
}

impl<S: Simd, const NV: usize> Columns<S, NV> for Wider {
    type Row = Paired<<S::Pair as Lanes>::V, S::V>;

    #[inline(always)]
    fn zero(s: S) -> Self::Row {
        Paired { pairs: [s.pair().splat(0.0); 2], single: s.splat(0.0) }
    }

    #[inline(always)]
    unsafe fn load(s: S, p: *const f32, beside: usize) -> Self::Row {
        let mut row = <Wider as Columns<S, NV>>::zero(s);
        // SAFETY: the caller's promise.
        unsafe {
            for h in 0..NV / 2 {
                row.pairs[h] = s.pair().load(p.add(h * beside));
            }
            if NV % 2 == 1 {
                row.single = s.load(p.add(NV / 2 * 2 * LANES));
            }
        }
        row
    }

    #[inline(always)]
    unsafe fn mul_add(s: S, a: *const f32, b: Self::Row, mut c: Self::Row) -> Self::Row {
        let pair = s.pair();
        // SAFETY: the caller's promise.
        let (x, half) = unsafe { (pair.broadcast(a), s.broadcast(a)) };
        for h in 0..NV / 2 {
            c.pairs[h] = pair.mul_add(x, b.pairs[h], c.pairs[h]);
        }
        if NV % 2 == 1 {
            c.single = s.mul_add(half, b.single, c.single);
        }
        c
    }

    #[inline(always)]
    fn add(s: S, a: Self::Row, mut b: Self::Row) -> Self::Row {
        for h in 0..NV / 2 {
            b.pairs[h] = s.pair().add(a.pairs[h], b.pairs[h]);
        }
        if NV % 2 == 1 {
            b.single = s.add(a.single, b.single);
        }
        b
    }

    #[inline(always)]
    fn vectors(s: S, row: Self::Row) -> [S::V; NV] {
        let mut vectors = [row.single; NV];
        for h in 0..NV / 2 * 2 {
            vectors[h] = s.pair().halves(row.pairs[h / 2])[h % 2];
        }
        vectors
    }
}
