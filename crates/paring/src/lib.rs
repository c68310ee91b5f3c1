//! Pares down a trained neural network and runs it fast on the CPU.
//!
//! ```no_run
//! # fn main() -> Result<(), paring::Error> {
//! # let pixels = vec![0f32; 3 * 224 * 224];
//! let model = paring::Model::open("net.onnx")?;
//! let mut session = model.session(&paring::Options::default())?;
//! session.input_mut::<f32>("image")?.copy_from_slice(&pixels);
//! session.run()?;
//! let scores = session.output::<f32>("scores")?;
//! # Ok(()) }
//! ```
//!
//! A [`Model`] is immutable and shared; a [`Session`] belongs to one thread at a time and owns the memory of its runs.
//! Running allocates nothing once the shapes have been seen. Results are the same bits for any number of threads.
#![warn(missing_docs)]

mod bind;
mod cancel;
mod clock;
mod cores;
mod error;
mod evaluate;
mod execute;
mod explain;
mod features;
mod file;
mod import;
mod io;
mod isolated;
mod loader;
mod log;
mod machine;
mod memory;
mod model;
mod operator;
mod options;
mod pool;
mod profile;
mod program;
mod rewrite;
mod session;
#[cfg(feature = "shared-pool")]
mod shared_pool;
mod stats;
mod team;
mod tune;

pub use cancel::Canceller;
pub use clock::has_clock;
pub use cores::default_threads;
pub use error::{Error, ErrorKind, Result};
pub use explain::{AppliedRow, Explanation, MemoryReport, Optimized, RemarkRow};
pub use features::FeatureUse;
pub use file::{MachineKind, Recipe, SaveOptions, Section, SectionKind, Written};
#[cfg(feature = "onnx")]
pub use import::read_tensor as read_onnx_tensor;
pub use io::{DimInfo, IoInfo, Port, View, ViewMut};
pub use isolated::Isolated;
pub use loader::Loader;
pub use log::{Level, Log};
pub use machine::{Calibration, Peaks};
pub use memory::{Allocator, Block};
pub use model::{Metadata, Model, builtin_registry};
pub use operator::Operator;
pub use options::{Limits, Options, Threads};
pub use paring_core::{ALIGNMENT, DType, Element, Layout, Tensor};
pub use paring_kernel as kernel;
pub use paring_kernel::{Isa, Numerics};
pub use paring_plan::{CandidateReport, Case, LayerReport, Selection, Tuning, Verdict};
pub use profile::{LayerTime, Profile, Span};
pub use session::{Memory, Run, RunOptions, Session};
#[cfg(feature = "shared-pool")]
pub use shared_pool::SharedPool;
pub use stats::{LayerStats, Stats};
pub use team::{Executor, Helper};
pub use tune::{TunedKernel, TunedLayer, machine_name};

/// The graph, for those who make networks in Rust.
pub mod graph {
    pub use paring_core::op;
    pub use paring_ir::{DType, Dim, Fact, Graph, GraphError, Node, NodeId, Op, Output, Tensor, TensorType, ValueId};
}
