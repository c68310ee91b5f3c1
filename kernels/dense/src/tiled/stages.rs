//! The three stages of a convolution by transformed tiles, block by block.
//!
//! Either each worker takes blocks of tiles through all three stages, the block staying in its second-level cache; or,
//! where the transformed weights are so large that they should be read as seldom as possible, all workers share large
//! blocks and meet after each stage.

use super::Grid;
use core::ops::Range;
use paring_kernel::{KernelError, Machine, Offer, RunCx, Scratch, SharedMut};

/// Variants of offers: whether workers share blocks of tiles.
pub const VARIANTS: [bool; 2] = [false, true];

/// Tiles of a worker's own block: two of the micro-kernel's, so that the block stays in the second-level cache.
const OWN_TILES: usize = 12;
/// Blocks below which workers share them instead: weights are read once for each block, and few blocks leave workers
/// without one.
const LEAST_BLOCKS: usize = 8;
/// Most bytes of a shared block, which goes through the last-level cache: no more than need be where the weights stay
/// there, as much as fits where they come from memory for each block.
const SHARED_BYTES: usize = 2 << 20;
const SHARED_BYTES_OF_LARGE: usize = 12 << 20;
/// Bytes of weights that stay in the last-level cache.
const CACHED_WEIGHTS: usize = 8 << 20;

/// Tiles that a task of a shared block transforms.
const TASK_TILES: usize = 2;
/// Panels that a task of a shared block multiplies.
const TASK_PANELS: usize = 8;

/// Whether workers share blocks of tiles in an offer that was chosen.
///
/// # Errors
/// [`KernelError::Problem`] where it has no such variant.
pub fn is_shared(o: &Offer) -> Result<bool, KernelError> {
    let shared = VARIANTS.get(o.variant as usize).copied();
    shared.ok_or_else(|| KernelError::Problem("the offer is of another kernel".into()))
}

/// Scratch for blocks of so many bytes.
pub fn scratch(shared: bool, block: usize) -> Scratch {
    if shared { Scratch { shared: block, per_worker: 0 } } else { Scratch { shared: 0, per_worker: block } }
}

/// Bytes that go through the last-level cache as blocks of so many bytes leave the one before: each is written and read
/// twice.
pub fn spilt(grid: &Grid, block: usize, m: &Machine) -> f64 {
    if block > 2 * m.l2 { 4.0 * (block * grid.blocks()) as f64 } else { 0.0 }
}

/// Most tiles of a block, where the transformed weights are so many bytes (`None`: more than can be counted), and the
/// transformed inputs and products of a tile so many.
pub fn tiles_of_block(shared: bool, weights: Option<usize>, tile: usize) -> usize {
    if !shared {
        return OWN_TILES;
    }
    let large = weights.is_none_or(|n| n > CACHED_WEIGHTS);
    let bytes = if large { SHARED_BYTES_OF_LARGE } else { SHARED_BYTES };
    (bytes / tile).max(2 * OWN_TILES)
}

/// Whether there are enough blocks for each worker to have its own.
pub fn is_divisible(grid: &Grid) -> bool {
    grid.all_tiles() > (LEAST_BLOCKS - 1) * OWN_TILES
}

/// Some tiles, and memory for their transformed inputs followed by their products.
pub struct Block<'a> {
    /// The tiles.
    pub tiles: Range<usize>,
    /// As much as the offer asked for, aligned to whatever divides that.
    pub scratch: SharedMut<'a, u8>,
}

/// A part of a stage.
#[derive(Clone, Copy)]
pub enum Stage {
    /// Transforms the inputs of tiles from one to before another.
    In(usize, usize),
    /// Multiplies some planes by some panels of weights.
    Multiply {
        /// The first, and the one after the last.
        planes: (usize, usize),
        /// See `planes`.
        panels: (usize, usize),
    },
    /// Transforms the products of tiles back.
    Out(usize, usize),
}

/// Calls `call` for all parts of all stages. Stages of one block run one after the other, and the parts of a stage have
/// disjoint tiles, or disjoint planes and panels. Blocks lie in the memory that all workers share where `shared`, else in
/// that of each.
pub fn run(grid: &Grid, shared: bool, cx: &mut RunCx<'_>, call: &(dyn Fn(Stage, &Block<'_>) + Sync)) {
    let (own, scratch, parallel) = (cx.worker_scratch(), cx.scratch::<u8>(), cx.parallel());
    if !shared {
        parallel.run(grid.blocks(), &|task, worker| {
            // SAFETY: a worker runs one task at a time.
            let scratch = SharedMut::new(unsafe { own.of::<u8>(worker) });
            let block = Block { tiles: grid.range(task), scratch };
            let Range { start, end } = block.tiles;
            call(Stage::In(start, end), &block);
            call(Stage::Multiply { planes: (0, grid.planes), panels: (0, grid.panels()) }, &block);
            call(Stage::Out(start, end), &block);
        });
        return;
    }
    let groups = grid.panels().div_ceil(TASK_PANELS);
    for b in 0..grid.blocks() {
        let block = Block { tiles: grid.range(b), scratch };
        let part = |task: usize| {
            let from = block.tiles.start + task * TASK_TILES;
            (from, block.tiles.end.min(from + TASK_TILES))
        };
        let tasks = block.tiles.len().div_ceil(TASK_TILES);
        parallel.run(tasks, &|task, _| call(Stage::In(part(task).0, part(task).1), &block));
        parallel.run(grid.planes * groups, &|task, _| {
            let (plane, group) = (task / groups, task % groups * TASK_PANELS);
            let panels = (group, grid.panels().min(group + TASK_PANELS));
            call(Stage::Multiply { planes: (plane, plane + 1), panels }, &block);
        });
        parallel.run(tasks, &|task, _| call(Stage::Out(part(task).0, part(task).1), &block));
    }
}
