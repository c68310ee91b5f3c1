//! The operators: one table from names to functions that translate a node.

mod attention;
mod conv;
mod custom;
mod elementwise;
mod index;
mod norm;
mod pool;
mod quant;
mod recurrent;
mod resize;
mod shape;

pub(crate) use custom::custom;

use crate::cx::{Cx, Outputs};
use std::ops::RangeInclusive;

/// Translates one node.
pub(crate) type Translate = fn(&mut Cx<'_, '_>) -> Outputs;

/// One row of the table.
pub(crate) struct Row {
    pub(crate) domain: &'static str,
    pub(crate) op: &'static str,
    pub(crate) since: i64,
    pub(crate) until: i64,
    pub(crate) translate: Translate,
}

/// The oldest and newest version of ONNX's own operators that are known here.
pub(crate) const OPSETS: RangeInclusive<i64> = 6..=27;

const fn row(op: &'static str, since: i64, translate: Translate) -> Row {
    Row { domain: "", op, since, until: *OPSETS.end(), translate }
}

const fn old(op: &'static str, since: i64, until: i64, translate: Translate) -> Row {
    Row { domain: "", op, since, until, translate }
}

const fn microsoft(op: &'static str, translate: Translate) -> Row {
    Row { domain: "com.microsoft", op, since: 1, until: 1, translate }
}

