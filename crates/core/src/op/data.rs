//! Attributes of operators that move elements or make them from shapes.

use crate::DType;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Attributes of operators with one axis.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxisAttrs {
    /// The axis.
    pub axis: i64,
}

/// Attributes of [`super::Op::Squeeze`] and [`super::Op::Unsqueeze`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AxesAttrs {
    /// The axes; absent: input 1 names them. A squeeze with neither removes every axis of length 1.
    pub axes: Option<Vec<i64>>,
}

/// Attributes of [`super::Op::Reshape`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReshapeAttrs {
    /// A 0 in the shape means 0 rather than "as in the input".
    pub allow_zero: bool,
}

/// Attributes of [`super::Op::Transpose`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TransposeAttrs {
    /// Output axis `i` is input axis `perm[i]`; absent: reversed.
    pub perm: Option<Vec<usize>>,
}

/// Attributes of [`super::Op::Split`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitAttrs {
    /// The axis.
    pub axis: i64,
    /// Lengths of the parts; absent: input 1 names them, or equal parts (the last one smaller) where there is none.
    pub sizes: Option<Vec<usize>>,
}

/// How [`super::Op::Pad`] fills.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PadMode {
    /// With a value.
    Constant,
    /// Mirrored without the edge.
    Reflect,
    /// With the edge.
    Edge,
    /// Around.
    Wrap,
}

/// Attributes of [`super::Op::Pad`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PadAttrs {
    /// How to fill.
    pub mode: PadMode,
}

/// How [`super::Op::Resize`] interpolates.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ResizeMode {
    /// The nearest element.
    Nearest(Nearest),
    /// Linearly along each axis.
    Linear,
    /// By cubic convolution with this coefficient.
    Cubic {
        /// The coefficient a, usually -0.75.
        a: f32,
    },
}

/// Which element is nearest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Nearest {
    /// Round, halves down.
    RoundPreferFloor,
    /// Round, halves up.
    RoundPreferCeil,
    /// Down.
    Floor,
    /// Up.
    Ceil,
}

/// How output coordinates map to input ones in [`super::Op::Resize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Coordinates {
    /// `(x + 0.5) / scale - 0.5`.
    HalfPixel,
    /// As `HalfPixel`, but symmetric where the output length is rounded.
    HalfPixelSymmetric,
    /// As `HalfPixel`, but 0 for an output of length 1.
    PytorchHalfPixel,
    /// `x * (in - 1) / (out - 1)`.
    AlignCorners,
    /// `x / scale`.
    Asymmetric,
    /// `(x + 0.5) / scale`: TensorFlow 1's nearest neighbour.
    TfHalfPixelForNn,
    /// Within the region of interest.
    TfCropAndResize,
}

/// How [`super::Op::Resize`] treats the ratio of the axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AspectPolicy {
    /// Each axis gets the size asked for.
    Stretch,
    /// No axis is larger than asked for.
    NotLarger,
    /// No axis is smaller than asked for.
    NotSmaller,
}

/// Attributes of [`super::Op::Resize`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResizeAttrs {
    /// Interpolation.
    pub mode: ResizeMode,
    /// Coordinates.
    pub coordinates: Coordinates,
    /// Low-pass filter when shrinking.
    pub antialias: bool,
    /// Leave samples outside the input out of the cubic weights.
    pub exclude_outside: bool,
    /// Value outside the region of interest.
    pub extrapolation: f32,
    /// The axes that `scales`, `sizes` and `roi` speak of; absent: all.
    pub axes: Option<Vec<i64>>,
    /// Ratio of the axes, when `sizes` is given.
    pub aspect: AspectPolicy,
}

/// How [`super::Op::GridSample`] interpolates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum GridMode {
    Linear,
    Nearest,
    Cubic,
}

/// What [`super::Op::GridSample`] reads outside its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum GridPadding {
    Zeros,
    Border,
    Reflection,
}

/// Attributes of [`super::Op::GridSample`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GridSampleAttrs {
    /// Interpolation.
    pub mode: GridMode,
    /// Outside.
    pub padding: GridPadding,
    /// -1 and 1 are the centres of the corner pixels rather than their edges.
    pub align_corners: bool,
}

/// Attributes of [`super::Op::DepthToSpace`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DepthToSpaceAttrs {
    /// Block edge.
    pub block: usize,
    /// Channels are `[C, b, b]` rather than `[b, b, C]`.
    pub column_row_depth: bool,
}

/// Attributes of [`super::Op::SpaceToDepth`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpaceToDepthAttrs {
    /// Block edge.
    pub block: usize,
}

/// Attributes of [`super::Op::ChannelShuffle`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChannelShuffleAttrs {
    /// Groups; divides the channels.
    pub groups: usize,
}

/// Attributes of [`super::Op::GatherNd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatherNdAttrs {
    /// Leading axes shared by data and indices.
    pub batch_dims: usize,
}

/// What scattering does where an element is already there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum ScatterReduction {
    Replace,
    Add,
    Mul,
    Min,
    Max,
}

/// Attributes of [`super::Op::ScatterElements`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScatterAttrs {
    /// The axis.
    pub axis: i64,
    /// What is done with what is there.
    pub reduction: ScatterReduction,
}

/// Attributes of [`super::Op::ScatterNd`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScatterNdAttrs {
    /// What is done with what is there.
    pub reduction: ScatterReduction,
}

/// Attributes of [`super::Op::Compress`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CompressAttrs {
    /// The axis; absent: the input is taken flat.
    pub axis: Option<i64>,
}

/// Attributes of [`super::Op::ReverseSequence`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReverseSequenceAttrs {
    /// Axis of the batch: 0 or 1.
    pub batch_axis: usize,
    /// Axis of time: the other one.
    pub time_axis: usize,
}

/// Attributes of [`super::Op::Trilu`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriluAttrs {
    /// Keep the upper rather than the lower triangle.
    pub upper: bool,
}

/// Attributes of [`super::Op::ConstantOfShape`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConstantOfShapeAttrs {
    /// The element type.
    pub dtype: DType,
    /// The value, widened (64-bit integers beyond 2^53 are not representable).
    pub value: f64,
}

/// Attributes of [`super::Op::Shape`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShapeAttrs {
    /// First axis; clamped to the rank.
    pub start: i64,
    /// One past the last axis; absent: the rank.
    pub end: Option<i64>,
}

/// Attributes of [`super::Op::EyeLike`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct EyeLikeAttrs {
    /// The element type.
    pub dtype: DType,
    /// The diagonal: 0 is the main one, positive above.
    pub k: i64,
}
