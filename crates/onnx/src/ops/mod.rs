//! The operators: one table from names to functions that translate a node.

mod conv;
mod elementwise;
mod index;
mod norm;
mod pool;
mod quant;
mod recurrent;
mod resize;
mod shape;

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
pub(crate) const OPSETS: RangeInclusive<i64> = 7..=27;

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
    row("Conv", 7, conv::conv),
    row("ConvTranspose", 7, conv::conv_transpose),
    row("Gemm", 7, conv::gemm),
    row("MatMul", 7, conv::matmul),
    row("Einsum", 12, conv::einsum),
    // Pooling
    row("MaxPool", 7, pool::max_pool),
    row("AveragePool", 7, pool::average_pool),
    row("LpPool", 7, pool::lp_pool),
    row("GlobalMaxPool", 7, pool::global_pool),
    row("GlobalAveragePool", 7, pool::global_pool),
    row("GlobalLpPool", 7, pool::global_pool),
    row("MaxUnpool", 9, pool::max_unpool),
    row("RoiAlign", 10, pool::roi_align),
    // Activations
    row("Relu", 7, elementwise::activation),
    row("LeakyRelu", 7, elementwise::activation),
    row("ThresholdedRelu", 10, elementwise::activation),
    row("Sigmoid", 7, elementwise::activation),
    row("Tanh", 7, elementwise::activation),
    row("HardSigmoid", 7, elementwise::activation),
    row("HardSwish", 14, elementwise::activation),
    row("Swish", 24, elementwise::activation),
    row("Gelu", 20, elementwise::activation),
    row("Elu", 7, elementwise::activation),
    row("Selu", 7, elementwise::activation),
    row("Celu", 12, elementwise::activation),
    row("Softplus", 7, elementwise::activation),
    row("Softsign", 7, elementwise::activation),
    row("Mish", 18, elementwise::activation),
    row("Shrink", 9, elementwise::activation),
    row("Clip", 7, elementwise::clip),
    // Functions of one number
    row("Abs", 7, elementwise::unary),
    row("Neg", 7, elementwise::unary),
    row("Exp", 7, elementwise::unary),
    row("Log", 7, elementwise::unary),
    row("Sqrt", 7, elementwise::unary),
    row("Reciprocal", 7, elementwise::unary),
    row("Floor", 7, elementwise::unary),
    row("Ceil", 7, elementwise::unary),
    row("Round", 11, elementwise::unary),
    row("Sign", 9, elementwise::unary),
    row("Erf", 9, elementwise::unary),
    row("Sin", 7, elementwise::unary),
    row("Cos", 7, elementwise::unary),
    row("Tan", 7, elementwise::unary),
    row("Asin", 7, elementwise::unary),
    row("Acos", 7, elementwise::unary),
    row("Atan", 7, elementwise::unary),
    row("Sinh", 9, elementwise::unary),
    row("Cosh", 9, elementwise::unary),
    row("Asinh", 9, elementwise::unary),
    row("Acosh", 9, elementwise::unary),
    row("Atanh", 9, elementwise::unary),
    row("Not", 7, elementwise::unary),
    row("BitwiseNot", 18, elementwise::unary),
    row("IsNaN", 9, elementwise::unary),
    row("IsInf", 10, elementwise::unary),
    // Functions of two numbers, and of more
    row("Add", 7, elementwise::binary),
    row("Sub", 7, elementwise::binary),
    row("Mul", 7, elementwise::binary),
    row("Div", 7, elementwise::binary),
    row("Pow", 7, elementwise::pow),
    row("Mod", 10, elementwise::binary),
    row("PRelu", 7, elementwise::binary),
    row("And", 7, elementwise::binary),
    row("Or", 7, elementwise::binary),
    row("Xor", 7, elementwise::binary),
    row("BitShift", 11, elementwise::binary),
    row("BitwiseAnd", 18, elementwise::binary),
    row("BitwiseOr", 18, elementwise::binary),
    row("BitwiseXor", 18, elementwise::binary),
    row("Equal", 7, elementwise::binary),
    row("Greater", 7, elementwise::binary),
    row("GreaterOrEqual", 12, elementwise::binary),
    row("Less", 7, elementwise::binary),
    row("LessOrEqual", 12, elementwise::binary),
    row("Min", 7, elementwise::variadic),
    row("Max", 7, elementwise::variadic),
    row("Sum", 7, elementwise::variadic),
    row("Mean", 7, elementwise::variadic),
    row("Where", 9, elementwise::select),
    row("Cast", 7, elementwise::cast),
    row("CastLike", 15, elementwise::cast_like),
    row("Identity", 7, elementwise::identity),
    row("Dropout", 7, elementwise::dropout),
    // Constants and shapes
    row("Constant", 7, shape::constant),
    row("ConstantOfShape", 9, shape::constant_of_shape),
    row("EyeLike", 9, shape::eye_like),
    row("Range", 11, shape::plain),
    row("Shape", 7, shape::shape_of),
    row("Size", 7, shape::plain),
    // Movement
    row("Reshape", 7, shape::reshape),
    row("Flatten", 7, shape::flatten),
    row("Squeeze", 7, shape::squeeze),
    row("Unsqueeze", 7, shape::squeeze),
    row("Transpose", 7, shape::transpose),
    row("Concat", 7, shape::concat),
    row("Split", 7, shape::split),
    row("Slice", 7, shape::slice),
    row("Pad", 7, shape::pad),
    row("Expand", 8, shape::plain),
    row("Tile", 7, shape::plain),
    row("DepthToSpace", 7, shape::space),
    row("SpaceToDepth", 7, shape::space),
    row("Trilu", 14, shape::trilu),
    row("ReverseSequence", 10, shape::reverse_sequence),
    row("Resize", 10, resize::resize),
    old("Upsample", 7, 9, resize::upsample),
    row("GridSample", 16, resize::grid_sample),
    // Indexing and order
    row("Gather", 7, index::gather),
    row("GatherElements", 11, index::gather),
    row("GatherND", 11, index::gather_nd),
    old("Scatter", 9, 10, index::scatter_elements),
    row("ScatterElements", 11, index::scatter_elements),
    row("ScatterND", 11, index::scatter_nd),
    row("OneHot", 9, index::one_hot),
    row("NonZero", 9, shape::plain),
    row("TopK", 7, index::top_k),
    row("ArgMax", 7, norm::arg_reduce),
    row("ArgMin", 7, norm::arg_reduce),
    row("CumSum", 11, index::cum_sum),
    row("Compress", 9, index::compress),
    row("Unique", 11, index::unique),
    row("NonMaxSuppression", 10, index::non_max_suppression),
    // Reductions
    row("ReduceSum", 7, norm::reduce),
    row("ReduceMean", 7, norm::reduce),
    row("ReduceMax", 7, norm::reduce),
    row("ReduceMin", 7, norm::reduce),
    row("ReduceProd", 7, norm::reduce),
    row("ReduceL1", 7, norm::reduce),
    row("ReduceL2", 7, norm::reduce),
    row("ReduceSumSquare", 7, norm::reduce),
    row("ReduceLogSum", 7, norm::reduce),
    row("ReduceLogSumExp", 7, norm::reduce),
    // Normalisation
    row("Softmax", 7, norm::softmax),
    row("LogSoftmax", 7, norm::softmax),
    row("Hardmax", 7, norm::softmax),
    row("BatchNormalization", 7, norm::batch_norm),
    row("InstanceNormalization", 7, norm::instance_norm),
    row("LayerNormalization", 17, norm::layer_norm),
    row("GroupNormalization", 18, norm::group_norm),
    row("RMSNormalization", 23, norm::layer_norm),
    row("LRN", 7, norm::lrn),
    row("LpNormalization", 7, norm::lp_norm),
    row("MeanVarianceNormalization", 9, norm::mean_variance),
    // Recurrent
    row("LSTM", 7, recurrent::recurrent),
    row("GRU", 7, recurrent::recurrent),
    row("RNN", 7, recurrent::recurrent),
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
