//! Halves of AArch64, whose sums are halves, too, for some terms.

use super::{
    PANEL,
    way::{Product, Rates, Way},
};
use half::f16;
use paring_kernel::NumericClass;
use paring_simd::{
    LANES,
    fp16::{COLUMNS, Fp16, HalfProduct, INPUT_BYTES, ROWS, SCALE_BYTES, TERMS, WEIGHT_BYTES},
};

/// See the module.
#[derive(Clone, Copy)]
pub struct Fp16Sums;

const _: () = assert!(PANEL == COLUMNS);

impl Way for Fp16Sums {
    const PIXELS: usize = 8 * ROWS;
    const GROUP: usize = ROWS;
    const ROWS: usize = ROWS;
    const ABREAST: usize = 1;
    const TERMS: usize = TERMS;
    // A thousand terms, whose weights are 34 kB for a panel.
    const INPUT_BYTES: usize = 128 << 10;
    type Proof = Fp16;
    type Ready = Fp16;

    fn of(_class: NumericClass) -> Fp16Sums {
        Fp16Sums
    }

    fn excluded(self) -> &'static str {
        "only numerics 'fast' allow sums in half precision"
    }

    fn input_bytes(self) -> usize {
        INPUT_BYTES
    }

    fn weight_bytes(self) -> usize {
        WEIGHT_BYTES
    }

    fn format(self) -> String {
        "f16".into()
    }

    /// Divided by a power of two, so that no sum of these terms can be larger than the largest input.
    fn pack(self, weights: &[[f32; PANEL]], to: &mut [u8]) {
        let (scales, terms) = to.split_at_mut(SCALE_BYTES);
        let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
        for (column, scale) in scales.iter_mut().enumerate() {
            *scale = power_of_two_from(weights.iter().map(|row| row[column].abs()).sum());
        }
        let terms: &mut [f16] = bytemuck::cast_slice_mut(terms);
        for (row, to) in weights.iter().zip(terms.chunks_exact_mut(PANEL)) {
            for ((&weight, scale), to) in row.iter().zip(&*scales).zip(to) {
                *to = f16::from_f32(weight / scale);
            }
        }
    }

    // By count of instructions, never measured: twice the multiply-adds of `f32`, less an eighth for sums that are made numbers, and
    // less what those lose for want of registers.
    fn rates(self, terms: usize) -> Rates {
        Rates { terms: terms.next_multiple_of(LANES), products: 56.0, convert: 0.07, begin: 10.0 }
    }

    fn detect() -> Option<Fp16> {
        Fp16::detect()
    }

    fn ready(fp16: Fp16) -> Fp16 {
        fp16
    }

    #[inline(always)]
    unsafe fn convert(self, fp16: &Fp16, offsets: &[usize], x: &[*const f32], to: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { fp16.convert(offsets, x, to) }
    }

    #[inline(always)]
    unsafe fn multiply(self, fp16: &Fp16, p: &Product, pixels: usize, _panels: usize) {
        let Product { x, w: [w, _], eights, init: [init, _], init_row, sums, .. } = *p;
        // SAFETY: the caller's promise.
        unsafe { fp16.multiply(&HalfProduct { x, w, eights, init, init_row, sums }, pixels) }
    }
}

/// The least power of two that is not less than `x`, so far as there is one: at least 2^-126, and 1 for what is not finite.
fn power_of_two_from(x: f32) -> f32 {
    if !x.is_finite() {
        return 1.0;
    }
    let floor = f32::from_bits(x.max(f32::MIN_POSITIVE).to_bits() & 0xff80_0000);
    match floor < x && floor < f32::from_bits(0x7f00_0000) {
        true => 2.0 * floor,
        false => floor,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_are_least() {
        for (x, power) in [(0.75, 1.0), (1.0, 1.0), (1.001, 2.0), (300.0, 512.0), (0.1, 0.125)] {
            assert_eq!(power_of_two_from(x), power);
        }
        assert_eq!(power_of_two_from(0.0), f32::MIN_POSITIVE);
        assert_eq!(power_of_two_from(f32::INFINITY), 1.0);
        assert!(power_of_two_from(f32::MAX).is_finite());
    }
}
