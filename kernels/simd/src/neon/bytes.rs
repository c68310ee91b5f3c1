//! Bytes: what all ways of multiplying them share.

use super::{NeonWith, products::Products};
use crate::{Bytes, bytes::Narrow};
use core::arch::aarch64::*;

/// The words that numbers are, rounded to nearest and saturated.
#[inline(always)]
fn words(v: float32x4x2_t) -> int16x8_t {
    // SAFETY: instructions that all of this architecture have.
    unsafe { vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(v.0)), vcvtnq_s32_f32(v.1)) }
}

/// The lower bytes of words.
#[inline(always)]
fn lower(words: int16x8_t) -> u64 {
    // SAFETY: as above.
    unsafe { vget_lane_u64::<0>(vreinterpret_u64_s8(vmovn_s16(words))) }
}

impl<P: Products> Bytes for NeonWith<P> {
    type I = P::Sums;
    type Quad = P::Quad;
    type Fours = [uint8x16_t; 2];

    const ANY_WEIGHTS: bool = true;
    const SIGNED: bool = P::SIGNED;

    #[inline(always)]
    unsafe fn load_sums(self, p: *const i32) -> P::Sums {
        // SAFETY: the caller promises eight readable elements.
        unsafe { P::start([vld1q_s32(p), vld1q_s32(p.add(4))]) }
    }
    #[inline(always)]
    unsafe fn quad<const TURNED: bool>(self, p: *const u8) -> P::Quad {
        // SAFETY: the caller promises four readable bytes.
        unsafe { P::quad::<TURNED>(p) }
    }
    #[inline(always)]
    unsafe fn dot(self, sums: P::Sums, x: P::Quad, w: *const i8) -> P::Sums {
        // SAFETY: the token proves the instructions; the caller promises 32 readable bytes.
        unsafe { P::dot(sums, x, [vld1q_s8(w), vld1q_s8(w.add(16))]) }
    }
    #[inline(always)]
    unsafe fn dot_fours(self, sums: P::Sums, x: [uint8x16_t; 2], w: *const i8) -> P::Sums {
        // SAFETY: the token proves the instructions; the caller promises 32 readable bytes.
        unsafe { P::dot_fours(sums, x, [vld1q_s8(w), vld1q_s8(w.add(16))]) }
    }
    #[inline(always)]
    unsafe fn gather_fours(self, p: *const u8) -> [uint8x16_t; 2] {
        // SAFETY: the caller promises 32 readable bytes.
        unsafe {
            let (a, b) = (vld1q_u8(p), vld1q_u8(p.add(16)));
            // Lanes of rows 0 and 2, and of 1 and 3.
            let (even, odd) = (vzip1q_u8(a, b), vzip2q_u8(a, b));
            [vzip1q_u8(even, odd), vzip2q_u8(even, odd)]
        }
    }
    #[inline(always)]
    unsafe fn dot_words(self, sums: P::Sums, x: P::Quad, w: *const i16) -> P::Sums {
        // SAFETY: the token proves the instructions; the caller promises 16 readable words.
        unsafe { P::dot_words(sums, x, [vld1q_s16(w), vld1q_s16(w.add(8))]) }
    }
    #[inline(always)]
    unsafe fn store_words(self, p: *mut i16, v: float32x4x2_t) {
        // SAFETY: the caller promises eight writable words.
        unsafe { vst1q_s16(p, words(v)) }
    }
    #[inline(always)]
    fn add_sums(self, a: P::Sums, b: P::Sums) -> P::Sums {
        let (a, b) = (P::total(a), P::total(b));
        // SAFETY: the token proves the instructions.
        unsafe { P::start([vaddq_s32(a[0], b[0]), vaddq_s32(a[1], b[1])]) }
    }
    #[inline(always)]
    fn sub_sums(self, a: P::Sums, b: P::Sums) -> P::Sums {
        let (a, b) = (P::total(a), P::total(b));
        // SAFETY: the token proves the instructions.
        unsafe { P::start([vsubq_s32(a[0], b[0]), vsubq_s32(a[1], b[1])]) }
    }
    #[inline(always)]
    unsafe fn store_sums(self, p: *mut i32, sums: P::Sums) {
        let [a, b] = P::total(sums);
        // SAFETY: the caller promises eight writable elements.
        unsafe {
            vst1q_s32(p, a);
            vst1q_s32(p.add(4), b);
        }
    }
    #[inline(always)]
    fn sums_to_f32(self, sums: P::Sums) -> float32x4x2_t {
        let [a, b] = P::total(sums);
        // SAFETY: the token proves the instructions.
        unsafe { float32x4x2_t(vcvtq_f32_s32(a), vcvtq_f32_s32(b)) }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, signed: bool) -> float32x4x2_t {
        // SAFETY: the caller promises eight readable bytes.
        unsafe {
            let x = vld1_u8(p);
            if signed {
                let words = vmovl_s8(vreinterpret_s8_u8(x));
                let (a, b) = (vmovl_s16(vget_low_s16(words)), vmovl_high_s16(words));
                float32x4x2_t(vcvtq_f32_s32(a), vcvtq_f32_s32(b))
            } else {
                let words = vmovl_u8(x);
                let (a, b) = (vmovl_u16(vget_low_u16(words)), vmovl_high_u16(words));
                float32x4x2_t(vcvtq_f32_u32(a), vcvtq_f32_u32(b))
            }
        }
    }
    #[inline(always)]
    unsafe fn keep_larger(self, to: *mut u8, from: *const u8, signed: bool) {
        // SAFETY: the token proves the instructions; the caller promises 32 bytes at both.
        unsafe {
            for at in [0, 16] {
                let (a, b) = (vld1q_u8(to.add(at)), vld1q_u8(from.add(at)));
                let larger = match signed {
                    true => vreinterpretq_u8_s8(vmaxq_s8(vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b))),
                    false => vmaxq_u8(a, b),
                };
                vst1q_u8(to.add(at), larger);
            }
        }
    }
    #[inline(always)]
    fn narrow(self, v: [float32x4x2_t; 2], how: Narrow) -> [u64; 2] {
        v.map(|v| {
            // SAFETY: the token proves the instructions.
            let bounded = unsafe {
                let moved = vqaddq_s16(words(v), vdupq_n_s16(how.zero));
                vminq_s16(vmaxq_s16(moved, vdupq_n_s16(how.lo)), vdupq_n_s16(how.hi))
            };
            lower(bounded)
        })
    }
    #[inline(always)]
    fn to_bytes(self, v: float32x4x2_t, _: bool) -> u64 {
        lower(words(v))
    }
}
