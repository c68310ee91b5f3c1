//! Sessions: what runs a model.

use crate::{
    callbacks::Memory,
    handles::Table,
    model::{model, paring_model},
    options::{Settings, paring_options},
    status::{Failure, PARING_BUSY, PARING_INTERNAL, Result, call, paring_status, quietly},
    tensor::{Given, Shape, paring_tensor, to_c},
    words::{Out, copy_out},
};
use facade::{Canceller, Session};
use std::{
    ffi::{c_char, c_void},
    ops::Range,
    sync::{Arc, Mutex, TryLockError},
};

/// Runs a model. Any thread may use it, one at a time: a second one is told `PARING_BUSY`. The exception is
/// `paring_session_cancel`.
pub struct paring_session {
    _private: [u8; 0],
}

struct Handle {
    canceller: Canceller,
    state: Mutex<State>,
}

struct State {
    session: Session,
    /// Dimensions that views point at.
    input_dims: Vec<Vec<i64>>,
    output_dims: Vec<Vec<i64>>,
    /// Memory of the caller's that the session writes to.
    bound: Vec<(Bound, Range<usize>)>,
}

/// What memory is bound to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    Working,
    Output(usize),
}

static SESSIONS: Table<Arc<Handle>> = Table::new(3, "session");

/// Runs `f` with the session, unless somebody else is using it.
fn with<T>(session: *mut paring_session, f: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
    let handle = SESSIONS.get(session)?;
    match handle.state.try_lock() {
        Ok(mut state) => f(&mut state),
        Err(TryLockError::WouldBlock) => {
            let message = "the session is in use: it is for one thread at a time, and not for its own callbacks";
            Err(Failure::new(PARING_BUSY, message))
        }
        Err(TryLockError::Poisoned(_)) => {
            Err(Failure::new(PARING_INTERNAL, "the session met a defect of Paring before: make a new one"))
        }
    }
}

/// Makes a session. Where the model leaves no shape open, everything is prepared here; the model may be freed at once.
/// `options` may be NULL. Free the session with `paring_session_free`.
///
/// # Safety
/// `out` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_session_new(
    from: *const paring_model,
    options: *const paring_options,
    out: *mut *mut paring_session,
) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        let out = unsafe { Out::zeroed(out, "the session")? };
        let session = model(from)?.model.session(&Settings::of(options)?.session()?)?;
        let state = State {
            input_dims: vec![Vec::new(); session.inputs().len()],
            output_dims: vec![Vec::new(); session.outputs().len()],
            bound: Vec::new(),
            session,
        };
        let canceller = state.session.canceller();
        let handle = SESSIONS.insert(Arc::new(Handle { canceller, state: Mutex::new(state) }))?;
        out.set(std::ptr::without_provenance_mut(handle));
        Ok(())
    })
}

/// Frees a session. Where another thread is using it, it goes when that is done. NULL is fine.
#[unsafe(no_mangle)]
pub extern "C" fn paring_session_free(session: *mut paring_session) {
    quietly(|| drop(SESSIONS.take(session.addr())));
}

/// Gives an input another shape, and what it holds becomes undefined. The next run finds or makes the plan for it.
///
/// # Safety
/// `dims` is NULL, or valid for `rank` numbers where that is above 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_session_resize(
    session: *mut paring_session,
    input: usize,
    dims: *const i64,
    rank: i32,
) -> paring_status {
    call(|| {
        with(session, |state| {
            // SAFETY: as the caller promises.
            let shape = unsafe { Shape::read(dims, rank, "the input")? };
            Ok(state.session.resize(input, shape.as_slice())?)
        })
    })
}

