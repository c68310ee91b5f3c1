//! What there is to read from a session: outputs, values between the layers, memory, times.

use super::{Session, check_type, stage::Stage};
use crate::{Element, Error, ErrorKind, Port, Profile, Result, Span};
use paring_core::{
    Layout, Tensor,
    signs::{PER_BYTE, unpack},
};
use paring_plan::Slot;

/// Bytes that a session takes, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Values between the layers.
    pub arena_bytes: usize,
    /// The most bytes of such values that are needed at once: no arrangement of them takes less.
    pub arena_bound_bytes: usize,
    /// Scratch of the kernels, for all workers.
    pub scratch_bytes: usize,
    /// Inputs and outputs.
    pub io_bytes: usize,
    /// Weights in the form the kernels read, shared between sessions of the model.
    pub packed_bytes: usize,
    /// Constants that are read as they are.
    pub constant_bytes: usize,
    /// All constants of the model as it was opened, whether or not anything reads them. Those of a mapped file stay in
    /// the file, and take memory that the system may have back at any time.
    pub model_bytes: usize,
}

impl Session {
    /// The stage in use and which of its outputs is output `k` of the model, where it is one.
    fn produced_at(&self, k: usize) -> Option<(&Stage, usize)> {
        let stage = self.stage.as_ref()?;
        Some((stage, stage.position(k)?))
    }

    fn finished(&self, k: usize) -> Result<()> {
        if self.ran {
            return Ok(());
        }
        let name = &self.model.outputs()[k].name;
        Err(Error::invalid(format!("output '{name}' is not there yet: call run first")))
    }

