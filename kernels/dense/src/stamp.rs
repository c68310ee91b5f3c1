//! One static kernel per instruction set from one generic kernel.

/// Defines statics of a generic kernel `$kernel<S>` and their descriptors, one per instruction set.
macro_rules! stamp {
    ($kernel:ident, $avx2:ident = $avx2_name:literal, $portable:ident = $portable_name:literal, $summary:literal, $ops:expr) => {
        $crate::stamp::stamp! {
            $kernel, $avx2 = $avx2_name, $portable = $portable_name, $summary, $ops, Reassociated
        }
    };
    ($kernel:ident, $avx2:ident = $avx2_name:literal, $portable:ident = $portable_name:literal, $summary:literal, $ops:expr, $numerics:ident) => {
        #[doc = $summary]
        #[cfg(target_arch = "x86_64")]
        pub static $avx2: $kernel<paring_simd::Avx2> = $kernel::new(&paring_kernel::KernelDescriptor {
            name: $avx2_name,
            summary: $summary,
            ops: &$ops,
            isa: paring_kernel::Isa::Avx2,
            numerics: paring_kernel::NumericClass::$numerics,
        });
        #[doc = $summary]
        pub static $portable: $kernel<paring_simd::Portable> = $kernel::new(&paring_kernel::KernelDescriptor {
            name: $portable_name,
            summary: $summary,
            ops: &$ops,
            isa: paring_kernel::Isa::Portable,
            numerics: paring_kernel::NumericClass::$numerics,
        });
    };
}
pub(crate) use stamp;

/// A kernel type generic over an instruction set, with the constructor that [`stamp`] needs.
macro_rules! generic_kernel {
    ($(#[$doc:meta])* $kernel:ident) => {
        $(#[$doc])*
        pub struct $kernel<S> {
            descriptor: &'static paring_kernel::KernelDescriptor,
            _isa: core::marker::PhantomData<fn() -> S>,
        }

        impl<S> $kernel<S> {
            const fn new(descriptor: &'static paring_kernel::KernelDescriptor) -> Self {
                $kernel { descriptor, _isa: core::marker::PhantomData }
            }
        }
    };
}
pub(crate) use generic_kernel;

use paring_kernel::{Isa, KernelError, Machine, Problem};
use paring_simd::Simd;
use std::borrow::Cow;

/// The token of `S`, or an error where a plan was carried to another machine.
pub fn token<S: Simd>() -> Result<S, KernelError> {
    S::detect().ok_or_else(|| KernelError::Problem(format!("this machine has no {}", S::ISA)))
}

/// Multiply-adds per nanosecond at best with the instructions of `S`.
pub fn rate<S: Simd>(m: &Machine) -> f64 {
    match S::ISA {
        // No fused multiply-add, and two vectors of four for each of eight.
        Isa::Portable if cfg!(target_arch = "x86_64") => m.gmacs.min(15.0),
        _ => m.gmacs,
    }
}

/// The elements of the constant `f32` input `i`, not copied where they are aligned.
pub fn weights(p: &Problem, i: usize) -> Result<Cow<'_, [f32]>, KernelError> {
    let elements = p.constant(i).and_then(|t| t.elements::<f32>());
    elements.ok_or_else(|| KernelError::Problem(format!("input {i} is not constant f32")))
}
