//! AMX: products of tiles, sixteen rows by sixteen columns and 64 bytes of terms in one instruction: bytes, or numbers of sixteen
//! bits, of which two make most of one of 32.
//!
//! The compiler knows nothing of these registers, so what uses them is written in their own words: a whole product, from where
//! its sums start to where they are stored.

use crate::{Avx512Vnni, LANES, Simd};
use core::{
    arch::{asm, x86_64::*},
    marker::PhantomData,
};
use std::sync::OnceLock;

/// Rows of a tile of inputs, and of a tile of weights.
pub const TILE_ROWS: usize = 16;
/// Bytes of a row of a tile: terms of a row of inputs, four for each of sixteen columns in a row of weights.
pub const ROW_BYTES: usize = 64;
/// Rows of inputs, and columns of sums, that [`Tiles::multiply`] takes at most.
pub const GROUP: usize = 2 * TILE_ROWS;
/// Bytes from the inputs of one step to those of the next, where they are bytes.
pub const STEP_BYTES: usize = GROUP * ROW_BYTES;

/// Terms of a step of numbers, which are two halves each.
pub const SPLIT_TERMS: usize = ROW_BYTES / 2;
/// Bytes from the inputs of one step of numbers to those of the next, and from the weights of sixteen columns.
pub const SPLIT_STEP: [usize; 2] = [2 * STEP_BYTES, 2 * TILE_ROWS * ROW_BYTES];

/// Proof that this machine has AMX for bytes and halves, and that the system lets this process use it.
#[derive(Clone, Copy, Debug)]
pub struct Amx(());

impl Amx {
    /// The token, if this machine has it. Asks the system for the registers at the first call: Linux gives them to those
    /// processes alone that ask, as they make the frames of signals larger.
    pub fn detect() -> Option<Amx> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        FOUND.get_or_init(|| is_there() && is_permitted()).then_some(Amx(()))
    }

    /// Readies the tiles of this thread until what is returned is dropped.
    pub fn tiles(self) -> Tiles {
        /// Palette 1, then rows and bytes of a row of eight tiles.
        #[repr(align(64))]
        struct Config([u8; 64]);
        static CONFIG: Config = {
            let mut bytes = [0; 64];
            bytes[0] = 1;
            let mut tile = 0;
            while tile < 8 {
                bytes[16 + 2 * tile] = ROW_BYTES as u8;
                bytes[48 + tile] = TILE_ROWS as u8;
                tile += 1;
            }
            Config(bytes)
        };
        // SAFETY: the token proves the instruction; the configuration is one of its palette.
        unsafe { asm!("ldtilecfg [{}]", in(reg) CONFIG.0.as_ptr(), options(nostack, readonly)) };
        Tiles(PhantomData)
    }
}

/// Whether the processor has tiles of bytes and halves, and the system saves them: whether it lets this process use them is another matter.
pub fn is_there() -> bool {
    /// CPUID function 7: AMX-BF16, AMX-TILE and AMX-INT8.
    const TILES: u32 = 1 << 22 | 1 << 24 | 1 << 25;
    /// XCR0: configuration and data of tiles.
    const STATE: u32 = 1 << 17 | 1 << 18;
    cfg!(target_pointer_width = "64")
        && Avx512Vnni::detect().is_some()
        && __cpuid_count(7, 0).edx & TILES == TILES
        && enabled_state() & STATE == STATE
}

/// What the system saves of the processor's state when it switches threads: XCR0.
fn enabled_state() -> u32 {
    let low: u32;
    // SAFETY: whoever has AVX-512 has this instruction and may use it.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack)) };
    low
}

/// Asks for the data of tiles.
#[cfg(target_os = "linux")]
fn is_permitted() -> bool {
    const ARCH_PRCTL: usize = 158;
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let mut result = ARCH_PRCTL;
    // SAFETY: the call reads nothing but its arguments, and changes what this process may use.
    unsafe {
        asm!("syscall", inout("rax") result, in("rdi") ARCH_REQ_XCOMP_PERM, in("rsi") TILE_DATA,
            out("rcx") _, out("r11") _, options(nostack));
    }
    result == 0
}

/// Asks for the data of tiles: nothing is known of how to here.
#[cfg(not(target_os = "linux"))]
fn is_permitted() -> bool {
    false
}

/// The tiles of this thread, ready for use.
pub struct Tiles(PhantomData<*mut ()>);

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: there are tiles, as they were readied. They are of no use to anyone else, and cost time to save.
        unsafe { asm!("tilerelease", options(nomem, nostack)) };
    }
}

