//! Functions of one and two numbers, in `f64` and in integers wide enough for every type.

use crate::io::{KernelResult, data, problem};
use alloc::format;
use core::cmp::Ordering;
use libm::{erf, exp, expm1, fabs, floor, fmod, log, log1p, pow, rint, sqrt, tanh};
use paring_core::op::{Act, Binary, Unary};

/// A non-linearity of one number. NaN stays NaN.
pub(crate) fn activation(a: Act, x: f64) -> f64 {
    match a {
        Act::Relu => clamp(x, 0.0, f64::INFINITY),
        Act::LeakyRelu(alpha) => {
            if x < 0.0 {
                alpha as f64 * x
            } else {
                x
            }
        }
        Act::ThresholdedRelu(alpha) => {
            if x > alpha as f64 || x.is_nan() {
                x
            } else {
                0.0
            }
        }
        Act::Clamp { lo, hi } => clamp(x, lo as f64, hi as f64),
        Act::Sigmoid => sigmoid(x),
        Act::Tanh => tanh(x),
        Act::HardSigmoid { alpha, beta } => clamp(alpha as f64 * x + beta as f64, 0.0, 1.0),
        Act::HardSwish => x * clamp(x / 6.0 + 0.5, 0.0, 1.0),
        Act::Swish(alpha) => x * sigmoid(alpha as f64 * x),
        Act::Gelu => 0.5 * x * (1.0 + erf(x / core::f64::consts::SQRT_2)),
        Act::GeluTanh => 0.5 * x * (1.0 + tanh(sqrt(2.0 / core::f64::consts::PI) * (x + 0.044715 * x * x * x))),
        Act::Elu(alpha) => {
            if x < 0.0 {
                alpha as f64 * expm1(x)
            } else {
                x
            }
        }
        Act::Selu { alpha, gamma } => gamma as f64 * if x > 0.0 { x } else { alpha as f64 * expm1(x) },
        Act::Celu(alpha) => {
            let a = alpha as f64;
            clamp(x, 0.0, f64::INFINITY) + clamp(a * expm1(x / a), f64::NEG_INFINITY, 0.0)
        }
        Act::Softplus => softplus(x),
        Act::Softsign => x / (1.0 + fabs(x)),
        Act::Mish => x * tanh(softplus(x)),
        Act::Shrink { bias, lambda } => {
            let (bias, lambda) = (bias as f64, lambda as f64);
            if x < -lambda {
                x + bias
            } else if x > lambda {
                x - bias
            } else if x.is_nan() {
                x
            } else {
                0.0
            }
        }
        Act::Grid { scale, lo, hi } => {
            let scale = scale as f64;
            scale * clamp(rint(x / scale), lo as f64, hi as f64)
        }
    }
}

/// The activations that have a meaning on integers.
pub(crate) fn activation_int(a: Act, x: i128) -> KernelResult<i128> {
    match a {
        Act::Relu => Ok(x.max(0)),
        Act::Clamp { lo, hi } => Ok(x.max(libm::ceil(lo as f64) as i128).min(floor(hi as f64) as i128)),
        _ => Err(problem(format!("{a:?} is not defined on integers"))),
    }
}

/// `min(max(x, lo), hi)`, keeping NaN.
fn clamp(x: f64, lo: f64, hi: f64) -> f64 {
    let x = if x < lo { lo } else { x };
    if x > hi { hi } else { x }
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + exp(-x))
}

fn softplus(x: f64) -> f64 {
    clamp(x, 0.0, f64::INFINITY) + log1p(exp(-fabs(x)))
}

/// A function of one number whose result is a number.
pub(crate) fn unary(u: Unary, x: f64) -> f64 {
    match u {
        Unary::Abs => fabs(x),
        Unary::Neg => -x,
        Unary::Exp => exp(x),
        Unary::Log => log(x),
        Unary::Sqrt => sqrt(x),
        Unary::Reciprocal => 1.0 / x,
        Unary::Floor => floor(x),
        Unary::Ceil => libm::ceil(x),
        Unary::Round => rint(x),
        Unary::Sign => {
            if x > 0.0 {
                1.0
            } else if x < 0.0 {
                -1.0
            } else {
                x
            }
        }
        Unary::Erf => erf(x),
        Unary::Sin => libm::sin(x),
        Unary::Cos => libm::cos(x),
        Unary::Tan => libm::tan(x),
        Unary::Asin => libm::asin(x),
        Unary::Acos => libm::acos(x),
        Unary::Atan => libm::atan(x),
        Unary::Sinh => libm::sinh(x),
        Unary::Cosh => libm::cosh(x),
        Unary::Asinh => libm::asinh(x),
        Unary::Acosh => libm::acosh(x),
        Unary::Atanh => libm::atanh(x),
        Unary::Not => (x == 0.0) as u8 as f64,
        Unary::BitNot => f64::NAN,
        Unary::IsNan => x.is_nan() as u8 as f64,
        Unary::IsInf { positive, negative } => {
            (x == f64::INFINITY && positive || x == f64::NEG_INFINITY && negative) as u8 as f64
        }
    }
}

