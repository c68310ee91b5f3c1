//! Signs of numbers, packed.

use core::ops::Range;
use paring_core::{
    DType, Layout, Op,
    op::EpiOp,
    signs::{PER_BYTE, pack},
};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx,
};
use paring_quant::family::{Family, Target, streaming};
use paring_simd::{LANES, Simd, Task};
use paring_vector::{
    batch_norm,
    support::{BLOCKED, Planes, split},
};
use std::sync::Arc;

/// `Identity` and `BatchNorm` that end in signs: the latter as one multiply-add before.
pub struct Take;

/// The operand, and what the sign of zero is.
fn operand(p: &Problem) -> Result<(&Operand, i8), Reject> {
    let (Some(x), Some(y)) = (p.input(0), p.output(0)) else { return Err("an operand is missing".into()) };
    let &[EpiOp::Sign { of_zero }] = &p.epilogue[..] else { return Err("not only signs are taken".into()) };
    if x.dtype != DType::F32 || y.dtype != DType::Sign || x.shape != y.shape {
        return Err(format!("only signs of f32, found {} to {}", x.dtype, y.dtype).into());
    }
    if let Op::BatchNorm(_) = p.op {
        batch_norm::servable(p, Planes::of(&x.shape)?.channels)?;
    }
    Ok((x, of_zero))
}

impl Family for Take {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let rank = operand(p)?.0.shape.len();
        let packed = [(BLOCKED, Layout::Signs), (Layout::Plain, Layout::Signs)];
        let plain = [(Layout::Plain, Layout::Plain)];
        for (input, output) in if rank >= 2 { &packed[..] } else { &[] }.iter().chain(&plain) {
            let mut inputs = vec![None; p.inputs.len()];
            inputs[0] = Some(*input);
            // Exact but for batch norms.
            let numerics = if p.op == Op::Identity { NumericClass::Exact } else { NumericClass::Reassociated };
            out.push(Offer { inputs, outputs: vec![*output], fused: 1, numerics, ..Offer::plain(p) });
        }
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        // Measured: what an element takes, in nanoseconds.
        let each = match (o.inputs.first().copied().flatten(), o.outputs.first()) {
            (Some(Layout::Plain), Some(Layout::Plain)) => 0.5,
            (Some(Layout::Plain), _) => 0.6,
            _ => 0.23,
        };
        streaming(p, o, target, m, each * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let problem = |r: Reject| KernelError::Problem(r.to_string());
        let (x, of_zero) = operand(p).map_err(problem)?;
        let affine = if p.op == Op::Identity { None } else { Some(batch_norm::factors(p)?) };
        if o.outputs[0] == Layout::Plain {
            let planes = Planes::of(&x.shape).unwrap_or(Planes { samples: 1, channels: 1, plane: x.len() });
            return Ok(Box::new(OneByOne { planes, affine, of_zero }));
        }
        let planes = Planes::of(&x.shape).map_err(problem)?;
        Ok(Box::new(Run { s, planes, affine, of_zero, blocked: o.inputs[0] != Some(Layout::Plain) }))
    }
}

/// Signs that are stored one by one.
struct OneByOne {
    planes: Planes,
    affine: Option<[Vec<f32>; 2]>,
    of_zero: i8,
}

impl Prepared for OneByOne {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, Planes { samples, channels, plane }) = (cx.input::<f32>(0), cx.parallel(), self.planes);
        let y = cx.shared_output::<u8>(0);
        split(parallel, samples * channels, x.len() * 5, &|range, _| {
            for unit in range {
                let [slope, offset] =
                    self.affine.as_ref().map_or([1.0, 0.0], |a| [0, 1].map(|i| a[i][unit % channels]));
                // SAFETY: every channel of a sample is one task's.
                let to = unsafe { y.slice(unit * plane, plane) };
                for (to, &x) in to.iter_mut().zip(&x[unit * plane..]) {
                    let v = x * slope + offset;
                    *to = (if v > 0.0 {
                        1
                    } else if v < 0.0 {
                        -1
                    } else {
                        self.of_zero
                    }) as u8;
                }
            }
        });
        Ok(())
    }
}

/// Signs that are packed.
struct Run<S> {
    s: S,
    planes: Planes,
    affine: Option<[Vec<f32>; 2]>,
    of_zero: i8,
    blocked: bool,
}

/// Pixels whose signs are taken of all channels before the next: their bytes stay in the first-level cache.
const PIXELS: usize = 64;

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, planes) = (cx.input::<f32>(0), cx.parallel(), self.planes);
        let y = cx.shared_output::<u8>(0);
        let row = 2 * planes.blocks();
        let channels = if self.blocked { planes.blocks() * LANES } else { planes.channels };
        assert!(x.len() >= planes.samples * channels * planes.plane && y.len() >= planes.samples * planes.plane * row);
        let chunks = planes.plane.div_ceil(PIXELS);
        split(parallel, planes.samples * chunks, x.len() * 4, &|units, _| {
            for unit in units {
                let (sample, first) = (unit / chunks, unit % chunks * PIXELS);
                let pixels = first..planes.plane.min(first + PIXELS);
                // SAFETY: every pixel is one task's.
                let y = unsafe { y.slice((sample * planes.plane + first) * row, pixels.len() * row) };
                let x = &x[sample * channels * planes.plane..][..channels * planes.plane];
                self.s.vectorize(Chunk { run: self, x, y, pixels });
            }
        });
        Ok(())
    }
}

