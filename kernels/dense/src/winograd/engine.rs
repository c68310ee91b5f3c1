//! Runs a Winograd convolution.

use super::{plan::Axes, scheme::Scheme, transform};
use crate::tiled::{
    Layer, Run,
    stages::{self, Block, Stage},
};
use core::marker::PhantomData;
use paring_kernel::{KernelError, Prepared, RunCx};
use paring_simd::{LANES, Simd, Task};

/// A prepared Winograd convolution.
pub struct Engine<S, F, const N: usize, const M: usize, const SQUARE: bool, const STRIDE: usize> {
    pub s: S,
    pub layer: Layer,
    pub axes: Axes,
    /// Whether workers share a block.
    pub shared: bool,
    pub scheme: PhantomData<F>,
}

impl<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize, const SQUARE: bool, const STRIDE: usize> Prepared
    for Engine<S, F, N, M, SQUARE, STRIDE>
{
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let run = self.layer.bind(cx)?;
        stages::run(&self.layer.grid, self.shared, cx, &|stage, block| {
            self.s.vectorize(Call::<F, N, M, SQUARE, STRIDE> {
                run: &run,
                axes: self.axes,
                block,
                stage,
                scheme: PhantomData,
            });
        });
        Ok(())
    }
}

struct Call<'a, F, const N: usize, const M: usize, const SQUARE: bool, const STRIDE: usize> {
    run: &'a Run<'a>,
    axes: Axes,
    block: &'a Block<'a>,
    stage: Stage,
    scheme: PhantomData<F>,
}

impl<F: Scheme<N, M>, const N: usize, const M: usize, const SQUARE: bool, const STRIDE: usize> Task
    for Call<'_, F, N, M, SQUARE, STRIDE>
{
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (run, grid, first) = (self.run, self.run.grid(), self.block.tiles.start);
        // Known where this is compiled: transforms of the other windows are left out.
        let axes = match self.axes {
            _ if SQUARE => Axes::Both,
            Axes::Across => Axes::Across,
            _ => Axes::Down,
        };
        assert!(self.block.scratch.len() >= grid.scratch() * size_of::<f32>(), "too little scratch");
        let v = self.block.scratch.as_ptr().cast::<f32>();
        let products = v.wrapping_add(grid.planes * grid.input_step());
        // SAFETY: the scratch was checked to hold a block; stages of one block run one after the other, and the parts
        // of a stage write disjoint tiles, or disjoint planes and panels.
        unsafe {
            match self.stage {
                Stage::In(from, to) => {
                    transform::inputs::<S, F, N, M, STRIDE>(s, grid, axes, run.x, from..to, first, v)
                }
                Stage::Out(from, to) => {
                    let panel = |block: usize| run.panel(block * LANES);
                    if STRIDE == 1 && grid.pools {
                        transform::outputs::<S, F, N, M, true>(s, grid, axes, products, from..to, first, run.y, panel);
                    } else {
                        transform::outputs::<S, F, N, M, false>(s, grid, axes, products, from..to, first, run.y, panel);
                    }
                }
                Stage::Multiply { planes, panels } => {
                    let (planes, panels) = (planes.0..planes.1, panels.0..panels.1);
                    run.multiply(s, planes, panels, self.block.tiles.len(), v, products);
                }
            }
        }
    }
}
