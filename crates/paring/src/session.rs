//! Sessions: the memory and the threads of one user of a model.

use crate::{
    DType, Element, Error, ErrorKind, IoInfo, Model, Options, Port, Profile, Result, Threads, View, ViewMut,
    bind::Key,
    execute::{Bindings, Operands, execute},
    model,
    pool::{Pool, Rayon},
    profile::Recorder,
    program::{Produced, Program, Tools},
};
use paring_core::{AlignedBuf, Layout, Tensor, numel};
use paring_kernel::{Machine, Parallel, Registry, Serial};
use paring_plan::Slot;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Runs a model. Belongs to one thread at a time, owns inputs, outputs and working memory.
pub struct Session {
    model: Model,
    options: Options,
    machine: Machine,
    registry: Registry,
    workers: Workers,
    inputs: Vec<Input>,
    key: Key,
    program: Option<Arc<Program>>,
    working_set: AlignedBuf,
    /// Memory of the plan's outputs, in its order.
    produced: Vec<AlignedBuf>,
    /// Results of stages after the first, by output of the graph.
    late: Vec<Option<Tensor>>,
    operands: Operands,
    recorder: Recorder,
    cancel: Arc<AtomicBool>,
    ran: bool,
}

struct Input {
    shape: Option<Vec<usize>>,
    buffer: AlignedBuf,
    /// Its elements decide shapes, and may have changed since the key was made.
    decides: bool,
}

enum Workers {
    Single(Serial),
    Own(Pool),
    Shared(Rayon),
}

impl Workers {
    fn new(threads: &Threads) -> Result<Workers> {
        Ok(match threads {
            Threads::Single | Threads::Pool(0 | 1) => Workers::Single(Serial),
            Threads::Pool(n) => {
                Workers::Own(Pool::new(*n).map_err(|e| Error::new(ErrorKind::Memory, format!("{n} threads: {e}")))?)
            }
            Threads::Shared(pool) => Workers::Shared(Rayon(pool.0.clone())),
        })
    }

    fn parallel(&self) -> &dyn Parallel {
        match self {
            Workers::Single(s) => s,
            Workers::Own(p) => p,
            Workers::Shared(r) => r,
        }
    }

    /// Does `f` with workers awake.
    fn awake<T>(&self, f: impl FnOnce(&dyn Parallel) -> T) -> T {
        if let Workers::Own(p) = self {
            p.begin();
        }
        let result = f(self.parallel());
        if let Workers::Own(p) = self {
            p.end();
        }
        result
    }
}

/// Bytes that a session takes, exactly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Values between the layers.
    pub arena_bytes: usize,
    /// Scratch of the kernels, for all workers.
    pub scratch_bytes: usize,
    /// Inputs and outputs.
    pub io_bytes: usize,
    /// Weights in the form the kernels read, shared between sessions of the model.
    pub packed_bytes: usize,
    /// Constants that are read as they are.
    pub constant_bytes: usize,
}

/// Cancels runs of one session from any thread.
#[derive(Clone, Debug)]
pub struct Canceller(Arc<AtomicBool>);

impl Canceller {
    /// Makes the current run, or the next one, end with [`ErrorKind::Cancelled`] before its next layer.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Session {
    pub(crate) fn new(model: Model, options: &Options) -> Result<Session> {
        let inputs = model
            .inputs()
            .iter()
            .zip(&model.0.shape_inputs)
            .map(|(info, &decides)| Input { shape: info.known_shape(), buffer: empty(), decides })
            .collect();
        let mut session = Session {
            machine: model::machine(options),
            registry: model.0.registry(options),
            workers: Workers::new(&options.threads)?,
            options: options.clone(),
            inputs,
            key: Key::default(),
            program: None,
            working_set: empty(),
            produced: Vec::new(),
            late: Vec::new(),
            operands: Operands::default(),
            recorder: Recorder::default(),
            cancel: Arc::default(),
            ran: false,
            model,
        };
        for i in 0..session.inputs.len() {
            if let Some(shape) = session.inputs[i].shape.clone() {
                session.allocate_input(i, &shape)?;
            }
        }
        if session.inputs.iter().all(|i| i.shape.is_some() && !i.decides) {
            session.prepare()?;
        }
        Ok(session)
    }

