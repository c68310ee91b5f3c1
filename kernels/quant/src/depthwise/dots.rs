//! Depthwise convolution by sums of products of bytes.
//!
//! Four neighbouring bytes of each of eight channels are brought together in a register, where a row of a window of up to
//! four taps is one product of 32 bytes. Neighbouring pixels of the output whose windows lie within the same fours share
//! them: each has weights of its own, moved by as many taps, and weights of zero for taps that are not in its window. So
//! a row of two windows of three taps at stride 1 takes one four and two products. Instructions must take any weights:
//! those of depthwise convolutions are few and large.

use super::{Plan, Sources, Start};
use crate::{
    family::{Family, Target, streaming},
    finish::{self, Epilogue, Finish, Place},
    operand::integer,
    rows::QUAD,
};
use paring_core::{AlignedBuf, DType};
use paring_kernel::{Cost, KernelError, Machine, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, Scratch};
use paring_simd::{LANES, Simd, Task};
use paring_vector::support::BLOCKED;
use std::{ops::Range, sync::Arc};

/// See the module.
pub struct DepthwiseDots;

/// Bytes that one product multiplies: four of each channel.
const DOT: usize = QUAD * LANES;

/// Bytes of a band of the input that stay in the first-level cache beside the output.
const FRAME: usize = 16 << 10;

/// As many fours across as there are.
const ANY: usize = 0;

/// Pixels that are computed together: they hide the latency of products.
const PX: usize = 4;

impl Plan {
    /// Fours of taps in a row of the window.
    fn across(&self) -> usize {
        self.kernel[1].div_ceil(QUAD)
    }

    /// Pixels whose windows lie within the same fours: one, two, or four.
    fn sharing(&self) -> usize {
        let most = 1 + (self.across() * QUAD - self.kernel[1]) / self.stride[1];
        1 << most.ilog2()
    }

    /// Fours of weights of a block of channels.
    fn fours(&self) -> usize {
        self.sharing() * self.kernel[0] * self.across()
    }

    /// Bytes of a row of the input with its padding, and with what pixels beyond the last read that are computed along
    /// with it.
    fn line(&self) -> Option<usize> {
        let pixels = self.geometry.output[2].checked_next_multiple_of(PX)?;
        let columns = ((pixels - self.sharing()).checked_mul(self.stride[1])?).checked_add(self.across() * QUAD)?;
        columns.max(self.columns()).checked_mul(LANES)
    }

    /// Bytes of the rows of a band.
    fn frame(&self) -> Option<usize> {
        self.rows().checked_mul(self.line()?)
    }

    /// Bytes of packed sums and weights.
    fn packed(&self) -> usize {
        self.blocks() * (LANES * size_of::<i32>() + self.fours() * DOT)
    }

    /// Names what packed bytes depend on besides the weights.
    fn packed_as(&self) -> String {
        format!("depthwise-fours-{}-s{}{}", self.sharing(), self.stride[1], self.channels.packed_as())
    }

    /// The weight of a tap of an output channel.
    fn weight(&self, bytes: &[u8], signed: bool, m: usize, tap: usize) -> i32 {
        integer(bytes[m * self.geometry.taps + tap], signed) - self.channels.zero_point[m]
    }
}

fn plan(p: &Problem) -> Result<Plan, Reject> {
    let mut plan = Plan::of(p)?;
    if plan.dilation[1] != 1 {
        return Err("taps of a row are not neighbours".into());
    }
    let w = p.constant(1).ok_or("the weights are not constant")?;
    let (bytes, signed) = (w.bytes(), w.dtype() == DType::I8);
    let all = (0..plan.geometry.outputs).flat_map(|m| (0..plan.geometry.taps).map(move |tap| (m, tap)));
    if all.into_iter().any(|(m, tap)| i8::try_from(plan.weight(bytes, signed, m, tap)).is_err()) {
        return Err("weights less their zero point leave eight bits".into());
    }
    let line = plan.line().ok_or("a row is too large")?;
    // Neighbouring bands both copy what their windows share: not much of it.
    let rows = (FRAME / line).max(3 * plan.rows_of(1));
    plan.cut(rows.saturating_sub(plan.rows_of(1)) / plan.stride[0] + 1);
    Ok(plan)
}