/// Operands of [`Tiles::multiply`].
#[derive(Clone, Copy)]
pub struct TileProduct {
    /// Inputs, step by step: [`GROUP`] rows of [`ROW_BYTES`] bytes of `u8`.
    pub x: *const u8,
    /// Weights of sixteen columns, and of sixteen more: rows of [`ROW_BYTES`] bytes of `i8`, four for each column.
    pub w: [*const i8; 2],
    /// Rows of the weights: [`TILE_ROWS`] at the least. Steps take so many each; the last takes the last so many, and its
    /// inputs must be zero for those that the one before took.
    pub rows: usize,
    /// What is wanted next, as far as anyone knows: as many bytes as sixteen columns have weights are fetched from here on.
    pub ahead: *const i8,
    /// What sums start from, for each of sixteen columns, and of sixteen more.
    pub init: [*const i32; 2],
    /// Sums: [`GROUP`] rows of [`GROUP`].
    pub sums: *mut i32,
}

/// A product of tiles: `start` loads sums, `step` adds the products of 64 terms, `end` stores.
macro_rules! product {
    ($p:ident, start: $($start:literal)*; step: $($step:literal)*; end: $($end:literal)*) => {{
        let full = $p.rows / TILE_ROWS;
        let over = $p.rows % TILE_ROWS;
        // From where a step after the full ones would read to where the last one does.
        let back = if over == 0 { 0 } else { (over as isize - TILE_ROWS as isize) * ROW_BYTES as isize };
        asm!(
            "/* {w1} {init1} */",
            $($start,)*
            "2:",
            $($step,)*
            ".irp line, 0, 64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960",
            "prefetcht1 [{ahead} + \\line]",
            ".endr",
            "add {ahead}, {w_step}",
            "add {x}, {x_step}",
            "add {w0}, {w_step}",
            "add {w1}, {w_step}",
            "dec {n}",
            "jnz 2b",
            "test {back}, {back}",
            "jz 3f",
            "add {w0}, {back}",
            "add {w1}, {back}",
            "xor {back:e}, {back:e}",
            "inc {n}",
            "jmp 2b",
            "3:",
            $($end,)*
            x_step = const STEP_BYTES,
            w_step = const TILE_ROWS * ROW_BYTES,
            x = inout(reg) $p.x => _,
            w0 = inout(reg) $p.w[0] => _,
            w1 = inout(reg) $p.w[1] => _,
            ahead = inout(reg) $p.ahead => _,
            n = inout(reg) full => _,
            back = inout(reg) back => _,
            init0 = in(reg) $p.init[0],
            init1 = in(reg) $p.init[1],
            sums = in(reg) $p.sums,
            row = in(reg) ROW_BYTES,
            sums_row = in(reg) GROUP * size_of::<i32>(),
            none = in(reg) 0usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }};
}

impl Tiles {
    /// Multiplies one or two sixteens of rows by one or two sixteens of columns, and stores their sums.
    ///
    /// # Safety
    /// The operands must be valid for all that they are said to have; of a second sixteen, where there are two. No other tiles of
    /// this thread may have been readied and dropped meanwhile.
    ///
    /// # Panics
    /// Where there are too few rows of weights.
    #[inline(always)]
    pub unsafe fn multiply(&self, p: &TileProduct, rows: usize, columns: usize) {
        assert!(p.rows >= TILE_ROWS);
        // SAFETY: the tiles are ready, and tile 0 to 3 hold sums, 4 and 5 inputs, 6 and 7 weights; the caller's promise.
        unsafe {
            match (rows, columns) {
                (1, 1) => product!(p,
                    start: "tileloadd tmm0, [{init0} + {none}]";
                    step: "tileloadd tmm4, [{x} + {row}]" "tileloadd tmm6, [{w0} + {row}]" "tdpbusd tmm0, tmm4, tmm6"
                        "/* {init0} {sums_row} */";
                    end: "tilestored [{sums} + {sums_row}], tmm0"),
                (1, _) => product!(p,
                    start: "tileloadd tmm0, [{init0} + {none}]" "tileloadd tmm1, [{init1} + {none}]";
                    step: "tileloadd tmm4, [{x} + {row}]"
                        "tileloadd tmm6, [{w0} + {row}]" "tdpbusd tmm0, tmm4, tmm6"
                        "tileloadd tmm7, [{w1} + {row}]" "tdpbusd tmm1, tmm4, tmm7";
                    end: "tilestored [{sums} + {sums_row}], tmm0" "tilestored [{sums} + {sums_row} + 64], tmm1"),
                (_, 1) => product!(p,
                    start: "tileloadd tmm0, [{init0} + {none}]" "tileloadd tmm2, [{init0} + {none}]";
                    step: "tileloadd tmm6, [{w0} + {row}]"
                        "tileloadd tmm4, [{x} + {row}]" "tdpbusd tmm0, tmm4, tmm6"
                        "tileloadd tmm5, [{x} + {row} + 1024]" "tdpbusd tmm2, tmm5, tmm6";
                    end: "tilestored [{sums} + {sums_row}], tmm0" "tilestored [{sums} + {sums_row} + 2048], tmm2"),
                _ => product!(p,
                    start: "tileloadd tmm0, [{init0} + {none}]" "tileloadd tmm1, [{init1} + {none}]"
                        "tileloadd tmm2, [{init0} + {none}]" "tileloadd tmm3, [{init1} + {none}]";
                    step: "tileloadd tmm6, [{w0} + {row}]"
                        "tileloadd tmm4, [{x} + {row}]" "tdpbusd tmm0, tmm4, tmm6"
                        "tileloadd tmm7, [{w1} + {row}]" "tdpbusd tmm1, tmm4, tmm7"
                        "tileloadd tmm5, [{x} + {row} + 1024]" "tdpbusd tmm2, tmm5, tmm6" "tdpbusd tmm3, tmm5, tmm7";
                    end: "tilestored [{sums} + {sums_row}], tmm0" "tilestored [{sums} + {sums_row} + 64], tmm1"
                        "tilestored [{sums} + {sums_row} + 2048], tmm2" "tilestored [{sums} + {sums_row} + 2112], tmm3"),
            }
        }
    }
}

/// Operands of [`Tiles::multiply_split`]. Numbers are sums of two `bf16`: the nearest, and the nearest to what that lacks.
#[derive(Clone, Copy)]
pub struct SplitProduct {
    /// Inputs, step by step: [`GROUP`] rows of [`SPLIT_TERMS`] first halves, then as many of second halves.
    pub x: *const u8,
    /// Weights of sixteen columns, and of sixteen more, step by step: [`TILE_ROWS`] rows of first halves, of two terms for each
    /// column, then as many of second halves.
    pub w: [*const u8; 2],
    /// As for [`TileProduct::ahead`].
    pub ahead: *const u8,
    /// Steps: one at the least.
    pub steps: usize,
    /// What sums start from, for each of sixteen columns, and of sixteen more.
    pub init: [*const f32; 2],
    /// Sums: [`GROUP`] rows of [`GROUP`].
    pub sums: *mut f32,
}

/// A product of tiles of halves: `start` loads sums, `step` adds the products of 32 terms, `end` stores.
macro_rules! split_product {
    ($p:ident, start: $($start:literal)*; step: $($step:literal)*; end: $($end:literal)*) => {
        asm!(
            "/* {w1} {init1} */",
            $($start,)*
            "2:",
            $($step,)*
            ".irp line, 0, 64, 128, 192, 256, 320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960",
            "prefetcht1 [{ahead} + \\line]",
            "prefetcht1 [{ahead} + 1024 + \\line]",
            ".endr",
            "add {ahead}, {w_step}",
            "add {x}, {x_step}",
            "add {w0}, {w_step}",
            "add {w1}, {w_step}",
            "dec {n}",
            "jnz 2b",
            $($end,)*
            x_step = const SPLIT_STEP[0],
            w_step = const SPLIT_STEP[1],
            x = inout(reg) $p.x => _,
            w0 = inout(reg) $p.w[0] => _,
            w1 = inout(reg) $p.w[1] => _,
            ahead = inout(reg) $p.ahead => _,
            n = inout(reg) $p.steps => _,
            init0 = in(reg) $p.init[0],
            init1 = in(reg) $p.init[1],
            sums = in(reg) $p.sums,
            row = in(reg) ROW_BYTES,
            sums_row = in(reg) GROUP * size_of::<f32>(),
            none = in(reg) 0usize,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
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
            match (rows, columns) {
                (1, 1) => split_product!(p,
                    start: "tileloadd tmm0, [{init0} + {none}]";
                    step: "tileloadd tmm6, [{w0} + {row}]"
                        "tileloadd tmm4, [{x} + {row} + 2048]" "tdpbf16ps tmm0, tmm4, tmm6"
                        "tileloadd tmm4, [{x} + {row}]" "tdpbf16ps tmm0, tmm4, tmm6"
                        "tileloadd tmm6, [{w0} + {row} + 1024]" "tdpbf16ps tmm0, tmm4, tmm6";
                    end: "tilestored [{sums} + {sums_row}], tmm0"),
                (1, _) => split_product!(p,
                    start: "tileloadd tmm0, [{init0} + {none}]" "tileloadd tmm1, [{init1} + {none}]";
                    step: "tileloadd tmm6, [{w0} + {row}]" "tileloadd tmm7, [{w1} + {row}]"
                        "tileloadd tmm4, [{x} + {row} + 2048]"
                        "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"
                        "tileloadd tmm4, [{x} + {row}]" "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm1, tmm4, tmm7"
                        "tileloadd tmm6, [{w0} + {row} + 1024]" "tdpbf16ps tmm0, tmm4, tmm6"
                        "tileloadd tmm7, [{w1} + {row} + 1024]" "tdpbf16ps tmm1, tmm4, tmm7";
                    end: "tilestored [{sums} + {sums_row}], tmm0" "tilestored [{sums} + {sums_row} + 64], tmm1"),
                (_, 1) => split_product!(p,
                    start: "tileloadd tmm0, [{init0} + {none}]" "tileloadd tmm2, [{init0} + {none}]";
                    step: "tileloadd tmm6, [{w0} + {row}]"
                        "tileloadd tmm4, [{x} + {row} + 2048]" "tdpbf16ps tmm0, tmm4, tmm6"
                        "tileloadd tmm5, [{x} + {row} + 3072]" "tdpbf16ps tmm2, tmm5, tmm6"
                        "tileloadd tmm4, [{x} + {row}]" "tdpbf16ps tmm0, tmm4, tmm6"
                        "tileloadd tmm5, [{x} + {row} + 1024]" "tdpbf16ps tmm2, tmm5, tmm6"
                        "tileloadd tmm6, [{w0} + {row} + 1024]"
                        "tdpbf16ps tmm0, tmm4, tmm6" "tdpbf16ps tmm2, tmm5, tmm6";
                    end: "tilestored [{sums} + {sums_row}], tmm0" "tilestored [{sums} + {sums_row} + 2048], tmm2"),
                _ => split_product!(p,
                    start: "tileloadd tmm0, [{init0} + {none}]" "tileloadd tmm1, [{init1} + {none}]"
                        "tileloadd tmm2, [{init0} + {none}]" "tileloadd tmm3, [{init1} + {none}]";
                    step: "tileloadd tmm6, [{w0} + {row}]"
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
                        "tdpbf16ps tmm1, tmm4, tmm7" "tdpbf16ps tmm3, tmm5, tmm7";
                    end: "tilestored [{sums} + {sums_row}], tmm0" "tilestored [{sums} + {sums_row} + 64], tmm1"
                        "tilestored [{sums} + {sums_row} + 2048], tmm2" "tilestored [{sums} + {sums_row} + 2112], tmm3"),
            }
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

    #[test]
    fn sums_are_those_of_integers() {
        let Some(amx) = Amx::detect() else { return };
        let mut seed = 1u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        for rows in [16, 17, 31, 32, 46, 64] {
            let terms = 4 * rows;
            let x: Vec<Vec<u8>> = (0..GROUP).map(|_| (0..terms).map(|_| next()).collect()).collect();
            let w: [Vec<i8>; 2] = [0, 1].map(|_| (0..rows * ROW_BYTES).map(|_| next() as i8).collect());
            let init: Vec<i32> = (0..GROUP).map(|_| i32::from(next()) - 128).collect();
            let steps = rows.div_ceil(TILE_ROWS);
            let mut packed = vec![0u8; steps * STEP_BYTES];
            for (i, row) in x.iter().enumerate() {
                for (k, &byte) in row.iter().enumerate() {
                    let step = k / ROW_BYTES;
                    // The last step ends where the weights do.
                    let skipped = if 4 * rows < (step + 1) * ROW_BYTES { steps * ROW_BYTES - terms } else { 0 };
                    packed[step * STEP_BYTES + i * ROW_BYTES + skipped + k % ROW_BYTES] = byte;
                }
            }
            for (tall, wide) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
                let mut sums = vec![0i32; GROUP * GROUP];
                let product = TileProduct {
                    x: packed.as_ptr(),
                    w: [w[0].as_ptr(), w[1].as_ptr()],
                    ahead: w[1].as_ptr(),
                    rows,
                    init: [init.as_ptr(), init[TILE_ROWS..].as_ptr()],
                    sums: sums.as_mut_ptr(),
                };
                // SAFETY: all operands are as large as they should be.
                unsafe { amx.tiles().multiply(&product, tall, wide) };
                for i in 0..tall * TILE_ROWS {
                    for c in 0..wide * TILE_ROWS {
                        let weight = |k: usize| w[c / 16][k / 4 * ROW_BYTES + c % 16 * 4 + k % 4];
                        let products = x[i].iter().enumerate().map(|(k, &x)| i32::from(x) * i32::from(weight(k)));
                        let want = init[c] + products.sum::<i32>();
                        assert_eq!(sums[i * GROUP + c], want, "{rows} rows, {tall} x {wide}, row {i} column {c}");
                    }
                }
            }
        }
    }

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
