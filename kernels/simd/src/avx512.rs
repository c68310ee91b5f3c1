//! AVX-512: the arithmetic of AVX2 with 32 registers, and pairs of vectors in one register.

use crate::{
    Avx2, Bytes, Lanes, Pair, Simd, Task,
    bytes::{Narrow, PairBytes},
    extend::{delegate, extend},
};
use core::arch::x86_64::*;

/// Proof that this machine has AVX-512 F, BW, DQ and VL, and what [`Avx2`] proves.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(Avx2);

impl Avx512 {
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    fn enter<T: Task>(self, task: T) -> T::Output {
        task.call(self)
    }
}

// SAFETY: `detect` asks for them.
unsafe impl HasAvx512 for Avx512 {}

extend! {
    Avx512:
    bytes {
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
    }
    simd {
        const ISA: paring_kernel::Isa = paring_kernel::Isa::Avx512;
        const WIDE: bool = true;
        type Pair = Avx512Pair<Avx512>;

        #[inline(always)]
        fn pair(self) -> Avx512Pair<Avx512> {
            Avx512Pair(self)
        }
        fn detect() -> Option<Avx512> {
            let yes = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl");
            Avx2::detect().filter(|_| yes).map(Avx512)
        }
    }
}

/// A token that proves AVX-512 F, BW, DQ and VL.
///
/// # Safety
/// Whoever has one must be on a machine with these, and with VNNI where [`HasAvx512::VNNI`].
pub unsafe trait HasAvx512: Simd<V = __m256, I = __m256i, Quad = __m256i> {
    /// Whether it proves AVX-512 VNNI as well.
    const VNNI: bool = false;
}

/// Two vectors of eight in one register.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Pair<S>(pub(crate) S);

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

impl<S: HasAvx512> Lanes for Avx512Pair<S> {
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
        to_exponent(v) => _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_castps_si512(v)));
        exponent(a) => _mm512_cvtepi32_ps(_mm512_sub_epi32(
            _mm512_srli_epi32::<23>(_mm512_castps_si512(_mm512_abs_ps(a))), _mm512_set1_epi32(127)));
        and(a, b) => _mm512_and_ps(a, b);
        or(a, b) => _mm512_or_ps(a, b);
        xor(a, b) => _mm512_xor_ps(a, b);
    }
}

impl<S: HasAvx512> Pair<S> for Avx512Pair<S> {
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
    #[inline(always)]
    fn join(self, [first, second]: [__m256; 2]) -> __m512 {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_insertf32x8::<1>(_mm512_castps256_ps512(first), second) }
    }
    #[inline(always)]
    fn sums_to_f32(self, sums: __m512i) -> __m512 {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, [first, second]: [*const u8; 2], signed: bool) -> __m512 {
        // SAFETY: the token proves the instructions; the caller promises eight readable bytes at both.
        unsafe {
            let x = _mm_unpacklo_epi64(_mm_loadl_epi64(first.cast()), _mm_loadl_epi64(second.cast()));
            _mm512_cvtepi32_ps(if signed { _mm512_cvtepi8_epi32(x) } else { _mm512_cvtepu8_epi32(x) })
        }
    }
    #[inline(always)]
    unsafe fn store_narrow(self, [first, second]: [*mut u8; 2], v: [__m512; 4], how: Narrow) {
        // SAFETY: the token proves the instructions; the caller promises 32 writable bytes at both.
        unsafe {
            let words = |a, b| {
                let words = _mm512_packs_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b));
                _mm512_adds_epi16(words, _mm512_set1_epi16(how.zero))
            };
            let (a, b) = (words(v[0], v[1]), words(v[2], v[3]));
            // Bytes are fewer to bound than words.
            let (lo, hi) = (_mm512_set1_epi8(how.lo as i8), _mm512_set1_epi8(how.hi as i8));
            let bytes = match how.signed {
                true => _mm512_min_epi8(_mm512_max_epi8(_mm512_packs_epi16(a, b), lo), hi),
                false => _mm512_min_epu8(_mm512_max_epu8(_mm512_packus_epi16(a, b), lo), hi),
            };
            // Every quarter of the register has four lanes of each vector.
            let order = _mm512_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
            let bytes = _mm512_permutexvar_epi32(order, bytes);
            _mm256_storeu_si256(first.cast(), _mm512_castsi512_si256(bytes));
            _mm256_storeu_si256(second.cast(), _mm512_extracti64x4_epi64::<1>(bytes));
        }
    }
}

impl<S: HasAvx512> PairBytes<S> for Avx512Pair<S> {
    type I = __m512i;
    type Quad = __m512i;

    #[inline(always)]
    unsafe fn load_sums(self, p: *const i32) -> __m512i {
        // SAFETY: the caller promises sixteen readable elements.
        unsafe { _mm512_loadu_si512(p.cast()) }
    }
    #[inline(always)]
    unsafe fn quad<const TURNED: bool>(self, p: *const u8) -> __m512i {
        // SAFETY: the caller promises four readable bytes.
        unsafe {
            let x = _mm512_set1_epi32(p.cast::<i32>().read_unaligned());
            if TURNED { _mm512_xor_si512(x, _mm512_set1_epi8(-128)) } else { x }
        }
    }
    #[inline(always)]
    fn half(self, x: __m512i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm512_castsi512_si256(x) }
    }
    #[inline(always)]
    unsafe fn dot(self, sums: __m512i, x: __m512i, w: *const i8) -> __m512i {
        // SAFETY: the token proves the instructions; the caller promises 64 readable bytes.
        unsafe {
            let w = _mm512_loadu_si512(w.cast());
            if S::VNNI {
                return _mm512_dpbusd_epi32(sums, x, w);
            }
            _mm512_add_epi32(sums, _mm512_madd_epi16(_mm512_maddubs_epi16(x, w), _mm512_set1_epi16(1)))
        }
    }
    #[inline(always)]
    unsafe fn dot_words(self, sums: __m512i, x: __m512i, w: *const i16) -> __m512i {
        // SAFETY: the token proves the instructions; the caller promises 32 readable words.
        unsafe {
            let w = _mm512_loadu_si512(w.cast());
            if S::VNNI { _mm512_dpwssd_epi32(sums, x, w) } else { _mm512_add_epi32(sums, _mm512_madd_epi16(x, w)) }
        }
    }
    #[inline(always)]
    fn sums(self, sums: __m512i) -> [__m256i; 2] {
        // SAFETY: the token proves the instructions.
        unsafe { [_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64::<1>(sums)] }
    }
}
