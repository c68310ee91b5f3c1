//! Depthwise convolution of bytes.
//!
//! The bytes of a block of channels are made numbers once, in a frame of zeros, and the window slides over those: sums of
//! a few products of bytes are exact in `f32`, and every byte is converted once rather than for every tap.

use crate::{
    family::{Family, streaming},
    finish::{self, Epilogue, Finish, Place},
    operand::{Bytes, Channels, integer},
};
use paring_core::{AlignedBuf, Op};
use paring_dense::conv::Geometry;
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, Scratch,
};
use paring_simd::{LANES, Simd, Task};
use paring_vector::support::BLOCKED;
use std::sync::Arc;

/// See the module.
pub struct Depthwise;

/// Products of a byte with a weight that has a zero point, whose sum is exact in `f32`.
const MOST_TAPS: usize = (1 << 24) / (255 * 255);
/// Output pixels of a task, about.
const TASK_PIXELS: usize = 4096;

struct Plan {
    geometry: Geometry,
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    x: Bytes,
    channels: Channels,
    /// The input channel of each output channel.
    source: Vec<usize>,
    /// Output rows of a task.
    band: usize,
}

impl Plan {
    fn of(p: &Problem) -> Result<Plan, Reject> {
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        let (Some(x), Some(w)) = (p.input(0), p.input(1)) else { return Err(Reject::because("an operand is missing")) };
        let (x, channels) = (Bytes::of(x)?, Channels::of(w, 0)?);
        let g = Geometry::of_any_conv(p, a)?;
        if g.depth != 1 {
            return Err(Reject::because("groups have more than one input channel"));
        }
        if a.kernel.len() > 2 || g.taps > MOST_TAPS {
            return Err(Reject::because("only windows of two axes, and not too large"));
        }
        finish::servable(p, g.outputs)?;
        let pair = |v: &[usize]| [if v.len() > 1 { v[0] } else { 1 }, v[v.len() - 1]];
        let each = g.outputs / g.groups;
        let source = (0..g.outputs).map(|m| g.select.as_ref().map_or(m / each, |s| s[m / each] as usize)).collect();
        let band = (TASK_PIXELS / g.output[2].max(1)).clamp(1, g.output[1]);
        Ok(Plan {
            kernel: pair(&a.kernel),
            stride: pair(&a.stride),
            dilation: pair(&a.dilation),
            geometry: g,
            x,
            channels,
            source,
            band,
        })
    }

    fn blocks(&self) -> usize {
        self.geometry.outputs.div_ceil(LANES)
    }

    /// Rows of the framed input that a task reads.
    fn rows(&self) -> usize {
        (self.band - 1) * self.stride[0] + (self.kernel[0] - 1) * self.dilation[0] + 1
    }

    /// Columns of the framed input.
    fn columns(&self) -> usize {
        (self.geometry.output[2] - 1) * self.stride[1] + (self.kernel[1] - 1) * self.dilation[1] + 1
    }
}

impl Family for Depthwise {
    fn offers<S: Simd>(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let plan = Plan::of(p)?;
        let bytes = plan.rows().checked_mul(plan.columns()).and_then(|n| n.checked_mul(LANES * size_of::<f32>()));
        let per_worker = bytes.filter(|&b| b <= 64 << 20).ok_or("a band of rows is too large")?;
        let mut inputs = vec![None; p.inputs.len()];
        inputs[0] = Some(BLOCKED);
        for r in finish::residuals(p) {
            inputs[r] = Some(BLOCKED);
        }
        out.push(Offer {
            inputs,
            outputs: vec![BLOCKED; p.outputs.len()],
            fused: p.epilogue.len(),
            scratch: Scratch { shared: 0, per_worker: per_worker.next_multiple_of(64) },
            packed_bytes: plan.blocks() * plan.geometry.taps * LANES * size_of::<f32>(),
            packed_format: format!("depthwise-bytes{}", plan.channels.packed_as()).into(),
            numerics: NumericClass::Reassociated,
            ..Offer::plain(p)
        });
        Ok(())
    }

    fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let taps = p.input(1).map_or(1, |w| w.shape[2..].iter().product::<usize>()) as f64;
        let len = |o: Option<&Operand>| o.map_or(0, Operand::len) as f64;
        streaming::<S>(p, o, m, (0.15 + 0.035 * taps) * len(p.output(0)) + 0.1 * len(p.input(0)))
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let w = p.constant(1).ok_or_else(|| KernelError::Problem("the weights are not constant".into()))?;
        let (w, taps) = (integer(w), plan.geometry.taps);
        let mut data = AlignedBuf::zeroed(o.packed_bytes)?;
        let packed: &mut [f32] = bytemuck::cast_slice_mut(data.as_mut_slice());
        for (m, zero) in plan.channels.zero_point.iter().enumerate() {
            for tap in 0..taps {
                packed[(m / LANES * taps + tap) * LANES + m % LANES] = (w(m * taps + tap) - zero) as f32;
            }
        }
        Ok(Packed { data })
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        if packed.data.as_slice().len() != o.packed_bytes {
            return Err(KernelError::Problem("the weights were packed for another problem".into()));
        }
        let scale: Vec<f32> = plan.channels.scale.iter().map(|w| w * plan.x.scale).collect();
        let epilogue = Epilogue::new(p, &scale, true)?;
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
        let (g, parallel) = (&self.plan.geometry, cx.parallel());
        let (x, own) = (cx.input::<u8>(0), cx.worker_scratch());
        let output = cx.output::<u8>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        let pixels = |[d, h, w]: [usize; 3]| d * h * w * LANES;
        assert!(x.len() >= g.samples * g.inputs.div_ceil(LANES) * pixels(g.input));
        assert!(len >= g.samples * self.plan.blocks() * pixels(g.output) * self.epilogue.size());
        let finish = self.epilogue.bind(cx, y, len);
        let bands = g.output[1].div_ceil(self.plan.band);
        parallel.run(g.samples * self.plan.blocks() * bands, &|task, worker| {
            // SAFETY: a worker runs one task at a time.
            let frame = unsafe { own.of::<f32>(worker) };
            let (unit, first) = (task / bands, task % bands * self.plan.band);
            let (sample, block) = (unit / self.plan.blocks(), unit % self.plan.blocks());
            self.s.vectorize(Band { engine: self, finish: &finish, x, frame, sample, block, first });
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
        match (plan.kernel, plan.stride[1], plan.dilation[1]) {
            ([3, 3], 1, 1) => self.rows::<S, 3, 3, 1>(s, rows),
            ([3, 3], 2, 1) => self.rows::<S, 3, 3, 2>(s, rows),
            ([5, 5], 1, 1) => self.rows::<S, 5, 5, 1>(s, rows),
            ([5, 5], 2, 1) => self.rows::<S, 5, 5, 2>(s, rows),
            _ => self.rows::<S, 0, 0, 0>(s, rows),
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
        let needed = (rows - 1) * plan.stride[0] + (plan.kernel[0] - 1) * plan.dilation[0] + 1;
        let zero = s.splat(plan.x.zero_point as f32);
        let lanes = (g.outputs - self.block * LANES).min(LANES);
        let sources = &plan.source[self.block * LANES..][..lanes];
        let straight = sources.iter().enumerate().all(|(i, &c)| c == sources[0] / LANES * LANES + i);
        let plane = height * width * LANES;
        let blocks = g.inputs.div_ceil(LANES);
        for r in 0..needed {
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
            for i in 0..kept {
                let mut eight = [0u8; LANES];
                if straight {
                    let at = (self.sample * blocks + sources[0] / LANES) * plane + (row * width + i) * LANES;
                    eight.copy_from_slice(&self.x[at..at + LANES]);
                } else {
                    for (lane, &c) in sources.iter().enumerate() {
                        let at = (self.sample * blocks + c / LANES) * plane + (row * width + i) * LANES;
                        eight[lane] = self.x[at + c % LANES];
                    }
                }
                let to = &mut to[(before + i) * LANES..][..LANES];
                // SAFETY: eight bytes, and eight elements.
                unsafe { s.store(to.as_mut_ptr(), s.sub(s.load_bytes(eight.as_ptr(), plan.x.signed), zero)) };
            }
        }
    }

    /// Computes `rows` rows, with a window of `KH` by `KW` and a stride of `SW`, or any where those are 0.
    #[inline(always)]
    fn rows<S: Simd, const KH: usize, const KW: usize, const SW: usize>(&self, s: S, rows: usize) {
        const TOGETHER: usize = 4;
        let plan = &self.engine.plan;
        let g = &plan.geometry;
        let (kh, kw) = if KH == 0 { (plan.kernel[0], plan.kernel[1]) } else { (KH, KW) };
        let (step, along) = if KH == 0 { (plan.stride[1], plan.dilation[1]) } else { (SW, 1) };
        let columns = plan.columns();
        let weights = &self.engine.packed.elements::<f32>()[self.block * g.taps * LANES..][..g.taps * LANES];
        let [_, height, width] = g.output;
        let lanes = (g.outputs - self.block * LANES).min(LANES);
        let place = Place { channel: self.block * LANES, lanes, first: 0, step: LANES };
        let pixel = (self.sample * plan.blocks() + self.block) * height;
        let frame = self.frame.as_ptr();
        for r in 0..rows {
            let y = (pixel + self.first + r) * width;
            let row = r * plan.stride[0] * columns;
            macro_rules! pixels {
                ($n:expr, $first:expr) => {{
                    let mut sums = [[s.splat(0.0)]; $n];
                    for i in 0..kh {
                        for j in 0..kw {
                            // SAFETY: the frame holds every tap of every pixel of the band, the weights every tap.
                            unsafe {
                                let w = s.load(weights.as_ptr().add((i * kw + j) * LANES));
                                let at = row + i * plan.dilation[0] * columns + j * along;
                                for k in 0..$n {
                                    let x = s.load(frame.add((at + ($first + k) * step) * LANES));
                                    sums[k][0] = s.mul_add(x, w, sums[k][0]);
                                }
                            }
                        }
                    }
                    let mut to = [0; $n];
                    for k in 0..$n {
                        to[k] = (y + $first + k) * LANES;
                    }
                    // SAFETY: pixels of this band's rows, which no other task has.
                    unsafe { self.finish.store::<S, $n, 1>(s, &place, sums, &to) };
                }};
            }
            let mut at = 0;
            while at + TOGETHER <= width {
                pixels!(TOGETHER, at);
                at += TOGETHER;
            }
            while at < width {
                pixels!(1, at);
                at += 1;
            }
        }
    }
}
