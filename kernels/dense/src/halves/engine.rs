//! Runs products of halves.

use super::{
    PANEL, Shape,
    places::Places,
    way::{Product, Way},
};
use crate::{
    conv::{Work, cut, even},
    epilogue::{Epilogue, Finish, Place},
};
use core::ops::Range;
use paring_kernel::{KernelError, Packed, Prepared, RunCx};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// Multiply-adds of a task at least, where pixels are many enough.
const LEAST: usize = 1 << 20;
/// Panels of a task at least, where there are several of the same pixels: making those halves, with AMX, takes a fifth as long as products
/// with so many, and every task does it for itself.
const PANELS: usize = 16;
/// Tasks that are enough where more cost something.
const ENOUGH: usize = 16;

/// How the problem is cut into tasks: by blocks of pixels, and by panels where those are few.
pub struct Cuts {
    /// Pixels.
    pixels: usize,
    /// Pixels of a task.
    per_task: usize,
    /// Panels that are multiplied together.
    abreast: usize,
    /// How many times those there are.
    bundles: usize,
    /// Tasks of the same pixels, which make them halves each.
    pub parts: usize,
}

impl Cuts {
    /// The cuts of a problem.
    pub fn of<W: Way>(shape: &Shape) -> Cuts {
        let (pixels, panels) = (shape.pixels, shape.panels());
        let bundles = panels.div_ceil(W::ABREAST);
        let (blocks, block) = (pixels.div_ceil(W::PIXELS), even(pixels, W::PIXELS, W::ROWS));
        let macs = block.saturating_mul(shape.terms).saturating_mul(shape.columns);
        let parts = (1 + panels / PANELS).max(2 / blocks).min(ENOUGH / blocks).min(macs / LEAST);
        let per_task = block * LEAST.div_ceil(macs);
        Cuts { pixels, per_task, abreast: W::ABREAST, bundles, parts: parts.clamp(1, bundles) }
    }

    /// The tasks, of panels up to `panels`.
    fn work(&self, panels: usize) -> Vec<Work> {
        let of = |bundles: Range<usize>| self.abreast * bundles.start..panels.min(self.abreast * bundles.end);
        let tasks = cut(self.pixels, self.per_task, self.bundles, self.parts).into_iter();
        tasks.map(|w| Work { pixels: w.pixels, panels: of(w.panels) }).collect()
    }
}

/// What a worker needs room for.
pub struct Room {
    /// Steps that are summed before the sums are put aside.
    abreast: usize,
    /// Bytes of the halves of [`Way::GROUP`] pixels.
    group: usize,
    /// Whether sums wait for more steps: then each product has room of its own, or else all have the same.
    waits: bool,
    /// Products that have room for their sums.
    products: usize,
}

/// Sums of a pixel in a product.
const fn row<W: Way>() -> usize {
    W::ABREAST * PANEL
}

/// Sums of a product.
const fn sums<W: Way>() -> usize {
    W::GROUP * row::<W>()
}

impl Room {
    /// For a problem cut so.
    pub fn of<W: Way>(shape: &Shape, way: W, cuts: &Cuts) -> Room {
        let abreast = shape.steps_abreast(way);
        let waits = abreast < shape.steps::<W>();
        let products = if waits { cuts.bundles.div_ceil(cuts.parts) * (W::PIXELS / W::GROUP) } else { 1 };
        Room { abreast, group: abreast * way.input_bytes(), waits, products }
    }

    /// All bytes.
    pub fn bytes<W: Way>(&self) -> usize {
        W::PIXELS / W::GROUP * self.group + self.products * sums::<W>() * size_of::<f32>()
    }
}

/// A prepared kernel.
pub struct Engine<S, W: Way> {
    s: S,
    proof: W::Proof,
    way: W,
    places: Places,
    columns: usize,
    steps: usize,
    room: Room,
    packed: Arc<Packed>,
    epilogue: Epilogue,
    work: Vec<Work>,
}

impl<S: Simd, W: Way> Engine<S, W> {
    /// Binds packed weights, of the size that `shape` asks for, and epilogue.
    pub fn new(
        (s, way, proof): (S, W, W::Proof),
        places: Places,
        shape: &Shape,
        epilogue: Epilogue,
        packed: Arc<Packed>,
    ) -> Engine<S, W> {
        let (steps, cuts) = (shape.steps::<W>(), Cuts::of::<W>(shape));
        let (work, room) = (cuts.work(shape.panels()), Room::of(shape, way, &cuts));
        Engine { s, proof, way, places, columns: shape.columns, steps, room, packed, epilogue, work }
    }
}

