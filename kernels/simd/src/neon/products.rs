//! Three ways to sum products of bytes.
//!
//! Weights have signs. What has only products of two bytes with signs takes other bytes less 128, which whoever starts
//! the sums makes good ([`Bytes::SIGNED`](crate::Bytes::SIGNED)).

use super::NeonWith;
use crate::Task;
use core::{
    arch::{aarch64::*, asm},
    fmt::Debug,
};
use paring_kernel::Isa;
use std::arch::is_aarch64_feature_detected;

/// A way to sum products of bytes and of words. Functions need the instructions that [`Products::detect`] asks for.
pub trait Products: Copy + Debug + Send + Sync + 'static {
    /// What it is called.
    const ISA: Isa;
    /// See [`crate::Bytes::SIGNED`].
    const SIGNED: bool;
    /// Eight sums, in as many lanes as suit the instructions.
    type Sums: Copy;
    /// Four bytes.
    type Quad: Copy;

    /// Whether this machine has the instructions.
    fn detect() -> bool;
    /// Runs `task` compiled for the instructions.
    unsafe fn enter<T: Task>(s: NeonWith<Self>, task: T) -> T::Output;
    /// Sums that start from these.
    unsafe fn start(sums: [int32x4_t; 2]) -> Self::Sums;
    /// The eight sums.
    fn total(sums: Self::Sums) -> [int32x4_t; 2];
    /// See [`crate::Bytes::quad`].
    unsafe fn quad<const TURNED: bool>(p: *const u8) -> Self::Quad;
    /// See [`crate::Bytes::dot`].
    unsafe fn dot(sums: Self::Sums, x: Self::Quad, w: [int8x16_t; 2]) -> Self::Sums;
    /// See [`crate::Bytes::dot_fours`].
    unsafe fn dot_fours(sums: Self::Sums, x: [uint8x16_t; 2], w: [int8x16_t; 2]) -> Self::Sums;
    /// See [`crate::Bytes::dot_words`].
    unsafe fn dot_words(sums: Self::Sums, x: Self::Quad, w: [int16x8_t; 2]) -> Self::Sums;
}

/// Products of bytes are words, added two by two to sums of 32 bits: each column has two, until the end.
#[derive(Clone, Copy, Debug)]
pub struct Widening;

impl Products for Widening {
    const ISA: Isa = Isa::Neon;
    const SIGNED: bool = true;
    type Sums = [int32x4_t; 4];
    /// The same four in each quarter.
    type Quad = uint8x16_t;

    fn detect() -> bool {
        true
    }
    #[inline(always)]
    unsafe fn enter<T: Task>(s: NeonWith<Self>, task: T) -> T::Output {
        task.call(s)
    }
    #[inline(always)]
    unsafe fn start([a, b]: [int32x4_t; 2]) -> [int32x4_t; 4] {
        // SAFETY: instructions that all of this architecture have.
        unsafe {
            let zero = vdupq_n_s32(0);
            [vzip1q_s32(a, zero), vzip2q_s32(a, zero), vzip1q_s32(b, zero), vzip2q_s32(b, zero)]
        }
    }
    #[inline(always)]
    fn total([a, b, c, d]: [int32x4_t; 4]) -> [int32x4_t; 2] {
        // SAFETY: as above.
        unsafe { [vpaddq_s32(a, b), vpaddq_s32(c, d)] }
    }
    #[inline(always)]
    unsafe fn quad<const TURNED: bool>(p: *const u8) -> uint8x16_t {
        // SAFETY: the caller promises four readable bytes.
        let x = unsafe { vreinterpretq_u8_u32(vdupq_n_u32(p.cast::<u32>().read_unaligned())) };
        // SAFETY: as above.
        if TURNED { unsafe { veorq_u8(x, vdupq_n_u8(0x80)) } } else { x }
    }
    #[inline(always)]
    unsafe fn dot(sums: [int32x4_t; 4], x: uint8x16_t, w: [int8x16_t; 2]) -> [int32x4_t; 4] {
        // SAFETY: the caller's promise.
        unsafe { Self::dot_fours(sums, [x; 2], w) }
    }
    #[inline(always)]
    unsafe fn dot_fours([a, b, c, d]: [int32x4_t; 4], x: [uint8x16_t; 2], w: [int8x16_t; 2]) -> [int32x4_t; 4] {
        // SAFETY: as above.
        unsafe {
            let x = x.map(|x| vreinterpretq_s8_u8(x));
            [
                vpadalq_s16(a, vmull_s8(vget_low_s8(w[0]), vget_low_s8(x[0]))),
                vpadalq_s16(b, vmull_high_s8(w[0], x[0])),
                vpadalq_s16(c, vmull_s8(vget_low_s8(w[1]), vget_low_s8(x[1]))),
                vpadalq_s16(d, vmull_high_s8(w[1], x[1])),
            ]
        }
    }
    #[inline(always)]
    unsafe fn dot_words([a, b, c, d]: [int32x4_t; 4], x: uint8x16_t, w: [int16x8_t; 2]) -> [int32x4_t; 4] {
        // SAFETY: as above.
        unsafe {
            let x = vreinterpretq_s16_u8(x);
            [
                vmlal_s16(a, vget_low_s16(w[0]), vget_low_s16(x)),
                vmlal_high_s16(b, w[0], x),
                vmlal_s16(c, vget_low_s16(w[1]), vget_low_s16(x)),
                vmlal_high_s16(d, w[1], x),
            ]
        }
    }
}

