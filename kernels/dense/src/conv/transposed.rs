//! Transposed convolution as one plain convolution per phase of the output.

use super::direct;
use crate::stamp::generic_kernel;
use paring_kernel::{Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject};
use paring_simd::Simd;
use std::sync::Arc;

generic_kernel! {
    /// Transposed convolution on blocks of eight channels.
    TransposedConv
}

impl<S: Simd> Kernel for TransposedConv<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        direct::offers(p, out)
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        direct::cost::<S>(p, o, m)
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        direct::pack(p, o)
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        direct::prepare::<S>(p, o, packed)
    }
}
