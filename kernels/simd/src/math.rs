//! Elementary functions of eight numbers.
//!
//! All are accurate to about two units in the last place, keep NaN and saturate. Range reductions and polynomials are
//! those of Cephes (S. L. Moshier, `expf`, `logf`, `tanhf`) unless a function says otherwise.

use crate::Lanes;

/// Horner's scheme: `c[0] * x^(n-1) + ... + c[n-1]`.
#[inline(always)]
fn poly<S: Lanes, const N: usize>(s: S, x: S::V, c: [f32; N]) -> S::V {
    let mut y = s.splat(c[0]);
    for &k in &c[1..] {
        y = s.mul_add(y, x, s.splat(k));
    }
    y
}

pub(crate) const SIGN: f32 = -0.0;
// ln 2 in two parts; the first has few bits, so that its product with an exponent is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// Added to a number of less than 2^22 it rounds that to an integer.
const INTEGER: f32 = 1.5 * 8_388_608.0;
/// As [`INTEGER`]; it leaves `n + 127` as the lowest bits.
const ROUND: f32 = INTEGER + 127.0;

/// `2^n` for lanes that hold integers within -126..=127.
#[inline(always)]
pub fn exp2_int<S: Lanes>(s: S, n: S::V) -> S::V {
    s.to_exponent(s.add(n, s.splat(ROUND)))
}

/// `x = n ln 2 + r`: `n + ROUND`, `n` and `exp(r) - 1`, by a polynomial that was fitted for the least error of `exp(r)`: 4e-9.
#[inline(always)]
fn exp_split<S: Lanes>(s: S, x: S::V) -> (S::V, S::V, S::V) {
    let moved = s.mul_add(x, s.splat(core::f32::consts::LOG2_E), s.splat(ROUND));
    let n = s.sub(moved, s.splat(ROUND));
    let r = s.mul_add(n, s.splat(-LN2_HIGH), x);
    let r = s.mul_add(n, s.splat(-LN2_LOW), r);
    // Both halves of the polynomial at once: the sum is waited for.
    let square = s.mul(r, r);
    let high = s.mul_add(r, s.splat(1.381_379_8e-3), s.splat(8.369_103e-3));
    let low = s.mul_add(r, s.splat(4.166_842_6e-2), s.splat(1.666_651_8e-1));
    let p = s.mul_add(s.mul_add(high, square, low), r, s.splat(4.999_999_4e-1));
    (moved, n, s.mul_add(square, p, r))
}

/// `e^x`: 0 below -104, infinity above 88.73, subnormal in between where it should be.
#[inline(always)]
pub fn exp<S: Lanes>(s: S, x: S::V) -> S::V {
    let x = clamp(s, x, -104.0, 89.0);
    let (_, n, p) = exp_split(s, x);
    // Two factors: one power of two could not reach beyond the normal range.
    let half = s.round(s.mul(n, s.splat(0.5)));
    s.mul(s.mul(s.add(p, s.splat(1.0)), exp2_int(s, half)), exp2_int(s, s.sub(n, half)))
}

/// `e^x` for results within the normal range; others become its ends.
#[inline(always)]
pub fn exp_normal<S: Lanes>(s: S, x: S::V) -> S::V {
    let (moved, _, p) = exp_split(s, clamp(s, x, -87.3, 88.3));
    let scale = s.to_exponent(moved);
    s.mul_add(p, scale, scale)
}

/// `e^x - 1`, accurate near 0 too; the largest normal numbers above 88.3.
#[inline(always)]
pub fn exp_m1<S: Lanes>(s: S, x: S::V) -> S::V {
    let (moved, _, p) = exp_split(s, clamp(s, x, -87.3, 88.3));
    let scale = s.to_exponent(moved);
    s.mul_add(p, scale, s.sub(scale, s.splat(1.0)))
}

