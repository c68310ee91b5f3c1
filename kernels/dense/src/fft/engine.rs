//! Runs a Fourier convolution: all workers share a block of tiles and meet after each of its three stages.

use super::transform;
use crate::tiled::{Layer, Run};
use core::ops::Range;
use paring_kernel::{KernelError, Prepared, RunCx, SharedMut};
use paring_simd::{LANES, Simd, Task};

/// Blocks of channels of a tile that a task transforms.
const TASK_BLOCKS: usize = 4;
/// Planes and panels that a task multiplies.
const TASK_PLANES: usize = 4;
const TASK_PANELS: usize = 8;

/// A prepared Fourier convolution by tiles of `N x N`.
pub struct Engine<S, const N: usize> {
    pub s: S,
    pub layer: Layer,
}

impl<S: Simd, const N: usize> Prepared for Engine<S, N> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let grid = &self.layer.grid;
        let run = self.layer.bind(cx)?;
        let (own, spectra, parallel) = (cx.worker_scratch(), cx.scratch::<f32>(), cx.parallel());
        let call = |stage: Stage, tiles: &Range<usize>, worker: usize| {
            // SAFETY: a worker runs one task at a time.
            let own = unsafe { own.of::<f32>(worker) };
            self.s.vectorize(Call::<N> { run: &run, tiles, stage, spectra, own });
        };
        let (planes, panels) = (grid.planes.div_ceil(TASK_PLANES), grid.panels().div_ceil(TASK_PANELS));
        for block in 0..grid.blocks() {
            let tiles = grid.range(block);
            let transform = |channels: usize, stage: fn(usize, Range<usize>) -> Stage| {
                let blocks = channels / LANES;
                let parts = blocks.div_ceil(TASK_BLOCKS);
                parallel.run(tiles.len() * parts, &|task, worker| {
                    let from = task % parts * TASK_BLOCKS;
                    let part = from..blocks.min(from + TASK_BLOCKS);
                    call(stage(tiles.start + task / parts, part), &tiles, worker);
                });
            };
            transform(grid.depth(), Stage::In);
            parallel.run(planes * panels, &|task, worker| {
                let (plane, panel) = (task / panels * TASK_PLANES, task % panels * TASK_PANELS);
                let planes = plane..grid.planes.min(plane + TASK_PLANES);
                let panels = panel..grid.panels().min(panel + TASK_PANELS);
                call(Stage::Multiply(planes, panels), &tiles, worker);
            });
            transform(grid.width(), Stage::Out);
        }
        Ok(())
    }
}

/// A part of a stage.
enum Stage {
    /// Transforms the inputs of a tile in some blocks of channels.
    In(usize, Range<usize>),
    /// Multiplies some planes by some panels of weights.
    Multiply(Range<usize>, Range<usize>),
    /// Transforms the products of a tile in some blocks of channels back.
    Out(usize, Range<usize>),
}

struct Call<'a, const N: usize> {
    run: &'a Run<'a>,
    /// Those of the block.
    tiles: &'a Range<usize>,
    stage: Stage,
    /// The spectra of a block, followed by its products.
    spectra: SharedMut<'a, f32>,
    /// The worker's own memory.
    own: &'a mut [f32],
}

impl<const N: usize> Task for Call<'_, N> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (run, grid) = (self.run, self.run.grid());
        assert!(self.spectra.len() >= grid.scratch() && self.own.len() >= transform::memory(N), "too little scratch");
        let v = self.spectra.as_ptr();
        let products = v.wrapping_add(grid.planes * grid.input_step());
        let own = self.own.as_mut_ptr();
        // SAFETY: the scratch was checked to hold a block; stages of one block run one after the other, and the parts
        // of a stage write disjoint tiles and blocks of channels, or disjoint planes and panels.
        unsafe {
            match self.stage {
                Stage::In(tile, blocks) => {
                    let v = v.add((tile - self.tiles.start) * grid.depth());
                    transform::inputs::<S, N>(s, grid, run.x, tile, blocks, v, own);
                }
                Stage::Out(tile, blocks) => {
                    for block in blocks {
                        let panel = run.panel(block * LANES);
                        let at = (tile - self.tiles.start) * grid.width() + block * LANES;
                        transform::outputs::<S, N>(s, grid, products.add(at), tile, block, run.y, &panel, own);
                    }
                }
                Stage::Multiply(planes, panels) => run.multiply(s, planes, panels, self.tiles.len(), v, products),
            }
        }
    }
}
