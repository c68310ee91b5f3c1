//! Runs a convolution of split numbers.

use super::{PANEL, PIXELS, packed_bytes, steps, steps_abreast};
use crate::{
    conv::{
        Cursor, Geometry, Halo, Work,
        engine::{halo, operands},
        lower::Lowered,
        work::cut,
    },
    epilogue::{Epilogue, Finish, Place},
};
use core::ops::Range;
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, RunCx};
use paring_simd::{
    LANES, Simd, Task,
    amx::{Amx, GROUP, Pieces, SPLIT_TERMS, SplitProduct, TILE_ROWS, Tiles},
};
use std::sync::Arc;

/// Multiply-adds of a task at least.
const LEAST: usize = 1 << 20;
/// Panels that take sixteen times as long as splitting their inputs, which every task does for itself.
const WORTH: usize = 16;
/// Tasks that are enough where more cost something.
const ENOUGH: usize = 16;

/// Cuts the problem into tasks: by blocks of pixels, and by panels where those are few.
pub fn work(g: &Geometry) -> Vec<Work> {
    let pixels = g.samples * g.output.iter().product::<usize>();
    let (panels, terms) = (g.outputs.div_ceil(PANEL), g.depth * g.taps);
    let blocks = pixels.div_ceil(PIXELS).max(1);
    let block = pixels.div_ceil(blocks).next_multiple_of(TILE_ROWS).max(1);
    let macs = block.saturating_mul(terms).saturating_mul(g.outputs).max(1);
    let parts = (1 + panels / WORTH).max(2 / blocks).min(ENOUGH / blocks).min(macs / LEAST);
    let pairs = cut(pixels, block * (LEAST / macs).max(1), panels.div_ceil(2), parts);
    let of = |pairs: Range<usize>| 2 * pairs.start..panels.min(2 * pairs.end);
    pairs.into_iter().map(|w| Work { pixels: w.pixels, panels: of(w.panels) }).collect()
}

/// What a worker needs room for.
pub struct Room {
    /// Bytes of split inputs of [`GROUP`] pixels.
    group: usize,
    /// Products of tiles whose sums wait for more steps.
    products: usize,
}

/// Sums of a product of tiles.
const SUMS: usize = GROUP * GROUP;

impl Room {
    /// For a problem cut into these tasks.
    pub fn of(g: &Geometry, pieces: Pieces, work: &[Work]) -> Room {
        let (steps, abreast) = (steps(g), steps_abreast(steps(g), pieces));
        let pairs = work.iter().map(|w| w.panels.len().div_ceil(2)).max().unwrap_or(0);
        let products = if abreast < steps { pairs * PIXELS / GROUP } else { 1 };
        Room { group: abreast * pieces.input_bytes(), products }
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
    abreast: usize,
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
        let (halo, steps, work) = (halo(&g, LANES), steps(&g), work(&g));
        let (abreast, room) = (steps_abreast(steps, pieces), Room::of(&g, pieces, &work));
        Ok(Engine { s, amx, pieces, lowered: g.lower(LANES), halo, steps, abreast, room, packed, epilogue, work })
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
        let each = left.div_ceil(left.div_ceil(PIXELS).max(1)).next_multiple_of(TILE_ROWS).min(PIXELS);
        while left > 0 {
            let n = left.min(each);
            cursor.fill(shared.x, &mut x[..n], &mut y[..n], |at| shared.y.wrapping_add(at));
            for first in (0..e.steps).step_by(e.abreast) {
                let steps = first..e.steps.min(first + e.abreast);
                let offsets = &lowered.offsets[steps.start * EIGHTS..lowered.offsets.len().min(steps.end * EIGHTS)];
                for (group, x) in x[..n].chunks(GROUP).enumerate() {
                    // SAFETY: the view was laid out so that every pixel reads within it at every offset; `run` has seen to the
                    // scratch.
                    unsafe { tiles.split(e.pieces, offsets, x, scratch.add(group * e.room.group)) };
                }
                let mut sums = scratch.wrapping_add(PIXELS / GROUP * e.room.group).cast();
                for panel in work.panels.clone().step_by(2) {
                    let part =
                        Part { panels: panel..work.panels.end.min(panel + 2), steps: steps.clone(), x: scratch, sums };
                    // SAFETY: the inputs were split, and where steps came before, summed up; pixels and channels of the output
                    // are those of its layout, and no other task has them.
                    unsafe { shared.multiply(s, &tiles, &part, &y[..n]) };
                    if e.abreast < e.steps {
                        sums = sums.wrapping_add(PIXELS / GROUP * SUMS);
                    }
                }
            }
            left -= n;
        }
    }
}

/// Eights of terms in a step.
const EIGHTS: usize = SPLIT_TERMS / LANES;

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
    /// Adds some products of pixels, and stores the sums at `y` with the last.
    ///
    /// # Safety
    /// Pixels must be split, as many as `y` has, their sums be there where there were steps before, and their columns of the output
    /// be this task's alone.
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
                for panel in panels.clone().take_while(|_| is_last) {
                    let sums = product.sums.add((panel - panels.start) * PANEL).cast_const();
                    match e.lowered.geometry.outputs - panel * PANEL {
                        ..=LANES => self.store::<S, 1>(s, panel, sums, group),
                        _ => self.store::<S, 2>(s, panel, sums, group),
                    }
                }
            }
            if !(is_first && is_last) {
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
