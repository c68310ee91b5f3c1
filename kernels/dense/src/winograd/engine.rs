//! Runs a Winograd convolution.
//!
//! Either each worker takes blocks of tiles through all three stages, the block staying in its second-level cache; or,
//! where the transformed weights are so large that they should be read as seldom as possible, all workers share large
//! blocks and meet after each stage.

use super::{plan::Axes, scheme::Scheme, transform};
use crate::tiled::{Layer, Run};
use core::{marker::PhantomData, ops::Range};
use paring_kernel::{KernelError, Prepared, RunCx, SharedMut};
use paring_simd::{LANES, Simd, Task};

/// Tiles that a task of a shared block transforms.
const TASK_TILES: usize = 2;
/// Panels that a task of a shared block multiplies.
const TASK_PANELS: usize = 8;

/// A prepared Winograd convolution.
pub struct Engine<S, F, const N: usize, const M: usize> {
    pub s: S,
    pub layer: Layer,
    pub axes: Axes,
    /// Whether workers share a block.
    pub shared: bool,
    pub scheme: PhantomData<F>,
}

impl<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize> Prepared for Engine<S, F, N, M> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let grid = &self.layer.grid;
        let run = self.layer.bind(cx)?;
        let (own, shared, parallel) = (cx.worker_scratch(), cx.scratch::<f32>(), cx.parallel());
        let call = |stages: &[Stage], block: &Block<'_>| {
            for &stage in stages {
                self.s.vectorize(Call::<F, N, M> { run: &run, axes: self.axes, block, stage, scheme: PhantomData });
            }
        };
        if !self.shared {
            parallel.run(grid.blocks(), &|task, worker| {
                // SAFETY: a worker runs one task at a time.
                let scratch = SharedMut::new(unsafe { own.of::<f32>(worker) });
                let block = Block { tiles: grid.range(task), scratch };
                let tiles = block.tiles.clone();
                let all = Stage::Multiply { planes: (0, grid.planes), panels: (0, grid.panels()) };
                call(&[Stage::In(tiles.start, tiles.end), all, Stage::Out(tiles.start, tiles.end)], &block);
            });
            return Ok(());
        }
        let groups = grid.panels().div_ceil(TASK_PANELS);
        for b in 0..grid.blocks() {
            let block = Block { tiles: grid.range(b), scratch: shared };
            let part = |task: usize| {
                let from = block.tiles.start + task * TASK_TILES;
                (from, block.tiles.end.min(from + TASK_TILES))
            };
            let tasks = block.tiles.len().div_ceil(TASK_TILES);
            parallel.run(tasks, &|task, _| call(&[Stage::In(part(task).0, part(task).1)], &block));
            parallel.run(grid.planes * groups, &|task, _| {
                let (plane, group) = (task / groups, task % groups * TASK_PANELS);
                let panels = (group, grid.panels().min(group + TASK_PANELS));
                call(&[Stage::Multiply { planes: (plane, plane + 1), panels }], &block);
            });
            parallel.run(tasks, &|task, _| call(&[Stage::Out(part(task).0, part(task).1)], &block));
        }
        Ok(())
    }
}

/// Some tiles, and their transformed inputs followed by their products.
struct Block<'a> {
    tiles: Range<usize>,
    scratch: SharedMut<'a, f32>,
}

/// A part of a stage.
#[derive(Clone, Copy)]
enum Stage {
    /// Transforms the inputs of tiles from one to before another.
    In(usize, usize),
    /// Multiplies some planes by some panels of weights.
    Multiply { planes: (usize, usize), panels: (usize, usize) },
    /// Transforms the products of tiles back.
    Out(usize, usize),
}

struct Call<'a, F, const N: usize, const M: usize> {
    run: &'a Run<'a>,
    axes: Axes,
    block: &'a Block<'a>,
    stage: Stage,
    scheme: PhantomData<F>,
}

impl<F: Scheme<N, M>, const N: usize, const M: usize> Task for Call<'_, F, N, M> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (run, grid, axes, first) = (self.run, self.run.grid(), self.axes, self.block.tiles.start);
        assert!(self.block.scratch.len() >= grid.scratch(), "too little scratch");
        let v = self.block.scratch.as_ptr();
        let products = v.wrapping_add(grid.planes * grid.input_step());
        // SAFETY: the scratch was checked to hold a block; stages of one block run one after the other, and the parts
        // of a stage write disjoint tiles, or disjoint planes and panels.
        unsafe {
            match self.stage {
                Stage::In(from, to) => transform::inputs::<S, F, N, M>(s, grid, axes, run.x, from..to, first, v),
                Stage::Out(from, to) => {
                    let panel = |block: usize| run.panel(block * LANES);
                    if grid.pools {
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