impl Family for DepthwiseDots {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let plan = plan(p)?;
        let bytes = plan.frame().filter(|&b| b <= 64 << 20);
        let per_worker = bytes.ok_or("a band of rows is too large")?.next_multiple_of(64);
        out.push(Offer {
            scratch: Scratch { shared: 0, per_worker },
            packed_bytes: plan.packed(),
            packed_format: plan.packed_as().into(),
            ..finish::offer(p, BLOCKED)
        });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let Ok(plan) = Plan::of(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        // Measured, for eight channels: bringing a four together, a product, and the epilogue; copying the input, which
        // takes long where its channels are not those of the output.
        let fours = (plan.kernel[0] * plan.across()) as f64;
        let each = 0.9 + fours * (0.3 / plan.sharing() as f64 + 0.18);
        let copy = |b: usize| match Sources::of(plan.sources(b)) {
            Sources::Block => 0.15,
            Sources::One => 0.5,
            Sources::Any => 6.0,
        };
        let pixels = plan.geometry.samples * plan.geometry.input.iter().product::<usize>();
        let copies = (0..plan.blocks()).map(copy).sum::<f64>() * pixels as f64;
        let outputs = p.output(0).map_or(0, Operand::len) / LANES;
        streaming(p, o, target, m, each * outputs as f64 + copies)
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let plan = plan(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let w = p.constant(1).ok_or_else(|| KernelError::Problem("the weights are not constant".into()))?;
        let (bytes, signed) = (w.bytes(), w.dtype() == DType::I8);
        let mut data = AlignedBuf::zeroed(o.packed_bytes)?;
        let (sums, weights) = data.as_mut_slice().split_at_mut(plan.blocks() * LANES * size_of::<i32>());
        let sums: &mut [i32] = bytemuck::cast_slice_mut(sums);
        for m in 0..plan.geometry.outputs {
            for tap in 0..plan.geometry.taps {
                let weight = plan.weight(bytes, signed, m, tap);
                let (row, column) = (tap / plan.kernel[1], tap % plan.kernel[1]);
                for pixel in 0..plan.sharing() {
                    let column = pixel * plan.stride[1] + column;
                    let four = (row * plan.across() + column / QUAD) * plan.sharing() + pixel;
                    let at = (m / LANES * plan.fours() + four) * DOT + m % LANES * QUAD + column % QUAD;
                    weights[at] = weight as u8;
                }
                sums[m] += weight;
            }
        }
        Ok(data.into())
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = plan(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        if packed.data.as_slice().len() != o.packed_bytes || o.packed_bytes != plan.packed() {
            return Err(KernelError::Problem("the weights were packed for another problem".into()));
        }
        let line = plan.line().ok_or_else(|| KernelError::Problem("a row is too large".into()))?;
        let sums = &packed.elements::<i32>()[..plan.blocks() * LANES];
        let init = sums.iter().map(|sum| -plan.x.offset::<S>() * sum).collect();
        let epilogue = Epilogue::new(p, &plan.channels.products(plan.x), true)?;
        Ok(Box::new(Engine { s, plan, line, init, epilogue, packed }))
    }
}

struct Engine<S> {
    s: S,
    plan: Plan,
    /// Bytes of a row of the frame.
    line: usize,
    /// Where the sums of each channel start from.
    init: Vec<i32>,
    epilogue: Epilogue,
    packed: Arc<Packed>,
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (plan, parallel) = (&self.plan, cx.parallel());
        let (x, own) = (cx.input::<u8>(0), cx.worker_scratch());
        let output = cx.output::<u8>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        plan.check(x.len(), len / self.epilogue.size());
        let finish = self.epilogue.bind(cx, y, len);
        parallel.run(plan.tasks(), &|task, worker| {
            // SAFETY: a worker runs one task at a time.
            let frame = unsafe { own.of::<u8>(worker) };
            let Start { sample, blocks, row } = plan.start(task);
            self.s.vectorize(Band { engine: self, finish: &finish, x, frame, sample, blocks, first: row });
        });
        Ok(())
    }
}

/// What one window reads, in registers: what is stored might be the plan, as far as the compiler knows.
struct Window<S: Simd> {
    /// What sums start from.
    start: S::I,
    weights: *const u8,
    /// Rows, and fours in each.
    down: usize,
    across: usize,
    /// Bytes of the frame from one row to the next, and from one pixel's first to the next one's.
    row: usize,
    stride: usize,
}

impl<S: Simd> Window<S> {
    /// The sums of four pixels, the first of which begins at `x`.
    ///
    /// # Safety
    /// The windows of all must be readable.
    #[inline(always)]
    unsafe fn sums<const SHARING: usize>(&self, s: S, mut x: *const u8) -> [[S::I; 1]; PX] {
        let mut sums = [[self.start]; PX];
        let mut w = self.weights;
        for _ in 0..self.down {
            for q in 0..self.across {
                for k in 0..PX / SHARING {
                    // SAFETY: the caller's promise.
                    let fours = unsafe { s.gather_fours(x.wrapping_add(k * SHARING * self.stride + q * DOT)) };
                    for i in 0..SHARING {
                        let sum = &mut sums[k * SHARING + i][0];
                        // SAFETY: a four of weights for each of taps and each pixel that shares it.
                        *sum = unsafe { s.dot_fours(*sum, fours, w.wrapping_add(i * DOT).cast()) };
                    }
                }
                w = w.wrapping_add(SHARING * DOT);
            }
            x = x.wrapping_add(self.row);
        }
        sums
    }
}

/// Some rows of some blocks of output channels.
struct Band<'a, E> {
    engine: &'a Engine<E>,
    finish: &'a Finish<'a>,
    x: &'a [u8],
    frame: &'a mut [u8],
    sample: usize,
    blocks: Range<usize>,
    first: usize,
}

