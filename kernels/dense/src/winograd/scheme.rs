//! Minimal filtering algorithms F(m, r): `m` outputs of a filter of `r` taps from `n = m + r - 1` inputs with `n`
//! products, `y = A^T [(G g) . (B^T d)]` (S. Winograd; A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural
//! Networks", 2016).
//!
//! By Toom and Cook, every choice of `n - 1` distinct points and infinity gives such matrices: `A^T` holds powers of the
//! points, `G` those divided by the products of differences, `B^T` the coefficients of the polynomials that vanish at
//! the other points. All schemes here but one take 0 and pairs of opposite points, whose rows differ in the sign of the odd
//! terms only, so that one pair costs little more than one point. What a scheme names is its positive points.
//!
//! The points decide about the error. F(4, 3) with the usual 0, +-1, +-2 loses two digits; with 0, +-sqrt 2, +-1/sqrt 2,
//! whose transforms have entries of like size, it is within twice the error of the plain sum. The other points here
//! were found by trying, for the least error on random data.

use core::f64::consts::{FRAC_1_SQRT_2, SQRT_2};
use paring_simd::Simd;

/// Most pairs of points.
const PAIRS: usize = 4;
/// Most inputs of a scheme.
pub const MOST: usize = 2 * PAIRS + 2;

/// An algorithm for `M` outputs from `N` inputs.
pub trait Scheme<const N: usize, const M: usize>: Copy + Send + Sync + 'static {
    /// Names the packed weights.
    const NAME: &'static str;
    /// The positive points: as many as `N / 2 - 1`.
    const POINTS: &'static [f64];
    /// Measured cycles of the input and of the output transform of a tile and eight channels, in two dimensions.
    const CYCLES: (f64, f64);
    /// Taps.
    const TAPS: usize = N - M + 1;
    /// Coefficients of the transforms.
    const COEFFICIENTS: Coefficients = Coefficients::new(Self::POINTS);

    /// `B^T d`.
    #[inline(always)]
    fn input<S: Simd>(s: S, d: [S::V; N]) -> [S::V; N] {
        let (c, pairs) = (&Self::COEFFICIENTS, N / 2 - 1);
        let mut t = d;
        let (mut even, mut odd) = (d[2 * pairs], d[2 * pairs + 1]);
        for k in (0..pairs).rev() {
            even = s.mul_add(s.splat(c.all[k]), d[2 * k], even);
            odd = s.mul_add(s.splat(c.all[k]), d[2 * k + 1], odd);
        }
        (t[0], t[N - 1]) = (even, odd);
        for i in 0..pairs {
            let (mut even, mut odd) = (d[2 * pairs], d[2 * pairs - 1]);
            for k in (0..pairs - 1).rev() {
                even = s.mul_add(s.splat(c.others[i][k]), d[2 * k + 2], even);
                odd = s.mul_add(s.splat(c.others[i][k]), d[2 * k + 1], odd);
            }
            let p = c.powers[i][1];
            t[2 * i + 1] = s.mul_add(s.splat(p), odd, even);
            t[2 * i + 2] = s.mul_add(s.splat(-p), odd, even);
        }
        t
    }

    /// `A^T m`.
    #[inline(always)]
    fn output<S: Simd>(s: S, m: [S::V; N]) -> [S::V; M] {
        let (c, pairs) = (&Self::COEFFICIENTS, N / 2 - 1);
        let mut halves = [[m[0]; PAIRS]; 2];
        for i in 0..pairs {
            halves[0][i] = s.add(m[2 * i + 1], m[2 * i + 2]);
            halves[1][i] = s.sub(m[2 * i + 1], m[2 * i + 2]);
        }
        let mut y = [m[0]; M];
        for k in 0..M {
            let mut sum = s.mul(s.splat(c.powers[0][k]), halves[k % 2][0]);
            for i in 1..pairs {
                sum = s.mul_add(s.splat(c.powers[i][k]), halves[k % 2][i], sum);
            }
            if k == 0 {
                sum = s.add(m[0], sum);
            }
            if k + 1 == M {
                sum = s.add(sum, m[N - 1]);
            }
            y[k] = sum;
        }
        y
    }

    /// `G`, of which the first [`Scheme::TAPS`] columns count.
    fn weights() -> [[f64; MOST]; N] {
        let points: Vec<f64> = core::iter::once(0.0).chain(Self::POINTS.iter().flat_map(|&p| [p, -p])).collect();
        let mut g = [[0.0; MOST]; N];
        g[N - 1][Self::TAPS - 1] = 1.0;
        for (j, &a) in points.iter().enumerate() {
            let others = points.iter().enumerate().filter(|o| o.0 != j);
            let norm: f64 = others.map(|(_, b)| a - b).product();
            for k in 0..Self::TAPS {
                g[j][k] = a.powi(k as i32) / norm;
            }
        }
        g
    }
}

/// What the transforms multiply by.
pub struct Coefficients {
    /// Of the product of `y - p^2` over all points, lowest power first; that of the highest is 1.
    all: [f32; PAIRS],
    /// Of the product over all points but one.
    others: [[f32; PAIRS]; PAIRS],
    /// Powers of each point.
    powers: [[f32; MOST]; PAIRS],
}

