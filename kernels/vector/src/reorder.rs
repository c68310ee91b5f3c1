//! From plain to blocked layout and back, by transposing eight pixels of eight channels at a time.

use crate::support::*;
use paring_core::{AlignedBuf, DType, Layout, Op, Tensor};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Parallel, Prepared, Problem, Reject, RunCx, SharedMut};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// `Identity` of `f32`, or of `i32` taken for that, from one layout to the other: bits are moved, never computed with.
pub(crate) struct Reorder;

impl Family for Reorder {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let shape = movable(p)?;
        if p.op != Op::Identity {
            return Err("not the identity".into());
        }
        Planes::of(shape)?;
        for (from, to) in [(Layout::Plain, BLOCKED), (BLOCKED, Layout::Plain)] {
            let mut o = uniform(p, to, 0);
            o.inputs[0] = Some(from);
            o.numerics = NumericClass::Exact;
            out.push(o);
        }
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        0.12 * output_len(p) as f64
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let planes = Planes::of(movable(p).map_err(problem)?).map_err(problem)?;
        Ok(Box::new(Run { s, planes, to_blocked: o.outputs[0] != Layout::Plain }))
    }
}

/// The shape of elements that are moved here.
fn movable(p: &Problem) -> Result<&[usize], Reject> {
    let (x, y) = operands(p)?;
    if !matches!(x.dtype, DType::F32 | DType::I32) || (x.dtype, &x.shape) != (y.dtype, &y.shape) {
        return Err(format!("{}{:?} to {}{:?} is no copy of f32 or i32", x.dtype, x.shape, y.dtype, y.shape).into());
    }
    Ok(&x.shape)
}

struct Run<S> {
    s: S,
    planes: Planes,
    to_blocked: bool,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<f32>(0);
        let parallel = cx.parallel();
        reorder(self.s, self.planes, self.to_blocked, x, cx.shared_output(0), parallel);
        Ok(())
    }
}

/// Copies `x` into the other layout.
fn reorder<S: Simd>(s: S, planes: Planes, to: bool, x: &[f32], y: SharedMut<'_, f32>, parallel: &dyn Parallel) {
    let blocks = planes.blocks();
    // Few blocks of large planes are cut further, at whole groups of pixels.
    let parts = planes.plane.div_ceil(LANES * 64).max(1);
    split(parallel, planes.samples * blocks * parts, (x.len() + y.len()) * 4, &|units, _| {
        for unit in units {
            let (part, rest) = (unit % parts, unit / parts);
            let first = part * LANES * 64;
            let pixels = (planes.plane - first).min(LANES * 64);
            s.vectorize(Block { planes, sample: rest / blocks, block: rest % blocks, first, pixels, to, x, y });
        }
    });
}

struct Block<'a> {
    planes: Planes,
    sample: usize,
    block: usize,
    first: usize,
    pixels: usize,
    to: bool,
    x: &'a [f32],
    y: SharedMut<'a, f32>,
}

impl Task for Block<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Planes { channels, plane, .. } = self.planes;
        let lanes = self.planes.lanes(self.block);
        let plain = (self.sample * channels + self.block * LANES) * plane + self.first;
        let blocked = ((self.sample * self.planes.blocks() + self.block) * plane + self.first) * LANES;
        let (full, zero) = (self.pixels / LANES * LANES, s.splat(0.0));
        // SAFETY: both operands have the sizes that `planes` says; the pixels of this block are written by this task
        // alone.
        unsafe {
            let (x, y) = (self.x.as_ptr(), self.y.as_ptr());
            if self.to {
                let (x, y) = (x.add(plain), y.add(blocked));
                for i in (0..full).step_by(LANES) {
                    let mut rows = [zero; LANES];
                    for (lane, row) in rows.iter_mut().enumerate().take(lanes) {
                        *row = s.load(x.add(lane * plane + i));
                    }
                    for (j, v) in s.transpose(rows).into_iter().enumerate() {
                        s.store(y.add((i + j) * LANES), v);
                    }
                }
                for i in full..self.pixels {
                    for lane in 0..LANES {
                        *y.add(i * LANES + lane) = if lane < lanes { *x.add(lane * plane + i) } else { 0.0 };
                    }
                }
            } else {
                let (x, y) = (x.add(blocked), y.add(plain));
                for i in (0..full).step_by(LANES) {
                    let mut rows = [zero; LANES];
                    for (j, row) in rows.iter_mut().enumerate() {
                        *row = s.load(x.add((i + j) * LANES));
                    }
                    for (lane, v) in s.transpose(rows).into_iter().enumerate().take(lanes) {
                        s.store(y.add(lane * plane + i), v);
                    }
                }
                for i in full..self.pixels {
                    for lane in 0..lanes {
                        *y.add(lane * plane + i) = *x.add(i * LANES + lane);
                    }
                }
            }
        }
    }
}

/// A constant in blocked layout.
pub(crate) fn pack_blocked(t: &Tensor) -> Result<Packed, KernelError> {
    let wrong = || KernelError::Problem(format!("a {} constant of shape {:?} cannot be blocked", t.dtype(), t.shape()));
    let planes = Planes::of(t.shape()).map_err(problem)?;
    let x = t.elements::<f32>().filter(|_| t.dtype() == DType::F32).ok_or_else(wrong)?;
    let len = BLOCKED.elements(t.shape()).and_then(|n| n.checked_mul(4)).ok_or_else(wrong)?;
    let mut data = AlignedBuf::zeroed(len)?;
    let y: &mut [f32] = bytemuck::cast_slice_mut(data.as_mut_slice());
    reorder(paring_simd::Portable, planes, true, &x, SharedMut::new(y), &paring_kernel::Serial);
    Ok(data.into())
}
