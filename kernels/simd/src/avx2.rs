//! AVX2 with FMA and F16C.

use crate::{Bytes, Lanes, Several, Simd, Task, bytes::Narrow};
use core::arch::{asm, x86_64::*};

/// Proof that this machine has AVX2, FMA and F16C.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

impl Avx2 {
    /// The token, unasked.
    ///
    /// # Safety
    /// The machine must have AVX2, FMA and F16C.
    pub const unsafe fn new_unchecked() -> Avx2 {
        Avx2(())
    }

    #[inline]
    #[target_feature(enable = "avx2,fma,f16c")]
    fn enter<T: Task>(self, task: T) -> T::Output {
        task.call(self)
    }

    /// Bytes of words, bounded: they are fewer to bound than words.
    #[inline(always)]
    fn bounded(self, a: __m256i, b: __m256i, how: Narrow) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe {
            let (lo, hi) = (_mm256_set1_epi8(how.lo as i8), _mm256_set1_epi8(how.hi as i8));
            match how.signed {
                true => _mm256_min_epi8(_mm256_max_epi8(_mm256_packs_epi16(a, b), lo), hi),
                false => _mm256_min_epu8(_mm256_max_epu8(_mm256_packus_epi16(a, b), lo), hi),
            }
        }
    }
}

// Every intrinsic below needs AVX2 or FMA, which `self` proves; those on pointers need the caller's promise as well.
macro_rules! wrap {
    ($($name:ident($($arg:ident),*) => $e:expr;)*) => {$(
        #[inline(always)]
        fn $name(self, $($arg: __m256),*) -> __m256 {
            // SAFETY: the token proves the instructions.
            unsafe { $e }
        }
    )*};
}

impl Lanes for Avx2 {
    type V = __m256;

    #[inline(always)]
    fn splat(self, x: f32) -> __m256 {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_set1_ps(x) }
    }
    wrap! {
        add(a, b) => _mm256_add_ps(a, b);
        sub(a, b) => _mm256_sub_ps(a, b);
        mul(a, b) => _mm256_mul_ps(a, b);
        div(a, b) => _mm256_div_ps(a, b);
        mul_add(a, b, c) => _mm256_fmadd_ps(a, b, c);
        min(a, b) => _mm256_min_ps(a, b);
        max(a, b) => _mm256_max_ps(a, b);
        sqrt(a) => _mm256_sqrt_ps(a);
        round(a) => _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(a);
        abs(a) => _mm256_andnot_ps(_mm256_set1_ps(-0.0), a);
        less(a, b) => _mm256_cmp_ps::<_CMP_LT_OQ>(a, b);
        select(mask, yes, no) => _mm256_blendv_ps(no, yes, mask);
        to_exponent(v) => _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_castps_si256(v)));
        exponent(a) => _mm256_cvtepi32_ps(_mm256_sub_epi32(
            _mm256_srli_epi32::<23>(_mm256_castps_si256(_mm256_andnot_ps(_mm256_set1_ps(-0.0), a))),
            _mm256_set1_epi32(127)));
        and(a, b) => _mm256_and_ps(a, b);
        or(a, b) => _mm256_or_ps(a, b);
        xor(a, b) => _mm256_xor_ps(a, b);
    }
}

/// Four bytes of every other four, then of the others.
static HALVES: [i32; 8] = [0, 2, 4, 6, 1, 3, 5, 7];

impl Bytes for Avx2 {
    type I = __m256i;
    type Quad = __m256i;
    type Fours = __m256i;

