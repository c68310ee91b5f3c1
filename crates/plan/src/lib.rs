//! Lowering: which kernel runs each node in which layout, where every value lies in memory, and why.
//!
//! [`plan`] takes a graph whose shapes are numbers and a [`paring_kernel::Registry`], and returns an immutable
//! [`Plan`]. It works in five steps, one file each:
//!
//! 1. `lower`: nodes become problems with candidates; epilogue steps that no kernel fuses become nodes of their own.
//! 2. `assign`: one global choice of kernel and layout, on the reduced graph of `pbqp`.
//! 3. `emit`: the chosen kernels and the reorders between their layouts, in order.
//! 4. `place`: views instead of copies for concatenations, splits and slices; in-place steps; arena offsets.
//! 5. `pack`: weights in the form each kernel reads, shared between plans.
//!
//! Where that takes more memory than allowed, steps 1 to 4 are done again with what `thrift` leaves of the candidates.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod arena;
mod assign;
mod check;
mod emit;
mod error;
mod lower;
mod pack;
mod pbqp;
mod place;
mod plan;
mod quantised;
mod report;
mod rounded;
mod selection;
mod thrift;
mod tuning;
mod work;

pub use check::check;
pub use error::PlanError;
pub use pack::{PackCache, PackStore, PackedEntry};
pub use plan::{IoSlot, Location, Memory, Options, Plan, Slot, Step, plan};
pub use report::{CandidateReport, LayerReport, Verdict};
pub use selection::{Case, Selection, selections};
pub use tuning::Tuning;
pub use work::{Work, work};
