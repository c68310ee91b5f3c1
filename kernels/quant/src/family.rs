//! Kernels before they are stamped for an instruction set.

use paring_kernel::{
    Cost, Isa, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject,
};
use paring_simd::Simd;
use paring_vector::support::bytes_moved;
use std::{marker::PhantomData, sync::Arc};

/// What offers and estimates ask of an instruction set. A value: code that only plans is there once, not for every token.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub isa: Isa,
    /// [`paring_simd::Bytes::ANY_WEIGHTS`].
    pub any_weights: bool,
}

impl Target {
    /// That of a token.
    fn of<S: Simd>() -> Target {
        Target { isa: S::ISA, any_weights: S::ANY_WEIGHTS }
    }
}

/// One kernel, whatever the instruction set.
pub trait Family: 'static {
    /// See [`Kernel::offers`].
    fn offers(p: &Problem, target: Target, out: &mut Vec<Offer>) -> Result<(), Reject>;

    /// See [`Kernel::cost`].
    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost;

    /// See [`Kernel::pack`].
    fn pack(_p: &Problem, _o: &Offer) -> Result<Packed, KernelError> {
        Ok(Packed::none())
    }

    /// See [`Kernel::prepare`].
    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError>;
}

/// A family on an instruction set.
pub struct Entry<F, S> {
    /// Name and kind.
    pub descriptor: &'static KernelDescriptor,
    /// The two.
    pub kind: PhantomData<fn() -> (F, S)>,
}

impl<F: Family, S: Simd> Kernel for Entry<F, S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn reads_quantised(&self) -> bool {
        true
    }

    fn offers(&self, p: &Problem, m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        check(S::ISA, p, m)?;
        F::offers(p, Target::of::<S>(), out)
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        F::cost(p, o, Target::of::<S>(), m)
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        F::pack(p, o)
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let s = S::detect().ok_or_else(|| KernelError::Problem(format!("this machine lacks {}", S::ISA)))?;
        F::prepare(s, p, o, packed)
    }
}

/// Refuses what no family can serve with these instructions on this machine.
fn check(isa: Isa, p: &Problem, m: &Machine) -> Result<(), Reject> {
    // Beside what its descriptor names.
    if !m.isa.has(isa) {
        return Err(format!("needs {isa} as well").into());
    }
    let mut operands = p.outputs.iter().chain(p.inputs.first()).flatten();
    match operands.any(|o| o.is_empty() || o.len() > isize::MAX as usize / 64) {
        true => Err("an operand is empty or exceeds the address space".into()),
        false => Ok(()),
    }
}

/// Multiply-adds of bytes in a nanosecond at best, where neighbouring products are added in sixteen bits.
pub fn pair_rate(m: &Machine) -> f64 {
    // Measured: `vpmaddubsw`, `vpmaddwd` and `vpaddd` for 32 of them take a little more than a cycle, in which there are
    // 16 of `f32`.
    1.9 * m.vector_gmacs
}

/// Multiply-adds of bytes in a nanosecond at best.
pub fn rate(target: Target, m: &Machine) -> f64 {
    match target.isa {
        // Code multiplies one by one.
        Isa::Portable => m.gmacs.min(3.0),
        // As many `vpdpbusd` in a cycle as multiply-adds of `f32`, of four products each, less a tenth.
        Isa::AvxVnni => 3.6 * m.vector_gmacs,
        Isa::Avx512Vnni => 3.6 * m.gmacs,
        // By count of instructions, never measured: of four sums each, as many in a cycle as multiply-adds of `f32`.
        Isa::DotProd | Isa::I8mm => 3.6 * m.gmacs,
        Isa::Neon => 0.9 * m.gmacs,
        _ => pair_rate(m),
    }
}

/// Multiply-adds of bytes in a nanosecond at best, where an instruction multiplies matrices of them.
#[cfg(target_arch = "aarch64")]
pub fn matrix_rate(m: &Machine) -> f64 {
    // By count of instructions, never measured: as many in a cycle as multiply-adds of `f32`, of 32 products each, not four.
    7.2 * m.gmacs
}

/// Multiply-adds of words in a nanosecond at best.
pub fn word_rate(target: Target, m: &Machine) -> f64 {
    // Measured: `vpmaddwd` and `vpaddd` share ports.
    match target.isa {
        Isa::Portable => m.gmacs.min(12.0),
        Isa::Neon | Isa::DotProd | Isa::I8mm => 0.9 * m.gmacs,
        _ => 1.5 * m.vector_gmacs,
    }
}

/// What moving the operands takes, where arithmetic takes `ns` with AVX2.
pub fn streaming(p: &Problem, o: &Offer, target: Target, m: &Machine, ns: f64) -> Cost {
    let bytes = bytes_moved(p, o);
    let slower = if target.isa == Isa::Portable { 4.0 } else { 1.0 };
    Cost { ns: 300.0 + (bytes as f64 / m.bandwidth(bytes)).max(ns * slower), bytes: bytes as f64 }
}
