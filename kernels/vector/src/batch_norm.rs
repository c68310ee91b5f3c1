//! Batch normalisation with known statistics: one multiply-add per element.

use crate::{
    post::{Bound, Post},
    support::*,
};
use paring_core::{AlignedBuf, Layout, Op};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd, Task};
use std::{borrow::Cow, ops::Range, sync::Arc};

/// `BatchNorm` on `f32`.
pub(crate) struct BatchNorm;

/// Refuses a batch normalisation whose factors and statistics are not constants, one for each channel.
///
/// # Errors
/// [`Reject`] as said.
pub fn servable(p: &Problem, channels: usize) -> Result<(), Reject> {
    for i in 1..5 {
        let t = p.constant(i).ok_or("a statistic or factor is not constant")?;
        if t.len() != channels || t.elements::<f32>().is_none() {
            return Err(format!("input {i} is not one f32 per channel").into());
        }
    }
    Ok(())
}

/// What a batch normalisation multiplies each channel by, and what it then adds; zeros up to whole blocks of channels.
///
/// # Errors
/// [`KernelError::Problem`] where it is none, or its factors and statistics are not constant.
pub fn factors(p: &Problem) -> Result<[Vec<f32>; 2], KernelError> {
    let epsilon = match &p.op {
        Op::BatchNorm(a) => f64::from(a.epsilon),
        _ => return Err(KernelError::Problem("not a batch normalisation".into())),
    };
    let statistic =
        |i: usize| p.const_f32s(i).ok_or_else(|| KernelError::Problem(format!("input {i} is not a constant of f32")));
    let (scale, bias, mean, var) = (statistic(1)?, statistic(2)?, statistic(3)?, statistic(4)?);
    let padded = scale.len().next_multiple_of(LANES);
    let (mut slopes, mut offsets) = (vec![0.0; padded], vec![0.0; padded]);
    for c in 0..scale.len().min(bias.len()).min(mean.len()).min(var.len()) {
        let slope = f64::from(scale[c]) / (f64::from(var[c]) + epsilon).sqrt();
        slopes[c] = slope as f32;
        offsets[c] = (f64::from(bias[c]) - f64::from(mean[c]) * slope) as f32;
    }
    Ok([slopes, offsets])
}

impl Family for BatchNorm {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let planes = Planes::of(require_same_shape(p)?)?;
        servable(p, planes.channels)?;
        for layout in [BLOCKED, Layout::Plain] {
            let mut o = uniform(p, layout, Post::fusable(p));
            o.inputs[1..5].fill(None);
            o.in_place = Some(0);
            o.packed_bytes = 8 * planes.blocks() * LANES;
            o.packed_format = Cow::Borrowed("batch_norm_affine");
            out.push(o);
        }
        Ok(())
    }

    fn work(p: &Problem, o: &Offer) -> f64 {
        0.06 * output_len(p) as f64 + Post::work(p, o.fused)
    }

    /// Slopes, then offsets, both filled up to whole blocks.
    fn pack(p: &Problem, _: &Offer) -> Result<Packed, KernelError> {
        let [slopes, offsets] = factors(p)?;
        let padded = slopes.len();
        let mut data = AlignedBuf::zeroed(padded * 8)?;
        let both: &mut [f32] = bytemuck::cast_slice_mut(data.as_mut_slice());
        both[..padded].copy_from_slice(&slopes);
        both[padded..].copy_from_slice(&offsets);
        Ok(data.into())
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let planes = Planes::of(require_same_shape(p).map_err(problem)?).map_err(problem)?;
        let layout = o.outputs[0];
        let post = Post::new(p, o.fused, layout, true);
        Ok(Box::new(Run { s, planes, blocked: layout != Layout::Plain, packed, post }))
    }
}

struct Run<S> {
    s: S,
    planes: Planes,
    blocked: bool,
    packed: Arc<Packed>,
    post: Post,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = (cx.in_place() != Some(0)).then(|| cx.input::<f32>(0));
        let post = self.post.bind(cx);
        let parallel = cx.parallel();
        let y = cx.shared_output::<f32>(0);
        let src = Src(x.map_or(y.as_ptr(), <[f32]>::as_ptr));
        let Planes { samples, channels, plane } = self.planes;
        // A unit is a block of planes, one plane, or, where planes are single elements, a whole sample.
        let (per_sample, len) = match () {
            () if self.blocked => (self.planes.blocks(), plane * LANES),
            () if plane == 1 => (1, channels),
            () => (channels, plane),
        };
        split(parallel, samples * per_sample, y.len() * 8, &|units, _| {
            let affine = self.packed.elements();
            let (dst, kind) = (y.as_ptr(), (self.blocked, !self.blocked && plane == 1));
            self.s.vectorize(Pass { affine, src, dst, post: &post, units, per_sample, len, kind });
        });
        Ok(())
    }
}

struct Pass<'a> {
    affine: &'a [f32],
    src: Src,
    dst: *mut f32,
    post: &'a Bound<'a>,
    units: Range<usize>,
    per_sample: usize,
    len: usize,
    /// Blocked; one element per channel.
    kind: (bool, bool),
}

impl Task for Pass<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (slopes, offsets) = self.affine.split_at(self.affine.len() / 2);
        for unit in self.units.clone() {
            let c = unit % self.per_sample;
            for first in (0..self.len).step_by(CHUNK) {
                let (at, n) = (unit * self.len + first, CHUNK.min(self.len - first));
                // SAFETY: the unit lies within both operands, the factors hold whole blocks, and this task alone
                // touches the unit.
                unsafe {
                    let (x, y) = (self.src.0.add(at), self.dst.add(at));
                    match self.kind {
                        (true, _) => {
                            let a = s.load(slopes.as_ptr().add(c * LANES));
                            let b = s.load(offsets.as_ptr().add(c * LANES));
                            map_loop!(s, x, y, n, v => s.mul_add(v, a, b));
                        }
                        (false, false) => {
                            let (a, b) = (s.splat(slopes[c]), s.splat(offsets[c]));
                            map_loop!(s, x, y, n, v => s.mul_add(v, a, b));
                        }
                        (false, true) => affine(s, x, y, slopes.as_ptr().add(first), offsets.as_ptr().add(first), n),
                    }
                    if !self.post.is_empty() {
                        self.post.apply(s, self.dst, at, n);
                    }
                }
            }
        }
    }
}

/// `y = x * a + b`, element by element.
///
/// # Safety
/// All four must hold `n` elements.
#[inline(always)]
pub(crate) unsafe fn affine<S: Simd>(s: S, x: *const f32, y: *mut f32, a: *const f32, b: *const f32, n: usize) {
    let full = n / LANES * LANES;
    // SAFETY: the caller's promise.
    unsafe {
        for i in (0..full).step_by(LANES) {
            s.store(y.add(i), s.mul_add(s.load(x.add(i)), s.load(a.add(i)), s.load(b.add(i))));
        }
        let rest = n - full;
        let tail = |p: *const f32| load_n(s, p.add(full), rest);
        store_n(s, y.add(full), s.mul_add(tail(x), tail(a), tail(b)), rest);
    }
}