/// `x` within `lo..=hi`; NaN stays.
#[inline(always)]
pub fn clamp<S: Lanes>(s: S, x: S::V, lo: f32, hi: f32) -> S::V {
    s.min(s.splat(hi), s.max(s.splat(lo), x))
}

/// Natural logarithm: -infinity at 0, NaN below.
#[inline(always)]
pub fn ln<S: Lanes>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let subnormal = s.less(x, s.splat(f32::MIN_POSITIVE));
    let y = s.select(subnormal, s.mul(x, s.splat(8_388_608.0)), x);
    // y = m 2^e with m within [sqrt(1/2), sqrt(2)).
    let e = s.sub(s.exponent(y), s.select(subnormal, s.splat(23.0), s.splat(0.0)));
    let m = s.or(s.and(y, s.splat(f32::from_bits(0x007f_ffff))), one);
    let large = s.less(s.splat(core::f32::consts::SQRT_2), m);
    let e = s.select(large, s.add(e, one), e);
    let m = s.sub(s.select(large, s.mul(m, s.splat(0.5)), m), one);
    let z = s.mul(m, m);
    let p = poly(
        s,
        m,
        [
            7.037_683_6e-2,
            -1.151_461e-1,
            1.167_699_9e-1,
            -1.242_014_1e-1,
            1.424_932_3e-1,
            -1.666_805_7e-1,
            2.000_071_4e-1,
            -2.499_999_4e-1,
            3.333_333e-1,
        ],
    );
    let r = s.mul_add(e, s.splat(LN2_LOW), s.mul(s.mul(m, z), p));
    let r = s.mul_add(s.splat(-0.5), z, r);
    let r = s.mul_add(e, s.splat(LN2_HIGH), s.add(m, r));
    let finite = s.less(x, s.splat(f32::INFINITY));
    let r = s.select(finite, r, x);
    let positive = s.less(s.splat(0.0), x);
    let below = s.select(s.less(x, s.splat(0.0)), s.splat(f32::NAN), s.splat(f32::NEG_INFINITY));
    // Neither above nor below nor 0 is NaN.
    s.select(positive, r, s.add(below, x))
}

/// `ln(1 + x)` for `x >= 0`, accurate near 0 too (W. Kahan's correction of the rounding of `1 + x`).
#[inline(always)]
pub fn ln_1p<S: Lanes>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    let u = s.add(one, x);
    s.add(ln(s, u), s.div(s.sub(x, s.sub(u, one)), u))
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid<S: Lanes>(s: S, x: S::V) -> S::V {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp_normal(s, s.xor(x, s.splat(SIGN)))))
}

/// Hyperbolic tangent, by the quotient of two polynomials (Eigen, `ptanh_float`): less than half the work of powers of e.
#[inline(always)]
pub fn tanh<S: Lanes>(s: S, x: S::V) -> S::V {
    // What the quotient is at 9 is no less than 1.
    let x = clamp(s, x, -9.0, 9.0);
    let z = s.mul(x, x);
    let odd = [
        -2.760_768_4e-16,
        2.000_188e-13,
        -8.604_672e-11,
        5.122_297_3e-8,
        1.485_722_35e-5,
        6.372_619_5e-4,
        4.893_524_6e-3,
    ];
    let even = [1.198_258_4e-6, 1.185_347_1e-4, 2.268_434_7e-3, 4.893_525e-3];
    // The quotient first: products with small numbers lose bits.
    clamp(s, s.mul(x, s.div(poly(s, z, odd), poly(s, z, even))), -1.0, 1.0)
}

