//! Product of one row with a constant matrix that is read where it lies.
//!
//! A single row reads every weight once, so that memory is the limit and packing gains nothing: a matrix that is stored
//! transposed, one row for each output, is read from the model's file as it is. Opening then costs neither time nor
//! memory for it.

use crate::{
    epilogue::{self, Epilogue, Place},
    fully_connected::Extent,
    one_row::OneRow,
    stamp::{self, generic_kernel},
    tile::Panel,
};
use core::ops::Range;
use paring_core::{Layout, Tensor};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, RunCx,
};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

generic_kernel! {
    /// Product of one row with a constant matrix, not packed.
    Unpacked
}

/// Bytes of weights that a task reads.
const TASK_BYTES: usize = 128 << 10;

/// The extent of a problem that can be served.
fn extent(p: &Problem) -> Result<Extent, Reject> {
    let e = Extent::of(p)?;
    if !e.transposed {
        return Err(Reject::because("the matrix is not stored with one row for each output"));
    }
    if e.rows != 1 {
        return Err(Reject::because("more than one row: packed weights are read less often"));
    }
    Ok(e)
}

impl<S: Simd> Kernel for Unpacked<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let e = extent(p)?;
        out.push(epilogue::offer(p, epilogue::fusable(p, e.columns), Layout::Plain, Layout::Plain));
        Ok(())
    }

    fn cost(&self, p: &Problem, _o: &Offer, m: &Machine) -> Cost {
        let Ok(e) = extent(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let weights = e.depth.saturating_mul(e.columns).saturating_mul(size_of::<f32>());
        // A load for each multiply-add, and a sum across lanes for each output.
        let compute = 2.0 * weights as f64 / 4.0 / stamp::rate(S::ISA, m) + 2.0 * e.columns as f64;
        let stream = m.weights(weights, 1);
        Cost { ns: compute.max(stream) + 200.0, bytes: weights as f64 }
    }

    fn prepare(&self, p: &Problem, o: &Offer, _packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let extent = extent(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let weights = p.constant(1).cloned().ok_or_else(|| KernelError::Problem("no weights".into()))?;
        if weights.bytes().len() != extent.depth * extent.columns * size_of::<f32>() {
            return Err(KernelError::Problem("the matrix is not of f32".into()));
        }
        let epilogue = Epilogue::new(p, o.fused, extent.columns, false)?;
        Ok(Box::new(Bound { isa: stamp::token::<S>()?, extent, weights, epilogue }))
    }
}

struct Bound<S> {
    isa: S,
    extent: Extent,
    weights: Arc<Tensor>,
    epilogue: Epilogue,
}

impl<S: Simd> Prepared for Bound<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let e = &self.extent;
        let parallel = cx.parallel();
        let row = OneRow::bind(e, &self.epilogue, cx);
        let each = (TASK_BYTES / (e.depth * size_of::<f32>())).max(1).next_multiple_of(LANES);
        parallel.run(e.columns.div_ceil(each), &|task, _| {
            let columns = task * each..e.columns.min((task + 1) * each);
            self.isa.vectorize(Run { row: &row, weights: &self.weights, columns });
        });
        Ok(())
    }
}

/// One task.
struct Run<'a> {
    row: &'a OneRow<'a>,
    weights: &'a Tensor,
    columns: Range<usize>,
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let OneRow { extent: e, epilogue, x, y, ref finish } = *self.row;
        for first in self.columns.clone().step_by(LANES) {
            let lanes = LANES.min(self.columns.end - first);
            // Columns that do not exist repeat the last that does.
            let row =
                |i: usize| self.weights.bytes()[(first + i.min(lanes - 1)) * e.depth * size_of::<f32>()..].as_ptr();
            let rows = [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)];
            let panel = Panel {
                weights: core::ptr::null(),
                ahead: core::ptr::null(),
                step: 0,
                offsets: &[],
                k: 0,
                beside: 0,
                init: epilogue.init(first),
                place: Place { channel: first, lanes, columns: [first, first + LANES] },
                finish,
            };
            // SAFETY: every row has `depth` elements, as has `x`; the columns exist and no other task has them.
            unsafe {
                let sums = s.add(dots(s, rows, x), s.load(panel.init));
                finish.store::<S, 1, 1>(s, &panel.place, [[sums]], [y]);
            }
        }
    }
}

/// The products of `x` with eight rows of elements that need not be aligned.
///
/// # Safety
/// Rows must be valid for reads of as many `f32` as `x` has.
#[inline(always)]
unsafe fn dots<S: Simd>(s: S, rows: [*const u8; LANES], x: &[f32]) -> S::V {
    let mut sums = [s.splat(0.0); LANES];
    let whole = x.len() / LANES * LANES;
    for k in (0..whole).step_by(LANES) {
        // SAFETY: within `x` and the rows.
        unsafe {
            let v = s.load(x.as_ptr().add(k));
            for i in 0..LANES {
                sums[i] = s.mul_add(s.load(rows[i].cast::<f32>().wrapping_add(k)), v, sums[i]);
            }
        }
    }
    // Lane `j` of `sums[i]` becomes lane `i` of vector `j`, whose sum holds all products.
    let t = s.transpose(sums);
    let pairs = [s.add(t[0], t[4]), s.add(t[1], t[5]), s.add(t[2], t[6]), s.add(t[3], t[7])];
    let mut total = s.add(s.add(pairs[0], pairs[2]), s.add(pairs[1], pairs[3]));
    for k in whole..x.len() {
        let mut last = [0.0; LANES];
        for i in 0..LANES {
            // SAFETY: within the rows.
            last[i] = unsafe { rows[i].cast::<f32>().wrapping_add(k).read_unaligned() };
        }
        total = s.mul_add(s.from_array(last), s.splat(x[k]), total);
    }
    total
}
