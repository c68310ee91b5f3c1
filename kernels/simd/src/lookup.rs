//! Tables of sixteen bytes, looked up for 32 lanes at once: what sums of signs are made of.

use crate::{LANES, Lanes};

/// Lanes of [`Lookup::B`].
pub const BYTES: usize = 32;

/// Arithmetic on vectors of bytes.
pub trait Lookup: Lanes {
    /// 32 bytes.
    type B: Copy;

    /// All bytes zero.
    fn no_bytes(self) -> Self::B;

    /// A table of sixteen bytes.
    ///
    /// # Safety
    /// `p` must be valid for reads of sixteen bytes.
    unsafe fn table(self, p: *const u8) -> Self::B;

    /// The lower four bits of 32 bytes; the upper ones where `UPPER`.
    ///
    /// # Safety
    /// `p` must be valid for reads of 32 bytes.
    unsafe fn nibbles<const UPPER: bool>(self, p: *const u8) -> Self::B;

    /// For each lane of `index`, which are below sixteen, the byte of the table.
    fn look_up(self, table: Self::B, index: Self::B) -> Self::B;

    /// Four planes of bytes as 32 numbers, of which the first plane has the lowest bytes: lane `i` of vector `v` is made of
    /// the bytes of lane `4 v + i` for the first four lanes, and of `12 + 4 v + i` for the others (see [`plane_lane`]).
    fn assemble(self, planes: [Self::B; 4]) -> [Self::V; 4];

    /// `a + b`, lane by lane, the lower eight bits of it.
    fn add_bytes(self, a: Self::B, b: Self::B) -> Self::B;

    /// Adds bytes to 32 sums of sixteen bits: lanes 0, 2, 4 and so on to the first sixteen, the others to the rest.
    ///
    /// # Safety
    /// `p` must be valid for reads and writes of 32 words.
    unsafe fn add_to_words(self, p: *mut u16, bytes: Self::B);

    /// Eight sums less `less`, as signed words, as numbers.
    ///
    /// # Safety
    /// `p` must be valid for reads of eight words.
    unsafe fn words_to_f32(self, p: *const u16, less: u16) -> Self::V;

    /// Sums of the lower four and of the upper four lanes of four vectors, and 80 more, as bytes: two of the first vector,
    /// then of the second, and so on. The lanes must be integers, and the bytes within 0 to 160.
    fn fours(self, v: [Self::V; 4]) -> [u8; 8];
}

/// The lane of a plane that number `i` of the 32 that [`Lookup::assemble`] makes comes from.
pub const fn plane_lane(i: usize) -> usize {
    let (vector, lane) = (i / LANES, i % LANES);
    4 * vector + lane % 4 + lane / 4 * (BYTES / 2)
}

impl Lookup for crate::Portable {
    type B = [u8; BYTES];

