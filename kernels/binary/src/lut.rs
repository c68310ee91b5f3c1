//! Sums of signs from tables of sixteen bytes.
//!
//! Four signs of a pixel make a byte that picks a table, and four weights of an output channel, a bit each, pick the byte
//! of the table that is the sum of their products, and 4. A vector of weights looks up 32 output channels at once, and sums
//! stay in bytes for as long as they cannot overflow. Nothing is counted, and no sum is taken across lanes. That zero is a
//! sign like others costs a longer list of tables, and makes padding exact.

use crate::{
    engine::{Bound, Method},
    plan::{Panel, Plan, ROW},
};
use paring_core::signs::unpack;
use paring_kernel::{Isa, Machine};
use paring_simd::{LANES, Simd, lookup::BYTES};

/// See the module.
pub struct Lut;

/// What each looked up sum is more by.
const MORE: i8 = 4;

/// Rows, of two bytes that are 8 at most each, whose sums a byte holds.
const CHUNK: usize = 15;

/// Pixels of the largest tile.
const PIXELS: usize = 4;

/// Words of a tile.
const WORDS: usize = PIXELS * 2 * BYTES;

/// For each byte of signs, at eight times that byte, sixteen sums. As long as any byte may ask for.
#[repr(align(64))]
struct Tables([u8; 256 * 8 + 16]);

static TABLES: Tables = {
    let mut tables = [0; 256 * 8 + 16];
    let mut code = 0;
    while code < 81 {
        let signs = unpack(2 * code);
        let mut bits = 0;
        while bits < 16 {
            let (mut sum, mut i) = (MORE, 0);
            while i < 4 {
                sum += if bits >> i & 1 == 1 { -signs[i] } else { signs[i] };
                i += 1;
            }
            tables[16 * code as usize + bits] = sum as u8;
            bits += 1;
        }
        code += 1;
    }
    Tables(tables)
};

/// Vectors of bytes that a panel takes.
fn vectors(panel: &Panel) -> usize {
    panel.lanes.div_ceil(BYTES)
}

impl Method for Lut {
    const NAME: &'static str = "lut";
    const TASK_MACS: usize = 12 << 20;
    // Measured with AVX2, as is the rate.
    const FINISH: f64 = 0.4;

    fn rate(isa: Isa, m: &Machine) -> f64 {
        // Measured.
        match isa {
            Isa::Portable => 0.4,
            // By count of instructions, never measured: two for the products of 64, beside four of `f32` for one.
            Isa::Neon => 6.0 * m.gmacs,
            _ => 9.0 * m.gmacs,
        }
    }

    fn packed_bytes(panel: &Panel) -> usize {
        panel.rows.len() * vectors(panel) * BYTES
    }

    fn pack(plan: &Plan, panel: &Panel, weights: &[f32], out: &mut [u8]) {
        let width = vectors(panel) * BYTES;
        for (at, row) in out.chunks_exact_mut(width).enumerate() {
            for (lane, byte) in row.iter_mut().enumerate() {
                // Even lanes of a vector become its first sixteen sums, odd ones the others.
                let (vector, lane) = (lane / BYTES, lane % BYTES);
                let column = vector * BYTES + lane / 2 + lane % 2 * (BYTES / 2);
                if column < panel.lanes {
                    *byte = plan.bits(weights, panel, column, at);
                }
            }
        }
    }

