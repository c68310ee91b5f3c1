//! Sums of signs by counting bits, as in XNOR-Net (Rastegari et al. 2016, section 3.2).
//!
//! A sign is two bits: whether it is not zero, and whether it is negative. Signs and weights that differ make a product of
//! -1, so a sum is the count of signs that are not zero, less twice the count of those that differ from their weights.

use crate::{
    engine::{Bound, Method},
    plan::{Panel, Plan, ROW},
};
use paring_core::signs::unpack;
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

/// Bytes of a plane of weights of one output channel: a byte for each row, whole words.
fn plane_bytes(plan: &Plan) -> usize {
    plan.rows().next_multiple_of(WORD)
}

impl Method for Popcount {
    const NAME: &'static str = "bits";
    const TASK_MACS: usize = 1 << 18;

    fn packed_bytes(plan: &Plan, panel: &Panel) -> usize {
        panel.lanes * plan.planes * plane_bytes(plan)
    }

    fn pack(plan: &Plan, panel: &Panel, weights: &[f32], out: &mut [u8]) {
        for (at, row) in out.chunks_exact_mut(plane_bytes(plan)).enumerate() {
            let (column, plane) = (at / plan.planes, at % plan.planes);
            for (at, byte) in row.iter_mut().take(plan.rows()).enumerate() {
                *byte = plan.bits(weights, panel.first + column, at, plane);
            }
        }
    }

    fn scratch(plan: &Plan) -> usize {
        2 * plane_bytes(plan)
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd>(s: S, bound: &Bound<'_>, x: &[*const u8], y: &[*mut f32], scratch: &mut [u8]) {
        let (plan, width) = (bound.plan, plane_bytes(bound.plan));
        let (there, negative) = scratch[..2 * width].split_at_mut(width);
        there[plan.rows()..].fill(0);
        negative[plan.rows()..].fill(0);
        for (&x, &y) in x.iter().zip(y) {
            for (&offset, (there, negative)) in bound.offsets.iter().zip(there.iter_mut().zip(negative.iter_mut())) {
                // SAFETY: the caller's promise.
                let bits = unsafe { [*x.add(offset), *x.add(offset + 1)] }.map(|b| BITS[usize::from(b)]);
                *there = bits[0] & 15 | bits[1] << 4;
                *negative = bits[0] >> 4 | bits[1] & 0xf0;
            }
            let all: i32 = words(there).map(|w| w.count_ones() as i32).sum::<i32>() * plan.planes as i32;
            for (columns, count) in Plan::pairs(bound.panel) {
                let mut sums = [0.0f32; 2 * LANES];
                for (sum, column) in sums.iter_mut().zip(columns.clone()) {
                    let weights = &bound.weights[column * plan.planes * width..][..plan.planes * width];
                    let differ: i32 = weights.chunks_exact(width).map(|w| differing(there, negative, w)).sum();
                    *sum = (all - 2 * differ) as f32;
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
