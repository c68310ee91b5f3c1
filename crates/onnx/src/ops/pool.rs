//! Pooling.

use super::conv::{Window, window};
use crate::cx::{Cx, Fault, Outputs, invalid};
use paring_core::op::*;
use paring_ir::Op;

fn pool(cx: &mut Cx<'_, '_>, kind: PoolKind) -> Outputs {
    let Window { kernel, stride, dilation, padding } = window(cx, None)?;
    let ceil = cx.attrs.flag("ceil_mode", false)?;
    let column_major = cx.attrs.flag("storage_order", false)?;
    cx.all(Op::Pool(PoolAttrs { kind, kernel, stride, dilation, padding, ceil, column_major }))
}

pub(super) fn max_pool(cx: &mut Cx<'_, '_>) -> Outputs {
    pool(cx, PoolKind::Max)
}

pub(super) fn average_pool(cx: &mut Cx<'_, '_>) -> Outputs {
    let count_padding = cx.attrs.flag("count_include_pad", false)?;
    pool(cx, PoolKind::Average { count_padding })
}

fn exponent(cx: &Cx<'_, '_>) -> Result<u32, Fault> {
    match cx.attrs.int("p", 2)? {
        p @ 1..=64 => Ok(p as u32),
        p => invalid(format!("attribute 'p' is {p}; it must be from 1 to 64")),
    }
}

pub(super) fn lp_pool(cx: &mut Cx<'_, '_>) -> Outputs {
    let p = exponent(cx)?;
    pool(cx, PoolKind::Lp { p })
}

pub(super) fn global_pool(cx: &mut Cx<'_, '_>) -> Outputs {
    let kind = match cx.op {
        "GlobalMaxPool" => GlobalPool::Max,
        "GlobalAveragePool" => GlobalPool::Average,
        _ => GlobalPool::Lp { p: exponent(cx)? },
    };
    cx.all(Op::GlobalPool(kind))
}

pub(super) fn max_unpool(cx: &mut Cx<'_, '_>) -> Outputs {
    let Window { kernel, stride, padding, .. } = window(cx, None)?;
    let Padding::Explicit { before, after } = padding else {
        return invalid("MaxUnpool has no automatic padding");
    };
    cx.all(Op::MaxUnpool(MaxUnpoolAttrs { kernel, stride, before, after }))
}

pub(super) fn roi_align(cx: &mut Cx<'_, '_>) -> Outputs {
    let max = match cx.attrs.text("mode", "avg")?.as_str() {
        "avg" => false,
        "max" => true,
        other => return invalid(format!("attribute 'mode': '{other}' is unknown")),
    };
    let default = if cx.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let half_pixel = match cx.attrs.text("coordinate_transformation_mode", default)?.as_str() {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return invalid(format!("attribute 'coordinate_transformation_mode': '{other}' is unknown")),
    };
    let attrs = RoiAlignAttrs {
        max,
        output_height: cx.attrs.size("output_height")?.unwrap_or(1),
        output_width: cx.attrs.size("output_width")?.unwrap_or(1),
        sampling_ratio: cx.attrs.size("sampling_ratio")?.unwrap_or(0),
        spatial_scale: cx.attrs.float("spatial_scale", 1.0)?,
        half_pixel,
    };
    cx.all(Op::RoiAlign(attrs))
}
