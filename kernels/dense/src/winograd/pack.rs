//! Transforms weights, sixteen output channels at a time.

use super::{
    plan::{Axes, Plan},
    scheme::MOST,
};
use crate::tiled::PANEL;
use paring_simd::{Simd, Task};

/// Transforms `weights` in `f64`, rounds once, and lays them out as `[position][panel][phase][input][column]`.
/// Not generic over schemes: its loops over columns are what takes time.
pub struct Pack<'a> {
    pub plan: &'a Plan,
    /// `G` of the scheme: a row for each input of a tile.
    pub factors: &'a [[f64; MOST]],
    /// Taps of a window along an axis.
    pub window: usize,
    pub weights: &'a [f32],
    pub packed: &'a mut [f32],
}

/// One weight of each column of a panel.
type Columns = [f64; PANEL];

impl Task for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, _: S) {
        let (plan, grid, g) = (self.plan, &self.plan.grid, self.factors);
        let (n, stride) = (g.len(), grid.stride);
        let [down, across] = plan.axes.extent(self.window);
        let taps = down * across;
        for panel in 0..grid.panels() {
            let columns = PANEL.min(grid.outputs - panel * PANEL);
            for input in 0..grid.inputs {
                let mut w = [[0.0; PANEL]; MOST * MOST];
                for column in 0..columns {
                    let from = ((panel * PANEL + column) * grid.inputs + input) * taps;
                    for (w, &x) in w.iter_mut().zip(&self.weights[from..from + taps]) {
                        w[column] = f64::from(x);
                    }
                }
                if plan.axes != Axes::Both {
                    for p in 0..n {
                        store(combine(&g[p][..taps], &w, 1), &mut self.packed[grid.weights_at(p, panel, input)..]);
                    }
                    continue;
                }
                for phase in (0..stride * stride).map(|i| [i / stride, i % stride]) {
                    // Phases but the first lack the last row or column, and have a tap less.
                    let [rows, columns] = phase.map(|p| n - usize::from(p > 0));
                    let [high, wide] = [0, 1].map(|i| ([down, across][i] - phase[i]).div_ceil(stride));
                    for r in 0..rows {
                        let mut half = [[0.0; PANEL]; MOST];
                        for k in 0..wide {
                            let first = phase[0] * across + phase[1] + k * stride;
                            half[k] = combine(&g[r][..high], &w[first..], stride * across);
                        }
                        for c in 0..columns {
                            let at = grid.weights_at(r * n + c, panel, grid.term(r * n + c, phase, input));
                            store(combine(&g[c][..wide], &half, 1), &mut self.packed[at..]);
                        }
                    }
                }
            }
        }
    }
}

/// The sum of `w`, `step` apart, by the factors.
#[inline(always)]
fn combine(factors: &[f64], w: &[Columns], step: usize) -> Columns {
    let mut sum = [0.0; PANEL];
    for (k, &f) in factors.iter().enumerate() {
        for i in 0..PANEL {
            sum[i] += f * w[k * step][i];
        }
    }
    sum
}

#[inline(always)]
fn store(sum: Columns, to: &mut [f32]) {
    for (to, &v) in to[..PANEL].iter_mut().zip(&sum) {
        *to = v as f32;
    }
}
