//! Runs a depthwise convolution: one task for each sample, block of channels and band of rows.

use super::tile::{self, ANY, Out, Row};
use crate::{
    conv::Geometry,
    epilogue::{Epilogue, Finish, Place},
    tile::Panel,
};
use paring_core::op::ConvAttrs;
use paring_kernel::{KernelError, Packed, Prepared, RunCx};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// Output pixels of a task, about: some ten microseconds of work.
const TASK_PIXELS: usize = 2048;

/// Extents of a depthwise convolution over rows and columns.
#[derive(Clone, Debug)]
pub struct Extents {
    pub samples: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub input: [usize; 2],
    pub output: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub before: [usize; 2],
    /// The input channel of each output channel, where they are not the same throughout.
    pub source: Option<Vec<u32>>,
    /// Output rows of a task.
    pub band: usize,
}

impl Extents {
    /// The extents of a geometry of two axes at most, whose groups have one input channel each.
    pub fn new(g: &Geometry, a: &ConvAttrs) -> Extents {
        let across = |v: &[usize]| [if v.len() > 1 { v[v.len() - 2] } else { 1 }, v[v.len() - 1]];
        let multiplier = g.outputs / g.groups;
        let source = (multiplier > 1 || g.select.is_some()).then(|| {
            let channel = |m: usize| g.select.as_ref().map_or((m / multiplier) as u32, |s| s[m / multiplier]);
            (0..g.outputs).map(channel).collect()
        });
        Extents {
            samples: g.samples,
            inputs: g.inputs,
            outputs: g.outputs,
            input: [g.input[1], g.input[2]],
            output: [g.output[1], g.output[2]],
            kernel: across(&a.kernel),
            stride: across(&a.stride),
            dilation: across(&a.dilation),
            before: [g.halo[1], g.halo[2]],
            source,
            band: (TASK_PIXELS / g.output[2]).clamp(1, g.output[1]),
        }
    }

    /// Blocks of output channels.
    pub fn blocks(&self) -> usize {
        self.outputs.div_ceil(LANES)
    }

    /// Weight positions.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Most input rows that a task reads.
    fn input_rows(&self) -> usize {
        let span = (self.kernel[0] - 1) * self.dilation[0] + 1;
        (self.band - 1).saturating_mul(self.stride[0]).saturating_add(span).min(self.input[0])
    }

    /// Elements that a worker gathers channels into.
    pub fn gathered(&self) -> usize {
        if self.source.is_some() { self.input_rows() * self.input[1] * LANES } else { 0 }
    }
}

/// A prepared depthwise convolution.
pub struct Engine<S> {
    s: S,
    extents: Extents,
    weights: Arc<Packed>,
    epilogue: Epilogue,
}

impl<S: Simd> Engine<S> {
    /// Binds weights and epilogue.
    pub fn new(s: S, extents: Extents, weights: Arc<Packed>, epilogue: Epilogue) -> Result<Engine<S>, KernelError> {
        if weights.elements::<f32>().len() != extents.blocks() * extents.taps() * LANES {
            return Err(KernelError::Problem("the packed weights are of another problem".into()));
        }
        Ok(Engine { s, extents, weights, epilogue })
    }
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let e = &self.extents;
        let x = cx.input::<f32>(0);
        let y = cx.shared_output::<f32>(0);
        let (y, len) = (y.as_ptr(), y.len());
        let plane = |c: usize, [h, w]: [usize; 2]| e.samples * c.div_ceil(LANES) * LANES * h * w;
        if x.len() != plane(e.inputs, e.input) || len != plane(e.outputs, e.output) {
            return Err(KernelError::Problem("operands are of another problem".into()));
        }
        let finish = self.epilogue.bind(cx, y, len);
        let (scratch, parallel) = (cx.worker_scratch(), cx.parallel());
        let bands = e.output[0].div_ceil(e.band);
        let run = Run { extents: e, x, weights: self.weights.elements(), epilogue: &self.epilogue, finish: &finish, y };
        parallel.run(e.samples * e.blocks() * bands, &|task, worker| {
            let band = Band {
                run: &run,
                sample: task / bands / e.blocks(),
                block: task / bands % e.blocks(),
                first: task % bands * e.band,
            };
            // SAFETY: a worker runs one task at a time.
            let gathered = if e.source.is_some() { unsafe { scratch.of::<f32>(worker) } } else { &mut [] };
            self.s.vectorize(BandTask { band, gathered });
        });
        Ok(())
    }
}

/// Pixels that an epilogue goes over at once.
const PIXELS: usize = 32;

/// One run.
struct Run<'a> {
    extents: &'a Extents,
    x: &'a [f32],
    weights: &'a [f32],
    epilogue: &'a Epilogue,
    finish: &'a Finish<'a>,
    y: *mut f32,
}

// SAFETY: tasks write disjoint rows of the output that `y` points to.
unsafe impl Sync for Run<'_> {}

/// Some rows of one block of channels.
#[derive(Clone, Copy)]
struct Band<'a> {
    run: &'a Run<'a>,
    sample: usize,
    block: usize,
    first: usize,
}

struct BandTask<'a> {
    band: Band<'a>,
    gathered: &'a mut [f32],
}

