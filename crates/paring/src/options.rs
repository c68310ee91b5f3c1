//! What a caller may choose.

#[cfg(feature = "shared-pool")]
use crate::SharedPool;
use crate::{Allocator, Executor, Log, default_threads};
use paring_core::gibibytes;
use paring_kernel::{Isa, Numerics};
use std::sync::Arc;

/// How a session runs. The default is right for most: all fast cores, all instructions, optimised.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Who computes.
    pub threads: Threads,
    /// How far results may stray from the order of operations in the model.
    pub numerics: Numerics,
    /// Instructions that may be used, of those the machine has; `None` for all.
    pub isa: Option<Vec<Isa>>,
    /// Whether to fuse, merge and fold. Off for comparing against the model as it is written.
    pub optimize: bool,
    /// Stop after this many rewrites, to find a bad one by bisection.
    pub opt_stop_at: Option<usize>,
    /// Kernels that may be used, by name; `None` for all.
    pub kernels: Option<Vec<String>>,
    /// Kernels that may not be used, by name.
    pub exclude_kernels: Vec<String>,
    /// Bytes that packed weights and working memory of one thread may take together. Forms of the weights that are fast
    /// but large are given up for it; what needs more even so is refused with [`crate::ErrorKind::Limit`]. With or without,
    /// packed weights take at most 50 MiB more than those of the model in `f32`, where there are kernels for that.
    pub max_memory: Option<usize>,
    /// Measured times of kernels, which take the place of estimates (see [`crate::Model::tune`]).
    pub tuning: Option<Arc<paring_plan::Tuning>>,
    /// What was measured of this machine, for estimates to reckon with instead of the rates of a typical one.
    pub calibration: Option<crate::Calibration>,
    /// Keep every value between the layers readable after a run (see [`crate::Session::intermediate`]). Costs memory.
    pub keep_intermediates: bool,
    /// How many sets of input shapes keep their plan ready.
    pub plan_cache: usize,
    /// Measure each layer (see [`crate::Session::profile`]). Takes a [clock](crate::has_clock).
    pub profile: bool,
    /// What a model may not exceed.
    pub limits: Limits,
    /// Where a session takes inputs, outputs and working memory from; `None` for the allocator of the program. Packed
    /// weights, plans and whatever else models and sessions share come from the latter.
    pub allocator: Option<Arc<dyn Allocator>>,
    /// Somebody who listens while a model is planned.
    pub log: Option<Log>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            threads: Threads::default(),
            numerics: Numerics::Default,
            isa: None,
            optimize: true,
            opt_stop_at: None,
            kernels: None,
            exclude_kernels: Vec::new(),
            max_memory: None,
            tuning: None,
            calibration: None,
            keep_intermediates: false,
            plan_cache: 8,
            profile: false,
            limits: Limits::default(),
            allocator: None,
            log: None,
        }
    }
}

impl Options {
    /// These options with so many threads, the calling one included.
    #[must_use]
    pub fn with_threads(mut self, threads: usize) -> Options {
        self.threads = if threads <= 1 { Threads::Single } else { Threads::Pool(threads) };
        self
    }

    /// These options at this level of numerics.
    #[must_use]
    pub fn with_numerics(mut self, numerics: Numerics) -> Options {
        self.numerics = numerics;
        self
    }

    /// These options with optimisation on or off.
    #[must_use]
    pub fn with_optimize(mut self, optimize: bool) -> Options {
        self.optimize = optimize;
        self
    }

    /// These options with only these instructions.
    #[must_use]
    pub fn with_isa(mut self, isa: &[Isa]) -> Options {
        self.isa = Some(isa.to_vec());
        self
    }

    /// These options with layers measured.
    #[must_use]
    pub fn with_profile(mut self, profile: bool) -> Options {
        self.profile = profile;
        self
    }
}

/// Who computes a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Threads {
    /// The calling thread alone.
    Single,
    /// Threads of the session's own, so many with the calling one. The others sleep between runs. Where the platform has
    /// none, such as WebAssembly, making a session fails with [`crate::ErrorKind::Unsupported`].
    Pool(usize),
    /// The calling thread and a rayon pool that sessions share.
    #[cfg(feature = "shared-pool")]
    Shared(SharedPool),
    /// The calling thread and threads that the program has already.
    Caller(Arc<dyn Executor>),
}

impl Default for Threads {
    /// A pool of [`default_threads`], which is the calling thread alone where the platform has no others.
    fn default() -> Threads {
        match default_threads() {
            1 => Threads::Single,
            n => Threads::Pool(n),
        }
    }
}

/// What a model may not exceed. The defaults are far above honest models and far below a machine's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a model file.
    pub model_bytes: usize,
    /// Nodes.
    pub nodes: usize,
    /// Bytes of one input, or of what one layer computes.
    pub tensor_bytes: usize,
    /// Bytes of working memory and outputs of a session.
    pub arena_bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { model_bytes: gibibytes(8), nodes: 100_000, tensor_bytes: gibibytes(4), arena_bytes: gibibytes(8) }
    }
}
