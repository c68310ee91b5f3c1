//! The plan and its parts.

use crate::{LayerReport, PackCache, PlanError, Tuning, assign, emit, lower, pack, place, thrift};
use paring_core::{DType, Layout, Tensor, gibibytes};
use paring_ir::{Graph, ValueId};
use paring_kernel::{Machine, Numerics, Prepared, Registry};
use std::sync::Arc;

/// What bounds and steers planning.
#[derive(Clone, Debug)]
pub struct Options {
    /// How far results may stray.
    pub numerics: Numerics,
    /// Bytes that arena and scratch of one worker may take together; exceeding it is an error.
    pub arena_limit: usize,
    /// Bytes that packed weights and working memory together may take: dear packed forms, and the speed they bring,
    /// are given up for it.
    pub max_memory: Option<usize>,
    /// Values that stay readable after a run, besides the outputs.
    pub keep: Vec<ValueId>,
    /// Measured times, which take the place of estimates.
    pub tuning: Option<Arc<Tuning>>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            numerics: Numerics::Default,
            arena_limit: gibibytes(8),
            max_memory: None,
            keep: Vec::new(),
            tuning: None,
        }
    }
}

/// Where the bytes of a value lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Location {
    /// In the arena.
    Arena,
    /// In the caller's memory of that input.
    Input(usize),
    /// In the caller's memory of that output.
    Output(usize),
    /// In that constant of the plan.
    Constant(usize),
}

/// A piece of memory with the form of what lies there.
#[derive(Clone, Debug, PartialEq)]
pub struct Slot {
    /// Which memory.
    pub location: Location,
    /// First byte within it.
    pub offset: usize,
    /// Length in bytes.
    pub len: usize,
    /// Element type.
    pub dtype: DType,
    /// Logical dimensions.
    pub shape: Vec<usize>,
    /// Physical layout.
    pub layout: Layout,
    /// The outermost value in which it lies (for [`crate::check`]).
    pub root: u32,
    /// Its first byte within that.
    pub root_offset: usize,
}

/// One kernel invocation.
pub struct Step {
    /// The node it comes from.
    pub name: String,
    /// The operator's name.
    pub op: &'static str,
    /// The kernel's name.
    pub kernel: &'static str,
    /// The bound kernel.
    pub prepared: Arc<dyn Prepared>,
    /// Inputs; `None` for those that are absent or were packed.
    pub inputs: Vec<Option<Slot>>,
    /// Outputs.
    pub outputs: Vec<Option<Slot>>,
    /// The input whose memory output 0 took over.
    pub in_place: Option<usize>,
    /// Bytes of scratch for each worker.
    pub worker_scratch: usize,
    /// Bytes of scratch shared by the workers.
    pub shared_scratch: usize,
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes of its operands.
    pub bytes: u64,
    /// Estimated nanoseconds on one core.
    pub cost_ns: f64,
}

/// An input or output of the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct IoSlot {
    /// The value in the graph that was planned.
    pub value: ValueId,
    /// The caller's name for it.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Bytes, in plain layout.
    pub len: usize,
}

/// Bytes that running takes, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// Values between the nodes.
    pub arena: usize,
    /// The most bytes of such values that are needed at once: no arrangement of them takes less.
    pub arena_bound: usize,
    /// Scratch shared by the workers.
    pub shared_scratch: usize,
    /// Scratch of each worker.
    pub worker_scratch: usize,
    /// Packed weights.
    pub packed: usize,
    /// Constants that are read as they are while running.
    pub constants: usize,
}

impl Memory {
    /// Bytes of one block that holds arena and scratch for `workers`.
    pub fn working_set(&self, workers: usize) -> usize {
        self.arena.saturating_add(self.shared_scratch).saturating_add(self.worker_scratch.saturating_mul(workers))
    }
}

/// A graph lowered for one machine and one set of shapes. Immutable; sessions share it.
pub struct Plan {
    /// What runs, in order.
    pub steps: Vec<Step>,
    /// Inputs, in the order of the graph.
    pub inputs: Vec<IoSlot>,
    /// Outputs, in the order of the graph.
    pub outputs: Vec<IoSlot>,
    /// Constants that steps read while running, aligned to their elements.
    pub constants: Vec<Tensor>,
    /// Values that stay readable after a run.
    pub kept: Vec<(String, Slot)>,
    /// What was decided for each node, and why.
    pub layers: Vec<LayerReport>,
    memory: Memory,
}

impl Plan {
    /// Bytes that running takes, exactly.
    pub fn memory(&self) -> Memory {
        self.memory
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plan").field("steps", &self.steps.len()).field("memory", &self.memory).finish()
    }
}

/// Lowers `graph`, whose shapes must all be numbers. Packed weights take at most 50 MiB more than the weights in `f32`, where there are
/// kernels for that. Where the cheapest kernels together take more than
/// [`Options::max_memory`], those whose packed weights are much larger than the weights are given up, the dearest forms
/// first.
///
/// # Errors
/// [`PlanError`], with the node.
pub fn plan(
    graph: &Graph,
    registry: &Registry,
    machine: &Machine,
    cache: &PackCache,
    options: &Options,
) -> Result<Plan, PlanError> {
    let mut least = usize::MAX;
    for growth in PACKED_GROWTH {
        let mut lowered = lower::lower(graph, registry, machine, options)?;
        thrift::give_up(&mut lowered, growth);
        let mut choice = assign::assign(&lowered, registry, machine)?;
        thrift::bound_growth(&mut lowered, &mut choice);
        let emitted = emit::emit(&mut lowered, &choice, registry, machine)?;
        let placed = place::place(emitted);
        let needed = thrift::needed(&placed);
        if options.max_memory.is_none_or(|limit| needed <= limit) {
            return pack::finish(lowered, placed, cache, options);
        }
        least = least.min(needed);
    }
    let what = "packed weights and the memory between the layers".into();
    Err(PlanError::Limit { what, needed: least, limit: options.max_memory.unwrap_or(usize::MAX) })
}

/// How many times the bytes of its weights a kernel may pack: without bound, and what is tried where that does not fit.
const PACKED_GROWTH: [f64; 4] = [f64::INFINITY, 3.0, 1.5, 0.0];

impl Plan {
    pub(crate) fn assemble(
        steps: Vec<Step>,
        io: (Vec<IoSlot>, Vec<IoSlot>),
        constants: Vec<Tensor>,
        kept: Vec<(String, Slot)>,
        layers: Vec<LayerReport>,
        memory: Memory,
    ) -> Plan {
        Plan { steps, inputs: io.0, outputs: io.1, constants, kept, layers, memory }
    }
}
