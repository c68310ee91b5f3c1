//! Whatever the compiler's target has, through the `wide` crate.

use crate::{Bytes, Lanes, Several, Simd, Task, bytes::Narrow};
use wide::{f32x8, i32x8};

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
    fn to_exponent(self, v: f32x8) -> f32x8 {
        f32x8::new(v.to_array().map(|x| f32::from_bits(x.to_bits() << 23)))
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

impl Bytes for Portable {
    type I = i32x8;
    type Quad = [u8; 4];
    type Fours = [[u8; 4]; 8];

    const ANY_WEIGHTS: bool = true;

    #[inline(always)]
    unsafe fn load_sums(self, p: *const i32) -> i32x8 {
        // SAFETY: the caller promises eight readable elements.
        i32x8::new(unsafe { p.cast::<[i32; 8]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn quad<const TURNED: bool>(self, p: *const u8) -> [u8; 4] {
        // SAFETY: the caller promises four readable bytes.
        let x = unsafe { p.cast::<[u8; 4]>().read_unaligned() };
        if TURNED { x.map(|b| b ^ 0x80) } else { x }
    }
    #[inline(always)]
    unsafe fn dot(self, sums: i32x8, x: [u8; 4], w: *const i8) -> i32x8 {
        // SAFETY: the caller promises 32 readable bytes.
        let w = unsafe { w.cast::<[[i8; 4]; 8]>().read_unaligned() };
        let mut sums = sums.to_array();
        for (sum, w) in sums.iter_mut().zip(w) {
            for (x, w) in x.iter().zip(w) {
                *sum = sum.wrapping_add(i32::from(*x) * i32::from(w));
            }
        }
        i32x8::new(sums)
    }
    #[inline(always)]
    unsafe fn dot_fours(self, sums: i32x8, x: [[u8; 4]; 8], w: *const i8) -> i32x8 {
        // SAFETY: the caller promises 32 readable bytes.
        let w = unsafe { w.cast::<[[i8; 4]; 8]>().read_unaligned() };
        let dot = |i: usize| (0..4).map(|k| i32::from(x[i][k]) * i32::from(w[i][k])).sum();
        sums + i32x8::new(core::array::from_fn(dot))
    }
    #[inline(always)]
    unsafe fn gather_fours(self, p: *const u8) -> [[u8; 4]; 8] {
        // SAFETY: the caller promises 32 readable bytes.
        let x = unsafe { p.cast::<[[u8; 8]; 4]>().read_unaligned() };
        core::array::from_fn(|i| core::array::from_fn(|k| x[k][i]))
    }
    #[inline(always)]
    unsafe fn dot_words(self, sums: i32x8, x: [u8; 4], w: *const i16) -> i32x8 {
        // SAFETY: the caller promises 16 readable words.
        let w = unsafe { w.cast::<[[i16; 2]; 8]>().read_unaligned() };
        let x = [[x[0], x[1]], [x[2], x[3]]].map(|b| i32::from(i16::from_le_bytes(b)));
        let (first, second) = (w.map(|w| i32::from(w[0])), w.map(|w| i32::from(w[1])));
        sums + i32x8::splat(x[0]) * i32x8::new(first) + i32x8::splat(x[1]) * i32x8::new(second)
    }
    #[inline(always)]
    unsafe fn store_words(self, p: *mut i16, v: f32x8) {
        // SAFETY: the caller promises eight writable words.
        unsafe { p.cast::<[i16; 8]>().write_unaligned(v.to_array().map(|x| x as i16)) }
    }
    #[inline(always)]
    fn add_sums(self, a: i32x8, b: i32x8) -> i32x8 {
        a + b
    }
    #[inline(always)]
    fn sub_sums(self, a: i32x8, b: i32x8) -> i32x8 {
        a - b
    }
    #[inline(always)]
    unsafe fn store_sums(self, p: *mut i32, sums: i32x8) {
        // SAFETY: the caller promises eight writable elements.
        unsafe { p.cast::<[i32; 8]>().write_unaligned(sums.to_array()) }
    }
    #[inline(always)]
    fn sums_to_f32(self, sums: i32x8) -> f32x8 {
        f32x8::new(sums.to_array().map(|n| n as f32))
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, signed: bool) -> f32x8 {
        // SAFETY: the caller promises eight readable bytes.
        let x = unsafe { p.cast::<[u8; 8]>().read_unaligned() };
        f32x8::new(x.map(|b| if signed { f32::from(b as i8) } else { f32::from(b) }))
    }
    #[inline(always)]
    unsafe fn keep_larger(self, to: *mut u8, from: *const u8, signed: bool) {
        // SAFETY: the caller promises 32 bytes at both.
        unsafe {
            let (a, b) = (to.cast::<[u8; 32]>().read_unaligned(), from.cast::<[u8; 32]>().read_unaligned());
            let larger = |i: usize| match signed {
                true => (a[i] as i8).max(b[i] as i8) as u8,
                false => a[i].max(b[i]),
            };
            to.cast::<[u8; 32]>().write_unaligned(core::array::from_fn(larger));
        }
    }
    #[inline(always)]
    fn narrow(self, v: [f32x8; 2], how: Narrow) -> [u64; 2] {
        v.map(|v| {
            let words = v.to_array().map(|x| (x.round_ties_even() as i32).clamp(-32768, 32767) as i16);
            let words = words.map(|w| w.saturating_add(how.zero).max(how.lo).min(how.hi));
            u64::from_le_bytes(words.map(|w| w as u8))
        })
    }
    #[inline(always)]
    fn to_bytes(self, v: f32x8, signed: bool) -> u64 {
        let n = v.to_array().map(f32::round_ties_even);
        u64::from_le_bytes(n.map(|n| if signed { n as i8 as u8 } else { n as u8 }))
    }
}

impl Simd for Portable {
    const ISA: paring_kernel::Isa = paring_kernel::Isa::Portable;
    const SMALL: bool = cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
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
    unsafe fn load_halves(self, p: *const u16) -> f32x8 {
        // SAFETY: the caller promises eight readable elements.
        let bits = unsafe { p.cast::<[u16; 8]>().read_unaligned() };
        f32x8::new(bits.map(|b| half::f16::from_bits(b).to_f32()))
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
