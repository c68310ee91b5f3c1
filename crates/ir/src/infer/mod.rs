//! Types and shapes of outputs from those of inputs.

mod conv;
mod custom;
mod cx;
mod elementwise;
mod index;
mod matmul;
mod movement;
mod norm;
mod pool;
mod recurrent;
mod resize;
mod shape;
mod slice;
mod source;

use crate::{Dim, Fact, InferError};
use alloc::{borrow::Cow, format, vec::Vec};
use cx::{Cx, Facts, Result, broadcasts_to, dtype_error, same_dtype, shape_error, show, typed, unify_shapes};
use paring_core::{
    DType, Op, op,
    op::{EpiOp, PoolAttrs},
};

/// What can be said of the outputs of an operator before it runs.
///
/// `inputs` are those of the node, epilogue operands included. `fresh` makes a symbol for a dimension that only running
/// will tell. Unknown ranks and elements make outputs unknown; they are no error. Of integer tensors of rank 0 or 1
/// with at most 64 elements, the elements themselves are tracked ([`Fact::symbolic`]).
///
/// # Errors
/// [`InferError`] where operands and attributes do not fit each other.
pub fn infer(
    op: &Op,
    epilogue: &[EpiOp],
    inputs: &[Option<&Fact>],
    outputs: usize,
    fresh: &mut dyn FnMut() -> Dim,
) -> Result<Vec<Fact>> {
    let reals: Vec<Option<Cow<'_, Fact>>> = inputs.iter().map(|f| f.map(|f| real(op, epilogue, f))).collect();
    let inputs: &[Option<&Fact>] = &reals.iter().map(Option::as_deref).collect::<Vec<_>>();
    let own = epilogue.iter().filter_map(EpiOp::input).min().unwrap_or(inputs.len()).min(inputs.len());
    let signature = Signature::of(op);
    signature.check(&inputs[..own], outputs)?;
    let mut cx = Cx { inputs: &inputs[..own], outputs, fresh };
    let mut facts = dispatch(op, &mut cx)?;
    if let Some(first) = facts.first_mut() {
        check_epilogue(op, epilogue, inputs, first)?;
        quantise(epilogue, first)?;
    }
    if epilogue.contains(&EpiOp::MaxPool) {
        pool_last(op, epilogue, &mut facts, fresh)?;
    }
    facts.truncate(outputs);
    let symbolic = inputs.iter().flatten().any(|f| f.ty.known_shape().is_none());
    for fact in &mut facts {
        settle(fact, symbolic, fresh)?;
    }
    Ok(facts)
}

/// The operand as the operator sees it: the numbers that a quantised one stands for, where it computes with those.
pub(crate) fn real<'a>(op: &Op, epilogue: &[EpiOp], fact: &'a Fact) -> Cow<'a, Fact> {
    if fact.ty.quant.is_some() && (op.reads_reals() || op::quantized(epilogue).is_some()) {
        return Cow::Owned(typed(DType::F32, fact.ty.shape.clone()));
    }
    Cow::Borrowed(fact)
}

/// Makes the type of the output that of its integers, where the epilogue ends by quantising.
fn quantise(epilogue: &[EpiOp], out: &mut Fact) -> Result<()> {
    let Some((to, quant)) = op::quantized(epilogue) else { return Ok(()) };
    if out.ty.dtype != DType::F32 {
        return Err(dtype_error!("only f32 is quantised in an epilogue, found {}", out.ty.dtype));
    }
    *out = typed(to, out.ty.shape.clone());
    out.ty.quant = Some(quant);
    Ok(())
}

/// How many operands and outputs an operator has.
pub(crate) struct Signature {
    required: &'static [&'static str],
    most_inputs: usize,
    most_outputs: usize,
}

