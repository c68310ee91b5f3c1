//! Batched matrix products of two operands that are known only while running.

use crate::{
    epilogue::{self, Epilogue, Finish},
    gemm::{self, Rows},
    panel::{Columns, columns},
    stamp::{self, generic_kernel},
    tile,
};
use core::ops::Range;
use paring_core::{DType, Layout, Op, broadcast, strides};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, RunCx, Scratch,
};
use paring_simd::{Simd, Task};
use std::sync::Arc;

generic_kernel! {
    /// Batched matrix product.
    MatMul
}

/// Multiply-adds of a task.
const TASK_MACS: usize = 1 << 20;
/// Rows from which on it pays to bring a panel of the right operand together.
const PACK_FROM: usize = 2 * tile::STEP + 1;

/// Matrices of a batch.
#[derive(Clone, Debug)]
pub struct Extent {
    /// Rows of the left operand and of the output.
    pub rows: usize,
    /// Columns of the left operand and rows of the right one.
    pub depth: usize,
    /// Columns of the right operand and of the output.
    pub columns: usize,
    /// First elements of the matrices of each batch: left and right operand.
    pub batches: Vec<(usize, usize)>,
}

impl Extent {
    fn of(p: &Problem) -> Result<Extent, Reject> {
        if p.inputs.iter().take(2).chain(p.outputs.first()).flatten().any(|o| o.dtype != DType::F32) {
            return Err(Reject::because("only f32"));
        }
        Extent::of_any(p)
    }

    /// Of operands of any type.
    ///
    /// # Errors
    /// [`Reject`] where it is no product of matrices.
    pub fn of_any(p: &Problem) -> Result<Extent, Reject> {
        if !matches!(p.op, Op::MatMul) {
            return Err(Reject::because("not a matrix product"));
        }
        let missing = || Reject::because("an operand is missing");
        let (a, b) = (p.input(0).ok_or_else(missing)?, p.input(1).ok_or_else(missing)?);
        let y = p.output(0).ok_or_else(missing)?;
        if [a, b, y].iter().any(|o| o.is_empty() || o.len() > isize::MAX as usize / 64) {
            return Err(Reject::because("an operand is empty"));
        }
        let contradiction = || Reject::because("the operands' shapes contradict each other");
        let (batch_a, rows, depth) = match a.shape.as_slice() {
            [] => return Err(contradiction()),
            [k] => (&[][..], 1, *k),
            [batch @ .., m, k] => (batch, *m, *k),
        };
        let (batch_b, deep, columns) = match b.shape.as_slice() {
            [] => return Err(contradiction()),
            [k] => (&[][..], *k, 1),
            [batch @ .., k, n] => (batch, *k, *n),
        };
        let batch = broadcast(batch_a, batch_b).map_err(|e| Reject::from(e.to_string()))?;
        let count: usize = batch.iter().product();
        if deep != depth || count.checked_mul(rows * columns) != Some(y.len()) {
            return Err(contradiction());
        }
        // Rows of several matrices against one: a single taller matrix.
        if batch_b.iter().all(|&d| d == 1) && batch_a.iter().product::<usize>() == count {
            return Ok(Extent { rows: rows * count, depth, columns, batches: vec![(0, 0)] });
        }
        let (at_a, at_b) = (steps(batch_a, &batch, rows * depth), steps(batch_b, &batch, depth * columns));
        let inner = strides(&batch);
        let place = |i: usize, at: &[usize]| (0..batch.len()).map(|d| i / inner[d] % batch[d] * at[d]).sum::<usize>();
        let batches = (0..count).map(|i| (place(i, &at_a), place(i, &at_b))).collect();
        Ok(Extent { rows, depth, columns, batches })
    }

    fn macs(&self) -> f64 {
        let width: usize = columns(self.columns, 1).iter().map(Columns::width).sum();
        self.batches.len() as f64 * self.rows as f64 * self.depth as f64 * width as f64
    }
}

/// Elements from one matrix to the next along each axis of the broadcast batch: none along an axis of length 1.
fn steps(own: &[usize], batch: &[usize], matrix: usize) -> Vec<usize> {
    let inner = strides(own);
    let missing = batch.len() - own.len();
    let step = |d: usize| match d.checked_sub(missing) {
        Some(i) if own[i] != 1 => inner[i] * matrix,
        _ => 0,
    };
    (0..batch.len()).map(step).collect()
}

/// Whether the panel `c` is copied before use. A narrow panel must be: its last row would be read past its end.
fn is_packed(c: &Columns, rows: usize) -> bool {
    rows >= PACK_FROM || c.lanes < c.width()
}