impl<S: Simd, W: Way> Prepared for Engine<S, W> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, y, len) = self.places.operands(cx);
        let parallel = cx.parallel();
        let shared = Shared { engine: self, x, y, finish: &self.epilogue.bind(cx, y, len) };
        let own = cx.worker_scratch();
        parallel.run(self.work.len(), &|task, worker| {
            // SAFETY: a worker runs one task at a time.
            let scratch = unsafe { own.of::<u8>(worker) };
            assert!(scratch.len() >= self.room.bytes::<W>());
            self.s.vectorize(Call { shared: &shared, work: &self.work[task], scratch: scratch.as_mut_ptr() });
        });
        Ok(())
    }
}

/// What all tasks of a run share.
struct Shared<'a, S, W: Way> {
    engine: &'a Engine<S, W>,
    x: *const f32,
    y: *mut f32,
    finish: &'a Finish<'a>,
}

// SAFETY: tasks read the input and write disjoint parts of the output.
unsafe impl<S: Sync, W: Way> Sync for Shared<'_, S, W> {}

/// One task.
struct Call<'a, S, W: Way> {
    shared: &'a Shared<'a, S, W>,
    work: &'a Work,
    scratch: *mut u8,
}

/// Most pixels that are made halves, for tables on the stack.
const MOST: usize = 128;

impl<E: Simd, W: Way> Task for Call<'_, E, W> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        const { assert!(W::PIXELS <= MOST) }
        let Call { shared, work, scratch } = self;
        let e = shared.engine;
        let mut at = e.places.at(work.pixels.start);
        let (mut x, mut y) = ([shared.x; MOST], [shared.y; MOST]);
        let ready = W::ready(e.proof);
        let mut left = work.pixels.len();
        let each = even(left, W::PIXELS, W::ROWS);
        while left > 0 {
            let n = left.min(each);
            at.fill((shared.x, &mut x[..n]), (shared.y, &mut y[..n]));
            for first in (0..e.steps).step_by(e.room.abreast) {
                let steps = first..e.steps.min(first + e.room.abreast);
                // SAFETY: pixels and columns of the output are those of its layout, and no other task has them; `run` has seen
                // to the scratch, and steps follow one another.
                unsafe { shared.add(s, &ready, steps, &work.panels, (&x[..n], &y[..n]), scratch) };
            }
            left -= n;
        }
    }
}

/// Panels that are multiplied together, and some steps of their sums.
struct Part {
    panels: Range<usize>,
    steps: Range<usize>,
    /// Eights of their terms.
    eights: usize,
    /// Halves of the inputs.
    x: *const u8,
    /// Room for sums of one [`Way::GROUP`], or for those of all where there are steps before or after.
    sums: *mut f32,
}