/// The functions of one number that have a meaning on integers and booleans.
pub(crate) fn unary_int(u: Unary, x: i128) -> KernelResult<i128> {
    Ok(match u {
        Unary::Abs => x.abs(),
        Unary::Neg => -x,
        Unary::Sign => x.signum(),
        Unary::Not => (x == 0) as i128,
        Unary::BitNot => !x,
        Unary::Floor | Unary::Ceil | Unary::Round => x,
        _ => return Err(problem(format!("{u:?} is not defined on integers"))),
    })
}

/// A function of two numbers. Minimum and maximum keep NaN, as NumPy's do.
pub(crate) fn binary(b: Binary, x: f64, y: f64) -> KernelResult<f64> {
    let flag = |v: bool| v as u8 as f64;
    Ok(match b {
        Binary::Add => x + y,
        Binary::Sub => x - y,
        Binary::Mul => x * y,
        Binary::Div => x / y,
        Binary::Pow => pow(x, y),
        Binary::Mod => {
            let r = fmod(x, y);
            if r != 0.0 && (r < 0.0) != (y < 0.0) { r + y } else { r }
        }
        Binary::Fmod => fmod(x, y),
        Binary::Min => min(x, y),
        Binary::Max => max(x, y),
        Binary::PRelu => {
            if x < 0.0 {
                x * y
            } else {
                x
            }
        }
        Binary::Equal => flag(x == y),
        Binary::Greater => flag(x > y),
        Binary::GreaterOrEqual => flag(x >= y),
        Binary::Less => flag(x < y),
        Binary::LessOrEqual => flag(x <= y),
        Binary::And | Binary::Or | Binary::Xor => return Err(problem(format!("{b:?} needs booleans"))),
        Binary::BitAnd | Binary::BitOr | Binary::BitXor | Binary::ShiftLeft | Binary::ShiftRight => {
            return Err(problem(format!("{b:?} needs integers")));
        }
    })
}

/// The smaller one, or NaN.
pub(crate) fn min(x: f64, y: f64) -> f64 {
    if x < y || x.is_nan() { x } else { y }
}

/// The larger one, or NaN.
pub(crate) fn max(x: f64, y: f64) -> f64 {
    if x > y || x.is_nan() { x } else { y }
}

/// A function of two integers or booleans. `bits` is the width of the type; the caller keeps the low bits.
pub(crate) fn binary_int(b: Binary, x: i128, y: i128, bits: usize) -> KernelResult<i128> {
    let nonzero = || if y == 0 { Err(data(format!("{x} is divided by zero"))) } else { Ok(y) };
    let shift = || usize::try_from(y).map_err(|_| data(format!("{x} is shifted by {y} bits")));
    Ok(match b {
        Binary::Add => x.wrapping_add(y),
        Binary::Sub => x.wrapping_sub(y),
        Binary::Mul => x.wrapping_mul(y),
        Binary::Div => x / nonzero()?,
        Binary::Mod => {
            let r = x % nonzero()?;
            if r != 0 && (r < 0) != (y < 0) { r + y } else { r }
        }
        Binary::Fmod => x % nonzero()?,
        Binary::Pow => pow_int(x, y),
        Binary::Min => x.min(y),
        Binary::Max => x.max(y),
        Binary::PRelu => {
            if x < 0 {
                x.wrapping_mul(y)
            } else {
                x
            }
        }
        Binary::And => (x != 0 && y != 0) as i128,
        Binary::Or => (x != 0 || y != 0) as i128,
        Binary::Xor => ((x != 0) != (y != 0)) as i128,
        Binary::BitAnd => x & y,
        Binary::BitOr => x | y,
        Binary::BitXor => x ^ y,
        Binary::ShiftLeft => {
            if shift()? < bits {
                x << shift()?
            } else {
                0
            }
        }
        Binary::ShiftRight => x >> shift()?.min(bits),
        Binary::Equal => (x == y) as i128,
        Binary::Greater => (x > y) as i128,
        Binary::GreaterOrEqual => (x >= y) as i128,
        Binary::Less => (x < y) as i128,
        Binary::LessOrEqual => (x <= y) as i128,
    })
}

/// Wraps; a negative exponent cuts the fraction off.
fn pow_int(x: i128, y: i128) -> i128 {
    if y < 0 {
        return match x {
            1 => 1,
            -1 if y % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        };
    }
    let (mut base, mut left, mut result) = (x, y, 1i128);
    while left > 0 {
        if left & 1 == 1 {
            result = result.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        left >>= 1;
    }
    result
}

/// A total order that puts NaN above everything.
pub(crate) fn total(x: f64, y: f64) -> Ordering {
    x.partial_cmp(&y).unwrap_or_else(|| x.is_nan().cmp(&y.is_nan()))
}

/// To the nearest integer, halves to even.
pub(crate) fn round_even(x: f64) -> f64 {
    rint(x)
}
