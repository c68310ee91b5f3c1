//! AVX-512: the arithmetic of AVX2 with 32 registers, and pairs of vectors in one register.

use crate::{Avx2, Bytes, Lanes, Pair, Simd, Task, bytes::Narrow, operations};
use core::arch::x86_64::*;

/// Proof that this machine has AVX-512 F, BW, DQ and VL, and what [`Avx2`] proves.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(Avx2);

impl Avx512 {
    /// The instructions that it has besides.
    #[inline(always)]
    pub(crate) fn avx2(self) -> Avx2 {
        self.0
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    fn enter<T: Task>(self, task: T) -> T::Output {
        task.call(self)
    }
}

// Vectors of eight are those of AVX2: compiled within `enter`, the same operations have the new registers.
macro_rules! delegate {
    ($($name:ident($($arg:ident),*);)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: __m256),*) -> __m256 {
            self.0.$name($($arg),*)
        }
    )*};
}

impl Lanes for Avx512 {
    type V = __m256;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        self.0.splat(x)
    }
    operations!(delegate);
}

impl Bytes for Avx512 {
    type I = __m256i;
    type Quad = __m256i;

    #[inline(always)]
    unsafe fn load_sums(self, p: *const i32) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { self.0.load_sums(p) }
    }
    #[inline(always)]
    unsafe fn quad<const SIGNED: bool>(self, p: *const u8) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { self.0.quad::<SIGNED>(p) }
    }
    #[inline(always)]
    unsafe fn dot(self, sums: __m256i, x: __m256i, w: *const i8) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { self.0.dot(sums, x, w) }
    }
    #[inline(always)]
    unsafe fn dot_words(self, sums: __m256i, x: __m256i, w: *const i16) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { self.0.dot_words(sums, x, w) }
    }
    #[inline(always)]
    unsafe fn store_words(self, p: *mut i16, v: __m256) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store_words(p, v) }
    }
    #[inline(always)]
    fn sums_to_f32(self, sums: __m256i) -> __m256 {
        self.0.sums_to_f32(sums)
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, signed: bool) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { self.0.load_bytes(p, signed) }
    }
    #[inline(always)]
    fn narrow(self, v: [__m256; 2], how: Narrow) -> [u64; 2] {
        self.0.narrow(v, how)
    }
    #[inline(always)]
    fn to_bytes(self, v: __m256, signed: bool) -> u64 {
        self.0.to_bytes(v, signed)
    }
}

impl Simd for Avx512 {
    const ISA: paring_kernel::Isa = paring_kernel::Isa::Avx512;
    const WIDE: bool = true;
    type Pair = Avx512Pair;

    #[inline(always)]
    fn pair(self) -> Avx512Pair {
        Avx512Pair(self)
    }
    fn detect() -> Option<Avx512> {
        let yes = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        Avx2::detect().filter(|_| yes).map(Avx512)
    }
    #[inline(always)]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        // SAFETY: the token proves the instructions.
        unsafe { self.enter(task) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { self.0.load(p) }
    }
    #[inline(always)]
    unsafe fn load_halves(self, p: *const u16) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { self.0.load_halves(p) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: the caller's promise.
        unsafe { self.0.store(p, v) }
    }
    #[inline(always)]
    unsafe fn broadcast(self, p: *const f32) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { self.0.broadcast(p) }
    }
    #[inline(always)]
    fn to_array(self, v: __m256) -> [f32; 8] {
        self.0.to_array(v)
    }
    #[inline(always)]
    fn from_array(self, a: [f32; 8]) -> __m256 {
        self.0.from_array(a)
    }
    #[inline(always)]
    fn transpose(self, rows: [__m256; 8]) -> [__m256; 8] {
        self.0.transpose(rows)
    }
}

/// Two vectors of eight in one register.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Pair(Avx512);

// Every intrinsic below needs AVX-512 F or DQ, which `self` proves.
macro_rules! wrap {
    ($($name:ident($($arg:ident),*) => $e:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: __m512),*) -> __m512 {
            // SAFETY: the token proves the instructions.
            unsafe { $e }
        }
    )*};
}

impl Lanes for Avx512Pair {
    type V = __m512;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_set1_ps(x) }
    }
    wrap! {
        add(a, b) => _mm512_add_ps(a, b);
        sub(a, b) => _mm512_sub_ps(a, b);
        mul(a, b) => _mm512_mul_ps(a, b);
        div(a, b) => _mm512_div_ps(a, b);
        mul_add(a, b, c) => _mm512_fmadd_ps(a, b, c);
        min(a, b) => _mm512_min_ps(a, b);
        max(a, b) => _mm512_max_ps(a, b);
        sqrt(a) => _mm512_sqrt_ps(a);
        round(a) => _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        abs(a) => _mm512_abs_ps(a);
        less(a, b) => _mm512_castsi512_ps(_mm512_movm_epi32(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(a, b)));
        select(mask, yes, no) => _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(mask)), no, yes);
        exp2_int(n) => _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(
            _mm512_cvtps_epi32(n), _mm512_set1_epi32(127))));
        exponent(a) => _mm512_cvtepi32_ps(_mm512_sub_epi32(
            _mm512_srli_epi32::<23>(_mm512_castps_si512(_mm512_abs_ps(a))), _mm512_set1_epi32(127)));
        and(a, b) => _mm512_and_ps(a, b);
        or(a, b) => _mm512_or_ps(a, b);
        xor(a, b) => _mm512_xor_ps(a, b);
    }
}

impl Pair<Avx512> for Avx512Pair {
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m512 {
        // SAFETY: the caller promises sixteen readable elements.
        unsafe { _mm512_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn broadcast(self, p: *const f32) -> __m512 {
        // SAFETY: the caller promises one readable element.
        unsafe { _mm512_set1_ps(*p) }
    }
    #[inline(always)]
    fn halves(self, v: __m512) -> [__m256; 2] {
        // SAFETY: the token proves the instructions.
        unsafe { [_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v)] }
    }
}