    /// The inputs, in the order of the file.
    pub fn inputs(&self) -> &[IoInfo] {
        self.model.inputs()
    }

    /// The outputs, in the order of the file.
    pub fn outputs(&self) -> &[IoInfo] {
        self.model.outputs()
    }

    fn allocate_input(&mut self, i: usize, shape: &[usize]) -> Result<()> {
        let info = &self.model.inputs()[i];
        let too_large = || Error::invalid(format!("input '{}': the shape {shape:?} is too large", info.name));
        let bytes = numel(shape).ok().and_then(|n| info.dtype.bytes(n)).ok_or_else(too_large)?;
        if bytes > self.options.limits.tensor_bytes {
            return Err(Error::new(
                ErrorKind::Limit,
                format!(
                    "input '{}' has {bytes} bytes, more than the limit of {}",
                    info.name, self.options.limits.tensor_bytes
                ),
            ));
        }
        let input = &mut self.inputs[i];
        if input.buffer.as_slice().len() != bytes {
            input.buffer = AlignedBuf::zeroed(bytes)?;
        }
        if input.shape.as_deref() != Some(shape) {
            input.shape = Some(shape.to_vec());
            self.program = None;
        }
        Ok(())
    }

    /// Gives an input another shape. The next run finds or makes the plan for it.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the model does not allow the shape.
    pub fn resize<'p>(&mut self, port: impl Into<Port<'p>>, shape: &[usize]) -> Result<()> {
        let i = port.into().find(self.model.inputs(), "input")?;
        let graph = &self.model.0.graph;
        crate::bind::check_shape(graph, graph.inputs()[i], shape, &mut Default::default())?;
        self.allocate_input(i, shape)
    }

    /// Copies a tensor, shape and elements, into an input.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where type or shape do not fit.
    pub fn set_input<'p>(&mut self, port: impl Into<Port<'p>>, tensor: &Tensor) -> Result<()> {
        let i = port.into().find(self.model.inputs(), "input")?;
        let info = &self.model.inputs()[i];
        if info.dtype != tensor.dtype() {
            return Err(Error::invalid(format!(
                "input '{}' is {}, but a tensor of {} was given",
                info.name,
                info.dtype,
                tensor.dtype()
            )));
        }
        self.resize(i, tensor.shape())?;
        self.inputs[i].buffer.as_mut_slice().copy_from_slice(tensor.bytes());
        Ok(())
    }

    /// The elements of an input, to write. It must have a shape: the model's own or one by [`Session::resize`].
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the port does not exist, `T` is not its type, or it has no shape yet.
    pub fn input_mut<'p, T: Element>(&mut self, port: impl Into<Port<'p>>) -> Result<&mut [T]> {
        let i = port.into().find(self.model.inputs(), "input")?;
        let info = &self.model.inputs()[i];
        check_type::<T>(&info.name, info.dtype)?;
        if self.inputs[i].shape.is_none() {
            let name = &info.name;
            return Err(Error::invalid(format!("input '{name}' has no shape yet: call resize or set_input first")));
        }
        Ok(bytemuck::cast_slice_mut(self.inputs[i].buffer.as_mut_slice()))
    }

    /// The key of the inputs as they are now.
    fn current_key(&self) -> Result<Key> {
        let mut key = Vec::with_capacity(self.inputs.len());
        for (input, info) in self.inputs.iter().zip(self.model.inputs()) {
            let shape = input.shape.clone().ok_or_else(|| {
                Error::invalid(format!("input '{}' has no shape yet: call resize or set_input first", info.name))
            })?;
            let elements = (input.decides && Key::is_small(&shape)).then(|| input.buffer.as_slice().to_vec());
            key.push((shape, elements));
        }
        Ok(Key(key))
    }

    /// Makes everything ready for the inputs as they are now. [`Session::run`] does this by itself; calling it before
    /// keeps the first run quick.
    ///
    /// # Errors
    /// As for [`Model::session`].
    pub fn prepare(&mut self) -> Result<()> {
        let key = self.current_key()?;
        if self.program.is_some() && self.key == key {
            return Ok(());
        }
        let program = self.model.0.program(&self.options, &self.machine, &self.registry, &key)?;
        let plan = program.plan.clone();
        let memory = plan.memory();
        let needed = memory.working_set(self.workers.parallel().workers());
        if needed > self.options.limits.arena_bytes {
            let limit = self.options.limits.arena_bytes;
            let message = format!("the working memory needs {needed} bytes, more than the limit of {limit}");
            return Err(Error::new(ErrorKind::Limit, message));
        }
        if self.working_set.as_slice().len() < needed {
            self.working_set = AlignedBuf::zeroed(needed)?;
        }
        self.produced.clear();
        for o in &plan.outputs {
            self.produced.push(AlignedBuf::zeroed(o.len)?);
        }
        self.late = vec![None; self.model.outputs().len()];
        self.operands.reserve(&plan);
        self.recorder.reset(plan.steps.len());
        self.program = Some(program);
        self.key = key;
        self.ran = false;
        Ok(())
    }

    /// Whether the program at hand still fits the inputs; allocates nothing.
    fn is_prepared(&self) -> bool {
        self.program.is_some()
            && self.inputs.iter().zip(&self.key.0).all(|(i, (shape, elements))| {
                i.shape.as_ref() == Some(shape) && elements.as_ref().is_none_or(|e| e.as_slice() == i.buffer.as_slice())
            })
    }

    /// Computes the outputs from the inputs. Allocates nothing once the shapes have been seen and where no shape
    /// depends on data.
    ///
    /// # Errors
    /// As for [`Model::session`] where shapes are new; [`ErrorKind::Data`] where the elements of an input are not what
    /// an operator allows; [`ErrorKind::Cancelled`].
    pub fn run(&mut self) -> Result<()> {
        if !self.is_prepared() {
            self.prepare()?;
        }
        let result = self.run_prepared();
        self.cancel.store(false, Ordering::Relaxed);
        self.ran = result.is_ok();
        result
    }

    fn run_prepared(&mut self) -> Result<()> {
        let Some(program) = self.program.clone() else {
            return Err(Error::new(ErrorKind::Internal, "run without a program"));
        };
        let bindings = Bindings {
            working_set: self.working_set.as_mut_slice(),
            inputs: &mut self.inputs.iter().map(|i| i.buffer.as_slice()),
            outputs: &mut self.produced.iter_mut().map(AlignedBuf::as_mut_slice),
        };
        let (operands, cancel) = (&mut self.operands, &self.cancel);
        let recorder = self.options.profile.then_some(&mut self.recorder);
        self.workers.awake(|p| execute(&program.plan, bindings, operands, p, cancel, recorder))?;
        self.recorder.runs += 1;
        if program.rest.is_some() {
            self.run_rest(&program)?;
        }
        Ok(())
    }

    /// Stages after the first: shapes that depend on data are known now.
    fn run_rest(&mut self, program: &Program) -> Result<()> {
        let Some(mut graph) = program.rest.clone() else { return Ok(()) };
        let tensor = |slot: &paring_plan::IoSlot, bytes: &AlignedBuf| {
            Tensor::from_bytes(slot.dtype, &slot.shape, bytes.as_slice())
        };
        let mut known = Vec::new();
        for ((what, slot), bytes) in program.produced.iter().zip(&program.plan.outputs).zip(&self.produced) {
            if let Produced::Value(v) = *what {
                known.push((v, tensor(slot, bytes)?));
            }
        }
        let tools = Tools {
            registry: &self.registry,
            machine: &self.machine,
            packs: &self.model.0.packs,
            options: &self.options,
        };
        loop {
            graph = tools.advance(graph, std::mem::take(&mut known))?;
            let stage = tools.program(graph)?;
            let plan = &stage.plan;
            let mut working_set = AlignedBuf::zeroed(plan.memory().working_set(self.workers.parallel().workers()))?;
            let mut buffers = Vec::new();
            for o in &plan.outputs {
                buffers.push(AlignedBuf::zeroed(o.len)?);
            }
            let bindings = Bindings {
                working_set: working_set.as_mut_slice(),
                inputs: &mut self.inputs.iter().map(|i| i.buffer.as_slice()),
                outputs: &mut buffers.iter_mut().map(AlignedBuf::as_mut_slice),
            };
            let mut operands = Operands::default();
            let cancel = &self.cancel;
            self.workers.awake(|p| execute(plan, bindings, &mut operands, p, cancel, None))?;
            for ((what, slot), bytes) in stage.produced.iter().zip(&plan.outputs).zip(&buffers) {
                match *what {
                    Produced::Output(k) => self.late[k] = Some(tensor(slot, bytes)?),
                    Produced::Value(v) => known.push((v, tensor(slot, bytes)?)),
                }
            }
            match stage.rest {
                None => return Ok(()),
                Some(rest) => graph = rest,
            }
        }
    }

    /// Runs once on memory of the caller's: inputs and outputs in the model's order, and, where given, the working
    /// memory ([`Session::working_bytes`] at least, aligned to 64 bytes). All shapes must be set before.
    ///
    /// # Errors
    /// As for [`Session::run`]; [`ErrorKind::Invalid`] where a length, type or alignment is wrong;
    /// [`ErrorKind::Unsupported`] where an output's shape depends on data.
    pub fn run_on(
        &mut self,
        inputs: &[View<'_>],
        outputs: &mut [ViewMut<'_>],
        working: Option<&mut [u8]>,
    ) -> Result<()> {
        if !self.is_prepared() {
            self.prepare()?;
        }
        let Some(program) = self.program.clone() else {
            return Err(Error::new(ErrorKind::Internal, "run without a program"));
        };
        if program.rest.is_some() {
            let message = "the shape of an output depends on the data: use run and output instead";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        check_types("input", self.model.inputs(), &mut inputs.iter().map(|v| v.dtype))?;
        check_types("output", self.model.outputs(), &mut outputs.iter().map(|v| v.dtype))?;
        let own = self.working_set.as_mut_slice();
        let bindings = Bindings {
            working_set: working.unwrap_or(own),
            inputs: &mut inputs.iter().map(|v| v.bytes),
            outputs: &mut outputs.iter_mut().map(|v| &mut *v.bytes),
        };
        let (operands, cancel) = (&mut self.operands, &self.cancel);
        let recorder = self.options.profile.then_some(&mut self.recorder);
        let result = self.workers.awake(|p| execute(&program.plan, bindings, operands, p, cancel, recorder));
        self.cancel.store(false, Ordering::Relaxed);
        result
    }

    fn produced_at(&self, k: usize) -> Option<usize> {
        self.program.as_ref()?.produced.iter().position(|p| *p == Produced::Output(k))
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
        self.finished(k)?;
        let name = &self.model.outputs()[k].name;
        match (self.produced_at(k), &self.program) {
            (Some(i), Some(program)) => {
                check_type::<T>(name, program.plan.outputs[i].dtype)?;
                Ok(bytemuck::cast_slice(self.produced[i].as_slice()))
            }
            _ => match &self.late[k] {
                Some(t) => {
                    check_type::<T>(name, t.dtype())?;
                    bytemuck::try_cast_slice(t.bytes())
                        .map_err(|_| Error::new(ErrorKind::Internal, "a result is misaligned"))
                }
                None => Err(Error::new(ErrorKind::Internal, format!("output '{name}' was not computed"))),
            },
        }
    }

    /// The shape of an output: of the last run where it depends on data, else of the current inputs.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the port does not exist or the shape is not known before running.
    pub fn output_shape<'p>(&self, port: impl Into<Port<'p>>) -> Result<&[usize]> {
        let k = port.into().find(self.model.outputs(), "output")?;
        match (self.produced_at(k), &self.program, self.late.get(k)) {
            (Some(i), Some(program), _) => Ok(&program.plan.outputs[i].shape),
            (_, _, Some(Some(t))) => Ok(t.shape()),
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
        match (self.produced_at(k), &self.program) {
            (Some(i), Some(program)) => {
                let slot = &program.plan.outputs[i];
                Ok(Tensor::from_bytes(slot.dtype, &slot.shape, self.produced[i].as_slice())?)
            }
            _ => self.late[k].clone().ok_or_else(|| Error::new(ErrorKind::Internal, "an output was not computed")),
        }
    }

    /// Sets these inputs, runs, and returns all outputs by name.
    ///
    /// # Errors
    /// As for [`Session::set_input`] and [`Session::run`].
    pub fn run_with(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        for (name, tensor) in inputs {
            self.set_input(*name, tensor)?;
        }
        self.run()?;
        let names: Vec<String> = self.model.outputs().iter().map(|o| o.name.clone()).collect();
        names.into_iter().enumerate().map(|(k, n)| Ok((n, self.output_tensor(k)?))).collect()
    }

    /// Bytes this session takes, exactly; zero before shapes are known.
    pub fn memory(&self) -> Memory {
        let Some(program) = &self.program else { return Memory::default() };
        let m = program.plan.memory();
        let io = program.plan.inputs.iter().chain(&program.plan.outputs).map(|s| s.len).sum();
        Memory {
            arena_bytes: m.arena,
            scratch_bytes: m.working_set(self.workers.parallel().workers()) - m.arena,
            io_bytes: io,
            packed_bytes: m.packed,
            constant_bytes: m.constants,
        }
    }

    /// Bytes of working memory that [`Session::run_on`] needs.
    pub fn working_bytes(&self) -> usize {
        let m = self.memory();
        m.arena_bytes + m.scratch_bytes
    }

    /// Times of the layers, where [`Options::profile`] is on.
    pub fn profile(&self) -> Option<Profile> {
        let program = self.program.as_ref()?;
        self.options.profile.then(|| self.recorder.profile(&program.plan))
    }

    /// Forgets the times so far.
    pub fn reset_profile(&mut self) {
        if let Some(p) = &self.program {
            self.recorder.reset(p.plan.steps.len());
        }
    }

    /// Something that can cancel runs of this session from another thread.
    pub fn canceller(&self) -> Canceller {
        Canceller(self.cancel.clone())
    }

    /// The plan in use, for inspection.
    pub fn plan(&self) -> Option<&paring_plan::Plan> {
        self.program.as_ref().map(|p| &*p.plan)
    }

    /// Names of the values that [`Session::intermediate`] can read, in order; see [`Options::keep_intermediates`].
    pub fn intermediate_names(&self) -> Vec<String> {
        let Some(p) = &self.program else { return Vec::new() };
        p.plan.kept.iter().map(|(n, _)| n.clone()).collect()
    }

    /// A value between the layers after the last run, in logical order.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the name is unknown or nothing has run.
    pub fn intermediate(&self, name: &str) -> Result<Tensor> {
        let missing = || Error::invalid(format!("there is no intermediate value '{name}'"));
        let program = self.program.as_ref().filter(|_| self.ran).ok_or_else(missing)?;
        let (_, slot) = program.plan.kept.iter().find(|(n, _)| n == name).ok_or_else(missing)?;
        let memory = match slot.location {
            paring_plan::Location::Arena => self.working_set.as_slice(),
            paring_plan::Location::Input(i) => self.inputs[i].buffer.as_slice(),
            paring_plan::Location::Output(o) => self.produced[o].as_slice(),
            paring_plan::Location::Constant(c) => program.plan.constants[c].bytes(),
        };
        let bytes = memory.get(slot.offset..slot.offset + slot.len).ok_or_else(missing)?;
        Ok(Tensor::from_bytes(slot.dtype, &slot.shape, &logical(slot, bytes))?)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("model", &self.model).field("memory", &self.memory()).finish()
    }
}

fn empty() -> AlignedBuf {
    AlignedBuf::zeroed(0).expect("an empty buffer needs no memory")
}

fn check_type<T: Element>(name: &str, dtype: DType) -> Result<()> {
    if T::matches(dtype) {
        return Ok(());
    }
    Err(Error::invalid(format!("'{name}' holds {dtype}, but {} was asked for", T::DTYPE)))
}

fn check_types(what: &str, ports: &[IoInfo], given: &mut dyn ExactSizeIterator<Item = DType>) -> Result<()> {
    if given.len() != ports.len() {
        return Err(Error::invalid(format!("the model has {} {what}s, but {} were given", ports.len(), given.len())));
    }
    for (port, dtype) in ports.iter().zip(given) {
        let bool_as_bytes = port.dtype == DType::Bool && dtype == DType::U8;
        if port.dtype != dtype && !bool_as_bytes {
            return Err(Error::invalid(format!("{what} '{}' holds {}, not {dtype}", port.name, port.dtype)));
        }
    }
    Ok(())
}

/// The elements of a slot in row-major logical order.
fn logical(slot: &Slot, bytes: &[u8]) -> Vec<u8> {
    let Layout::Blocked(block) = slot.layout else { return bytes.to_vec() };
    let block = block as usize;
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
