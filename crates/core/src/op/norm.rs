//! Attributes of normalisations, softmax, reductions and ordering.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Attributes of [`super::Op::BatchNorm`] and [`super::Op::InstanceNorm`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchNormAttrs {
    /// Added to the variance.
    pub epsilon: f32,
}

/// Attributes of [`super::Op::GroupNorm`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupNormAttrs {
    /// Added to the variance.
    pub epsilon: f32,
    /// Number of groups; divides the channels.
    pub groups: usize,
}

/// Attributes of [`super::Op::LayerNorm`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LayerNormAttrs {
    /// First normalised axis.
    pub axis: i64,
    /// Added to the variance.
    pub epsilon: f32,
    /// Divide by the root of the mean square, without subtracting the mean.
    pub rms: bool,
}

/// Attributes of [`super::Op::Lrn`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LrnAttrs {
    /// Factor of the mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Offset.
    pub bias: f32,
    /// Channels in a window, at least 1.
    pub size: usize,
}

/// Attributes of [`super::Op::LpNorm`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LpNormAttrs {
    /// Axis.
    pub axis: i64,
    /// 1 or 2.
    pub p: u32,
}

/// What [`super::Op::Softmax`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SoftmaxKind {
    /// `exp(x) / sum(exp(x))`.
    Softmax,
    /// Its logarithm.
    LogSoftmax,
    /// 1 at the first maximum, 0 elsewhere.
    Hardmax,
}

/// Attributes of [`super::Op::Softmax`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SoftmaxAttrs {
    /// What is computed.
    pub kind: SoftmaxKind,
    /// The axis.
    pub axis: i64,
    /// Normalise over all axes from `axis` on, taken as one (ONNX before opset 13).
    pub to_end: bool,
}

/// What [`super::Op::Reduce`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ReduceKind {
    Sum,
    Mean,
    Max,
    Min,
    Prod,
    /// Sum of magnitudes.
    L1,
    /// Root of the sum of squares.
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

/// Attributes of [`super::Op::Reduce`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReduceAttrs {
    /// What is computed.
    pub kind: ReduceKind,
    /// The axes; absent: input 1 names them, or all where there is none.
    pub axes: Option<Vec<i64>>,
    /// Reduced axes stay with length 1.
    pub keep_dims: bool,
    /// An empty list of axes in input 1 means none, not all.
    pub noop_if_empty: bool,
}

/// Attributes of [`super::Op::ArgReduce`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArgReduceAttrs {
    /// The index of the largest rather than of the smallest.
    pub max: bool,
    /// The axis.
    pub axis: i64,
    /// The axis stays with length 1.
    pub keep_dims: bool,
    /// Of equal elements, take the last.
    pub last: bool,
}

/// Attributes of [`super::Op::CumSum`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CumSumAttrs {
    /// Each sum leaves out its own element.
    pub exclusive: bool,
    /// From the back.
    pub reverse: bool,
}

/// Attributes of [`super::Op::TopK`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopKAttrs {
    /// The axis.
    pub axis: i64,
    /// The largest rather than the smallest.
    pub largest: bool,
    /// In order. Equal elements come by lower index first.
    pub sorted: bool,
}

/// Attributes of [`super::Op::Unique`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct UniqueAttrs {
    /// Compare slices along this axis rather than single elements.
    pub axis: Option<i64>,
    /// Ascending rather than in order of appearance.
    pub sorted: bool,
}

/// Attributes of [`super::Op::NonMaxSuppression`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct NmsAttrs {
    /// Boxes are centre and extent rather than two corners.
    pub center: bool,
}
