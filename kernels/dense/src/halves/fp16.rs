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

    /// Divided by a power of two, so that no sum of these terms can be larger than the largest input, but for rounding.
    fn pack(self, weights: &[[f32; PANEL]], to: &mut [u8]) {
        let (scales, terms) = to.split_at_mut(SCALE_BYTES);
        let scales: &mut [f32] = bytemuck::cast_slice_mut(scales);
        for (column, scale) in scales.iter_mut().enumerate() {
            *scale = power_of_two_from(weights.iter().map(|row| f64::from(row[column].abs())).sum());
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
        Rates { terms: terms.next_multiple_of(LANES), products: 56.0, convert: 0.07, begin: 10.0, finish: [0.15, 0.5] }
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

/// The least power of two that is not less than `x`, from 2^-126 to 2^127, and 1 for what is not finite.
fn power_of_two_from(x: f64) -> f32 {
    const FRACTION: u64 = (1 << 52) - 1;
    if !x.is_finite() {
        return 1.0;
    }
    let x = x.clamp(f32::MIN_POSITIVE.into(), 2f64.powi(127));
    let floor = f64::from_bits(x.to_bits() & !FRACTION);
    (if floor < x { 2.0 * floor } else { floor }) as f32
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
        assert_eq!(power_of_two_from(f64::INFINITY), 1.0);
        assert_eq!(power_of_two_from(1e40), 2f32.powi(127));
    }

    /// Columns of weights from 1e-14 to 1e16, and inputs near the end of the range of halves, or small ones.
    #[test]
    fn weights_of_any_size_keep_sums_in_range() {
        let Some(fp16) = Fp16::detect() else { return };
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        for size in [6e4, 1.0, 1e-3] {
            let x: Vec<f32> = (0..ROWS * TERMS).map(|_| size * next()).collect();
            let weights: Vec<[f32; PANEL]> =
                (0..TERMS).map(|_| core::array::from_fn(|c| next() * 10f32.powi(2 * c as i32 - 14))).collect();
            let mut packed = paring_core::AlignedBuf::zeroed(WEIGHT_BYTES).unwrap();
            Fp16Sums.pack(&weights, packed.as_mut_slice());
            let rows: Vec<*const f32> = x.chunks(TERMS).map(<[f32]>::as_ptr).collect();
            let offsets: Vec<usize> = (0..TERMS).step_by(LANES).map(|k| k * size_of::<f32>()).collect();
            let (mut halves, init) = ([0u64; INPUT_BYTES / 8], [0f32; PANEL]);
            let mut sums = [[0f32; PANEL]; ROWS];
            // SAFETY: operands are as large as they should be.
            unsafe {
                fp16.convert(&offsets, &rows, halves.as_mut_ptr().cast());
                let (x, w) = (halves.as_ptr().cast(), packed.as_slice().as_ptr());
                let (init, sums) = (init.as_ptr(), sums.as_mut_ptr().cast());
                fp16.multiply(&HalfProduct { x, w, eights: TERMS / LANES, init, init_row: 0, sums }, ROWS);
            }
            for c in 0..PANEL {
                let exact = |i: usize| -> f64 {
                    (0..TERMS).map(|k| f64::from(x[i * TERMS + k]) * f64::from(weights[k][c])).sum()
                };
                let rms = ((0..ROWS).map(|i| exact(i).powi(2)).sum::<f64>() / ROWS as f64).sqrt();
                for i in 0..ROWS {
                    let error = (f64::from(sums[i][c]) - exact(i)).abs() / rms;
                    assert!(error < 1e-2, "inputs of {size}, column {c}: off by {error:.1e} of the RMS");
                }
            }
        }
    }
}
