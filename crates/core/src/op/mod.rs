//! The closed set of operators.
//!
//! Operators are semantic, not shaped after any file format: a ReLU6 is `Activation(Clamp)`, a matrix product with
//! constant weights is `Dense`. All spatial attributes have one entry per spatial axis. Axes may be negative, counted
//! from the back, as long as the rank may be unknown; [`crate::normalize_axis`] resolves them.

mod conv;
mod custom;
mod data;
mod einsum;
mod elementwise;
mod epilogue;
mod norm;
mod recurrent;

pub use conv::*;
pub use custom::*;
pub use data::*;
pub use einsum::*;
pub use elementwise::*;
pub use epilogue::*;
pub use norm::*;
pub use recurrent::*;

use crate::DType;
use serde::{Deserialize, Serialize};

/// One operator with its attributes. The comment of each names its inputs in order; those in brackets may be absent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Op {
    // ---- dense arithmetic
    /// Convolution (a correlation, as networks have it). `x [N, C, spatial...]`, `w [M, C/group, kernel...]`.
    Conv(ConvAttrs),
    /// The same of bytes less their zero points, summed modulo 2^32; what pads counts as the zero point. `x`, `w`,
    /// `[x_zero]` (one number), `[w_zero]` (one number or one for each output channel), `[scale]` (of `f32`, likewise). The
    /// output is `i32`; with a scale it is `f32`, the sums times that.
    ConvInteger(ConvAttrs),
    /// Transposed convolution. `x [N, C, spatial...]`, `w [C, M/group, kernel...]`.
    ConvTranspose(ConvTransposeAttrs),
    /// Product with a constant matrix. `x [..., K]`, `w [K, N]` (or `[N, K]` with `transposed`).
    Dense(DenseAttrs),
    /// Batched matrix product by the rules of NumPy's `matmul`. `a`, `b`.
    MatMul,
    /// The same of bytes less their zero points, summed modulo 2^32. `a`, `b`, `[a_zero]` (one number, one for each row,
    /// or of the shape `[..., M, 1]`), `[b_zero]` (one number, one for each column, or of the shape `[..., 1, N]`),
    /// `[scale]` (of `f32`, one number or one for each column). The output is `i32`; with a scale it is `f32`, the sums
    /// times that.
    MatMulInteger,
    /// Sum of products by an equation such as `bij,bjk->bik`. One or more inputs.
    Einsum(EinsumAttrs),

    // ---- pooling
    /// Max, average or Lp pooling over windows. `x`. Max pooling has a second output: the flat index of each maximum.
    Pool(PoolAttrs),
    /// Max, average or Lp over all spatial axes, which become 1. `x [N, C, spatial...]`.
    GlobalPool(GlobalPool),
    /// Puts each element at the place an index names, zeros elsewhere. `x`, `indices`, `[output_shape]`.
    MaxUnpool(MaxUnpoolAttrs),
    /// Pools regions of interest by bilinear sampling. `x`, `rois`, `batch_indices`.
    RoiAlign(RoiAlignAttrs),

    // ---- elementwise
    /// A function of one number. `x`.
    Unary(Unary),
    /// A function of one number that networks use as a non-linearity. `x`.
    Activation(Act),
    /// A function of two numbers, broadcast. `a`, `b`.
    Binary(Binary),
    /// `condition`, `x`, `y`: broadcast, `x` where the condition holds, else `y`.
    Where,
    /// Converts the element type. `x`.
    Cast(CastAttrs),
    /// Real numbers to integers. `x`, `scale`, `[zero_point]`.
    QuantizeLinear(QuantizeAttrs),
    /// Integers to real numbers. `x`, `scale`, `[zero_point]`.
    DequantizeLinear(QuantizeAttrs),
    /// Numbers of `f32` to `u8` by their own range, to which 0 always belongs. `x`. Outputs the bytes, `[scale]` (1 where
    /// the range is 0), `[zero_point]`. What is not a number does not count for the range, and becomes 0.
    DynamicQuantizeLinear,

    // ---- normalisation
    /// Per-channel `scale * (x - mean) / sqrt(var + epsilon) + bias`. `x`, `scale`, `bias`, `mean`, `var`.
    BatchNorm(BatchNormAttrs),
    /// Normalises each sample and channel over its spatial axes. `x`, `scale`, `bias`.
    InstanceNorm(BatchNormAttrs),
    /// Normalises each sample over groups of channels. `x`, `scale`, `bias` (one entry per channel).
    GroupNorm(GroupNormAttrs),
    /// Normalises over the axes from `axis` on. `x`, `[scale]`, `[bias]`. Outputs `y`, `[mean]`, `[1/deviation]`.
    LayerNorm(LayerNormAttrs),
    /// Local response normalisation across channels. `x`.
    Lrn(LrnAttrs),
    /// Divides by the Lp norm along one axis. `x`.
    LpNorm(LpNormAttrs),
    /// Softmax, its logarithm, or the indicator of the maximum. `x`.
    Softmax(SoftmaxAttrs),

    // ---- reductions and order
    /// Reduces over axes. `x`, `[axes]` (where not an attribute).
    Reduce(ReduceAttrs),
    /// Index of the largest or smallest element along an axis. `x`.
    ArgReduce(ArgReduceAttrs),
    /// Running sum. `x`, `axis` (a scalar).
    CumSum(CumSumAttrs),
    /// The k largest or smallest along an axis. `x`, `k`. Outputs values and indices.
    TopK(TopKAttrs),
    /// The distinct elements. `x`. Outputs `y`, `[first indices]`, `[inverse]`, `[counts]`. Shape depends on data.
    Unique(UniqueAttrs),
    /// Boxes that survive non-maximum suppression. `boxes`, `scores`, `[max_output]`, `[iou]`, `[score]`.
    /// Shape depends on data.
    NonMaxSuppression(NmsAttrs),

    // ---- shape and movement
    /// The same elements under another shape. `x`, `shape`.
    Reshape(ReshapeAttrs),
    /// Removes axes of length 1. `x`, `[axes]`.
    Squeeze(AxesAttrs),
    /// Inserts axes of length 1. `x`, `[axes]`.
    Unsqueeze(AxesAttrs),
    /// Two dimensions: those before `axis` and those from it on. `x`.
    Flatten(AxisAttrs),
    /// Reorders axes. `x`.
    Transpose(TransposeAttrs),
    /// Joins along an axis. One or more inputs.
    Concat(AxisAttrs),
    /// Cuts along an axis into as many parts as there are outputs. `x`, `[sizes]`.
    Split(SplitAttrs),
    /// `x`, `starts`, `ends`, `[axes]`, `[steps]`.
    Slice,
    /// `x`, `pads` (all begins, then all ends), `[value]`, `[axes]`.
    Pad(PadAttrs),
    /// Broadcasts to a shape. `x`, `shape`.
    Expand,
    /// Repeats. `x`, `repeats`.
    Tile,
    /// Interpolates. `x`, `[roi]`, `[scales]`, `[sizes]`.
    Resize(ResizeAttrs),
    /// Samples at computed places. `x`, `grid`.
    GridSample(GridSampleAttrs),
    /// Moves blocks of channels into space. `x`.
    DepthToSpace(DepthToSpaceAttrs),
    /// Moves blocks of space into channels. `x`.
    SpaceToDepth(SpaceToDepthAttrs),
    /// Views axis 1 as `[groups, C/groups]` and swaps the two. `x`.
    ChannelShuffle(ChannelShuffleAttrs),
    /// Picks along an axis. `x`, `indices`.
    Gather(AxisAttrs),
    /// Picks single elements along an axis. `x`, `indices`.
    GatherElements(AxisAttrs),
    /// Picks slices by index tuples. `x`, `indices`.
    GatherNd(GatherNdAttrs),
    /// Puts single elements along an axis. `x`, `indices`, `updates`.
    ScatterElements(ScatterAttrs),
    /// Puts slices by index tuples. `x`, `indices`, `updates`.
    ScatterNd(ScatterNdAttrs),
    /// `indices`, `depth`, `values [off, on]`.
    OneHot(AxisAttrs),
    /// Coordinates of the elements that are not zero. `x`. Shape depends on data.
    NonZero,
    /// Picks the slices whose condition holds. `x`, `condition`. Shape depends on data.
    Compress(CompressAttrs),
    /// Reverses the first `lengths[i]` elements of each sequence. `x`, `lengths`.
    ReverseSequence(ReverseSequenceAttrs),
    /// Keeps the upper or lower triangle. `x`, `[k]`.
    Trilu(TriluAttrs),
    /// `start`, `limit`, `delta`.
    Range,
    /// A constant value in a shape. `shape`.
    ConstantOfShape(ConstantOfShapeAttrs),
    /// The dimensions of a tensor. `x`.
    Shape(ShapeAttrs),
    /// The number of elements. `x`.
    Size,
    /// Ones on a diagonal. `x` (only its shape matters).
    EyeLike(EyeLikeAttrs),
    /// The same value. `x`.
    Identity,

    // ---- recurrent
    /// LSTM, GRU or plain recurrence. See [`RecurrentAttrs`].
    Recurrent(RecurrentAttrs),

    // ---- everything else
    /// An operator that the user brings a kernel and a shape function for.
    Custom(CustomAttrs),
}

