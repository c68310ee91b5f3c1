//! Products of transformed inputs with a panel of transformed weights: words, summed in 32 bits.

use paring_dense::tiled::PANEL;
use paring_kernel::Isa;
use paring_simd::{LANES, PairBytes, Simd};

/// Operands of the product of one value of some tiles and one panel.
pub struct Product {
    /// Transformed inputs, `depth` words for each tile.
    pub v: *const i16,
    pub depth: usize,
    /// Transformed weights.
    pub w: *const i16,
    /// The panel's first products, those of a tile `width` sums after those of the one before.
    pub products: *mut i32,
    pub width: usize,
}

/// Words of a line of the cache.
const LINE: usize = 32;

/// Tiles that are multiplied at once.
const fn most<S: Simd>() -> usize {
    match S::ISA {
        // Four registers hold the sums of a vector.
        Isa::Neon => 3,
        // Twelve sums, two vectors of weights, one of inputs, and one of products.
        _ => 6,
    }
}

impl Product {
    /// Multiplies `tiles` tiles by the `vectors` that exist of the two of the panel.
    ///
    /// # Safety
    /// Inputs and weights must be valid for reads, and products for writes, of so many tiles.
    #[inline(always)]
    pub unsafe fn run<S: Simd>(&self, s: S, vectors: usize, tiles: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match vectors {
                1 => self.all::<S, 1>(s, tiles),
                _ => self.all::<S, 2>(s, tiles),
            }
        }
    }

    /// # Safety
    /// As for [`Product::run`].
    #[inline(always)]
    unsafe fn all<S: Simd, const NV: usize>(&self, s: S, tiles: usize) {
        let words = self.depth * PANEL;
        let mut at = 0;
        macro_rules! some {
            ($($n:literal)*) => {$(
                while $n <= most::<S>() && tiles - at >= $n {
                    // Each fetches its share of the panel that follows.
                    let ahead = self.w.wrapping_add(words + words / tiles * at);
                    // SAFETY: the caller's promise.
                    unsafe { self.tile::<S, $n, NV>(s, at, ahead) };
                    at += $n;
                }
            )*};
        }
        some!(6 3 2 1);
    }

    /// # Safety
    /// As for [`Product::run`], for `T` tiles from `first` on.
    #[inline(always)]
    unsafe fn tile<S: Simd, const T: usize, const NV: usize>(&self, s: S, first: usize, mut ahead: *const i16) {
        if T > most::<S>() {
            return;
        }
        const ZEROS: [i32; PANEL] = [0; PANEL];
        let p = s.pair();
        // SAFETY: the caller's promise.
        unsafe {
            let mut pairs = [p.load_sums(ZEROS.as_ptr()); T];
            let mut singles = [s.load_sums(ZEROS.as_ptr()); T];
            let mut v: [*const i16; T] = [self.v; T];
            for i in 0..T {
                v[i] = self.v.add((first + i) * self.depth);
            }
            let mut w = self.w;
            // Not unrolled: several pairs at once would be scheduled together, and not fit the registers.
            for pair in 0..self.depth / 2 {
                for i in 0..T {
                    let x = v[i].add(2 * pair).cast();
                    if NV == 2 {
                        pairs[i] = p.dot_words(pairs[i], p.quad::<false>(x), w);
                    } else {
                        singles[i] = s.dot_words(singles[i], s.quad::<false>(x), w);
                    }
                }
                w = w.add(2 * PANEL);
                s.prefetch(ahead.cast());
                ahead = ahead.wrapping_add(LINE / 2);
            }
            for i in 0..T {
                let to = self.products.add((first + i) * self.width);
                if NV == 2 {
                    let [a, b] = p.sums(pairs[i]);
                    s.store_sums(to, a);
                    s.store_sums(to.add(LANES), b);
                } else {
                    s.store_sums(to, singles[i]);
                }
            }
        }
    }
}
