//! Pooling of bytes.

use crate::{
    family::{Family, streaming},
    finish::{self, Epilogue, Place},
    operand::Bytes,
};
use paring_core::{
    DType, Op,
    op::{EpiOp, GlobalPool},
};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx,
};
use paring_simd::{LANES, Simd, Task};
use paring_vector::{
    support::{BLOCKED, Planes, split},
    windows::{Grid, Window, of_largest},
};
use std::sync::Arc;

/// The largest byte of each window: what it stands for is the largest number, so nothing is converted.
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
    fn offers<S: Simd>(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        max_pool(p)?;
        let exact = NumericClass::Exact;
        out.push(Offer {
            inputs: vec![Some(BLOCKED)],
            outputs: vec![BLOCKED; p.outputs.len()],
            numerics: exact,
            ..Offer::plain(p)
        });
        Ok(())
    }

    fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let taps = match &p.op {
            Op::Pool(a) => a.kernel.iter().product::<usize>() as f64,
            _ => 1.0,
        };
        streaming::<S>(p, o, m, (0.1 + 0.07 * taps) * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (x, _, grid) = max_pool(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let planes = Planes::of(&x.shape).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(Box::new(Windows { s, signed: x.dtype == DType::I8, planes, grid }))
    }
}

struct Windows<S> {
    s: S,
    signed: bool,
    planes: Planes,
    grid: Grid,
}

impl<S: Simd> Prepared for Windows<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel) = (cx.input::<u8>(0), cx.parallel());
        let y = cx.shared_output::<u8>(0);
        let ([height, width], [rows, columns]) = (self.grid.input, self.grid.output);
        let count = self.planes.samples * self.planes.blocks();
        split(parallel, count * rows, x.len() + y.len(), &|units, _| {
            for unit in units {
                let (block, row) = (unit / rows, unit % rows);
                let plane = &x[block * height * width * LANES..][..height * width * LANES];
                // SAFETY: every row is one task's.
                let to = unsafe { y.slice(unit * columns * LANES, columns * LANES) };
                let lanes = self.planes.lanes(block % self.planes.blocks());
                self.s.vectorize(Row { pool: self, plane, to, row, lanes });
            }
        });
        Ok(())
    }
}

/// One row of the output.
struct Row<'a, E> {
    pool: &'a Windows<E>,
    plane: &'a [u8],
    to: &'a mut [u8],
    row: usize,
    lanes: usize,
}

impl<E: Simd> Task for Row<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, _: S) {
        let (grid, width) = (&self.pool.grid, self.pool.grid.input[1]);
        let rows = grid.rows[self.row];
        // Signed bytes compare as unsigned ones do once their sign is flipped.
        let flip = if self.pool.signed { 0x80 } else { 0 };
        for (at, columns) in grid.cols.iter().enumerate() {
            let mut most = [0u8; LANES];
            for i in 0..rows.taps {
                let row = (rows.first + i * grid.dilation[0]) * width;
                let Window { first, taps, .. } = *columns;
                for j in 0..taps {
                    let from = &self.plane[(row + first + j * grid.dilation[1]) * LANES..][..LANES];
                    for lane in 0..LANES {
                        most[lane] = most[lane].max(from[lane] ^ flip);
                    }
                }
            }
            let to = &mut self.to[at * LANES..][..LANES];
            for lane in 0..LANES {
                to[lane] = if lane < self.lanes { most[lane] ^ flip } else { 0 };
            }
        }
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
    fn offers<S: Simd>(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        global_mean(p)?;
        out.push(finish::offer(p, BLOCKED));
        Ok(())
    }

    fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost {
        streaming::<S>(p, o, m, 0.06 * p.input(0).map_or(0, Operand::len) as f64)
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
        unsafe { self.finish.store::<S, 1, 1>(s, &place, [[sum]], &[self.block * LANES]) };
    }
}
