//! Copies an input into a frame of zeros, or of what stands for zero.

use super::lower::View;
use bytemuck::Pod;
use paring_kernel::{Parallel, SharedMut};

/// A copy of `[planes][extent]` into `[planes][padded]`, every element `lanes` wide.
#[derive(Clone, Debug)]
pub struct Halo {
    planes: usize,
    input: [usize; 3],
    before: [usize; 3],
    padded: [usize; 3],
    lanes: usize,
    rows_per_task: usize,
}

/// Bytes that a task copies: some microseconds' worth.
const TASK_BYTES: usize = 64 << 10;

impl Halo {
    /// For planes of extent `input`, with `before` elements in front, framed to the extent of `view`.
    pub fn new(planes: usize, input: [usize; 3], before: [usize; 3], view: &View) -> Halo {
        let row = view.extent[2] * view.lanes * size_of::<f32>();
        let rows_per_task = (TASK_BYTES / row.max(1)).max(1);
        Halo { planes, input, before, padded: view.extent, lanes: view.lanes, rows_per_task }
    }

    /// The same where what was an element of a lane is now an element of all lanes, which moves as one.
    pub fn whole(&self) -> Halo {
        Halo { lanes: 1, ..*self }
    }

    /// Elements of the copy.
    pub fn elements(&self) -> usize {
        self.planes * self.padded.iter().product::<usize>() * self.lanes
    }

    /// Fills all of `out`, the frame with `zero`.
    pub fn run<T: Pod + Send + Sync>(&self, x: &[T], zero: T, out: SharedMut<'_, T>, parallel: &dyn Parallel) {
        self.convert(x, zero, out, parallel, &|from, to| to.copy_from_slice(from));
    }

    /// As [`Halo::run`], where `row` converts the elements of a row.
    pub fn convert<T: Pod + Sync, U: Pod + Send + Sync>(
        &self,
        x: &[T],
        zero: U,
        out: SharedMut<'_, U>,
        parallel: &dyn Parallel,
        row: &(dyn Fn(&[T], &mut [U]) + Sync),
    ) {
        let rows = self.planes * self.padded[0] * self.padded[1];
        parallel.run(rows.div_ceil(self.rows_per_task), &|task, _| {
            let first = task * self.rows_per_task;
            for at in first..rows.min(first + self.rows_per_task) {
                self.row(x, zero, at, out, row);
            }
        });
    }

    fn row<T, U: Pod>(&self, x: &[T], zero: U, row: usize, out: SharedMut<'_, U>, copy: &dyn Fn(&[T], &mut [U])) {
        let width = self.padded[2] * self.lanes;
        // SAFETY: every row is written by one task.
        let to = unsafe { out.slice(row * width, width) };
        let (h, rest) = (row % self.padded[1], row / self.padded[1]);
        let (d, plane) = (rest % self.padded[0], rest / self.padded[0]);
        let inside = |at: usize, axis: usize| at.checked_sub(self.before[axis]).filter(|&i| i < self.input[axis]);
        match (inside(d, 0), inside(h, 1)) {
            (Some(d), Some(h)) => {
                let left = (self.before[2] * self.lanes).min(width);
                let kept = (self.input[2] * self.lanes).min(width - left);
                let from = ((plane * self.input[0] + d) * self.input[1] + h) * self.input[2] * self.lanes;
                to[..left].fill(zero);
                copy(&x[from..from + kept], &mut to[left..left + kept]);
                to[left + kept..].fill(zero);
            }
            _ => to.fill(zero),
        }
    }
}
