//! Operators that a C program brings.

use crate::{
    callbacks::Context,
    node::{Node, Operands, paring_node},
    options::{add_operator, change, paring_options},
    status::{Failure, PARING_INTERNAL, PARING_INVALID_ARGUMENT, PARING_OK, of_callback, paring_status},
    tensor::{PARING_MAX_RANK, from_c, paring_dtype, paring_tensor},
    words::{Growing, read, read_growing},
};
use facade::{
    Operator,
    graph::op::{CustomAttrs, CustomOperand, CustomType},
    kernel::{KernelError, Parallel, Prepared, Problem, RunCx, Scratch},
};
use std::{
    ffi::{c_char, c_void},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Element type and dimensions of a result. -1 stands for a dimension that is not known yet, and for an unknown rank.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct paring_shape {
    /// Type of the elements.
    pub dtype: paring_dtype,
    /// Number of dimensions.
    pub rank: i32,
    /// The dimensions, `rank` of them.
    pub dims: [i64; PARING_MAX_RANK],
}

/// A task of an operator: one of `tasks`, on one of the run's workers.
pub type paring_task_fn = Option<unsafe extern "C" fn(arg: *mut c_void, task: usize, worker: usize)>;

/// What an operator computes with while it runs. All of it is gone after the call.
#[repr(C)]
pub struct paring_run {
    /// The operands, to read only. One that is absent has `dtype` 0.
    pub inputs: *const paring_tensor,
    /// How many operands there are.
    pub input_count: usize,
    /// The results, to fill. One that nobody wants has `dtype` 0.
    pub outputs: *const paring_tensor,
    /// How many results there are.
    pub output_count: usize,
    /// As many bytes as `scratch` of `paring_kernel` asked for, aligned to 64, of any contents.
    pub scratch: *mut c_void,
    /// Bytes of it.
    pub scratch_bytes: usize,
    /// How many threads may work on this run, the calling one included. Worker numbers are below this.
    pub workers: usize,
    /// Calls `task(arg, t, worker)` for every `t` below `tasks` on the threads of the session, and returns when all are
    /// done. `run` is this very structure; to be called from the function that was given it, not from a task.
    pub parallel: Option<
        unsafe extern "C" fn(run: *const c_void, tasks: usize, task: paring_task_fn, arg: *mut c_void) -> paring_status,
    >,
    /// Not for the program.
    pub reserved: *const c_void,
}

/// An operator that models use and Paring does not know, or one in place of Paring's own. Functions are called from
/// whichever thread loads a model, makes a session or runs it, at once where several do. They return `PARING_OK`, or
/// another status of their choice to make that call fail; `paring_callback_error` says why. No exception may leave them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct paring_kernel {
    /// `sizeof(paring_kernel)`.
    pub struct_size: usize,
    /// The domain, such as `com.example`; NULL or empty for ONNX's own.
    pub domain: *const c_char,
    /// The name of the operator within the domain.
    pub op: *const c_char,
    /// The newest version of the domain's operator set that this implements; 0 for all.
    pub version: i64,
    /// Fills in type and dimensions of every result. Called when a model is loaded, with what is known then, and again
    /// with known shapes: then those of the results must be known, too.
    pub infer: Option<
        unsafe extern "C" fn(ctx: *mut c_void, node: *const paring_node, outputs: *mut paring_shape) -> paring_status,
    >,
    /// Says how many bytes `run` needs besides its operands. NULL for none.
    pub scratch:
        Option<unsafe extern "C" fn(ctx: *mut c_void, node: *const paring_node, bytes: *mut usize) -> paring_status>,
    /// Settles what can be settled before running, and puts it into `state`, which all sessions with these shapes share.
    /// NULL for nothing.
    pub prepare: Option<
        unsafe extern "C" fn(ctx: *mut c_void, node: *const paring_node, state: *mut *mut c_void) -> paring_status,
    >,
    /// Computes the results.
    pub run:
        Option<unsafe extern "C" fn(ctx: *mut c_void, state: *mut c_void, run: *const paring_run) -> paring_status>,
    /// Frees what `prepare` made. NULL where there is nothing to free.
    pub release: Option<unsafe extern "C" fn(ctx: *mut c_void, state: *mut c_void)>,
    /// Called once, when nothing will use this operator any more. NULL where there is nothing to do.
    pub drop: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// What all of these are called with.
    pub ctx: *mut c_void,
}

// SAFETY: begins with its size; the rest are pointers, which may be NULL, and a number.
unsafe impl Growing for paring_kernel {}

/// Adds an operator to options: models that are loaded with them may use it. Of two of one name the later counts, also
/// before one of Paring's own. The structure is copied; `ctx` is needed until `drop` is called, which happens once these
/// options and all models and sessions made with them are freed; not where this call fails.
///
/// # Safety
/// `kernel` is NULL, or valid for as many bytes as its `struct_size` says; its strings are NULL or end with 0; its
/// functions do what is said there, and can be called with its `ctx` from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_kernel_register(
    options: *mut paring_options,
    kernel: *const paring_kernel,
) -> paring_status {
    change(options, |settings| {
        // SAFETY: as the caller promises.
        let operator = unsafe { CallerOperator::read(kernel)? };
        add_operator(settings, Arc::new(Shared(Arc::new(operator))));
        Ok(())
    })
}

