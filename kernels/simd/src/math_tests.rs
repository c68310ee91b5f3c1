//! Elementary functions against `f64`.

use crate::{Portable, Simd, Task, act, by_act, math};
use paring_core::op::Act;

struct Map<F>(Vec<f32>, F);

trait Function {
    fn call<S: Simd>(&self, s: S, v: S::V) -> S::V;
}

impl<F: Function> Task for Map<F> {
    type Output = Vec<f32>;
    #[inline(always)]
    fn call<S: Simd>(self, s: S) -> Vec<f32> {
        let mut out = Vec::new();
        for c in self.0.chunks_exact(8) {
            let v = s.from_array(c.try_into().expect("eight"));
            out.extend(s.to_array(self.1.call(s, v)));
        }
        out
    }
}

macro_rules! function {
    ($name:ident, $f:path) => {
        #[derive(Clone, Copy)]
        struct $name;
        impl Function for $name {
            #[inline(always)]
            fn call<S: Simd>(&self, s: S, v: S::V) -> S::V {
                $f(s, v)
            }
        }
    };
}
function!(Exp, math::exp);
function!(ExpM1, math::exp_m1);
function!(Ln, math::ln);
function!(Tanh, math::tanh);
function!(Sigmoid, math::sigmoid);
function!(Erf, math::erf);
function!(Sin, math::sin);
function!(Cos, math::cos);
function!(Floor, math::floor);
function!(Ceil, math::ceil);

#[derive(Clone, Copy)]
struct Apply(Act);
impl Function for Apply {
    #[inline(always)]
    fn call<S: Simd>(&self, s: S, v: S::V) -> S::V {
        macro_rules! value {
            ($v:ident => $value:expr) => {
                $value
            };
        }
        by_act!(s, self.0, v, value!())
    }
}

/// The function on every instruction set of this machine.
fn run<F: Function + Copy>(f: F, mut x: Vec<f32>) -> Vec<Vec<f32>> {
    let len = x.len();
    x.resize(len.next_multiple_of(8), 0.0);
    let mut all = vec![Portable.vectorize(Map(x.clone(), f))];
    #[allow(unused_macros)]
    macro_rules! run {
        ($token:ty) => {
            all.extend(<$token>::detect().map(|s| s.vectorize(Map(x.clone(), f))));
        };
    }
    crate::each_token!(run);
    all.iter_mut().for_each(|v| v.truncate(len));
    all
}

/// Numbers of both signs and every magnitude up to `limit`, and an even sweep.
fn sweep(lo: f32, hi: f32) -> Vec<f32> {
    let mut x: Vec<f32> = (0..=40_000).map(|i| lo + (hi - lo) * i as f32 / 40_000.0).collect();
    for bits in (0..0x7f80_0000u32).step_by(50_021) {
        let a = f32::from_bits(bits);
        x.extend([a, -a].into_iter().filter(|v| (lo..=hi).contains(v)));
    }
    x
}

/// Largest error relative to `max(|expected|, floor)`.
fn worst(x: &[f32], got: &[f32], expect: impl Fn(f64) -> f64, floor: f64) -> (f64, f32) {
    let error = |(&x, &y): (&f32, &f32)| {
        let e = expect(f64::from(x));
        let r = e as f32;
        if r == y || (r.is_nan() && y.is_nan()) { (0.0, x) } else { ((f64::from(y) - e).abs() / e.abs().max(floor), x) }
    };
    x.iter().zip(got).map(error).fold((0.0, 0.0), |a, b| if a.0 >= b.0 { a } else { b })
}

fn check<F: Function + Copy>(name: &str, f: F, x: Vec<f32>, expect: impl Fn(f64) -> f64, floor: f64, limit: f64) {
    for got in run(f, x.clone()) {
        let (error, at) = worst(&x, &got, &expect, floor);
        assert!(error <= limit, "{name}: error {error:.2e} at {at:e}");
    }
}

