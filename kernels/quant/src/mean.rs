//! Mean pooling of bytes over windows.
//!
//! The rows of a window are summed column by column first, once for all the windows that a column is in: every byte is
//! made a number as often as rows of windows see it, rather than as often as windows do. Sums are exact.

use crate::{
    family::{Family, Target, streaming},
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
        let taps = a.kernel.iter().try_fold(1usize, |n, &k| n.checked_mul(k));
        if taps.is_none_or(|n| n > MOST_TAPS) {
            return Err("a window is too large for an exact sum".into());
        }
        if grid.rows.iter().chain(&grid.cols).any(|w| w.taps == 0) {
            return Err("a window sees nothing but padding".into());
        }
        finish::servable(p, planes.channels)?;
        Ok(Plan { x: Bytes::of(x)?, planes, grid, count_padding })
    }

    /// What an element of a window counts.
    #[inline(always)]
    fn weight(&self, down: Window, across: Window) -> f32 {
        let seen = if self.count_padding { down.count * across.count } else { down.taps * across.taps };
        1.0 / seen as f32
    }

    /// Elements of scratch: sums of the columns of the input, and of the windows.
    fn scratch(&self) -> Option<usize> {
        self.grid.input[1].checked_add(self.grid.output[1])?.checked_mul(LANES)
    }
}

impl Family for MeanPool {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let bytes = Plan::of(p)?.scratch().and_then(|n| n.checked_mul(size_of::<f32>())).filter(|&n| n <= 64 << 20);
        let per_worker = bytes.ok_or("a row is too long")?.next_multiple_of(64);
        out.push(Offer { scratch: Scratch { shared: 0, per_worker }, ..finish::offer(p, BLOCKED) });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let (down, across, stride) = attrs(p).map_or((1, 1, 1), |a| {
            let last = |v: &[usize]| v.last().copied().unwrap_or(1);
            (a.kernel.iter().rev().nth(1).copied().unwrap_or(1), last(&a.kernel), last(&a.stride))
        });
        // Measured for windows of 3 x 3 at stride 1; the shares of its parts are estimated.
        let each = 0.4 + 0.04 * across as f64 + stride as f64 * (0.03 + 0.04 * down as f64);
        streaming(p, o, target, m, each * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let scale = vec![plan.x.scale; plan.planes.channels];
        Ok(Box::new(Engine { s, epilogue: Epilogue::of_sums_below(512.0, p, &scale, true)?, plan }))
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
        let seen = &self.plane[down.first * width * LANES..];
        let step = grid.dilation[0] * width * LANES;
        assert!(seen.len() >= (down.taps - 1) * step + width * LANES);
        let whole = width / 4 * 4;
        for at in (0..whole).step_by(4) {
            // SAFETY: four columns of the rows that the windows see, and of the sums.
            unsafe { add_columns::<S, 4>(s, x.signed, seen, step, down.taps, &mut sums[at * LANES..], at) };
        }
        for at in whole..width {
            // SAFETY: as above, for one column.
            unsafe { add_columns::<S, 1>(s, x.signed, seen, step, down.taps, &mut sums[at * LANES..], at) };
        }
        // Windows of as many taps have starts and weights in common: most of a row.
        let (mut last, mut start, mut weight) = (None, s.splat(0.0), s.splat(1.0));
        let (sums, apart) = (&*sums, grid.dilation[1] * LANES);
        for (across, mean) in grid.cols.iter().zip(means.chunks_exact_mut(LANES)) {
            if last != Some((across.taps, across.count)) {
                last = Some((across.taps, across.count));
                start = s.splat(-((x.zero_point * (down.taps * across.taps) as i32) as f32));
                weight = s.splat(plan.weight(down, *across));
            }
            let seen = &sums[across.first * LANES..];
            assert!(seen.len() >= (across.taps - 1) * apart + LANES);
            // A macro, as a closure would be compiled without the instructions of `S`.
            macro_rules! tap {
                ($j:expr) => {
                    s.load(seen.as_ptr().add($j * apart))
                };
            }
            // SAFETY: eight elements at each tap, as was just checked, and of the row.
            unsafe {
                let sum = match across.taps {
                    2 => s.add(tap!(0), tap!(1)),
                    3 => s.add(s.add(tap!(0), tap!(1)), tap!(2)),
                    taps => {
                        let mut sum = tap!(0);
                        for j in 1..taps {
                            sum = s.add(sum, tap!(j));
                        }
                        sum
                    }
                };
                s.store(mean.as_mut_ptr(), s.mul(s.add(sum, start), weight));
            }
        }
        let block = self.block % planes.blocks();
        let place = Place { channel: block * LANES, lanes: planes.lanes(block), first: 0, step: LANES };
        let y = (self.block * grid.output[0] + self.row) * columns * LANES;
        // SAFETY: the pixels of a row of the output, which is this task's alone, and as many sums.
        unsafe { self.finish.store_row(s, &place, means.as_ptr(), columns, y) };
    }
}

/// Sums `N` columns from column `at` of `taps` rows that are `step` bytes apart.
///
/// # Safety
/// The columns must be there in every row, and room for as many sums.
#[inline(always)]
unsafe fn add_columns<S: Simd, const N: usize>(
    s: S,
    signed: bool,
    rows: &[u8],
    step: usize,
    taps: usize,
    to: &mut [f32],
    at: usize,
) {
    let mut sums = [s.splat(0.0); N];
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..taps {
            for k in 0..N {
                sums[k] = s.add(sums[k], s.load_bytes(rows.as_ptr().add(i * step + (at + k) * LANES), signed));
            }
        }
        for k in 0..N {
            s.store(to.as_mut_ptr().add(k * LANES), sums[k]);
        }
    }
}
