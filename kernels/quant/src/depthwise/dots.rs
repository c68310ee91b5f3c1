//! Depthwise convolution by sums of products of bytes.
//!
//! Four neighbouring bytes of each of eight channels are brought together once for each row of the input and each output
//! pixel; a row of a window of up to four taps is then one product of 32 bytes. Weights of taps beyond the window are
//! zero. Instructions must take any weights: those of depthwise convolutions are few and large.

use super::{Plan, straight};
use crate::{
    family::{Family, streaming},
    finish::{self, Epilogue, Finish, Place},
    operand::integer,
    rows::QUAD,
};
use paring_core::{AlignedBuf, DType, Op};
use paring_kernel::{Cost, KernelError, Machine, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, Scratch};
use paring_simd::{LANES, Simd, Task};
use paring_vector::support::BLOCKED;
use std::sync::Arc;

/// See the module.
pub struct DepthwiseDots;

/// Bytes that one product multiplies: four of each channel.
const DOT: usize = QUAD * LANES;

/// Sizes of the scratch of a worker, in bytes.
struct Sizes {
    /// A row of the input with its padding.
    line: usize,
    /// The fours of all rows of a band.
    fours: usize,
}

impl Plan {
    /// Fours of taps in a row of the window.
    fn across(&self) -> usize {
        self.kernel[1].div_ceil(QUAD)
    }

    /// Fours of taps in the window.
    fn fours(&self) -> usize {
        self.kernel[0] * self.across()
    }

    fn sizes(&self) -> Option<Sizes> {
        // The last window may read up to a four beyond its taps.
        let line = self.columns().checked_add(QUAD)?.checked_mul(LANES)?.checked_next_multiple_of(64)?;
        let fours = self.rows().checked_mul(self.geometry.output[2])?.checked_mul(self.across() * DOT)?;
        Some(Sizes { line, fours })
    }

    /// Bytes of packed sums and weights.
    fn packed(&self) -> usize {
        self.blocks() * (LANES * size_of::<i32>() + self.fours() * DOT)
    }

    /// The weight of a tap of an output channel.
    fn weight(&self, bytes: &[u8], signed: bool, m: usize, tap: usize) -> i32 {
        integer(bytes[m * self.geometry.taps + tap], signed) - self.channels.zero_point[m]
    }
}

fn plan(p: &Problem) -> Result<Plan, Reject> {
    let plan = Plan::of(p)?;
    if plan.dilation[1] != 1 {
        return Err("taps of a row are not neighbours".into());
    }
    let w = p.constant(1).ok_or("the weights are not constant")?;
    let (bytes, signed) = (w.bytes(), w.dtype() == DType::I8);
    let all = (0..plan.geometry.outputs).flat_map(|m| (0..plan.geometry.taps).map(move |tap| (m, tap)));
    if all.into_iter().any(|(m, tap)| i8::try_from(plan.weight(bytes, signed, m, tap)).is_err()) {
        return Err("weights less their zero point leave eight bits".into());
    }
    Ok(plan)
}

impl Family for DepthwiseDots {
    fn offers<S: Simd>(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let plan = plan(p)?;
        let bytes = plan.sizes().and_then(|s| s.line.checked_add(s.fours)).filter(|&b| b <= 64 << 20);
        let per_worker = bytes.ok_or("a band of rows is too large")?.next_multiple_of(64);
        out.push(Offer {
            scratch: Scratch { shared: 0, per_worker },
            packed_bytes: plan.packed(),
            packed_format: format!("depthwise-dots{}", plan.channels.packed_as()).into(),
            ..finish::offer(p, BLOCKED)
        });
        Ok(())
    }

    fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Op::Conv(a) = &p.op else { return Cost { ns: f64::MAX, bytes: 0.0 } };
        let last = |v: &[usize]| v.last().copied().unwrap_or(1);
        let down = if a.kernel.len() > 1 { a.kernel[0] * a.stride[0] } else { 1 } as f64;
        let (fours, len) =
            (last(&a.kernel).div_ceil(QUAD) as f64, |o: Option<&Operand>| o.map_or(0, Operand::len) as f64);
        // Estimated, never measured: a load and a product for each four of taps, two cycles to bring a four together,
        // and about a cycle for the epilogue of two pixels.
        let each = 0.1 + 0.03 * down * fours + 0.06 * a.stride[0] as f64 * fours;
        streaming::<S>(p, o, m, each * len(p.output(0)) + 0.02 * len(p.input(0)))
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
                let four = m / LANES * plan.fours() + row * plan.across() + column / QUAD;
                weights[four * DOT + m % LANES * QUAD + column % QUAD] = weight as u8;
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
        let sizes = plan.sizes().ok_or_else(|| KernelError::Problem("a band of rows is too large".into()))?;
        let sums = &packed.elements::<i32>()[..plan.blocks() * LANES];
        let init = sums.iter().map(|sum| -plan.x.offset::<S>() * sum).collect();
        let epilogue = Epilogue::new(p, &plan.channels.products(plan.x), true)?;
        Ok(Box::new(Engine { s, plan, sizes, init, epilogue, packed }))
    }
}

struct Engine<S> {
    s: S,
    plan: Plan,
    sizes: Sizes,
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
            let scratch = unsafe { own.of::<u8>(worker) };
            let (line, fours) = scratch.split_at_mut(self.sizes.line);
            let fours = &mut fours[..self.sizes.fours];
            let [sample, block, first] = plan.start(task);
            self.s.vectorize(Band { engine: self, finish: &finish, x, line, fours, sample, block, first });
        });
        Ok(())
    }
}

