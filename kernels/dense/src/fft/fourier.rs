//! Discrete Fourier transforms of 16 and 32 complex numbers over vectors: every lane is a channel with a transform of its
//! own.
//!
//! The first pass takes sums of four terms and turns them, the second sums of four or eight (J. Cooley and J. Tukey,
//! "An Algorithm for the Machine Calculation of Complex Fourier Series", 1965). Two real lines go through one complex
//! transform as its real and imaginary parts; [`split`] separates their spectra and [`join`] puts them together again.

use core::f32::consts::FRAC_1_SQRT_2;
use paring_simd::{LANES, Simd};

/// Most elements of a transform.
pub const MOST: usize = 32;

/// Cosines of the first quarter of a circle in steps of one part in [`MOST`].
const QUARTER: [f64; MOST / 4 + 1] = [
    1.0,
    0.980_785_280_403_230_4,
    0.923_879_532_511_286_7,
    0.831_469_612_302_545_2,
    core::f64::consts::FRAC_1_SQRT_2,
    0.555_570_233_019_602_2,
    0.382_683_432_365_089_8,
    0.195_090_322_016_128_28,
    0.0,
];

/// The cosine of `i` parts in [`MOST`] of a circle.
pub const fn cosine(i: usize) -> f64 {
    let i = i % MOST;
    match i / (MOST / 4) {
        0 => QUARTER[i],
        1 => -QUARTER[MOST / 2 - i],
        2 => -QUARTER[i - MOST / 2],
        _ => QUARTER[MOST - i],
    }
}

/// The sine of `i` parts in [`MOST`] of a circle.
pub const fn sine(i: usize) -> f64 {
    cosine(i + 3 * MOST / 4)
}

/// The powers of the primitive root that a transform of `N` turns its first sums by: `[n][k]` is the power `-n k`.
struct Turns<const N: usize>;

impl<const N: usize> Turns<N> {
    const ALL: [[[f32; 2]; 4]; MOST / 4] = {
        let mut all = [[[1.0, 0.0]; 4]; MOST / 4];
        let mut n = 0;
        while n < N / 4 {
            let mut k = 0;
            while k < 4 {
                let i = n * k * (MOST / N);
                all[n][k] = [cosine(i) as f32, -sine(i) as f32];
                k += 1;
            }
            n += 1;
        }
        all
    };
}

/// Complex vectors in memory.
#[derive(Clone, Copy)]
pub struct Line {
    /// The first real part.
    pub re: *mut f32,
    /// The first imaginary part.
    pub im: *mut f32,
    /// Elements from one vector to the next.
    pub step: usize,
}

impl Line {
    /// The line with real and imaginary parts exchanged, which is `i * conj(z)`: transforming from and to swapped lines
    /// is the inverse transform, but for its scale.
    pub fn swapped(self) -> Line {
        Line { re: self.im, im: self.re, step: self.step }
    }

    /// # Safety
    /// Vector `i` must be valid for reads.
    #[inline(always)]
    pub unsafe fn load<S: Simd>(&self, s: S, i: usize) -> (S::V, S::V) {
        // SAFETY: the caller's promise.
        unsafe { (s.load(self.re.add(i * self.step)), s.load(self.im.add(i * self.step))) }
    }

    /// # Safety
    /// Vector `i` must be valid for writes.
    #[inline(always)]
    pub unsafe fn store<S: Simd>(&self, s: S, i: usize, (re, im): (S::V, S::V)) {
        // SAFETY: the caller's promise.
        unsafe {
            s.store(self.re.add(i * self.step), re);
            s.store(self.im.add(i * self.step), im);
        }
    }
}

/// Elements of memory that [`forward`] works in.
pub const fn work(n: usize) -> usize {
    2 * n * LANES
}

/// Transforms the `N` vectors of `from` to `to`, by way of `work`: `X[k] = sum x[n] exp(-2 pi i n k / N)`. The inverse,
/// times `N`, is that of swapped lines.
///
/// # Safety
/// `from` must be valid for reads and `to` for writes of `N` vectors, `work` for writes of [`work`] elements.
#[inline(always)]
pub unsafe fn forward<S: Simd, const N: usize>(s: S, from: Line, to: Line, work: *mut f32) {
    let rest = N / 4;
    let work = Line { re: work, im: work.wrapping_add(LANES), step: 2 * LANES };
    // SAFETY: the caller's promise, throughout.
    unsafe {
        for n in 0..rest {
            let mut re = [s.splat(0.0); 4];
            let mut im = re;
            for k in 0..4 {
                (re[k], im[k]) = from.load(s, n + k * rest);
            }
            let (re, im) = four(s, re, im);
            work.store(s, n, (re[0], im[0]));
            for k in 1..4 {
                let [c, d] = Turns::<N>::ALL[n][k];
                let (c, d, minus) = (s.splat(c), s.splat(d), s.splat(-d));
                let turned = (s.mul_add(im[k], minus, s.mul(re[k], c)), s.mul_add(im[k], c, s.mul(re[k], d)));
                work.store(s, k * rest + n, turned);
            }
        }
        for k in 0..4 {
            if rest == 4 {
                let mut re = [s.splat(0.0); 4];
                let mut im = re;
                for n in 0..4 {
                    (re[n], im[n]) = work.load(s, k * 4 + n);
                }
                let (re, im) = four(s, re, im);
                for n in 0..4 {
                    to.store(s, k + 4 * n, (re[n], im[n]));
                }
            } else {
                let zero = [s.splat(0.0); 4];
                let (mut even, mut odd) = ((zero, zero), (zero, zero));
                for n in 0..4 {
                    (even.0[n], even.1[n]) = work.load(s, k * 8 + 2 * n);
                    (odd.0[n], odd.1[n]) = work.load(s, k * 8 + 2 * n + 1);
                }
                let (even, odd) = (four(s, even.0, even.1), eighth(s, four(s, odd.0, odd.1)));
                for n in 0..4 {
                    let (a, b) = ((even.0[n], even.1[n]), (odd.0[n], odd.1[n]));
                    to.store(s, k + 4 * n, (s.add(a.0, b.0), s.add(a.1, b.1)));
                    to.store(s, k + 4 * (n + 4), (s.sub(a.0, b.0), s.sub(a.1, b.1)));
                }
            }
        }
    }
}

