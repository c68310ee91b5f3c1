//! Products of matrices of bytes: two rows by two columns, eight terms at a time (`usmmla`).

use super::NeonI8mm;
use core::arch::{aarch64::*, asm};

/// Terms that are multiplied together.
pub const EIGHT: usize = 8;
/// Rows whose inputs lie side by side.
pub const PAIR: usize = 2;
/// Pairs of rows that [`NeonI8mm::multiply`] takes at most: 24 of 32 registers are their sums, three their inputs.
pub const MOST_PAIRS: usize = 3;
/// Columns of sums.
pub const COLUMNS: usize = 16;
/// Registers of such sums: two columns each.
const ACROSS: usize = COLUMNS / PAIR;

/// Operands of [`NeonI8mm::multiply`].
#[derive(Clone, Copy)]
pub struct MatrixProduct {
    /// Inputs, eight terms after eight: the `u8` of the first row of all pairs, of its second, and so on.
    pub x: *const u8,
    /// Weights, eight terms after eight: the `i8` of [`COLUMNS`] columns.
    pub w: *const i8,
    /// Eights of terms.
    pub eights: usize,
    /// What the sums of each column start from.
    pub init: *const i32,
    /// Sums: rows of [`COLUMNS`].
    pub sums: *mut i32,
}

impl NeonI8mm {
    /// Multiplies so many pairs of rows, of one to [`MOST_PAIRS`], by [`COLUMNS`] columns, and stores their sums.
    ///
    /// # Safety
    /// The operands must be valid for all that they are said to have.
    #[inline(always)]
    pub unsafe fn multiply(self, p: &MatrixProduct, pairs: usize) {
        // SAFETY: the token proves the instructions; the caller's promise.
        unsafe {
            match pairs {
                1 => multiply::<1>(p),
                2 => multiply::<2>(p),
                _ => multiply::<MOST_PAIRS>(p),
            }
        }
    }
}

/// Adds the products of two rows of eight bytes with two columns of eight: those of the first row, then of the second.
/// There is no intrinsic in stable Rust.
#[inline]
#[target_feature(enable = "i8mm")]
fn usmmla(mut sums: int32x4_t, x: uint8x16_t, w: int8x16_t) -> int32x4_t {
    // SAFETY: arithmetic on registers, with instructions that the function has switched on.
    unsafe {
        asm!("usmmla {0:v}.4s, {1:v}.16b, {2:v}.16b", inout(vreg) sums, in(vreg) x, in(vreg) w,
            options(pure, nomem, nostack, preserves_flags));
    }
    sums
}

/// As [`NeonI8mm::multiply`]. A function of its own: a call is nothing beside a panel's worth of work.
///
/// # Safety
/// As there.
#[inline(never)]
#[target_feature(enable = "i8mm")]
unsafe fn multiply<const PAIRS: usize>(p: &MatrixProduct) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [[vdupq_n_s32(0); ACROSS]; PAIRS];
        for c in 0..ACROSS {
            let both = vreinterpretq_s32_s64(vdupq_n_s64(p.init.add(PAIR * c).cast::<i64>().read_unaligned()));
            for i in 0..PAIRS {
                sums[i][c] = both;
            }
        }
        let (mut x, mut w) = (p.x, p.w);
        for _ in 0..p.eights {
            let mut rows = [vdupq_n_u8(0); PAIRS];
            for i in 0..PAIRS {
                rows[i] = vld1q_u8(x.add(i * PAIR * EIGHT));
            }
            for c in 0..ACROSS {
                let columns = vld1q_s8(w.add(c * PAIR * EIGHT));
                for i in 0..PAIRS {
                    sums[i][c] = usmmla(sums[i][c], rows[i], columns);
                }
            }
            x = x.add(PAIRS * PAIR * EIGHT);
            w = w.add(COLUMNS * EIGHT);
        }
        for i in 0..PAIRS {
            let first = p.sums.add(i * PAIR * COLUMNS);
            for c in (0..ACROSS).step_by(2) {
                let [a, b] = [vreinterpretq_s64_s32(sums[i][c]), vreinterpretq_s64_s32(sums[i][c + 1])];
                vst1q_s32(first.add(PAIR * c), vreinterpretq_s32_s64(vzip1q_s64(a, b)));
                vst1q_s32(first.add(COLUMNS + PAIR * c), vreinterpretq_s32_s64(vzip2q_s64(a, b)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Simd, noise};

    #[test]
    fn sums_are_those_of_integers() {
        let Some(s) = NeonI8mm::detect() else { return };
        let mut next = noise::bytes();
        for (eights, pairs) in [(0, 3), (1, 1), (2, 2), (1, 3), (9, 1), (9, 2), (9, 3)] {
            // The largest bytes of all, and any.
            for largest in [true, false] {
                let x: Vec<u8> =
                    (0..eights * pairs * PAIR * EIGHT).map(|_| if largest { 255 } else { next() }).collect();
                let w: Vec<i8> =
                    (0..eights * COLUMNS * EIGHT).map(|_| if largest { -128 } else { next() as i8 }).collect();
                let init: Vec<i32> = (0..COLUMNS).map(|_| i32::from(next()) - 128).collect();
                let mut sums = vec![0i32; pairs * PAIR * COLUMNS];
                let (x_at, w_at) = (x.as_ptr(), w.as_ptr());
                let product = MatrixProduct { x: x_at, w: w_at, eights, init: init.as_ptr(), sums: sums.as_mut_ptr() };
                // SAFETY: all operands are as large as they should be.
                unsafe { s.multiply(&product, pairs) };
                for row in 0..pairs * PAIR {
                    for column in 0..COLUMNS {
                        let products = (0..eights * EIGHT).map(|k| {
                            let (eight, k) = (k / EIGHT, k % EIGHT);
                            let x = x[(eight * pairs * PAIR + row) * EIGHT + k];
                            i32::from(x) * i32::from(w[(eight * COLUMNS + column) * EIGHT + k])
                        });
                        let want = init[column] + products.sum::<i32>();
                        let what = format!("{eights} eights, {pairs} pairs, row {row} column {column}");
                        assert_eq!(sums[row * COLUMNS + column], want, "{what}");
                    }
                }
            }
        }
    }
}
