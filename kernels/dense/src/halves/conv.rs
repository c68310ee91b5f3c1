//! Convolution: direct, on blocks of eight channels.

use super::{
    Family, Shape,
    engine::{Engine, Places},
    way::Way,
};
use crate::{
    conv::{Cursor, Geometry, Halo, Lowered, Walk, halo, operands},
    epilogue::{self, Epilogue},
};
use paring_core::{AlignedBuf, Layout, Op};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

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

    fn prepare<S: Simd, W: Way>(
        how: (S, W, W::Proof),
        p: &Problem,
        o: &Offer,
        g: Geometry,
        packed: Arc<Packed>,
    ) -> Result<Box<dyn Prepared>, KernelError> {
        let (shape, halo) = (Conv::shape(&g), halo(&g, LANES));
        let epilogue = Epilogue::new(p, o.fused, g.outputs, true)?;
        let windows = Windows { halo, lowered: g.lower(LANES) };
        Ok(Box::new(Engine::new(how, windows, &shape, epilogue, packed)))
    }
}

/// The windows of pixels.
struct Windows {
    halo: Option<Halo>,
    lowered: Lowered,
}

impl Places for Windows {
    type At<'a> = Cursor<'a>;

    fn operands(&self, cx: &mut RunCx<'_>) -> (*const f32, *mut f32, usize) {
        operands(&self.lowered, self.halo.as_ref(), cx)
    }

    fn offsets(&self) -> &[usize] {
        &self.lowered.offsets
    }

    #[inline(always)]
    fn apart(&self) -> usize {
        self.lowered.geometry.output.iter().product::<usize>() * LANES
    }

    #[inline(always)]
    fn at(&self, pixel: usize) -> Cursor<'_> {
        Cursor::new(&self.lowered.geometry, &self.lowered.view, &self.lowered.phases[0].phase, pixel)
    }

    #[inline(always)]
    fn fill(
        &self,
        at: &mut Cursor<'_>,
        (from, x): (*const f32, &mut [*const f32]),
        (to, y): (*mut f32, &mut [*mut f32]),
    ) {
        at.fill(from, x, y, |at| to.wrapping_add(at));
    }
}
