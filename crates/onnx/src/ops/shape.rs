//! Constants, shapes, and views.

use super::elementwise::element_type;
use crate::cx::{Cx, Fault, Outputs, invalid, unsupported};
use paring_core::{DType, Tensor, TensorError, op::*};
use paring_ir::Op;

fn made(tensor: Result<Tensor, TensorError>) -> Result<Tensor, Fault> {
    tensor.map_err(|e| Fault::Invalid(e.to_string()))
}

pub(super) fn constant(cx: &mut Cx<'_, '_>) -> Outputs {
    let tensor = if let Some(t) = cx.attrs.tensor("value")? {
        cx.read(t)?
    } else if let Some(x) = cx.attrs.opt_float("value_float")? {
        made(Tensor::new(&[], &[x]))?
    } else if let Some(v) = cx.attrs.floats("value_floats")? {
        made(Tensor::new(&[v.len()], &v))?
    } else if let Some(x) = cx.attrs.opt_int("value_int")? {
        made(Tensor::new(&[], &[x]))?
    } else if let Some(v) = cx.attrs.ints("value_ints")? {
        Tensor::from_i64s(&v)
    } else if let Some(a) = cx.attrs.get("sparse_value", crate::proto::attribute_type::SPARSE_TENSOR)? {
        let Some(s) = a.sparse_tensor.as_deref() else { return invalid("attribute 'sparse_value' holds no tensor") };
        cx.reader.read_sparse(s)?
    } else if let Some(name) = cx.attrs.unread().first() {
        return unsupported(format!("a constant given by attribute '{name}'"));
    } else {
        return invalid("the constant has no value");
    };
    let v = cx.constant(tensor);
    cx.done(v)
}

pub(super) fn constant_of_shape(cx: &mut Cx<'_, '_>) -> Outputs {
    let (dtype, value) = match cx.attrs.tensor("value")? {
        None => (DType::F32, 0.0),
        Some(t) => {
            let t = cx.read(t)?;
            if t.len() != 1 {
                return invalid(format!("attribute 'value' should hold one element, but holds {}", t.len()));
            }
            if t.to_i64s().is_some_and(|v| v[0] != v[0] as f64 as i64) {
                return unsupported("a value above 2^53");
            }
            (t.dtype(), t.to_f64s().map_or(0.0, |v| v[0]))
        }
    };
    cx.all(Op::ConstantOfShape(ConstantOfShapeAttrs { dtype, value }))
}

pub(super) fn shape_of(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs = ShapeAttrs { start: cx.attrs.int("start", 0)?, end: cx.attrs.opt_int("end")? };
    cx.all(Op::Shape(attrs))
}

/// Operators without attributes that are the same here.
pub(super) fn plain(cx: &mut Cx<'_, '_>) -> Outputs {
    let op = match cx.op {
        "Size" => Op::Size,
        "Range" => Op::Range,
        "Expand" => Op::Expand,
        "NonZero" => Op::NonZero,
        _ => Op::Tile,
    };
    cx.all(op)
}

pub(super) fn reshape(cx: &mut Cx<'_, '_>) -> Outputs {
    let allow_zero = cx.attrs.flag("allowzero", false)?;
    cx.all(Op::Reshape(ReshapeAttrs { allow_zero }))
}

pub(super) fn flatten(cx: &mut Cx<'_, '_>) -> Outputs {
    let axis = cx.attrs.int("axis", 1)?;
    cx.all(Op::Flatten(AxisAttrs { axis }))
}

pub(super) fn squeeze(cx: &mut Cx<'_, '_>) -> Outputs {
    let axes = cx.attrs.ints("axes")?;
    if cx.op == "Squeeze" {
        return cx.all(Op::Squeeze(AxesAttrs { axes }));
    }
    if axes.is_none() && cx.opt(1).is_none() {
        return invalid("the required axes are missing");
    }
    cx.all(Op::Unsqueeze(AxesAttrs { axes }))
}

pub(super) fn transpose(cx: &mut Cx<'_, '_>) -> Outputs {
    let perm = cx.attrs.sizes("perm")?;
    if let Some(p) = &perm {
        let mut sorted = p.clone();
        sorted.sort_unstable();
        if sorted.iter().enumerate().any(|(i, &a)| i != a) {
            return invalid(format!("attribute 'perm' is {p:?}, which is no permutation"));
        }
    }
    cx.all(Op::Transpose(TransposeAttrs { perm }))
}

