//! Transforms weights, sixteen output channels at a time.

use super::{
    plan::{Axes, Plan},
    scheme::{MOST, Scheme},
};
use crate::tiled::PANEL;
use core::marker::PhantomData;
use paring_simd::{Simd, Task};

/// Transforms `weights` in `f64`, rounds once, and lays them out as `[position][panel][input][column]`.
pub struct Pack<'a, F, const N: usize, const M: usize> {
    pub plan: &'a Plan,
    pub weights: &'a [f32],
    pub packed: &'a mut [f32],
    pub _scheme: PhantomData<F>,
}

/// One weight of each column of a panel.
type Columns = [f64; PANEL];

impl<F: Scheme<N, M>, const N: usize, const M: usize> Task for Pack<'_, F, N, M> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, _: S) {
        let (plan, grid, g) = (self.plan, &self.plan.grid, F::weights());
        let [down, across] = plan.axes.extent(F::TAPS);
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
                let at = |position: usize| grid.weights_at(position, panel, input);
                if plan.axes != Axes::Both {
                    for p in 0..N {
                        store(combine(&g[p][..taps], &w, 1), &mut self.packed[at(p)..]);
                    }
                    continue;
                }
                for r in 0..N {
                    let mut half = [[0.0; PANEL]; MOST];
                    for k in 0..across {
                        half[k] = combine(&g[r][..down], &w[k..], across);
                    }
                    for c in 0..N {
                        store(combine(&g[c][..across], &half, 1), &mut self.packed[at(r * N + c)..]);
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