/// Bytes that the session takes: `arena` of working memory, which `paring_session_bind_arena` can provide, and `weights`
/// in the form in which they are read, which sessions of a model share. 0 as long as shapes are open; either pointer may
/// be NULL.
///
/// # Safety
/// `arena` and `weights` are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_session_memory(
    session: *mut paring_session,
    arena: *mut usize,
    weights: *mut usize,
) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        let (arena, weights) = unsafe { (Out::optional(arena), Out::optional(weights)) };
        let (arena, weights) = (arena?, weights?);
        with(session, |state| {
            let memory = state.session.memory();
            if let Some(out) = arena {
                out.set(memory.arena_bytes + memory.scratch_bytes);
            }
            if let Some(out) = weights {
                out.set(memory.packed_bytes + memory.constant_bytes);
            }
            Ok(())
        })
    })
}

/// Has the session run on the caller's memory in place of its own: as many bytes as `paring_session_memory` says at least,
/// from a multiple of 64 bytes, until the session is freed or other memory is bound. It is zeroed first.
///
/// # Safety
/// `data` is NULL, or valid for `len` bytes for so long, and nobody else uses them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_session_bind_arena(
    session: *mut paring_session,
    data: *mut c_void,
    len: usize,
) -> paring_status {
    call(|| {
        with(session, |state| {
            // SAFETY: as the caller promises.
            let memory = unsafe { state.memory(Bound::Working, data.cast(), len)? };
            let range = range(&memory);
            state.session.bind_working(Box::new(memory))?;
            state.remember(Bound::Working, range);
            Ok(())
        })
    })
}

/// Copies a tensor into an input, which takes its shape.
///
/// # Safety
/// `tensor` is NULL or valid, and so are its dimensions and its data.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_session_set_input(
    session: *mut paring_session,
    input: usize,
    tensor: *const paring_tensor,
) -> paring_status {
    call(|| {
        with(session, |state| {
            // SAFETY: as the caller promises.
            let given = unsafe { Given::read(tensor, "the input")? };
            let info = state.session.inputs().get(input).ok_or_else(|| missing("input", input))?;
            if info.dtype != given.dtype {
                let message = format!("input '{}' is {}, but the tensor is {}", info.name, info.dtype, given.dtype);
                return Err(Failure::invalid(message));
            }
            let shape = given.shape.as_slice();
            let fits = state.session.input_shape(input)? == Some(shape);
            // The tensor may be a view of this very session's memory, which goes where a shape changes.
            // SAFETY: as the caller promises.
            let copy = if fits { None } else { Some(unsafe { bytes(&given) }.to_vec()) };
            if !fits {
                state.session.resize(input, shape)?;
            }
            let from = copy.as_ref().map_or(given.data.cast_const(), |c| c.as_ptr());
            let to = state.session.input_bytes_mut(input)?;
            if given.bytes > 0 {
                debug_assert_eq!(to.len(), given.bytes);
                // SAFETY: the input has the shape and the type, and so the length, of what was given. Both may overlap.
                unsafe { std::ptr::copy(from, to.as_mut_ptr(), given.bytes) };
            }
            Ok(())
        })
    })
}

/// The session's own memory of an input, to write to directly. It must have a shape: the model's own, or one by
/// `paring_session_resize`. The view is valid until the input is resized or the session is freed.
///
/// # Safety
/// `view` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_session_input(
    session: *mut paring_session,
    input: usize,
    view: *mut paring_tensor,
) -> paring_status {
    // SAFETY: as the caller promises.
    unsafe { viewed(session, view, |state| state.input(input)) }
}

/// Has results of an output written to the caller's memory from now on, until the session is freed or other memory is
/// bound: those of any shape that fits there. All inputs must have shapes. Type and, where `dims` is not NULL, dimensions of
/// the tensor must be those of the output as it is now; where `dims` is NULL, `bytes` may be more than that takes. The
/// memory must be aligned to the element; it is zeroed first.
///
/// # Safety
/// `tensor` is NULL or valid, and so are its dimensions. Its data is valid for so long, and nobody else uses it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_session_bind_output(
    session: *mut paring_session,
    output: usize,
    tensor: *const paring_tensor,
) -> paring_status {
    call(|| {
        with(session, |state| {
            // SAFETY: as the caller promises.
            let (data, len) = unsafe { state.place(output, tensor)? };
            // SAFETY: as the caller promises.
            let memory = unsafe { state.memory(Bound::Output(output), data, len)? };
            let range = range(&memory);
            state.session.bind_output(output, Box::new(memory))?;
            state.remember(Bound::Output(output), range);
            Ok(())
        })
    })
}

