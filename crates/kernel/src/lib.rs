//! The seam between the planner and the kernels of Paring.
//!
//! A [`Kernel`] is one algorithm for one family of operators on one instruction set. The planner shows it a
//! [`Problem`] (one node with concrete shapes); it answers with [`Offer`]s or with a [`Reject`] that says why not. The
//! planner compares [`Cost`]s over the whole graph, then has the chosen kernel [`pack`](Kernel::pack) its weights and
//! [`prepare`](Kernel::prepare) an object whose [`run`](Prepared::run) neither allocates nor looks anything up.
//!
//! A kernel never sees a graph, and the planner never names a kernel.
#![no_std]
#![warn(missing_docs)]
extern crate alloc;

mod error;
mod kernel;
mod machine;
mod offer;
mod parallel;
mod problem;
mod registry;
mod run;

pub use error::KernelError;
pub use kernel::{Kernel, KernelDescriptor, Packed, Prepared};
pub use machine::{Isa, IsaSet, Machine};
pub use offer::{Cost, NumericClass, Offer, Reject, Scratch};
pub use parallel::{Parallel, Serial};
pub use problem::{Numerics, Operand, Problem};
pub use registry::{Registry, count, joined};
pub use run::{RawOperand, RunCx, SharedMut, WorkerScratch};
