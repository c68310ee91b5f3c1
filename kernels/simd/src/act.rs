//! Activations of eight numbers.
//!
//! One function per activation. [`by_act!`](crate::by_act) turns an [`Act`] into the right one *outside* a loop, so that
//! each loop is straight code; the list of activations stands there alone.

use crate::{
    Lanes,
    math::{SIGN, clamp, erf, exp_m1, exp_normal, ln_1p, sigmoid},
};
use paring_core::op::Act;

/// Expands `$with!($args $v => value)` with the value of the activation `$act` at the vector `$v`, once per activation.
#[macro_export]
macro_rules! by_act {
    ($s:ident, $act:expr, $v:ident, $with:ident!($($args:tt)*)) => {
        match $act {
            $crate::Act::Relu => $with!($($args)* $v => $crate::act::relu($s, $v)),
            $crate::Act::LeakyRelu(a) => $with!($($args)* $v => $crate::act::leaky_relu($s, a, $v)),
            $crate::Act::ThresholdedRelu(a) => $with!($($args)* $v => $crate::act::thresholded_relu($s, a, $v)),
            $crate::Act::Clamp { lo, hi } => $with!($($args)* $v => $crate::math::clamp($s, $v, lo, hi)),
            $crate::Act::Sigmoid => $with!($($args)* $v => $crate::math::sigmoid($s, $v)),
            $crate::Act::Tanh => $with!($($args)* $v => $crate::math::tanh($s, $v)),
            $crate::Act::HardSigmoid { alpha, beta } => {
                $with!($($args)* $v => $crate::act::hard_sigmoid($s, alpha, beta, $v))
            }
            $crate::Act::HardSwish => $with!($($args)* $v => $crate::act::hard_swish($s, $v)),
            $crate::Act::Swish(a) => $with!($($args)* $v => $crate::act::swish($s, a, $v)),
            $crate::Act::Gelu => $with!($($args)* $v => $crate::act::gelu($s, $v)),
            $crate::Act::GeluTanh => $with!($($args)* $v => $crate::act::gelu_tanh($s, $v)),
            $crate::Act::Elu(a) => $with!($($args)* $v => $crate::act::elu($s, a, $v)),
            $crate::Act::Selu { alpha, gamma } => $with!($($args)* $v => $crate::act::selu($s, alpha, gamma, $v)),
            $crate::Act::Celu(a) => $with!($($args)* $v => $crate::act::celu($s, a, $v)),
            $crate::Act::Softplus => $with!($($args)* $v => $crate::act::softplus($s, $v)),
            $crate::Act::Softsign => $with!($($args)* $v => $crate::act::softsign($s, $v)),
            $crate::Act::Mish => $with!($($args)* $v => $crate::act::mish($s, $v)),
            $crate::Act::Shrink { bias, lambda } => $with!($($args)* $v => $crate::act::shrink($s, bias, lambda, $v)),
            $crate::Act::Grid { scale, lo, hi } => $with!($($args)* $v => $crate::act::grid($s, scale, lo, hi, $v)),
        }
    };
}

/// The larger of `v` and 0.
#[inline(always)]
pub fn relu<S: Lanes>(s: S, v: S::V) -> S::V {
    s.max(s.splat(0.0), v)
}

/// `alpha v` below 0.
#[inline(always)]
pub fn leaky_relu<S: Lanes>(s: S, alpha: f32, v: S::V) -> S::V {
    s.select(s.less(v, s.splat(0.0)), s.mul(v, s.splat(alpha)), v)
}

/// 0 up to `alpha`.
#[inline(always)]
pub fn thresholded_relu<S: Lanes>(s: S, alpha: f32, v: S::V) -> S::V {
    // Below the next number means not above this one; NaN is neither.
    s.select(s.less(v, s.splat(alpha.next_up())), s.splat(0.0), v)
}

/// `alpha v + beta` within 0 and 1.
#[inline(always)]
pub fn hard_sigmoid<S: Lanes>(s: S, alpha: f32, beta: f32, v: S::V) -> S::V {
    clamp(s, s.mul_add(v, s.splat(alpha), s.splat(beta)), 0.0, 1.0)
}

/// `v hard_sigmoid(v)` with slope 1/6.
#[inline(always)]
pub fn hard_swish<S: Lanes>(s: S, v: S::V) -> S::V {
    s.mul(v, hard_sigmoid(s, 1.0 / 6.0, 0.5, v))
}

/// `v sigmoid(alpha v)`; SiLU where `alpha` is 1.
#[inline(always)]
pub fn swish<S: Lanes>(s: S, alpha: f32, v: S::V) -> S::V {
    let e = exp_normal(s, s.mul(v, s.splat(-alpha)));
    s.div(v, s.add(s.splat(1.0), e))
}

/// `v (1 + erf(v / sqrt 2)) / 2`.
#[inline(always)]
pub fn gelu<S: Lanes>(s: S, v: S::V) -> S::V {
    let e = erf(s, s.mul(v, s.splat(core::f32::consts::FRAC_1_SQRT_2)));
    let h = s.mul(v, s.splat(0.5));
    s.mul_add(h, e, h)
}

