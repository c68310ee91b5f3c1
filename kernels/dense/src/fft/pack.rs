//! Transforms weights, sixteen output channels at a time.

use super::{
    fourier::{MOST, cosine, sine},
    plan::{Plan, plane, real_plane},
};
use crate::tiled::PANEL;
use paring_simd::{Simd, Task};

/// Transforms `weights` in `f64`, rounds once, and lays them out as `[plane][panel][input][column]`.
///
/// A convolution sums `x[i + t] w[t]`: its spectrum is that of the input times the conjugate of the weights'. The scale
/// of the inverse transform is put in here, with the factor two that the input's transform leaves in complex values.
pub struct Pack<'a> {
    pub plan: &'a Plan,
    pub weights: &'a [f32],
    pub packed: &'a mut [f32],
}

/// One weight of each column of a panel.
type Columns = [f64; PANEL];
/// Real and imaginary parts.
type Complex = [Columns; 2];

const ZERO: Complex = [[0.0; PANEL]; 2];

impl Task for Pack<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, _: S) {
        let Pack { plan, weights, packed } = self;
        let grid = &plan.grid;
        let [down, across] = plan.window;
        let (n, taps) = (plan.n(), down * across);
        let scale = 1.0 / (n * n) as f64;
        let mut w = vec![[0.0; PANEL]; taps];
        let mut rows = vec![ZERO; down];
        for panel in 0..grid.panels() {
            let columns = PANEL.min(grid.outputs - panel * PANEL);
            for input in 0..grid.inputs {
                for column in 0..columns {
                    let from = ((panel * PANEL + column) * grid.inputs + input) * taps;
                    for (w, &x) in w.iter_mut().zip(&weights[from..from + taps]) {
                        w[column] = f64::from(x);
                    }
                }
                for w in w.iter_mut() {
                    w[columns..].fill(0.0);
                }
                let mut put = |plane: usize, sum: &Columns, scale: f64| {
                    let at = grid.weights_at(plane, panel, input);
                    for (to, v) in packed[at..][..PANEL].iter_mut().zip(sum) {
                        *to = (v * scale) as f32;
                    }
                };
                for frequency in 0..=n / 2 {
                    for (row, w) in rows.iter_mut().zip(w.chunks_exact(across)) {
                        *row = real(w, frequency * (MOST / n));
                    }
                    let own = frequency == 0 || frequency == n / 2;
                    for k in 0..if own { n / 2 + 1 } else { n } {
                        let [c, d] = complex(&rows, k * (MOST / n));
                        if own && (k == 0 || k == n / 2) {
                            put(real_plane(n, k != 0, frequency != 0), &c, scale);
                            continue;
                        }
                        let (mut less, mut more) = (c, c);
                        for i in 0..PANEL {
                            less[i] = d[i] - c[i];
                            more[i] = c[i] + d[i];
                        }
                        let at = plane(n, k, frequency);
                        for (part, sum) in [c, less, more].iter().enumerate() {
                            put(at + part, sum, 0.5 * scale);
                        }
                    }
                }
            }
        }
    }
}

/// The conjugate of the transform of a row of weights, at `step` parts in [`MOST`] of a circle for each of them.
#[inline(always)]
fn real(w: &[Columns], step: usize) -> Complex {
    let mut sum = ZERO;
    for (t, w) in w.iter().enumerate() {
        let (c, d) = (cosine(t * step), sine(t * step));
        for i in 0..PANEL {
            sum[0][i] += c * w[i];
            sum[1][i] += d * w[i];
        }
    }
    sum
}

/// As [`real`], of conjugates of transforms.
#[inline(always)]
fn complex(w: &[Complex], step: usize) -> Complex {
    let mut sum = ZERO;
    for (t, [re, im]) in w.iter().enumerate() {
        let (c, d) = (cosine(t * step), sine(t * step));
        for i in 0..PANEL {
            sum[0][i] += c * re[i] - d * im[i];
            sum[1][i] += d * re[i] + c * im[i];
        }
    }
    sum
}
