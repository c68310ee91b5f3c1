//! Products of signs: pixels against panels of packed weights, whatever the method that multiplies.

use crate::plan::{Panel, Plan};
use core::{marker::PhantomData, ops::Range};
use paring_core::{AlignedBuf, signs::ZEROS};
use paring_dense::{
    conv::{Cursor, Halo, Work, cut},
    epilogue::{Epilogue, Finish, Place},
};
use paring_kernel::{Isa, KernelError, Machine, Offer, Packed, Prepared, Problem, RunCx, WorkerScratch};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// A way to multiply signs.
pub trait Method: Send + Sync + 'static {
    /// Names its packed weights.
    const NAME: &'static str;

    /// Multiply-adds of a task: some twenty microseconds.
    const TASK_MACS: usize;

    /// What an output takes to finish, in nanoseconds.
    const FINISH: f64;

    /// Multiply-adds in a nanosecond.
    fn rate(isa: Isa, m: &Machine) -> f64;

    /// Bytes of the packed weights of a panel.
    fn packed_bytes(panel: &Panel) -> usize;

    /// Packs the weights of a panel, whose elements are `weights`.
    fn pack(plan: &Plan, panel: &Panel, weights: &[f32], out: &mut [u8]);

    /// Bytes that a worker needs.
    fn scratch(plan: &Plan) -> usize;

    /// Computes pixels that begin at `x` and are stored at `y` against a panel.
    ///
    /// # Safety
    /// Every pixel must be readable at all offsets of the panel, the columns of the panel be this task's alone, and
    /// `scratch` be as large as asked for.
    unsafe fn multiply<S: Simd>(s: S, panel: &Bound<'_>, x: &[*const u8], y: &[*mut f32], scratch: &mut [u8]);
}

/// A panel and everything that its products need.
pub struct Bound<'a> {
    pub panel: &'a Panel,
    pub weights: &'a [u8],
    /// For each row the bytes from a pixel's first to those that it multiplies.
    pub offsets: &'a [usize],
    /// What a sum of each column of the output stands for, and what it starts from.
    pub scale: &'a [f32],
    pub epilogue: &'a Epilogue,
    pub finish: &'a Finish<'a>,
    /// Elements from eight channels of a pixel of the output to the next eight.
    pub step: usize,
}

impl Bound<'_> {
    /// Finishes sums of some pixels, of a pair of vectors of columns, and stores them.
    ///
    /// # Safety
    /// The columns of these pixels must be this task's alone.
    #[inline(always)]
    pub unsafe fn store<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        columns: &Range<usize>,
        mut sums: [[S::V; NV]; PX],
        y: [*mut f32; PX],
    ) {
        let channel = self.panel.first + columns.start;
        let first = channel / LANES * self.step;
        let place = Place { channel, lanes: columns.len(), columns: [first, first + self.step] };
        assert!(channel + NV * LANES <= self.scale.len());
        for h in 0..NV {
            // SAFETY: just checked; the epilogue has as many columns.
            unsafe {
                let scale = s.load(self.scale.as_ptr().add(channel + h * LANES));
                let init = s.load(self.epilogue.init(channel).add(h * LANES));
                for i in 0..PX {
                    sums[i][h] = s.mul_add(sums[i][h], scale, init);
                }
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.finish.store::<S, PX, NV>(s, &place, sums, y) }
    }
}

/// Packs the weights of all panels, one after the other.
///
/// # Errors
/// [`KernelError`] where memory is short or the weights are not constant.
pub fn pack<M: Method>(plan: &Plan, p: &Problem) -> Result<Packed, KernelError> {
    let missing = || KernelError::Problem("the weights are not constant numbers".into());
    let w = p.constant(1).ok_or_else(missing)?;
    let elements = w.elements::<f32>().ok_or_else(missing)?;
    let mut data = AlignedBuf::zeroed(packed_bytes::<M>(plan)).map_err(|e| KernelError::Problem(e.to_string()))?;
    let mut rest = data.as_mut_slice();
    for panel in &plan.panels {
        let (own, after) = rest.split_at_mut(M::packed_bytes(panel));
        M::pack(plan, panel, &elements, own);
        rest = after;
    }
    Ok(data.into())
}

/// Bytes of all packed panels.
pub fn packed_bytes<M: Method>(plan: &Plan) -> usize {
    plan.panels.iter().map(M::packed_bytes).sum()
}

/// Pixels that go against one panel before the next.
const BLOCK: usize = 40;

/// A prepared product.
pub struct Engine<S, M> {
    s: S,
    plan: Plan,
    halo: Option<Halo>,
    /// The offsets of all panels.
    offsets: Vec<usize>,
    /// The packed weights of each panel, and its offsets.
    panels: Vec<(Range<usize>, Range<usize>)>,
    scale: Vec<f32>,
    epilogue: Epilogue,
    packed: Arc<Packed>,
    work: Vec<Work>,
    method: PhantomData<M>,
}

