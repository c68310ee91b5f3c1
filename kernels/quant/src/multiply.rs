//! How pixels are multiplied by panels.

use crate::{
    product::{BLOCK, Run},
    tile,
};
use core::ops::Range;
use paring_dense::conv::Tasks;
use paring_simd::Simd;

/// A way to multiply pixels by panels.
pub trait Multiply: Copy + Send + Sync + 'static {
    /// Whether [`multiply`](Multiply::multiply) asks what kind its inputs are: else it is compiled for one alone.
    const BY_KIND: bool;
    /// What a task holds while it runs.
    type Ready;

    /// How large tasks are, and blocks of pixels at most.
    fn tasks<S: Simd>() -> Tasks;

    /// Readies a task.
    fn ready(self) -> Self::Ready;

    /// Bytes of scratch of a worker, where panels have so many rows at most.
    fn scratch(rows: usize) -> usize;

    /// As [`Run::multiply`], of one block of pixels at most.
    ///
    /// # Safety
    /// As there; `scratch` must be this task's alone.
    unsafe fn multiply<S: Simd, const KIND: u8>(
        ready: &Self::Ready,
        s: S,
        run: &Run<'_>,
        panels: &Range<usize>,
        x: &[*const u8],
        y: &[usize],
        step: usize,
        scratch: *mut u8,
    );
}

/// Four terms of vectors at a time.
#[derive(Clone, Copy, Debug)]
pub struct Vectors;

impl Multiply for Vectors {
    const BY_KIND: bool = true;
    type Ready = ();

    fn tasks<S: Simd>() -> Tasks {
        let (block, step, together) = if S::WIDE { (4 * tile::RUNS, tile::RUNS, 2) } else { (BLOCK, 4, 1) };
        Tasks { macs: [1 << 19, 2 << 20], block, step, together }
    }

    fn ready(self) {}

    fn scratch(_rows: usize) -> usize {
        0
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd, const KIND: u8>(
        _ready: &(),
        s: S,
        run: &Run<'_>,
        panels: &Range<usize>,
        x: &[*const u8],
        y: &[usize],
        step: usize,
        _scratch: *mut u8,
    ) {
        // SAFETY: the caller's promise.
        unsafe { run.multiply::<S, KIND>(s, panels, x, y, step) }
    }
}
