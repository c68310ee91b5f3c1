//! What kernels share that are written once for every instruction set.

/// A kernel type generic over an instruction set, with the constructor that the table of kernels needs.
macro_rules! generic_kernel {
    ($(#[$doc:meta])* $kernel:ident) => {
        $(#[$doc])*
        pub struct $kernel<S> {
            descriptor: &'static paring_kernel::KernelDescriptor,
            _isa: core::marker::PhantomData<fn() -> S>,
        }

        impl<S> $kernel<S> {
            /// Described by `descriptor`.
            pub const fn new(descriptor: &'static paring_kernel::KernelDescriptor) -> Self {
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

/// Multiply-adds per nanosecond at best with these instructions.
pub fn rate(isa: Isa, m: &Machine) -> f64 {
    match isa {
        // Measured where their halves take turns: 3 % less than with vectors of eight.
        Isa::Avx512 => 0.97 * m.gmacs,
        // No fused multiply-add on x86-64, and small tiles of two vectors of four for each of eight.
        Isa::Portable if cfg!(any(target_arch = "x86_64", target_arch = "aarch64")) => m.gmacs.min(15.0),
        _ => m.vector_gmacs,
    }
}

/// Nanoseconds of a cycle: vectors of eight make sixteen multiply-adds in it at best.
pub fn cycle(isa: Isa, m: &Machine) -> f64 {
    16.0 / rate(isa, m).min(m.vector_gmacs)
}

/// The elements of the constant `f32` input `i`, not copied where they are aligned.
pub fn weights(p: &Problem, i: usize) -> Result<Cow<'_, [f32]>, KernelError> {
    let elements = p.constant(i).and_then(|t| t.elements::<f32>());
    elements.ok_or_else(|| KernelError::Problem(format!("input {i} is not constant f32")))
}
