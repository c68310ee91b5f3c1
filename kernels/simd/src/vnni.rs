//! VNNI: four products of bytes added to a sum in one instruction, without saturation on the way.

use crate::{
    Avx2, Avx512, Avx512Pair, Bytes, Lanes, Several, Simd, Task,
    avx512::HasAvx512,
    extend::{delegate, extend},
};
use core::arch::x86_64::*;

/// Proof that this machine has AVX-VNNI, and what [`Avx2`] proves.
#[derive(Clone, Copy, Debug)]
pub struct AvxVnni(Avx2);

impl AvxVnni {
    #[inline]
    #[target_feature(enable = "avxvnni,avx2,fma,f16c")]
    fn enter<T: Task>(self, task: T) -> T::Output {
        task.call(self)
    }
}

extend! {
    AvxVnni:
    bytes {
        const ANY_WEIGHTS: bool = true;

        #[inline(always)]
        unsafe fn dot(self, sums: __m256i, x: __m256i, w: *const i8) -> __m256i {
            // SAFETY: the token proves the instruction; the caller promises 32 readable bytes.
            unsafe { _mm256_dpbusd_avx_epi32(sums, x, _mm256_loadu_si256(w.cast())) }
        }
        #[inline(always)]
        unsafe fn dot_words(self, sums: __m256i, x: __m256i, w: *const i16) -> __m256i {
            // SAFETY: the token proves the instruction; the caller promises 16 readable words.
            unsafe { _mm256_dpwssd_avx_epi32(sums, x, _mm256_loadu_si256(w.cast())) }
        }
    }
    simd {
        const ISA: paring_kernel::Isa = paring_kernel::Isa::AvxVnni;
        type Pair = Several<AvxVnni, 2>;

        #[inline(always)]
        fn pair(self) -> Several<AvxVnni, 2> {
            Several(self)
        }
        fn detect() -> Option<AvxVnni> {
            Avx2::detect().filter(|_| is_x86_feature_detected!("avxvnni")).map(AvxVnni)
        }
    }
}

/// Proof that this machine has AVX-512 VNNI, and what [`Avx512`] proves.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Vnni(Avx512);

impl Avx512Vnni {
    #[inline]
    #[target_feature(enable = "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
    fn enter<T: Task>(self, task: T) -> T::Output {
        task.call(self)
    }
}

// SAFETY: `Avx512` is within, and `detect` asks for VNNI.
unsafe impl HasAvx512 for Avx512Vnni {
    const VNNI: bool = true;
}

extend! {
    Avx512Vnni:
    bytes {
        const ANY_WEIGHTS: bool = true;

        #[inline(always)]
        unsafe fn dot(self, sums: __m256i, x: __m256i, w: *const i8) -> __m256i {
            // SAFETY: the token proves the instruction; the caller promises 32 readable bytes.
            unsafe { _mm256_dpbusd_epi32(sums, x, _mm256_loadu_si256(w.cast())) }
        }
        #[inline(always)]
        unsafe fn dot_words(self, sums: __m256i, x: __m256i, w: *const i16) -> __m256i {
            // SAFETY: the token proves the instruction; the caller promises 16 readable words.
            unsafe { _mm256_dpwssd_epi32(sums, x, _mm256_loadu_si256(w.cast())) }
        }
    }
    simd {
        const ISA: paring_kernel::Isa = paring_kernel::Isa::Avx512Vnni;
        const WIDE: bool = true;
        type Pair = Avx512Pair<Avx512Vnni>;

        #[inline(always)]
        fn pair(self) -> Avx512Pair<Avx512Vnni> {
            Avx512Pair(self)
        }
        fn detect() -> Option<Avx512Vnni> {
            Avx512::detect().filter(|_| is_x86_feature_detected!("avx512vnni")).map(Avx512Vnni)
        }
    }
}
