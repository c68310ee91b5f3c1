//! Sessions: the memory and the threads of one user of a model.

mod bind;
mod results;
mod run;
mod stage;
mod workers;

pub use results::Memory;
pub use run::{Run, RunOptions};

use crate::{
    Canceller, DType, Element, Error, ErrorKind, IoInfo, Model, Options, Port, Result, View, ViewMut,
    bind::Key,
    clock,
    memory::Buffer,
    model,
    profile::Recorder,
    program::{Produced, Tools},
};
use paring_core::{Tensor, numel};
use paring_kernel::{Machine, Registry};
use stage::{Runner, Stage};
use std::sync::Arc;
pub(crate) use workers::Workers;

/// Runs a model. Belongs to one thread at a time, owns inputs, outputs and working memory.
pub struct Session {
    model: Model,
    options: Options,
    machine: Machine,
    registry: Registry,
    workers: Workers,
    inputs: Vec<Input>,
    key: Key,
    /// The first stage, or the only one where no shape depends on data.
    stage: Option<Stage>,
    working_set: Buffer,
    /// Memory of the program's for outputs of the model, while no stage has it.
    bound: Vec<(usize, Buffer)>,
    /// Results of stages after the first, by output of the graph.
    late: Vec<Option<Tensor>>,
    recorder: Recorder,
    canceller: Canceller,
    ran: bool,
}

struct Input {
    shape: Option<Vec<usize>>,
    buffer: Buffer,
    /// Its elements decide shapes, and may have changed since the key was made.
    decides: bool,
}

impl Session {
    pub(crate) fn new(model: Model, options: &Options) -> Result<Session> {
        if options.profile {
            clock::needed_for("profiling a session")?;
        }
        let inputs = model
            .inputs()
            .iter()
            .zip(&model.0.shape_inputs)
            .map(|(info, &decides)| Input { shape: info.known_shape(), buffer: Buffer::empty(), decides })
            .collect();
        let mut session = Session {
            machine: model::machine(options),
            registry: model.0.registry(options),
            workers: Workers::new(&options.threads)?,
            options: options.clone(),
            inputs,
            key: Key::default(),
            stage: None,
            working_set: Buffer::empty(),
            bound: Vec::new(),
            late: Vec::new(),
            recorder: Recorder::default(),
            canceller: Canceller::default(),
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
        if input.buffer.len() != bytes {
            input.buffer = Buffer::zeroed(bytes, self.options.allocator.as_ref())?;
        }
        if input.shape.as_deref() != Some(shape) {
            input.shape = Some(shape.to_vec());
            self.leave_stage();
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
        Ok(bytemuck::cast_slice_mut(self.input_bytes_mut(i)?))
    }

    /// The bytes of an input of any type, to write.
    ///
    /// # Errors
    /// As for [`Session::input_mut`].
    pub fn input_bytes_mut<'p>(&mut self, port: impl Into<Port<'p>>) -> Result<&mut [u8]> {
        let i = port.into().find(self.model.inputs(), "input")?;
        let info = &self.model.inputs()[i];
        if self.inputs[i].shape.is_none() {
            let name = &info.name;
            return Err(Error::invalid(format!("input '{name}' has no shape yet: call resize or set_input first")));
        }
        Ok(self.inputs[i].buffer.as_mut_slice())
    }

    /// The shape of an input; `None` where it has none yet.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where the port does not exist.
    pub fn input_shape<'p>(&self, port: impl Into<Port<'p>>) -> Result<Option<&[usize]>> {
        let i = port.into().find(self.model.inputs(), "input")?;
        Ok(self.inputs[i].shape.as_deref())
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
        if self.stage.is_some() && self.key == key {
            return Ok(());
        }
        let program = self.model.0.program(&self.options, &self.machine, &self.registry, &key)?;
        self.leave_stage();
        let is_bound = |p: &Produced| self.bound.iter().any(|(k, _)| *p == Produced::Output(*k));
        let mut stage = Stage::new(program, &self.workers, &self.options, is_bound)?;
        self.provide_working(stage.working_bytes(&self.workers))?;
        self.place_bound(&mut stage)?;
        self.late = vec![None; self.model.outputs().len()];
        self.recorder.reset(stage.program.plan.steps.len());
        self.stage = Some(stage);
        self.key = key;
        Ok(())
    }

    /// Whether the stage at hand still fits the inputs; allocates nothing.
    fn is_prepared(&self) -> bool {
        self.stage.is_some()
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
        self.run_as(RunOptions::default())
    }

    fn run_as(&mut self, options: RunOptions<'_>) -> Result<()> {
        let result = self.run_stages(options).and_then(|()| self.model.0.check_file());
        let result = self.canceller.end_run(result);
        self.ran = result.is_ok();
        result
    }