impl<S: Simd, M: Method> Engine<S, M> {
    /// Binds packed weights and epilogue.
    ///
    /// # Errors
    /// [`KernelError::Problem`] where the weights were packed for another problem.
    pub fn new(s: S, plan: Plan, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Engine<S, M>, KernelError> {
        if packed.data.as_slice().len() != packed_bytes::<M>(&plan) {
            return Err(KernelError::Problem("the weights were packed for another problem".into()));
        }
        let (mut at, mut offsets) = (0, vec![]);
        let range = |panel: &Panel| {
            let first = (at, offsets.len());
            at += M::packed_bytes(panel);
            offsets.extend(plan.offsets(panel));
            (first.0..at, first.1..offsets.len())
        };
        let panels = plan.panels.iter().map(range).collect();
        let outputs = plan.geometry.outputs;
        Ok(Engine {
            s,
            halo: plan.halo(),
            offsets,
            panels,
            scale: plan.scale(outputs.next_multiple_of(2 * LANES)),
            epilogue: Epilogue::new(p, o.fused, outputs, !plan.is_matrix)?,
            packed,
            work: work::<M>(&plan),
            plan,
            method: PhantomData,
        })
    }
}

/// Cuts pixels, and panels where pixels are few.
fn work<M: Method>(plan: &Plan) -> Vec<Work> {
    let g = &plan.geometry;
    let (pixels, panels) = (g.samples * g.output.iter().product::<usize>(), plan.panels.len());
    let per_pixel = plan.macs_per_pixel().max(1);
    let target = (per_pixel.saturating_mul(pixels) / 16).clamp(M::TASK_MACS / 2, M::TASK_MACS);
    let per_task = (target / per_pixel).max(1).next_multiple_of(BLOCK).min(pixels);
    cut(pixels, per_task, panels, per_pixel.saturating_mul(per_task) / (2 * target))
}

impl<S: Simd, M: Method> Prepared for Engine<S, M> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (g, view, parallel) = (&self.plan.geometry, &self.plan.view, cx.parallel());
        let input = cx.input::<u8>(0);
        let x = match &self.halo {
            None => input.as_ptr(),
            Some(halo) => {
                let scratch = cx.scratch::<u8>();
                assert!(scratch.len() >= halo.elements());
                halo.run(input, ZEROS, scratch, parallel);
                scratch.as_ptr().cast_const()
            }
        };
        assert!(self.halo.is_some() || input.len() >= g.samples * view.plane());
        let scratch = cx.worker_scratch();
        let output = cx.output::<f32>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        let pixels = g.samples * g.output.iter().product::<usize>();
        let channels = if self.plan.is_matrix { g.outputs } else { g.outputs.next_multiple_of(LANES) };
        assert!(len >= pixels * channels);
        let run = Run { x, y, finish: self.epilogue.bind(cx, y, len) };
        parallel.run(self.work.len(), &|task, worker| {
            self.s.vectorize(Call { engine: self, run: &run, work: &self.work[task], scratch, worker });
        });
        Ok(())
    }
}

/// What all tasks of a run share.
struct Run<'a> {
    x: *const u8,
    y: *mut f32,
    finish: Finish<'a>,
}

// SAFETY: tasks only read the input, and write disjoint parts of the output.
unsafe impl Sync for Run<'_> {}

/// One task.
struct Call<'a, E> {
    engine: &'a E,
    run: &'a Run<'a>,
    work: &'a Work,
    scratch: WorkerScratch<'a>,
    worker: usize,
}

impl<E: Simd, M: Method> Task for Call<'_, Engine<E, M>> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (e, run) = (self.engine, self.run);
        let plan = &e.plan;
        let g = &plan.geometry;
        let padded = g.outputs.next_multiple_of(LANES);
        let plane = g.output.iter().product::<usize>() * LANES;
        // SAFETY: this task runs as that worker, and takes its scratch once.
        let scratch = unsafe { self.scratch.of::<u8>(self.worker) };
        let mut cursor = Cursor::new(g, &plan.view, &g.phases[0], self.work.pixels.start);
        let mut x = [run.x; BLOCK];
        let mut y = [run.y; BLOCK];
        let mut left = self.work.pixels.len();
        while left > 0 {
            let n = left.min(BLOCK);
            let place = |at: usize| run.y.wrapping_add(if plan.is_matrix { at / padded * g.outputs } else { at });
            cursor.fill(run.x, &mut x[..n], &mut y[..n], place);
            for i in self.work.panels.clone() {
                let (weights, offsets) = &e.panels[i];
                let bound = Bound {
                    panel: &plan.panels[i],
                    weights: &e.packed.data.as_slice()[weights.clone()],
                    offsets: &e.offsets[offsets.clone()],
                    scale: &e.scale,
                    epilogue: &e.epilogue,
                    finish: &run.finish,
                    step: if plan.is_matrix { LANES } else { plane },
                };
                // SAFETY: the view was laid out so that every pixel reads within it at every offset; pixels and channels
                // of the output are those of its layout, and no other task has them.
                unsafe { M::multiply(s, &bound, &x[..n], &y[..n], scratch) };
            }
            left -= n;
        }
    }
}