impl<E, W: Way> Shared<'_, E, W> {
    /// Makes halves of some terms of the sums of pixels at `x`, adds their products with panels, and stores the sums at `y` with the last.
    ///
    /// # Safety
    /// Pixels must be readable at all offsets, [`Way::PIXELS`] at most; `scratch` have [`Room`], and what this has put there with the
    /// steps before; and the pixels' columns of the output be this task's alone.
    #[inline(always)]
    unsafe fn add<S: Simd>(
        &self,
        s: S,
        ready: &W::Ready,
        steps: Range<usize>,
        panels: &Range<usize>,
        (x, y): (&[*const f32], &[*mut f32]),
        scratch: *mut u8,
    ) {
        let e = self.engine;
        let (offsets, eights) = (e.places.offsets(), W::TERMS / LANES);
        let offsets = &offsets[steps.start * eights..offsets.len().min(steps.end * eights)];
        for (group, x) in x.chunks(W::GROUP).enumerate() {
            // SAFETY: the caller's promise.
            unsafe { e.way.convert(ready, offsets, x, scratch.add(group * e.room.group)) };
        }
        let mut sums = scratch.wrapping_add(W::PIXELS / W::GROUP * e.room.group).cast();
        for panel in panels.clone().step_by(W::ABREAST) {
            let panels = panel..panels.end.min(panel + W::ABREAST);
            let part = Part { panels, steps: steps.clone(), eights: offsets.len(), x: scratch, sums };
            // SAFETY: the inputs are halves, and where steps came before, summed up; the caller's promise.
            unsafe { self.multiply(s, ready, &part, y) };
            if e.room.waits {
                sums = sums.wrapping_add(W::PIXELS / W::GROUP * self::sums::<W>());
            }
        }
    }

    /// Adds some products of pixels, and stores the sums at `y` with the last.
    ///
    /// # Safety
    /// Pixels must be made halves, as many as `y` has, there be room for sums as [`Part`] has it, and they be there where there were steps
    /// before; their columns of the output must be this task's alone.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, s: S, ready: &W::Ready, part: &Part, y: &[*mut f32]) {
        let Part { panels, steps, eights, x, sums } = part;
        let e = self.engine;
        let (is_first, is_last) = (steps.start == 0, steps.end == e.steps);
        let last = panels.end - 1;
        let panel_bytes = e.steps * e.way.weight_bytes();
        let weights = |panel: usize| {
            e.packed.data.as_slice()[panel * panel_bytes + steps.start * e.way.weight_bytes()..].as_ptr()
        };
        let mut product = Product {
            x: *x,
            w: [weights(panels.start), weights(last)],
            // Panels follow one another; each group of pixels fetches one.
            ahead: weights(last).wrapping_add(panel_bytes),
            eights: *eights,
            init: [e.epilogue.init(panels.start * PANEL), e.epilogue.init(last * PANEL)],
            init_row: 0,
            sums: *sums,
        };
        for group in y.chunks(W::GROUP) {
            if !is_first {
                product.init = [product.sums, product.sums.wrapping_add(PANEL)].map(|p| p.cast_const());
                product.init_row = row::<W>() * size_of::<f32>();
            }
            // SAFETY: the caller's promise; there are weights and starts for whole panels.
            unsafe {
                e.way.multiply(ready, &product, group.len(), panels.len());
                if is_last {
                    for panel in panels.clone() {
                        let sums = product.sums.add((panel - panels.start) * PANEL).cast_const();
                        match e.columns - panel * PANEL {
                            ..=LANES => self.store::<S, 1>(s, panel, sums, group),
                            _ => self.store::<S, 2>(s, panel, sums, group),
                        }
                    }
                }
            }
            if e.room.waits {
                product.sums = product.sums.wrapping_add(self::sums::<W>());
            }
            product.x = product.x.wrapping_add(e.room.group);
            product.ahead = product.ahead.wrapping_add(panel_bytes);
        }
    }

    /// Finishes and stores the sums of a panel.
    ///
    /// # Safety
    /// As for [`Shared::multiply`]; the sums of as many pixels as `y` must be there, those of [`Way::ABREAST`] panels
    /// side by side.
    #[inline(always)]
    unsafe fn store<S: Simd, const NV: usize>(&self, s: S, panel: usize, sums: *const f32, y: &[*mut f32]) {
        let (channel, apart) = (panel * PANEL, self.engine.places.apart());
        let first = channel / LANES * apart;
        let lanes = (self.engine.columns - channel).min(PANEL);
        let place = Place { channel, lanes, columns: [first, first + apart] };
        let deferred = self.finish.is_deferred(&place, NV);
        let mut at = 0;
        // SAFETY: the caller's promise.
        unsafe {
            while at + 4 <= y.len() {
                self.store_some::<S, 4, NV>(s, &place, sums.add(at * row::<W>()), &y[at..at + 4], deferred);
                at += 4;
            }
            while at < y.len() {
                self.store_some::<S, 1, NV>(s, &place, sums.add(at * row::<W>()), &y[at..at + 1], deferred);
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
                    values[i][h] = s.load(sums.add(i * row::<W>() + h * LANES));
                }
            }
            self.finish.store_or_defer(s, place, values, to, deferred);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_arch = "aarch64")]
    type Any = super::super::fp16::Fp16Sums;
    #[cfg(target_arch = "x86_64")]
    type Any = paring_simd::amx::Pieces;

    #[test]
    fn tasks_have_every_pixel_and_panel_once() {
        let sizes =
            [(1, 8, 1), (1, 16, 512), (7, 512, 160), (7, 320, 1280), (14, 1024, 255), (56, 64, 64), (112, 16, 8)];
        for (side, depth, outputs) in sizes {
            let shape = Shape { pixels: side * side, terms: depth, columns: outputs };
            let (pixels, panels) = (shape.pixels, shape.panels());
            let mut seen = vec![0; pixels * panels];
            for w in Cuts::of::<Any>(&shape).work(panels) {
                assert!(!w.pixels.is_empty() && !w.panels.is_empty() && w.panels.start.is_multiple_of(Any::ABREAST));
                w.pixels.flat_map(|p| w.panels.clone().map(move |q| p * panels + q)).for_each(|i| seen[i] += 1);
            }
            assert!(seen.iter().all(|&n| n == 1), "{side} x {side}, {depth} to {outputs}");
        }
    }
}