    fn run_stages(&mut self, options: RunOptions<'_>) -> Result<()> {
        self.run_first(options, |stage, runner, inputs, working_set| stage.run(runner, inputs, working_set))?;
        self.run_rest(options)
    }

    /// Prepares where that is needed, and runs the first stage as `run` says.
    fn run_first(
        &mut self,
        options: RunOptions<'_>,
        run: impl FnOnce(&mut Stage, Runner<'_>, &mut dyn Iterator<Item = &[u8]>, &mut [u8]) -> Result<()>,
    ) -> Result<()> {
        if !self.is_prepared() {
            self.prepare()?;
        }
        let Some(stage) = &mut self.stage else {
            return Err(Error::new(ErrorKind::Internal, "a run without a stage"));
        };
        let recorder = self.options.profile.then_some(&mut self.recorder);
        let runner = Runner { workers: &self.workers, options, canceller: &self.canceller, recorder };
        let inputs = &mut self.inputs.iter().map(|i| i.buffer.as_slice());
        run(stage, runner, inputs, self.working_set.as_mut_slice())
    }

    /// Plans and runs the stages after the first, one by one: shapes that depend on data are known now.
    fn run_rest(&mut self, options: RunOptions<'_>) -> Result<()> {
        let Some(mut stage) = self.stage.as_ref() else { return Ok(()) };
        let tools = Tools {
            registry: &self.registry,
            machine: &self.machine,
            packs: &self.model.0.packs,
            options: &self.options,
        };
        let mut later;
        while let Some(rest) = stage.program.rest.clone() {
            let mut known = Vec::new();
            for result in stage.results() {
                let (what, tensor) = result?;
                let v = match what {
                    Produced::Value(v) => v,
                    // So that the stages to come do not compute it anew.
                    Produced::Output(k) => rest.outputs()[k].value,
                };
                known.push((v, tensor));
            }
            let program = Arc::new(tools.program(tools.advance(rest, known)?)?);
            let mut next = Stage::new(program, &self.workers, &self.options, |_| false)?;
            let working_bytes = next.working_bytes(&self.workers);
            let mut working_set = Buffer::zeroed(working_bytes, self.options.allocator.as_ref())?;
            let runner = Runner { workers: &self.workers, options, canceller: &self.canceller, recorder: None };
            let inputs = &mut self.inputs.iter().map(|i| i.buffer.as_slice());
            next.run(runner, inputs, working_set.as_mut_slice())?;
            for result in next.results() {
                if let (Produced::Output(k), tensor) = result? {
                    self.late[k] = Some(tensor);
                }
            }
            later = next;
            stage = &later;
        }
        Ok(())
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
        self.run_on_as(inputs, outputs, working, RunOptions::default())
    }

    fn run_on_as(
        &mut self,
        inputs: &[View<'_>],
        outputs: &mut [ViewMut<'_>],
        working: Option<&mut [u8]>,
        options: RunOptions<'_>,
    ) -> Result<()> {
        let result = self.run_on_memory(inputs, outputs, working, options).and_then(|()| self.model.0.check_file());
        self.canceller.end_run(result)
    }

    fn run_on_memory(
        &mut self,
        inputs: &[View<'_>],
        outputs: &mut [ViewMut<'_>],
        working: Option<&mut [u8]>,
        options: RunOptions<'_>,
    ) -> Result<()> {
        check_types("input", self.model.inputs(), &mut inputs.iter().map(|v| v.dtype))?;
        check_types("output", self.model.outputs(), &mut outputs.iter().map(|v| v.dtype))?;
        self.run_first(options, |stage, runner, _, own| {
            if stage.program.rest.is_some() {
                let message = "the shape of an output depends on the data: use run and output instead";
                return Err(Error::new(ErrorKind::Unsupported, message));
            }
            stage.run_on(runner, &mut inputs.iter().map(|v| v.bytes), outputs, working.unwrap_or(own))
        })
    }

    /// Sets these inputs, runs, and returns all outputs by name.
    ///
    /// # Errors
    /// As for [`Session::set_input`] and [`Session::run`].
    pub fn run_with(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        self.run_with_as(inputs, RunOptions::default())
    }

    fn run_with_as(&mut self, inputs: &[(&str, &Tensor)], options: RunOptions<'_>) -> Result<Vec<(String, Tensor)>> {
        for (name, tensor) in inputs {
            self.set_input(*name, tensor)?;
        }
        self.run_as(options)?;
        let names: Vec<String> = self.model.outputs().iter().map(|o| o.name.clone()).collect();
        names.into_iter().enumerate().map(|(k, n)| Ok((n, self.output_tensor(k)?))).collect()
    }

    /// Something that can cancel runs of this session from another thread.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("model", &self.model).field("memory", &self.memory()).finish()
    }
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
