//! Runs a convolution of split numbers.

use super::{PANEL, PIXELS, packed_bytes, steps, steps_abreast};
use crate::{
    conv::{
        Cursor, Geometry, Halo, Work,
        engine::{halo, operands},
        lower::Lowered,
        work::{cut, even},
    },
    epilogue::{Epilogue, Finish, Place},
};
use core::ops::Range;
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, RunCx};
use paring_simd::{
    LANES, Simd, Task,
    amx::{Amx, EIGHTS, GROUP, Pieces, SplitProduct, TILE_ROWS, Tiles},
};
use std::sync::Arc;

/// Multiply-adds of a task at least, where pixels are many enough.
const LEAST: usize = 1 << 20;
/// Panels of a task at least, where there are several of the same pixels: splitting those takes a fifth as long as products with
/// so many, and every task does it for itself.
const PANELS: usize = 16;
/// Tasks that are enough where more cost something.
const ENOUGH: usize = 16;

/// How the problem is cut into tasks: by blocks of pixels, and by panels where those are few.
pub struct Cuts {
    /// Pixels.
    pixels: usize,
    /// Pixels of a task.
    per_task: usize,
    /// Pairs of panels, which are multiplied together.
    pairs: usize,
    /// Tasks of the same pixels, which split them each.
    pub parts: usize,
}

impl Cuts {
    /// The cuts of a problem.
    pub fn of(g: &Geometry) -> Cuts {
        let pixels = g.samples * g.output.iter().product::<usize>();
        let (panels, pairs) = (g.outputs.div_ceil(PANEL), g.outputs.div_ceil(2 * PANEL));
        let (blocks, block) = (pixels.div_ceil(PIXELS), even(pixels, PIXELS, TILE_ROWS));
        let macs = block.saturating_mul(g.depth * g.taps).saturating_mul(g.outputs);
        let parts = (1 + panels / PANELS).max(2 / blocks).min(ENOUGH / blocks).min(macs / LEAST);
        Cuts { pixels, per_task: block * LEAST.div_ceil(macs), pairs, parts: parts.clamp(1, pairs) }
    }

    /// The tasks, of panels up to `panels`.
    fn work(&self, panels: usize) -> Vec<Work> {
        let of = |pairs: Range<usize>| 2 * pairs.start..panels.min(2 * pairs.end);
        let tasks = cut(self.pixels, self.per_task, self.pairs, self.parts).into_iter();
        tasks.map(|w| Work { pixels: w.pixels, panels: of(w.panels) }).collect()
    }
}

/// What a worker needs room for.
pub struct Room {
    /// Steps that are summed before the sums are put aside.
    abreast: usize,
    /// Bytes of split inputs of [`GROUP`] pixels.
    group: usize,
    /// Whether sums wait for more steps: then each product of tiles has room of its own, or else all have the same.
    waits: bool,
    /// Products of tiles that have room for their sums.
    products: usize,
}

/// Sums of a product of tiles.
const SUMS: usize = GROUP * GROUP;

impl Room {
    /// For a problem cut so.
    pub fn of(g: &Geometry, pieces: Pieces, cuts: &Cuts) -> Room {
        let abreast = steps_abreast(g, pieces);
        let waits = abreast < steps(g);
        let products = if waits { cuts.pairs.div_ceil(cuts.parts) * (PIXELS / GROUP) } else { 1 };
        Room { abreast, group: abreast * pieces.input_bytes(), waits, products }
    }

    /// All bytes.
    pub fn bytes(&self) -> usize {
        PIXELS / GROUP * self.group + self.products * SUMS * size_of::<f32>()
    }
}

/// A prepared convolution.
pub struct Engine<S> {
    s: S,
    amx: Amx,
    pieces: Pieces,
    lowered: Lowered,
    halo: Option<Halo>,
    steps: usize,
    room: Room,
    packed: Arc<Packed>,
    epilogue: Epilogue,
    work: Vec<Work>,
}

