//! One program with the memory for its results.

use super::{RunOptions, workers::Workers};
use crate::{
    Canceller, Error, ErrorKind, Options, Result, ViewMut,
    execute::{Bindings, Operands, execute},
    memory::Buffer,
    profile::Recorder,
    program::{Produced, Program},
};
use paring_core::Tensor;
use paring_plan::IoSlot;
use std::sync::Arc;

/// A program made ready to run.
pub(super) struct Stage {
    pub program: Arc<Program>,
    /// Memory of the plan's outputs, in its order.
    pub outputs: Vec<Buffer>,
    operands: Operands,
}

/// What running takes besides the memory.
pub(super) struct Runner<'a> {
    pub workers: &'a Workers,
    pub options: RunOptions<'a>,
    pub canceller: &'a Canceller,
    pub recorder: Option<&'a mut Recorder>,
}

impl Stage {
    /// Takes the memory for the outputs, unless that and the working memory together exceed the limit. Those that are
    /// `bound` to memory of the program's get theirs later.
    pub fn new(
        program: Arc<Program>,
        workers: &Workers,
        options: &Options,
        bound: impl Fn(&Produced) -> bool,
    ) -> Result<Stage> {
        let limit = options.limits.arena_bytes;
        let plan = &program.plan;
        let working = plan.memory().working_set(workers.count());
        let needed = plan.outputs.iter().fold(working, |sum, o| sum.saturating_add(o.len));
        if needed > limit {
            let message = format!("working memory and outputs need {needed} bytes, more than the limit of {limit}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        let own = |(produced, slot): (&Produced, &IoSlot)| match bound(produced) {
            true => Ok(Buffer::empty()),
            false => Buffer::zeroed(slot.len, options.allocator.as_ref()),
        };
        let outputs = program.produced.iter().zip(&plan.outputs).map(own).collect::<Result<_>>()?;
        let mut operands = Operands::default();
        operands.reserve(plan);
        Ok(Stage { program, outputs, operands })
    }

    /// Which output of the plan is output `k` of the model, where one is.
    pub fn position(&self, k: usize) -> Option<usize> {
        self.program.produced.iter().position(|p| *p == Produced::Output(k))
    }

    /// Bytes of working memory that running needs.
    pub fn working_bytes(&self, workers: &Workers) -> usize {
        self.program.plan.memory().working_set(workers.count())
    }

    /// Runs into the stage's own outputs.
    pub fn run(
        &mut self,
        runner: Runner<'_>,
        inputs: &mut dyn Iterator<Item = &[u8]>,
        working_set: &mut [u8],
    ) -> Result<()> {
        let outputs = &mut self.outputs.iter_mut().map(Buffer::as_mut_slice);
        go(&self.program, &mut self.operands, runner, Bindings { working_set, inputs, outputs })
    }

    /// Runs into memory of the caller's.
    pub fn run_on(
        &mut self,
        runner: Runner<'_>,
        inputs: &mut dyn Iterator<Item = &[u8]>,
        outputs: &mut [ViewMut<'_>],
        working_set: &mut [u8],
    ) -> Result<()> {
        let outputs = &mut outputs.iter_mut().map(|v| &mut *v.bytes);
        go(&self.program, &mut self.operands, runner, Bindings { working_set, inputs, outputs })
    }

    /// The outputs after a run, with what they are.
    pub fn results(&self) -> impl Iterator<Item = Result<(Produced, Tensor)>> {
        let slots = self.program.produced.iter().zip(&self.program.plan.outputs);
        slots
            .zip(&self.outputs)
            .map(|((&what, slot), bytes)| Ok((what, Tensor::from_bytes(slot.dtype, &slot.shape, bytes.as_slice())?)))
    }
}

fn go(program: &Program, operands: &mut Operands, runner: Runner<'_>, bindings: Bindings<'_, '_, '_>) -> Result<()> {
    let Runner { workers, options, canceller, recorder } = runner;
    workers.awake(options, |parallel| execute(&program.plan, bindings, operands, parallel, canceller, recorder))
}
