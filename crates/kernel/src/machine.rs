//! The machine a plan is made for.

use core::fmt;

/// One instruction-set feature that kernels ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Isa {
    /// No particular instructions: what the compiler's target guarantees.
    Portable = 0,
    /// x86-64 AVX2, FMA and F16C.
    Avx2 = 1,
    /// x86-64 AVX-512 F, BW, DQ, VL.
    Avx512 = 2,
    /// 256-bit integer dot products.
    AvxVnni = 3,
    /// 512-bit integer dot products.
    Avx512Vnni = 4,
    /// AArch64 Advanced SIMD.
    Neon = 5,
    /// AArch64 8-bit dot products.
    DotProd = 6,
    /// AArch64 8-bit matrix products.
    I8mm = 7,
    /// AArch64 half-precision arithmetic.
    Fp16 = 8,
    /// WebAssembly 128-bit SIMD.
    Simd128 = 9,
    /// x86-64 AMX: products of tiles of bytes and of `bf16`, beside [`Isa::Avx512Vnni`].
    Amx = 10,
}

impl Isa {
    /// Every feature.
    pub const ALL: [Isa; 11] = [
        Isa::Portable,
        Isa::Avx2,
        Isa::Avx512,
        Isa::AvxVnni,
        Isa::Avx512Vnni,
        Isa::Amx,
        Isa::Neon,
        Isa::DotProd,
        Isa::I8mm,
        Isa::Fp16,
        Isa::Simd128,
    ];

    /// The name used by options and tables, such as `avx2`.
    pub const fn name(self) -> &'static str {
        match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
            Isa::AvxVnni => "avxvnni",
            Isa::Avx512Vnni => "avx512vnni",
            Isa::Neon => "neon",
            Isa::DotProd => "dotprod",
            Isa::I8mm => "i8mm",
            Isa::Fp16 => "fp16",
            Isa::Simd128 => "simd128",
            Isa::Amx => "amx",
        }
    }

    /// The feature of that [`name`](Isa::name).
    pub fn from_name(name: &str) -> Option<Isa> {
        Isa::ALL.into_iter().find(|i| i.name() == name)
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A set of features. Always contains [`Isa::Portable`].
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct IsaSet(u32);

impl IsaSet {
    /// Nothing but [`Isa::Portable`].
    pub const PORTABLE: IsaSet = IsaSet(1);

    /// This set and `isa`.
    #[must_use]
    pub const fn with(self, isa: Isa) -> IsaSet {
        IsaSet(self.0 | 1 << isa as u8)
    }

    /// This set without `isa` (the portable one stays).
    #[must_use]
    pub const fn without(self, isa: Isa) -> IsaSet {
        IsaSet(self.0 & !(1 << isa as u8) | 1)
    }

    /// The features in both sets.
    #[must_use]
    pub const fn intersect(self, other: IsaSet) -> IsaSet {
        IsaSet(self.0 & other.0 | 1)
    }

    /// Whether `isa` is in the set.
    pub const fn has(self, isa: Isa) -> bool {
        self.0 & (1 << isa as u8) != 0
    }

    /// The features in the set.
    pub fn iter(self) -> impl Iterator<Item = Isa> {
        Isa::ALL.into_iter().filter(move |&i| self.has(i))
    }
}

impl fmt::Debug for IsaSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// What cost models need to know about the machine. Rates are per core.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Usable instructions: what was detected, less what an option masks.
    pub isa: IsaSet,
    /// Cores that a plan may count on.
    pub cores: usize,
    /// Bytes of first-level data cache.
    pub l1: usize,
    /// Bytes of second-level cache.
    pub l2: usize,
    /// Bytes of the last level that one core can count on.
    pub l3: usize,
    /// Multiply-adds of `f32` per nanosecond at best, with the widest of `isa`.
    pub gmacs: f64,
    /// The same with vectors of eight numbers: half as many where registers of sixteen are computed with at once.
    pub vector_gmacs: f64,
    /// Bytes per nanosecond read from the second-level cache.
    pub l2_bandwidth: f64,
    /// Bytes per nanosecond read from the last-level cache.
    pub l3_bandwidth: f64,
    /// Bytes per nanosecond read from memory.
    pub memory_bandwidth: f64,
}

impl Machine {
    /// A machine with these instructions and middling caches and rates, for tests and for lack of better knowledge.
    pub fn generic(isa: IsaSet) -> Machine {
        let gmacs = if isa.has(Isa::Avx512) {
            96.0
        } else if isa.has(Isa::Avx2) {
            49.0
        } else if isa.has(Isa::Neon) {
            24.0
        } else {
            8.0
        };
        Machine {
            isa,
            cores: 1,
            l1: 32 << 10,
            l2: 512 << 10,
            l3: 8 << 20,
            gmacs,
            vector_gmacs: if isa.has(Isa::Avx512) { 0.5 * gmacs } else { gmacs },
            l2_bandwidth: 80.0,
            l3_bandwidth: 45.0,
            memory_bandwidth: 16.0,
        }
    }

    /// This machine without the instructions that are not in `isa`.
    #[must_use]
    pub fn limited_to(self, isa: IsaSet) -> Machine {
        let isa = self.isa.intersect(isa);
        let gmacs = if isa == self.isa || isa.has(Isa::Avx512) {
            self.gmacs
        } else if isa.has(Isa::Avx2) || isa.has(Isa::Neon) {
            self.vector_gmacs
        } else {
            Machine::generic(isa).gmacs
        };
        Machine { isa, gmacs, vector_gmacs: self.vector_gmacs.min(gmacs), ..self }
    }

    /// Nanoseconds to read `bytes` of weights `times` times: first from memory, as a network's other layers drove them out
    /// of the caches since its last run, then from the cache they fit in.
    pub fn weights(&self, bytes: usize, times: usize) -> f64 {
        let bytes_read = bytes as f64;
        bytes_read / self.memory_bandwidth + bytes_read * times.saturating_sub(1) as f64 / self.bandwidth(bytes)
    }

    /// Bytes per nanosecond when `bytes` are read again and again: the bandwidth of the cache they fit in.
    pub fn bandwidth(&self, bytes: usize) -> f64 {
        if bytes <= self.l2 / 2 {
            self.l2_bandwidth
        } else if bytes <= self.l3 {
            self.l3_bandwidth
        } else {
            self.memory_bandwidth
        }
    }
}