impl<S: Simd> Engine<S> {
    /// Binds packed weights and epilogue.
    ///
    /// # Errors
    /// [`KernelError::Problem`] where the weights were packed for another problem.
    pub fn new(
        s: S,
        (amx, pieces): (Amx, Pieces),
        p: &Problem,
        o: &Offer,
        g: Geometry,
        packed: Arc<Packed>,
    ) -> Result<Engine<S>, KernelError> {
        if packed_bytes(&g, pieces) != Some(packed.data.as_slice().len()) {
            return Err(KernelError::Problem("the weights were packed for another problem".into()));
        }
        let epilogue = Epilogue::new(p, o.fused, g.outputs, true)?;
        let (halo, steps, cuts) = (halo(&g, LANES), steps(&g), Cuts::of(&g));
        let work = cuts.work(g.outputs.div_ceil(PANEL));
        let room = Room::of(&g, pieces, &cuts);
        Ok(Engine { s, amx, pieces, lowered: g.lower(LANES), halo, steps, room, packed, epilogue, work })
    }
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, y, len) = operands(&self.lowered, self.halo.as_ref(), cx);
        let parallel = cx.parallel();
        let shared = Shared { engine: self, x, y, finish: &self.epilogue.bind(cx, y, len) };
        let own = cx.worker_scratch();
        parallel.run(self.work.len(), &|task, worker| {
            // SAFETY: a worker runs one task at a time.
            let scratch = unsafe { own.of::<u8>(worker) };
            assert!(scratch.len() >= self.room.bytes());
            self.s.vectorize(Call { shared: &shared, work: &self.work[task], scratch: scratch.as_mut_ptr() });
        });
        Ok(())
    }
}

/// What all tasks of a run share.
struct Shared<'a, S> {
    engine: &'a Engine<S>,
    x: *const f32,
    y: *mut f32,
    finish: &'a Finish<'a>,
}

// SAFETY: tasks read the input and write disjoint parts of the output.
unsafe impl<S: Sync> Sync for Shared<'_, S> {}

/// One task.
struct Call<'a, S> {
    shared: &'a Shared<'a, S>,
    work: &'a Work,
    scratch: *mut u8,
}

impl<E: Simd> Task for Call<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Call { shared, work, scratch } = self;
        let e = shared.engine;
        let lowered = &e.lowered;
        let mut cursor = Cursor::new(&lowered.geometry, &lowered.view, &lowered.phases[0].phase, work.pixels.start);
        let (mut x, mut y) = ([shared.x; PIXELS], [shared.y; PIXELS]);
        let tiles = e.amx.tiles();
        let mut left = work.pixels.len();
        let each = even(left, PIXELS, TILE_ROWS);
        while left > 0 {
            let n = left.min(each);
            cursor.fill(shared.x, &mut x[..n], &mut y[..n], |at| shared.y.wrapping_add(at));
            for first in (0..e.steps).step_by(e.room.abreast) {
                let steps = first..e.steps.min(first + e.room.abreast);
                // SAFETY: pixels and channels of the output are those of its layout, and no other task has them; `run` has seen
                // to the scratch, and steps follow one another.
                unsafe { shared.add(s, &tiles, steps, &work.panels, (&x[..n], &y[..n]), scratch) };
            }
            left -= n;
        }
    }
}

/// One or two panels, and some steps of their sums.
struct Part {
    panels: Range<usize>,
    steps: Range<usize>,
    /// Split inputs.
    x: *const u8,
    /// Room for sums of one [`GROUP`], or for those of all where there are steps before or after.
    sums: *mut f32,
}

