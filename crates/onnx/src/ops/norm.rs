//! Normalisations, softmax, reductions.

use crate::cx::{Cx, Fault, Outputs, invalid, unsupported};
use paring_core::op::*;
use paring_ir::{Op, ValueId};

pub(super) fn batch_norm(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.attrs.ignore(&["momentum"]);
    super::elementwise::check_inference(cx)?;
    if cx.attrs.flag("training_mode", false)? {
        return unsupported("training_mode is set; export the model for inference");
    }
    if cx.attrs.int("spatial", 1)? != 1 {
        return unsupported("per-element statistics (attribute 'spatial' is 0)");
    }
    if (1..cx.wanted.len()).any(|i| cx.wants(i)) {
        return unsupported("the outputs of training (mean and variance) are asked for");
    }
    let epsilon = cx.attrs.float("epsilon", 1e-5)?;
    let inputs = cx.all_inputs();
    let y = cx.node_opt(Op::BatchNorm(BatchNormAttrs { epsilon }), &inputs)?;
    cx.done(y)
}

pub(super) fn instance_norm(cx: &mut Cx<'_, '_>) -> Outputs {
    let epsilon = cx.attrs.float("epsilon", 1e-5)?;
    cx.all(Op::InstanceNorm(BatchNormAttrs { epsilon }))
}

pub(super) fn group_norm(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.attrs.ignore(&["stash_type"]);
    let attrs = GroupNormAttrs { epsilon: cx.attrs.float("epsilon", 1e-5)?, groups: cx.attrs.need_size("num_groups")? };
    if attrs.groups == 0 {
        return invalid("attribute 'num_groups' is 0; it must be at least 1");
    }
    if cx.opset >= 21 {
        return cx.all(Op::GroupNorm(attrs));
    }
    // Before opset 21 there is one scale and bias per group.
    let (x, s, b) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let Some(channels) = cx.dim(x, 1) else { return unsupported("the number of channels is not known") };
    if channels % attrs.groups != 0 {
        return invalid(format!("{channels} channels do not divide into {} groups", attrs.groups));
    }
    let (s, b) = (spread(cx, s, channels, attrs.groups)?, spread(cx, b, channels, attrs.groups)?);
    let y = cx.node(Op::GroupNorm(attrs), &[x, s, b])?;
    cx.done(y)
}

/// Repeats each entry of a vector for the channels of its group.
fn spread(cx: &mut Cx<'_, '_>, v: ValueId, channels: usize, groups: usize) -> Result<ValueId, Fault> {
    let to = cx.i64s(&[groups as i64, (channels / groups) as i64]);
    let flat = cx.i64s(&[channels as i64]);
    let v = cx.node(Op::Unsqueeze(AxesAttrs { axes: Some(vec![1]) }), &[v])?;
    let v = cx.node(Op::Expand, &[v, to])?;
    cx.node(Op::Reshape(ReshapeAttrs { allow_zero: false }), &[v, flat])
}

pub(super) fn layer_norm(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.attrs.ignore(&["stash_type"]);
    let attrs = LayerNormAttrs {
        axis: cx.attrs.int("axis", -1)?,
        epsilon: cx.attrs.float("epsilon", 1e-5)?,
        rms: cx.op == "RMSNormalization" || cx.op == "SimplifiedLayerNormalization",
    };
    cx.all(Op::LayerNorm(attrs))
}

pub(super) fn lrn(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs = LrnAttrs {
        alpha: cx.attrs.float("alpha", 1e-4)?,
        beta: cx.attrs.float("beta", 0.75)?,
        bias: cx.attrs.float("bias", 1.0)?,
        size: cx.attrs.need_size("size")?,
    };
    if attrs.size == 0 {
        return invalid("attribute 'size' is 0; it must be at least 1");
    }
    cx.all(Op::Lrn(attrs))
}

pub(super) fn lp_norm(cx: &mut Cx<'_, '_>) -> Outputs {
    let p = match cx.attrs.int("p", 2)? {
        p @ 1..=2 => p as u32,
        p => return invalid(format!("attribute 'p' is {p}; it must be 1 or 2")),
    };
    let axis = cx.attrs.int("axis", -1)?;
    cx.all(Op::LpNorm(LpNormAttrs { axis, p }))
}

fn mean(cx: &mut Cx<'_, '_>, x: ValueId, axes: &[i64]) -> Result<ValueId, Fault> {
    let attrs =
        ReduceAttrs { kind: ReduceKind::Mean, axes: Some(axes.to_vec()), keep_dims: true, noop_if_empty: false };
    cx.node(Op::Reduce(attrs), &[x])
}

/// `(x - mean) / (deviation + 1e-9)`, as the standard's function body has it.
pub(super) fn mean_variance(cx: &mut Cx<'_, '_>) -> Outputs {
    let x = cx.x(0)?;
    let axes = cx.attrs.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    let average = mean(cx, x, &axes)?;
    let centred = cx.node(Op::Binary(Binary::Sub), &[x, average])?;
    let squares = cx.node(Op::Binary(Binary::Mul), &[centred, centred])?;
    let variance = mean(cx, squares, &axes)?;
    let deviation = cx.node(Op::Unary(Unary::Sqrt), &[variance])?;
    let epsilon = cx.scalar(cx.dtype(x), 1e-9)?;
    let deviation = cx.node(Op::Binary(Binary::Add), &[deviation, epsilon])?;
    let y = cx.node(Op::Binary(Binary::Div), &[centred, deviation])?;
    cx.done(y)
}

pub(super) fn softmax(cx: &mut Cx<'_, '_>) -> Outputs {
    let kind = match cx.op {
        "Softmax" => SoftmaxKind::Softmax,
        "LogSoftmax" => SoftmaxKind::LogSoftmax,
        _ => SoftmaxKind::Hardmax,
    };
    let to_end = cx.opset < 13;
    let axis = cx.attrs.int("axis", if to_end { 1 } else { -1 })?;
    cx.all(Op::Softmax(SoftmaxAttrs { kind, axis, to_end }))
}

pub(super) fn reduce(cx: &mut Cx<'_, '_>) -> Outputs {
    let kind = match cx.op {
        "ReduceSum" => ReduceKind::Sum,
        "ReduceMean" => ReduceKind::Mean,
        "ReduceMax" => ReduceKind::Max,
        "ReduceMin" => ReduceKind::Min,
        "ReduceProd" => ReduceKind::Prod,
        "ReduceL1" => ReduceKind::L1,
        "ReduceL2" => ReduceKind::L2,
        "ReduceSumSquare" => ReduceKind::SumSquare,
        "ReduceLogSum" => ReduceKind::LogSum,
        _ => ReduceKind::LogSumExp,
    };
    let attrs = ReduceAttrs {
        kind,
        axes: cx.attrs.ints("axes")?,
        keep_dims: cx.attrs.flag("keepdims", true)?,
        noop_if_empty: cx.attrs.flag("noop_with_empty_axes", false)?,
    };
    let x = cx.x(0)?;
    if attrs.noop_if_empty && cx.opt(1).is_none() && attrs.axes.is_none() {
        let none = cx.i64s(&[]);
        return cx.finish(Op::Reduce(attrs), &[Some(x), Some(none)]);
    }
    cx.all(Op::Reduce(attrs))
}

pub(super) fn arg_reduce(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs = ArgReduceAttrs {
        max: cx.op == "ArgMax",
        axis: cx.attrs.int("axis", 0)?,
        keep_dims: cx.attrs.flag("keepdims", true)?,
        last: cx.attrs.flag("select_last_index", false)?,
    };
    cx.all(Op::ArgReduce(attrs))
}
