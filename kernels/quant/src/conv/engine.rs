//! Runs a convolution of bytes.

use super::plan::{Kind, Plan};
use crate::{
    multiply::Multiply,
    operand::Bytes,
    product::{Product, Run},
    rows::QUAD,
    tile,
};
use paring_dense::conv::{Cursor, Halo, Tasks, Work, even};
use paring_kernel::{KernelError, Packed, Prepared, Problem, RunCx, SharedMut};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

/// Cuts the problem into tasks.
fn work<S: Simd, M: Multiply>(plan: &Plan, product: &Product) -> Vec<Work> {
    let g = &plan.geometry;
    let tasks = M::tasks::<S>();
    assert!(tasks.block <= MOST);
    tasks.of(g.samples * g.output.iter().product::<usize>(), product.per_pixel(), product.panels())
}

/// A prepared convolution.
pub struct Engine<S, M> {
    s: S,
    how: M,
    pub plan: Plan,
    halo: Option<Halo>,
    /// As for [`Plan::scratch`].
    scratch: [usize; 2],
    /// Bytes of scratch of a worker.
    per_worker: usize,
    pub product: Product,
    work: Vec<Work>,
}

impl<S: Simd, M: Multiply> Engine<S, M> {
    /// Binds packed weights and epilogue.
    ///
    /// # Errors
    /// [`KernelError::Problem`] where the weights were packed for another problem.
    pub fn new(s: S, how: M, p: &Problem, plan: Plan, packed: Arc<Packed>) -> Result<Engine<S, M>, KernelError> {
        let (kind, taps, strides) = (plan.kind, &plan.geometry.phases[0].taps, plan.view.strides());
        let offset = |source: u32| {
            let (source, half) = (source as usize / kind.size(), source as usize % kind.size());
            let (tap, quad) = (taps.get(source / plan.quads())?, source % plan.quads());
            let inner: usize = tap.at.iter().zip(strides).map(|(a, s)| a * s).sum();
            Some((quad / 2 * plan.view.plane() + inner + quad % 2 * QUAD + half * QUAD / 2) * kind.size())
        };
        // Words are less the zero point already.
        let zero = if kind == Kind::Words { 0 } else { plan.x.offset::<S>() };
        let (x, channels) = (plan.x, &plan.channels);
        let product = Product::new(p, plan.panels.clone(), (x, channels), zero, packed, true, offset)?;
        let (halo, scratch, work) = (plan.halo(), plan.scratch(), work::<S, M>(&plan, &product));
        let per_worker = M::scratch(product.most_rows());
        Ok(Engine { s, how, plan, halo, scratch, per_worker, product, work })
    }
}