impl Signature {
    /// The signature of `op`.
    pub(crate) fn of(op: &Op) -> Signature {
        let (required, most_inputs, most_outputs): (&'static [&'static str], usize, usize) = match op {
            Op::Conv(_) | Op::ConvTranspose(_) | Op::Dense(_) => (&["x", "w"], 2, 1),
            Op::MatMul | Op::Binary(_) => (&["a", "b"], 2, 1),
            Op::MatMulInteger => (&["a", "b"], 5, 1),
            Op::ConvInteger(_) => (&["x", "w"], 5, 1),
            Op::Einsum(_) | Op::Concat(_) => (&["x"], usize::MAX, 1),
            Op::Pool(_) => (&["x"], 1, 2),
            Op::MaxUnpool(_) => (&["x", "indices"], 3, 1),
            Op::RoiAlign(_) => (&["x", "rois", "batch_indices"], 3, 1),
            Op::Where => (&["condition", "x", "y"], 3, 1),
            Op::QuantizeLinear(_) | Op::DequantizeLinear(_) => (&["x", "scale"], 3, 1),
            Op::BatchNorm(_) => (&["x", "scale", "bias", "mean", "var"], 5, 1),
            Op::InstanceNorm(_) | Op::GroupNorm(_) => (&["x", "scale", "bias"], 3, 1),
            Op::LayerNorm(_) => (&["x"], 3, 3),
            Op::Reduce(_) | Op::Squeeze(_) | Op::Unsqueeze(_) | Op::Trilu(_) => (&["x"], 2, 1),
            Op::CumSum(_) => (&["x", "axis"], 2, 1),
            Op::TopK(_) => (&["x", "k"], 2, 2),
            Op::DynamicQuantizeLinear => (&["x"], 1, 3),
            Op::Unique(_) => (&["x"], 1, 4),
            Op::NonMaxSuppression(_) => (&["boxes", "scores"], 5, 1),
            Op::Reshape(_) | Op::Expand => (&["x", "shape"], 2, 1),
            Op::Split(_) => (&["x"], 2, usize::MAX),
            Op::Slice => (&["x", "starts", "ends"], 5, 1),
            Op::Pad(_) => (&["x", "pads"], 4, 1),
            Op::Tile => (&["x", "repeats"], 2, 1),
            Op::Resize(_) => (&["x"], 4, 1),
            Op::GridSample(_) => (&["x", "grid"], 2, 1),
            Op::Gather(_) | Op::GatherElements(_) | Op::GatherNd(_) => (&["x", "indices"], 2, 1),
            Op::ScatterElements(_) | Op::ScatterNd(_) => (&["x", "indices", "updates"], 3, 1),
            Op::OneHot(_) => (&["indices", "depth", "values"], 3, 1),
            Op::Compress(_) => (&["x", "condition"], 2, 1),
            Op::ReverseSequence(_) => (&["x", "lengths"], 2, 1),
            Op::Range => (&["start", "limit", "delta"], 3, 1),
            Op::ConstantOfShape(_) => (&["shape"], 1, 1),
            Op::Recurrent(_) => (&["x", "w", "r"], 8, 3),
            Op::Custom(c) => (&[], usize::MAX, c.outputs),
            _ => (&["x"], 1, 1),
        };
        Signature { required, most_inputs, most_outputs }
    }

    /// Number of operands that must be there.
    pub(crate) fn required(&self) -> usize {
        self.required.len()
    }

    fn check(&self, inputs: &[Option<&Fact>], outputs: usize) -> Result<()> {
        if let Some((index, &what)) =
            self.required.iter().enumerate().find(|(i, _)| inputs.get(*i).copied().flatten().is_none())
        {
            return Err(InferError::MissingInput { index, what });
        }
        if inputs.len() > self.most_inputs {
            return Err(InferError::Arity(format!(
                "expected at most {} inputs, found {}",
                self.most_inputs,
                inputs.len()
            )));
        }
        if outputs > self.most_outputs {
            return Err(InferError::Arity(format!("expected at most {} outputs, found {outputs}", self.most_outputs)));
        }
        Ok(())
    }
}