impl Op {
    /// The bare name, such as `Conv`.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Conv(_) => "Conv",
            Op::ConvInteger(_) => "ConvInteger",
            Op::ConvTranspose(_) => "ConvTranspose",
            Op::Dense(_) => "Dense",
            Op::MatMul => "MatMul",
            Op::MatMulInteger => "MatMulInteger",
            Op::Einsum(_) => "Einsum",
            Op::Pool(_) => "Pool",
            Op::GlobalPool(_) => "GlobalPool",
            Op::MaxUnpool(_) => "MaxUnpool",
            Op::RoiAlign(_) => "RoiAlign",
            Op::Unary(_) => "Unary",
            Op::Activation(_) => "Activation",
            Op::Binary(_) => "Binary",
            Op::Where => "Where",
            Op::Cast(_) => "Cast",
            Op::QuantizeLinear(_) => "QuantizeLinear",
            Op::DequantizeLinear(_) => "DequantizeLinear",
            Op::DynamicQuantizeLinear => "DynamicQuantizeLinear",
            Op::BatchNorm(_) => "BatchNorm",
            Op::InstanceNorm(_) => "InstanceNorm",
            Op::GroupNorm(_) => "GroupNorm",
            Op::LayerNorm(_) => "LayerNorm",
            Op::Lrn(_) => "Lrn",
            Op::LpNorm(_) => "LpNorm",
            Op::Softmax(_) => "Softmax",
            Op::Reduce(_) => "Reduce",
            Op::ArgReduce(_) => "ArgReduce",
            Op::CumSum(_) => "CumSum",
            Op::TopK(_) => "TopK",
            Op::Unique(_) => "Unique",
            Op::NonMaxSuppression(_) => "NonMaxSuppression",
            Op::Reshape(_) => "Reshape",
            Op::Squeeze(_) => "Squeeze",
            Op::Unsqueeze(_) => "Unsqueeze",
            Op::Flatten(_) => "Flatten",
            Op::Transpose(_) => "Transpose",
            Op::Concat(_) => "Concat",
            Op::Split(_) => "Split",
            Op::Slice => "Slice",
            Op::Pad(_) => "Pad",
            Op::Expand => "Expand",
            Op::Tile => "Tile",
            Op::Resize(_) => "Resize",
            Op::GridSample(_) => "GridSample",
            Op::DepthToSpace(_) => "DepthToSpace",
            Op::SpaceToDepth(_) => "SpaceToDepth",
            Op::ChannelShuffle(_) => "ChannelShuffle",
            Op::Gather(_) => "Gather",
            Op::GatherElements(_) => "GatherElements",
            Op::GatherNd(_) => "GatherNd",
            Op::ScatterElements(_) => "ScatterElements",
            Op::ScatterNd(_) => "ScatterNd",
            Op::OneHot(_) => "OneHot",
            Op::NonZero => "NonZero",
            Op::Compress(_) => "Compress",
            Op::ReverseSequence(_) => "ReverseSequence",
            Op::Trilu(_) => "Trilu",
            Op::Range => "Range",
            Op::ConstantOfShape(_) => "ConstantOfShape",
            Op::Shape(_) => "Shape",
            Op::Size => "Size",
            Op::EyeLike(_) => "EyeLike",
            Op::Identity => "Identity",
            Op::Recurrent(_) => "Recurrent",
            Op::Custom(_) => "Custom",
        }
    }

    /// Inputs whose *values* decide an output shape: they must be known before the node can be planned.
    pub fn shape_operands(&self) -> &'static [usize] {
        match self {
            Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Expand | Op::Tile | Op::TopK(_) => &[1],
            Op::Reduce(_) | Op::Split(_) | Op::OneHot(_) => &[1],
            Op::Slice => &[1, 2, 3, 4],
            Op::Pad(_) => &[1, 3],
            Op::Resize(_) => &[1, 2, 3],
            Op::Range => &[0, 1, 2],
            Op::ConstantOfShape(_) => &[0],
            Op::MaxUnpool(_) => &[2],
            _ => &[],
        }
    }

    /// Whether an output shape depends on the elements of an input that is not a
    /// [shape operand](Op::shape_operands).
    pub fn is_data_dependent(&self) -> bool {
        matches!(self, Op::NonZero | Op::Compress(_) | Op::Unique(_) | Op::NonMaxSuppression(_))
    }

    /// Whether the op computes with the real numbers that its operands stand for, so that quantised ones (see
    /// [`crate::Quant`]) are taken as `f32`. All others move elements about, or are about the integers themselves.
    pub fn reads_reals(&self) -> bool {
        match self {
            Op::Pool(a) => a.kind != PoolKind::Max,
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Dense(_) | Op::MatMul | Op::Einsum(_) | Op::GlobalPool(_) => true,
            Op::Unary(_) | Op::Activation(_) | Op::Binary(_) | Op::Reduce(_) | Op::Softmax(_) | Op::Resize(_) => true,
            Op::BatchNorm(_) | Op::InstanceNorm(_) | Op::GroupNorm(_) | Op::LayerNorm(_) | Op::Lrn(_) => true,
            _ => false,
        }
    }

    /// Whether the op only gives the elements of input 0, unmoved, another shape.
    pub fn is_view(&self) -> bool {
        matches!(self, Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Flatten(_) | Op::Identity)
    }
}

/// Attributes of [`Op::Cast`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct CastAttrs {
    /// The type of the output. Float to integer truncates toward zero; out of range saturates; NaN becomes 0.
    pub to: DType,
}

/// Attributes of [`Op::QuantizeLinear`] and [`Op::DequantizeLinear`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantizeAttrs {
    /// The axis of a per-axis scale; ignored for a scalar one.
    pub axis: i64,
    /// The integer type (quantising) or the float type (dequantising) of the output.
    pub to: DType,
}
