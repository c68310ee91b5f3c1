//! Products with a constant matrix, of several rows.

use super::{
    Family, Shape,
    engine::{Engine, Places},
    way::Way,
};
use crate::{
    epilogue::{self, Epilogue},
    fully_connected::Extent,
};
use paring_core::{AlignedBuf, Layout};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

/// See the module.
pub struct Dense;

/// Rows that are worth it.
const FEWEST: usize = 4;

impl Family for Dense {
    type Problem = Extent;

    fn of(p: &Problem) -> Result<Extent, Reject> {
        let e = Extent::of(p)?;
        if e.rows < FEWEST {
            return Err(Reject::because("few rows: memory is the limit, not arithmetic"));
        }
        if !e.depth.is_multiple_of(LANES) {
            return Err(Reject::because("only terms in whole eights"));
        }
        Ok(e)
    }

    fn shape(e: &Extent) -> Shape {
        Shape { pixels: e.rows, terms: e.depth, columns: e.columns }
    }

    fn offer(p: &Problem, e: &Extent) -> (Offer, usize) {
        let offer = epilogue::offer(p, epilogue::fusable(p, e.columns), Layout::Plain, Layout::Plain);
        let order = if e.transposed { "dense-nk" } else { "dense-kn" };
        (Offer { packed_format: order.into(), ..offer }, 0)
    }

    fn pack<W: Way>(e: &Extent, way: W, weights: &[f32]) -> Result<AlignedBuf, KernelError> {
        Dense::shape(e).pack(way, |k, column| match e.transposed {
            true => weights[column * e.depth + k],
            false => weights[k * e.columns + column],
        })
    }

    fn prepare<S: Simd, W: Way>(
        how: (S, W, W::Proof),
        p: &Problem,
        o: &Offer,
        extent: Extent,
        packed: Arc<Packed>,
    ) -> Result<Box<dyn Prepared>, KernelError> {
        let epilogue = Epilogue::new(p, o.fused, extent.columns, false)?;
        let offsets = (0..extent.depth).step_by(LANES).map(|k| k * size_of::<f32>()).collect();
        let rows = Rows { extent, offsets };
        Ok(Box::new(Engine::new(how, rows, &Dense::shape(&extent), epilogue, packed)))
    }
}

/// Rows of the input and of the output.
struct Rows {
    extent: Extent,
    offsets: Vec<usize>,
}

impl Places for Rows {
    type At<'a> = usize;

    fn operands(&self, cx: &mut RunCx<'_>) -> (*const f32, *mut f32, usize) {
        let (e, x, output) = (&self.extent, cx.input::<f32>(0), cx.output::<f32>(0));
        let (y, len) = (output.as_mut_ptr(), output.len());
        assert!(x.len() >= e.rows * e.depth && len >= e.rows * e.columns);
        (x.as_ptr(), y, len)
    }

    fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    #[inline(always)]
    fn apart(&self) -> usize {
        LANES
    }

    #[inline(always)]
    fn at(&self, row: usize) -> usize {
        row
    }

    #[inline(always)]
    fn fill(&self, row: &mut usize, (from, x): (*const f32, &mut [*const f32]), (to, y): (*mut f32, &mut [*mut f32])) {
        for (x, y) in x.iter_mut().zip(y) {
            *x = from.wrapping_add(*row * self.extent.depth);
            *y = to.wrapping_add(*row * self.extent.columns);
            *row += 1;
        }
    }
}
