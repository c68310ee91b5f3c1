//! Products of two operands of bytes that are known only while running, as in attention.
//!
//! Both are made words less their zero point first, those on the right in panels of columns with two rows side by side:
//! sums of their products need no correction then, and are exact on every instruction set.

use crate::{
    family::{Family, Target, word_rate},
    finish::{self, Epilogue, Finish, Place},
    operand::{Bytes, integer},
    product::BLOCK,
    tile::{self, Panel},
};
use core::ops::Range;
use paring_core::Layout;
use paring_dense::{
    matmul::Extent,
    panel::{Columns, columns},
};
use paring_kernel::{
    Cost, KernelError, Machine, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, Scratch, SharedMut,
};
use paring_simd::{LANES, Simd, Task};
use std::sync::Arc;

/// See the module.
pub struct MatMul;

/// Longest sum that stays within 32 bits, whatever the bytes.
const MOST_TERMS: usize = 32_000;
/// Multiply-adds of a task.
const TASK_MACS: usize = 1 << 20;
/// Elements of a task that makes words.
const TASK_WORDS: usize = 1 << 14;

struct Plan {
    extent: Extent,
    panels: Vec<Columns>,
    a: Bytes,
    b: Bytes,
    /// Rows of the whole left operand, and matrices of the right one.
    lines: usize,
    matrices: usize,
}

impl Plan {
    fn of(p: &Problem) -> Result<Plan, Reject> {
        let extent = Extent::of_any(p)?;
        let (Some(a), Some(b), Some(y)) = (p.input(0), p.input(1), p.output(0)) else {
            return Err("an operand is missing".into());
        };
        if y.shape.last() != Some(&extent.columns) {
            return Err("a vector on the right takes the axis of the columns away".into());
        }
        if extent.depth > MOST_TERMS {
            return Err("the sum is too long for 32 bits".into());
        }
        finish::servable(p, extent.columns)?;
        let (lines, matrices) = (a.len() / extent.depth, b.len() / (extent.depth * extent.columns));
        let panels = columns(extent.columns, 1);
        Ok(Plan { panels, a: Bytes::of(a)?, b: Bytes::of(b)?, lines, matrices, extent })
    }

    /// Words of a row on the left, and of a column on the right.
    fn depth(&self) -> usize {
        self.extent.depth.next_multiple_of(2)
    }

    /// Columns of a matrix on the right, those that do not exist included.
    fn width(&self) -> usize {
        self.panels.iter().map(Columns::width).sum()
    }

    /// Words of both operands.
    fn words(&self) -> Option<[usize; 2]> {
        let right = self.matrices.checked_mul(self.width())?.checked_mul(self.depth())?;
        Some([self.lines.checked_mul(self.depth())?.checked_next_multiple_of(32)?, right])
    }

    /// Cuts the problem into tasks, by its shape alone.
    fn work(&self) -> Vec<Work> {
        let (e, per_row) = (&self.extent, self.depth() * 2 * LANES);
        let rows = (TASK_MACS / per_row).next_multiple_of(BLOCK).min(e.rows).max(1);
        let each = (TASK_MACS / per_row.saturating_mul(rows)).max(1);
        let mut work = vec![];
        for batch in 0..e.batches.len() {
            for p in (0..self.panels.len()).step_by(each) {
                for r in (0..e.rows).step_by(rows) {
                    let (rows, panels) = (r..e.rows.min(r + rows), p..self.panels.len().min(p + each));
                    work.push(Work { batch, rows, panels });
                }
            }
        }
        work
    }
}

/// What a task computes.
struct Work {
    batch: usize,
    rows: Range<usize>,
    panels: Range<usize>,
}