    #[inline(always)]
    unsafe fn load_sums(self, p: *const i32) -> __m256i {
        // SAFETY: the caller promises eight readable elements.
        unsafe { _mm256_loadu_si256(p.cast()) }
    }
    #[inline(always)]
    unsafe fn quad<const TURNED: bool>(self, p: *const u8) -> __m256i {
        // SAFETY: the caller promises four readable bytes.
        unsafe {
            let x = _mm256_set1_epi32(p.cast::<i32>().read_unaligned());
            if TURNED { _mm256_xor_si256(x, _mm256_set1_epi8(-128)) } else { x }
        }
    }
    #[inline(always)]
    unsafe fn dot(self, sums: __m256i, x: __m256i, w: *const i8) -> __m256i {
        // SAFETY: the caller promises 32 readable bytes.
        unsafe {
            let pairs = _mm256_maddubs_epi16(x, _mm256_loadu_si256(w.cast()));
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
    #[inline(always)]
    unsafe fn dot_fours(self, sums: __m256i, x: __m256i, w: *const i8) -> __m256i {
        // SAFETY: the caller's promise.
        unsafe { self.dot(sums, x, w) }
    }
    #[inline(always)]
    unsafe fn gather_fours(self, p: *const u8) -> __m256i {
        // SAFETY: the caller promises 32 readable bytes.
        unsafe {
            // The first four lanes of all, then the others; and each half turned.
            let mut halves = &raw const HALVES;
            // Of an order that it knows the compiler makes two shuffles within halves, and puts those together.
            asm!("/* {} */", inout(reg) halves, options(pure, readonly, nostack, preserves_flags));
            let halves = _mm256_loadu_si256(halves.cast());
            let turn = _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let x = _mm256_permutevar8x32_epi32(_mm256_loadu_si256(p.cast()), halves);
            _mm256_shuffle_epi8(x, _mm256_broadcastsi128_si256(turn))
        }
    }
    #[inline(always)]
    unsafe fn dot_words(self, sums: __m256i, x: __m256i, w: *const i16) -> __m256i {
        // SAFETY: the caller promises 16 readable words.
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(x, _mm256_loadu_si256(w.cast()))) }
    }
    #[inline(always)]
    unsafe fn store_words(self, p: *mut i16, v: __m256) {
        // SAFETY: the caller promises eight writable words.
        unsafe {
            let n = _mm256_cvtps_epi32(v);
            let words = _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256::<1>(n));
            _mm_storeu_si128(p.cast(), words);
        }
    }
    #[inline(always)]
    fn add_sums(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    fn sub_sums(self, a: __m256i, b: __m256i) -> __m256i {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_sub_epi32(a, b) }
    }
    #[inline(always)]
    unsafe fn store_sums(self, p: *mut i32, sums: __m256i) {
        // SAFETY: the caller promises eight writable elements.
        unsafe { _mm256_storeu_si256(p.cast(), sums) }
    }
    #[inline(always)]
    fn sums_to_f32(self, sums: __m256i) -> __m256 {
        // SAFETY: the token proves the instructions.
        unsafe { _mm256_cvtepi32_ps(sums) }
    }
    #[inline(always)]
    unsafe fn load_bytes(self, p: *const u8, signed: bool) -> __m256 {
        // SAFETY: the caller promises eight readable bytes.
        unsafe {
            let x = _mm_loadl_epi64(p.cast());
            _mm256_cvtepi32_ps(if signed { _mm256_cvtepi8_epi32(x) } else { _mm256_cvtepu8_epi32(x) })
        }
    }
    #[inline(always)]
    unsafe fn keep_larger(self, to: *mut u8, from: *const u8, signed: bool) {
        // SAFETY: the token proves the instructions; the caller promises 32 bytes at both.
        unsafe {
            let (a, b) = (_mm256_loadu_si256(to.cast()), _mm256_loadu_si256(from.cast()));
            let larger = if signed { _mm256_max_epi8(a, b) } else { _mm256_max_epu8(a, b) };
            _mm256_storeu_si256(to.cast(), larger);
        }
    }
    #[inline(always)]
    fn narrow(self, v: [__m256; 2], how: Narrow) -> [u64; 2] {
        // SAFETY: the token proves the instructions.
        unsafe {
            // Both halves of a register at once: the first four lanes of both vectors, then the last four.
            let words = _mm256_packs_epi32(_mm256_cvtps_epi32(v[0]), _mm256_cvtps_epi32(v[1]));
            let words = _mm256_adds_epi16(words, _mm256_set1_epi16(how.zero));
            let bytes = self.bounded(words, words, how);
            let bytes = _mm_unpacklo_epi32(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
            [_mm_cvtsi128_si64(bytes) as u64, _mm_extract_epi64::<1>(bytes) as u64]
        }
    }
    #[inline(always)]
    unsafe fn store_narrow(self, p: *mut u8, v: [__m256; 4], how: Narrow) {
        // SAFETY: the token proves the instructions; the caller promises 32 writable bytes.
        unsafe {
            let words = |a, b| {
                let words = _mm256_packs_epi32(_mm256_cvtps_epi32(a), _mm256_cvtps_epi32(b));
                _mm256_adds_epi16(words, _mm256_set1_epi16(how.zero))
            };
            let bytes = self.bounded(words(v[0], v[1]), words(v[2], v[3]), how);
            // The first four lanes of each, then the last four.
            let order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
            _mm256_storeu_si256(p.cast(), _mm256_permutevar8x32_epi32(bytes, order));
        }
    }
    #[inline(always)]
    fn to_bytes(self, v: __m256, signed: bool) -> u64 {
        // SAFETY: the token proves the instructions.
        unsafe {
            let n = _mm256_cvtps_epi32(v);
            let words = _mm_packs_epi32(_mm256_castsi256_si128(n), _mm256_extracti128_si256::<1>(n));
            let bytes = if signed { _mm_packs_epi16(words, words) } else { _mm_packus_epi16(words, words) };
            _mm_cvtsi128_si64(bytes) as u64
        }
    }
}

