//! Bytes and the sums of their products.
//!
//! What AVX2 has for this (`vpmaddubsw`) adds two products of an unsigned and a signed byte in sixteen bits and saturates,
//! so weights are laid out, by whoever packs them, such that no two neighbours can exceed that (see [`fits`]). The sums
//! are then exact, and the same on every instruction set. Words of sixteen bits (`vpmaddwd`) have no such limits and take
//! a quarter more time. Neither has VNNI (`vpdpbusd`), which adds all four products in 32 bits: see
//! [`Bytes::ANY_WEIGHTS`].

use crate::Lanes;

/// Whether 255 times two neighbouring weights stays within sixteen bits, whatever the bytes they are multiplied by.
pub fn fits(a: i8, b: i8) -> bool {
    let (a, b) = (i32::from(a), i32::from(b));
    255 * (a.max(0) + b.max(0)) <= i32::from(i16::MAX) && 255 * (a.min(0) + b.min(0)) >= i32::from(i16::MIN)
}

/// What becomes of integers before they are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// Is added.
    pub zero: i16,
    /// Bounds afterwards, within the range of the bytes.
    pub lo: i16,
    /// See `lo`.
    pub hi: i16,
    /// Whether the bytes are signed.
    pub signed: bool,
}

/// Arithmetic on bytes.
pub trait Bytes: Lanes {
    /// Eight `i32`.
    type I: Copy;
    /// Four bytes, the same in all lanes.
    type Quad: Copy;
    /// Four bytes in each lane.
    type Fours: Copy;

    /// Whether [`Bytes::dot`] takes any weights, those that do not [fit](fits) too.
    const ANY_WEIGHTS: bool = false;

    /// Whether products are of bytes with signs; else of bytes without. What has other bytes turns their uppermost bits:
    /// they are then less, or more, by 128.
    const SIGNED: bool = false;

    /// Eight sums.
    ///
    /// # Safety
    /// `p` must be valid for reads of eight `i32`; any alignment.
    unsafe fn load_sums(self, p: *const i32) -> Self::I;

    /// Four bytes, with the uppermost bit of each turned where `TURNED`.
    ///
    /// # Safety
    /// `p` must be valid for reads of four bytes.
    unsafe fn quad<const TURNED: bool>(self, p: *const u8) -> Self::Quad;

    /// To each lane the sum of four products: of the bytes of `x`, which are [`Bytes::SIGNED`] or not, with the four
    /// signed ones of the lane at `w`.
    ///
    /// # Safety
    /// `w` must be valid for reads of 32 bytes. Sums are exact where the first two and the last two of each lane
    /// [fit](fits), or [`Bytes::ANY_WEIGHTS`].
    unsafe fn dot(self, sums: Self::I, x: Self::Quad, w: *const i8) -> Self::I;

    /// Four bytes for each lane, which lie eight lanes together, four times.
    ///
    /// # Safety
    /// `p` must be valid for reads of 32 bytes; any alignment.
    unsafe fn gather_fours(self, p: *const u8) -> Self::Fours;

    /// As [`Bytes::dot`], with the lane's own four bytes.
    ///
    /// # Safety
    /// As there.
    unsafe fn dot_fours(self, sums: Self::I, x: Self::Fours, w: *const i8) -> Self::I;

    /// To each lane the sum of two products: of the words that the four bytes of `x` are with the two of the lane at `w`.
    ///
    /// # Safety
    /// `w` must be valid for reads of 16 words; any alignment. No product may be 2^30 or more in size.
    unsafe fn dot_words(self, sums: Self::I, x: Self::Quad, w: *const i16) -> Self::I;

    /// Stores eight integers of sixteen bits, which the lanes must be.
    ///
    /// # Safety
    /// `p` must be valid for writes of eight words; any alignment.
    unsafe fn store_words(self, p: *mut i16, v: Self::V);

    /// Lane by lane, modulo 2^32.
    fn add_sums(self, a: Self::I, b: Self::I) -> Self::I;

    /// Lane by lane, modulo 2^32.
    fn sub_sums(self, a: Self::I, b: Self::I) -> Self::I;

    /// Stores eight sums.
    ///
    /// # Safety
    /// `p` must be valid for writes of eight `i32`; any alignment.
    unsafe fn store_sums(self, p: *mut i32, sums: Self::I);

    /// The sums as numbers, rounded to nearest.
    fn sums_to_f32(self, sums: Self::I) -> Self::V;

    /// Eight bytes as numbers, signed ones where `signed`.
    ///
    /// # Safety
    /// `p` must be valid for reads of eight bytes.
    unsafe fn load_bytes(self, p: *const u8, signed: bool) -> Self::V;

    /// Keeps the larger of each of 32 bytes at `to` and the one at `from`, as signed ones where `signed`.
    ///
    /// # Safety
    /// `from` must be valid for reads, and `to` for reads and writes, of 32 bytes; any alignment.
    unsafe fn keep_larger(self, to: *mut u8, from: *const u8, signed: bool);

    /// The lanes of two vectors rounded to the nearest integers, halves to even, moved, bounded, and as bytes. The lanes
    /// must be less than 2^31 in size.
    fn narrow(self, v: [Self::V; 2], how: Narrow) -> [u64; 2];

    /// Stores four vectors as [`Bytes::narrow`] makes bytes of them.
    ///
    /// # Safety
    /// `p` must be valid for writes of 32 bytes; any alignment.
    #[inline(always)]
    unsafe fn store_narrow(self, p: *mut u8, v: [Self::V; 4], how: Narrow) {
        let ([a, b], [c, d]) = (self.narrow([v[0], v[1]], how), self.narrow([v[2], v[3]], how));
        // SAFETY: the caller's promise.
        unsafe { p.cast::<[u64; 4]>().write_unaligned([a, b, c, d]) }
    }

    /// The lanes rounded to the nearest integers, halves to even, as bytes: signed ones where `signed`. They must lie
    /// within the range of these.
    fn to_bytes(self, v: Self::V, signed: bool) -> u64;
}

/// The sums of [`Bytes`] for two vectors side by side.
pub trait PairBytes<S: Bytes>: Copy {
    /// Sixteen `i32`.
    type I: Copy;
    /// Four bytes, the same in all lanes.
    type Quad: Copy;

    /// Sixteen sums.
    ///
    /// # Safety
    /// `p` must be valid for reads of sixteen `i32`; any alignment.
    unsafe fn load_sums(self, p: *const i32) -> Self::I;

    /// As [`Bytes::quad`].
    ///
    /// # Safety
    /// As there.
    unsafe fn quad<const TURNED: bool>(self, p: *const u8) -> Self::Quad;

    /// The same four bytes for one vector.
    fn half(self, x: Self::Quad) -> S::Quad;

    /// As [`Bytes::dot`], with 64 weights: those of the first vector, and of the second.
    ///
    /// # Safety
    /// As there.
    unsafe fn dot(self, sums: Self::I, x: Self::Quad, w: *const i8) -> Self::I;

    /// As [`Bytes::dot_words`], with 32 weights.
    ///
    /// # Safety
    /// As there.
    unsafe fn dot_words(self, sums: Self::I, x: Self::Quad, w: *const i16) -> Self::I;

    /// The first eight sums, and the others.
    fn sums(self, sums: Self::I) -> [S::I; 2];
}
