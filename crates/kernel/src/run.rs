//! What a kernel sees while it runs.

use crate::Parallel;
use bytemuck::Pod;
use core::marker::PhantomData;

/// The memory of one operand during one run.
#[derive(Clone, Copy, Debug)]
pub struct RawOperand {
    /// First byte, aligned to the element at least.
    pub ptr: *mut u8,
    /// Length in bytes.
    pub len: usize,
}

/// Operands, scratch and workers of one step.
///
/// Inputs and outputs never overlap, but where the offer named an input for [`Offer::in_place`](crate::Offer) and the
/// planner took it up: then [`RunCx::in_place`] holds, and the elements are read from output 0.
pub struct RunCx<'a> {
    inputs: &'a [Option<RawOperand>],
    outputs: &'a [Option<RawOperand>],
    in_place: Option<usize>,
    scratch: RawOperand,
    worker_scratch: RawOperand,
    worker_bytes: usize,
    parallel: &'a dyn Parallel,
}

impl<'a> RunCx<'a> {
    /// Binds operands to memory.
    ///
    /// `scratch` is shared; `worker_scratch` holds `worker_bytes` for each of `parallel.workers()`.
    ///
    /// # Safety
    /// All operands must be valid for `'a` and initialised, aligned to 64 bytes (inputs and outputs at least to their
    /// element), of the length that their layout and shape ask for; outputs and scratch must be unique and disjoint
    /// from everything else, except that output 0 may be the memory of input `in_place`. `worker_scratch` must hold
    /// `worker_bytes * parallel.workers()` bytes, and `parallel` must keep what [`Parallel`] promises.
    pub unsafe fn new(
        inputs: &'a [Option<RawOperand>],
        outputs: &'a [Option<RawOperand>],
        in_place: Option<usize>,
        scratch: RawOperand,
        worker_scratch: RawOperand,
        worker_bytes: usize,
        parallel: &'a dyn Parallel,
    ) -> RunCx<'a> {
        RunCx { inputs, outputs, in_place, scratch, worker_scratch, worker_bytes, parallel }
    }

    /// The workers.
    pub fn parallel(&self) -> &'a dyn Parallel {
        self.parallel
    }

    /// Whether output 0 lies where that input was.
    pub fn in_place(&self) -> Option<usize> {
        self.in_place
    }

    /// Whether input `i` is present at run time.
    pub fn has_input(&self, i: usize) -> bool {
        self.inputs.get(i).is_some_and(Option::is_some)
    }

    /// Whether output `i` is wanted.
    pub fn has_output(&self, i: usize) -> bool {
        self.outputs.get(i).is_some_and(Option::is_some)
    }

    /// The elements of input `i`.
    ///
    /// # Panics
    /// Where the input is absent, not made of `T`s, or lies in place of output 0: all are errors of the kernel, not of
    /// the model.
    pub fn input<T: Pod>(&self, i: usize) -> &'a [T] {
        assert!(self.in_place != Some(i), "input {i} is in place: read output 0");
        let raw = self.inputs[i].expect("the offer reads this input");
        // SAFETY: `new` promises valid, initialised, aligned memory for `'a` that no output overlaps.
        bytemuck::cast_slice(unsafe { core::slice::from_raw_parts(raw.ptr, raw.len) })
    }

    /// The elements of output `i`.
    ///
    /// # Panics
    /// Where the output is absent or not made of `T`s.
    pub fn output<T: Pod>(&mut self, i: usize) -> &mut [T] {
        let raw = self.outputs[i].expect("the planner provides every wanted output");
        // SAFETY: `new` promises unique memory; the borrow of `self` keeps this the only slice of it.
        bytemuck::cast_slice_mut(unsafe { core::slice::from_raw_parts_mut(raw.ptr, raw.len) })
    }

    /// The elements of output `i`, for tasks that write disjoint parts of it.
    ///
    /// # Panics
    /// As for [`RunCx::output`].
    pub fn shared_output<T: Pod>(&mut self, i: usize) -> SharedMut<'_, T> {
        SharedMut::new(self.output(i))
    }

    /// Outputs `i` and `j` (`i != j`) together.
    ///
    /// # Panics
    /// As for [`RunCx::output`], and where `i == j`.
    pub fn two_outputs<T: Pod, U: Pod>(&mut self, i: usize, j: usize) -> (&mut [T], &mut [U]) {
        assert_ne!(i, j);
        let (a, b) = (self.outputs[i].expect("wanted output"), self.outputs[j].expect("wanted output"));
        // SAFETY: as in `output`; different outputs are disjoint.
        unsafe {
            (
                bytemuck::cast_slice_mut(core::slice::from_raw_parts_mut(a.ptr, a.len)),
                bytemuck::cast_slice_mut(core::slice::from_raw_parts_mut(b.ptr, b.len)),
            )
        }
    }

    /// Scratch shared by all workers. The lifetime is that of the run: hold at most one such slice at a time.
    pub fn scratch<T: Pod>(&mut self) -> SharedMut<'a, T> {
        SharedMut { ptr: self.scratch.ptr.cast(), len: self.scratch.len / size_of::<T>(), _life: PhantomData }
    }

    /// Scratch of all workers; [`WorkerScratch::of`] cuts out one's own.
    pub fn worker_scratch(&mut self) -> WorkerScratch<'a> {
        WorkerScratch {
            all: SharedMut { ptr: self.worker_scratch.ptr, len: self.worker_scratch.len, _life: PhantomData },
            each: self.worker_bytes,
        }
    }
}

/// The scratch of all workers.
#[derive(Clone, Copy)]
pub struct WorkerScratch<'a> {
    all: SharedMut<'a, u8>,
    each: usize,
}

impl<'a> WorkerScratch<'a> {
    /// The part of `worker`.
    ///
    /// # Safety
    /// Only the task that runs as `worker` may hold the slice, and only one at a time.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn of<T: Pod>(&self, worker: usize) -> &'a mut [T] {
        // SAFETY: parts of different workers are disjoint; the caller keeps this one to itself.
        bytemuck::cast_slice_mut(unsafe { self.all.slice(worker * self.each, self.each) })
    }
}

/// A slice that several tasks write disjoint parts of.
pub struct SharedMut<'a, T> {
    ptr: *mut T,
    len: usize,
    _life: PhantomData<&'a mut [T]>,
}

impl<T> Clone for SharedMut<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for SharedMut<'_, T> {}

// SAFETY: handing out parts is unsafe, and the caller promises there that they are disjoint.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Shares a slice.
    pub fn new(slice: &'a mut [T]) -> SharedMut<'a, T> {
        SharedMut { ptr: slice.as_mut_ptr(), len: slice.len(), _life: PhantomData }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first element.
    pub fn as_ptr(&self) -> *mut T {
        self.ptr
    }

    /// `len` elements from `start`.
    ///
    /// # Safety
    /// No other slice of these elements may be alive.
    ///
    /// # Panics
    /// Where the range is out of bounds.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn slice(&self, start: usize, len: usize) -> &'a mut [T] {
        assert!(start <= self.len && len <= self.len - start, "slice {start}+{len} of {}", self.len);
        // SAFETY: in bounds; the caller promises uniqueness.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.add(start), len) }
    }
}