/// Computes the outputs from the inputs. Allocates nothing once the shapes have been seen and where no shape depends on
/// data, but for what callbacks of the program do.
#[unsafe(no_mangle)]
pub extern "C" fn paring_session_run(session: *mut paring_session) -> paring_status {
    call(|| with(session, |state| Ok(state.session.run()?)))
}

/// The result of an output, to read, after a run. The view is valid until the next run, until an input takes another
/// shape, until memory is bound, or until the session is freed.
///
/// # Safety
/// `view` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_session_output(
    session: *mut paring_session,
    output: usize,
    view: *mut paring_tensor,
) -> paring_status {
    // SAFETY: as the caller promises.
    unsafe { viewed(session, view, |state| state.output(output)) }
}

/// Ends one run with `PARING_CANCELLED`: the one in progress, or the next where none is. May be called from any thread at
/// any time.
#[unsafe(no_mangle)]
pub extern "C" fn paring_session_cancel(session: *mut paring_session) -> paring_status {
    call(|| {
        SESSIONS.get(session)?.canceller.cancel();
        Ok(())
    })
}

/// Copies the times of all layers as JSON, as with `paring_last_error`. Option `profile` must be on.
///
/// # Safety
/// `buf` is NULL or has room for `cap` bytes; `need` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_session_profile_json(
    session: *mut paring_session,
    buf: *mut c_char,
    cap: usize,
    need: *mut usize,
) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        unsafe { Out::optional(need)? };
        with(session, |state| {
            let profile = state.session.profile().ok_or_else(|| {
                Failure::invalid(
                    "nothing was measured: make the session with option profile=true, and give inputs shapes",
                )
            })?;
            let text = serde_json::to_string(&profile).map_err(|e| Failure::new(PARING_INTERNAL, e.to_string()))?;
            // SAFETY: as the caller promises.
            unsafe { copy_out(&text, buf, cap, need) }
        })
    })
}

/// Makes everything ready for the inputs as they are, and runs once, so that later runs are quick from the first. Times
/// measured so far are forgotten.
#[unsafe(no_mangle)]
pub extern "C" fn paring_warmup(session: *mut paring_session) -> paring_status {
    call(|| {
        with(session, |state| {
            state.session.run()?;
            state.session.reset_profile();
            Ok(())
        })
    })
}

fn missing(what: &str, index: usize) -> Failure {
    Failure::invalid(format!("there is no {what} {index}"))
}

/// Zeroes `view`, then sets it to what `f` says.
///
/// # Safety
/// `view` is NULL or valid.
unsafe fn viewed(
    session: *mut paring_session,
    view: *mut paring_tensor,
    f: impl FnOnce(&mut State) -> Result<paring_tensor>,
) -> paring_status {
    call(|| {
        // SAFETY: as the caller promises.
        let out = unsafe { Out::zeroed(view, "the view")? };
        out.set(with(session, f)?);
        Ok(())
    })
}

/// The bytes of a tensor.
///
/// # Safety
/// Its data is valid.
unsafe fn bytes(given: &Given) -> &[u8] {
    match given.bytes {
        0 => &[],
        // SAFETY: not NULL, as `Given::read` checked, and as the caller promises.
        n => unsafe { std::slice::from_raw_parts(given.data, n) },
    }
}

fn range(memory: &Memory) -> Range<usize> {
    memory.data.addr()..memory.data.addr() + memory.len
}