impl Simd for Avx2 {
    const ISA: paring_kernel::Isa = paring_kernel::Isa::Avx2;
    type Pair = Several<Avx2, 2>;

    #[inline(always)]
    fn pair(self) -> Several<Avx2, 2> {
        Several(self)
    }

    fn detect() -> Option<Avx2> {
        let yes =
            is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c");
        yes.then_some(Avx2(()))
    }
    #[inline(always)]
    fn vectorize<T: Task>(self, task: T) -> T::Output {
        // SAFETY: the token proves the instructions.
        unsafe { self.enter(task) }
    }
    #[inline(always)]
    unsafe fn load(self, p: *const f32) -> __m256 {
        // SAFETY: the caller promises eight readable elements.
        unsafe { _mm256_loadu_ps(p) }
    }
    #[inline(always)]
    unsafe fn load_halves(self, p: *const u16) -> __m256 {
        // SAFETY: the token proves F16C; the caller promises eight readable elements.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32, v: __m256) {
        // SAFETY: the caller promises eight writable elements.
        unsafe { _mm256_storeu_ps(p, v) }
    }
    #[inline(always)]
    unsafe fn broadcast(self, p: *const f32) -> __m256 {
        // SAFETY: the caller promises one readable element.
        unsafe { _mm256_broadcast_ss(&*p) }
    }
    #[inline(always)]
    fn to_array(self, v: __m256) -> [f32; 8] {
        // SAFETY: both are 32 plain bytes.
        unsafe { core::mem::transmute::<__m256, [f32; 8]>(v) }
    }
    #[inline(always)]
    fn from_array(self, a: [f32; 8]) -> __m256 {
        // SAFETY: both are 32 plain bytes.
        unsafe { core::mem::transmute::<[f32; 8], __m256>(a) }
    }
    #[inline(always)]
    fn transpose(self, r: [__m256; 8]) -> [__m256; 8] {
        // SAFETY: the token proves the instructions.
        unsafe {
            let pair = |a, b| (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let ((a0, a1), (a2, a3)) = (pair(r[0], r[1]), pair(r[2], r[3]));
            let ((a4, a5), (a6, a7)) = (pair(r[4], r[5]), pair(r[6], r[7]));
            let quad = |a, b| (_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xEE>(a, b));
            let ((b0, b1), (b2, b3)) = (quad(a0, a2), quad(a1, a3));
            let ((b4, b5), (b6, b7)) = (quad(a4, a6), quad(a5, a7));
            let low = |a, b| _mm256_permute2f128_ps::<0x20>(a, b);
            let high = |a, b| _mm256_permute2f128_ps::<0x31>(a, b);
            [low(b0, b4), low(b1, b5), low(b2, b6), low(b3, b7), high(b0, b4), high(b1, b5), high(b2, b6), high(b3, b7)]
        }
    }
}