impl<S: Simd, M: Multiply> Prepared for Engine<S, M> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (g, view) = (&self.plan.geometry, &self.plan.view);
        let parallel = cx.parallel();
        let input = cx.input::<u8>(0);
        let (scratch, [late, copied]) = (cx.scratch::<u8>(), self.scratch);
        // SAFETY: the only slices of the scratch.
        let (values, copy) = unsafe { (scratch.slice(0, late), scratch.slice(late, copied)) };
        let late = self.plan.late.as_ref();
        let zero_point = late.map_or(self.plan.x.zero_point, |late| late.zero(cx));
        let bytes = Bytes { zero_point, ..self.plan.x };
        // Words are less the zero point already.
        let more = if self.plan.kind == Kind::Words { 0 } else { zero_point };
        let late = late.map(|late| late.values(cx, more, &self.product, values));
        let x = match (&self.halo, self.plan.kind) {
            (None, _) => input.as_ptr(),
            (Some(halo), Kind::Words) => {
                let words: &mut [i16] = bytemuck::cast_slice_mut(copy);
                let convert = |from: &[u8], to: &mut [i16]| self.s.vectorize(ToWords { x: bytes, from, to });
                halo.convert(input, 0, SharedMut::new(words), parallel, &convert);
                words.as_ptr().cast()
            }
            (Some(halo), _) => {
                let (from, zero) = (input.as_chunks().0, [bytes.zero(); LANES]);
                halo.whole().run(from, zero, SharedMut::new(copy.as_chunks_mut().0), parallel);
                copy.as_ptr()
            }
        };
        assert!(self.halo.is_some() || input.len() >= g.samples * view.planes * view.plane());
        let elements = g.samples * g.outputs.next_multiple_of(LANES) * g.output.iter().product::<usize>();
        let run = self.product.bind(cx, x, elements, late);
        let own = cx.worker_scratch();
        parallel.run(self.work.len(), &|task, worker| {
            // SAFETY: a worker runs one task at a time.
            let scratch = unsafe { own.of::<u8>(worker) };
            assert!(scratch.len() >= self.per_worker);
            let task = Task { engine: self, run: &run, work: &self.work[task], scratch: scratch.as_mut_ptr() };
            match (self.plan.kind, self.plan.x.turned::<S>()) {
                _ if const { !M::BY_KIND } => self.s.vectorize(Call::<S, M, { tile::STRAIGHT }>(task)),
                (Kind::Words, _) => self.s.vectorize(Call::<S, M, { tile::WORDS }>(task)),
                (_, true) => self.s.vectorize(Call::<S, M, { tile::TURNED }>(task)),
                (_, false) => self.s.vectorize(Call::<S, M, { tile::STRAIGHT }>(task)),
            }
        });
        Ok(())
    }
}

/// Makes words of bytes, less their zero point.
struct ToWords<'a> {
    x: Bytes,
    from: &'a [u8],
    to: &'a mut [i16],
}

impl paring_simd::Task for ToWords<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let zero = s.splat(self.x.zero_point as f32);
        let (from, to) = (self.from.as_ptr(), self.to.as_mut_ptr());
        for at in (0..self.from.len().min(self.to.len()) / LANES * LANES).step_by(LANES) {
            // SAFETY: eight bytes, and eight words.
            unsafe { s.store_words(to.add(at), s.sub(s.load_bytes(from.add(at), self.x.signed), zero)) };
        }
    }
}

/// One task.
struct Task<'a, S, M> {
    engine: &'a Engine<S, M>,
    run: &'a Run<'a>,
    work: &'a Work,
    scratch: *mut u8,
}

/// A task on inputs of one kind.
struct Call<'a, E, M, const KIND: u8>(Task<'a, E, M>);

/// Most pixels in a block, for tables on the stack.
const MOST: usize = 128;

impl<E: Simd, M: Multiply, const KIND: u8> paring_simd::Task for Call<'_, E, M, KIND> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Task { engine, run, work, scratch } = self.0;
        let g = &engine.plan.geometry;
        let plane = g.output.iter().product::<usize>() * LANES;
        let mut cursor = Cursor::new(g, &engine.plan.view, &g.phases[0], work.pixels.start);
        let mut x = [run.x; MOST];
        let mut y = [0usize; MOST];
        let mut left = work.pixels.len();
        let Tasks { block, step, .. } = M::tasks::<S>();
        let each = even(left, block, step).min(block);
        let ready = engine.how.ready();
        while left > 0 {
            let n = left.min(each);
            match KIND {
                tile::WORDS => {
                    let mut words = [run.x.cast::<i16>(); MOST];
                    cursor.fill(run.x.cast(), &mut words[..n], &mut y[..n], |at| at);
                    for i in 0..n {
                        x[i] = words[i].cast();
                    }
                }
                _ => cursor.fill(run.x, &mut x[..n], &mut y[..n], |at| at),
            }
            // SAFETY: the view was laid out so that every pixel reads within it at every offset; pixels and channels of
            // the output are those of its layout, and no other task has them; `run` has seen to the scratch.
            unsafe { M::multiply::<S, KIND>(&ready, s, run, &work.panels, &x[..n], &y[..n], plane, scratch) };
            left -= n;
        }
    }
}
