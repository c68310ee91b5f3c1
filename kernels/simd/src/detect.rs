//! What this machine has.

#[allow(unused_imports)]
use crate::Simd;
use crate::each_token;
use paring_kernel::{Isa, IsaSet, Machine};

/// The instructions this machine has that kernels exist for.
pub fn detect() -> IsaSet {
    #[allow(unused_mut)]
    let mut isa = IsaSet::PORTABLE;
    #[allow(unused_macros)]
    macro_rules! ask {
        ($token:ty) => {
            if <$token>::detect().is_some() {
                isa = isa.with(<$token>::ISA);
            }
        };
    }
    each_token!(ask);
    #[cfg(target_arch = "x86_64")]
    if crate::amx::is_there() {
        isa = isa.with(Isa::Amx);
    }
    #[cfg(target_arch = "aarch64")]
    if crate::fp16::Fp16::detect().is_some() {
        isa = isa.with(Isa::Fp16);
    }
    isa
}

/// Those of `isa` that the system lets this process use: asks it for tiles where they are among them, which changes this process
/// for good.
pub fn permitted(isa: IsaSet) -> IsaSet {
    #[cfg(target_arch = "x86_64")]
    if isa.has(Isa::Amx) && crate::amx::Amx::detect().is_none() {
        return isa.without(Isa::Amx);
    }
    isa
}

/// This machine: detected instructions and cores, and the rates typical of such a machine.
pub fn machine() -> Machine {
    let mut m = Machine::generic(detect());
    m.cores = std::thread::available_parallelism().map_or(1, usize::from);
    if !m.isa.has(Isa::Avx2) && !m.isa.has(Isa::Neon) {
        (m.gmacs, m.vector_gmacs) = (6.0, 6.0);
    }
    if has_halved_registers() {
        m.gmacs = m.vector_gmacs;
    }
    m
}

/// Whether registers of 512 bits are computed with one half after the other, as Zen 4 does: AMD's processors say so
/// (CPUID function 0x8000001A, FP512).
#[cfg(target_arch = "x86_64")]
fn has_halved_registers() -> bool {
    use core::arch::x86_64::__cpuid;
    const WIDTHS: u32 = 0x8000_001a;
    const FP512: u32 = 1 << 3;
    let vendor = __cpuid(0);
    let amd = [vendor.ebx, vendor.edx, vendor.ecx].map(u32::to_le_bytes).as_flattened() == b"AuthenticAMD";
    amd && __cpuid(0x8000_0000).eax >= WIDTHS && __cpuid(WIDTHS).eax & FP512 == 0
}

/// Whether registers of 512 bits are computed with one half after the other: there are none.
#[cfg(not(target_arch = "x86_64"))]
fn has_halved_registers() -> bool {
    false
}

/// What distinguishes this machine from others for somebody who has measured times on it: the processor's own name and
/// the instructions that kernels exist for.
pub fn name() -> String {
    let isa: Vec<&str> = detect().iter().map(Isa::name).collect();
    format!("{} ({})", processor().unwrap_or_else(|| std::env::consts::ARCH.into()), isa.join(", "))
}

/// The processor's own name.
#[cfg(target_arch = "x86_64")]
fn processor() -> Option<String> {
    use core::arch::x86_64::__cpuid;
    const BRAND: core::ops::RangeInclusive<u32> = 0x8000_0002..=0x8000_0004;
    if __cpuid(0x8000_0000).eax < *BRAND.end() {
        return None;
    }
    let words = BRAND.map(__cpuid).flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx]);
    let bytes: Vec<u8> = words.flat_map(u32::to_le_bytes).take_while(|&b| b != 0).collect();
    let name = String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ");
    (!name.is_empty()).then_some(name)
}

/// The processor's own name: there is no way to ask here.
#[cfg(not(target_arch = "x86_64"))]
fn processor() -> Option<String> {
    None
}