/// The approximation of [`gelu`] by a hyperbolic tangent.
#[inline(always)]
pub fn gelu_tanh<S: Lanes>(s: S, v: S::V) -> S::V {
    // (1 + tanh u) / 2 = sigmoid(2 u), which does not cancel on the left.
    let cubic = s.mul_add(s.mul(v, v), s.splat(0.044_715), s.splat(1.0));
    s.mul(v, sigmoid(s, s.mul(s.mul(v, cubic), s.splat(1.595_769_2))))
}

/// `alpha (e^v - 1)` below 0.
#[inline(always)]
pub fn elu<S: Lanes>(s: S, alpha: f32, v: S::V) -> S::V {
    s.select(s.less(v, s.splat(0.0)), s.mul(s.splat(alpha), exp_m1(s, v)), v)
}

/// `gamma` times [`elu`].
#[inline(always)]
pub fn selu<S: Lanes>(s: S, alpha: f32, gamma: f32, v: S::V) -> S::V {
    let negative = s.mul(s.splat(alpha), exp_m1(s, v));
    s.mul(s.splat(gamma), s.select(s.less(s.splat(0.0), v), v, negative))
}

/// `alpha (e^(v / alpha) - 1)` below 0.
#[inline(always)]
pub fn celu<S: Lanes>(s: S, alpha: f32, v: S::V) -> S::V {
    let zero = s.splat(0.0);
    let e = s.mul(s.splat(alpha), exp_m1(s, s.div(v, s.splat(alpha))));
    s.add(s.max(zero, v), s.min(zero, e))
}

/// `ln(1 + e^v)`.
#[inline(always)]
pub fn softplus<S: Lanes>(s: S, v: S::V) -> S::V {
    let e = exp_normal(s, s.or(v, s.splat(SIGN)));
    s.add(s.max(s.splat(0.0), v), ln_1p(s, e))
}

/// `v / (1 + |v|)`.
#[inline(always)]
pub fn softsign<S: Lanes>(s: S, v: S::V) -> S::V {
    s.div(v, s.add(s.splat(1.0), s.abs(v)))
}

/// `v tanh(softplus(v))`.
#[inline(always)]
pub fn mish<S: Lanes>(s: S, v: S::V) -> S::V {
    // With e = exp(v): tanh(ln(1 + e)) = e (e + 2) / (e (e + 2) + 2), which is 1 long before e^2 overflows.
    let e = exp_normal(s, s.min(s.splat(20.0), v));
    let n = s.mul(e, s.add(e, s.splat(2.0)));
    s.mul(v, s.div(n, s.add(n, s.splat(2.0))))
}

/// 0 within `lambda` of 0, else `bias` nearer to it.
#[inline(always)]
pub fn shrink<S: Lanes>(s: S, bias: f32, lambda: f32, v: S::V) -> S::V {
    let above = s.select(s.less(v, s.splat(lambda.next_up())), s.splat(0.0), s.sub(v, s.splat(bias)));
    s.select(s.less(v, s.splat(-lambda)), s.add(v, s.splat(bias)), above)
}

/// The nearest multiple of `scale`, of those from `lo` to `hi`.
#[inline(always)]
pub fn grid<S: Lanes>(s: S, scale: f32, lo: f32, hi: f32, v: S::V) -> S::V {
    s.mul(clamp(s, s.round(s.mul(v, s.splat(1.0 / scale))), lo, hi), s.splat(scale))
}

/// Whether `act` takes but a few instructions, none of them a division or an exponential.
pub fn is_cheap(act: Act) -> bool {
    match act {
        Act::Relu | Act::LeakyRelu(_) | Act::ThresholdedRelu(_) | Act::Clamp { .. } => true,
        Act::HardSigmoid { .. } | Act::HardSwish | Act::Shrink { .. } | Act::Grid { .. } => true,
        Act::Sigmoid | Act::Tanh | Act::Swish(_) | Act::Gelu | Act::GeluTanh | Act::Elu(_) | Act::Selu { .. } => false,
        Act::Celu(_) | Act::Softplus | Act::Softsign | Act::Mish => false,
    }
}

/// Whether `act(0)` is 0, so that padding lanes stay zero without being rewritten.
pub fn keeps_zero(act: Act) -> bool {
    match act {
        Act::Clamp { lo, hi } | Act::Grid { lo, hi, .. } => lo <= 0.0 && hi >= 0.0,
        Act::HardSigmoid { beta, .. } => beta <= 0.0,
        Act::Sigmoid | Act::Softplus => false,
        // A negative threshold lets zero through, to be shifted.
        Act::Shrink { bias, lambda } => lambda >= 0.0 || bias == 0.0,
        Act::LeakyRelu(_)
        | Act::ThresholdedRelu(_)
        | Act::Relu
        | Act::Tanh
        | Act::HardSwish
        | Act::Gelu
        | Act::GeluTanh => true,
        Act::Softsign | Act::Mish => true,
        Act::Swish(a) | Act::Elu(a) => a.is_finite(),
        Act::Celu(a) => a.is_finite() && a != 0.0,
        Act::Selu { alpha, gamma } => alpha.is_finite() && gamma.is_finite(),
    }
}