impl<E: Simd> Task for Band<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(mut self, s: S) {
        let plan = &self.engine.plan;
        let rows = plan.band.min(plan.geometry.output[1] - self.first);
        let flip = if plan.x.turned::<S>() { 0x80 } else { 0 };
        // What surrounds the input is the same for all blocks.
        self.frame.fill(plan.x.zero() ^ flip);
        for block in self.blocks.clone() {
            let sources = plan.sources(block);
            match Sources::of(sources) {
                Sources::Block => self.fill(rows, sources[0], |to, x| {
                    to.iter_mut().zip(x).for_each(|(to, x)| *to = x ^ flip);
                }),
                Sources::One => self.fill(rows, sources[0], |to, x| {
                    to.as_chunks_mut::<LANES>().0.iter_mut().zip(x.iter().step_by(LANES)).for_each(|(to, x)| {
                        *to = [x ^ flip; LANES];
                    });
                }),
                Sources::Any => sources.iter().enumerate().for_each(|(lane, &c)| {
                    self.fill(rows, c, |to, x| {
                        let to = to[lane..].iter_mut().step_by(LANES);
                        to.zip(x.iter().step_by(LANES)).for_each(|(to, x)| *to = x ^ flip);
                    });
                }),
            }
            match (plan.sharing(), plan.across()) {
                (1, 1) => self.rows::<S, 1, 1>(s, block, rows),
                (1, _) => self.rows::<S, 1, ANY>(s, block, rows),
                (2, 1) => self.rows::<S, 2, 1>(s, block, rows),
                (2, _) => self.rows::<S, 2, ANY>(s, block, rows),
                _ => self.rows::<S, PX, ANY>(s, block, rows),
            }
        }
    }
}

