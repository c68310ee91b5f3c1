//! A prepared convolution by transformed tiles, and one run of it.

use super::{Grid, PANEL};
use crate::{
    epilogue::{Epilogue, Finish, Place},
    tile::{self, Panel},
};
use core::ops::Range;
use paring_kernel::{KernelError, Offer, Packed, Problem, RunCx};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

/// What does not depend on the run.
pub struct Layer {
    pub grid: Grid,
    weights: Arc<Packed>,
    epilogue: Epilogue,
    /// Stores products as they are.
    nothing: Epilogue,
}

impl Layer {
    /// Binds weights and epilogue.
    pub fn new(p: &Problem, o: &Offer, grid: Grid, weights: Arc<Packed>) -> Result<Layer, KernelError> {
        if weights.elements::<f32>().len() != grid.weights() {
            return Err(KernelError::Problem("the packed weights are of another problem".into()));
        }
        // Whoever transforms back pools before all other steps.
        let epilogue = Epilogue::new(p, o.fused - usize::from(grid.pools), grid.outputs, true)?;
        Ok(Layer { nothing: Epilogue::new(p, 0, grid.outputs, true)?, grid, weights, epilogue })
    }

    /// Binds the operands of a run.
    pub fn bind<'a, 'x: 'a>(&'a self, cx: &mut RunCx<'x>) -> Result<Run<'a>, KernelError> {
        let grid = &self.grid;
        let x = cx.input::<f32>(0);
        let y = cx.shared_output::<f32>(0);
        let (y, len) = (y.as_ptr(), y.len());
        let elements = |channels: usize, [h, w]: [usize; 2]| grid.samples * channels * h * w;
        if x.len() != elements(grid.depth(), grid.input) || len != elements(grid.width(), grid.stored()) {
            return Err(KernelError::Problem("operands are of another problem".into()));
        }
        let (finish, nothing) = (self.epilogue.bind(cx, y, len), self.nothing.bind(cx, y, len));
        Ok(Run { layer: self, x, y, finish, nothing })
    }
}

/// One run.
pub struct Run<'a> {
    layer: &'a Layer,
    pub x: &'a [f32],
    pub y: *mut f32,
    finish: Finish<'a>,
    nothing: Finish<'a>,
}

// SAFETY: tasks write disjoint tiles and channels of the output that `y` points to.
unsafe impl Sync for Run<'_> {}

impl Run<'_> {
    /// Tiles and blocks.
    pub fn grid(&self) -> &Grid {
        &self.layer.grid
    }

    /// The block of eight channels from `channel` on, for the epilogue.
    #[inline(always)]
    pub fn panel(&self, channel: usize) -> Panel<'_> {
        let nothing = core::ptr::null();
        let init = self.layer.epilogue.init(channel);
        let lanes = (self.grid().outputs - channel).min(LANES);
        Panel {
            weights: nothing,
            ahead: nothing,
            step: 0,
            offsets: &[],
            k: 0,
            beside: 0,
            init,
            place: Place { channel, lanes, columns: [0, LANES] },
            finish: &self.finish,
        }
    }

    /// Multiplies the transformed inputs of `tiles` tiles at `v` by panels of weights, plane by plane.
    ///
    /// # Safety
    /// `v` must hold the transformed inputs and `products` have room for the products of a block of so many tiles, and
    /// no one else may write these planes and columns of `products`.
    #[inline(always)]
    pub unsafe fn multiply<S: Simd>(
        &self,
        s: S,
        planes: Range<usize>,
        panels: Range<usize>,
        tiles: usize,
        v: *const f32,
        products: *mut f32,
    ) {
        let grid = self.grid();
        let weights = self.layer.weights.elements::<f32>();
        for plane in planes {
            let k = grid.terms(plane);
            let panel = |panel: usize| {
                let weights = weights[grid.weights_at(plane, panel, 0)..].as_ptr();
                let channel = panel * PANEL;
                let lanes = PANEL.min(grid.width() - channel);
                Panel {
                    weights,
                    ahead: weights.wrapping_add(k * PANEL),
                    step: PANEL,
                    offsets: &[],
                    k,
                    beside: 0,
                    init: self.layer.nothing.init(channel),
                    place: Place { channel, lanes, columns: [0, LANES] },
                    finish: &self.nothing,
                }
            };
            let vectors = |panel: &Panel<'_>| panel.place.lanes / LANES;
            let mut at = panels.start;
            while at < panels.end {
                let mut these = panel(at);
                if S::WIDE && at + 1 < panels.end {
                    let next = panel(at + 1);
                    if tile::abreast::<S>(vectors(&these), vectors(&next)) {
                        these = these.with(&next);
                    }
                }
                // SAFETY: rows of at least `k` inputs and of `width` products, of which these columns exist.
                unsafe {
                    let v = v.add(plane * grid.input_step());
                    let products = products.add(plane * grid.product_step() + at * PANEL);
                    let width = vectors(&these);
                    tile::plain(s, width, &these, v, grid.row(), products, grid.width(), tiles);
                    at += width.div_ceil(2);
                }
            }
        }
    }
}