fn dispatch(op: &Op, cx: &mut Cx<'_>) -> Facts {
    match op {
        Op::Conv(a) => conv::conv(a, cx),
        Op::ConvInteger(a) => conv::conv_integer(a, cx),
        Op::ConvTranspose(a) => conv::conv_transpose(a, cx),
        Op::Dense(a) => matmul::dense(a, cx),
        Op::MatMul => matmul::matmul(cx),
        Op::MatMulInteger => matmul::matmul_integer(cx),
        Op::Einsum(a) => matmul::einsum(a, cx),
        Op::Pool(a) => pool::pool(a, cx),
        Op::GlobalPool(a) => pool::global_pool(a, cx),
        Op::MaxUnpool(a) => pool::max_unpool(a, cx),
        Op::RoiAlign(a) => pool::roi_align(a, cx),
        Op::Unary(f) => elementwise::unary(*f, cx),
        Op::Activation(_) => elementwise::activation(cx),
        Op::Binary(f) => elementwise::binary(*f, cx),
        Op::Where => elementwise::select(cx),
        Op::Cast(a) => elementwise::cast(a, cx),
        Op::QuantizeLinear(a) => elementwise::quantize(a, cx),
        Op::DequantizeLinear(a) => elementwise::dequantize(a, cx),
        Op::DynamicQuantizeLinear => elementwise::dynamic_quantize(cx),
        Op::BatchNorm(_) => norm::batch_norm(cx),
        Op::InstanceNorm(_) => norm::instance_norm(cx),
        Op::GroupNorm(a) => norm::group_norm(a, cx),
        Op::LayerNorm(a) => norm::layer_norm(a, cx),
        Op::Lrn(a) => norm::lrn(a, cx),
        Op::LpNorm(a) => norm::lp_norm(a, cx),
        Op::Softmax(a) => norm::softmax(a, cx),
        Op::Reduce(a) => norm::reduce(a, cx),
        Op::ArgReduce(a) => norm::arg_reduce(a, cx),
        Op::CumSum(_) => norm::cum_sum(cx),
        Op::TopK(a) => index::top_k(a, cx),
        Op::Unique(a) => index::unique(a, cx),
        Op::NonMaxSuppression(_) => index::non_max_suppression(cx),
        Op::Reshape(a) => shape::reshape(a, cx),
        Op::Squeeze(a) => shape::squeeze(a, cx),
        Op::Unsqueeze(a) => shape::unsqueeze(a, cx),
        Op::Flatten(a) => shape::flatten(a, cx),
        Op::Transpose(a) => shape::transpose(a, cx),
        Op::Identity => shape::identity(cx),
        Op::Concat(a) => movement::concat(a, cx),
        Op::Split(a) => movement::split(a, cx),
        Op::Slice => slice::slice(cx),
        Op::Pad(a) => movement::pad(a, cx),
        Op::Expand => movement::expand(cx),
        Op::Tile => movement::tile(cx),
        Op::Resize(a) => resize::resize(a, cx),
        Op::GridSample(_) => resize::grid_sample(cx),
        Op::DepthToSpace(a) => movement::depth_to_space(a, cx),
        Op::SpaceToDepth(a) => movement::space_to_depth(a, cx),
        Op::ChannelShuffle(a) => movement::channel_shuffle(a, cx),
        Op::Gather(a) => index::gather(a, cx),
        Op::GatherElements(a) => index::gather_elements(a, cx),
        Op::GatherNd(a) => index::gather_nd(a, cx),
        Op::ScatterElements(a) => index::scatter_elements(a, cx),
        Op::ScatterNd(_) => index::scatter_nd(cx),
        Op::OneHot(a) => index::one_hot(a, cx),
        Op::NonZero => index::non_zero(cx),
        Op::Compress(a) => index::compress(a, cx),
        Op::ReverseSequence(a) => movement::reverse_sequence(a, cx),
        Op::Trilu(_) => movement::trilu(cx),
        Op::Range => source::range(cx),
        Op::ConstantOfShape(a) => source::constant_of_shape(a, cx),
        Op::Shape(a) => source::shape_of(a, cx),
        Op::Size => source::size(cx),
        Op::EyeLike(a) => source::eye_like(a, cx),
        Op::Recurrent(a) => recurrent::recurrent(a, cx),
        Op::Custom(a) => custom::custom(a, cx),
    }
}