impl<E: Simd> Band<'_, E> {
    /// Has `copy` fill what the frame has of each row of the input that `rows` rows read, from the first element of
    /// channel `c`.
    #[inline(always)]
    fn fill(&mut self, rows: usize, c: usize, copy: impl Fn(&mut [u8], &[u8])) {
        let plan = &self.engine.plan;
        let ([_, height, width], [_, above, left]) = (plan.geometry.input, plan.geometry.halo);
        let kept = width.min(plan.columns().saturating_sub(left));
        let before = left.min(plan.columns()) * LANES;
        for r in 0..plan.rows_of(rows) {
            let row = (self.first * plan.stride[0] + r).checked_sub(above).filter(|&row| row < height);
            let Some(row) = row else { continue };
            let from = &self.x[plan.row_at(self.sample, c, row) + c % LANES..];
            copy(&mut self.frame[r * self.engine.line + before..][..kept * LANES], from);
        }
    }

    /// Computes `rows` rows, of which `SHARING` neighbours share fours, `ACROSS` for each row of the window, or any.
    #[inline(always)]
    fn rows<S: Simd, const SHARING: usize, const ACROSS: usize>(&self, s: S, block: usize, rows: usize) {
        let plan = &self.engine.plan;
        let [_, height, width] = plan.geometry.output;
        let lanes = (plan.geometry.outputs - block * LANES).min(LANES);
        let place = Place { channel: block * LANES, lanes, first: 0, step: LANES };
        let y = ((self.sample * plan.blocks() + block) * height + self.first) * width * LANES;
        let window = self.window::<S, ACROSS>(s, block);
        match self.finish.straight(s, &place) {
            Some(straight) => self.tiles::<S, SHARING>(s, &window, rows, |sums, left, at| {
                // SAFETY: the pixels are of this band's rows, which no other task has.
                unsafe { straight.store_four(s, sums, left, y + at) }
            }),
            None => self.tiles::<S, SHARING>(s, &window, rows, |sums, left, at| {
                let mut all = [[0; LANES]; PX];
                for k in 0..PX {
                    // SAFETY: eight sums.
                    unsafe { s.store_sums(all[k].as_mut_ptr(), sums[k][0]) };
                }
                self.store(s, &place, &all[..left.min(PX)], y + at);
            }),
        }
    }

    /// Computes `rows` rows, four pixels at a time. What stores them is told how many there are left in the row, and how
    /// many elements of the output after the band's first they begin.
    #[inline(always)]
    fn tiles<S: Simd, const SHARING: usize>(
        &self,
        s: S,
        window: &Window<S>,
        rows: usize,
        store: impl Fn([[S::I; 1]; PX], usize, usize),
    ) {
        let plan = &self.engine.plan;
        let (width, down) = (plan.geometry.output[2], plan.stride[0] * self.engine.line);
        for r in 0..rows {
            let x = self.frame[r * down..].as_ptr();
            let mut at = 0;
            while at < width {
                // SAFETY: the frame has all that these pixels read, those beyond the row too.
                let sums = unsafe { window.sums::<SHARING>(s, x.add(at * window.stride)) };
                store(sums, width - at, (r * width + at) * LANES);
                at += PX;
            }
        }
    }

    /// The window of a block.
    #[inline(always)]
    fn window<S: Simd, const ACROSS: usize>(&self, s: S, block: usize) -> Window<S> {
        let (e, plan) = (self.engine, &self.engine.plan);
        let weights = &e.packed.data.as_slice()[e.init.len() * size_of::<i32>()..];
        Window {
            // SAFETY: eight starts for each block.
            start: unsafe { s.load_sums(e.init[block * LANES..][..LANES].as_ptr()) },
            weights: weights[block * plan.fours() * DOT..][..plan.fours() * DOT].as_ptr(),
            down: plan.kernel[0],
            across: if ACROSS == ANY { plan.across() } else { ACROSS },
            row: plan.dilation[0] * e.line,
            stride: plan.stride[1] * LANES,
        }
    }

    /// Finishes the sums of neighbouring pixels, from element `y` of the output on. Out of line, lest what it takes
    /// leave no registers for sums.
    #[inline(never)]
    fn store<S: Simd>(&self, s: S, place: &Place, sums: &[[i32; LANES]], y: usize) {
        s.vectorize(Store { finish: self.finish, place, sums, y });
    }
}

/// The body of [`Band::store`].
struct Store<'a> {
    finish: &'a Finish<'a>,
    place: &'a Place,
    sums: &'a [[i32; LANES]],
    y: usize,
}

impl Task for Store<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        for (k, sums) in self.sums.iter().enumerate() {
            // SAFETY: eight sums, and a pixel that the caller of `Band::store` has to itself.
            unsafe {
                let sums = s.load_sums(sums.as_ptr());
                self.finish.store_sums(s, self.place, [sums], &[self.y + k * LANES]);
            }
        }
    }
}
