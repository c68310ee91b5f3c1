//! Products with a constant matrix, of several rows.

use super::{Family, Shape, places::Places, way::Way};
use crate::{epilogue, fully_connected::Extent};
use paring_core::{AlignedBuf, Layout};
use paring_kernel::{KernelError, Offer, Problem, Reject};
use paring_simd::LANES;

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

    fn places(extent: Extent) -> Places {
        let offsets = (0..extent.depth).step_by(LANES).map(|k| k * size_of::<f32>()).collect();
        Places::Rows { extent, offsets }
    }

    const PADDED: bool = false;
}
