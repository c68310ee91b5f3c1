//! Runs a Winograd convolution.
//!
//! Either each worker takes blocks of tiles through all three stages, the block staying in its second-level cache; or,
//! where the transformed weights are so large that they should be read as seldom as possible, all workers share large
//! blocks and meet after each stage.

use super::{
    plan::{PANEL, Plan},
    scheme::Scheme,
    transform,
};
use crate::{
    epilogue::{Epilogue, Finish},
    tile::{self, Panel},
};
use core::{marker::PhantomData, ops::Range};
use paring_kernel::{KernelError, Packed, Prepared, RunCx, SharedMut};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// Tiles that a task of a shared block transforms.
const TASK_TILES: usize = 2;
/// Panels that a task of a shared block multiplies.
const TASK_PANELS: usize = 8;

/// A prepared Winograd convolution.
pub struct Engine<S, F, const N: usize, const M: usize> {
    s: S,
    plan: Plan,
    weights: Arc<Packed>,
    epilogue: Epilogue,
    /// Stores products as they are.
    nothing: Epilogue,
    _scheme: PhantomData<F>,
}

impl<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize> Engine<S, F, N, M> {
    /// Binds weights and epilogue; `nothing` is an empty epilogue.
    pub fn new(
        s: S,
        plan: Plan,
        weights: Arc<Packed>,
        epilogue: Epilogue,
        nothing: Epilogue,
    ) -> Result<Self, KernelError> {
        if weights.elements::<f32>().len() != plan.weights()
            || plan.n != plan.axes.extent(N)
            || plan.m != plan.axes.extent(M)
        {
            return Err(KernelError::Problem("the packed weights are of another problem".into()));
        }
        Ok(Engine { s, plan, weights, epilogue, nothing, _scheme: PhantomData })
    }
}

impl<S: Simd, F: Scheme<N, M>, const N: usize, const M: usize> Prepared for Engine<S, F, N, M> {
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
        let (own, shared, parallel) = (cx.worker_scratch(), cx.scratch::<f32>(), cx.parallel());
        let run = Run {
            plan,
            x,
            weights: self.weights.elements(),
            epilogue: &self.epilogue,
            finish: &finish,
            nothing: &nothing,
            none: &self.nothing,
            y,
        };
        let call = |stages: &[Stage], block: &Block<'_>| {
            for &stage in stages {
                self.s.vectorize(Call::<F, N, M> { run: &run, block, stage, _scheme: PhantomData });
            }
        };
        let positions = plan.positions();
        if !plan.shared {
            parallel.run(plan.blocks(), &|task, worker| {
                // SAFETY: a worker runs one task at a time.
                let scratch = SharedMut::new(unsafe { own.of::<f32>(worker) });
                let block = Block { tiles: plan.range(task), scratch };
                let tiles = block.tiles.clone();
                let all = Stage::Multiply { positions: (0, positions), panels: (0, plan.panels()) };
                call(&[Stage::In(tiles.start, tiles.end), all, Stage::Out(tiles.start, tiles.end)], &block);
            });
            return Ok(());
        }
        let groups = plan.panels().div_ceil(TASK_PANELS);
        for b in 0..plan.blocks() {
            let block = Block { tiles: plan.range(b), scratch: shared };
            let part = |task: usize| {
                let from = block.tiles.start + task * TASK_TILES;
                (from, block.tiles.end.min(from + TASK_TILES))
            };
            let tasks = block.tiles.len().div_ceil(TASK_TILES);
            parallel.run(tasks, &|task, _| call(&[Stage::In(part(task).0, part(task).1)], &block));
            parallel.run(positions * groups, &|task, _| {
                let (position, group) = (task / groups, task % groups * TASK_PANELS);
                let panels = (group, plan.panels().min(group + TASK_PANELS));
                call(&[Stage::Multiply { positions: (position, position + 1), panels }], &block);
            });
            parallel.run(tasks, &|task, _| call(&[Stage::Out(part(task).0, part(task).1)], &block));
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
}

// SAFETY: stages write disjoint tiles of the output that `y` points to.
unsafe impl Sync for Run<'_> {}

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
    /// Multiplies at some positions by some panels of weights.
    Multiply { positions: (usize, usize), panels: (usize, usize) },
    /// Transforms the products of tiles back.
    Out(usize, usize),
}

struct Call<'a, F, const N: usize, const M: usize> {
    run: &'a Run<'a>,
    block: &'a Block<'a>,
    stage: Stage,
    _scheme: PhantomData<F>,
}

impl<F: Scheme<N, M>, const N: usize, const M: usize> Task for Call<'_, F, N, M> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (run, plan, first) = (self.run, self.run.plan, self.block.tiles.start);
        assert!(self.block.scratch.len() >= plan.scratch(), "too little scratch");
        let v = self.block.scratch.as_ptr();
        let products = v.wrapping_add(plan.positions() * plan.input_step());
        // SAFETY: the scratch was checked to hold a block; stages of one block run one after the other, and the parts
        // of a stage write disjoint tiles, or disjoint positions and panels.
        unsafe {
            match self.stage {
                Stage::In(from, to) => transform::inputs::<S, F, N, M>(s, plan, run.x, from..to, first, v),
                Stage::Out(from, to) => {
                    let panel = |block: usize| run.panel(block * LANES);
                    transform::outputs::<S, F, N, M>(s, plan, products, from..to, first, run.y, panel);
                }
                Stage::Multiply { positions, panels } => {
                    for position in positions.0..positions.1 {
                        let v = v.add(position * plan.input_step());
                        let products = products.add(position * plan.product_step());
                        for panel in panels.0..panels.1 {
                            run.multiply(s, position, panel, self.block.tiles.len(), v, products);
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

    /// Multiplies `tiles` transformed inputs at `v` by one panel of weights.
    ///
    /// # Safety
    /// `v` and `products` must be valid for that many rows, and no one else may write these columns of `products`.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(
        &self,
        s: S,
        position: usize,
        panel: usize,
        tiles: usize,
        v: *const f32,
        products: *mut f32,
    ) {
        let plan = self.plan;
        let each = plan.inputs * PANEL;
        let weights = self.weights[(position * plan.panels() + panel) * each..][..each].as_ptr();
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
