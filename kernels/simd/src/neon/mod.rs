//! AArch64 Advanced SIMD: two registers for each vector of eight.

mod bytes;
pub mod fp16;
mod lookup;
pub mod matrix;
mod products;

use crate::{Lanes, Several, Simd, Task};
use core::{arch::aarch64::*, arch::asm, marker::PhantomData};
use products::Products;

pub use products::{Dot, Matrix, Widening};

/// Proof that this machine has Advanced SIMD, as all of this architecture do, and what multiplies bytes as `P` does.
#[derive(Clone, Copy, Debug)]
pub struct NeonWith<P>(PhantomData<P>);

/// Advanced SIMD alone.
pub type Neon = NeonWith<Widening>;
/// Proof of dot products of bytes.
pub type NeonDot = NeonWith<Dot>;
/// Proof of dot products of bytes of which one has a sign and the other has none.
pub type NeonI8mm = NeonWith<Matrix>;

/// Expands to functions on one register, done for both.
macro_rules! both {
    ($($name:ident($first:ident $(, $more:ident)*) => $e:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $first: float32x4x2_t $(, $more: float32x4x2_t)*) -> float32x4x2_t {
            let one = |$first: float32x4_t $(, $more: float32x4_t)*| {
                // SAFETY: the token proves the instructions.
                unsafe { $e }
            };
            float32x4x2_t(one($first.0 $(, $more.0)*), one($first.1 $(, $more.1)*))
        }
    )*};
}

/// A mask as the bits of numbers, and the reverse.
macro_rules! bits {
    ($f:ident($($v:expr),*)) => {
        vreinterpretq_f32_u32($f($(vreinterpretq_u32_f32($v)),*))
    };
}

impl<P: Products> Lanes for NeonWith<P> {
    type V = float32x4x2_t;

    #[inline(always)]
    fn splat(self, x: f32) -> float32x4x2_t {
        // SAFETY: the token proves the instructions.
        let v = unsafe { vdupq_n_f32(x) };
        float32x4x2_t(v, v)
    }
    both! {
        add(a, b) => vaddq_f32(a, b);
        sub(a, b) => vsubq_f32(a, b);
        mul(a, b) => vmulq_f32(a, b);
        div(a, b) => vdivq_f32(a, b);
        mul_add(a, b, c) => vfmaq_f32(c, a, b);
        // Not `fmin` and `fmax`, which order zeros by sign and make NaN of either NaN.
        min(a, b) => vbslq_f32(vcltq_f32(a, b), a, b);
        max(a, b) => vbslq_f32(vcgtq_f32(a, b), a, b);
        sqrt(a) => vsqrtq_f32(a);
        round(a) => vrndnq_f32(a);
        abs(a) => vabsq_f32(a);
        less(a, b) => vreinterpretq_f32_u32(vcltq_f32(a, b));
        select(mask, yes, no) => vbslq_f32(vreinterpretq_u32_f32(mask), yes, no);
        to_exponent(v) => vreinterpretq_f32_s32(vshlq_n_s32::<23>(vreinterpretq_s32_f32(v)));
        exponent(a) => vcvtq_f32_s32(vsubq_s32(
            vreinterpretq_s32_u32(vshrq_n_u32::<23>(vreinterpretq_u32_f32(vabsq_f32(a)))), vdupq_n_s32(127)));
        and(a, b) => bits!(vandq_u32(a, b));
        or(a, b) => bits!(vorrq_u32(a, b));
        xor(a, b) => bits!(veorq_u32(a, b));
    }
}

impl<P: Products> Simd for NeonWith<P> {
    const ISA: paring_kernel::Isa = P::ISA;
    type Pair = Several<NeonWith<P>, 2>;

    #[inline(always)]
    fn pair(self) -> Several<NeonWith<P>, 2> {
        Several(self)
    }

    fn detect() -> Option<NeonWith<P>> {
        P::detect().then_some(NeonWith(PhantomData))
    }
    #[inline(always)]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        // SAFETY: the token proves the instructions.
        unsafe { P::enter(self, task) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> float32x4x2_t {
        // SAFETY: the caller promises eight readable elements.
        unsafe { float32x4x2_t(vld1q_f32(p), vld1q_f32(p.add(4))) }
    }
    #[inline(always)]
    unsafe fn load_halves(self, p: *const u16) -> float32x4x2_t {
        // SAFETY: the caller promises eight readable elements.
        unsafe {
            let halves = vreinterpretq_f16_u16(vld1q_u16(p));
            float32x4x2_t(vcvt_f32_f16(vget_low_f16(halves)), vcvt_high_f32_f16(halves))
        }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: float32x4x2_t) {
        // SAFETY: the caller promises eight writable elements.
        unsafe {
            vst1q_f32(p, v.0);
            vst1q_f32(p.add(4), v.1);
        }
    }
    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        // SAFETY: a hint that cannot fault.
        unsafe { asm!("prfm pldl2keep, [{}]", in(reg) p, options(nostack, preserves_flags, readonly)) }
    }
    #[inline(always)]
    fn prefetch_near(self, p: *const f32) {
        // SAFETY: a hint that cannot fault.
        unsafe { asm!("prfm pldl1keep, [{}]", in(reg) p, options(nostack, preserves_flags, readonly)) }
    }
    #[inline(always)]
    fn to_array(self, v: float32x4x2_t) -> [f32; 8] {
        // SAFETY: both are 32 plain bytes.
        unsafe { core::mem::transmute::<float32x4x2_t, [f32; 8]>(v) }
    }
    #[inline(always)]
    fn from_array(self, a: [f32; 8]) -> float32x4x2_t {
        // SAFETY: both are 32 plain bytes.
        unsafe { core::mem::transmute::<[f32; 8], float32x4x2_t>(a) }
    }
    #[inline(always)]
    fn sum(self, v: float32x4x2_t) -> f32 {
        // SAFETY: the token proves the instructions.
        unsafe {
            let fours = vaddq_f32(v.0, v.1);
            vpadds_f32(vadd_f32(vget_low_f32(fours), vget_high_f32(fours)))
        }
    }
    #[inline(always)]
    fn transpose(self, r: [float32x4x2_t; 8]) -> [float32x4x2_t; 8] {
        let upper = [square([r[0].0, r[1].0, r[2].0, r[3].0]), square([r[0].1, r[1].1, r[2].1, r[3].1])];
        let lower = [square([r[4].0, r[5].0, r[6].0, r[7].0]), square([r[4].1, r[5].1, r[6].1, r[7].1])];
        core::array::from_fn(|i| float32x4x2_t(upper[i / 4][i % 4], lower[i / 4][i % 4]))
    }
}

/// Transposes four rows of four.
#[inline(always)]
fn square(r: [float32x4_t; 4]) -> [float32x4_t; 4] {
    // SAFETY: instructions that all of this architecture have.
    unsafe {
        let even = [vtrn1q_f32(r[0], r[1]), vtrn1q_f32(r[2], r[3])].map(|v| vreinterpretq_f64_f32(v));
        let odd = [vtrn2q_f32(r[0], r[1]), vtrn2q_f32(r[2], r[3])].map(|v| vreinterpretq_f64_f32(v));
        [
            vzip1q_f64(even[0], even[1]),
            vzip1q_f64(odd[0], odd[1]),
            vzip2q_f64(even[0], even[1]),
            vzip2q_f64(odd[0], odd[1]),
        ]
        .map(|v| vreinterpretq_f32_f64(v))
    }
}