static TABLE: &[Row] = &[
    // Dense arithmetic
    row("Conv", 6, conv::conv),
    row("ConvTranspose", 6, conv::conv_transpose),
    row("Gemm", 6, conv::gemm),
    row("MatMul", 6, conv::matmul),
    row("Einsum", 12, conv::einsum),
    // Pooling
    row("MaxPool", 6, pool::max_pool),
    row("AveragePool", 6, pool::average_pool),
    row("LpPool", 6, pool::lp_pool),
    row("GlobalMaxPool", 6, pool::global_pool),
    row("GlobalAveragePool", 6, pool::global_pool),
    row("GlobalLpPool", 6, pool::global_pool),
    row("MaxUnpool", 9, pool::max_unpool),
    row("RoiAlign", 10, pool::roi_align),
    // Activations
    row("Relu", 6, elementwise::activation),
    row("LeakyRelu", 6, elementwise::activation),
    row("ThresholdedRelu", 10, elementwise::activation),
    row("Sigmoid", 6, elementwise::activation),
    row("Tanh", 6, elementwise::activation),
    row("HardSigmoid", 6, elementwise::activation),
    row("HardSwish", 14, elementwise::activation),
    row("Swish", 24, elementwise::activation),
    row("Gelu", 20, elementwise::activation),
    row("Elu", 6, elementwise::activation),
    row("Selu", 6, elementwise::activation),
    row("Celu", 12, elementwise::activation),
    row("Softplus", 6, elementwise::activation),
    row("Softsign", 6, elementwise::activation),
    row("Mish", 18, elementwise::activation),
    row("Shrink", 9, elementwise::activation),
    row("Clip", 6, elementwise::clip),
    // Functions of one number
    row("Abs", 6, elementwise::unary),
    row("Neg", 6, elementwise::unary),
    row("Exp", 6, elementwise::unary),
    row("Log", 6, elementwise::unary),
    row("Sqrt", 6, elementwise::unary),
    row("Reciprocal", 6, elementwise::unary),
    row("Floor", 6, elementwise::unary),
    row("Ceil", 6, elementwise::unary),
    row("Round", 11, elementwise::unary),
    row("Sign", 9, elementwise::unary),
    row("Erf", 9, elementwise::unary),
    row("Sin", 6, elementwise::unary),
    row("Cos", 6, elementwise::unary),
    row("Tan", 6, elementwise::unary),
    row("Asin", 6, elementwise::unary),
    row("Acos", 6, elementwise::unary),
    row("Atan", 6, elementwise::unary),
    row("Sinh", 9, elementwise::unary),
    row("Cosh", 9, elementwise::unary),
    row("Asinh", 9, elementwise::unary),
    row("Acosh", 9, elementwise::unary),
    row("Atanh", 9, elementwise::unary),
    row("Not", 6, elementwise::unary),
    row("BitwiseNot", 18, elementwise::unary),
    row("IsNaN", 9, elementwise::unary),
    row("IsInf", 10, elementwise::unary),
    // Functions of two numbers, and of more
    row("Add", 6, elementwise::binary),
    row("Sub", 6, elementwise::binary),
    row("Mul", 6, elementwise::binary),
    row("Div", 6, elementwise::binary),
    row("Pow", 6, elementwise::pow),
    row("Mod", 10, elementwise::binary),
    row("PRelu", 6, elementwise::binary),
    row("And", 6, elementwise::binary),
    row("Or", 6, elementwise::binary),
    row("Xor", 6, elementwise::binary),
    row("BitShift", 11, elementwise::binary),
    row("BitwiseAnd", 18, elementwise::binary),
    row("BitwiseOr", 18, elementwise::binary),
    row("BitwiseXor", 18, elementwise::binary),
    row("Equal", 6, elementwise::binary),
    row("Greater", 6, elementwise::binary),
    row("GreaterOrEqual", 12, elementwise::binary),
    row("Less", 6, elementwise::binary),
    row("LessOrEqual", 12, elementwise::binary),
    row("Min", 6, elementwise::variadic),
    row("Max", 6, elementwise::variadic),
    row("Sum", 6, elementwise::variadic),
    row("Mean", 6, elementwise::variadic),
    row("Where", 9, elementwise::select),
    row("Cast", 6, elementwise::cast),
    row("CastLike", 15, elementwise::cast_like),
    row("Identity", 6, elementwise::identity),
    row("Dropout", 6, elementwise::dropout),
    // Constants and shapes
    row("Constant", 6, shape::constant),
    row("ConstantOfShape", 9, shape::constant_of_shape),
    row("EyeLike", 9, shape::eye_like),
    row("Range", 11, shape::plain),
    row("Shape", 6, shape::shape_of),
    row("Size", 6, shape::plain),
    // Movement
    row("Reshape", 6, shape::reshape),
    row("Flatten", 6, shape::flatten),
    row("Squeeze", 6, shape::squeeze),
    row("Unsqueeze", 6, shape::squeeze),
    row("Transpose", 6, shape::transpose),
    row("Concat", 6, shape::concat),
    row("Split", 6, shape::split),
    row("Slice", 6, shape::slice),
    row("Pad", 6, shape::pad),
    row("Expand", 8, shape::plain),
    row("Tile", 6, shape::plain),
    row("DepthToSpace", 6, shape::space),
    row("SpaceToDepth", 6, shape::space),
    row("Trilu", 14, shape::trilu),
    row("ReverseSequence", 10, shape::reverse_sequence),
    row("Resize", 10, resize::resize),
    old("Upsample", 7, 9, resize::upsample),
    row("GridSample", 16, resize::grid_sample),
    // Indexing and order
    row("Gather", 6, index::gather),
    row("GatherElements", 11, index::gather),
    row("GatherND", 11, index::gather_nd),
    old("Scatter", 9, 10, index::scatter_elements),
    row("ScatterElements", 11, index::scatter_elements),
    row("ScatterND", 11, index::scatter_nd),
    row("OneHot", 9, index::one_hot),
    row("NonZero", 9, shape::plain),
    row("TopK", 6, index::top_k),
    row("ArgMax", 6, norm::arg_reduce),
    row("ArgMin", 6, norm::arg_reduce),
    row("CumSum", 11, index::cum_sum),
    row("Compress", 9, index::compress),
    row("Unique", 11, index::unique),
    row("NonMaxSuppression", 10, index::non_max_suppression),
    // Reductions
    row("ReduceSum", 6, norm::reduce),
    row("ReduceMean", 6, norm::reduce),
    row("ReduceMax", 6, norm::reduce),
    row("ReduceMin", 6, norm::reduce),
    row("ReduceProd", 6, norm::reduce),
    row("ReduceL1", 6, norm::reduce),
    row("ReduceL2", 6, norm::reduce),
    row("ReduceSumSquare", 6, norm::reduce),
    row("ReduceLogSum", 6, norm::reduce),
    row("ReduceLogSumExp", 6, norm::reduce),
    // Normalisation
    row("Softmax", 6, norm::softmax),
    row("LogSoftmax", 6, norm::softmax),
    row("Hardmax", 6, norm::softmax),
    row("BatchNormalization", 6, norm::batch_norm),
    row("InstanceNormalization", 6, norm::instance_norm),
    row("LayerNormalization", 17, norm::layer_norm),
    row("GroupNormalization", 18, norm::group_norm),
    row("RMSNormalization", 23, norm::layer_norm),
    row("LRN", 6, norm::lrn),
    row("LpNormalization", 6, norm::lp_norm),
    row("MeanVarianceNormalization", 9, norm::mean_variance),
    // Attention
    row("Attention", 23, attention::attention),
    row("RotaryEmbedding", 23, attention::rotary_embedding),
    // Recurrent
    row("LSTM", 6, recurrent::recurrent),
    row("GRU", 6, recurrent::recurrent),
    row("RNN", 6, recurrent::recurrent),
    // Quantisation
    row("QuantizeLinear", 10, quant::quantize),
    row("DequantizeLinear", 10, quant::dequantize),
    row("DynamicQuantizeLinear", 11, quant::dynamic_quantize),
    row("QLinearConv", 10, quant::qlinear_conv),
    row("QLinearMatMul", 10, quant::qlinear_matmul),
    row("MatMulInteger", 10, quant::matmul_integer),
    row("ConvInteger", 10, quant::conv_integer),
    // Extensions that common exporters emit
    microsoft("Gelu", elementwise::activation),
    microsoft("QuickGelu", elementwise::activation),
    microsoft("QuantizeLinear", quant::quantize),
    microsoft("DequantizeLinear", quant::dequantize),
];

/// The row of an operator at a version of its domain, or why there is none.
pub(crate) fn find(domain: &str, op: &str, opset: i64) -> Result<&'static Row, String> {
    let mut rows = TABLE.iter().filter(|r| r.domain == domain && r.op == op).peekable();
    let Some(first) = rows.peek().copied() else { return Err("the operator is not implemented".into()) };
    rows.find(|r| (r.since..=r.until).contains(&opset))
        .ok_or_else(|| format!("implemented for versions {} to {} of the operator set only", first.since, first.until))
}

/// Whether some operator of that domain is known.
pub(crate) fn knows_domain(domain: &str) -> bool {
    TABLE.iter().any(|r| r.domain == domain)
}

/// Every operator that can be imported: its domain (empty for ONNX's own), its name, and the versions of the operator
/// set from which and up to which.
pub fn supported_ops() -> Vec<(&'static str, &'static str, RangeInclusive<i64>)> {
    TABLE.iter().map(|r| (r.domain, r.op, r.since..=r.until)).collect()
}
