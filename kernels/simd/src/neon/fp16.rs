//! Products in half precision.
//!
//! An instruction makes eight multiply-adds of halves, twice as many as of numbers of 32 bits. Halves have eleven bits, so sums
//! of 32 terms are made numbers and added up as such; what the weights of each of these sums were divided by makes them as
//! large as they can be where no sum leaves the range of halves that no input leaves, but for rounding.

use crate::LANES;
use core::arch::aarch64::*;

/// Proof that this machine computes in half precision.
#[derive(Clone, Copy, Debug)]
pub struct Fp16(());

/// Rows of inputs that [`Fp16::multiply`] takes at most.
pub const ROWS: usize = 8;
/// Columns of sums.
pub const COLUMNS: usize = 2 * LANES;
/// Terms that are summed in half precision, of which the last sum may lack eights.
pub const TERMS: usize = 32;
/// Eights of them.
const EIGHTS: usize = TERMS / LANES;
/// Bytes of a half.
const HALF: usize = size_of::<u16>();
/// Bytes from one eight of the inputs of all rows to the next.
const EIGHT_BYTES: usize = ROWS * LANES * HALF;
/// Bytes from the inputs of one step to those of the next.
pub const INPUT_BYTES: usize = EIGHTS * EIGHT_BYTES;
/// Bytes of the scales of a step, one for each column.
pub const SCALE_BYTES: usize = COLUMNS * size_of::<f32>();
/// Bytes from the weights of one step to those of the next.
pub const WEIGHT_BYTES: usize = SCALE_BYTES + TERMS * COLUMNS * HALF;

/// Operands of [`Fp16::multiply`].
#[derive(Clone, Copy)]
pub struct HalfProduct {
    /// Inputs as [`Fp16::convert`] leaves them.
    pub x: *const u8,
    /// Weights, [`TERMS`] after [`TERMS`]: what the sum of each column is multiplied by, then the halves of all columns, term by
    /// term.
    pub w: *const u8,
    /// Eights of terms: one at the least.
    pub eights: usize,
    /// What sums start from, for each column.
    pub init: *const f32,
    /// Bytes from what the sums of a row start from to what those of the next do: zero where they all start from the same.
    pub init_row: usize,
    /// Sums: [`ROWS`] rows of [`COLUMNS`].
    pub sums: *mut f32,
}

impl Fp16 {
    /// The token, if this machine has the instructions.
    pub fn detect() -> Option<Fp16> {
        std::arch::is_aarch64_feature_detected!("fp16").then_some(Fp16(()))
    }

    /// Makes halves of the eights at `offsets` bytes of each row, side by side for all rows. Numbers beyond the range of halves
    /// become infinite.
    ///
    /// # Safety
    /// Rows, one at the least and [`ROWS`] at most, must be readable at all offsets, and `to` be writable for as many eights.
    pub unsafe fn convert(self, offsets: &[usize], x: &[*const f32], to: *mut u8) {
        let mut rows = [x[x.len() - 1]; ROWS];
        rows[..x.len()].copy_from_slice(x);
        let mut to = to.cast::<u16>();
        for &offset in offsets {
            for row in rows {
                // SAFETY: the caller's promise; conversions are among the instructions that all of this architecture have.
                unsafe {
                    let p = row.byte_add(offset);
                    let halves = vcvt_high_f16_f32(vcvt_f16_f32(vld1q_f32(p)), vld1q_f32(p.add(4)));
                    vst1q_u16(to, vreinterpretq_u16_f16(halves));
                }
                to = to.wrapping_add(LANES);
            }
        }
    }

    /// Sums the products of `rows` rows of inputs with sixteen columns.
    ///
    /// # Safety
    /// Operands must be there as [`HalfProduct`] has them, for [`ROWS`] rows of inputs and of sums, and `rows` be one to [`ROWS`].
    #[inline(always)]
    pub unsafe fn multiply(self, p: &HalfProduct, rows: usize) {
        // SAFETY: the token proves the instructions; the caller's promise.
        unsafe {
            match rows {
                ..=4 => multiply::<4>(p),
                _ => multiply::<ROWS>(p),
            }
        }
    }
}

