//! What this machine has.

use paring_kernel::{Isa, IsaSet, Machine};

/// The instructions this machine has that kernels exist for.
pub fn detect() -> IsaSet {
    #[allow(unused_mut)]
    let mut isa = IsaSet::PORTABLE;
    #[cfg(target_arch = "x86_64")]
    {
        use crate::Simd;
        if crate::Avx2::detect().is_some() {
            isa = isa.with(Isa::Avx2);
        }
    }
    #[cfg(target_arch = "aarch64")]
    {
        isa = isa.with(Isa::Neon);
    }
    isa
}

/// This machine: detected instructions and cores, and the rates typical of such a machine.
pub fn machine() -> Machine {
    let mut m = Machine::generic(detect());
    m.cores = std::thread::available_parallelism().map_or(1, usize::from);
    if !m.isa.has(Isa::Avx2) && !m.isa.has(Isa::Neon) {
        m.gmacs = 6.0;
    }
    m
}