/// Some rows of a block of output channels.
struct Band<'a, E> {
    engine: &'a Engine<E>,
    finish: &'a Finish<'a>,
    x: &'a [u8],
    line: &'a mut [u8],
    fours: &'a mut [u8],
    sample: usize,
    block: usize,
    first: usize,
}

impl<E: Simd> Task for Band<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(mut self, s: S) {
        let plan = &self.engine.plan;
        let rows = plan.band.min(plan.geometry.output[1] - self.first);
        for r in 0..plan.rows_of(rows) {
            self.fill(s, r);
        }
        for r in 0..rows {
            self.row(s, r);
        }
    }
}

impl<E: Simd> Band<'_, E> {
    /// Brings the fours of a row of the band together.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, s: S, r: usize) {
        let plan = &self.engine.plan;
        let ([_, height, width], [_, above, left]) = (plan.geometry.input, plan.geometry.halo);
        let flip = if plan.x.turned::<S>() { 0x80 } else { 0 };
        let zero = plan.x.zero() ^ flip;
        let row = (self.first * plan.stride[0] + r).checked_sub(above).filter(|&row| row < height);
        match row {
            None => self.line.fill(zero),
            Some(row) => {
                let kept = width.min(plan.columns().saturating_sub(left));
                let before = left.min(plan.columns()) * LANES;
                self.line[..before].fill(zero);
                self.line[before + kept * LANES..].fill(zero);
                let to = &mut self.line[before..][..kept * LANES];
                let sources = plan.sources(self.block);
                if straight(sources) {
                    let from = &self.x[plan.row_at(self.sample, sources[0], row)..];
                    to.iter_mut().zip(from).for_each(|(to, x)| *to = x ^ flip);
                } else {
                    for (lane, &c) in sources.iter().enumerate() {
                        let from = self.x[plan.row_at(self.sample, c, row) + c % LANES..].iter().step_by(LANES);
                        to[lane..].iter_mut().step_by(LANES).zip(from).for_each(|(to, x)| *to = x ^ flip);
                    }
                }
            }
        }
        let (columns, across) = (plan.geometry.output[2], plan.across());
        let fours = &mut self.fours[r * across * columns * DOT..][..across * columns * DOT];
        for (q, fours) in fours.chunks_exact_mut(columns * DOT).enumerate() {
            for (i, to) in fours.chunks_exact_mut(DOT).enumerate() {
                let from = &self.line[(i * plan.stride[1] + q * QUAD) * LANES..][..DOT];
                // SAFETY: 32 bytes on both sides.
                unsafe { s.gather_fours(from.as_ptr(), to.as_mut_ptr()) };
            }
        }
    }

    /// Computes row `r` of the band.
    #[inline(always)]
    fn row<S: Simd>(&mut self, s: S, r: usize) {
        let plan = &self.engine.plan;
        let [_, height, width] = plan.geometry.output;
        let lanes = (plan.geometry.outputs - self.block * LANES).min(LANES);
        let place = Place { channel: self.block * LANES, lanes, first: 0, step: LANES };
        let y = ((self.sample * plan.blocks() + self.block) * height + self.first + r) * width * LANES;
        let mut at = 0;
        while at + 4 <= width {
            // SAFETY: pixels of this band's rows, which no other task has.
            unsafe { self.pixels::<S, 4>(s, &place, r, at, y) };
            at += 4;
        }
        while at < width {
            // SAFETY: as above.
            unsafe { self.pixels::<S, 1>(s, &place, r, at, y) };
            at += 1;
        }
    }

    /// Computes pixels from column `at` of a row that begins with element `y` of the output.
    ///
    /// # Safety
    /// They must exist, and be this task's alone.
    #[inline(always)]
    unsafe fn pixels<S: Simd, const PX: usize>(&self, s: S, place: &Place, r: usize, at: usize, y: usize) {
        let (e, plan) = (self.engine, &self.engine.plan);
        let (columns, across) = (plan.geometry.output[2], plan.across());
        let weights = e.packed.data.as_slice()[e.init.len() * size_of::<i32>()..][self.block * plan.fours() * DOT..]
            [..plan.fours() * DOT]
            .as_ptr();
        // SAFETY: eight starts for each block.
        let mut sums = [[unsafe { s.load_sums(e.init[self.block * LANES..][..LANES].as_ptr()) }]; PX];
        for down in 0..plan.kernel[0] {
            let row = r * plan.stride[0] + down * plan.dilation[0];
            for q in 0..across {
                let x = self.fours[((row * across + q) * columns + at) * DOT..][..PX * DOT].as_ptr();
                for k in 0..PX {
                    // SAFETY: the fours of each pixel, and as many weights.
                    unsafe {
                        let w = weights.add((down * across + q) * DOT);
                        sums[k][0] = s.dot_each(sums[k][0], x.add(k * DOT), w.cast());
                    }
                }
            }
        }
        let mut to = [0; PX];
        for k in 0..PX {
            to[k] = y + (at + k) * LANES;
        }
        // SAFETY: the caller's promise.
        unsafe { self.finish.store_sums::<S, PX, 1>(s, place, sums, &to) };
    }
}