    fn scratch(_: &Plan) -> usize {
        0
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd>(s: S, panel: &Bound<'_>, x: &[*const u8], y: &[*mut f32], _: &mut [u8]) {
        assert_eq!(panel.weights.len(), Lut::packed_bytes(panel.panel));
        // SAFETY: the caller's promise; a panel has one or two vectors of 32.
        unsafe {
            match vectors(panel.panel) {
                1 => pixels::<S, 1>(s, panel, x, y),
                _ => pixels::<S, 2>(s, panel, x, y),
            }
        }
    }
}

/// All pixels, in tiles.
///
/// # Safety
/// As for [`Method::multiply`], and `NV` must be the vectors of the panel.
#[inline(always)]
unsafe fn pixels<S: Simd, const NV: usize>(s: S, panel: &Bound<'_>, x: &[*const u8], y: &[*mut f32]) {
    let mut at = 0;
    macro_rules! tiles {
        ($($n:literal)*) => {$(
            while x.len() - at >= $n {
                // SAFETY: the caller's promise.
                unsafe { tile::<S, $n, NV>(s, panel, &x[at..at + $n], &y[at..at + $n]) };
                at += $n;
            }
        )*};
    }
    tiles!(4 3 2 1);
}

/// # Safety
/// As for [`pixels`].
#[inline(always)]
unsafe fn tile<S: Simd, const PX: usize, const NV: usize>(s: S, bound: &Bound<'_>, x: &[*const u8], y: &[*mut f32]) {
    let (mut from, mut to) = ([x[0]; PX], [y[0]; PX]);
    from.copy_from_slice(x);
    to.copy_from_slice(y);
    let mut words = [0u16; WORDS];
    let mut w = bound.weights.as_ptr();
    let doubled = bound.panel.doubled;
    let (twice, once) = bound.offsets.split_at(2 * doubled);
    for offsets in twice.chunks(CHUNK) {
        // SAFETY: the caller's promise; there are as many rows of weights as offsets.
        w = unsafe { chunk::<S, PX, NV>(s, from, offsets, w, &mut words) };
    }
    if doubled > 0 {
        // Even numbers: whatever is added and subtracted by a row that comes twice is so twice.
        words.iter_mut().for_each(|word| *word /= 2);
    }
    for offsets in once.chunks(CHUNK) {
        // SAFETY: as above.
        w = unsafe { chunk::<S, PX, NV>(s, from, offsets, w, &mut words) };
    }
    let less = (doubled + once.len()) * (ROW / 4) * MORE as usize;
    for (columns, count) in Plan::pairs(bound.panel) {
        let at = |i: usize, h: usize| i * NV * BYTES + columns.start + h * LANES;
        // SAFETY: a tile has words for all columns; the rest is the caller's promise.
        unsafe {
            let sum = |i: usize, h: usize| s.words_to_f32(words.as_ptr().add(at(i, h)), less as u16);
            if count == 1 {
                let mut sums = [[s.splat(0.0)]; PX];
                for i in 0..PX {
                    sums[i] = [sum(i, 0)];
                }
                bound.store::<S, PX, 1>(s, &columns, sums, to);
            } else {
                let mut sums = [[s.splat(0.0); 2]; PX];
                for i in 0..PX {
                    sums[i] = [sum(i, 0), sum(i, 1)];
                }
                bound.store::<S, PX, 2>(s, &columns, sums, to);
            }
        }
    }
}

/// Adds the sums of some rows to the words of a tile; returns where the weights of the next are.
///
/// # Safety
/// As for [`pixels`]; `w` must be valid for reads of as many rows as there are offsets.
#[inline(always)]
unsafe fn chunk<S: Simd, const PX: usize, const NV: usize>(
    s: S,
    x: [*const u8; PX],
    offsets: &[usize],
    mut w: *const u8,
    words: &mut [u16; WORDS],
) -> *const u8 {
    let mut sums = [[s.no_bytes(); NV]; PX];
    macro_rules! half {
        ($upper:literal, $offset:expr) => {
            // SAFETY: the caller's promise; there is a table for every byte.
            unsafe {
                let mut index = [s.no_bytes(); NV];
                for h in 0..NV {
                    index[h] = s.nibbles::<$upper>(w.add(h * BYTES));
                }
                for i in 0..PX {
                    let code = usize::from(*x[i].add($offset));
                    let table = s.table(TABLES.0.as_ptr().add(8 * code));
                    for h in 0..NV {
                        sums[i][h] = s.add_bytes(sums[i][h], s.look_up(table, index[h]));
                    }
                }
            }
        };
    }
    for &offset in offsets {
        half!(false, offset);
        half!(true, offset + 1);
        w = w.wrapping_add(NV * BYTES);
    }
    for i in 0..PX {
        for h in 0..NV {
            // SAFETY: a tile has words for all vectors.
            unsafe { s.add_to_words(words.as_mut_ptr().add((i * NV + h) * BYTES), sums[i][h]) };
        }
    }
    w
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_core::signs::pack;

    #[test]
    fn tables_hold_sums_of_products() {
        for (signs, bits, sum) in
            [([1, 1, 1, 1], 0, 4), ([1, 1, 1, 1], 15, -4), ([1, -1, 0, 1], 0b1010, 1), ([0; 4], 9, 0)]
        {
            let at = 8 * usize::from(pack(signs)) + bits;
            assert_eq!(TABLES.0[at] as i8 - MORE, sum, "{signs:?} {bits:04b}");
        }
        let largest = TABLES.0.iter().max().copied().unwrap_or(0);
        assert!(usize::from(largest) * 2 * CHUNK <= 255, "a chunk fits a byte");
    }
}
