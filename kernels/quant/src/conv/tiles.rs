//! Convolution of bytes by tiles, whatever multiplies them.

use super::{engine::Engine, plan::Plan};
use crate::{
    family::{Family, Target},
    finish,
    rows::{Count, Layout, QUAD, Room},
    tiles::{Extent, Tiles},
};
use paring_kernel::{Cost, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch};
use paring_simd::Simd;
use paring_vector::support::{BLOCKED, bytes_moved};
use std::{marker::PhantomData, sync::Arc};

/// See the module: multiplied as `M` does.
pub struct ConvTiles<M>(PhantomData<M>);

impl Plan {
    /// Rows of each panel, where none is left out nor needs another.
    fn heights(&self) -> impl Iterator<Item = usize> + '_ {
        self.panels.iter().map(|c| {
            let (first, end) = self.touched(c);
            (end - first) * self.geometry.taps
        })
    }

    /// Bytes of packed [rows](Plan::rows) for tiles, of which each panel has `least` at the least.
    ///
    /// # Errors
    /// [`Reject`] where weights are no bytes, or sums too short.
    fn tile_bytes(&self, p: &Problem, least: usize) -> Result<usize, Reject> {
        let w = p.constant(1).ok_or_else(|| Reject::because("the weights are not constant"))?;
        let are_bytes = self.are_bytes(w);
        let mut count = Count::default();
        for (c, rows) in self.panels.iter().zip(self.heights()) {
            if rows < least {
                return Err(Reject::because("a sum is too short for tiles"));
            }
            if !are_bytes && !Room::Any.fits_one(&self.panel(w, c)) {
                return Err(Reject::because("weights less their zero point are no bytes"));
            }
            count.panel(c.width(), rows);
        }
        Ok(count.bytes())
    }
}

impl<M: Tiles> Family for ConvTiles<M> {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let plan = Plan::of(p, M::KIND)?;
        let packed_bytes = plan.tile_bytes(p, M::LEAST_ROWS)?;
        let offer = finish::offer(p, BLOCKED);
        let per_worker = M::scratch(plan.heights().max().unwrap_or(0));
        out.push(Offer {
            inputs: plan.late.as_ref().map_or(offer.inputs.clone(), |late| late.inputs(&offer)),
            scratch: Scratch { shared: plan.scratch().iter().sum(), per_worker },
            packed_bytes,
            packed_format: plan.packed_format(M::KIND).into(),
            variant: M::KIND as u32,
            ..offer
        });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, _: Target, m: &Machine) -> Cost {
        let Ok(plan) = Plan::of(p, M::KIND) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let elements = p.output(0).map_or(0, |y| y.len()) as f64;
        // Where there are groups, each panel has inputs of its own.
        let gathered = if plan.geometry.groups > 1 { plan.heights().sum() } else { plan.heights().max().unwrap_or(0) };
        let extent = Extent {
            pixels: elements / plan.geometry.outputs as f64,
            panels: plan.panels.len(),
            per_pixel: o.packed_bytes as f64,
            gathered: (QUAD * gathered) as f64,
            elements,
        };
        let stream = m.weights(o.packed_bytes, 1) + elements / (2.0 * m.l3_bandwidth);
        let copy = o.scratch.shared as f64 * 2.0 / m.l3_bandwidth;
        let bytes = bytes_moved(p, o) as f64 + o.packed_bytes as f64 + 2.0 * o.scratch.shared as f64;
        Cost { ns: M::price(&extent, m) + 0.5 * stream + copy + 500.0, bytes }
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        super::Conv::pack(p, o)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p, M::KIND).map_err(|r| KernelError::Problem(r.to_string()))?;
        let engine = Engine::new(s, M::of::<S>(plan.x)?, p, plan, packed)?;
        // A file may have any rows.
        if !is_paired(&engine.product.layout, engine.plan.heights()) {
            return Err(KernelError::Problem("the weights were packed for another problem".into()));
        }
        Ok(Box::new(engine))
    }
}

/// Whether panels have so many rows each, and these come in pairs for the fours of one eight, which sources are counted by.
fn is_paired(layout: &Layout, heights: impl Iterator<Item = usize>) -> bool {
    let (pairs, odd) = layout.sources.as_chunks::<2>();
    let paired = odd.is_empty() && pairs.iter().all(|[a, b]| a % 2 == 0 && *b == a + 1);
    paired && layout.panels.iter().map(|p| p.rows.len()).eq(heights)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Rows;

    #[test]
    fn rows_for_tiles_are_known_by_their_pairs() {
        let packed = |sources: [&[u32]; 2]| {
            let mut rows = Rows::new(Room::Any);
            for panel in sources {
                rows.panel(1);
                panel.iter().for_each(|&source| rows.push_one(source, &[[0; QUAD]]));
            }
            Layout::read(rows.pack().unwrap().as_slice(), &[1, 1]).unwrap()
        };
        let paired = |sources| is_paired(&packed(sources), [2, 4].into_iter());
        assert!(paired([&[6, 7], &[0, 1, 2, 3]]));
        assert!(!paired([&[7, 8], &[0, 1, 2, 3]]), "two halves of two eights");
        assert!(!paired([&[6, 6], &[0, 1, 2, 3]]), "one half twice");
        assert!(!paired([&[6, 7, 0, 1], &[2, 3]]), "rows of another panel");
        assert!(!paired([&[6], &[7, 0, 1, 2, 3]]), "odd rows");
        assert!(!paired([&[6, 7, 8], &[0, 1, 2, 3]]), "too many rows");
    }
}
