//! Mean pooling of bytes over windows.
//!
//! The rows of a window are summed column by column first, once for all the windows that a column is in: every byte is
//! made a number as often as rows of windows see it, rather than as often as windows do. Sums are exact.

use crate::{
    family::{Family, streaming},
    finish::{self, Epilogue, Finish, Place},
    operand::Bytes,
};
use paring_core::{
    Op,
    op::{PoolAttrs, PoolKind},
};
use paring_kernel::{Cost, KernelError, Machine, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, Scratch};
use paring_simd::{LANES, Simd, Task};
use paring_vector::{
    support::{BLOCKED, Planes, split},
    windows::{Grid, Window},
};
use std::sync::Arc;

/// See the module.
pub struct MeanPool;

/// Bytes whose sum is exact in `f32`.
const MOST_TAPS: usize = (1 << 24) / 256;

/// What is pooled.
struct Plan {
    x: Bytes,
    planes: Planes,
    grid: Grid,
    count_padding: bool,
    /// Elements of a whole window.
    whole: usize,
}

fn attrs(p: &Problem) -> Option<&PoolAttrs> {
    match &p.op {
        Op::Pool(a) => Some(a),
        _ => None,
    }
}

impl Plan {
    fn of(p: &Problem) -> Result<Plan, Reject> {
        let a = attrs(p).ok_or("not a pooling")?;
        let PoolKind::Average { count_padding } = a.kind else { return Err("only means".into()) };
        let (Some(x), Some(y)) = (p.input(0), p.output(0)) else { return Err("an operand is missing".into()) };
        let (grid, planes) = (Grid::of(&x.shape, &y.shape, a)?, Planes::of(&x.shape)?);
        let whole = a.kernel.iter().try_fold(1usize, |n, &k| n.checked_mul(k)).filter(|&n| n <= MOST_TAPS);
        let whole = whole.ok_or("a window is too large for an exact sum")?;
        if grid.rows.iter().chain(&grid.cols).any(|w| w.taps == 0) {
            return Err("a window sees nothing but padding".into());
        }
        finish::servable(p, planes.channels)?;
        Ok(Plan { x: Bytes::of(x)?, planes, grid, count_padding, whole })
    }

    /// What an element of a window counts, where one of a whole window counts 1.
    #[inline(always)]
    fn weight(&self, down: Window, across: Window) -> f32 {
        let seen = if self.count_padding { down.count * across.count } else { down.taps * across.taps };
        self.whole as f32 / seen as f32
    }

    /// Elements of scratch: sums of the columns of the input, and of the windows.
    fn scratch(&self) -> Option<usize> {
        self.grid.input[1].checked_add(self.grid.output[1])?.checked_mul(LANES)
    }
}

impl Family for MeanPool {
    fn offers<S: Simd>(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let bytes = Plan::of(p)?.scratch().and_then(|n| n.checked_mul(size_of::<f32>())).filter(|&n| n <= 64 << 20);
        let per_worker = bytes.ok_or("a row is too long")?.next_multiple_of(64);
        out.push(Offer { scratch: Scratch { shared: 0, per_worker }, ..finish::offer(p, BLOCKED) });
        Ok(())
    }

    fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let (down, across, stride) = attrs(p).map_or((1, 1, 1), |a| {
            let last = |v: &[usize]| v.last().copied().unwrap_or(1);
            (a.kernel.iter().rev().nth(1).copied().unwrap_or(1), last(&a.kernel), last(&a.stride))
        });
        let each = 0.25 + 0.04 * across as f64 + stride as f64 * (0.03 + 0.04 * down as f64);
        streaming::<S>(p, o, m, each * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let scale = vec![plan.x.scale / plan.whole as f32; plan.planes.channels];
        let most = (256 * plan.whole) as f32;
        Ok(Box::new(Engine { s, epilogue: Epilogue::of_sums_below(most, p, &scale, true)?, plan }))
    }
}

struct Engine<S> {
    s: S,
    plan: Plan,
    epilogue: Epilogue,
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, own) = (cx.input::<u8>(0), cx.parallel(), cx.worker_scratch());
        let output = cx.output::<u8>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        let ([height, width], [rows, columns]) = (self.plan.grid.input, self.plan.grid.output);
        let count = self.plan.planes.samples * self.plan.planes.blocks();
        assert!(x.len() >= count * height * width * LANES);
        assert!(len >= count * rows * columns * LANES * self.epilogue.size());
        let finish = self.epilogue.bind(cx, y, len);
        split(parallel, count * rows, x.len() + len, &|units, worker| {
            // SAFETY: a worker runs one task at a time.
            let scratch = unsafe { own.of::<f32>(worker) };
            for unit in units {
                let (block, row) = (unit / rows, unit % rows);
                let plane = &x[block * height * width * LANES..][..height * width * LANES];
                self.s.vectorize(Row { plan: &self.plan, finish: &finish, plane, scratch, block, row });
            }
        });
        Ok(())
    }
}

/// One row of the output.
struct Row<'a> {
    plan: &'a Plan,
    finish: &'a Finish<'a>,
    plane: &'a [u8],
    scratch: &'a mut [f32],
    /// Counted through all samples.
    block: usize,
    row: usize,
}

impl Task for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let plan = self.plan;
        let Plan { x, planes, grid, .. } = plan;
        let (width, columns) = (grid.input[1], grid.output[1]);
        let (sums, means) = self.scratch.split_at_mut(width * LANES);
        let means = &mut means[..columns * LANES];
        let down = grid.rows[self.row];
        let row = |i: usize| &self.plane[(down.first + i * grid.dilation[0]) * width * LANES..][..width * LANES];
        for i in 0..down.taps {
            let from = row(i);
            for at in (0..width * LANES).step_by(LANES) {
                // SAFETY: eight elements of a row of `width` of them, on both sides.
                unsafe {
                    let v = s.load_bytes(from.as_ptr().add(at), x.signed);
                    let to = sums.as_mut_ptr().add(at);
                    s.store(to, if i == 0 { v } else { s.add(s.load(to), v) });
                }
            }
        }
        for (across, mean) in grid.cols.iter().zip(means.chunks_exact_mut(LANES)) {
            let mut sum = s.splat(-((x.zero_point * (down.taps * across.taps) as i32) as f32));
            for j in 0..across.taps {
                let at = (across.first + j * grid.dilation[1]) * LANES;
                // SAFETY: eight elements.
                sum = s.add(sum, unsafe { s.load(sums[at..][..LANES].as_ptr()) });
            }
            // SAFETY: eight elements.
            unsafe { s.store(mean.as_mut_ptr(), s.mul(sum, s.splat(plan.weight(down, *across)))) };
        }
        let block = self.block % planes.blocks();
        let place = Place { channel: block * LANES, lanes: planes.lanes(block), first: 0, step: LANES };
        let y = (self.block * grid.output[0] + self.row) * columns * LANES;
        // SAFETY: the pixels of a row of the output, which is this task's alone, and as many sums.
        unsafe { self.finish.store_row(s, &place, means.as_ptr(), columns, y) };
    }
}