impl Family for MatMul {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let words = Plan::of(p)?.words().and_then(|[a, b]| a.checked_add(b)?.checked_mul(size_of::<i16>()));
        let shared = words.filter(|&n| n <= isize::MAX as usize / 2).ok_or("the operands exceed the address space")?;
        let mut offer = finish::offer(p, Layout::Plain);
        offer.inputs[1] = Some(Layout::Plain);
        out.push(Offer { scratch: Scratch { shared, per_worker: 0 }, ..offer });
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let Ok(plan) = Plan::of(p) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let e = &plan.extent;
        let macs = (e.batches.len() * e.rows) as f64 * (plan.depth() * plan.width()) as f64;
        let len = |o: Option<&Operand>| o.map_or(0, Operand::len) as f64;
        // What it takes to make words of bytes, and results of sums, in nanoseconds of AVX2.
        let ends = 0.1 * len(p.input(0)) + 0.3 * len(p.input(1)) + 0.15 * len(p.output(0));
        let bytes = o.scratch.shared as f64 + len(p.input(0)) + len(p.input(1)) + len(p.output(0));
        Cost { ns: macs / (0.85 * word_rate(target, m)) + ends + 500.0, bytes }
    }

    fn prepare<S: Simd>(s: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let words = plan.words().ok_or_else(|| KernelError::Problem("the operands exceed the address space".into()))?;
        let epilogue = Epilogue::new(p, &vec![plan.a.scale * plan.b.scale; plan.extent.columns], false)?;
        let offsets = (0..plan.depth() / 2).map(|pair| pair * 2 * size_of::<i16>()).collect();
        Ok(Box::new(Engine { s, words, work: plan.work(), epilogue, offsets, plan }))
    }
}

struct Engine<S> {
    s: S,
    plan: Plan,
    /// Words of both operands.
    words: [usize; 2],
    work: Vec<Work>,
    epilogue: Epilogue,
    /// Bytes from the first word of a row to each pair.
    offsets: Vec<usize>,
}

impl<S: Simd> Prepared for Engine<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (plan, parallel) = (&self.plan, cx.parallel());
        let e = &plan.extent;
        let (a, b, scratch) = (cx.input::<u8>(0), cx.input::<u8>(1), cx.scratch::<i16>());
        let [left, right] = self.words;
        assert!(a.len() >= plan.lines * e.depth && b.len() >= plan.matrices * e.depth * e.columns);
        assert!(scratch.len() >= left + right);
        let lines = (TASK_WORDS / plan.depth()).max(1);
        let (on_left, panels) = (plan.lines.div_ceil(lines), plan.panels.len());
        parallel.run(on_left + plan.matrices * panels, &|task, _| {
            if task < on_left {
                let lines = task * lines..plan.lines.min((task + 1) * lines);
                self.s.vectorize(Left { plan, a, to: scratch, lines });
            } else {
                let (matrix, panel) = ((task - on_left) / panels, (task - on_left) % panels);
                let first: usize = plan.panels[..panel].iter().map(Columns::width).sum();
                let (at, c) = (left + (matrix * plan.width() + first) * plan.depth(), &plan.panels[panel]);
                // SAFETY: words of this panel, which no other task has.
                let to = unsafe { scratch.slice(at, c.width() * plan.depth()) };
                let from = &b[matrix * e.depth * e.columns..][..e.depth * e.columns];
                self.s.vectorize(Right { plan, c, from, to });
            }
        });
        let output = cx.output::<u8>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        assert!(len >= e.batches.len() * e.rows * e.columns * self.epilogue.size());
        let finish = self.epilogue.bind(cx, y, len);
        // SAFETY: nobody writes to it from here on.
        let words: &[i16] = unsafe { scratch.slice(0, left + right) };
        parallel.run(self.work.len(), &|task, _| {
            let work = &self.work[task];
            self.s.vectorize(Multiply { engine: self, words, finish: &finish, work });
        });
        Ok(())
    }
}

/// Makes words of rows on the left.
struct Left<'a> {
    plan: &'a Plan,
    a: &'a [u8],
    to: SharedMut<'a, i16>,
    lines: Range<usize>,
}

