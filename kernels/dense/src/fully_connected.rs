//! Products with a constant matrix.

use crate::{
    conv::only_f32,
    epilogue::{self, Epilogue, Finish},
    gemm::{self, Rows},
    packed::{self, Matrix},
    panel::{Columns, columns},
    stamp::{self, generic_kernel},
};
use core::ops::Range;
use paring_core::{AlignedBuf, Layout, Op};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, RunCx,
};
use paring_simd::Simd;
use std::sync::Arc;

generic_kernel! {
    /// Product with a constant matrix.
    Dense
}

/// Bytes of weights that a task reads, where rows are few and memory is the limit.
const TASK_BYTES: usize = 128 << 10;
/// Multiply-adds of a task, where rows are many.
const TASK_MACS: usize = 1 << 20;

/// Rows, length of the sum, columns.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Rows of the input.
    pub rows: usize,
    /// Length of the sum.
    pub depth: usize,
    /// Columns of the output.
    pub columns: usize,
    /// Whether the matrix is stored with one row for each column of the output.
    pub transposed: bool,
}

impl Extent {
    /// The extent of `p`, of `f32`.
    ///
    /// # Errors
    /// [`Reject`] where it is no product with a constant matrix of `f32`.
    pub fn of(p: &Problem) -> Result<Extent, Reject> {
        only_f32(p)?;
        Extent::of_any(p)
    }

    /// The extent of `p`, whatever its elements are.
    ///
    /// # Errors
    /// [`Reject`] where it is no product with a constant matrix.
    pub fn of_any(p: &Problem) -> Result<Extent, Reject> {
        let transposed = match &p.op {
            Op::Dense(a) => a.transposed,
            Op::MatMulInteger => false,
            _ => return Err(Reject::because("not a product with a constant matrix")),
        };
        let missing = || Reject::because("an operand is missing");
        let (x, w) = (p.input(0).ok_or_else(missing)?, p.input(1).ok_or_else(missing)?);
        let y = p.output(0).ok_or_else(missing)?;
        if w.constant.is_none() {
            return Err(Reject::because("the matrix is not constant"));
        }
        let contradiction = || Reject::because("the operands' shapes contradict each other");
        let &[first, second] = w.shape.as_slice() else { return Err(contradiction()) };
        let (depth, columns) = if transposed { (second, first) } else { (first, second) };
        let sizes = [x.len(), w.len(), y.len()];
        if sizes.iter().any(|&n| n == 0 || n > isize::MAX as usize / 64) {
            return Err(Reject::because("an operand is empty"));
        }
        let rows = x.len() / depth;
        if x.shape.last() != Some(&depth) || y.shape.last() != Some(&columns) || rows * columns != y.len() {
            return Err(contradiction());
        }
        Ok(Extent { rows, depth, columns, transposed })
    }

    fn packed(&self, panels: &[Columns]) -> usize {
        panels.iter().map(Columns::width).sum::<usize>() * self.depth
    }
}

impl<S: Simd> Kernel for Dense<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let e = Extent::of(p)?;
        out.push(Offer {
            packed_bytes: e.packed(&columns(e.columns, 1)) * size_of::<f32>(),
            packed_format: if e.transposed { "dense-f32-panels-nk" } else { "dense-f32-panels-kn" }.into(),
            ..epilogue::offer(p, epilogue::fusable(p, e.columns), Layout::Plain, Layout::Plain)
        });
        Ok(())
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Ok(e) = Extent::of(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let macs = e.rows as f64 * (o.packed_bytes / size_of::<f32>()) as f64;
        let operands = (e.rows * (e.depth + e.columns) * size_of::<f32>()) as f64;
        let compute = macs / (0.9 * stamp::rate(S::ISA, m));
        let stream = m.weights(o.packed_bytes, 1);
        Cost { ns: compute.max(stream) + 0.1 * compute.min(stream) + 200.0, bytes: operands + o.packed_bytes as f64 }
    }

    fn pack(&self, p: &Problem, _o: &Offer) -> Result<Packed, KernelError> {
        let e = Extent::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let w = stamp::weights(p, 1)?;
        let panels = columns(e.columns, 1);
        let mut data = AlignedBuf::zeroed(e.packed(&panels) * size_of::<f32>())?;
        let mut out: &mut [f32] = bytemuck::cast_slice_mut(data.as_mut_slice());
        for c in &panels {
            let (panel, rest) = core::mem::take(&mut out).split_at_mut(e.depth * c.width());
            for (k, row) in panel.chunks_exact_mut(c.width()).enumerate() {
                for (lane, v) in row[..c.lanes].iter_mut().enumerate() {
                    let n = c.first + lane;
                    *v = if e.transposed { w[n * e.depth + k] } else { w[k * e.columns + n] };
                }
            }
            out = rest;
        }
        Ok(data.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let extent = Extent::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let panels = columns(extent.columns, 1);
        if packed.data.as_slice().len() != extent.packed(&panels) * size_of::<f32>() {
            return Err(KernelError::Problem("weights were packed for another problem".into()));
        }
        let epilogue = Epilogue::new(p, o.fused, extent.columns, false)?;
        let work = split(&extent, &panels);
        Ok(Box::new(Bound { isa: stamp::token::<S>()?, extent, panels, work, packed, epilogue }))
    }
}