/// An operator of the program's.
struct CallerOperator {
    kernel: paring_kernel,
    domain: String,
    name: String,
}

// SAFETY: the functions can be called from any thread, as the program promises; strings were copied.
unsafe impl Send for CallerOperator {}
// SAFETY: as above.
unsafe impl Sync for CallerOperator {}

impl Drop for CallerOperator {
    fn drop(&mut self) {
        if let Some(drop) = self.kernel.drop {
            // SAFETY: nobody else has the operator any more; the program promised that this can be called.
            unsafe { drop(self.kernel.ctx) }
        }
    }
}

impl CallerOperator {
    /// # Safety
    /// As for [`paring_kernel_register`].
    unsafe fn read(kernel: *const paring_kernel) -> Result<CallerOperator, Failure> {
        // SAFETY: as the caller promises.
        let kernel = unsafe { read_growing(kernel, "the kernel")? };
        let missing = |what: &str| Err(Failure::invalid(format!("the kernel has no {what}")));
        let domain = match kernel.domain {
            domain if domain.is_null() => "",
            // SAFETY: as the caller promises.
            domain => unsafe { read(domain, "domain of the kernel")? },
        };
        // SAFETY: as the caller promises.
        match unsafe { read(kernel.op, "op of the kernel")? } {
            "" => missing("op"),
            _ if kernel.infer.is_none() => missing("infer"),
            _ if kernel.run.is_none() => missing("run"),
            _ if kernel.version < 0 => missing("version that is 0 or above"),
            // Whoever makes one owns `ctx`: from here on nothing fails.
            name => Ok(CallerOperator { kernel, domain: domain.into(), name: name.into() }),
        }
    }

    fn failed(&self, function: &str, status: paring_status) -> String {
        let dot = if self.domain.is_empty() { "" } else { "." };
        of_callback(&format!("{function} of {}{dot}{}", self.domain, self.name), status)
    }

    /// The types that the program gave.
    fn types(&self, shapes: &[paring_shape]) -> Result<Vec<CustomType>, Failure> {
        let one = |(i, s): (usize, &paring_shape)| {
            let wrong = |what: String| Failure::invalid(format!("infer of {} left output {i} with {what}", self.name));
            let dtype = from_c(s.dtype).map_err(|e| wrong(e.message))?;
            if s.rank == -1 {
                return Ok(CustomType { dtype, shape: None });
            }
            let rank = usize::try_from(s.rank).ok().filter(|r| *r <= PARING_MAX_RANK);
            let rank = rank.ok_or_else(|| wrong(format!("rank {}", s.rank)))?;
            let dim = |&d: &i64| match d {
                -1 => Ok(None),
                d => usize::try_from(d).map(Some).map_err(|_| wrong(format!("a dimension of {d}"))),
            };
            Ok(CustomType { dtype, shape: Some(s.dims[..rank].iter().map(dim).collect::<Result<_, _>>()?) })
        };
        shapes.iter().enumerate().map(one).collect()
    }
}

/// The operator as the library and everything prepared with it hold it.
struct Shared(Arc<CallerOperator>);

impl Operator for Shared {
    fn domain(&self) -> &str {
        &self.0.domain
    }

    fn name(&self) -> &str {
        &self.0.name
    }

    fn version(&self) -> Option<i64> {
        (self.0.kernel.version > 0).then_some(self.0.kernel.version)
    }