/// `2/sqrt(pi) exp(-x^2) sum 2^n x^(2n+1) / (2n+1)!!`: all terms of one sign.
fn erf64(x: f64) -> f64 {
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    if x.abs() > 6.5 {
        return x.signum();
    }
    while term.abs() > 1e-18 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * sum
}

fn sigmoid64(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

// Errors below the smallest normal number are absolute.
const TINY: f64 = f32::MIN_POSITIVE as f64;

#[test]
fn functions_are_accurate() {
    check("exp", Exp, sweep(-103.0, 88.72), f64::exp, TINY, 2.0e-7);
    check("exp_m1", ExpM1, sweep(-87.0, 88.0), f64::exp_m1, TINY, 2.5e-7);
    check("ln", Ln, sweep(1e-45, 3.4e38), f64::ln, 1e-3, 2.0e-7);
    check("ln near 1", Ln, sweep(0.5, 2.0), f64::ln, 1e-6, 2.5e-7);
    check("tanh", Tanh, sweep(-100.0, 100.0), f64::tanh, TINY, 4.0e-7);
    check("tanh", Tanh, sweep(-10.0, 10.0), f64::tanh, TINY, 4.0e-7);
    check("sigmoid", Sigmoid, sweep(-87.0, 100.0), sigmoid64, TINY, 2.5e-7);
    check("erf", Erf, sweep(-8.0, 8.0), erf64, TINY, 2.5e-7);
    let most = math::MOST_ANGLE;
    check("sin", Sin, sweep(-most, most), f64::sin, 1.0, 1.2e-7);
    check("cos", Cos, sweep(-most, most), f64::cos, 1.0, 1.2e-7);
    check("sin", Sin, sweep(-3.0, 3.0), f64::sin, TINY, 2.0e-7);
    check("cos", Cos, sweep(-1.5, 1.5), f64::cos, TINY, 2.0e-7);
    check("floor", Floor, sweep(-100.0, 100.0), f64::floor, TINY, 0.0);
    check("ceil", Ceil, sweep(-100.0, 100.0), f64::ceil, TINY, 0.0);
}

#[test]
fn sines_are_exact_at_zero_and_right_at_every_quarter() {
    let x: Vec<f32> = (-6000..=6000).map(|i| i as f32 * core::f32::consts::FRAC_PI_2).collect();
    check("sin", Sin, x.clone(), f64::sin, 1.0, 1.2e-7);
    check("cos", Cos, x, f64::cos, 1.0, 1.2e-7);
    for y in run(Sin, vec![0.0, -0.0, 1e-45, -1e-45]) {
        assert_eq!(y.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), [0, 1 << 31, 1, 1 << 31 | 1]);
    }
    for y in run(Cos, vec![0.0, -0.0, 1e-45]) {
        assert_eq!(y, [1.0; 3]);
    }
}

#[test]
fn functions_keep_nan_and_saturate() {
    let x = vec![f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, 1e30, -1e30, -1.0, 89.5];
    let inf = f32::INFINITY;
    for y in run(Exp, x.clone()) {
        assert!(y[0].is_nan());
        assert_eq!(y[1..], [inf, 0.0, 1.0, inf, 0.0, (-1f32).exp(), inf]);
    }
    for y in run(Ln, x.clone()) {
        assert!(y[0].is_nan() && y[2].is_nan() && y[5].is_nan() && y[6].is_nan());
        assert_eq!([y[1], y[3]], [inf, -inf]);
    }
    for y in run(Tanh, x.clone()).into_iter().chain(run(Erf, x.clone())) {
        assert!(y[0].is_nan());
        assert_eq!([y[1], y[2], y[3], y[4], y[5], y[7]], [1.0, -1.0, 0.0, 1.0, -1.0, 1.0]);
    }
    for y in run(Sigmoid, x) {
        assert!(y[0].is_nan());
        assert!(y[2] < 1e-37 && y[5] < 1e-37);
        assert_eq!([y[1], y[3], y[4], y[7]], [1.0, 0.5, 1.0, 1.0]);
    }
}