pub(super) fn concat(cx: &mut Cx<'_, '_>) -> Outputs {
    let axis = cx.attrs.need_int("axis")?;
    cx.all(Op::Concat(AxisAttrs { axis }))
}

pub(super) fn split(cx: &mut Cx<'_, '_>) -> Outputs {
    let axis = cx.attrs.int("axis", 0)?;
    let sizes = cx.attrs.sizes("split")?;
    if let Some(n) = cx.attrs.size("num_outputs")?
        && n != cx.wanted.len()
    {
        return invalid(format!("attribute 'num_outputs' is {n}, but the node has {} outputs", cx.wanted.len()));
    }
    cx.all(Op::Split(SplitAttrs { axis, sizes }))
}

pub(super) fn slice(cx: &mut Cx<'_, '_>) -> Outputs {
    if cx.opset >= 10 {
        return cx.all(Op::Slice);
    }
    let x = cx.x(0)?;
    let (starts, ends, axes) = (cx.attrs.ints("starts")?, cx.attrs.ints("ends")?, cx.attrs.ints("axes")?);
    let (Some(starts), Some(ends)) = (starts, ends) else {
        return invalid("the required attributes 'starts' and 'ends' are missing");
    };
    let mut inputs = vec![Some(x), Some(cx.i64s(&starts)), Some(cx.i64s(&ends))];
    if let Some(axes) = axes {
        inputs.push(Some(cx.i64s(&axes)));
    }
    cx.finish(Op::Slice, &inputs)
}

pub(super) fn pad(cx: &mut Cx<'_, '_>) -> Outputs {
    let mode = match cx.attrs.text("mode", "constant")?.as_str() {
        "constant" => PadMode::Constant,
        "reflect" => PadMode::Reflect,
        "edge" => PadMode::Edge,
        "wrap" => PadMode::Wrap,
        other => return invalid(format!("attribute 'mode': '{other}' is unknown")),
    };
    let op = Op::Pad(PadAttrs { mode });
    if cx.opset >= 11 {
        return cx.all(op);
    }
    let x = cx.x(0)?;
    let pads = cx.attrs.ints("pads")?;
    let pads = pads.ok_or_else(|| Fault::Invalid("the required attribute 'pads' is missing".into()))?;
    let value = cx.attrs.float("value", 0.0)?;
    let pads = cx.i64s(&pads);
    let value = cx.scalar(cx.dtype(x), f64::from(value))?;
    cx.finish(op, &[Some(x), Some(pads), Some(value)])
}

pub(super) fn space(cx: &mut Cx<'_, '_>) -> Outputs {
    let block = cx.attrs.need_size("blocksize")?;
    if block == 0 {
        return invalid("attribute 'blocksize' is 0; it must be at least 1");
    }
    if cx.op == "SpaceToDepth" {
        return cx.all(Op::SpaceToDepth(SpaceToDepthAttrs { block }));
    }
    let column_row_depth = match cx.attrs.text("mode", "DCR")?.as_str() {
        "DCR" => false,
        "CRD" => true,
        other => return invalid(format!("attribute 'mode': '{other}' is unknown")),
    };
    cx.all(Op::DepthToSpace(DepthToSpaceAttrs { block, column_row_depth }))
}

pub(super) fn eye_like(cx: &mut Cx<'_, '_>) -> Outputs {
    let x = cx.x(0)?;
    let dtype = element_type(cx, "dtype")?.unwrap_or(cx.dtype(x));
    let k = cx.attrs.int("k", 0)?;
    cx.all(Op::EyeLike(EyeLikeAttrs { dtype, k }))
}

pub(super) fn trilu(cx: &mut Cx<'_, '_>) -> Outputs {
    let upper = cx.attrs.flag("upper", true)?;
    cx.all(Op::Trilu(TriluAttrs { upper }))
}

pub(super) fn reverse_sequence(cx: &mut Cx<'_, '_>) -> Outputs {
    let batch_axis = cx.attrs.size("batch_axis")?.unwrap_or(1);
    let time_axis = cx.attrs.size("time_axis")?.unwrap_or(0);
    if !matches!((batch_axis, time_axis), (0, 1) | (1, 0)) {
        return invalid(format!("batch_axis {batch_axis} and time_axis {time_axis} should be 0 and 1"));
    }
    cx.all(Op::ReverseSequence(ReverseSequenceAttrs { batch_axis, time_axis }))
}