impl Task for BandTask<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let e = self.band.run.extents;
        let dense = e.dilation[1] == 1;
        match (e.kernel[1], e.stride[1]) {
            (3, 1) if dense => self.rows::<S, 3, 1>(s),
            (3, 2) if dense => self.rows::<S, 3, 2>(s),
            (5 | 7, _) if S::SMALL => self.rows::<S, ANY, ANY>(s),
            (5, 1) if dense => self.rows::<S, 5, 1>(s),
            (5, 2) if dense => self.rows::<S, 5, 2>(s),
            (7, 1) if dense => self.rows::<S, 7, 1>(s),
            _ => self.rows::<S, ANY, ANY>(s),
        }
    }
}

impl BandTask<'_> {
    #[inline(always)]
    fn rows<S: Simd, const KW: usize, const ST: usize>(self, s: S) {
        let Band { run, sample, block, first } = self.band;
        let e = run.extents;
        let [height, width] = e.input;
        let last = (first + e.band).min(e.output[0]);
        let (x, x_first) = match &e.source {
            None => {
                let plane = height * width * LANES;
                (run.x[(sample * e.blocks() + block) * plane..][..plane].as_ptr(), 0)
            }
            Some(source) => {
                let from = (first * e.stride[0]).saturating_sub(e.before[0]).min(height);
                let rows = e.input_rows().min(height - from);
                self.band.gather(source, from, rows, self.gathered);
                (self.gathered.as_ptr(), from)
            }
        };
        let panel = Panel {
            weights: run.weights[block * e.taps() * LANES..].as_ptr(),
            ahead: run.weights.as_ptr(),
            step: LANES,
            offsets: &[],
            k: 0,
            beside: 0,
            init: run.epilogue.init(block * LANES),
            place: Place { channel: block * LANES, lanes: (e.outputs - block * LANES).min(LANES), columns: [0, LANES] },
            finish: run.finish,
        };
        // Other epilogues than bounds go over the whole band at the end.
        let deferred = run.finish.is_deferred(&panel.place, 1);
        let bounds = run.finish.bounds(panel.place.lanes).or(deferred.then_some((f32::NEG_INFINITY, f32::INFINITY)));
        let down = e.dilation[0];
        // Divisions take longer than a short row.
        let rows_down = |distance: usize| if down == 1 { distance } else { distance.div_ceil(down) }.min(e.kernel[0]);
        let out_row = e.output[1] * LANES;
        let out_first = (sample * e.blocks() + block) * e.output[0] * out_row;
        for oy in first..last {
            // Rows of taps within the input: from the first at or below its top to the last above its bottom.
            let top = oy * e.stride[0];
            let skip = rows_down(e.before[0].saturating_sub(top));
            let end = rows_down((e.before[0] + height).saturating_sub(top));
            let row = top + skip * down;
            let at = (row.wrapping_sub(e.before[0] + x_first).wrapping_mul(width)).wrapping_sub(e.before[1]);
            let row = Row {
                x: x.wrapping_add(at.wrapping_mul(LANES)),
                row_step: down * width * LANES,
                weights: panel.weights.wrapping_add(skip * e.kernel[1] * LANES),
                taps_down: end.saturating_sub(skip),
                taps_across: e.kernel[1],
                stride: e.stride[1],
                dilation: e.dilation[1],
                before: e.before[1],
                input: width,
                output: e.output[1],
                // SAFETY: within the output, whose length was checked.
                y: unsafe { run.y.add(out_first + oy * out_row) },
                init: panel.init,
                out: bounds.map_or(Out::Finished(&panel), Out::Bounded),
            };
            // SAFETY: the rows of taps counted lie within the plane or the gathered rows, and tile columns beyond
            // the row's are not read; other tasks write other rows.
            unsafe { tile::row::<S, KW, ST>(s, &row) }
        }
        if deferred {
            let (first, pixels) = (out_first + first * out_row, (last - first) * e.output[1]);
            for from in (0..pixels).step_by(PIXELS) {
                let mut y = [run.y; PIXELS];
                let count = PIXELS.min(pixels - from);
                for (i, y) in y[..count].iter_mut().enumerate() {
                    *y = run.y.wrapping_add(first + (from + i) * LANES);
                }
                // SAFETY: the pixels of the band, which lie one after the other and were all stored above. The panel's
                // first column is at the pixel itself.
                unsafe { run.finish.finish(s, &panel.place, &y[..count], 1) }
            }
        }
    }
}

impl Band<'_> {
    /// Copies `rows` input rows from `from` on, channels in the order of this block's outputs.
    fn gather(&self, source: &[u32], from: usize, rows: usize, to: &mut [f32]) {
        let e = self.run.extents;
        let (pixels, plane) = (rows * e.input[1], e.input[0] * e.input[1]);
        let in_blocks = e.inputs.div_ceil(LANES);
        let to = &mut to[..pixels * LANES];
        for lane in 0..LANES {
            let Some(&c) = source.get(self.block * LANES + lane) else {
                to.iter_mut().skip(lane).step_by(LANES).for_each(|v| *v = 0.0);
                continue;
            };
            let c = c as usize;
            let block = &self.run.x[((self.sample * in_blocks + c / LANES) * plane + from * e.input[1]) * LANES..];
            let lanes = block[..pixels * LANES].iter().skip(c % LANES).step_by(LANES);
            to.iter_mut().skip(lane).step_by(LANES).zip(lanes).for_each(|(v, x)| *v = *x);
        }
    }
}
