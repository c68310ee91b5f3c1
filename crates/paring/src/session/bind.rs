//! Memory of the program's in place of the session's own.

use super::{Session, stage::Stage};
use crate::{Block, Error, ErrorKind, Port, Result, memory::Buffer, program::Produced};
use paring_core::ALIGNMENT;

impl Session {
    /// Has results of an output written into `block` from now on, which the session keeps: also those of other shapes,
    /// as long as they fit. All input shapes must be set before.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the port does not exist, or the block is too short or not aligned to the
    /// element; [`ErrorKind::Unsupported`] where the shape of the output depends on data. Then nothing changes.
    pub fn bind_output<'p>(&mut self, port: impl Into<Port<'p>>, block: Box<dyn Block>) -> Result<()> {
        let k = port.into().find(self.model.outputs(), "output")?;
        if !self.is_prepared() {
            // What was bound before may be what does not fit.
            let before: Vec<_> = self.bound.extract_if(.., |(at, _)| *at == k).collect();
            if let Err(e) = self.prepare() {
                self.bound.extend(before);
                return Err(e);
            }
        }
        let Some(stage) = &mut self.stage else {
            return Err(Error::new(ErrorKind::Internal, "a session without a stage"));
        };
        let mut buffer = Buffer::bound(block);
        let (i, len) = fitting(stage, k, &buffer)?;
        buffer.set_len(len);
        stage.outputs[i] = buffer;
        self.ran = false;
        Ok(())
    }

    /// Runs on `block` as working memory from now on, which the session keeps. It takes
    /// [`Session::working_bytes`] bytes, and more where later shapes need more.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the block is too short for the shapes as they are, or does not start at a
    /// multiple of [`ALIGNMENT`] bytes. Then nothing changes.
    pub fn bind_working(&mut self, block: Box<dyn Block>) -> Result<()> {
        let before = std::mem::replace(&mut self.working_set, Buffer::bound(block));
        let result = self.check_working();
        if result.is_err() {
            self.working_set = before;
        }
        self.ran &= result.is_err();
        result
    }

    fn check_working(&mut self) -> Result<()> {
        if !self.is_prepared() && self.inputs.iter().all(|i| i.shape.is_some()) {
            return self.prepare();
        }
        let needed = self.working_bytes();
        self.working_set.check(needed, ALIGNMENT, &"the working memory")
    }

    /// Forgets stage and results, but not what the program has bound.
    pub(super) fn leave_stage(&mut self) {
        self.ran = false;
        let Some(stage) = self.stage.take() else { return };
        for (produced, buffer) in stage.program.produced.iter().zip(stage.outputs) {
            if let (Produced::Output(k), true) = (produced, buffer.bound) {
                self.bound.push((*k, buffer));
            }
        }
    }

    /// Sees to it that there is enough working memory.
    pub(super) fn provide_working(&mut self, needed: usize) -> Result<()> {
        if self.working_set.bound {
            return self.working_set.check(needed, ALIGNMENT, &"the working memory that was bound");
        }
        if self.working_set.len() < needed {
            self.working_set = Buffer::zeroed(needed, self.options.allocator.as_ref())?;
        }
        Ok(())
    }

    /// Gives a new stage the memory that the program has bound to its outputs.
    pub(super) fn place_bound(&mut self, stage: &mut Stage) -> Result<()> {
        for (k, buffer) in &self.bound {
            fitting(stage, *k, buffer)?;
        }
        for (k, mut buffer) in self.bound.drain(..) {
            let (i, len) = fitting(stage, k, &buffer)?;
            buffer.set_len(len);
            stage.outputs[i] = buffer;
        }
        Ok(())
    }
}

/// Which output of the plan is output `k` of the model, and its length, which must fit into `buffer`.
fn fitting(stage: &Stage, k: usize, buffer: &Buffer) -> Result<(usize, usize)> {
    let i = stage.position(k).ok_or_else(|| {
        Error::new(ErrorKind::Unsupported, "the shape of the output depends on the data: it cannot be bound")
    })?;
    let slot = &stage.program.plan.outputs[i];
    let what = format_args!("the memory bound to output '{}' {:?}", slot.name, slot.shape);
    buffer.check(slot.len, slot.dtype.bits() / 8, &what)?;
    Ok((i, slot.len))
}
