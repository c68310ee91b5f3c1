//! Runs a Winograd convolution of bytes.

use super::{Plan, SCALE, product::Product, transform};
use crate::finish::{Epilogue, Finish};
use paring_dense::tiled::{
    PANEL,
    stages::{self, Block, Stage},
};
use paring_kernel::{KernelError, Packed, Prepared, Problem, RunCx};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// A prepared convolution.
pub struct Engine<S> {
    s: S,
    plan: Plan,
    packed: Arc<Packed>,
    epilogue: Epilogue,
}

impl<S: Simd> Engine<S> {
    /// Binds packed weights and epilogue.
    ///
    /// # Errors
    /// [`KernelError::Problem`] where the weights were packed for another problem.
    pub fn new(s: S, p: &Problem, plan: Plan, packed: Arc<Packed>) -> Result<Engine<S>, KernelError> {
        if packed.data.as_slice().len() != plan.packed_bytes {
            return Err(KernelError::Problem("the weights were packed for another problem".into()));
        }
        let scale: Vec<f32> = plan.channels.products(plan.x).iter().map(|s| s / SCALE).collect();
        Ok(Engine { s, epilogue: Epilogue::new(p, &scale, true)?, plan, packed })
    }
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let grid = &self.plan.grid;
        let x = cx.input::<u8>(0);
        let pixels = |channels: usize, [h, w]: [usize; 2]| grid.samples * channels * h * w;
        let output = cx.output::<u8>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        assert!(x.len() >= pixels(grid.depth(), grid.input), "the input is too short");
        assert!(len >= pixels(grid.width(), grid.output) * self.epilogue.size(), "the output is too short");
        let finish = self.epilogue.bind(cx, y, len);
        stages::run(grid, self.plan.shared, cx, &|stage, block| {
            self.s.vectorize(Call { plan: &self.plan, packed: &self.packed, finish: &finish, x, block, stage });
        });
        Ok(())
    }
}

struct Call<'a> {
    plan: &'a Plan,
    packed: &'a Packed,
    finish: &'a Finish<'a>,
    x: &'a [u8],
    block: &'a Block<'a>,
    stage: Stage,
}

impl Task for Call<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (grid, tiles) = (&self.plan.grid, &self.block.tiles);
        assert!(self.block.scratch.len() >= self.plan.scratch(), "too little scratch");
        let v = self.block.scratch.as_ptr();
        let (v, products) = (v.cast::<i16>(), v.wrapping_add(self.plan.input_bytes()).cast::<i32>());
        let weights = self.packed.elements::<i16>();
        // SAFETY: the scratch was checked to hold a block; stages of one block run one after the other, and the parts
        // of a stage write disjoint tiles, or disjoint planes and panels. Weights were checked to be there for all.
        unsafe {
            match self.stage {
                Stage::In(from, to) => {
                    transform::inputs(s, grid, self.plan.x, self.x, from..to, tiles.start, v);
                }
                Stage::Multiply { planes, panels } => {
                    for plane in planes.0..planes.1 {
                        for panel in panels.0..panels.1 {
                            let each = PANEL * grid.depth();
                            let product = Product {
                                v: v.add(plane * grid.input_step()),
                                depth: grid.depth(),
                                w: weights[(plane * grid.panels() + panel) * each..][..each].as_ptr(),
                                products: products.add(plane * grid.product_step() + panel * PANEL),
                                width: grid.width(),
                            };
                            let vectors = (grid.width() - panel * PANEL).min(PANEL) / LANES;
                            product.run(s, vectors, tiles.len());
                        }
                    }
                }
                Stage::Out(from, to) => {
                    transform::outputs(s, grid, products, from..to, tiles.start, self.finish);
                }
            }
        }
    }
}
