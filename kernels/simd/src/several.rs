//! Several vectors as one.

use crate::{Lanes, Pair, Simd, operations};

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
        unsafe { [self.0.load(p), self.0.load(p.add(crate::LANES))] }
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
}