impl<E> Shared<'_, E> {
    /// Splits some terms of the sums of pixels at `x`, adds their products with panels, and stores the sums at `y` with the last.
    ///
    /// # Safety
    /// Pixels must be readable at all offsets, [`PIXELS`] at most; `scratch` have [`Room`], and what this has put there with the
    /// steps before; and the pixels' columns of the output be this task's alone.
    #[inline(always)]
    unsafe fn add<S: Simd>(
        &self,
        s: S,
        tiles: &Tiles,
        steps: Range<usize>,
        panels: &Range<usize>,
        (x, y): (&[*const f32], &[*mut f32]),
        scratch: *mut u8,
    ) {
        let e = self.engine;
        let offsets = &e.lowered.offsets;
        let offsets = &offsets[steps.start * EIGHTS..offsets.len().min(steps.end * EIGHTS)];
        for (group, x) in x.chunks(GROUP).enumerate() {
            // SAFETY: the caller's promise.
            unsafe { tiles.split(e.pieces, offsets, x, scratch.add(group * e.room.group)) };
        }
        let mut sums = scratch.wrapping_add(PIXELS / GROUP * e.room.group).cast();
        for panel in panels.clone().step_by(2) {
            let panels = panel..panels.end.min(panel + 2);
            let part = Part { panels, steps: steps.clone(), x: scratch, sums };
            // SAFETY: the inputs were split, and where steps came before, summed up; the caller's promise.
            unsafe { self.multiply(s, tiles, &part, y) };
            if e.room.waits {
                sums = sums.wrapping_add(PIXELS / GROUP * SUMS);
            }
        }
    }

    /// Adds some products of pixels, and stores the sums at `y` with the last.
    ///
    /// # Safety
    /// Pixels must be split, as many as `y` has, there be room for sums as [`Part`] has it, and they be there where there were steps
    /// before; their columns of the output must be this task's alone.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, s: S, tiles: &Tiles, part: &Part, y: &[*mut f32]) {
        let Part { panels, steps, x, sums } = part;
        let e = self.engine;
        let (is_first, is_last) = (steps.start == 0, steps.end == e.steps);
        let last = panels.end - 1;
        let panel_bytes = e.steps * e.pieces.weight_bytes();
        let weights = |panel: usize| {
            e.packed.data.as_slice()[panel * panel_bytes + steps.start * e.pieces.weight_bytes()..].as_ptr()
        };
        let mut product = SplitProduct {
            x: *x,
            w: [weights(panels.start), weights(last)],
            // Panels follow one another; each group of pixels fetches one.
            ahead: weights(last).wrapping_add(panel_bytes),
            steps: steps.len(),
            init: [e.epilogue.init(panels.start * PANEL), e.epilogue.init(last * PANEL)],
            init_row: 0,
            sums: *sums,
        };
        for group in y.chunks(GROUP) {
            if !is_first {
                product.init = [product.sums, product.sums.wrapping_add(PANEL)].map(|p| p.cast_const());
                product.init_row = GROUP * size_of::<f32>();
            }
            // SAFETY: the caller's promise; there are weights and starts for whole panels.
            unsafe {
                tiles.multiply_split(e.pieces, &product, group.len().div_ceil(TILE_ROWS), panels.len());
                if is_last {
                    for panel in panels.clone() {
                        let sums = product.sums.add((panel - panels.start) * PANEL).cast_const();
                        match e.lowered.geometry.outputs - panel * PANEL {
                            ..=LANES => self.store::<S, 1>(s, panel, sums, group),
                            _ => self.store::<S, 2>(s, panel, sums, group),
                        }
                    }
                }
            }
            if e.room.waits {
                product.sums = product.sums.wrapping_add(SUMS);
            }
            product.x = product.x.wrapping_add(e.room.group);
            product.ahead = product.ahead.wrapping_add(panel_bytes);
        }
    }

    /// Finishes and stores the sums of a panel.
    ///
    /// # Safety
    /// As for [`Shared::multiply`]; the sums of as many pixels as `y` must be there, [`GROUP`] apart.
    #[inline(always)]
    unsafe fn store<S: Simd, const NV: usize>(&self, s: S, panel: usize, sums: *const f32, y: &[*mut f32]) {
        let g = &self.engine.lowered.geometry;
        let (channel, plane) = (panel * PANEL, g.output.iter().product::<usize>() * LANES);
        let first = channel / LANES * plane;
        let place = Place { channel, lanes: (g.outputs - channel).min(PANEL), columns: [first, first + plane] };
        let deferred = self.finish.is_deferred(&place, NV);
        let mut at = 0;
        // SAFETY: the caller's promise.
        unsafe {
            while at + 4 <= y.len() {
                self.store_some::<S, 4, NV>(s, &place, sums.add(at * GROUP), &y[at..at + 4], deferred);
                at += 4;
            }
            while at < y.len() {
                self.store_some::<S, 1, NV>(s, &place, sums.add(at * GROUP), &y[at..at + 1], deferred);
                at += 1;
            }
            if deferred {
                self.finish.finish(s, &place, y, NV);
            }
        }
    }

    /// As [`Shared::store`], of `PX` pixels.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    unsafe fn store_some<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        place: &Place,
        sums: *const f32,
        y: &[*mut f32],
        deferred: bool,
    ) {
        let mut values = [[s.splat(0.0); NV]; PX];
        let mut to = [self.y; PX];
        to.copy_from_slice(y);
        // SAFETY: the caller's promise.
        unsafe {
            for i in 0..PX {
                for h in 0..NV {
                    values[i][h] = s.load(sums.add(i * GROUP + h * LANES));
                }
            }
            self.finish.store_or_defer(s, place, values, to, deferred);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_have_every_pixel_and_panel_once() {
        let sizes =
            [(1, 8, 1), (1, 16, 512), (7, 512, 160), (7, 320, 1280), (14, 1024, 255), (56, 64, 64), (112, 16, 8)];
        for (side, depth, outputs) in sizes {
            let g = Geometry::pointwise(1, [1, side, side], depth, outputs);
            let (pixels, panels) = (side * side, outputs.div_ceil(PANEL));
            let mut seen = vec![0; pixels * panels];
            for w in Cuts::of(&g).work(panels) {
                assert!(!w.pixels.is_empty() && !w.panels.is_empty() && w.panels.start % 2 == 0);
                w.pixels.flat_map(|p| w.panels.clone().map(move |q| p * panels + q)).for_each(|i| seen[i] += 1);
            }
            assert!(seen.iter().all(|&n| n == 1), "{side} x {side}, {depth} to {outputs}");
        }
    }
}
