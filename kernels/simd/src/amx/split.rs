//! Products of numbers that are split into some of sixteen bits.

use super::{GROUP, ROW_BYTES, STEP_BYTES, TILE_ROWS, Tiles};
use crate::LANES;
use core::arch::x86_64::*;

/// Terms of a step of numbers.
pub const SPLIT_TERMS: usize = ROW_BYTES / 2;

/// How many `bf16` stand for a number: the nearest to it, the nearest to what that lacks, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pieces {
    /// Seventeen bits of 24.
    Two,
    /// All bits, but of numbers below 2^-103: pieces below 2^-126 are taken for zero.
    Three,
}

impl Pieces {
    /// How many they are.
    pub const fn count(self) -> usize {
        match self {
            Pieces::Two => 2,
            Pieces::Three => 3,
        }
    }

    /// Bytes from the inputs of one step of numbers to those of the next.
    pub const fn input_bytes(self) -> usize {
        self.count() * STEP_BYTES
    }

    /// Bytes from the weights of one step of sixteen columns to those of the next.
    pub const fn weight_bytes(self) -> usize {
        self.count() * TILE_ROWS * ROW_BYTES
    }
}

/// Operands of [`Tiles::multiply_split`]. Numbers are sums of [`Pieces`].
#[derive(Clone, Copy)]
pub struct SplitProduct {
    /// Inputs, step by step: [`GROUP`] rows of [`SPLIT_TERMS`] first pieces, then as many of second ones, and of third.
    pub x: *const u8,
    /// Weights of sixteen columns, and of sixteen more, step by step: [`TILE_ROWS`] rows of first pieces, of two terms for each
    /// column, then as many of second ones, and of third.
    pub w: [*const u8; 2],
    /// As for [`TileProduct::ahead`](super::TileProduct::ahead).
    pub ahead: *const u8,
    /// Steps: one at the least.
    pub steps: usize,
    /// What sums start from, for each of sixteen columns, and of sixteen more.
    pub init: [*const f32; 2],
    /// Bytes from what the sums of a row start from to what those of the next do: zero where they all start from the same.
    pub init_row: usize,
    /// Sums: [`GROUP`] rows of [`GROUP`].
    pub sums: *mut f32,
}

impl Tiles {
    /// As [`Tiles::multiply`], of numbers. Left out are products of two second pieces, which are 2^-16 of the whole at most, where
    /// there are two; of a third one and any but the first, 2^-24, where there are three.
    ///
    /// # Safety
    /// As there.
    ///
    /// # Panics
    /// Where there is no step.
    #[inline(always)]
    pub unsafe fn multiply_split(&self, pieces: Pieces, p: &SplitProduct, rows: usize, columns: usize) {
        assert!(p.steps > 0);
        // Pieces follow each other so that one operand of two stays where it is.
        // SAFETY: the tiles are ready; the caller's promise.
        unsafe {
            match pieces {
                Pieces::Two => product!(p, (rows, columns), p.init_row, p.steps, back: 0isize,
                    bytes: [Pieces::Two.input_bytes(), Pieces::Two.weight_bytes()], "tdpbf16ps",
                    {fetch 5, x 2048, w 0} {fetch 5, x 0} {fetch 6, w 1024}
                ),
                Pieces::Three => product!(p, (rows, columns), p.init_row, p.steps, back: 0isize,
                    bytes: [Pieces::Three.input_bytes(), Pieces::Three.weight_bytes()], "tdpbf16ps",
                    {fetch 4, x 4096, w 0} {fetch 4, x 2048} {fetch 4, w 1024} {fetch 4, x 0} {fetch 4, w 2048} {fetch 4, w 0}
                ),
            }
        }
    }