    /// The elements of an output after the last run.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the port does not exist, `T` is not its type, or nothing has run.
    pub fn output<'p, T: Element>(&self, port: impl Into<Port<'p>>) -> Result<&[T]> {
        let k = port.into().find(self.model.outputs(), "output")?;
        let bytes = self.output_bytes(k)?;
        let info = &self.model.outputs()[k];
        check_type::<T>(&info.name, info.dtype)?;
        bytemuck::try_cast_slice(bytes).map_err(|_| Error::new(ErrorKind::Internal, "a result is misaligned"))
    }

    /// The bytes of an output of any type after the last run.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the port does not exist or nothing has run.
    pub fn output_bytes<'p>(&self, port: impl Into<Port<'p>>) -> Result<&[u8]> {
        let k = port.into().find(self.model.outputs(), "output")?;
        self.finished(k)?;
        match (self.produced_at(k), &self.late[k]) {
            (Some((stage, i)), _) => Ok(stage.outputs[i].as_slice()),
            (None, Some(t)) => Ok(t.bytes()),
            (None, None) => Err(Error::new(ErrorKind::Internal, "an output was not computed")),
        }
    }

    /// The shape of an output: of the last run where it depends on data, else of the current inputs.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the port does not exist or the shape is not known before running.
    pub fn output_shape<'p>(&self, port: impl Into<Port<'p>>) -> Result<&[usize]> {
        let k = port.into().find(self.model.outputs(), "output")?;
        match (self.produced_at(k), self.late.get(k)) {
            (Some((stage, i)), _) => Ok(&stage.program.plan.outputs[i].shape),
            (None, Some(Some(t))) => Ok(t.shape()),
            _ => self.finished(k).map(|()| &[][..]),
        }
    }

    /// A copy of an output after the last run.
    ///
    /// # Errors
    /// As for [`Session::output`].
    pub fn output_tensor<'p>(&self, port: impl Into<Port<'p>>) -> Result<Tensor> {
        let k = port.into().find(self.model.outputs(), "output")?;
        self.finished(k)?;
        match self.produced_at(k) {
            Some((stage, i)) => {
                let slot = &stage.program.plan.outputs[i];
                Ok(Tensor::from_bytes(slot.dtype, &slot.shape, stage.outputs[i].as_slice())?)
            }
            None => self.late[k].clone().ok_or_else(|| Error::new(ErrorKind::Internal, "an output was not computed")),
        }
    }

    /// Bytes this session takes, exactly; zero before shapes are known.
    pub fn memory(&self) -> Memory {
        let Some(plan) = self.plan() else { return Memory::default() };
        let m = plan.memory();
        let io = plan.inputs.iter().chain(&plan.outputs).map(|s| s.len).sum();
        Memory {
            arena_bytes: m.arena,
            arena_bound_bytes: m.arena_bound,
            scratch_bytes: m.working_set(self.workers.count()) - m.arena,
            io_bytes: io,
            packed_bytes: m.packed,
            constant_bytes: m.constants,
            model_bytes: self.model.0.graph.stats().weight_bytes as usize,
        }
    }

    /// Bytes of working memory that [`Session::run_on`] needs.
    pub fn working_bytes(&self) -> usize {
        let m = self.memory();
        m.arena_bytes + m.scratch_bytes
    }

    /// Times of the layers, where [`crate::Options::profile`] is on.
    pub fn profile(&self) -> Option<Profile> {
        let plan = self.plan()?;
        self.options.profile.then(|| self.recorder.profile(plan))
    }

    /// When each layer of [`Session::profile`] ran, in the last run that came to its end. Empty where
    /// [`crate::Options::profile`] is off or nothing has run since the times were forgotten.
    pub fn spans(&self) -> &[Span] {
        self.recorder.spans()
    }

    /// Forgets the times so far.
    pub fn reset_profile(&mut self) {
        if let Some(stage) = &self.stage {
            self.recorder.reset(stage.program.plan.steps.len());
        }
    }

    /// The plan in use, for inspection.
    pub fn plan(&self) -> Option<&paring_plan::Plan> {
        self.stage.as_ref().map(|s| &*s.program.plan)
    }

    /// Names of the values that [`Session::intermediate`] can read, in order; see [`crate::Options::keep_intermediates`].
    pub fn intermediate_names(&self) -> Vec<String> {
        let Some(plan) = self.plan() else { return Vec::new() };
        plan.kept.iter().map(|(n, _)| n.clone()).collect()
    }

    /// A value between the layers after the last run, in logical order.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the name is unknown or nothing has run.
    pub fn intermediate(&self, name: &str) -> Result<Tensor> {
        let missing = || Error::invalid(format!("there is no intermediate value '{name}'"));
        let stage = self.stage.as_ref().filter(|_| self.ran).ok_or_else(missing)?;
        let (_, slot) = stage.program.plan.kept.iter().find(|(n, _)| n == name).ok_or_else(missing)?;
        let memory = match slot.location {
            paring_plan::Location::Arena => self.working_set.as_slice(),
            paring_plan::Location::Input(i) => self.inputs[i].buffer.as_slice(),
            paring_plan::Location::Output(o) => stage.outputs[o].as_slice(),
            paring_plan::Location::Constant(c) => stage.program.plan.constants[c].bytes(),
        };
        let bytes = memory.get(slot.offset..slot.offset + slot.len).ok_or_else(missing)?;
        Ok(Tensor::from_bytes(slot.dtype, &slot.shape, &logical(slot, bytes))?)
    }
}

/// The elements of a slot in row-major logical order.
fn logical(slot: &Slot, bytes: &[u8]) -> Vec<u8> {
    let block = match slot.layout {
        Layout::Plain => return bytes.to_vec(),
        Layout::Blocked(block) => block as usize,
        Layout::Signs => return signs(slot, bytes),
    };
    let size = slot.dtype.bits() / 8;
    let (n, c) = (slot.shape[0], slot.shape[1]);
    let inner: usize = slot.shape[2..].iter().product();
    let padded = c.next_multiple_of(block);
    let mut out = Vec::with_capacity(n * c * inner * size);
    for i in 0..n {
        for ch in 0..c {
            for x in 0..inner {
                let at = ((i * padded / block + ch / block) * inner + x) * block + ch % block;
                out.extend_from_slice(&bytes[at * size..(at + 1) * size]);
            }
        }
    }
    out
}

/// As [`logical`], of packed signs.
fn signs(slot: &Slot, bytes: &[u8]) -> Vec<u8> {
    let (c, inner) = (slot.shape[1], slot.shape[2..].iter().product::<usize>());
    let row = 2 * c.div_ceil(8);
    let mut out = Vec::with_capacity(slot.shape[0] * c * inner);
    for sample in bytes.chunks_exact((row * inner).max(1)) {
        for ch in 0..c {
            let of = |pixel: &[u8]| unpack(pixel[ch / PER_BYTE])[ch % PER_BYTE] as u8;
            out.extend(sample.chunks_exact(row).map(of));
        }
    }
    out
}