/// The error function, by two polynomials of N. Juffa (`erff`, 2016): one of `x`, one of `ln(1 - erf |x|)`.
#[inline(always)]
pub fn erf<S: Lanes>(s: S, x: S::V) -> S::V {
    let a = s.abs(x);
    let z = s.mul(x, x);
    let p =
        poly(s, z, [-5.967_617e-4, 4.991_194_2e-3, -2.676_813_5e-2, 1.128_199_2e-1, -3.761_253_3e-1, 1.283_791_7e-1]);
    let small = s.mul_add(p, x, x);
    let t = s.min(s.splat(4.0), a);
    let q = poly(
        s,
        t,
        [
            -1.728_534_7e-5,
            3.831_971_3e-4,
            -3.883_964_4e-3,
            2.425_462_2e-2,
            -1.067_778_8e-1,
            -6.348_467e-1,
            -1.287_175_1e-1,
        ],
    );
    let e = exp_normal(s, s.sub(s.mul(q, t), t));
    let large = s.or(s.sub(s.splat(1.0), e), s.and(x, s.splat(SIGN)));
    s.select(s.less(a, s.splat(0.927_734_4)), small, large)
}

/// Up to where [`sin`] and [`cos`] are accurate.
pub const MOST_ANGLE: f32 = 10_000.0;

/// `|x| = n pi/2 + r`: `sin |x|` or, where `ahead` is 1, `cos x`, by the polynomials of Cephes (`sinf`).
#[inline(always)]
fn sine<S: Lanes>(s: S, x: S::V, ahead: f32) -> S::V {
    let n = s.sub(s.mul_add(x, s.splat(core::f32::consts::FRAC_2_PI), s.splat(INTEGER)), s.splat(INTEGER));
    // pi/2 in three parts; the first two have few bits, so that their products with `n` are exact.
    let r = s.mul_add(n, s.splat(-1.570_312_5), x);
    let r = s.mul_add(n, s.splat(-4.837_513e-4), r);
    let r = s.mul_add(n, s.splat(-7.549_79e-8), r);
    let z = s.mul(r, r);
    let p = poly(s, z, [-1.951_529_6e-4, 8.332_161e-3, -1.666_665_5e-1]);
    let odd = s.mul_add(s.mul(r, z), p, r);
    let p = poly(s, z, [2.443_315_7e-5, -1.388_731_6e-3, 4.166_664_6e-2]);
    let even = s.mul_add(s.mul(z, z), p, s.mul_add(z, s.splat(-0.5), s.splat(1.0)));
    // The quarter of the turn, moved so that its lowest bits become the highest of the exponent and the sign.
    let quarter = s.to_exponent(s.add(n, s.splat(1.5 * 65_536.0 + ahead)));
    s.xor(s.select(s.less(s.splat(1.0), s.abs(quarter)), even, odd), s.and(quarter, s.splat(SIGN)))
}

/// Sine, of numbers up to [`MOST_ANGLE`].
#[inline(always)]
pub fn sin<S: Lanes>(s: S, x: S::V) -> S::V {
    s.xor(sine(s, s.abs(x), 0.0), s.and(x, s.splat(SIGN)))
}

/// Cosine, of numbers up to [`MOST_ANGLE`].
#[inline(always)]
pub fn cos<S: Lanes>(s: S, x: S::V) -> S::V {
    sine(s, s.abs(x), 1.0)
}

/// The larger; NaN where either is.
#[inline(always)]
pub fn max_nan<S: Lanes>(s: S, a: S::V, b: S::V) -> S::V {
    // Both orders differ only where one is NaN, whose bits then win, or where both are zeros.
    s.or(s.max(a, b), s.max(b, a))
}

/// The smaller; NaN where either is.
#[inline(always)]
pub fn min_nan<S: Lanes>(s: S, a: S::V, b: S::V) -> S::V {
    s.or(s.min(a, b), s.min(b, a))
}

/// The largest integer not above `x`.
#[inline(always)]
pub fn floor<S: Lanes>(s: S, x: S::V) -> S::V {
    let r = s.round(x);
    s.sub(r, s.and(s.less(x, r), s.splat(1.0)))
}

/// The smallest integer not below `x`.
#[inline(always)]
pub fn ceil<S: Lanes>(s: S, x: S::V) -> S::V {
    let r = s.round(x);
    s.add(r, s.and(s.less(r, x), s.splat(1.0)))
}
