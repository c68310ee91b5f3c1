//! Runs a Fourier convolution: all workers share a block of tiles and meet after each of its three stages.

use super::{
    plan::{PANEL, Plan},
    transform,
};
use crate::{
    epilogue::{Epilogue, Finish},
    tile::{self, Panel},
};
use core::ops::Range;
use paring_kernel::{KernelError, Packed, Prepared, RunCx, SharedMut};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// Blocks of channels of a tile that a task transforms.
const TASK_BLOCKS: usize = 4;
/// Planes and panels that a task multiplies.
const TASK_PLANES: usize = 4;
const TASK_PANELS: usize = 8;

/// A prepared Fourier convolution by tiles of `N x N`.
pub struct Engine<S, const N: usize> {
    s: S,
    plan: Plan,
    weights: Arc<Packed>,
    epilogue: Epilogue,
    /// Stores products as they are.
    nothing: Epilogue,
}

impl<S: Simd, const N: usize> Engine<S, N> {
    /// Binds weights and epilogue; `nothing` is an empty epilogue.
    pub fn new(
        s: S,
        plan: Plan,
        weights: Arc<Packed>,
        epilogue: Epilogue,
        nothing: Epilogue,
    ) -> Result<Self, KernelError> {
        if weights.elements::<f32>().len() != plan.weights() || plan.n != N {
            return Err(KernelError::Problem("the packed weights are of another problem".into()));
        }
        Ok(Engine { s, plan, weights, epilogue, nothing })
    }
}

impl<S: Simd, const N: usize> Prepared for Engine<S, N> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let plan = &self.plan;
        let x = cx.input::<f32>(0);
        let y = cx.shared_output::<f32>(0);
        let (y, len) = (y.as_ptr(), y.len());
        let plane = |c: usize, [h, w]: [usize; 2]| plan.samples * c * h * w;
        if x.len() != plane(plan.depth(), plan.input) || len != plane(plan.width(), plan.output) {
            return Err(KernelError::Problem("operands are of another problem".into()));
        }
        let (finish, nothing) = (self.epilogue.bind(cx, y, len), self.nothing.bind(cx, y, len));
        let (own, spectra, parallel) = (cx.worker_scratch(), cx.scratch::<f32>(), cx.parallel());
        let run = Run {
            plan,
            x,
            weights: self.weights.elements(),
            epilogue: &self.epilogue,
            finish: &finish,
            nothing: &nothing,
            none: &self.nothing,
            y,
            spectra,
        };
        let call = |stage: Stage, tiles: &Range<usize>, worker: usize| {
            // SAFETY: a worker runs one task at a time.
            let own = unsafe { own.of::<f32>(worker) };
            self.s.vectorize(Call::<N> { run: &run, tiles, stage, own });
        };
        let (planes, panels) = (plan.planes().div_ceil(TASK_PLANES), plan.panels().div_ceil(TASK_PANELS));
        for block in 0..plan.blocks() {
            let tiles = plan.range(block);
            let transform = |channels: usize, stage: fn(usize, Range<usize>) -> Stage| {
                let blocks = channels / LANES;
                let parts = blocks.div_ceil(TASK_BLOCKS);
                parallel.run(tiles.len() * parts, &|task, worker| {
                    let from = task % parts * TASK_BLOCKS;
                    let part = from..blocks.min(from + TASK_BLOCKS);
                    call(stage(tiles.start + task / parts, part), &tiles, worker);
                });
            };
            transform(plan.depth(), Stage::In);
            parallel.run(planes * panels, &|task, worker| {
                let (plane, panel) = (task / panels * TASK_PLANES, task % panels * TASK_PANELS);
                let planes = plane..plan.planes().min(plane + TASK_PLANES);
                let panels = panel..plan.panels().min(panel + TASK_PANELS);
                call(Stage::Multiply(planes, panels), &tiles, worker);
            });
            transform(plan.width(), Stage::Out);
        }
        Ok(())
    }
}

/// One run.
struct Run<'a> {
    plan: &'a Plan,
    x: &'a [f32],
    weights: &'a [f32],
    epilogue: &'a Epilogue,
    finish: &'a Finish<'a>,
    nothing: &'a Finish<'a>,
    none: &'a Epilogue,
    y: *mut f32,
    /// The spectra of a block, followed by its products.
    spectra: SharedMut<'a, f32>,
}

// SAFETY: stages write disjoint tiles and channels of the output that `y` points to.
unsafe impl Sync for Run<'_> {}

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
    /// The worker's own memory.
    own: &'a mut [f32],
}

impl<const N: usize> Task for Call<'_, N> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (run, plan) = (self.run, self.run.plan);
        assert!(run.spectra.len() >= plan.scratch() && self.own.len() >= transform::memory(N), "too little scratch");
        let v = run.spectra.as_ptr();
        let products = v.wrapping_add(plan.planes() * plan.input_step());
        let own = self.own.as_mut_ptr();
        // SAFETY: the scratch was checked to hold a block; stages of one block run one after the other, and the parts
        // of a stage write disjoint tiles and blocks of channels, or disjoint planes and panels.
        unsafe {
            match self.stage {
                Stage::In(tile, blocks) => {
                    let v = v.add((tile - self.tiles.start) * plan.depth());
                    transform::inputs::<S, N>(s, plan, run.x, tile, blocks, v, own);
                }
                Stage::Out(tile, blocks) => {
                    for block in blocks {
                        let panel = run.panel(block * LANES);
                        let at = (tile - self.tiles.start) * plan.width() + block * LANES;
                        transform::outputs::<S, N>(s, plan, products.add(at), tile, block, run.y, &panel, own);
                    }
                }
                Stage::Multiply(planes, panels) => {
                    for plane in planes {
                        let v = v.add(plane * plan.input_step());
                        let products = products.add(plane * plan.product_step());
                        for panel in panels.clone() {
                            run.multiply(s, plane, panel, self.tiles.len(), v, products);
                        }
                    }
                }
            }
        }
    }
}

impl<'a> Run<'a> {
    /// The block of channels from `channel` on, for the epilogue.
    fn panel(&self, channel: usize) -> Panel<'a> {
        Panel {
            weights: self.weights.as_ptr(),
            ahead: self.weights.as_ptr(),
            step: 0,
            offsets: &[],
            k: 0,
            init: self.epilogue.init(channel),
            channel,
            lanes: (self.plan.outputs - channel).min(LANES),
            columns: [0, LANES],
            finish: self.finish,
        }
    }

    /// Multiplies the spectra of `tiles` at `v` by one panel of weights.
    ///
    /// # Safety
    /// `v` and `products` must be valid for that many rows, and no one else may write these columns of `products`.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(
        &self,
        s: S,
        plane: usize,
        panel: usize,
        tiles: usize,
        v: *const f32,
        products: *mut f32,
    ) {
        let plan = self.plan;
        let each = plan.inputs * PANEL;
        let weights = self.weights[(plane * plan.panels() + panel) * each..][..each].as_ptr();
        let channel = panel * PANEL;
        let columns = PANEL.min(plan.width() - channel);
        let panel = Panel {
            weights,
            ahead: weights.wrapping_add(each),
            step: PANEL,
            offsets: &[],
            k: plan.inputs,
            init: self.none.init(channel),
            channel,
            lanes: columns,
            columns: [0, LANES],
            finish: self.nothing,
        };
        // SAFETY: rows of `depth` inputs and of `width` products, of which these columns exist.
        unsafe { tile::plain(s, columns / LANES, &panel, v, plan.depth(), products.add(channel), plan.width(), tiles) }
    }
}
