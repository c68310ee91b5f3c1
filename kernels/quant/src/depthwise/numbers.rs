//! Depthwise convolution of bytes that are made numbers.
//!
//! The bytes of a block of channels are made numbers once, in a frame of zeros, and the window slides over those: sums of
//! a few products of bytes are exact in `f32`, and every byte is converted once rather than for every tap.

use super::{Plan, Sources, Start};
use crate::{
    family::{Family, Target, streaming},
    finish::{self, Epilogue, Finish, Place},
    operand::integer,
};
use paring_core::{AlignedBuf, DType};
use paring_dense::depthwise::tile::{self, ANY, Out, Row};
use paring_kernel::{Cost, KernelError, Machine, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, Scratch};
use paring_simd::{LANES, Simd, Task};
use paring_vector::support::BLOCKED;
use std::sync::Arc;

/// See the module.
pub struct Depthwise;

impl Family for Depthwise {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let plan = Plan::of(p)?;
        let pixels = plan.rows().checked_mul(plan.columns()).and_then(|n| n.checked_add(plan.geometry.output[2]));
        let bytes = pixels.and_then(|n| n.checked_mul(LANES * size_of::<f32>()));
        let per_worker = bytes.filter(|&b| b <= 64 << 20).ok_or("a band of rows is too large")?;
        out.push(Offer {
            scratch: Scratch { shared: 0, per_worker: per_worker.next_multiple_of(64) },
            packed_bytes: plan.blocks() * plan.geometry.taps * LANES * size_of::<f32>(),
            packed_format: format!("depthwise-bytes{}", plan.channels.packed_as()).into(),
            ..finish::offer(p, BLOCKED)
        });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let taps = p.input(1).map_or(1, |w| w.shape[2..].iter().product::<usize>()) as f64;
        let len = |o: Option<&Operand>| o.map_or(0, Operand::len) as f64;
        // Measured: one channel for a whole block is read byte by byte, several are converted lane by lane as well.
        let each = |sources: &[usize]| match Sources::of(sources) {
            Sources::Block => 0.8,
            Sources::One => 1.0,
            Sources::Any => 8.8,
        };
        let convert = Plan::of(p).map_or(0.0, |plan| {
            let pixels = plan.geometry.samples * plan.geometry.input.iter().product::<usize>();
            (0..plan.blocks()).map(|b| each(plan.sources(b))).sum::<f64>() * pixels as f64
        });
        streaming(p, o, target, m, (0.1 + 0.03 * taps) * len(p.output(0)) + convert)
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let w = p.constant(1).ok_or_else(|| KernelError::Problem("the weights are not constant".into()))?;
        let (bytes, signed, taps) = (w.bytes(), w.dtype() == DType::I8, plan.geometry.taps);
        let mut data = AlignedBuf::zeroed(o.packed_bytes)?;
        let packed: &mut [f32] = bytemuck::cast_slice_mut(data.as_mut_slice());
        for (m, zero) in plan.channels.zero_point.iter().enumerate() {
            for tap in 0..taps {
                packed[(m / LANES * taps + tap) * LANES + m % LANES] =
                    (integer(bytes[m * taps + tap], signed) - zero) as f32;
            }
        }
        Ok(data.into())
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        if packed.data.as_slice().len() != o.packed_bytes {
            return Err(KernelError::Problem("the weights were packed for another problem".into()));
        }
        let epilogue = Epilogue::new(p, &plan.channels.products(plan.x), true)?;
        Ok(Box::new(Engine { s, plan, epilogue, packed }))
    }
}

struct Engine<S> {
    s: S,
    plan: Plan,
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
            let frame = unsafe { own.of::<f32>(worker) };
            let Start { sample, blocks, row } = plan.start(task);
            for block in blocks {
                self.s.vectorize(Band { engine: self, finish: &finish, x, frame, sample, block, first: row });
            }
        });
        Ok(())
    }
}

/// Some rows of a block of output channels.
struct Band<'a, E> {
    engine: &'a Engine<E>,
    finish: &'a Finish<'a>,
    x: &'a [u8],
    frame: &'a mut [f32],
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
        self.fill(s, rows);
        match (plan.kernel[1], plan.stride[1], plan.dilation[1]) {
            _ if S::SMALL => self.rows::<S, ANY, ANY>(s, rows),
            (3, 1, 1) => self.rows::<S, 3, 1>(s, rows),
            (3, 2, 1) => self.rows::<S, 3, 2>(s, rows),
            (5, 1, 1) => self.rows::<S, 5, 1>(s, rows),
            (5, 2, 1) => self.rows::<S, 5, 2>(s, rows),
            _ => self.rows::<S, ANY, ANY>(s, rows),
        }
    }
}

