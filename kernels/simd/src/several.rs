//! Several vectors as one.

use crate::{
    Bytes, LANES, Lanes, Pair, Simd,
    bytes::{Narrow, PairBytes},
    operations,
};

/// `N` vectors of `S`, each operation done for all of them before the next begins.
///
/// A long function of one vector waits for itself at every step, and a processor's window of instructions holds no more
/// than a few of them: interleaved by hand, four take little longer than one.
#[derive(Clone, Copy, Debug)]
pub struct Several<S, const N: usize>(pub S);

macro_rules! each {
    ($($name:ident($first:ident $(, $more:ident)*);)*) => {$(
        #[inline(always)]
        fn $name(self, $first: [S::V; N] $(, $more: [S::V; N])*) -> [S::V; N] {
            let mut all = $first;
            for i in 0..N {
                all[i] = self.0.$name($first[i] $(, $more[i])*);
            }
            all
        }
    )*};
}

impl<S: Lanes, const N: usize> Lanes for Several<S, N> {
    type V = [S::V; N];

    #[inline(always)]
    fn splat(self, x: f32) -> [S::V; N] {
        [self.0.splat(x); N]
    }

    operations!(each);
}

impl<S: Simd> Pair<S> for Several<S, 2> {
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> [S::V; 2] {
        // SAFETY: the caller promises sixteen readable elements.
        unsafe { [self.0.load(p), self.0.load(p.add(LANES))] }
    }

    #[inline(always)]
    unsafe fn broadcast(self, p: *const f32) -> [S::V; 2] {
        // SAFETY: the caller's promise.
        [unsafe { self.0.broadcast(p) }; 2]
    }

    #[inline(always)]
    fn halves(self, v: [S::V; 2]) -> [S::V; 2] {
        v
    }

    #[inline(always)]
    fn join(self, halves: [S::V; 2]) -> [S::V; 2] {
        halves
    }

    #[inline(always)]
    fn sums_to_f32(self, sums: [S::I; 2]) -> [S::V; 2] {
        [self.0.sums_to_f32(sums[0]), self.0.sums_to_f32(sums[1])]
    }

    #[inline(always)]
    unsafe fn load_bytes(self, from: [*const u8; 2], signed: bool) -> [S::V; 2] {
        // SAFETY: the caller's promise.
        from.map(|p| unsafe { self.0.load_bytes(p, signed) })
    }

    #[inline(always)]
    unsafe fn store_narrow(self, to: [*mut u8; 2], v: [[S::V; 2]; 4], how: Narrow) {
        for h in 0..2 {
            // SAFETY: the caller's promise.
            unsafe { self.0.store_narrow(to[h], [v[0][h], v[1][h], v[2][h], v[3][h]], how) };
        }
    }
}

impl<S: Bytes> PairBytes<S> for Several<S, 2> {
    type I = [S::I; 2];
    type Quad = S::Quad;

    #[inline(always)]
    unsafe fn load_sums(self, p: *const i32) -> [S::I; 2] {
        // SAFETY: the caller promises sixteen readable elements.
        unsafe { [self.0.load_sums(p), self.0.load_sums(p.add(LANES))] }
    }

    #[inline(always)]
    unsafe fn quad<const TURNED: bool>(self, p: *const u8) -> S::Quad {
        // SAFETY: the caller's promise.
        unsafe { self.0.quad::<TURNED>(p) }
    }

    #[inline(always)]
    fn half(self, x: S::Quad) -> S::Quad {
        x
    }

    #[inline(always)]
    unsafe fn dot(self, sums: [S::I; 2], x: S::Quad, w: *const i8) -> [S::I; 2] {
        // SAFETY: the caller promises 64 readable weights.
        unsafe { [self.0.dot(sums[0], x, w), self.0.dot(sums[1], x, w.add(4 * LANES))] }
    }

    #[inline(always)]
    unsafe fn dot_words(self, sums: [S::I; 2], x: S::Quad, w: *const i16) -> [S::I; 2] {
        // SAFETY: the caller promises 32 readable weights.
        unsafe { [self.0.dot_words(sums[0], x, w), self.0.dot_words(sums[1], x, w.add(2 * LANES))] }
    }

    #[inline(always)]
    fn sums(self, sums: [S::I; 2]) -> [S::I; 2] {
        sums
    }
}