    #[inline(always)]
    fn no_bytes(self) -> [u8; BYTES] {
        [0; BYTES]
    }
    #[inline(always)]
    unsafe fn table(self, p: *const u8) -> [u8; BYTES] {
        // SAFETY: the caller's promise.
        let table = unsafe { p.cast::<[u8; 16]>().read() };
        core::array::from_fn(|i| table[i % 16])
    }
    #[inline(always)]
    unsafe fn nibbles<const UPPER: bool>(self, p: *const u8) -> [u8; BYTES] {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[u8; BYTES]>().read() }.map(|b| if UPPER { b >> 4 } else { b & 15 })
    }
    #[inline(always)]
    fn look_up(self, table: [u8; BYTES], index: [u8; BYTES]) -> [u8; BYTES] {
        index.map(|i| table[usize::from(i & 15)])
    }
    #[inline(always)]
    fn assemble(self, planes: [[u8; BYTES]; 4]) -> [Self::V; 4] {
        let number = |i: usize| f32::from_le_bytes(planes.map(|p| p[plane_lane(i)]));
        core::array::from_fn(|v| Self::V::new(core::array::from_fn(|i| number(v * LANES + i))))
    }
    #[inline(always)]
    fn add_bytes(self, a: [u8; BYTES], b: [u8; BYTES]) -> [u8; BYTES] {
        core::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn add_to_words(self, p: *mut u16, bytes: [u8; BYTES]) {
        // SAFETY: the caller's promise.
        let mut words = unsafe { p.cast::<[u16; BYTES]>().read_unaligned() };
        for i in 0..BYTES {
            let to = i / 2 + i % 2 * (BYTES / 2);
            words[to] = words[to].wrapping_add(bytes[i].into());
        }
        // SAFETY: as above.
        unsafe { p.cast::<[u16; BYTES]>().write_unaligned(words) }
    }
    #[inline(always)]
    unsafe fn words_to_f32(self, p: *const u16, less: u16) -> wide::f32x8 {
        // SAFETY: the caller's promise.
        let words = unsafe { p.cast::<[u16; LANES]>().read_unaligned() };
        wide::f32x8::new(words.map(|w| f32::from(w.wrapping_sub(less) as i16)))
    }
    #[inline(always)]
    fn fours(self, v: [wide::f32x8; 4]) -> [u8; 8] {
        let v = v.map(wide::f32x8::to_array);
        core::array::from_fn(|i| (v[i / 2][i % 2 * 4..][..4].iter().sum::<f32>() + 80.0) as u8)
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lookup;
    use crate::Avx2;
    use core::arch::x86_64::*;

    impl Lookup for Avx2 {
        type B = __m256i;

        #[inline(always)]
        fn no_bytes(self) -> __m256i {
            // SAFETY: the token proves the instructions.
            unsafe { _mm256_setzero_si256() }
        }
        #[inline(always)]
        unsafe fn table(self, p: *const u8) -> __m256i {
            // SAFETY: the caller promises sixteen readable bytes.
            unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(p.cast())) }
        }
        #[inline(always)]
        unsafe fn nibbles<const UPPER: bool>(self, p: *const u8) -> __m256i {
            // SAFETY: the caller promises 32 readable bytes.
            unsafe {
                let bytes = _mm256_loadu_si256(p.cast());
                let bytes = if UPPER { _mm256_srli_epi16::<4>(bytes) } else { bytes };
                _mm256_and_si256(bytes, _mm256_set1_epi8(15))
            }
        }
        #[inline(always)]
        fn look_up(self, table: __m256i, index: __m256i) -> __m256i {
            // SAFETY: the token proves the instructions.
            unsafe { _mm256_shuffle_epi8(table, index) }
        }
        #[inline(always)]
        fn assemble(self, [a, b, c, d]: [__m256i; 4]) -> [__m256; 4] {
            // SAFETY: the token proves the instructions.
            unsafe {
                let low = [_mm256_unpacklo_epi8(a, b), _mm256_unpackhi_epi8(a, b)];
                let high = [_mm256_unpacklo_epi8(c, d), _mm256_unpackhi_epi8(c, d)];
                let first = |i: usize| _mm256_castsi256_ps(_mm256_unpacklo_epi16(low[i], high[i]));
                let second = |i: usize| _mm256_castsi256_ps(_mm256_unpackhi_epi16(low[i], high[i]));
                [first(0), second(0), first(1), second(1)]
            }
        }
        #[inline(always)]
        fn add_bytes(self, a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: the token proves the instructions.
            unsafe { _mm256_add_epi8(a, b) }
        }
        #[inline(always)]
        unsafe fn add_to_words(self, p: *mut u16, bytes: __m256i) {
            // SAFETY: the caller promises 32 words.
            unsafe {
                let (first, second) = (p.cast::<__m256i>(), p.add(16).cast::<__m256i>());
                let even = _mm256_and_si256(bytes, _mm256_set1_epi16(255));
                let odd = _mm256_srli_epi16::<8>(bytes);
                _mm256_storeu_si256(first, _mm256_add_epi16(_mm256_loadu_si256(first), even));
                _mm256_storeu_si256(second, _mm256_add_epi16(_mm256_loadu_si256(second), odd));
            }
        }
        #[inline(always)]
        unsafe fn words_to_f32(self, p: *const u16, less: u16) -> __m256 {
            // SAFETY: the caller promises eight words.
            unsafe {
                let words = _mm_sub_epi16(_mm_loadu_si128(p.cast()), _mm_set1_epi16(less as i16));
                _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(words))
            }
        }
        #[inline(always)]
        fn fours(self, v: [__m256; 4]) -> [u8; 8] {
            // SAFETY: the token proves the instructions.
            unsafe {
                // The lower fours of all vectors in one half, the upper ones in the other.
                let sums = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
                let sums = _mm256_add_epi32(_mm256_cvtps_epi32(sums), _mm256_set1_epi32(80));
                let words = _mm_packs_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums));
                let bytes = _mm_packus_epi16(words, words);
                let pairs = _mm_unpacklo_epi8(bytes, _mm_srli_si128::<4>(bytes));
                (_mm_cvtsi128_si64(pairs) as u64).to_le_bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Portable, Simd, Task};

    /// Every operation on bytes that depend on `seed`.
    struct All(u8);

    impl Task for All {
        type Output = (Vec<u16>, Vec<[f32; 8]>, [u8; 8], Vec<[u32; 8]>);

        #[inline(always)]
        fn call<S: Simd>(self, s: S) -> Self::Output {
            let bytes: Vec<u8> = (0..BYTES as u8).map(|i| i.wrapping_mul(37).wrapping_add(self.0)).collect();
            let mut words: Vec<u16> = (0..BYTES as u16).map(|i| i.wrapping_mul(2021)).collect();
            let twos = [0, 1, 2, 3].map(|i| {
                s.from_array(core::array::from_fn(|lane| (i * 8 + lane as i32 + i32::from(self.0)) as f32 % 11.0 - 5.0))
            });
            // SAFETY: as many bytes and words as are read and written.
            unsafe {
                let table = s.table(bytes.as_ptr());
                let lower = s.look_up(table, s.nibbles::<false>(bytes.as_ptr()));
                let upper = s.look_up(table, s.nibbles::<true>(bytes.as_ptr()));
                s.add_to_words(words.as_mut_ptr(), s.add_bytes(lower, s.add_bytes(upper, s.no_bytes())));
                s.add_to_words(words.as_mut_ptr(), lower);
                let numbers = (0..4).map(|i| s.to_array(s.words_to_f32(words.as_ptr().add(i * 8), 40_000))).collect();
                let planes = [lower, upper, s.add_bytes(lower, upper), upper];
                let assembled = s.assemble(planes).map(|v| s.to_array(v).map(f32::to_bits)).to_vec();
                (words, numbers, s.fours(twos), assembled)
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_portable_bytes() {
        for seed in 0..=255 {
            let expected = Portable.vectorize(All(seed));
            if seed == 0 {
                // Lane 1 holds byte 37, of which the nibbles are 5 and 2: bytes 185 and 74 of the table.
                assert_eq!(expected.0[16], 16u16.wrapping_mul(2021) + (185 + 74) % 256 + 185);
                let lanes: Vec<u32> = expected.3.concat().iter().map(|b| b & 255).collect();
                // Lanes 0 to 3 and 16 to 19, the latter of bytes 80, 117, 154 and 191.
                let byte = |i: u32| (i % 16 * 37) & 255;
                assert_eq!(lanes[..8], [0, 37, 74, 111, 80, 117, 154, 191].map(byte));
            }
            #[allow(unused_macros)]
            macro_rules! compare {
                ($token:ty) => {
                    if let Some(s) = <$token>::detect() {
                        assert_eq!(s.vectorize(All(seed)), expected, "{}", <$token>::ISA);
                    }
                };
            }
            crate::each_token!(compare);
        }
    }
}