/// Functions of one instruction, which has no intrinsic in stable Rust: `$op` of whole registers, and `$by_four` of a
/// register by the first four bytes of another.
macro_rules! instructions {
    ($feature:literal: $each:ident $op:literal, $lane:ident $by_four:literal) => {
        #[inline]
        #[target_feature(enable = $feature)]
        fn $each(mut sum: int32x4_t, x: uint8x16_t, w: int8x16_t) -> int32x4_t {
            // SAFETY: arithmetic on registers, with instructions that the function has switched on.
            unsafe {
                asm!(concat!($op, " {0:v}.4s, {1:v}.16b, {2:v}.16b"), inout(vreg) sum, in(vreg) x, in(vreg) w,
                    options(pure, nomem, nostack, preserves_flags));
            }
            sum
        }

        #[inline]
        #[target_feature(enable = $feature)]
        fn $lane(mut sum: int32x4_t, x: uint8x8_t, w: int8x16_t) -> int32x4_t {
            // SAFETY: as above.
            unsafe {
                asm!(concat!($by_four, " {0:v}.4s, {1:v}.16b, {2:v}.4b[0]"), inout(vreg) sum, in(vreg) w, in(vreg) x,
                    options(pure, nomem, nostack, preserves_flags));
            }
            sum
        }
    };
}

instructions!("dotprod": sdot "sdot", sdot_by_four "sdot");
instructions!("i8mm": usdot "usdot", usdot_by_four "sudot");

/// Dot products of four bytes with signs (`sdot`).
#[derive(Clone, Copy, Debug)]
pub struct Dot;

/// Dot products of four bytes without signs by weights with signs (`usdot`).
#[derive(Clone, Copy, Debug)]
pub struct Matrix;

/// Implements what both kinds of dot products have in common.
macro_rules! dots {
    ($way:ident, $isa:expr, $feature:tt, $signed:literal, $each:ident, $lane:ident) => {
        impl Products for $way {
            const ISA: Isa = $isa;
            const SIGNED: bool = $signed;
            type Sums = [int32x4_t; 2];
            /// The first four.
            type Quad = uint8x8_t;

            fn detect() -> bool {
                is_aarch64_feature_detected!($feature)
            }
            #[inline(always)]
            unsafe fn enter<T: Task>(s: NeonWith<Self>, task: T) -> T::Output {
                #[inline]
                #[target_feature(enable = $feature)]
                fn enter<T: Task>(s: NeonWith<$way>, task: T) -> T::Output {
                    task.call(s)
                }
                // SAFETY: the caller's promise.
                unsafe { enter(s, task) }
            }
            #[inline(always)]
            unsafe fn start(sums: [int32x4_t; 2]) -> [int32x4_t; 2] {
                sums
            }
            #[inline(always)]
            fn total(sums: [int32x4_t; 2]) -> [int32x4_t; 2] {
                sums
            }
            #[inline(always)]
            unsafe fn quad<const TURNED: bool>(p: *const u8) -> uint8x8_t {
                // SAFETY: the caller promises four readable bytes.
                unsafe { quad::<TURNED>(p) }
            }
            #[inline(always)]
            unsafe fn dot([a, b]: [int32x4_t; 2], x: uint8x8_t, w: [int8x16_t; 2]) -> [int32x4_t; 2] {
                // SAFETY: the caller's promise.
                unsafe { [$lane(a, x, w[0]), $lane(b, x, w[1])] }
            }
            #[inline(always)]
            unsafe fn dot_fours([a, b]: [int32x4_t; 2], x: [uint8x16_t; 2], w: [int8x16_t; 2]) -> [int32x4_t; 2] {
                // SAFETY: as above.
                unsafe { [$each(a, x[0], w[0]), $each(b, x[1], w[1])] }
            }
            #[inline(always)]
            unsafe fn dot_words(sums: [int32x4_t; 2], x: uint8x8_t, w: [int16x8_t; 2]) -> [int32x4_t; 2] {
                // SAFETY: instructions that all of this architecture have.
                unsafe { dot_words(sums, x, w) }
            }
        }
    };
}

dots!(Dot, Isa::DotProd, "dotprod", true, sdot, sdot_by_four);
dots!(Matrix, Isa::I8mm, "i8mm", false, usdot, usdot_by_four);

/// Four bytes in a register that has no others.
#[inline(always)]
unsafe fn quad<const TURNED: bool>(p: *const u8) -> uint8x8_t {
    // SAFETY: the caller promises four readable bytes.
    let x = unsafe {
        // A number as far as the load goes, so that it needs no register of integers on the way.
        let four = p.cast::<f32>().read_unaligned();
        vreinterpret_u8_f32(vset_lane_f32::<0>(four, vdup_n_f32(0.0)))
    };
    // SAFETY: instructions that all of this architecture have.
    if TURNED { unsafe { veor_u8(x, vdup_n_u8(0x80)) } } else { x }
}

/// Products of words by one of two. The first words of all columns, and the second, are brought together, once for all
/// that are multiplied by them.
#[inline(always)]
unsafe fn dot_words([a, b]: [int32x4_t; 2], x: uint8x8_t, w: [int16x8_t; 2]) -> [int32x4_t; 2] {
    // SAFETY: instructions that all of this architecture have.
    unsafe {
        let x = vreinterpret_s16_u8(x);
        let (first, second) = (vuzp1q_s16(w[0], w[1]), vuzp2q_s16(w[0], w[1]));
        let a = vmlal_lane_s16::<1>(vmlal_lane_s16::<0>(a, vget_low_s16(first), x), vget_low_s16(second), x);
        let b = vmlal_high_lane_s16::<1>(vmlal_high_lane_s16::<0>(b, first, x), second, x);
        [a, b]
    }
}
