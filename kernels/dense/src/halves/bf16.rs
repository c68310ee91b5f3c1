//! Sums of two or three `bf16`, by tiles.
//!
//! AMX multiplies `bf16` sixteen times as fast as AVX-512 multiplies `f32`. A number is the sum of three: the `bf16` nearest to
//! it, the one nearest to what that lacks, and what both lack; of their nine products six are not less than the last bit of the
//! number's own. It is all but the sum of the first two: three products then make one of numbers, but for 2^-15 of each at most
//! (Henry, Tang, Heinecke: "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision Computations", 2019).

use super::{
    PANEL,
    way::{Product, Rates, Way},
};
use half::bf16;
use paring_kernel::NumericClass;
use paring_simd::amx::{Amx, EIGHTS, GROUP, Pieces, ROW_BYTES, SPLIT_TERMS, SplitProduct, TILE_ROWS, Tiles};

impl Way for Pieces {
    const PIXELS: usize = 4 * GROUP;
    const GROUP: usize = GROUP;
    const ROWS: usize = TILE_ROWS;
    const ABREAST: usize = 2;
    const TERMS: usize = SPLIT_TERMS;
    const INPUT_BYTES: usize = 400 << 10;
    type Proof = Amx;
    type Ready = Tiles;

    fn of(class: NumericClass) -> Pieces {
        match class {
            NumericClass::Reduced => Pieces::Two,
            _ => Pieces::Three,
        }
    }

    fn excluded(self) -> &'static str {
        match self {
            Pieces::Two => "only numerics 'fast' allow numbers in two pieces",
            Pieces::Three => "numerics 'strict' exclude split numbers",
        }
    }

    fn input_bytes(self) -> usize {
        Pieces::input_bytes(self)
    }

    fn weight_bytes(self) -> usize {
        Pieces::weight_bytes(self)
    }

    fn format(self) -> String {
        format!("split-bf16x{}", self.count())
    }

    /// First pieces, then second ones, and third, two terms for each column.
    fn pack(self, weights: &[[f32; PANEL]], to: &mut [u8]) {
        const ROW: usize = ROW_BYTES / size_of::<bf16>();
        let to: &mut [bf16] = bytemuck::cast_slice_mut(to);
        for (k, row) in weights.iter().enumerate() {
            for (column, &weight) in row.iter().enumerate() {
                let at = k / 2 * ROW + column * 2 + k % 2;
                let mut rest = weight;
                for piece in 0..self.count() {
                    let nearest = bf16::from_f32(rest);
                    to[at + piece * TILE_ROWS * ROW] = nearest;
                    rest -= nearest.to_f32();
                }
            }
        }
    }

    // Measured: of products 170 or 85 at best, fewer where operands come from the second-level cache.
    fn rates(self, terms: usize) -> Rates {
        let (products, convert) = match (self, terms > 16 * SPLIT_TERMS) {
            (Pieces::Two, false) => (90.0, 0.45),
            (Pieces::Two, true) => (70.0, 0.45),
            (Pieces::Three, false) => (60.0, 0.6),
            (Pieces::Three, true) => (42.0, 0.6),
        };
        Rates { terms: terms.next_multiple_of(SPLIT_TERMS), products, convert, begin: 200.0, finish: [0.5, 2.0] }
    }

    fn detect() -> Option<Amx> {
        Amx::detect()
    }

    fn ready(amx: Amx) -> Tiles {
        amx.tiles()
    }

    #[inline(always)]
    unsafe fn convert(self, tiles: &Tiles, offsets: &[usize], x: &[*const f32], to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { tiles.split(self, offsets, x, to) }
    }

    #[inline(always)]
    unsafe fn multiply(self, tiles: &Tiles, p: &Product, pixels: usize, panels: usize) {
        let Product { x, w, ahead, eights, init, init_row, sums } = *p;
        let p = SplitProduct { x, w, ahead, steps: eights.div_ceil(EIGHTS), init, init_row, sums };
        // SAFETY: the caller's promise.
        unsafe { tiles.multiply_split(self, &p, pixels.div_ceil(TILE_ROWS), panels) }
    }
}
