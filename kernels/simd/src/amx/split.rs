//! Products of numbers that are split into two of sixteen bits.

use super::{GROUP, ROW_BYTES, STEP_BYTES, TILE_ROWS, Tiles, product::product};
use crate::LANES;
use core::arch::x86_64::*;

/// Terms of a step of numbers, which are two halves each.
pub const SPLIT_TERMS: usize = ROW_BYTES / 2;
/// Bytes from the inputs of one step of numbers to those of the next, and from the weights of sixteen columns.
pub const SPLIT_STEP: [usize; 2] = [2 * STEP_BYTES, 2 * TILE_ROWS * ROW_BYTES];

/// Operands of [`Tiles::multiply_split`]. Numbers are sums of two `bf16`: the nearest, and the nearest to what that lacks.
#[derive(Clone, Copy)]
pub struct SplitProduct {
    /// Inputs, step by step: [`GROUP`] rows of [`SPLIT_TERMS`] first halves, then as many of second halves.
    pub x: *const u8,
    /// Weights of sixteen columns, and of sixteen more, step by step: [`TILE_ROWS`] rows of first halves, of two terms for each
    /// column, then as many of second halves.
    pub w: [*const u8; 2],
    /// As for [`TileProduct::ahead`](super::TileProduct::ahead).
    pub ahead: *const u8,
    /// Steps: one at the least.
    pub steps: usize,
    /// What sums start from, for each of sixteen columns, and of sixteen more.
    pub init: [*const f32; 2],
    /// Sums: [`GROUP`] rows of [`GROUP`].
    pub sums: *mut f32,
}

impl Tiles {
    /// As [`Tiles::multiply`], of numbers: products of two second halves are left out, which are 2^-16 of the whole at most.
    ///
    /// # Safety
    /// As there.
    ///
    /// # Panics
    /// Where there is no step.
    #[inline(always)]
    pub unsafe fn multiply_split(&self, p: &SplitProduct, rows: usize, columns: usize) {
        assert!(p.steps > 0);
        // SAFETY: the tiles are ready, and tile 0 to 3 hold sums, 4 and 5 inputs, 6 and 7 weights; the caller's promise.
        unsafe {
            product!(p, (rows, columns), p.steps, back: 0isize, bytes: SPLIT_STEP,
                lines: "0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31",
                1 x 1: "tileloadd tmm6, [{w0} + {row}]"
                    "tileloadd tmm4, [{x} + {row} + 2048]" "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm4, [{x} + {row}]" "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm6, [{w0} + {row} + 1024]" "tdpbf16ps tmm0, tmm4, tmm6";
                1 x 2: "tileloadd tmm6, [{w0} + {row}]" "tileloadd tmm7, [{w1} + {row}]"
                    "tileloadd tmm4, [{x} + {row} + 2048]"
                    "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"
                    "tileloadd tmm4, [{x} + {row}]" "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"
                    "tileloadd tmm6, [{w0} + {row} + 1024]" "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm7, [{w1} + {row} + 1024]" "tdpbf16ps tmm1, tmm4, tmm7";
                2 x 1: "tileloadd tmm6, [{w0} + {row}]"
                    "tileloadd tmm4, [{x} + {row} + 2048]" "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm5, [{x} + {row} + 3072]" "tdpbf16ps tmm2, tmm5, tmm6"
                    "tileloadd tmm4, [{x} + {row}]" "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm5, [{x} + {row} + 1024]" "tdpbf16ps tmm2, tmm5, tmm6"
                    "tileloadd tmm6, [{w0} + {row} + 1024]"
                    "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm2, tmm5, tmm6";
                2 x 2: "tileloadd tmm6, [{w0} + {row}]"
                    "tileloadd tmm4, [{x} + {row} + 2048]" "tdpbf16ps tmm0, tmm4, tmm6"
                    "tileloadd tmm7, [{w1} + {row}]" "tdpbf16ps tmm1, tmm4, tmm7"
                    "tileloadd tmm5, [{x} + {row} + 3072]"
                    "tdpbf16ps tmm2, tmm5, tmm6" "tdpbf16ps tmm3, tmm5, tmm7"
                    "tileloadd tmm4, [{x} + {row}]" "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"
                    "tileloadd tmm5, [{x} + {row} + 1024]"
                    "tdpbf16ps tmm2, tmm5, tmm6" "tdpbf16ps tmm3, tmm5, tmm7"
                    "tileloadd tmm6, [{w0} + {row} + 1024]"
                    "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm2, tmm5, tmm6"
                    "tileloadd tmm7, [{w1} + {row} + 1024]"
                    "tdpbf16ps tmm1, tmm4, tmm7" "tdpbf16ps tmm3, tmm5, tmm7"
            )
        }
    }