/// Real and imaginary parts of four numbers.
type Four<V> = ([V; 4], [V; 4]);

/// The transform of four numbers.
#[inline(always)]
fn four<S: Simd>(s: S, re: [S::V; 4], im: [S::V; 4]) -> Four<S::V> {
    let (a, b) = ((s.add(re[0], re[2]), s.add(im[0], im[2])), (s.sub(re[0], re[2]), s.sub(im[0], im[2])));
    let (c, d) = ((s.add(re[1], re[3]), s.add(im[1], im[3])), (s.sub(re[1], re[3]), s.sub(im[1], im[3])));
    (
        [s.add(a.0, c.0), s.add(b.0, d.1), s.sub(a.0, c.0), s.sub(b.0, d.1)],
        [s.add(a.1, c.1), s.sub(b.1, d.0), s.sub(a.1, c.1), s.add(b.1, d.0)],
    )
}

/// Turns four numbers by none to three eighths of a circle, backwards.
#[inline(always)]
fn eighth<S: Simd>(s: S, (re, im): Four<S::V>) -> Four<S::V> {
    let (half, minus) = (s.splat(FRAC_1_SQRT_2), s.splat(-FRAC_1_SQRT_2));
    let negative = s.sub(s.splat(0.0), re[2]);
    (
        [re[0], s.mul(half, s.add(re[1], im[1])), im[2], s.mul(half, s.sub(im[3], re[3]))],
        [im[0], s.mul(half, s.sub(im[1], re[1])), negative, s.mul(minus, s.add(re[3], im[3]))],
    )
}

/// Twice the spectra of the two real lines `a` and `b` at a frequency, from the spectrum of `a + i b` there and at the
/// opposite one.
#[inline(always)]
pub fn split<S: Simd>(s: S, z: (S::V, S::V), opposite: (S::V, S::V)) -> [(S::V, S::V); 2] {
    [(s.add(z.0, opposite.0), s.sub(z.1, opposite.1)), (s.add(z.1, opposite.1), s.sub(opposite.0, z.0))]
}

/// The spectrum of `a + i b` at a frequency and at the opposite one, from those of the real lines `a` and `b`.
#[inline(always)]
pub fn join<S: Simd>(s: S, a: (S::V, S::V), b: (S::V, S::V)) -> [(S::V, S::V); 2] {
    [(s.sub(a.0, b.1), s.add(a.1, b.0)), (s.add(a.0, b.1), s.sub(b.0, a.1))]
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_simd::{Lanes, Portable};

    fn line(data: &mut [f32]) -> Line {
        let re = data.as_mut_ptr();
        Line { re, im: re.wrapping_add(LANES), step: 2 * LANES }
    }

    /// Transforms unit vectors forth and back: every entry of the matrix.
    fn units<const N: usize>() {
        let s = Portable;
        for at in 0..N {
            for part in 0..2 {
                let (mut x, mut y) = (vec![0.0; work(N)], vec![f32::NAN; work(N)]);
                let (mut back, mut memory) = (vec![f32::NAN; work(N)], vec![f32::NAN; work(N)]);
                x[(2 * at + part) * LANES + 3] = 1.0;
                // SAFETY: all are of `N` complex vectors.
                unsafe {
                    forward::<_, N>(s, line(&mut x), line(&mut y), memory.as_mut_ptr());
                    forward::<_, N>(s, line(&mut y).swapped(), line(&mut back).swapped(), memory.as_mut_ptr());
                }
                for k in 0..N {
                    let angle = -2.0 * core::f64::consts::PI * (at * k) as f64 / N as f64
                        + part as f64 * 0.5 * core::f64::consts::PI;
                    let found = [y[2 * k * LANES + 3], y[(2 * k + 1) * LANES + 3]];
                    for (found, expected) in found.into_iter().zip([angle.cos(), angle.sin()]) {
                        assert!((f64::from(found) - expected).abs() < 3e-7, "{N}: X[{k}] of x[{at}]: {found}");
                    }
                }
                for (i, (b, x)) in back.iter().zip(&x).enumerate() {
                    assert!((b - N as f32 * x).abs() < 1e-5, "{N}: back {i}: {b}");
                }
            }
        }
    }

    #[test]
    fn transforms_are_those_of_the_definition() {
        units::<16>();
        units::<32>();
    }

    #[test]
    fn two_real_lines_are_split_and_joined() {
        let s = Portable;
        let v = |x: f32| s.splat(x);
        let (a, b) = ((v(1.0), v(2.0)), (v(-3.0), v(0.5)));
        let [z, opposite] = join(s, a, b);
        let [c, d] = split(s, z, opposite);
        for (x, y) in [(a.0, c.0), (a.1, c.1), (b.0, d.0), (b.1, d.1)] {
            assert_eq!(2.0 * s.to_array(x)[0], s.to_array(y)[0]);
        }
    }
}