/// Some pixels of a sample.
struct Chunk<'a, S> {
    run: &'a Run<S>,
    /// The sample.
    x: &'a [f32],
    /// The pixels of the output.
    y: &'a mut [u8],
    pixels: Range<usize>,
}

/// What makes bytes of a block of eight channels.
#[derive(Clone, Copy)]
struct Block<V> {
    slope: V,
    offset: V,
    /// What each sign counts in its byte; zero for channels that do not exist.
    weights: V,
    of_zero: i8,
}

impl<V: Copy> Block<V> {
    #[inline(always)]
    fn new<S: Simd<V = V>>(
        s: S,
        affine: Option<&[Vec<f32>; 2]>,
        channel: usize,
        lanes: usize,
        of_zero: i8,
    ) -> Block<V> {
        let factors = |i: usize, other: f32| match affine {
            // SAFETY: both are padded to whole blocks.
            Some(a) => unsafe { s.load(a[i][channel..channel + LANES].as_ptr()) },
            None => s.splat(other),
        };
        let mut weights = [2.0, 6.0, 18.0, 54.0, 2.0, 6.0, 18.0, 54.0];
        weights[lanes..].fill(0.0);
        Block { slope: factors(0, 1.0), offset: factors(1, 0.0), weights: s.from_array(weights), of_zero }
    }

    /// What the signs of a pixel count in its bytes.
    #[inline(always)]
    fn digits<S: Simd<V = V>>(&self, s: S, v: V) -> V {
        let zero = s.splat(0.0);
        let minus = s.sub(zero, self.weights);
        let v = s.mul_add(v, self.slope, self.offset);
        match self.of_zero {
            0 => s.or(s.and(s.less(zero, v), self.weights), s.and(s.less(v, zero), minus)),
            1 => s.select(s.less(v, zero), minus, self.weights),
            _ => s.select(s.less(zero, v), self.weights, minus),
        }
    }

    /// Stores the bytes of `n` of four pixels, two each, `row` bytes apart.
    #[inline(always)]
    fn put<S: Simd<V = V>>(&self, s: S, v: [V; 4], y: &mut [u8], row: usize, n: usize) {
        let [a, b, c, d] = v;
        let bytes = s.fours([self.digits(s, a), self.digits(s, b), self.digits(s, c), self.digits(s, d)]);
        for i in 0..n {
            if let Some(to) = y.get_mut(i * row..).and_then(<[u8]>::first_chunk_mut) {
                *to = [bytes[2 * i], bytes[2 * i + 1]];
            }
        }
    }

    /// Of `pixels` of a block of eight channels.
    #[inline(always)]
    fn blocked<S: Simd<V = V>>(&self, s: S, x: &[f32], pixels: &Range<usize>, y: &mut [u8], row: usize) {
        let x = &x[pixels.start * LANES..pixels.end * LANES];
        let fours = x.chunks_exact(4 * LANES);
        let rest = fours.remainder();
        let done = pixels.len() / 4 * 4;
        for (i, x) in fours.enumerate() {
            // SAFETY: 32 elements.
            let at = |pixel: usize| unsafe { s.load(x.as_ptr().add(pixel * LANES)) };
            self.put(s, [at(0), at(1), at(2), at(3)], &mut y[4 * i * row..], row, 4);
        }
        for (i, x) in rest.chunks_exact(LANES).enumerate() {
            // SAFETY: eight elements.
            let v = unsafe { s.load(x.as_ptr()) };
            self.put(s, [v; 4], &mut y[(done + i) * row..], row, 1);
        }
    }

    /// Of `pixels` of up to eight channels of `plane` elements each.
    #[inline(always)]
    fn planar<S: Simd<V = V>>(&self, s: S, x: &[f32], plane: usize, pixels: &Range<usize>, y: &mut [u8], row: usize) {
        for first in pixels.clone().step_by(LANES) {
            let n = (pixels.end - first).min(LANES);
            let mut rows = [s.splat(0.0); LANES];
            for (lane, x) in x.chunks_exact(plane).enumerate() {
                let mut eight = [0.0; LANES];
                eight[..n].copy_from_slice(&x[first..first + n]);
                rows[lane] = s.from_array(eight);
            }
            let [a, b, c, d, e, f, g, h] = s.transpose(rows);
            let y = &mut y[(first - pixels.start) * row..];
            self.put(s, [a, b, c, d], y, row, n.min(4));
            if n > 4 {
                self.put(s, [e, f, g, h], &mut y[4 * row..], row, n - 4);
            }
        }
    }
}

impl<E: Simd> Task for Chunk<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Run { planes, ref affine, of_zero, blocked, .. } = *self.run;
        let Chunk { x, y, pixels, .. } = self;
        for block in 0..planes.blocks() {
            let of = Block::new(s, affine.as_ref(), block * LANES, planes.lanes(block), of_zero);
            let (row, y) = (2 * planes.blocks(), &mut y[2 * block..]);
            match blocked {
                true => of.blocked(s, &x[block * planes.plane * LANES..][..planes.plane * LANES], &pixels, y, row),
                false => {
                    let x = &x[block * LANES * planes.plane..][..planes.lanes(block) * planes.plane];
                    of.planar(s, x, planes.plane, &pixels, y, row);
                }
            }
        }
    }
}

const _: () = assert!(pack([1; PER_BYTE]) == 160, "as the weights of a block and the 80 that are added");