    /// Splits numbers for [`SplitProduct::x`]: of each row the eights at `offsets` bytes, as many as make whole steps, zeros in place
    /// of those that the last step lacks.
    ///
    /// # Safety
    /// Rows, [`GROUP`] at most, must be readable at all offsets, and `to` be writable for as many steps.
    pub unsafe fn split(&self, offsets: &[usize], x: &[*const f32], to: *mut u8) {
        // SAFETY: who has tiles has AVX-512, as `is_there` asks for; the caller's promise.
        unsafe { split(offsets, x, to) }
    }
}

/// See [`Tiles::split`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn split(offsets: &[usize], x: &[*const f32], to: *mut u8) {
    let (steps, rest) = offsets.as_chunks::<EIGHTS>();
    for (step, offsets) in steps.iter().enumerate() {
        let to = to.wrapping_add(step * SPLIT_STEP[0]);
        for (i, x) in x.iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe {
                let mut eights = [_mm256_setzero_ps(); EIGHTS];
                for k in 0..EIGHTS {
                    let eight = x.byte_add(offsets[k]);
                    // Pixels to come lie behind those of now; two share a line.
                    if i % 2 == 0 {
                        _mm_prefetch::<_MM_HINT_T1>(eight.wrapping_add(2 * GROUP * LANES).cast());
                    }
                    eights[k] = _mm256_loadu_ps(eight);
                }
                split_row(eights, to.add(i * ROW_BYTES));
            }
        }
    }
    if rest.is_empty() {
        return;
    }
    let to = to.wrapping_add(steps.len() * SPLIT_STEP[0]);
    for (i, x) in x.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let mut eights = [_mm256_setzero_ps(); EIGHTS];
            for (eight, &offset) in eights.iter_mut().zip(rest) {
                *eight = _mm256_loadu_ps(x.byte_add(offset));
            }
            split_row(eights, to.add(i * ROW_BYTES));
        }
    }
}

/// Eights of a step.
const EIGHTS: usize = SPLIT_TERMS / LANES;