fn act64(act: Act, x: f64) -> f64 {
    let f = f64::from;
    match act {
        Act::Relu => x.max(0.0),
        Act::LeakyRelu(a) => {
            if x < 0.0 {
                f(a) * x
            } else {
                x
            }
        }
        Act::ThresholdedRelu(a) => {
            if x > f(a) {
                x
            } else {
                0.0
            }
        }
        Act::Clamp { lo, hi } => x.max(f(lo)).min(f(hi)),
        Act::Sigmoid => sigmoid64(x),
        Act::Tanh => x.tanh(),
        Act::HardSigmoid { alpha, beta } => (f(alpha) * x + f(beta)).clamp(0.0, 1.0),
        Act::HardSwish => x * (x / 6.0 + 0.5).clamp(0.0, 1.0),
        Act::Swish(a) => x * sigmoid64(f(a) * x),
        Act::Gelu => 0.5 * x * (1.0 + erf64(x * 0.5f64.sqrt())),
        Act::GeluTanh => 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()),
        Act::Elu(a) => {
            if x < 0.0 {
                f(a) * x.exp_m1()
            } else {
                x
            }
        }
        Act::Selu { alpha, gamma } => f(gamma) * if x > 0.0 { x } else { f(alpha) * x.exp_m1() },
        Act::Celu(a) => x.max(0.0) + (f(a) * (x / f(a)).exp_m1()).min(0.0),
        Act::Softplus => {
            if x > 30.0 {
                x
            } else {
                x.exp().ln_1p()
            }
        }
        Act::Softsign => x / (1.0 + x.abs()),
        Act::Mish => x * if x > 30.0 { 1.0 } else { x.exp().ln_1p().tanh() },
        Act::Shrink { bias, lambda } => {
            if x < -f(lambda) {
                x + f(bias)
            } else if x > f(lambda) {
                x - f(bias)
            } else {
                0.0
            }
        }
        Act::Grid { scale, lo, hi } => f(scale) * (x / f(scale)).round_ties_even().clamp(f(lo), f(hi)),
    }
}

const ACTS: [Act; 22] = [
    Act::Relu,
    Act::LeakyRelu(0.01),
    Act::ThresholdedRelu(-0.5),
    Act::Clamp { lo: 0.0, hi: 6.0 },
    Act::Clamp { lo: 0.5, hi: f32::INFINITY },
    Act::Sigmoid,
    Act::Tanh,
    Act::HardSigmoid { alpha: 0.2, beta: 0.5 },
    Act::HardSwish,
    Act::Swish(1.0),
    Act::Swish(1.702),
    Act::Gelu,
    Act::GeluTanh,
    Act::Elu(1.5),
    Act::Selu { alpha: 1.6732632, gamma: 1.050701 },
    Act::Celu(0.7),
    Act::Softplus,
    Act::Softsign,
    Act::Mish,
    Act::Shrink { bias: 0.25, lambda: 0.5 },
    // Exact, halves too, as the scale is a power of two.
    Act::Grid { scale: 0.25, lo: -20.0, hi: 107.0 },
    Act::Grid { scale: 0.5, lo: 3.0, hi: 10.0 },
];

#[test]
fn activations_are_accurate() {
    for act in ACTS {
        // Gelu and the clamped ones cancel where they are near 0: the error counts against the input there.
        check(&format!("{act:?}"), Apply(act), sweep(-60.0, 60.0), |x| act64(act, x), 0.5, 4e-7);
    }
}

#[test]
fn activations_keep_nan_and_know_their_zero() {
    for act in ACTS {
        for y in run(Apply(act), vec![f32::NAN, 0.0, 1e9]) {
            assert!(y[0].is_nan(), "{act:?}");
            assert_eq!(y[1] == 0.0, act::keeps_zero(act), "{act:?}");
            assert!((f64::from(y[2]) - act64(act, 1e9)).abs() <= 4e-7 * act64(act, 1e9), "{act:?}: {}", y[2]);
        }
    }
    assert!(act::is_cheap(Act::Relu) && !act::is_cheap(Act::Sigmoid));
}