/// The axis that per-channel operands of an epilogue run along.
pub(crate) fn channel_axis(op: &Op, rank: usize) -> Option<usize> {
    match op {
        Op::Conv(_) | Op::ConvInteger(_) | Op::ConvTranspose(_) => (rank >= 2).then_some(1),
        _ => rank.checked_sub(1),
    }
}

fn check_epilogue(op: &Op, epilogue: &[EpiOp], inputs: &[Option<&Fact>], out: &Fact) -> Result<()> {
    for step in epilogue {
        let Some(i) = step.input() else { continue };
        let operand =
            inputs.get(i).copied().flatten().ok_or(InferError::MissingInput { index: i, what: "epilogue operand" })?;
        same_dtype(out, "the output", operand, "the epilogue operand")?;
        let Some(shape) = &out.ty.shape else { continue };
        if let EpiOp::Residual { .. } = step {
            if let Some(r) = &operand.ty.shape {
                unify_shapes(shape, r, "the residual of the epilogue")?;
            }
        } else {
            let axis = channel_axis(op, shape.len())
                .ok_or_else(|| shape_error!("an output of shape {} has no channels for an epilogue", show(shape)))?;
            cx::need_vector(operand, &shape[axis], "the per-channel operand of the epilogue")?;
            broadcasts_to(operand, &shape[axis..=axis], "the per-channel operand of the epilogue")?;
        }
    }
    Ok(())
}

/// What the last step of an epilogue leaves of output 0, where that pools.
fn pool_last(op: &Op, epilogue: &[EpiOp], facts: &mut [Fact], fresh: &mut dyn FnMut() -> Dim) -> Result<()> {
    let (Op::Conv(_), Some(first)) = (op, facts.first_mut()) else {
        return Err(shape_error!("only the epilogue of a convolution pools"));
    };
    if epilogue.iter().position(|e| *e == EpiOp::MaxPool) != epilogue.len().checked_sub(1) {
        return Err(shape_error!("nothing may follow the pooling step of an epilogue"));
    }
    *first = pool::pool(&PoolAttrs::halving(), &mut Cx { inputs: &[Some(first)], outputs: 1, fresh })?.swap_remove(0);
    Ok(())
}

/// Refuses negative dimensions and element counts beyond the machine; gives expressions that overflowed or grew out
/// of hand a symbol of their own.
fn settle(fact: &mut Fact, symbolic: bool, fresh: &mut dyn FnMut() -> Dim) -> Result<()> {
    if let Some(shape) = &mut fact.ty.shape {
        for d in shape.iter_mut() {
            if d.is_overflow() {
                if !symbolic {
                    return Err(shape_error!("the output's shape overflows 64 bits"));
                }
                *d = fresh();
            }
            if let Some(n) = d.as_i64().filter(|&n| n < 0) {
                return Err(shape_error!("an output dimension would be negative: {n}"));
            }
        }
        let known: Vec<usize> = shape.iter().filter_map(Dim::known).collect();
        let elements = paring_core::numel(&known)?;
        if fact.ty.dtype.bytes(elements).is_none_or(|b| b > isize::MAX as usize) {
            return Err(paring_core::ShapeError::Overflow(known).into());
        }
    }
    for e in fact.symbolic.iter_mut().flatten() {
        if e.is_overflow() {
            fact.symbolic = None;
            break;
        }
    }
    Ok(())
}
