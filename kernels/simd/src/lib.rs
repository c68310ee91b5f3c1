//! Instruction-set tokens and the vector trait that kernels are written over.
//!
//! A kernel's arithmetic is written once, generic over [`Simd`], in the `call` of a [`Task`] (and in
//! `#[inline(always)]` functions below it). [`Simd::vectorize`] compiles that body with the instructions of the token
//! switched on, so that everything inlines into one function per instruction set. A token is proof that its
//! instructions exist: [`Simd::detect`] is the only safe way to one.
//!
//! Eight `f32` lanes everywhere: one AVX2 register, two SSE or NEON ones. Where registers hold sixteen, [`Simd::Pair`] has
//! two vectors in one: matrix products and sums of bytes use it, all else is bound by memory or by what eight lanes are shaped for.

pub mod act;
#[cfg(target_arch = "x86_64")]
pub mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod bytes;
mod detect;
#[cfg(target_arch = "x86_64")]
mod extend;
pub mod lookup;
pub mod math;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
mod several;
mod tokens;
#[cfg(target_arch = "x86_64")]
mod vnni;

#[cfg(target_arch = "x86_64")]
pub use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub use avx512::{Avx512, Avx512Pair};
pub use bytes::{Bytes, PairBytes};
pub use detect::{detect, machine, name, permitted};
pub use lookup::Lookup;
#[cfg(target_arch = "aarch64")]
pub use neon::{Neon, NeonDot, NeonI8mm, fp16, matrix};
/// What [`by_act!`] matches on.
pub use paring_core::op::Act;
pub use portable::Portable;
pub use several::Several;
#[cfg(target_arch = "x86_64")]
pub use vnni::{Avx512Vnni, AvxVnni};

/// Lanes of every [`Lanes::V`] of an instruction set, and so the channel block of blocked layouts.
pub const LANES: usize = 8;

/// A computation written over any instruction set.
pub trait Task {
    /// What it returns.
    type Output;

    /// The computation. Implementations are `#[inline(always)]`.
    fn call<S: Simd>(self, s: S) -> Self::Output;
}

/// Arithmetic on vectors of `f32`: all that elementary functions need.
pub trait Lanes: Copy {
    /// A vector.
    type V: Copy;

    /// All lanes `x`.
    fn splat(self, x: f32) -> Self::V;
    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`.
    fn div(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`, rounded once where the instructions can.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The smaller; `b` where either is NaN.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger; `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Square root.
    fn sqrt(self, a: Self::V) -> Self::V;
    /// Rounded to the nearest integer, halves to even.
    fn round(self, a: Self::V) -> Self::V;
    /// The magnitude.
    fn abs(self, a: Self::V) -> Self::V;
    /// All bits set where `a < b`, none elsewhere.
    fn less(self, a: Self::V, b: Self::V) -> Self::V;
    /// `yes` where the lane of `mask` has all bits set, `no` where none.
    fn select(self, mask: Self::V, yes: Self::V, no: Self::V) -> Self::V;
    /// The bits of every lane moved 23 places up, so that the lowest eight become an exponent, and the ninth a sign.
    fn to_exponent(self, v: Self::V) -> Self::V;
    /// The exponent of normal numbers: `floor(log2 |v|)`.
    fn exponent(self, v: Self::V) -> Self::V;
    /// Bitwise `a & b`.
    fn and(self, a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise `a | b`.
    fn or(self, a: Self::V, b: Self::V) -> Self::V;
    /// Bitwise `a ^ b`.
    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
}

/// Arithmetic on two vectors of `S` side by side.
pub trait Pair<S: Simd>: Lanes + PairBytes<S> {
    /// Sixteen elements.
    ///
    /// # Safety
    /// `p` must be valid for reads of sixteen `f32`; any alignment.
    unsafe fn load(self, p: *const f32) -> Self::V;

    /// All lanes `*p`.
    ///
    /// # Safety
    /// `p` must be valid for a read of one `f32`.
    unsafe fn broadcast(self, p: *const f32) -> Self::V;

    /// The first eight lanes, and the others.
    fn halves(self, v: Self::V) -> [S::V; 2];

    /// The vector of which these are the [halves](Pair::halves).
    fn join(self, halves: [S::V; 2]) -> Self::V;

    /// As [`Bytes::sums_to_f32`].
    fn sums_to_f32(self, sums: Self::I) -> Self::V;

    /// As [`Bytes::load_bytes`]: eight bytes at the first place, and eight at the second.
    ///
    /// # Safety
    /// Both must be valid for reads of eight bytes.
    unsafe fn load_bytes(self, from: [*const u8; 2], signed: bool) -> Self::V;

    /// Stores four vectors as [`Bytes::narrow`] makes bytes of them: the first eight lanes of all side by side at the first
    /// place, the others at the second.
    ///
    /// # Safety
    /// Both must be valid for writes of 32 bytes; any alignment.
    unsafe fn store_narrow(self, to: [*mut u8; 2], v: [Self::V; 4], how: bytes::Narrow);
}

/// Expands `$with!` with every function of [`Lanes`] from vectors to a vector, for tokens that hand all of them on.
macro_rules! operations {
    ($with:ident) => {
        $with! {
            add(a, b);
            sub(a, b);
            mul(a, b);
            div(a, b);
            mul_add(a, b, c);
            min(a, b);
            max(a, b);
            sqrt(a);
            round(a);
            abs(a);
            less(a, b);
            select(mask, yes, no);
            to_exponent(v);
            exponent(a);
            and(a, b);
            or(a, b);
            xor(a, b);
        }
    };
}
pub(crate) use operations;

/// A token of an instruction set, with vectors of eight `f32`.
///
/// All methods are `#[inline(always)]` and must be called, directly or through inlined functions, from a [`Task`].
pub trait Simd: Bytes + Lookup + Send + Sync + 'static {
    /// The instruction set, as the registry names it.
    const ISA: paring_kernel::Isa;

