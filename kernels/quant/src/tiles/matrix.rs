//! Products by matrices: six pixels by sixteen columns, eight terms at a time.

use super::{Extent, ROWS_OF_EIGHT, Tiles, store, turn};
use crate::{
    conv::Kind,
    family::{matrix_rate, pair_rate},
    multiply::Multiply,
    operand::Bytes,
    product::{BLOCK, Run},
    rows::QUAD,
};
use core::{mem::MaybeUninit, ops::Range};
use paring_dense::conv::Tasks;
use paring_kernel::{KernelError, Machine};
use paring_simd::{
    NeonI8mm, Simd,
    matrix::{COLUMNS, EIGHT, MOST_PAIRS, MatrixProduct, PAIR},
};

/// Pixels that are multiplied together.
const GROUP: usize = MOST_PAIRS * PAIR;

/// The sums of a block of pixels.
#[repr(align(64))]
struct Sums(MaybeUninit<[i32; BLOCK * COLUMNS]>);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct ByMatrices {
    token: NeonI8mm,
    turn: u64,
}

impl Tiles for ByMatrices {
    const KIND: Kind = Kind::Eights;
    const LEAST_ROWS: usize = ROWS_OF_EIGHT;

    fn of<S: Simd>(x: Bytes) -> Result<ByMatrices, KernelError> {
        let token = NeonI8mm::detect().ok_or_else(|| KernelError::Problem("this machine lacks i8mm".into()))?;
        Ok(ByMatrices { token, turn: turn::<S>(x) })
    }

    fn price(e: &Extent, m: &Machine) -> f64 {
        // By count of instructions, never measured: a cycle has two multiply-adds of four numbers, or as many instructions that
        // multiply matrices, and brings eight bytes side by side; 20 for each group and panel, to begin and to end. Results are
        // finished as those of products of fours are.
        let cycle = 8.0 / m.gmacs;
        let products = (e.pixels / GROUP as f64).ceil() * e.panels as f64;
        let multiply = (e.pixels / PAIR as f64).ceil() * PAIR as f64 * e.per_pixel / matrix_rate(m);
        let drain = 14.0 * e.elements / pair_rate(m);
        (multiply + drain) / 0.92 + (20.0 * products + e.pixels * e.gathered / 8.0) * cycle
    }
}

impl Multiply for ByMatrices {
    const BY_KIND: bool = false;
    type Ready = ByMatrices;

    fn tasks<S: Simd>() -> Tasks {
        // Twice the work of vectors, in the same time.
        Tasks { macs: [1 << 20, 4 << 20], block: BLOCK, step: GROUP, together: 1 }
    }

    fn ready(self) -> ByMatrices {
        self
    }

    fn scratch(rows: usize) -> usize {
        BLOCK * rows * QUAD
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd, const KIND: u8>(
        ready: &ByMatrices,
        s: S,
        run: &Run<'_>,
        panels: &Range<usize>,
        x: &[*const u8],
        y: &[usize],
        step: usize,
        scratch: *mut u8,
    ) {
        const { assert!(BLOCK.is_multiple_of(GROUP)) }
        let mut sums = Sums(MaybeUninit::uninit());
        let sums: *mut i32 = sums.0.as_mut_ptr().cast();
        assert!(x.len() <= BLOCK);
        for i in panels.clone() {
            let panel = run.panel(i, step);
            let eights = panel.offsets.len() / ROWS_OF_EIGHT;
            let group_bytes = eights * EIGHT * GROUP;
            if i == panels.start || !run.is_alike(i - 1) {
                for (group, x) in x.chunks(GROUP).enumerate() {
                    // SAFETY: the caller's promise; there is scratch for this many rows.
                    unsafe { gather(panel.offsets, x, ready.turn, scratch.add(group * group_bytes)) };
                }
            }
            let (weights, init) = (panel.weights, panel.init);
            let mut product = MatrixProduct { x: scratch, w: weights, eights, init, sums };
            for y in y.chunks(GROUP) {
                // SAFETY: the inputs were gathered, and panels of eights have sixteen columns, as have the sums of a whole
                // block of pixels.
                unsafe { ready.token.multiply(&product, y.len().div_ceil(PAIR)) };
                product.x = product.x.wrapping_add(group_bytes);
                product.sums = product.sums.wrapping_add(GROUP * COLUMNS);
            }
            // SAFETY: the sums of all pixels were stored; the caller's promise.
            unsafe { store::<S, COLUMNS>(s, &panel, sums, y) };
        }
    }
}

/// Brings the eights that pixels of a group multiply side by side, as [`MatrixProduct::x`] has them. What a pair lacks is
/// copied from the last.
///
/// # Safety
/// Pixels must be readable at all offsets, of which two neighbours tell where one eight is, and `to` have room for the
/// eights of as many pairs as there are.
#[inline(always)]
unsafe fn gather(offsets: &[usize], x: &[*const u8], turn: u64, to: *mut u8) {
    // SAFETY: the caller's promise.
    unsafe {
        match x.len().div_ceil(PAIR) {
            1 => gather_pairs::<{ PAIR }>(offsets, x, turn, to),
            2 => gather_pairs::<{ 2 * PAIR }>(offsets, x, turn, to),
            _ => gather_pairs::<{ GROUP }>(offsets, x, turn, to),
        }
    }
}

/// As [`gather`], of pairs of `N` pixels, the last of which may lack.
///
/// # Safety
/// As there.
#[inline(always)]
unsafe fn gather_pairs<const N: usize>(offsets: &[usize], x: &[*const u8], turn: u64, to: *mut u8) {
    let mut from = [x[0]; N];
    for i in 0..N {
        from[i] = x[i.min(x.len() - 1)];
    }
    let mut to = to.cast::<[u64; N]>();
    for eight in offsets.chunks_exact(ROWS_OF_EIGHT) {
        // All are read before any is written, which might be an offset for all that the compiler knows.
        let (offset, mut eights) = (eight[0], [0; N]);
        for i in 0..N {
            // SAFETY: the caller's promise.
            eights[i] = unsafe { from[i].add(offset).cast::<u64>().read_unaligned() } ^ turn;
        }
        // SAFETY: as above.
        unsafe { to.write_unaligned(eights) };
        to = to.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eights_are_brought_side_by_side_and_the_last_pixel_stands_for_one_that_lacks() {
        let input: Vec<u8> = (0..200).collect();
        // Two blocks of channels, 96 bytes apart.
        let offsets = [0, 4, 96, 100];
        for pixels in 1..=GROUP {
            let x: Vec<*const u8> = (0..pixels).map(|i| input[i * EIGHT..].as_ptr()).collect();
            let mut to = vec![0u8; 2 * GROUP * EIGHT];
            // SAFETY: the input has all that pixels read, and there is room for a whole group.
            unsafe { gather(&offsets, &x, 0x0100_0000_0000_0000, to.as_mut_ptr()) };
            let rows = pixels.next_multiple_of(PAIR);
            for (i, eight) in to.chunks_exact(EIGHT).take(2 * rows).enumerate() {
                let first = i / rows * 96 + (i % rows).min(pixels - 1) * EIGHT;
                let mut want = input[first..first + EIGHT].to_vec();
                want[EIGHT - 1] ^= 1;
                assert_eq!(eight, want, "{pixels} pixels, eight {i}");
            }
            assert!(to[2 * rows * EIGHT..].iter().all(|&byte| byte == 0), "{pixels} pixels: too much was written");
        }
    }
}
