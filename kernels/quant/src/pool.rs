//! Pooling of bytes.

use crate::{
    family::{Family, Target, streaming},
    finish::{self, Epilogue, Place},
    operand::Bytes,
};
use paring_core::{
    DType, Op,
    op::{EpiOp, GlobalPool},
};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, Scratch,
};
use paring_simd::{LANES, Simd, Task};
use paring_vector::{
    support::{BLOCKED, Planes, split},
    windows::{Grid, Window, of_largest},
};
use std::sync::Arc;

/// The largest byte of each window: what it stands for is the largest number, so nothing is converted. Rows of a window are
/// compared first, as they lie, and then, moved by a tap each, the columns of all windows at once.
pub struct MaxPool;

/// Operands of a pooling of bytes.
fn max_pool(p: &Problem) -> Result<(&Operand, &Operand, Grid), Reject> {
    let (x, y, grid) = of_largest(p)?;
    if x.dtype != y.dtype || !matches!(x.dtype, DType::U8 | DType::I8) {
        return Err(format!("only bytes, found {} to {}", x.dtype, y.dtype).into());
    }
    Ok((x, y, grid))
}

impl Family for MaxPool {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let (_, _, grid) = max_pool(p)?;
        let exact = NumericClass::Exact;
        let per_worker = (2 * LANES).checked_mul(grid.input[1]).ok_or("a row is too large")?;
        out.push(Offer {
            scratch: Scratch { shared: 0, per_worker: per_worker.next_multiple_of(64) },
            inputs: vec![Some(BLOCKED)],
            outputs: vec![BLOCKED; p.outputs.len()],
            numerics: exact,
            ..Offer::plain(p)
        });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let (Op::Pool(a), Ok((_, y, grid))) = (&p.op, max_pool(p)) else {
            return Cost { ns: f64::INFINITY, bytes: f64::INFINITY };
        };
        // Measured: a row takes a while to begin with, and all columns of the input are compared, whatever the stride.
        let taps = a.kernel.iter().sum::<usize>() as f64;
        let stride = grid.input[1] as f64 / grid.output[1].max(1) as f64;
        let rows = y.len() as f64 / (LANES * grid.output[1].max(1)) as f64;
        streaming(p, o, target, m, 40.0 * rows + (0.06 + 0.02 * taps * stride) * y.len() as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (x, _, grid) = max_pool(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let planes = Planes::of(&x.shape).map_err(|r| KernelError::Problem(r.to_string()))?;
        let taps = grid.cols.iter().map(|c| c.taps).max().unwrap_or(0);
        Ok(Box::new(Windows { s, signed: x.dtype == DType::I8, planes, grid, taps }))
    }
}

struct Windows<S> {
    s: S,
    signed: bool,
    planes: Planes,
    grid: Grid,
    /// Columns of a window that nothing cuts off.
    taps: usize,
}

impl<S: Simd> Prepared for Windows<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, own, parallel) = (cx.input::<u8>(0), cx.worker_scratch(), cx.parallel());
        let y = cx.shared_output::<u8>(0);
        let ([height, width], [rows, columns]) = (self.grid.input, self.grid.output);
        let count = self.planes.samples * self.planes.blocks();
        split(parallel, count * rows, x.len() + y.len(), &|units, worker| {
            // SAFETY: a worker runs one task at a time.
            let scratch = unsafe { own.of::<u8>(worker) };
            for unit in units {
                let (block, row) = (unit / rows, unit % rows);
                let plane = &x[block * height * width * LANES..][..height * width * LANES];
                // SAFETY: every row is one task's.
                let to = unsafe { y.slice(unit * columns * LANES, columns * LANES) };
                let lanes = self.planes.lanes(block % self.planes.blocks());
                let (line, all) = scratch.split_at_mut(width * LANES);
                let all = &mut all[..width * LANES];
                self.s.vectorize(Row { pool: self, plane, line, all, to, row, lanes });
            }
        });
        Ok(())
    }
}

/// One row of the output.
struct Row<'a, E> {
    pool: &'a Windows<E>,
    plane: &'a [u8],
    /// The largest of each column, and of the windows that begin there.
    line: &'a mut [u8],
    all: &'a mut [u8],
    to: &'a mut [u8],
    row: usize,
    lanes: usize,
}

impl<E: Simd> Task for Row<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Row { pool, plane, line, all, to, row, lanes } = self;
        let (grid, rows, signed) = (&pool.grid, pool.grid.rows[row], pool.signed);
        let least = if signed { 0x80 } else { 0 };
        let step = line.len();
        line.fill(least);
        for i in 0..rows.taps {
            largest(s, line, &plane[(rows.first + i * grid.dilation[0]) * step..][..step], signed);
        }
        let apart = grid.dilation[1] * LANES;
        all.copy_from_slice(line);
        for j in 1..pool.taps {
            let from = &line[(j * apart).min(step)..];
            largest(s, &mut all[..from.len()], from, signed);
        }
        for (to, columns) in to.as_chunks_mut::<LANES>().0.iter_mut().zip(&grid.cols) {
            let Window { first, taps, .. } = *columns;
            if taps > 0 && (taps == pool.taps || first * LANES + taps * apart >= step) {
                to.copy_from_slice(&all[first * LANES..][..LANES]);
                continue;
            }
            // The left edge cuts these windows off; beyond the right one there was nothing to compare.
            *to = [least; LANES];
            for j in 0..taps {
                largest(s, to, &line[first * LANES + j * apart..][..LANES], signed);
            }
        }
        if lanes < LANES {
            to.as_chunks_mut::<LANES>().0.iter_mut().for_each(|to| to[lanes..].fill(0));
        }
    }
}