    fn infer(&self, attrs: &CustomAttrs, inputs: &[Option<CustomOperand<'_>>]) -> Result<Vec<CustomType>, String> {
        let Some(infer) = self.0.kernel.infer else { return Err("the kernel has no infer".into()) };
        let node = Node::to_infer(attrs, inputs);
        let unset = paring_shape { dtype: 0, rank: 0, dims: [0; PARING_MAX_RANK] };
        let mut shapes = vec![unset; attrs.outputs];
        // SAFETY: as `paring_kernel_register` was promised; node and shapes live until it returns.
        match unsafe { infer(self.0.kernel.ctx, &node.as_c(), shapes.as_mut_ptr()) } {
            PARING_OK => self.0.types(&shapes).map_err(|e| e.message),
            status => Err(self.0.failed("infer", status)),
        }
    }

    fn scratch(&self, p: &Problem) -> Result<Scratch, String> {
        let (Some(scratch), Some(attrs)) = (self.0.kernel.scratch, p.op.as_custom()) else {
            return Ok(Scratch::default());
        };
        let node = Node::of(attrs, p);
        let mut bytes = 0;
        // SAFETY: as in `infer`.
        match unsafe { scratch(self.0.kernel.ctx, &node.as_c(), &mut bytes) } {
            PARING_OK => Ok(Scratch { shared: bytes, per_worker: 0 }),
            status => Err(self.0.failed("scratch", status)),
        }
    }

    fn prepare(&self, p: &Problem) -> Result<Box<dyn Prepared>, KernelError> {
        let mut ready = Ready {
            operator: self.0.clone(),
            state: Context(std::ptr::null_mut()),
            inputs: Operands::known(&p.inputs),
            outputs: Operands::known(&p.outputs),
        };
        if let (Some(prepare), Some(attrs)) = (self.0.kernel.prepare, p.op.as_custom()) {
            let node = Node::of(attrs, p);
            // SAFETY: as in `infer`.
            match unsafe { prepare(self.0.kernel.ctx, &node.as_c(), &mut ready.state.0) } {
                PARING_OK => {}
                status => {
                    // What a failed call left there is nobody's.
                    ready.state.0 = std::ptr::null_mut();
                    return Err(KernelError::Program(self.0.failed("prepare", status)));
                }
            }
        }
        Ok(Box::new(ready))
    }
}

/// An operator of the program's, prepared for one problem.
struct Ready {
    operator: Arc<CallerOperator>,
    state: Context,
    inputs: Operands,
    outputs: Operands,
}

// SAFETY: what the operands point at is read only and lives as long as they do.
unsafe impl Send for Ready {}
// SAFETY: as above.
unsafe impl Sync for Ready {}

impl Drop for Ready {
    fn drop(&mut self) {
        if let (Some(release), false) = (self.operator.kernel.release, self.state.0.is_null()) {
            // SAFETY: `prepare` made the state, and nobody else has it.
            unsafe { release(self.operator.kernel.ctx, self.state.0) }
        }
    }
}

/// Operands of one run: on the stack, as running allocates nothing, unless there are very many.
struct Room {
    few: [paring_tensor; 8],
    many: Vec<paring_tensor>,
}

impl Room {
    fn new() -> Room {
        Room { few: [paring_tensor::NONE; 8], many: Vec::new() }
    }

    /// `tensors` with the data that `at` finds. One without is absent.
    fn fill(&mut self, tensors: &[paring_tensor], mut at: impl FnMut(usize) -> Option<*mut u8>) -> &[paring_tensor] {
        let copy = match self.few.get_mut(..tensors.len()) {
            Some(few) => few,
            None => {
                self.many.resize(tensors.len(), paring_tensor::NONE);
                &mut self.many
            }
        };
        for (i, (to, from)) in copy.iter_mut().zip(tensors).enumerate() {
            if let (true, Some(data)) = (from.dtype != 0, at(i)) {
                *to = paring_tensor { data: data.cast(), ..*from };
            }
        }
        copy
    }
}

impl Prepared for Ready {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let Some(run) = self.operator.kernel.run else {
            return Err(KernelError::Program("the kernel has no run".into()));
        };
        let (mut for_inputs, mut for_outputs) = (Room::new(), Room::new());
        let input = |i| cx.has_input(i).then(|| cx.input::<u8>(i).as_ptr().cast_mut());
        let inputs = for_inputs.fill(&self.inputs.tensors, input);
        let output = |i| if cx.has_output(i) { Some(cx.output::<u8>(i).as_mut_ptr()) } else { None };
        let outputs = for_outputs.fill(&self.outputs.tensors, output);
        let (parallel, scratch) = (cx.parallel(), cx.scratch::<u8>());
        let with = paring_run {
            inputs: inputs.as_ptr(),
            input_count: inputs.len(),
            outputs: outputs.as_ptr(),
            output_count: outputs.len(),
            scratch: scratch.as_ptr().cast(),
            scratch_bytes: scratch.len(),
            workers: parallel.workers(),
            parallel: Some(run_parallel),
            reserved: (&raw const parallel).cast(),
        };
        // SAFETY: as `paring_kernel_register` was promised; all memory is there until it returns.
        match unsafe { run(self.operator.kernel.ctx, self.state.0, &with) } {
            PARING_OK => Ok(()),
            status => Err(KernelError::Program(self.operator.failed("run", status))),
        }
    }
}

unsafe extern "C" fn run_parallel(
    run: *const c_void,
    tasks: usize,
    task: paring_task_fn,
    arg: *mut c_void,
) -> paring_status {
    let (Some(task), false) = (task, run.is_null()) else { return PARING_INVALID_ARGUMENT };
    // SAFETY: the program promises to hand on the structure it was given, during that call.
    let parallel: &dyn Parallel = unsafe { *(*run.cast::<paring_run>()).reserved.cast::<&dyn Parallel>() };
    let arg = Context(arg);
    let all = || {
        let arg = &arg;
        // SAFETY: the program promises that its tasks can be called with `arg` on any thread.
        parallel.run(tasks, &|t, worker| unsafe { task(arg.0, t, worker) });
    };
    match catch_unwind(AssertUnwindSafe(all)) {
        Ok(()) => PARING_OK,
        Err(payload) => {
            // Dropping it could panic again.
            std::mem::forget(payload);
            PARING_INTERNAL
        }
    }
}