/// Stores the halves of a row of a step.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn split_row([a, b, c, d]: [__m256; EIGHTS], to: *mut u8) {
    /// Upper words of two vectors.
    const UPPER: [i16; 32] = {
        let mut words = [0; 32];
        let mut i = 0;
        while i < words.len() {
            words[i] = 2 * i as i16 + 1;
            i += 1;
        }
        words
    };
    let (half, mask) = (_mm512_set1_epi32(0x8000), _mm512_set1_epi32(0xffff_0000_u32 as i32));
    let pair = |a: __m256, b: __m256| _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1);
    let nearest = |v: __m512| _mm512_and_epi32(_mm512_add_epi32(_mm512_castps_si512(v), half), mask);
    // What is not a number stays so here, even where rounding made a number of it there.
    let rest = |v: __m512, first: __m512i| {
        let rest = _mm512_sub_ps(v, _mm512_castsi512_ps(first));
        let (bits, number) = (_mm512_castps_si512(rest), _mm512_cmp_ps_mask::<_CMP_ORD_Q>(v, rest));
        _mm512_mask_add_epi32(_mm512_or_epi32(bits, _mm512_castps_si512(v)), number, bits, half)
    };
    let (a, b) = (pair(a, b), pair(c, d));
    let (first_a, first_b) = (nearest(a), nearest(b));
    let (second_a, second_b) = (rest(a, first_a), rest(b, first_b));
    // SAFETY: the caller's promise.
    unsafe {
        let upper = _mm512_loadu_epi16(UPPER.as_ptr());
        _mm512_storeu_si512(to.cast(), _mm512_permutex2var_epi16(first_a, upper, first_b));
        _mm512_storeu_si512(to.add(STEP_BYTES).cast(), _mm512_permutex2var_epi16(second_a, upper, second_b));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amx::Amx;

    #[test]
    fn sums_of_split_numbers_are_near_those_of_numbers() {
        let Some(amx) = Amx::detect() else { return };
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        // The halves of a number, as weights have them.
        let halves = |v: f32| {
            let first = half::bf16::from_f32(v);
            [first, half::bf16::from_f32(v - first.to_f32())].map(|h| h.to_bits().to_le_bytes())
        };
        for terms in [32usize, 40, 96, 256] {
            let steps = terms.div_ceil(SPLIT_TERMS);
            let x: Vec<f32> = (0..GROUP * terms).map(|_| next()).collect();
            let w: Vec<f32> = (0..GROUP * terms).map(|_| next()).collect();
            let init: Vec<f32> = (0..GROUP).map(|_| next()).collect();
            let mut packed = [0, 1].map(|_| vec![0u8; steps * SPLIT_STEP[1]]);
            for k in 0..terms {
                for c in 0..GROUP {
                    let at = k / SPLIT_TERMS * SPLIT_STEP[1] + k % SPLIT_TERMS / 2 * ROW_BYTES + c % 16 * 4 + k % 2 * 2;
                    for (part, half) in halves(w[k * GROUP + c]).into_iter().enumerate() {
                        packed[c / 16][at + part * 1024..][..2].copy_from_slice(&half);
                    }
                }
            }
            let rows: Vec<*const f32> = x.chunks(terms).map(<[f32]>::as_ptr).collect();
            let offsets: Vec<usize> = (0..terms / LANES).map(|i| i * LANES * size_of::<f32>()).collect();
            let mut split = vec![0u8; steps * SPLIT_STEP[0]];
            for (tall, wide) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
                let mut sums = vec![0f32; GROUP * GROUP];
                let tiles = amx.tiles();
                // SAFETY: all operands are as large as they should be.
                unsafe {
                    tiles.split(&offsets, &rows, split.as_mut_ptr());
                    let product = SplitProduct {
                        x: split.as_ptr(),
                        w: [packed[0].as_ptr(), packed[1].as_ptr()],
                        ahead: packed[0].as_ptr(),
                        steps,
                        init: [init.as_ptr(), init[TILE_ROWS..].as_ptr()],
                        sums: sums.as_mut_ptr(),
                    };
                    tiles.multiply_split(&product, tall, wide);
                }
                for i in 0..tall * TILE_ROWS {
                    for c in 0..wide * TILE_ROWS {
                        let products = (0..terms).map(|k| f64::from(x[i * terms + k]) * f64::from(w[k * GROUP + c]));
                        let want = f64::from(init[c]) + products.sum::<f64>();
                        let error = (f64::from(sums[i * GROUP + c]) - want).abs() / (terms as f64).sqrt();
                        assert!(error < 1e-5, "{terms} terms, {tall} x {wide}, row {i} column {c}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let Some(amx) = Amx::detect() else { return };
        for bits in [0x7fff_ffff, 0xffff_ffff, 0x7fff_8000, 0x7fc0_0000, 0x7f80_0001, 0x7f80_0000, 0xff80_0000] {
            let mut row = [1f32; SPLIT_TERMS];
            row[5] = f32::from_bits(bits);
            let offsets: Vec<usize> = (0..EIGHTS).map(|i| i * LANES * size_of::<f32>()).collect();
            let mut split = vec![0u8; SPLIT_STEP[0]];
            // SAFETY: one row of one step.
            unsafe { amx.tiles().split(&offsets, &[row.as_ptr()], split.as_mut_ptr()) };
            let [first, second] = [0, STEP_BYTES].map(|at| {
                let bytes: [u8; 2] = split[at + 10..][..2].try_into().expect("two bytes");
                half::bf16::from_bits(u16::from_le_bytes(bytes)).to_f32()
            });
            assert!((first + second).is_nan(), "{bits:x}: {first} and {second}");
        }
    }
}