/// See [`Fp16::multiply`].
///
/// # Safety
/// As there.
#[target_feature(enable = "neon,fp16")]
unsafe fn multiply<const N: usize>(p: &HalfProduct) {
    let HalfProduct { mut x, mut w, mut eights, init: mut from, init_row: mut row, sums } = *p;
    while eights > 0 {
        let zero = vreinterpretq_f16_u16(vdupq_n_u16(0));
        let mut acc = [[zero; 2]; N];
        let now = eights.min(EIGHTS);
        let mut terms = w.wrapping_add(SCALE_BYTES);
        for _ in 0..now {
            let mut rows = [zero; N];
            // SAFETY: the caller's promise.
            unsafe {
                for (i, row) in rows.iter_mut().enumerate() {
                    *row = load(x.add(i * LANES * HALF));
                }
                macro_rules! terms {
                    ($($k:literal)*) => {$(
                        let at = terms.add($k * COLUMNS * HALF);
                        let (a, b) = (load(at), load(at.add(LANES * HALF)));
                        for i in 0..N {
                            acc[i][0] = vfmaq_laneq_f16::<$k>(acc[i][0], a, rows[i]);
                            acc[i][1] = vfmaq_laneq_f16::<$k>(acc[i][1], b, rows[i]);
                        }
                    )*};
                }
                terms!(0 1 2 3 4 5 6 7);
            }
            x = x.wrapping_add(EIGHT_BYTES);
            terms = terms.wrapping_add(LANES * COLUMNS * HALF);
        }
        let scale = w.cast::<f32>();
        for h in 0..2 {
            // SAFETY: the caller's promise.
            unsafe {
                let (low, high) = (vld1q_f32(scale.add(h * LANES)), vld1q_f32(scale.add(h * LANES + 4)));
                for i in 0..N {
                    let (from, to) = (from.byte_add(i * row).add(h * LANES), sums.add(i * COLUMNS + h * LANES));
                    let halves = acc[i][h];
                    let first = vcvt_f32_f16(vget_low_f16(halves));
                    vst1q_f32(to, vfmaq_f32(vld1q_f32(from), first, low));
                    vst1q_f32(to.add(4), vfmaq_f32(vld1q_f32(from.add(4)), vcvt_high_f32_f16(halves), high));
                }
            }
        }
        // What comes adds to what there is.
        (from, row) = (sums, COLUMNS * size_of::<f32>());
        w = w.wrapping_add(WEIGHT_BYTES);
        eights -= now;
    }
}

/// Eight halves.
///
/// # Safety
/// They must be readable.
#[inline]
#[target_feature(enable = "neon")]
unsafe fn load(p: *const u8) -> float16x8_t {
    // SAFETY: the caller's promise.
    unsafe { vreinterpretq_f16_u16(vld1q_u16(p.cast())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use half::f16;

    /// Sums of whole numbers that halves have are exact, whatever they start from and however many there are.
    #[test]
    fn sums_of_whole_numbers() {
        let Some(fp16) = Fp16::detect() else { return };
        for (rows, eights) in [(1, 1), (3, 8), (4, 9), (5, 17), (8, 24)] {
            let depth = eights * LANES;
            let input = |i: usize, k: usize| ((i * 7 + k * 3) % 9) as f32 - 4.0;
            let weight = |k: usize, n: usize| ((k + n * 5) % 7) as f32 - 3.0;
            let x: Vec<Vec<f32>> = (0..rows).map(|i| (0..depth).map(|k| input(i, k)).collect()).collect();
            let pointers: Vec<*const f32> = x.iter().map(|row| row.as_ptr()).collect();
            let offsets: Vec<usize> = (0..eights).map(|e| e * LANES * size_of::<f32>()).collect();
            let mut halves = vec![0u16; eights * EIGHT_BYTES / HALF];
            let mut w = vec![0u8; eights.div_ceil(EIGHTS) * WEIGHT_BYTES];
            for (step, w) in w.chunks_exact_mut(WEIGHT_BYTES).enumerate() {
                let (scales, terms) = w.split_at_mut(SCALE_BYTES);
                scales.chunks_exact_mut(4).for_each(|scale| scale.copy_from_slice(&2f32.to_le_bytes()));
                for (i, half) in terms.chunks_exact_mut(HALF).enumerate() {
                    let value = 0.5 * weight(step * TERMS + i / COLUMNS, i % COLUMNS);
                    half.copy_from_slice(&f16::from_f32(value).to_le_bytes());
                }
            }
            let init: Vec<f32> = (0..COLUMNS).map(|n| 0.25 * n as f32).collect();
            let mut sums = vec![0f32; ROWS * COLUMNS];
            // SAFETY: operands are as large as they should be.
            unsafe {
                fp16.convert(&offsets, &pointers, halves.as_mut_ptr().cast());
                let (x, w, init) = (halves.as_ptr().cast(), w.as_ptr(), init.as_ptr());
                fp16.multiply(&HalfProduct { x, w, eights, init, init_row: 0, sums: sums.as_mut_ptr() }, rows);
            }
            for i in 0..rows {
                for n in 0..COLUMNS {
                    let sum: f32 = (0..depth).map(|k| input(i, k) * weight(k, n)).sum();
                    assert_eq!(sums[i * COLUMNS + n], sum + init[n], "row {i} of {rows}, column {n}, {eights} eights");
                }
            }
        }
    }
}
