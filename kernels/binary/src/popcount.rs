//! Sums of signs by counting bits, as in XNOR-Net (Rastegari et al. 2016, section 3.2).
//!
//! A sign is two bits: whether it is not zero, and whether it is negative. Signs and weights that differ make a product of
//! -1, so a sum is the count of signs that are not zero, less twice the count of those that differ from their weights.

use crate::{
    engine::{Bound, Method},
    plan::{Panel, Plan, ROW},
};
use core::ops::Range;
use paring_core::signs::unpack;
use paring_kernel::{Isa, Machine};
use paring_simd::{LANES, Simd};

/// See the module.
pub struct Popcount;

/// Bytes that are counted together.
const WORD: usize = size_of::<u64>();

/// Four signs as bits: those that are not zero, and above them those that are negative.
static BITS: [u8; 256] = {
    let (mut bits, mut byte) = ([0; 256], 0);
    while byte < 256 {
        let (signs, mut i) = (unpack(byte as u8), 0);
        while i < 4 {
            bits[byte] |= ((signs[i] != 0) as u8) << i | ((signs[i] < 0) as u8) << (4 + i);
            i += 1;
        }
        byte += 1;
    }
    bits
};

/// Where the rows of a panel that come twice end, and all of them, each in whole words of a byte for each row.
fn ends(panel: &Panel) -> [usize; 2] {
    let twice = (2 * panel.doubled).next_multiple_of(WORD);
    [twice, twice + (panel.rows.len() - 2 * panel.doubled).next_multiple_of(WORD)]
}

/// The byte of row `at`.
fn place(panel: &Panel, at: usize) -> usize {
    match at.checked_sub(2 * panel.doubled) {
        Some(once) => ends(panel)[0] + once,
        None => at,
    }
}

impl Method for Popcount {
    const NAME: &'static str = "bits";
    const TASK_MACS: usize = 1 << 18;
    // Measured, as is the rate.
    const FINISH: f64 = 2.0;

    fn rate(_: Isa, _: &Machine) -> f64 {
        12.0
    }

    fn packed_bytes(panel: &Panel) -> usize {
        panel.lanes * ends(panel)[1]
    }

    fn pack(plan: &Plan, panel: &Panel, weights: &[f32], out: &mut [u8]) {
        for (column, row) in out.chunks_exact_mut(ends(panel)[1]).enumerate() {
            for at in 0..panel.rows.len() {
                row[place(panel, at)] = plan.bits(weights, panel, column, at);
            }
        }
    }

    fn scratch(plan: &Plan) -> usize {
        2 * plan.panels.iter().map(|p| ends(p)[1]).max().unwrap_or(0)
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd>(s: S, bound: &Bound<'_>, x: &[*const u8], y: &[*mut f32], scratch: &mut [u8]) {
        let [twice, width] = ends(bound.panel);
        let (there, negative) = scratch[..2 * width].split_at_mut(width);
        there.fill(0);
        negative.fill(0);
        for (&x, &y) in x.iter().zip(y) {
            for (at, &offset) in bound.offsets.iter().enumerate() {
                // SAFETY: the caller's promise.
                let bits = unsafe { [*x.add(offset), *x.add(offset + 1)] }.map(|b| BITS[usize::from(b)]);
                let at = place(bound.panel, at);
                there[at] = bits[0] & 15 | bits[1] << 4;
                negative[at] = bits[0] >> 4 | bits[1] & 0xf0;
            }
            let sum = |range: Range<usize>, weights: &[u8]| {
                let count = words(&there[range.clone()]).map(|w| w.count_ones() as i32).sum::<i32>();
                count - 2 * differing(&there[range.clone()], &negative[range.clone()], &weights[range])
            };
            for (columns, count) in Plan::pairs(bound.panel) {
                let mut sums = [0.0f32; 2 * LANES];
                for (to, column) in sums.iter_mut().zip(columns.clone()) {
                    let weights = &bound.weights[column * width..][..width];
                    *to = (sum(0..twice, weights) / 2 + sum(twice..width, weights)) as f32;
                }
                // SAFETY: sixteen sums; the rest is the caller's promise.
                unsafe {
                    let (a, b) = (s.load(sums.as_ptr()), s.load(sums.as_ptr().add(LANES)));
                    match count {
                        1 => bound.store::<S, 1, 1>(s, &columns, [[a]], [y]),
                        _ => bound.store::<S, 1, 2>(s, &columns, [[a, b]], [y]),
                    }
                }
            }
        }
    }
}

/// Words of eight bytes.
fn words(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    bytes.as_chunks::<WORD>().0.iter().map(|&b| u64::from_le_bytes(b))
}

/// How many signs that are not zero differ from their weights.
#[inline(always)]
fn differing(there: &[u8], negative: &[u8], weights: &[u8]) -> i32 {
    let signs = words(there).zip(words(negative));
    signs.zip(words(weights)).map(|((there, negative), w)| (there & (negative ^ w)).count_ones() as i32).sum()
}

const _: () = assert!(ROW == 8, "a row is a byte of bits");