impl<E: Simd> Band<'_, E> {
    /// Makes numbers of the inputs of `rows` rows, less the zero point, in a frame of zeros.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, s: S, rows: usize) {
        let plan = &self.engine.plan;
        let (g, columns) = (&plan.geometry, plan.columns());
        let ([_, height, width], [_, above, left]) = (g.input, g.halo);
        let zero = s.splat(plan.x.zero_point as f32);
        let sources = plan.sources(self.block);
        let kind = Sources::of(sources);
        for r in 0..plan.rows_of(rows) {
            let to = &mut self.frame[r * columns * LANES..][..columns * LANES];
            let row = (self.first * plan.stride[0] + r).checked_sub(above).filter(|&row| row < height);
            let Some(row) = row else {
                to.fill(0.0);
                continue;
            };
            let kept = width.min(columns.saturating_sub(left));
            let before = left.min(columns);
            to[..before * LANES].fill(0.0);
            to[(before + kept) * LANES..].fill(0.0);
            let to = &mut to[before * LANES..(before + kept) * LANES];
            if kind == Sources::Block {
                let from = &self.x[plan.row_at(self.sample, sources[0], row)..][..kept * LANES];
                for i in 0..kept {
                    // SAFETY: eight bytes, and eight elements.
                    unsafe {
                        let v = s.load_bytes(from.as_ptr().add(i * LANES), plan.x.signed);
                        s.store(to.as_mut_ptr().add(i * LANES), s.sub(v, zero));
                    }
                }
                continue;
            }
            if kind == Sources::One {
                let from = &self.x[plan.row_at(self.sample, sources[0], row) + sources[0] % LANES..];
                for i in 0..kept {
                    let value = integer(from[i * LANES], plan.x.signed) - plan.x.zero_point;
                    // SAFETY: eight elements.
                    unsafe { s.store(to.as_mut_ptr().add(i * LANES), s.splat(value as f32)) };
                }
                continue;
            }
            for (lane, &c) in sources.iter().enumerate() {
                let at = plan.row_at(self.sample, c, row) + c % LANES;
                for i in 0..kept {
                    let byte = self.x[at + i * LANES];
                    to[i * LANES + lane] = (integer(byte, plan.x.signed) - plan.x.zero_point) as f32;
                }
            }
            for lane in sources.len()..LANES {
                to.iter_mut().skip(lane).step_by(LANES).for_each(|v| *v = 0.0);
            }
        }
    }

    /// Computes `rows` rows, whose windows have `KW` taps across at stride `ST`, or any.
    #[inline(always)]
    fn rows<S: Simd, const KW: usize, const ST: usize>(&mut self, s: S, rows: usize) {
        let plan = &self.engine.plan;
        let (g, columns, taps) = (&plan.geometry, plan.columns(), plan.geometry.taps * LANES);
        let weights = &self.engine.packed.elements::<f32>()[self.block * taps..][..taps];
        let [_, height, width] = g.output;
        let lanes = (g.outputs - self.block * LANES).min(LANES);
        let place = Place { channel: self.block * LANES, lanes, first: 0, step: LANES };
        let first = (self.sample * plan.blocks() + self.block) * height + self.first;
        let (frame, sums) = self.frame.split_at_mut(plan.rows() * columns * LANES);
        let zeros = [0.0; LANES];
        for r in 0..rows {
            let row = Row {
                x: frame[r * plan.stride[0] * columns * LANES..].as_ptr(),
                row_step: plan.dilation[0] * columns * LANES,
                weights: weights.as_ptr(),
                taps_down: plan.kernel[0],
                taps_across: plan.kernel[1],
                stride: plan.stride[1],
                dilation: plan.dilation[1],
                before: 0,
                input: columns,
                output: width,
                y: sums[..width * LANES].as_mut_ptr(),
                init: zeros.as_ptr(),
                out: Out::Bounded((f32::NEG_INFINITY, f32::INFINITY)),
            };
            // SAFETY: the frame holds every tap of every pixel of the band, the weights every tap.
            unsafe { tile::row::<S, KW, ST>(s, &row) };
            let y = (first + r) * width * LANES;
            // SAFETY: the sums of the row's pixels, which are this band's and no other task's.
            unsafe { self.finish.store_row(s, &place, sums.as_ptr(), width, y) };
        }
    }
}