    /// Whether a [`Simd::Pair`] is one register, of which there are 32.
    const WIDE: bool = false;

    /// Whether code is to be small rather than fast: these instructions are the last resort of old processors, which have
    /// few registers, too.
    const SMALL: bool = false;

    /// Vectors of sixteen.
    type Pair: Pair<Self>;

    /// The token of [`Simd::Pair`].
    fn pair(self) -> Self::Pair;

    /// The token, where this machine has the instructions.
    fn detect() -> Option<Self>;

    /// Runs `task` compiled for these instructions.
    fn vectorize<T: Task>(self, task: T) -> T::Output;

    /// Eight elements.
    ///
    /// # Safety
    /// `p` must be valid for reads of eight `f32`; any alignment.
    unsafe fn load(self, p: *const f32) -> Self::V;

    /// Eight elements of half precision, as bits.
    ///
    /// # Safety
    /// `p` must be valid for reads of eight `u16`; any alignment.
    unsafe fn load_halves(self, p: *const u16) -> Self::V;

    /// Stores eight elements.
    ///
    /// # Safety
    /// `p` must be valid for writes of eight `f32`; any alignment.
    unsafe fn store(self, p: *mut f32, v: Self::V);

    /// Asks for the cache line at `p`, which may be anywhere, to be brought into the second-level cache.
    #[inline(always)]
    fn prefetch(self, p: *const f32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint that cannot fault; SSE is part of the architecture.
        unsafe {
            core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T1 }>(p.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = p;
    }

    /// Asks for the cache line at `p`, which may be anywhere, to be brought into the first-level cache.
    #[inline(always)]
    fn prefetch_near(self, p: *const f32) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: a hint that cannot fault; SSE is part of the architecture.
        unsafe {
            core::arch::x86_64::_mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(p.cast());
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = p;
    }

    /// All lanes `*p`.
    ///
    /// # Safety
    /// `p` must be valid for a read of one `f32`.
    #[inline(always)]
    unsafe fn broadcast(self, p: *const f32) -> Self::V {
        // SAFETY: the caller's promise.
        self.splat(unsafe { *p })
    }

    /// The lanes.
    fn to_array(self, v: Self::V) -> [f32; 8];
    /// A vector of these lanes.
    #[allow(clippy::wrong_self_convention)]
    fn from_array(self, a: [f32; 8]) -> Self::V;
    /// Sum of the lanes, always in the same order: `((0+4)+(2+6)) + ((1+5)+(3+7))`.
    #[inline(always)]
    fn sum(self, v: Self::V) -> f32 {
        let a = self.to_array(v);
        ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    }
    /// Transposes an 8 x 8 block: lane `j` of row `i` becomes lane `i` of row `j`.
    fn transpose(self, rows: [Self::V; 8]) -> [Self::V; 8];
}

#[cfg(test)]
mod math_tests;
#[cfg(test)]
mod noise;
#[cfg(test)]
mod tests;
