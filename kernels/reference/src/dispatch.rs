//! From an operator to its function: the one place that names them all.

use crate::epilogue::with_epilogue;
use crate::io::{Built, KernelResult};
use crate::{conv, elementwise as el, matmul, movement as mv, pool};
use paring_core::Op;
use paring_kernel::Problem;

/// Checks a problem and binds its function to it, epilogue included.
pub(crate) fn build(p: &Problem) -> KernelResult<Built> {
    with_epilogue(p, build_op)
}

fn build_op(p: &Problem) -> KernelResult<Built> {
    match &p.op {
        Op::Conv(a) => conv::conv(p, a),
        Op::ConvTranspose(a) => conv::conv_transpose(p, a),
        Op::Dense(a) => matmul::dense(p, a),
        Op::MatMul => matmul::matmul(p),
        Op::Pool(a) => pool::pool(p, a),
        Op::GlobalPool(kind) => pool::global_pool(p, *kind),
        Op::MaxUnpool(a) => pool::max_unpool(p, a),
        Op::Unary(u) => el::unary_op(p, *u),
        Op::Activation(a) => el::activation_op(p, *a),
        Op::Binary(b) => el::binary_op(p, *b),
        Op::Where => el::select(p),
        Op::Cast(a) => el::cast(p, a),
        Op::QuantizeLinear(a) => el::quantize(p, a),
        Op::DequantizeLinear(a) => el::dequantize(p, a),
        Op::Reshape(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Flatten(_) | Op::Identity => mv::view(p),
        Op::Transpose(a) => mv::transpose(p, a),
        Op::Concat(a) => mv::concat(p, a),
        Op::Split(a) => mv::split(p, a),
        Op::Slice => mv::slice(p),
        Op::Pad(a) => mv::pad(p, a),
        Op::Expand => mv::expand(p),
        Op::Tile => mv::tile(p),
        Op::DepthToSpace(a) => mv::depth_to_space(p, a),
        Op::SpaceToDepth(a) => mv::space_to_depth(p, a.block),
        Op::ChannelShuffle(a) => mv::channel_shuffle(p, a),
        Op::ReverseSequence(a) => mv::reverse_sequence(p, a.batch_axis, a.time_axis),
        Op::Trilu(a) => mv::trilu(p, a),
        _ => el::none(p),
    }
}
