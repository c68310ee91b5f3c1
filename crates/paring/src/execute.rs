//! Runs the steps of a plan over memory that somebody else owns.

use crate::{Canceller, Error, ErrorKind, Result, error::at_node, profile::Recorder};
use paring_core::ALIGNMENT;
use paring_kernel::{Parallel, RawOperand, RunCx};
use paring_plan::{IoSlot, Location, Plan, Slot, Step};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Memory for one run of a plan. All lengths are checked before the first step.
pub(crate) struct Bindings<'m, 'i, 'o> {
    /// Arena and scratch together: [`paring_plan::Memory::working_set`] bytes, aligned to a cache line.
    pub working_set: &'m mut [u8],
    /// One for each input, of its very length.
    pub inputs: &'m mut dyn Iterator<Item = &'i [u8]>,
    /// One for each output, of its very length.
    pub outputs: &'m mut dyn Iterator<Item = &'o mut [u8]>,
}

/// Reused between runs, so that running allocates nothing.
#[derive(Default)]
pub(crate) struct Operands {
    inputs: Vec<Option<RawOperand>>,
    outputs: Vec<Option<RawOperand>>,
    caller_in: Vec<RawOperand>,
    caller_out: Vec<RawOperand>,
}

// SAFETY: the pointers are written and used within one call of `execute` only; between calls they are dead values.
unsafe impl Send for Operands {}

impl Operands {
    /// Room for every step of `plan`.
    pub fn reserve(&mut self, plan: &Plan) {
        let most = |f: &dyn Fn(&Step) -> usize| plan.steps.iter().map(f).max().unwrap_or(0);
        self.inputs.clear();
        self.outputs.clear();
        self.caller_in.clear();
        self.caller_out.clear();
        self.inputs.reserve(most(&|s| s.inputs.len()));
        self.outputs.reserve(most(&|s| s.outputs.len()));
        self.caller_in.reserve(plan.inputs.len());
        self.caller_out.reserve(plan.outputs.len());
    }
}

/// Runs every step in order.
pub(crate) fn execute(
    plan: &Plan,
    bindings: Bindings<'_, '_, '_>,
    operands: &mut Operands,
    parallel: &dyn Parallel,
    canceller: &Canceller,
    mut recorder: Option<&mut Recorder>,
) -> Result<()> {
    operands.caller_in.clear();
    operands.caller_in.extend(bindings.inputs.map(|b| RawOperand { ptr: b.as_ptr().cast_mut(), len: b.len() }));
    operands.caller_out.clear();
    operands.caller_out.extend(bindings.outputs.map(|b| RawOperand { ptr: b.as_mut_ptr(), len: b.len() }));
    check(plan, bindings.working_set, operands, parallel.workers())?;
    let memory = plan.memory();
    let base = bindings.working_set.as_mut_ptr();
    let Operands { inputs, outputs, caller_in, caller_out } = operands;
    let raw = |s: &Slot| -> RawOperand {
        let start = match s.location {
            Location::Arena => base,
            Location::Input(i) => caller_in[i].ptr,
            Location::Output(o) => caller_out[o].ptr,
            Location::Constant(c) => plan.constants[c].bytes().as_ptr().cast_mut(),
        };
        RawOperand { ptr: start.wrapping_add(s.offset), len: s.len }
    };
    let shared = RawOperand { ptr: base.wrapping_add(memory.arena), len: memory.shared_scratch };
    let own = RawOperand {
        ptr: base.wrapping_add(memory.arena + memory.shared_scratch),
        len: memory.worker_scratch * parallel.workers(),
    };
    if let Some(r) = &mut recorder {
        r.begin();
    }
    for (n, step) in plan.steps.iter().enumerate() {
        if canceller.is_requested() {
            return Err(Error::new(ErrorKind::Cancelled, format!("cancelled before '{}'", step.name)));
        }
        inputs.clear();
        inputs.extend(step.inputs.iter().map(|s| s.as_ref().map(raw)));
        outputs.clear();
        outputs.extend(step.outputs.iter().map(|s| s.as_ref().map(raw)));
        let start = recorder.is_some().then(std::time::Instant::now);
        // The step's own need, in whole cache lines, so that kernels see the sizes they asked for.
        let shared = RawOperand { len: step.shared_scratch.min(shared.len), ..shared };
        let each = step.worker_scratch.next_multiple_of(64).min(memory.worker_scratch);
        let own = RawOperand { len: each * parallel.workers(), ..own };
        // SAFETY: `check` proved that the memory is as long as the plan asks; the planner places outputs and scratch
        // apart from everything that is still needed (`paring_plan::check`), and callers' slices are unique or shared
        // as Rust has it. Everything is initialised: buffers are zeroed when made.
        let mut cx = unsafe { RunCx::new(inputs, outputs, step.in_place, shared, own, each, parallel) };
        match catch_unwind(AssertUnwindSafe(|| step.prepared.run(&mut cx))) {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return Err(at_node(&step.name, step.op, e)),
            Err(_) => {
                let message = format!("node '{}' ({}): kernel {} panicked", step.name, step.op, step.kernel);
                return Err(Error::new(ErrorKind::Internal, message).at(&step.name));
            }
        }
        if let (Some(r), Some(start)) = (recorder.as_deref_mut(), start) {
            r.add(n, start);
        }
    }
    if let Some(r) = recorder {
        r.end();
    }
    Ok(())
}

fn check(plan: &Plan, working_set: &[u8], given: &Operands, workers: usize) -> Result<()> {
    let needed = plan.memory().working_set(workers);
    if working_set.len() < needed {
        let found = working_set.len();
        return Err(Error::invalid(format!("the working memory needs {needed} bytes, but {found} were given")));
    }
    if !(working_set.as_ptr() as usize).is_multiple_of(ALIGNMENT) && needed > 0 {
        return Err(Error::invalid(format!("the working memory must start at a multiple of {ALIGNMENT} bytes")));
    }
    lengths("input", &plan.inputs, &given.caller_in)?;
    lengths("output", &plan.outputs, &given.caller_out)
}

fn lengths(what: &str, slots: &[IoSlot], given: &[RawOperand]) -> Result<()> {
    if slots.len() != given.len() {
        return Err(Error::invalid(format!("{} {what}s are needed, but {} were given", slots.len(), given.len())));
    }
    for (slot, raw) in slots.iter().zip(given) {
        if raw.len != slot.len {
            return Err(Error::invalid(format!(
                "{what} '{}' is {}{:?}, {} bytes, but {} bytes were given",
                slot.name, slot.dtype, slot.shape, slot.len, raw.len
            )));
        }
        let size = (slot.dtype.bits() / 8).max(1);
        if raw.len > 0 && !(raw.ptr as usize).is_multiple_of(size) {
            return Err(Error::invalid(format!("{what} '{}' must be aligned to {size} bytes", slot.name)));
        }
    }
    Ok(())
}
