//! Whatever the compiler's target has, through the `wide` crate.

use crate::{Lanes, Several, Simd, Task};
use wide::f32x8;

/// The token that every machine has.
#[derive(Clone, Copy, Debug, Default)]
pub struct Portable;

impl Lanes for Portable {
    type V = f32x8;

    #[inline(always)]
    fn splat(self, x: f32) -> f32x8 {
        f32x8::splat(x)
    }
    #[inline(always)]
    fn add(self, a: f32x8, b: f32x8) -> f32x8 {
        a + b
    }
    #[inline(always)]
    fn sub(self, a: f32x8, b: f32x8) -> f32x8 {
        a - b
    }
    #[inline(always)]
    fn mul(self, a: f32x8, b: f32x8) -> f32x8 {
        a * b
    }
    #[inline(always)]
    fn div(self, a: f32x8, b: f32x8) -> f32x8 {
        a / b
    }
    #[inline(always)]
    fn mul_add(self, a: f32x8, b: f32x8, c: f32x8) -> f32x8 {
        a * b + c
    }
    #[inline(always)]
    fn min(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b).bitselect(a, b)
    }
    #[inline(always)]
    fn max(self, a: f32x8, b: f32x8) -> f32x8 {
        b.simd_lt(a).bitselect(a, b)
    }
    #[inline(always)]
    fn sqrt(self, a: f32x8) -> f32x8 {
        a.sqrt()
    }
    #[inline(always)]
    fn round(self, a: f32x8) -> f32x8 {
        f32x8::new(a.to_array().map(f32::round_ties_even))
    }
    #[inline(always)]
    fn abs(self, a: f32x8) -> f32x8 {
        a.abs()
    }
    #[inline(always)]
    fn less(self, a: f32x8, b: f32x8) -> f32x8 {
        a.simd_lt(b)
    }
    #[inline(always)]
    fn select(self, mask: f32x8, yes: f32x8, no: f32x8) -> f32x8 {
        mask.bitselect(yes, no)
    }
    #[inline(always)]
    fn exp2_int(self, n: f32x8) -> f32x8 {
        f32x8::new(n.to_array().map(|x| f32::from_bits(((x as i32 + 127) as u32) << 23)))
    }
    #[inline(always)]
    fn exponent(self, v: f32x8) -> f32x8 {
        f32x8::new(v.to_array().map(|x| ((x.to_bits() >> 23 & 0xff) as i32 - 127) as f32))
    }
    #[inline(always)]
    fn and(self, a: f32x8, b: f32x8) -> f32x8 {
        a & b
    }
    #[inline(always)]
    fn or(self, a: f32x8, b: f32x8) -> f32x8 {
        a | b
    }
    #[inline(always)]
    fn xor(self, a: f32x8, b: f32x8) -> f32x8 {
        a ^ b
    }
}

impl Simd for Portable {
    const ISA: paring_kernel::Isa = paring_kernel::Isa::Portable;
    type Pair = Several<Portable, 2>;

    #[inline(always)]
    fn pair(self) -> Several<Portable, 2> {
        Several(self)
    }

    fn detect() -> Option<Portable> {
        Some(Portable)
    }
    #[inline(always)]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        task.call(self)
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> f32x8 {
        // SAFETY: the caller promises eight readable elements.
        f32x8::new(unsafe { p.cast::<[f32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: f32x8) {
        // SAFETY: the caller promises eight writable elements.
        unsafe { p.cast::<[f32; 8]>().write_unaligned(v.to_array()) }
    }
    #[inline(always)]
    fn to_array(self, v: f32x8) -> [f32; 8] {
        v.to_array()
    }
    #[inline(always)]
    fn from_array(self, a: [f32; 8]) -> f32x8 {
        f32x8::new(a)
    }
    #[inline(always)]
    fn transpose(self, rows: [f32x8; 8]) -> [f32x8; 8] {
        f32x8::transpose(rows)
    }
}
