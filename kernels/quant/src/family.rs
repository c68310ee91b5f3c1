//! Kernels before they are stamped for an instruction set.

use paring_kernel::{
    Cost, Isa, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject,
};
use paring_simd::Simd;
use paring_vector::support::bytes_moved;
use std::{marker::PhantomData, sync::Arc};

/// One kernel, whatever the instruction set.
pub trait Family: 'static {
    /// See [`Kernel::offers`].
    fn offers<S: Simd>(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject>;

    /// See [`Kernel::cost`].
    fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost;

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
        // Beside what its descriptor names.
        if !m.isa.has(S::ISA) {
            return Err(format!("needs {} as well", S::ISA).into());
        }
        if p.outputs
            .iter()
            .chain(p.inputs.first())
            .flatten()
            .any(|o| o.is_empty() || o.len() > isize::MAX as usize / 64)
        {
            return Err("an operand is empty or exceeds the address space".into());
        }
        F::offers::<S>(p, out)
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        F::cost::<S>(p, o, m)
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        F::pack(p, o)
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let s = S::detect().ok_or_else(|| KernelError::Problem(format!("this machine lacks {}", S::ISA)))?;
        F::prepare(s, p, o, packed)
    }
}

/// Multiply-adds of bytes in a nanosecond at best, where neighbouring products are added in sixteen bits.
pub fn pair_rate(m: &Machine) -> f64 {
    // Measured: `vpmaddubsw`, `vpmaddwd` and `vpaddd` for 32 of them take a little more than a cycle, in which there are
    // 16 of `f32`.
    1.9 * m.vector_gmacs
}

/// Multiply-adds of bytes in a nanosecond at best.
pub fn rate<S: Simd>(m: &Machine) -> f64 {
    match S::ISA {
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

/// Multiply-adds of words in a nanosecond at best.
pub fn word_rate<S: Simd>(m: &Machine) -> f64 {
    // Measured: `vpmaddwd` and `vpaddd` share ports.
    match S::ISA {
        Isa::Portable => m.gmacs.min(12.0),
        Isa::Neon | Isa::DotProd | Isa::I8mm => 0.9 * m.gmacs,
        _ => 1.5 * m.vector_gmacs,
    }
}

/// What moving the operands takes, where arithmetic takes `ns` with AVX2.
pub fn streaming<S: Simd>(p: &Problem, o: &Offer, m: &Machine, ns: f64) -> Cost {
    let bytes = bytes_moved(p, o);
    let slower = if S::ISA == Isa::Portable { 4.0 } else { 1.0 };
    Cost { ns: 300.0 + (bytes as f64 / m.bandwidth(bytes)).max(ns * slower), bytes: bytes as f64 }
}