fn overlap(a: &Range<usize>, b: &Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

fn view(data: *const u8, bytes: usize, dims: &mut Vec<i64>, shape: &[usize], dtype: i32) -> paring_tensor {
    dims.clear();
    dims.extend(shape.iter().map(|&d| d as i64));
    paring_tensor { data: data.cast_mut().cast(), bytes, dims: dims.as_ptr(), rank: shape.len() as i32, dtype }
}

impl State {
    fn input(&mut self, input: usize) -> Result<paring_tensor> {
        let dtype = to_c(self.session.inputs().get(input).ok_or_else(|| missing("input", input))?.dtype);
        let data = self.session.input_bytes_mut(input)?;
        let (data, bytes) = (data.as_ptr(), data.len());
        let shape = self.session.input_shape(input)?.unwrap_or_default();
        Ok(view(data, bytes, &mut self.input_dims[input], shape, dtype))
    }

    fn output(&mut self, output: usize) -> Result<paring_tensor> {
        let dtype = to_c(self.session.outputs().get(output).ok_or_else(|| missing("output", output))?.dtype);
        let data = self.session.output_bytes(output)?;
        let shape = self.session.output_shape(output)?;
        Ok(view(data.as_ptr(), data.len(), &mut self.output_dims[output], shape, dtype))
    }

    /// Where the caller wants an output, as far as it fits that.
    ///
    /// # Safety
    /// `tensor` is NULL or valid, and so are its dimensions.
    unsafe fn place(&mut self, output: usize, tensor: *const paring_tensor) -> Result<(*mut u8, usize)> {
        if tensor.is_null() || !tensor.is_aligned() {
            return Err(Failure::invalid("the tensor for the output is NULL or misaligned"));
        }
        // SAFETY: not NULL, aligned, and as the caller promises.
        let t = unsafe { tensor.read() };
        let info = self.session.outputs().get(output).ok_or_else(|| missing("output", output))?;
        if to_c(info.dtype) != t.dtype {
            let found = crate::tensor::from_c(t.dtype)?;
            return Err(Failure::invalid(format!(
                "output '{}' is {}, but the tensor is {found}",
                info.name, info.dtype
            )));
        }
        if t.dims.is_null() {
            return Ok((t.data.cast(), t.bytes));
        }
        // SAFETY: as the caller promises.
        let given = unsafe { Given::read(tensor, "the output")? };
        self.session.prepare()?;
        let (shape, found) = (self.session.output_shape(output)?, given.shape.as_slice());
        if shape != found {
            return Err(Failure::invalid(format!("the output has shape {shape:?}, but the tensor has {found:?}")));
        }
        Ok((given.data, given.bytes))
    }

    /// The caller's memory, apart from all that the session uses otherwise.
    ///
    /// # Safety
    /// `data` is NULL, or valid for `len` bytes for as long as it is bound, and nobody else uses them.
    unsafe fn memory(&mut self, to: Bound, data: *mut u8, len: usize) -> Result<Memory> {
        if data.is_null() || len > isize::MAX as usize || data.addr().checked_add(len).is_none() {
            return Err(Failure::invalid(format!("there are no {len} bytes at {data:?}")));
        }
        let memory = Memory { data, len };
        let range = range(&memory);
        if self.bound.iter().any(|(what, r)| *what != to && overlap(r, &range)) {
            return Err(Failure::invalid("the memory overlaps with what is bound already"));
        }
        let within = |bytes: &[u8]| overlap(&(bytes.as_ptr().addr()..bytes.as_ptr().addr() + bytes.len()), &range);
        let mut own =
            (0..self.session.inputs().len()).any(|i| self.session.input_bytes_mut(i).is_ok_and(|b| within(b)));
        for k in 0..self.session.outputs().len() {
            let bound = self.bound.iter().any(|(what, _)| *what == Bound::Output(k));
            own |= !bound && self.session.output_bytes(k).is_ok_and(within);
        }
        if own {
            return Err(Failure::invalid("the memory is the session's own: what a view points at cannot be bound"));
        }
        // What a C program allocates has no contents yet, as Rust sees it.
        // SAFETY: as the caller promises.
        unsafe { data.write_bytes(0, len) };
        Ok(memory)
    }

    fn remember(&mut self, what: Bound, range: Range<usize>) {
        self.bound.retain(|(other, _)| *other != what);
        self.bound.push((what, range));
    }
}