/// Keeps the larger of each byte and the one at its place.
///
/// # Panics
/// Where there are not as many of both.
#[inline(always)]
fn largest<S: Simd>(s: S, to: &mut [u8], from: &[u8], signed: bool) {
    const AT_ONCE: usize = 32;
    assert_eq!(to.len(), from.len());
    let Some(last) = to.len().checked_sub(AT_ONCE) else {
        let (mut few, mut others) = ([0; AT_ONCE], [0; AT_ONCE]);
        few[..to.len()].copy_from_slice(to);
        others[..to.len()].copy_from_slice(from);
        // SAFETY: as many bytes.
        unsafe { s.keep_larger(few.as_mut_ptr(), others.as_ptr(), signed) };
        return to.copy_from_slice(&few[..to.len()]);
    };
    // The last ones may be compared twice, which changes nothing.
    for at in (0..last).step_by(AT_ONCE).chain([last]) {
        // SAFETY: 32 bytes from each of these on.
        unsafe { s.keep_larger(to.as_mut_ptr().add(at), from.as_ptr().add(at), signed) };
    }
}

/// The mean of every plane of bytes.
pub struct GlobalMean;

/// Bytes whose sum is exact in `f32`.
const MOST_PIXELS: usize = (1 << 24) / 256;

fn global_mean(p: &Problem) -> Result<(Bytes, Planes), Reject> {
    if !matches!(p.op, Op::GlobalPool(GlobalPool::Average)) {
        return Err("only the mean of planes".into());
    }
    let x = p.input(0).ok_or("an operand is missing")?;
    let planes = Planes::of(&x.shape)?;
    if planes.plane == 0 || planes.plane > MOST_PIXELS {
        return Err("a plane is too large for an exact sum".into());
    }
    finish::servable(p, planes.channels)?;
    if p.epilogue.iter().any(|e| !matches!(e, EpiOp::Act(_) | EpiOp::Quantize { .. })) {
        return Err("the epilogue has operands".into());
    }
    Ok((Bytes::of(x)?, planes))
}

impl Family for GlobalMean {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        global_mean(p)?;
        out.push(finish::offer(p, BLOCKED));
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        streaming(p, o, target, m, 0.06 * p.input(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (x, planes) = global_mean(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let scale = vec![x.scale / planes.plane as f32; planes.channels];
        Ok(Box::new(Mean { s, x, planes, epilogue: Epilogue::new(p, &scale, true)? }))
    }
}

struct Mean<S> {
    s: S,
    x: Bytes,
    planes: Planes,
    epilogue: Epilogue,
}

impl<S: Simd> Prepared for Mean<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel) = (cx.input::<u8>(0), cx.parallel());
        let output = cx.output::<u8>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        let finish = self.epilogue.bind(cx, y, len);
        let plane = self.planes.plane * LANES;
        split(parallel, self.planes.samples * self.planes.blocks(), x.len(), &|units, _| {
            for block in units {
                let from = &x[block * plane..][..plane];
                self.s.vectorize(Plane { mean: self, finish: &finish, from, block });
            }
        });
        Ok(())
    }
}

struct Plane<'a, E> {
    mean: &'a Mean<E>,
    finish: &'a finish::Finish<'a>,
    from: &'a [u8],
    /// Counted through all samples.
    block: usize,
}

impl<E: Simd> Task for Plane<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (planes, x) = (self.mean.planes, self.mean.x);
        // Sums of bytes are exact, so four chains make no difference but to the time.
        let mut sums = [s.splat(0.0); 4];
        for i in 0..planes.plane / 4 {
            for k in 0..4 {
                // SAFETY: the plane has as many eights.
                sums[k] =
                    s.add(sums[k], unsafe { s.load_bytes(self.from.as_ptr().add((4 * i + k) * LANES), x.signed) });
            }
        }
        for i in planes.plane / 4 * 4..planes.plane {
            // SAFETY: as above.
            sums[0] = s.add(sums[0], unsafe { s.load_bytes(self.from.as_ptr().add(i * LANES), x.signed) });
        }
        let sum = s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3]));
        let sum = s.sub(sum, s.splat(x.zero_point as f32 * planes.plane as f32));
        let block = self.block % planes.blocks();
        let place = Place { channel: block * LANES, lanes: planes.lanes(block), first: 0, step: LANES };
        // SAFETY: one pixel of eight channels for each block, which is this task's alone.
        unsafe { self.finish.store(s, &place, [sum], &[self.block * LANES]) };
    }
}
