//! Tables of sixteen bytes, one register.

use super::{NeonWith, products::Products};
use crate::Lookup;
use core::arch::aarch64::*;

impl<P: Products> Lookup for NeonWith<P> {
    type B = uint8x16x2_t;

    #[inline(always)]
    fn no_bytes(self) -> uint8x16x2_t {
        // SAFETY: the token proves the instructions.
        let zero = unsafe { vdupq_n_u8(0) };
        uint8x16x2_t(zero, zero)
    }
    #[inline(always)]
    unsafe fn table(self, p: *const u8) -> uint8x16x2_t {
        // SAFETY: the caller promises sixteen readable bytes.
        let table = unsafe { vld1q_u8(p) };
        uint8x16x2_t(table, table)
    }
    #[inline(always)]
    unsafe fn nibbles<const UPPER: bool>(self, p: *const u8) -> uint8x16x2_t {
        // SAFETY: the caller promises 32 readable bytes.
        unsafe {
            let half = |v| if UPPER { vshrq_n_u8::<4>(v) } else { vandq_u8(v, vdupq_n_u8(15)) };
            uint8x16x2_t(half(vld1q_u8(p)), half(vld1q_u8(p.add(16))))
        }
    }
    #[inline(always)]
    fn look_up(self, table: uint8x16x2_t, index: uint8x16x2_t) -> uint8x16x2_t {
        // SAFETY: the token proves the instructions.
        unsafe { uint8x16x2_t(vqtbl1q_u8(table.0, index.0), vqtbl1q_u8(table.1, index.1)) }
    }
    #[inline(always)]
    fn assemble(self, [a, b, c, d]: [uint8x16x2_t; 4]) -> [float32x4x2_t; 4] {
        // SAFETY: the token proves the instructions.
        let half = |a, b, c, d| unsafe {
            let words = |v: uint8x16_t| vreinterpretq_u16_u8(v);
            let low = [words(vzip1q_u8(a, b)), words(vzip2q_u8(a, b))];
            let high = [words(vzip1q_u8(c, d)), words(vzip2q_u8(c, d))];
            let first = |i: usize| vreinterpretq_f32_u16(vzip1q_u16(low[i], high[i]));
            let second = |i: usize| vreinterpretq_f32_u16(vzip2q_u16(low[i], high[i]));
            [first(0), second(0), first(1), second(1)]
        };
        let (front, back) = (half(a.0, b.0, c.0, d.0), half(a.1, b.1, c.1, d.1));
        core::array::from_fn(|v| float32x4x2_t(front[v], back[v]))
    }
    #[inline(always)]
    fn add_bytes(self, a: uint8x16x2_t, b: uint8x16x2_t) -> uint8x16x2_t {
        // SAFETY: the token proves the instructions.
        unsafe { uint8x16x2_t(vaddq_u8(a.0, b.0), vaddq_u8(a.1, b.1)) }
    }
    #[inline(always)]
    unsafe fn add_to_words(self, p: *mut u16, bytes: uint8x16x2_t) {
        // SAFETY: the caller promises 32 words.
        unsafe {
            let add = |at: usize, words: uint16x8_t| vst1q_u16(p.add(at), vaddq_u16(vld1q_u16(p.add(at)), words));
            for (at, bytes) in [(0, bytes.0), (8, bytes.1)] {
                let pairs = vreinterpretq_u16_u8(bytes);
                add(at, vandq_u16(pairs, vdupq_n_u16(255)));
                add(at + 16, vshrq_n_u16::<8>(pairs));
            }
        }
    }
    #[inline(always)]
    unsafe fn words_to_f32(self, p: *const u16, less: u16) -> float32x4x2_t {
        // SAFETY: the caller promises eight words.
        unsafe {
            let words = vreinterpretq_s16_u16(vsubq_u16(vld1q_u16(p), vdupq_n_u16(less)));
            let (a, b) = (vmovl_s16(vget_low_s16(words)), vmovl_high_s16(words));
            float32x4x2_t(vcvtq_f32_s32(a), vcvtq_f32_s32(b))
        }
    }
    #[inline(always)]
    fn fours(self, v: [float32x4x2_t; 4]) -> [u8; 8] {
        // SAFETY: the token proves the instructions.
        unsafe {
            let pairs = v.map(|v| vpaddq_f32(v.0, v.1));
            let sums = [vpaddq_f32(pairs[0], pairs[1]), vpaddq_f32(pairs[2], pairs[3])];
            let words = sums.map(|v| vmovn_u32(vcvtq_u32_f32(vaddq_f32(v, vdupq_n_f32(80.0)))));
            vget_lane_u64::<0>(vreinterpret_u64_u8(vmovn_u16(vcombine_u16(words[0], words[1])))).to_le_bytes()
        }
    }
}