impl Task for Left<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (x, depth, words) = (self.plan.a, self.plan.extent.depth, self.plan.depth());
        let zero = s.splat(x.zero_point as f32);
        for line in self.lines.clone() {
            let from = &self.a[line * depth..][..depth];
            // SAFETY: words of this row, which no other task has.
            let to = unsafe { self.to.slice(line * words, words) };
            let whole = depth / LANES * LANES;
            for at in (0..whole).step_by(LANES) {
                // SAFETY: eight bytes, and eight words.
                unsafe {
                    let v = s.load_bytes(from.as_ptr().add(at), x.signed);
                    s.store_words(to.as_mut_ptr().add(at), s.sub(v, zero));
                }
            }
            to[whole..].fill(0);
            for (to, &byte) in to[whole..].iter_mut().zip(&from[whole..]) {
                *to = (integer(byte, x.signed) - x.zero_point) as i16;
            }
        }
    }
}

/// Makes words of a panel on the right: pairs of rows for each column.
struct Right<'a> {
    plan: &'a Plan,
    c: &'a Columns,
    /// A matrix.
    from: &'a [u8],
    to: &'a mut [i16],
}

impl Task for Right<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, _: S) {
        let (x, e) = (self.plan.b, &self.plan.extent);
        let word = |byte: u8| (integer(byte, x.signed) - x.zero_point) as i16;
        self.to.fill(0);
        for (pair, to) in self.to.chunks_exact_mut(2 * self.c.width()).enumerate() {
            for half in 0..2.min(e.depth - 2 * pair) {
                let from = &self.from[(2 * pair + half) * e.columns + self.c.first..][..self.c.lanes];
                for (to, &byte) in to.chunks_exact_mut(2).zip(from) {
                    to[half] = word(byte);
                }
            }
        }
    }
}

/// One task.
struct Multiply<'a, E> {
    engine: &'a Engine<E>,
    words: &'a [i16],
    finish: &'a Finish<'a>,
    work: &'a Work,
}

impl<E: Simd> Task for Multiply<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        /// Where sums start from: words are less their zero points.
        static INIT: [i32; 3 * LANES] = [0; 3 * LANES];
        let Multiply { engine, words, finish, work } = self;
        let (plan, e) = (&engine.plan, &engine.plan.extent);
        let (depth, (from_a, from_b)) = (plan.depth(), e.batches[work.batch]);
        let (lines, right) = words.split_at(engine.words[0]);
        let line = from_a / e.depth;
        let right = &right[from_b / (e.depth * e.columns) * plan.width() * depth..][..plan.width() * depth];
        let mut x = [lines.as_ptr().cast::<u8>(); BLOCK];
        let mut y = [0usize; BLOCK];
        for first in work.rows.clone().step_by(BLOCK) {
            let n = (work.rows.end - first).min(BLOCK);
            for i in 0..n {
                x[i] = lines[(line + first + i) * depth..][..depth].as_ptr().cast();
                y[i] = (work.batch * e.rows + first + i) * e.columns;
            }
            for c in &plan.panels[work.panels.clone()] {
                let panel = Panel {
                    // Panels before this one are of as many columns as come before its own.
                    weights: right[c.first * depth..][..c.width() * depth].as_ptr().cast(),
                    beside: 0,
                    offsets: &engine.offsets,
                    init: INIT.as_ptr(),
                    place: Place { channel: c.first, lanes: c.lanes, first: c.first, step: LANES },
                    finish,
                };
                // SAFETY: rows on the left have a word at every offset, the panel as many rows; rows and columns of the
                // output are those of its shape, and no other task has them.
                unsafe {
                    match c.vectors {
                        3 => tile::pixels::<S, 3, { tile::WORDS }>(s, &panel, &x[..n], &y[..n]),
                        2 => tile::pixels::<S, 2, { tile::WORDS }>(s, &panel, &x[..n], &y[..n]),
                        _ => tile::pixels::<S, 1, { tile::WORDS }>(s, &panel, &x[..n], &y[..n]),
                    }
                }
            }
        }
    }
}
