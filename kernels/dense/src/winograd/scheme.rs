//! The minimal filtering algorithms F(2, 3) and F(4, 3).
//!
//! `m` outputs of a filter of three taps from `n = m + 2` inputs with `n` products: `y = A^T [(G g) . (B^T d)]`
//! (S. Winograd; A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2016). By Toom and Cook,
//! every choice of `n - 1` distinct points and infinity gives such matrices: `A^T` holds powers of the points, `G` those
//! divided by the products of differences, `B^T` the coefficients of the polynomials that vanish at the other points.
//!
//! The points decide about the error. F(4, 3) with the usual 0, +-1, +-2 loses two digits; with 0, +-sqrt 2, +-1/sqrt 2,
//! whose transforms have entries of like size, it is within twice the error of the plain sum.

use core::f64::consts::SQRT_2;
use paring_simd::Simd;

/// An algorithm for `M` outputs from `N` inputs.
pub trait Scheme<const N: usize, const M: usize>: Copy + Send + Sync + 'static {
    /// Names the packed weights.
    const NAME: &'static str;
    /// The finite points.
    const POINTS: &'static [f64];
    /// Measured cycles of the input and of the output transform of a tile and eight channels.
    const CYCLES: (f64, f64);

    /// `B^T d`.
    fn input<S: Simd>(s: S, d: [S::V; N]) -> [S::V; N];

    /// `A^T m`.
    fn output<S: Simd>(s: S, m: [S::V; N]) -> [S::V; M];

    /// `G`.
    fn weights() -> [[f64; 3]; N] {
        let mut g = [[0.0; 3]; N];
        g[N - 1][2] = 1.0;
        for (j, &a) in Self::POINTS.iter().enumerate() {
            let others = Self::POINTS.iter().enumerate().filter(|o| o.0 != j);
            let norm: f64 = others.map(|(_, b)| a - b).product();
            g[j] = [1.0 / norm, a / norm, a * a / norm];
        }
        g
    }
}

/// F(2, 3) with the points 0, 1, -1.
#[derive(Clone, Copy)]
pub struct F2;

impl Scheme<4, 2> for F2 {
    const NAME: &'static str = "winograd-f2";
    const POINTS: &'static [f64] = &[0.0, 1.0, -1.0];
    const CYCLES: (f64, f64) = (54.0, 40.0);

    #[inline(always)]
    fn input<S: Simd>(s: S, [d0, d1, d2, d3]: [S::V; 4]) -> [S::V; 4] {
        [s.sub(d2, d0), s.add(d1, d2), s.sub(d2, d1), s.sub(d3, d1)]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [m0, m1, m2, m3]: [S::V; 4]) -> [S::V; 2] {
        [s.add(s.add(m0, m1), m2), s.add(s.sub(m1, m2), m3)]
    }
}

/// F(4, 3) with the points 0, +-sqrt 2, +-1/sqrt 2.
#[derive(Clone, Copy)]
pub struct F4;

impl Scheme<6, 4> for F4 {
    const NAME: &'static str = "winograd-f4-sqrt2";
    const POINTS: &'static [f64] = &[0.0, SQRT_2, -SQRT_2, 0.5 * SQRT_2, -0.5 * SQRT_2];
    const CYCLES: (f64, f64) = (217.0, 158.0);

    #[inline(always)]
    fn input<S: Simd>(s: S, [d0, d1, d2, d3, d4, d5]: [S::V; 6]) -> [S::V; 6] {
        let (p, q) = (s.splat(SQRT_2 as f32), s.splat(0.5 * SQRT_2 as f32));
        let (even1, even2) = (s.mul_add(s.splat(-0.5), d2, d4), s.mul_add(s.splat(-2.0), d2, d4));
        let (odd1, odd2) = (s.sub(s.mul(p, d3), s.mul(q, d1)), s.sub(s.mul(q, d3), s.mul(p, d1)));
        let middle = s.splat(-2.5);
        [
            s.add(s.mul_add(middle, d2, d0), d4),
            s.add(even1, odd1),
            s.sub(even1, odd1),
            s.add(even2, odd2),
            s.sub(even2, odd2),
            s.add(s.mul_add(middle, d3, d1), d5),
        ]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [m0, m1, m2, m3, m4, m5]: [S::V; 6]) -> [S::V; 4] {
        let (sum1, diff1) = (s.add(m1, m2), s.sub(m1, m2));
        let (sum2, diff2) = (s.add(m3, m4), s.sub(m3, m4));
        let (p, q) = (s.splat(SQRT_2 as f32), s.splat(0.5 * SQRT_2 as f32));
        let (p3, q3) = (s.splat(2.0 * SQRT_2 as f32), s.splat(0.25 * SQRT_2 as f32));
        [
            s.add(s.add(m0, sum1), sum2),
            s.mul_add(p, diff1, s.mul(q, diff2)),
            s.mul_add(s.splat(2.0), sum1, s.mul(s.splat(0.5), sum2)),
            s.mul_add(p3, diff1, s.mul_add(q3, diff2, m5)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_simd::Portable;

    /// One-dimensional filtering of unit inputs by unit filters: every entry of the bilinear map.
    fn filters<const N: usize, const M: usize, F: Scheme<N, M>>(_: F) {
        let s = Portable;
        let g = F::weights();
        for tap in 0..3 {
            for at in 0..N {
                let d = core::array::from_fn(|i| s.splat(if i == at { 1.0 } else { 0.0 }));
                let v = F::input(s, d).map(|v| s.to_array(v)[0]);
                let y = F::output(s, core::array::from_fn(|i| s.splat(v[i] * g[i][tap] as f32)));
                for (i, y) in y.into_iter().enumerate() {
                    let expected = if i + tap == at { 1.0 } else { 0.0 };
                    let found = s.to_array(y)[0];
                    assert!((found - expected).abs() < 1e-6, "{} y{i} of d{at} by g{tap}: {found}", F::NAME);
                }
            }
        }
    }

    #[test]
    fn schemes_are_filters() {
        filters(F2);
        filters(F4);
    }
}
