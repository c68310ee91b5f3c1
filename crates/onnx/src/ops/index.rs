//! Picking and placing elements by index, order.

use crate::cx::{Cx, Fault, Outputs, invalid};
use paring_core::{DType, op::*};
use paring_ir::{Op, ValueId};

pub(super) fn gather(cx: &mut Cx<'_, '_>) -> Outputs {
    let axis = AxisAttrs { axis: cx.attrs.int("axis", 0)? };
    cx.all(if cx.op == "Gather" { Op::Gather(axis) } else { Op::GatherElements(axis) })
}

pub(super) fn gather_nd(cx: &mut Cx<'_, '_>) -> Outputs {
    let batch_dims = cx.attrs.size("batch_dims")?.unwrap_or(0);
    cx.all(Op::GatherNd(GatherNdAttrs { batch_dims }))
}

fn reduction(cx: &Cx<'_, '_>) -> Result<ScatterReduction, Fault> {
    Ok(match cx.attrs.text("reduction", "none")?.as_str() {
        "none" => ScatterReduction::Replace,
        "add" => ScatterReduction::Add,
        "mul" => ScatterReduction::Mul,
        "min" => ScatterReduction::Min,
        "max" => ScatterReduction::Max,
        other => return invalid(format!("attribute 'reduction': '{other}' is unknown")),
    })
}

pub(super) fn scatter_elements(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs = ScatterAttrs { axis: cx.attrs.int("axis", 0)?, reduction: reduction(cx)? };
    cx.all(Op::ScatterElements(attrs))
}

pub(super) fn scatter_nd(cx: &mut Cx<'_, '_>) -> Outputs {
    let reduction = reduction(cx)?;
    cx.all(Op::ScatterNd(ScatterNdAttrs { reduction }))
}

/// Indices and depth may be of any number type in the file, and are `i64` here.
fn as_i64(cx: &mut Cx<'_, '_>, v: ValueId) -> Result<ValueId, Fault> {
    if cx.dtype(v).is_int() { Ok(v) } else { cx.node(Op::Cast(CastAttrs { to: DType::I64 }), &[v]) }
}

pub(super) fn one_hot(cx: &mut Cx<'_, '_>) -> Outputs {
    let axis = cx.attrs.int("axis", -1)?;
    let (indices, depth, values) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let (indices, depth) = (as_i64(cx, indices)?, as_i64(cx, depth)?);
    let y = cx.node(Op::OneHot(AxisAttrs { axis }), &[indices, depth, values])?;
    cx.done(y)
}

pub(super) fn top_k(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs = TopKAttrs {
        axis: cx.attrs.int("axis", -1)?,
        largest: cx.attrs.flag("largest", true)?,
        sorted: cx.attrs.flag("sorted", true)?,
    };
    if cx.opset >= 10 {
        return cx.all(Op::TopK(attrs));
    }
    let (x, k) = (cx.x(0)?, cx.attrs.need_int("k")?);
    let k = cx.i64s(&[k]);
    cx.finish(Op::TopK(attrs), &[Some(x), Some(k)])
}

pub(super) fn cum_sum(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs =
        CumSumAttrs { exclusive: cx.attrs.flag("exclusive", false)?, reverse: cx.attrs.flag("reverse", false)? };
    cx.all(Op::CumSum(attrs))
}

pub(super) fn compress(cx: &mut Cx<'_, '_>) -> Outputs {
    let axis = cx.attrs.opt_int("axis")?;
    cx.all(Op::Compress(CompressAttrs { axis }))
}

pub(super) fn unique(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs = UniqueAttrs { axis: cx.attrs.opt_int("axis")?, sorted: cx.attrs.flag("sorted", true)? };
    cx.all(Op::Unique(attrs))
}

pub(super) fn non_max_suppression(cx: &mut Cx<'_, '_>) -> Outputs {
    let center = cx.attrs.flag("center_point_box", false)?;
    cx.all(Op::NonMaxSuppression(NmsAttrs { center }))
}
