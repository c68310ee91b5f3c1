//! The largest signs of windows.

use paring_core::{
    DType, Layout, Op,
    signs::{pack, unpack},
};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx,
};
use paring_quant::family::{Family, Target, streaming};
use paring_simd::Simd;
use paring_vector::{
    support::{Planes, split},
    windows::{Grid, of_largest},
};
use std::sync::Arc;

/// `Pool` of the largest of packed signs, four channels at a time by a table.
pub struct MaxPool;

/// Bytes that four signs can make.
const CODES: usize = 81;

/// The largest of each of four signs, for every two bytes, halved.
static LARGEST: [[u8; CODES]; CODES] = {
    let mut table = [[0; CODES]; CODES];
    let mut a = 0;
    while a < CODES {
        let mut b = 0;
        while b < CODES {
            let (mut signs, others) = (unpack(2 * a as u8), unpack(2 * b as u8));
            let mut i = 0;
            while i < 4 {
                if others[i] > signs[i] {
                    signs[i] = others[i];
                }
                i += 1;
            }
            table[a][b] = pack(signs);
            b += 1;
        }
        a += 1;
    }
    table
};

/// The operand and the windows.
fn windows(p: &Problem) -> Result<(&Operand, Grid), Reject> {
    let (x, y, grid) = of_largest(p)?;
    if x.dtype != DType::Sign || y.dtype != DType::Sign {
        return Err(format!("only signs, found {} to {}", x.dtype, y.dtype).into());
    }
    if grid.rows.iter().chain(&grid.cols).any(|w| w.taps == 0) {
        return Err("a window sees nothing but padding".into());
    }
    Ok((x, grid))
}

impl Family for MaxPool {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        windows(p)?;
        out.push(Offer {
            inputs: vec![Some(Layout::Signs)],
            outputs: vec![Layout::Signs; p.outputs.len()],
            numerics: NumericClass::Exact,
            ..Offer::plain(p)
        });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let taps = match &p.op {
            Op::Pool(a) => a.kernel.iter().product::<usize>() as f64,
            _ => 1.0,
        };
        streaming(p, o, target, m, 0.25 * taps * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let (x, grid) = windows(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let planes = Planes::of(&x.shape).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(Box::new(Run { planes, grid }))
    }
}

struct Run {
    planes: Planes,
    grid: Grid,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, grid) = (cx.input::<u8>(0), cx.parallel(), &self.grid);
        let pixel = 2 * self.planes.blocks();
        let ([_, width], [rows, columns]) = (grid.input, grid.output);
        let y = cx.shared_output::<u8>(0);
        split(parallel, self.planes.samples * rows, x.len() + y.len(), &|units, _| {
            for unit in units {
                let (sample, row) = (unit / rows, grid.rows[unit % rows]);
                let x = &x[sample * self.planes.plane * pixel..][..self.planes.plane * pixel];
                // SAFETY: every row is one task's.
                let to = unsafe { y.slice(unit * columns * pixel, columns * pixel) };
                for (to, column) in to.chunks_exact_mut(pixel).zip(&grid.cols) {
                    let at = |i: usize, j: usize| {
                        let (down, across) = (row.first + i * grid.dilation[0], column.first + j * grid.dilation[1]);
                        &x[(down * width + across) * pixel..][..pixel]
                    };
                    to.copy_from_slice(at(0, 0));
                    for (i, j) in (0..row.taps).flat_map(|i| (0..column.taps).map(move |j| (i, j))).skip(1) {
                        for (to, &x) in to.iter_mut().zip(at(i, j)) {
                            *to = LARGEST[usize::from(*to / 2).min(CODES - 1)][usize::from(x / 2).min(CODES - 1)];
                        }
                    }
                }
            }
        });
        Ok(())
    }
}