    /// Splits numbers for [`SplitProduct::x`]: of each row the eights at `offsets` bytes, as many as make whole steps, zeros in place
    /// of those that the last step lacks.
    ///
    /// # Safety
    /// Rows, [`GROUP`] at most, must be readable at all offsets, and `to` be writable for as many steps.
    pub unsafe fn split(&self, pieces: Pieces, offsets: &[usize], x: &[*const f32], to: *mut u8) {
        // SAFETY: who has tiles has AVX-512, as `is_there` asks for; the caller's promise.
        unsafe {
            match pieces {
                Pieces::Two => split::<{ Pieces::Two.count() }>(offsets, x, to),
                Pieces::Three => split::<{ Pieces::Three.count() }>(offsets, x, to),
            }
        }
    }
}

/// See [`Tiles::split`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn split<const PIECES: usize>(offsets: &[usize], x: &[*const f32], to: *mut u8) {
    let (steps, rest) = offsets.as_chunks::<EIGHTS>();
    for (step, offsets) in steps.iter().enumerate() {
        let to = to.wrapping_add(step * PIECES * STEP_BYTES);
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
                split_row::<PIECES>(eights, to.add(i * ROW_BYTES));
            }
        }
    }
    if rest.is_empty() {
        return;
    }
    let to = to.wrapping_add(steps.len() * PIECES * STEP_BYTES);
    for (i, x) in x.iter().enumerate() {
        // SAFETY: the caller's promise.
        unsafe {
            let mut eights = [_mm256_setzero_ps(); EIGHTS];
            for (eight, &offset) in eights.iter_mut().zip(rest) {
                *eight = _mm256_loadu_ps(x.byte_add(offset));
            }
            split_row::<PIECES>(eights, to.add(i * ROW_BYTES));
        }
    }
}

/// Eights of numbers in a step.
pub const EIGHTS: usize = SPLIT_TERMS / LANES;