impl Coefficients {
    /// Of the schemes with these positive points.
    pub const fn new(points: &[f64]) -> Coefficients {
        let mut c =
            Coefficients { all: product(points, PAIRS), others: [[0.0; PAIRS]; PAIRS], powers: [[0.0; MOST]; PAIRS] };
        let mut i = 0;
        while i < points.len() {
            c.others[i] = product(points, i);
            let (mut power, mut k) = (1.0, 0);
            while k < MOST {
                c.powers[i][k] = power as f32;
                power *= points[i];
                k += 1;
            }
            i += 1;
        }
        c
    }
}

/// Coefficients of the product of `y - p^2` over all points but that at `except`, without the highest.
const fn product(points: &[f64], except: usize) -> [f32; PAIRS] {
    let mut c = [0.0; PAIRS + 1];
    c[0] = 1.0;
    let (mut i, mut degree) = (0, 0);
    while i < points.len() {
        if i != except {
            let square = points[i] * points[i];
            let mut k = degree + 1;
            while k > 0 {
                c[k] = c[k - 1] - square * c[k];
                k -= 1;
            }
            c[0] *= -square;
            degree += 1;
        }
        i += 1;
    }
    let mut low = [0.0; PAIRS];
    let mut k = 0;
    while k < PAIRS {
        low[k] = c[k] as f32;
        k += 1;
    }
    low
}

/// F(2, 2), of the points 0, 1 and infinity: no pair, and no products in its transforms.
#[derive(Clone, Copy)]
pub struct F2x2;

impl Scheme<3, 2> for F2x2 {
    const NAME: &'static str = "winograd-f2x2";
    const POINTS: &'static [f64] = &[];
    const CYCLES: (f64, f64) = (30.0, 60.0);

    #[inline(always)]
    fn input<S: Simd>(s: S, [a, b, c]: [S::V; 3]) -> [S::V; 3] {
        [s.sub(a, b), b, s.sub(c, b)]
    }

    #[inline(always)]
    fn output<S: Simd>(s: S, [a, b, c]: [S::V; 3]) -> [S::V; 2] {
        [s.add(a, b), s.add(b, c)]
    }

    fn weights() -> [[f64; MOST]; 3] {
        let row = |taps: [f64; 2]| core::array::from_fn(|k| taps.get(k).copied().unwrap_or(0.0));
        [row([1.0, 0.0]), row([1.0, 1.0]), row([0.0, 1.0])]
    }
}

#[cfg(test)]
#[test]
fn the_scheme_without_pairs_is_a_filter() {
    tests::filters::<3, 2, F2x2>();
}

macro_rules! schemes {
    ($($(#[$doc:meta])* $name:ident<$n:literal, $m:literal>: $label:literal, $points:expr, $cycles:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy)]
            pub struct $name;

            impl Scheme<$n, $m> for $name {
                const NAME: &'static str = $label;
                const POINTS: &'static [f64] = &$points;
                const CYCLES: (f64, f64) = $cycles;
            }
        )*

        #[cfg(test)]
        #[test]
        fn schemes_are_filters() {
            $(tests::filters::<$n, $m, $name>();)*
        }
    };
}

schemes! {
    /// F(2, 3).
    F2x3<4, 2>: "winograd-f2x3", [1.0], (54.0, 40.0);
    /// F(4, 3).
    F4x3<6, 4>: "winograd-f4x3", [SQRT_2, FRAC_1_SQRT_2], (217.0, 158.0);
    /// F(6, 3).
    F6x3<8, 6>: "winograd-f6x3", [1.0, 2.0, 0.5], (503.0, 349.0);
    /// F(3, 2).
    F3x2<4, 3>: "winograd-f3x2", [1.0], (54.0, 140.0);
    /// F(5, 2).
    F5x2<6, 5>: "winograd-f5x2", [SQRT_2, FRAC_1_SQRT_2], (217.0, 260.0);
    /// F(5, 4).
    F5x4<8, 5>: "winograd-f5x4", [1.0, 2.0, 0.5], (503.0, 300.0);
    /// F(2, 5).
    F2x5<6, 2>: "winograd-f2x5", [SQRT_2, FRAC_1_SQRT_2], (217.0, 100.0);
    /// F(4, 5).
    F4x5<8, 4>: "winograd-f4x5", [1.0, 2.0, 0.5], (503.0, 250.0);
    /// F(4, 7).
    F4x7<10, 4>: "winograd-f4x7", [0.4, 0.8, 1.2, 1.7], (1100.0, 500.0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_simd::{Lanes, Portable};

    /// One-dimensional filtering of unit inputs by unit filters: every entry of the bilinear map.
    pub fn filters<const N: usize, const M: usize, F: Scheme<N, M>>() {
        let s = Portable;
        let g = F::weights();
        for tap in 0..F::TAPS {
            for at in 0..N {
                let d = core::array::from_fn(|i| s.splat(if i == at { 1.0 } else { 0.0 }));
                let v = F::input(s, d).map(|v| s.to_array(v)[0]);
                let y = F::output(s, core::array::from_fn(|i| s.splat(v[i] * g[i][tap] as f32)));
                for (i, y) in y.into_iter().enumerate() {
                    let expected = if i + tap == at { 1.0 } else { 0.0 };
                    let found = s.to_array(y)[0];
                    assert!((found - expected).abs() < 2e-5, "{} y{i} of d{at} by g{tap}: {found}", F::NAME);
                }
            }
        }
    }
}
