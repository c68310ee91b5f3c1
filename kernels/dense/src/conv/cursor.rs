//! Where the pixels of a convolution lie.

use super::{
    geometry::{Geometry, Phase},
    lower::View,
};
use paring_simd::LANES;

/// Walks through the pixels of a phase.
pub struct Cursor<'a> {
    geometry: &'a Geometry,
    view: &'a View,
    phase: &'a Phase,
    sample: usize,
    at: [usize; 3],
}

impl<'a> Cursor<'a> {
    /// At a pixel, counted through all samples.
    #[inline(always)]
    pub fn new(geometry: &'a Geometry, view: &'a View, phase: &'a Phase, pixel: usize) -> Cursor<'a> {
        let [d, h, w] = phase.grid;
        let at = [pixel / (h * w) % d, pixel / w % h, pixel % w];
        Cursor { geometry, view, phase, sample: pixel / (d * h * w), at }
    }

    /// Where the next pixels read, in an input at `input`, and write: `to` of the element of the output. Runs along rows,
    /// as a few pixels of a short sum take no longer than finding out where they are.
    #[inline(always)]
    pub fn fill<T, Y>(&mut self, input: *const T, x: &mut [*const T], y: &mut [Y], to: impl Fn(usize) -> Y) {
        let (g, view) = (self.geometry, self.view);
        let strides = view.strides();
        let (step_x, step_y) = (self.phase.input_step[2] * strides[2], self.phase.output_step[2] * LANES);
        let mut done = 0;
        while done < x.len() {
            let mut from_x = self.sample * view.planes * view.plane();
            let mut from_y = 0;
            for i in 0..3 {
                from_x += self.at[i] * self.phase.input_step[i] * strides[i];
                from_y = from_y * g.output[i] + self.phase.origin[i] + self.at[i] * self.phase.output_step[i];
            }
            from_y += self.sample * g.outputs.div_ceil(LANES) * g.output.iter().product::<usize>();
            let run = (x.len() - done).min(self.phase.grid[2] - self.at[2]);
            let from_x = input.wrapping_add(from_x);
            for i in 0..run {
                x[done + i] = from_x.wrapping_add(i * step_x);
                y[done + i] = to(from_y * LANES + i * step_y);
            }
            done += run;
            self.advance(run);
        }
    }

    /// Moves on along a row, and to the next at its end.
    #[inline(always)]
    fn advance(&mut self, run: usize) {
        self.at[2] += run;
        for i in (0..3).rev() {
            if self.at[i] < self.phase.grid[i] {
                return;
            }
            self.at[i] = 0;
            match i {
                0 => self.sample += 1,
                _ => self.at[i - 1] += 1,
            }
        }
    }
}
