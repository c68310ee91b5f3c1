//! From an operator to its function: the one place that names them all.

use crate::epilogue::with_epilogue;
use crate::io::{Built, KernelResult, built, problem};
use crate::quantised::with_quantised;
use crate::{
    conv, create, einsum, elementwise as el, index, integer, matmul, movement as mv, norm, pool, recurrent, reduce,
    resize, sample,
};
use alloc::format;
use paring_core::Op;
use paring_kernel::{Operand, Problem};

/// Checks a problem and binds its function to it, epilogue included.
pub(crate) fn build(p: &Problem) -> KernelResult<Built> {
    match &p.op {
        Op::Custom(a) => Err(problem(format!("{} of {:?} has no reference", a.name, a.domain))),
        op if op.is_data_dependent() => {
            Err(problem(format!("the shape of the output of {} depends on the data", op.name())))
        }
        // No function below has to think of axes that are huge while another is empty.
        _ if p.outputs.iter().flatten().all(Operand::is_empty) => built(0, |_| Ok(())),
        _ if p.is_quantised() => with_quantised(p, |real| with_epilogue(real, build_op)),
        _ => with_epilogue(p, build_op),
    }
}

fn build_op(p: &Problem) -> KernelResult<Built> {
    match &p.op {
        Op::Conv(a) => conv::conv(p, a),
        Op::ConvInteger(a) => integer::conv(p, a),
        Op::ConvTranspose(a) => conv::conv_transpose(p, a),
        Op::Dense(a) => matmul::dense(p, a),
        Op::MatMul => matmul::matmul(p),
        Op::MatMulInteger => integer::matmul(p),
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
        Op::DynamicQuantizeLinear => integer::dynamic_quantize(p),
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
        Op::BatchNorm(a) => norm::batch_norm(p, a.epsilon),
        Op::InstanceNorm(a) => norm::group_norm(p, a.epsilon, None),
        Op::GroupNorm(a) => norm::group_norm(p, a.epsilon, Some(a.groups)),
        Op::LayerNorm(a) => norm::layer_norm(p, a),
        Op::Lrn(a) => norm::lrn(p, a),
        Op::LpNorm(a) => norm::lp_norm(p, a),
        Op::Softmax(a) => norm::softmax(p, a),
        Op::Reduce(a) => reduce::reduce(p, a),
        Op::ArgReduce(a) => reduce::arg_reduce(p, a),
        Op::CumSum(a) => reduce::cum_sum(p, a),
        Op::TopK(a) => reduce::top_k(p, a),
        Op::Gather(a) => index::gather(p, a),
        Op::GatherElements(a) => index::gather_elements(p, a),
        Op::GatherNd(a) => index::gather_nd(p, a),
        Op::ScatterElements(a) => index::scatter_elements(p, a),
        Op::ScatterNd(a) => index::scatter_nd(p, a),
        Op::OneHot(a) => index::one_hot(p, a),
        Op::Range => create::range(p),
        Op::ConstantOfShape(a) => create::constant_of_shape(p, a),
        Op::Shape(a) => create::shape(p, a),
        Op::Size => create::size(p),
        Op::EyeLike(a) => create::eye_like(p, a),
        Op::Einsum(a) => einsum::einsum(p, a),
        Op::RoiAlign(a) => sample::roi_align(p, a),
        Op::Resize(a) => resize::resize(p, a),
        Op::GridSample(a) => sample::grid_sample(p, a),
        Op::Recurrent(a) => recurrent::recurrent(p, a),
        Op::Unique(_) | Op::NonMaxSuppression(_) | Op::NonZero | Op::Compress(_) | Op::Custom(_) => {
            Err(problem(format!("{} is not computed here", p.op.name())))
        }
    }
}
