//! The traits every kernel implements.

use crate::{Cost, Isa, KernelError, Machine, NumericClass, Offer, Problem, Reject, RunCx};
use alloc::{boxed::Box, sync::Arc, vec::Vec};
use paring_core::{AlignedBuf, SharedBytes};

/// What tables and options show of a kernel.
#[derive(Clone, Debug)]
pub struct KernelDescriptor {
    /// Unique name: algorithm, type and instruction set, such as `conv_direct_f32_avx2`.
    pub name: &'static str,
    /// One sentence: the algorithm and its source.
    pub summary: &'static str,
    /// Names of the operators it serves (see [`paring_core::Op::name`]).
    pub ops: &'static [&'static str],
    /// The instructions it needs.
    pub isa: Isa,
    /// The widest deviation of any of its offers.
    pub numerics: NumericClass,
}

/// Weights in the form a kernel reads them.
#[derive(Debug)]
pub struct Packed {
    /// The bytes, aligned to a cache line.
    pub data: SharedBytes,
}

impl From<AlignedBuf> for Packed {
    fn from(data: AlignedBuf) -> Packed {
        Packed { data: data.into() }
    }
}

impl Packed {
    /// Nothing packed.
    pub fn none() -> Packed {
        AlignedBuf::zeroed(0).expect("an empty buffer needs no memory").into()
    }

    /// The bytes as elements.
    ///
    /// # Panics
    /// Where the length is not a multiple of the element's size.
    pub fn elements<T: bytemuck::Pod>(&self) -> &[T] {
        bytemuck::cast_slice(self.data.as_slice())
    }
}

/// One algorithm for one family of operators on one instruction set.
pub trait Kernel: Send + Sync {
    /// Name and kind.
    fn descriptor(&self) -> &'static KernelDescriptor;

    /// Whether it is to be shown problems of quantised operands, too (see [`Problem::is_quantised`]). Who is fuses the
    /// whole epilogue.
    fn reads_quantised(&self) -> bool {
        false
    }

    /// Whether it is shown problems whose epilogue ends in [`EpiOp::MaxPool`](paring_core::op::EpiOp::MaxPool), and
    /// fuses all steps of those that it makes offers for. Their output is smaller than what the operator computes (see
    /// [`Problem::unpooled`]), which other kernels need not know.
    fn pools(&self) -> bool {
        false
    }

    /// Adds every way in which this kernel could run `p`. The registry has already checked the instruction set, the
    /// operator, and whether the kernel pools and reads quantised operands where the problem does.
    ///
    /// # Errors
    /// [`Reject`] with the reason, in words that a user can act on, where there is none.
    fn offers(&self, p: &Problem, m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject>;

    /// What an offer would take.
    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost;

    /// Brings constant operands into the form that [`Prepared::run`] reads. Depends only on the constants and on
    /// [`Offer::packed_format`], so that the result can be shared between plans and sessions.
    ///
    /// # Errors
    /// [`KernelError`] where memory is short or a constant is not what the operator needs.
    fn pack(&self, _p: &Problem, _o: &Offer) -> Result<Packed, KernelError> {
        Ok(Packed::none())
    }

    /// Everything that can be settled before running.
    ///
    /// # Errors
    /// [`KernelError`] where an attribute or constant is not what the operator needs.
    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError>;
}

/// A kernel bound to one problem.
pub trait Prepared: Send + Sync {
    /// Computes the outputs. Neither allocates nor blocks, and writes zeros into the padding lanes of blocked outputs.
    ///
    /// # Errors
    /// [`KernelError::Data`] where the elements of an input are outside what the operator allows.
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError>;
}
