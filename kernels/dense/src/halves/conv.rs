//! Convolution: direct, on blocks of eight channels.

use super::{Family, Shape, places::Places, way::Way};
use crate::{
    conv::{Geometry, Walk, halo},
    epilogue,
};
use paring_core::{AlignedBuf, Layout, Op};
use paring_kernel::{KernelError, Offer, Problem, Reject};
use paring_simd::LANES;

/// See the module.
pub struct Conv;

impl Family for Conv {
    type Problem = Geometry;

    fn of(p: &Problem) -> Result<Geometry, Reject> {
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        let g = Geometry::of_conv(p, a)?;
        if g.groups != 1 || g.walk(LANES) != Walk::Blocks {
            return Err(Reject::because("only one group, and input channels in whole blocks"));
        }
        Ok(g)
    }

    fn shape(g: &Geometry) -> Shape {
        Shape {
            pixels: g.samples * g.output.iter().product::<usize>(),
            terms: g.depth.next_multiple_of(LANES) * g.taps,
            columns: g.outputs,
        }
    }

    fn offer(p: &Problem, g: &Geometry) -> (Offer, usize) {
        let shared = halo(g, LANES).map_or(0, |h| h.elements() * size_of::<f32>());
        let offer = epilogue::offer(p, epilogue::fusable(p, g.outputs), Layout::Blocked(8), Layout::Blocked(8));
        (Offer { packed_format: "conv".into(), ..offer }, shared)
    }

    fn pack<W: Way>(g: &Geometry, way: W, weights: &[f32]) -> Result<AlignedBuf, KernelError> {
        let too_large = || KernelError::Problem("the weights are too large".into());
        let (shape, rows) = (Conv::shape(g), g.sizes(Walk::Blocks).ok_or_else(too_large)?.0);
        let rows = g.pack(Walk::Blocks, rows, weights)?;
        let rows: &[f32] = bytemuck::cast_slice(rows.as_slice());
        // For each column where its terms are: the first, and from one to the next.
        let (mut places, mut from) = (Vec::with_capacity(g.outputs), 0);
        for c in crate::panel::columns(g.outputs, 1) {
            places.extend((0..c.lanes).map(|lane| (from + lane, c.width())));
            from += shape.terms * c.width();
        }
        shape.pack(way, |k, column| rows[places[column].0 + k * places[column].1])
    }

    fn places(g: Geometry) -> Places {
        let halo = halo(&g, LANES);
        Places::Windows { halo, lowered: Box::new(g.lower(LANES)) }
    }

    const PADDED: bool = true;
}