impl<S: Simd> Kernel for MatMul<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let e = Extent::of(p)?;
        // The channels of an epilogue run along the last axis of the output, which a vector on the right takes away.
        let channels = p.output(0).and_then(|y| y.shape.last().copied());
        let fused = if channels == Some(e.columns) { epilogue::fusable(p, e.columns) } else { 0 };
        let mut offer = epilogue::offer(p, fused, Layout::Plain, Layout::Plain);
        offer.inputs[1] = Some(Layout::Plain);
        let widest = columns(e.columns, 1).iter().filter(|c| is_packed(c, e.rows)).map(Columns::width).max();
        let per_worker = widest.unwrap_or(0).checked_mul(e.depth * size_of::<f32>());
        offer.scratch = Scratch { shared: 0, per_worker: per_worker.ok_or("the sum is too long")? };
        out.push(offer);
        Ok(())
    }

    fn cost(&self, p: &Problem, _o: &Offer, m: &Machine) -> Cost {
        let Ok(e) = Extent::of(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let bytes: usize = [p.input(0), p.input(1), p.output(0)]
            .into_iter()
            .map(|o| o.and_then(|o| o.bytes(Layout::Plain)).unwrap_or(0))
            .sum();
        let compute = e.macs() / (0.85 * stamp::rate(S::ISA, m));
        Cost { ns: compute + bytes as f64 / m.bandwidth(bytes) + 200.0, bytes: bytes as f64 }
    }

    fn prepare(&self, p: &Problem, o: &Offer, _packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let extent = Extent::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let panels = columns(extent.columns, 1);
        let work = split(&extent, &panels);
        let epilogue = Epilogue::new(p, o.fused, extent.columns, false)?;
        Ok(Box::new(Bound { isa: stamp::token::<S>()?, extent, panels, work, epilogue }))
    }
}

/// What one task computes: a batch, some of its rows and panels.
type Work = (usize, Range<usize>, Range<usize>);

/// Cuts the problem into tasks, by its shape alone.
fn split(e: &Extent, panels: &[Columns]) -> Vec<Work> {
    let per_row = e.depth * 16;
    let rows = (TASK_MACS / per_row).next_multiple_of(gemm::block(e.depth)).min(e.rows).max(1);
    let each = (TASK_MACS / per_row.saturating_mul(rows)).max(1);
    let mut work = vec![];
    for batch in 0..e.batches.len() {
        for p in (0..panels.len()).step_by(each) {
            for r in (0..e.rows).step_by(rows) {
                work.push((batch, r..e.rows.min(r + rows), p..panels.len().min(p + each)));
            }
        }
    }
    work
}

struct Bound<S> {
    isa: S,
    extent: Extent,
    panels: Vec<Columns>,
    work: Vec<Work>,
    epilogue: Epilogue,
}

impl<S: Simd> Prepared for Bound<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let parallel = cx.parallel();
        let (a, b) = (cx.input::<f32>(0), cx.input::<f32>(1));
        let scratch = cx.worker_scratch();
        let output = cx.output::<f32>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        let e = &self.extent;
        assert!(len >= e.batches.len() * e.rows * e.columns);
        let finish = self.epilogue.bind(cx, y, len);
        let shared = Shared { extent: e, panels: &self.panels, a, b, y, finish: &finish, epilogue: &self.epilogue };
        parallel.run(self.work.len(), &|task, worker| {
            // SAFETY: the task runs as this worker and holds one slice.
            let buffer = unsafe { scratch.of::<f32>(worker) };
            self.isa.vectorize(Run { shared: &shared, work: &self.work[task], buffer });
        });
        Ok(())
    }
}

/// What all tasks of a run share.
struct Shared<'a> {
    extent: &'a Extent,
    panels: &'a [Columns],
    a: &'a [f32],
    b: &'a [f32],
    y: *mut f32,
    finish: &'a Finish<'a>,
    epilogue: &'a Epilogue,
}

// SAFETY: tasks read the inputs and write disjoint parts of the output.
unsafe impl Sync for Shared<'_> {}

struct Run<'a> {
    shared: &'a Shared<'a>,
    work: &'a Work,
    buffer: &'a mut [f32],
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Shared { extent: e, panels, a, b, y, finish, epilogue } = *self.shared;
        let (batch, rows, chosen) = self.work;
        let (from_a, from_b) = e.batches[*batch];
        let a = &a[from_a + rows.start * e.depth..][..rows.len() * e.depth];
        let b = &b[from_b..][..e.depth * e.columns];
        // SAFETY: within the output, whose length was checked.
        let y = unsafe { y.add((batch * e.rows + rows.start) * e.columns) };
        let all = Rows { x: a.as_ptr(), depth: e.depth, apart: e.depth, y, stride: e.columns, rows: rows.len() };
        for c in &panels[chosen.clone()] {
            let (weights, step) = if is_packed(c, e.rows) {
                let packed = &mut self.buffer[..e.depth * c.width()];
                for (row, from) in packed.chunks_exact_mut(c.width()).zip(b.chunks_exact(e.columns)) {
                    if c.lanes == 16 {
                        row.copy_from_slice(&from[c.first..c.first + 16]);
                    } else {
                        row[..c.lanes].copy_from_slice(&from[c.first..c.first + c.lanes]);
                        row[c.lanes..].fill(0.0);
                    }
                }
                (packed.as_ptr(), c.width())
            } else {
                (b[c.first..].as_ptr(), e.columns)
            };
            // SAFETY: the slices above have all rows; no other task has these rows and columns.
            unsafe {
                let init = epilogue.init(c.first);
                gemm::product(s, all, 1, |_| (c.vectors, gemm::panel(c, weights, step, e.depth, init, finish)));
            }
        }
    }
}
