//! Functions of one and of two numbers.

use serde::{Deserialize, Serialize};

/// A function of one number that is not a non-linearity of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Unary {
    Abs,
    Neg,
    Exp,
    Log,
    Sqrt,
    Reciprocal,
    Floor,
    Ceil,
    /// To the nearest integer, halves to even.
    Round,
    /// -1, 0 or 1.
    Sign,
    Erf,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Asinh,
    Acosh,
    Atanh,
    /// Logical, on booleans.
    Not,
    BitNot,
    /// Output is boolean.
    IsNan,
    /// Output is boolean.
    IsInf {
        /// Whether +infinity counts.
        positive: bool,
        /// Whether -infinity counts.
        negative: bool,
    },
}

/// A non-linearity. `x` is the input.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// `max(x, 0)`.
    Relu,
    /// `x < 0 ? alpha * x : x`.
    LeakyRelu(f32),
    /// `x > alpha ? x : 0`.
    ThresholdedRelu(f32),
    /// `min(max(x, lo), hi)`; either bound may be infinite. Keeps NaN.
    Clamp {
        /// Lower bound.
        lo: f32,
        /// Upper bound.
        hi: f32,
    },
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `clamp(alpha * x + beta, 0, 1)`.
    HardSigmoid {
        /// Slope.
        alpha: f32,
        /// Offset.
        beta: f32,
    },
    /// `x * clamp(x / 6 + 1/2, 0, 1)`.
    HardSwish,
    /// `x * sigmoid(alpha * x)`; alpha 1 is SiLU.
    Swish(f32),
    /// `x * Phi(x)` by the error function.
    Gelu,
    /// `x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) / 2`.
    GeluTanh,
    /// `x < 0 ? alpha * (exp(x) - 1) : x`.
    Elu(f32),
    /// `gamma * (x > 0 ? x : alpha * (exp(x) - 1))`.
    Selu {
        /// Factor of the negative side.
        alpha: f32,
        /// Factor of all.
        gamma: f32,
    },
    /// `max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`.
    Celu(f32),
    /// `log(1 + exp(x))`.
    Softplus,
    /// `x / (1 + |x|)`.
    Softsign,
    /// `x * tanh(log(1 + exp(x)))`.
    Mish,
    /// `x < -lambda ? x + bias : x > lambda ? x - bias : 0`.
    Shrink {
        /// Offset.
        bias: f32,
        /// Threshold.
        lambda: f32,
    },
    /// `scale * min(max(round(x / scale), lo), hi)`, halves to even: what is left of a number that was quantised. Keeps NaN.
    Grid {
        /// Positive and finite.
        scale: f32,
        /// The least multiple of the scale, an integer.
        lo: f32,
        /// The largest.
        hi: f32,
    },
}

/// A function of two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    /// Remainder with the sign of the divisor.
    Mod,
    /// Remainder with the sign of the dividend (C's `fmod`).
    Fmod,
    Min,
    Max,
    /// `a < 0 ? b * a : a`; `b` is the slope.
    PRelu,
    And,
    Or,
    Xor,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    /// Output is boolean, as for all comparisons.
    Equal,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Binary {
    /// Whether the output is boolean whatever the inputs are.
    pub const fn is_comparison(self) -> bool {
        matches!(self, Binary::Equal | Binary::Greater | Binary::GreaterOrEqual | Binary::Less | Binary::LessOrEqual)
    }

    /// Whether the operands may be swapped.
    pub const fn is_commutative(self) -> bool {
        use Binary::*;
        matches!(self, Add | Mul | Min | Max | And | Or | Xor | BitAnd | BitOr | BitXor | Equal)
    }
}