/// What one task computes: rows and panels.
type Work = (Range<usize>, Range<usize>);

/// Cuts the problem into tasks, by its shape alone: panels first, so that weights are read once.
fn split(e: &Extent, panels: &[Columns]) -> Vec<Work> {
    let by_bytes = TASK_BYTES / (e.depth * 16 * size_of::<f32>());
    let by_macs = TASK_MACS / (e.depth * 16 * e.rows.min(gemm::block(e.depth)));
    // Whole groups of four, which are read together where rows are few.
    let each = if e.rows < 4 { by_bytes.max(1).next_multiple_of(4) } else { by_macs.max(1) };
    let rows = if each < panels.len() {
        gemm::block(e.depth)
    } else {
        let macs = e.depth.saturating_mul(16 * panels.len());
        (TASK_MACS / macs.max(1)).max(1).next_multiple_of(gemm::block(e.depth))
    };
    let mut work = vec![];
    for p in (0..panels.len()).step_by(each) {
        for r in (0..e.rows).step_by(rows) {
            work.push((r..e.rows.min(r + rows), p..panels.len().min(p + each)));
        }
    }
    work
}

struct Bound<S> {
    isa: S,
    extent: Extent,
    panels: Vec<Columns>,
    work: Vec<Work>,
    packed: Arc<Packed>,
    epilogue: Epilogue,
}

impl<S: Simd> Prepared for Bound<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let e = &self.extent;
        let parallel = cx.parallel();
        let x = cx.input::<f32>(0);
        let output = cx.output::<f32>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        assert!(x.len() >= e.rows * e.depth && len >= e.rows * e.columns);
        let finish = self.epilogue.bind(cx, y, len);
        let shared = Shared {
            extent: e,
            panels: &self.panels,
            weights: self.packed.elements(),
            init: self.epilogue.init(0),
            x: x.as_ptr(),
            y,
            finish: &finish,
        };
        parallel.run(self.work.len(), &|task, _| shared.task(self.isa, &self.work[task]));
        Ok(())
    }
}

/// What all tasks of a run share.
struct Shared<'a> {
    extent: &'a Extent,
    panels: &'a [Columns],
    weights: &'a [f32],
    init: *const f32,
    x: *const f32,
    y: *mut f32,
    finish: &'a Finish<'a>,
}

// SAFETY: tasks read the input and write disjoint parts of the output.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    fn task<S: Simd>(&self, s: S, (rows, panels): &Work) {
        let e = self.extent;
        let matrix = Matrix {
            panels: &self.panels[panels.clone()],
            weights: self.weights.as_ptr(),
            init: self.init,
            finish: self.finish,
        };
        // SAFETY: rows and panels lie within the operands, whose lengths were checked; no other task has this pair.
        unsafe {
            let (x, y) = (self.x.add(rows.start * e.depth), self.y.add(rows.start * e.columns));
            let rows = Rows { x, depth: e.depth, apart: e.depth, y, stride: e.columns, rows: rows.len() };
            packed::product(s, rows, &matrix);
        }
    }
}