/// Stores the pieces of a row of a step.
///
/// # Safety
/// A row must be writable at `to`, and at as many steps of [`STEP_BYTES`] from there as there are more pieces.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn split_row<const PIECES: usize>([a, b, c, d]: [__m256; EIGHTS], to: *mut u8) {
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
    let mut rest = [pair(a, b), pair(c, d)];
    // SAFETY: the caller's promise.
    unsafe {
        let upper = _mm512_loadu_epi16(UPPER.as_ptr());
        for piece in 0..PIECES {
            let mut nearest = [_mm512_setzero_si512(); 2];
            for i in 0..2 {
                let bits = _mm512_castps_si512(rest[i]);
                if piece + 1 < PIECES {
                    nearest[i] = _mm512_and_epi32(_mm512_add_epi32(bits, half), mask);
                    rest[i] = _mm512_sub_ps(rest[i], _mm512_castsi512_ps(nearest[i]));
                } else {
                    // What is not a number stays so here, even where rounding made a number of it before.
                    let number = _mm512_cmp_ps_mask::<_CMP_ORD_Q>(rest[i], rest[i]);
                    nearest[i] = _mm512_mask_add_epi32(bits, number, bits, half);
                }
            }
            let words = _mm512_permutex2var_epi16(nearest[0], upper, nearest[1]);
            _mm512_storeu_si512(to.add(piece * STEP_BYTES).cast(), words);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{amx::Amx, noise};

    #[test]
    fn sums_of_split_numbers_are_near_those_of_numbers() {
        let Some(amx) = Amx::detect() else { return };
        let mut next = noise::numbers();
        for (pieces, terms) in
            [Pieces::Two, Pieces::Three].into_iter().flat_map(|p| [32usize, 40, 96, 256].map(|t| (p, t)))
        {
            let steps = terms.div_ceil(SPLIT_TERMS);
            let x: Vec<f32> = (0..GROUP * terms).map(|_| next()).collect();
            let w: Vec<f32> = (0..GROUP * terms).map(|_| next()).collect();
            let init: Vec<f32> = (0..GROUP).map(|_| next()).collect();
            let mut packed = [0, 1].map(|_| vec![0u8; steps * pieces.weight_bytes()]);
            for (k, row) in w.chunks(GROUP).enumerate() {
                for (c, &weight) in row.iter().enumerate() {
                    let step = k / SPLIT_TERMS * pieces.weight_bytes();
                    let at = step + k % SPLIT_TERMS / 2 * ROW_BYTES + c % 16 * 4 + k % 2 * 2;
                    let mut rest = weight;
                    for piece in 0..pieces.count() {
                        let nearest = half::bf16::from_f32(rest);
                        rest -= nearest.to_f32();
                        packed[c / 16][at + piece * 1024..][..2].copy_from_slice(&nearest.to_bits().to_le_bytes());
                    }
                }
            }
            let rows: Vec<*const f32> = x.chunks(terms).map(<[f32]>::as_ptr).collect();
            let offsets: Vec<usize> = (0..terms / LANES).map(|i| i * LANES * size_of::<f32>()).collect();
            let mut split = vec![0u8; steps * pieces.input_bytes()];
            let bound = if pieces == Pieces::Two { 1e-5 } else { 1e-6 };
            for (tall, wide) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
                let mut sums = vec![0f32; GROUP * GROUP];
                let tiles = amx.tiles();
                // SAFETY: all operands are as large as they should be.
                unsafe {
                    tiles.split(pieces, &offsets, &rows, split.as_mut_ptr());
                    let product = SplitProduct {
                        x: split.as_ptr(),
                        w: [packed[0].as_ptr(), packed[1].as_ptr()],
                        ahead: packed[0].as_ptr(),
                        steps,
                        init: [init.as_ptr(), init[TILE_ROWS..].as_ptr()],
                        init_row: 0,
                        sums: sums.as_mut_ptr(),
                    };
                    tiles.multiply_split(pieces, &product, tall, wide);
                    if steps > 1 {
                        // In two parts: the second goes on where the first ends.
                        let mut parts = vec![0f32; GROUP * GROUP];
                        let to = parts.as_mut_ptr();
                        tiles.multiply_split(pieces, &SplitProduct { steps: 1, sums: to, ..product }, tall, wide);
                        let rest = SplitProduct {
                            x: product.x.add(pieces.input_bytes()),
                            w: product.w.map(|w| w.add(pieces.weight_bytes())),
                            steps: steps - 1,
                            init: [to, to.add(TILE_ROWS)].map(|p| p.cast_const()),
                            init_row: GROUP * size_of::<f32>(),
                            sums: to,
                            ..product
                        };
                        tiles.multiply_split(pieces, &rest, tall, wide);
                        let same = (0..tall * TILE_ROWS).all(|i| {
                            let row = i * GROUP..i * GROUP + wide * TILE_ROWS;
                            parts[row.clone()] == sums[row]
                        });
                        assert!(same, "{pieces:?}, {terms} terms, {tall} x {wide}: parts");
                    }
                }
                for i in 0..tall * TILE_ROWS {
                    for c in 0..wide * TILE_ROWS {
                        let products = (0..terms).map(|k| f64::from(x[i * terms + k]) * f64::from(w[k * GROUP + c]));
                        let want = f64::from(init[c]) + products.sum::<f64>();
                        let error = (f64::from(sums[i * GROUP + c]) - want).abs() / (terms as f64).sqrt();
                        assert!(
                            error < bound,
                            "{pieces:?}, {terms} terms, {tall} x {wide}, row {i} column {c}: {error}"
                        );
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
            for pieces in [Pieces::Two, Pieces::Three] {
                let mut split = vec![0u8; pieces.input_bytes()];
                // SAFETY: one row of one step.
                unsafe { amx.tiles().split(pieces, &offsets, &[row.as_ptr()], split.as_mut_ptr()) };
                let piece = |i: usize| {
                    let bytes = split[i * STEP_BYTES + 10..][..2].try_into().expect("two bytes");
                    half::bf16::from_bits(u16::from_le_bytes(bytes)).to_f32()
                };
                let sum: f32 = (0..pieces.count()).map(piece).sum();
                assert!(sum.is_nan(), "{bits:x}: {sum}");
            }
        }
    }
}
