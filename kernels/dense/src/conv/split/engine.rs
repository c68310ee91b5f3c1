//! Runs a convolution of split numbers.

use super::{PANEL, PIXELS, packed_bytes, steps};
use crate::{
    conv::{
        Cursor, Geometry, Halo, Tasks, Work,
        engine::{halo, operands},
        lower::Lowered,
    },
    epilogue::{Epilogue, Finish, Place},
};
use core::{mem::MaybeUninit, ops::Range};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, RunCx};
use paring_simd::{
    LANES, Simd, Task,
    amx::{Amx, GROUP, SPLIT_STEP, SplitProduct, TILE_ROWS, Tiles},
};
use std::sync::Arc;

/// Multiply-adds of a task: less where the whole problem is small.
const TASKS: Tasks = Tasks { macs: [16 << 20, 64 << 20], block: PIXELS, step: TILE_ROWS };

/// Cuts the problem into tasks.
fn work(g: &Geometry) -> Vec<Work> {
    let pixels = g.samples * g.output.iter().product::<usize>();
    let per_pixel = (g.depth * g.taps).saturating_mul(g.outputs).max(1);
    TASKS.of(pixels, per_pixel, g.outputs.div_ceil(PANEL))
}

/// A prepared convolution.
pub struct Engine<S> {
    s: S,
    amx: Amx,
    lowered: Lowered,
    halo: Option<Halo>,
    steps: usize,
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
        amx: Amx,
        p: &Problem,
        o: &Offer,
        g: Geometry,
        packed: Arc<Packed>,
    ) -> Result<Engine<S>, KernelError> {
        if packed_bytes(&g) != Some(packed.data.as_slice().len()) {
            return Err(KernelError::Problem("the weights were packed for another problem".into()));
        }
        let epilogue = Epilogue::new(p, o.fused, g.outputs, true)?;
        let (halo, steps, work) = (halo(&g, LANES), steps(&g), work(&g));
        Ok(Engine { s, amx, lowered: g.lower(LANES), halo, steps, packed, epilogue, work })
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
            assert!(scratch.len() >= PIXELS / GROUP * self.steps * SPLIT_STEP[0]);
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
        let (lowered, group_bytes) = (&e.lowered, e.steps * SPLIT_STEP[0]);
        let mut cursor = Cursor::new(&lowered.geometry, &lowered.view, &lowered.phases[0].phase, work.pixels.start);
        let (mut x, mut y) = ([shared.x; PIXELS], [shared.y; PIXELS]);
        let tiles = e.amx.tiles();
        let mut left = work.pixels.len();
        while left > 0 {
            let n = left.min(PIXELS);
            cursor.fill(shared.x, &mut x[..n], &mut y[..n], |at| shared.y.wrapping_add(at));
            for (group, x) in x[..n].chunks(GROUP).enumerate() {
                // SAFETY: the view was laid out so that every pixel reads within it at every offset; `run` has seen to the scratch.
                unsafe { tiles.split(&lowered.offsets, x, scratch.add(group * group_bytes)) };
            }
            for panel in work.panels.clone().step_by(2) {
                let panels = panel..work.panels.end.min(panel + 2);
                // SAFETY: the inputs were split; pixels and channels of the output are those of its layout, and no other task has them.
                unsafe { shared.multiply(s, &tiles, panels, scratch, &y[..n]) };
            }
            left -= n;
        }
    }
}

/// The sums of a product of tiles.
#[repr(align(64))]
struct Sums(MaybeUninit<[f32; GROUP * GROUP]>);

impl<E> Shared<'_, E> {
    /// Multiplies split pixels at `x` by one or two panels, and stores them at `y`.
    ///
    /// # Safety
    /// They must be split, as many as `y` has, and their columns of the output be this task's alone.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, s: S, tiles: &Tiles, panels: Range<usize>, x: *const u8, y: &[*mut f32]) {
        let e = self.engine;
        let mut sums = Sums(MaybeUninit::uninit());
        let sums: *mut f32 = sums.0.as_mut_ptr().cast();
        let last = panels.end - 1;
        let weights = |panel: usize| e.packed.data.as_slice()[panel * e.steps * SPLIT_STEP[1]..].as_ptr();
        let mut product = SplitProduct {
            x,
            w: [weights(panels.start), weights(last)],
            // Panels follow one another; each group of pixels fetches one.
            ahead: weights(last).wrapping_add(e.steps * SPLIT_STEP[1]),
            steps: e.steps,
            init: [e.epilogue.init(panels.start * PANEL), e.epilogue.init(last * PANEL)],
            sums,
        };
        for group in y.chunks(GROUP) {
            // SAFETY: the caller's promise; there are weights and starts for whole panels.
            unsafe {
                tiles.multiply_split(&product, group.len().div_ceil(TILE_ROWS), panels.len());
                for panel in panels.clone() {
                    let sums = sums.add((panel - panels.start) * PANEL).cast_const();
                    match e.lowered.geometry.outputs - panel * PANEL {
                        ..=LANES => self.store::<S, 1>(s, panel, sums, group),
                        _ => self.store::<S, 2>(s, panel, sums, group),
                    }
                }
            }
            product.x = product.x.wrapping_add(e.steps * SPLIT_STEP[0]);
            product.ahead = product.ahead.wrapping_add(e.steps * SPLIT_STEP[1]);
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
