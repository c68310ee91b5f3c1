//! Quantisation.

use super::{conv::conv_attrs, elementwise::element_type};
use crate::cx::{Cx, Fault, Outputs, unsupported};
use paring_core::{DType, op::*};
use paring_ir::{Op, ValueId};

fn axis(cx: &Cx<'_, '_>) -> Result<i64, Fault> {
    cx.attrs.ignore(&["saturate"]);
    if cx.attrs.int("block_size", 0)? != 0 {
        return unsupported("blocked quantisation (attribute 'block_size')");
    }
    cx.attrs.int("axis", 1)
}

pub(super) fn quantize(cx: &mut Cx<'_, '_>) -> Outputs {
    let axis = axis(cx)?;
    element_type(cx, "precision")?;
    let given = element_type(cx, "output_dtype")?;
    let to = cx.opt(2).map(|zero| cx.dtype(zero)).or(given).unwrap_or(DType::U8);
    cx.all(Op::QuantizeLinear(QuantizeAttrs { axis, to }))
}

pub(super) fn dequantize(cx: &mut Cx<'_, '_>) -> Outputs {
    let axis = axis(cx)?;
    let to = element_type(cx, "output_dtype")?.unwrap_or(cx.dtype(cx.x(1)?));
    cx.all(Op::DequantizeLinear(QuantizeAttrs { axis, to }))
}

pub(super) fn dynamic_quantize(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.all(Op::DynamicQuantizeLinear)
}

/// The real numbers behind inputs `i` (values), `i + 1` (scale), `i + 2` (zero point).
fn real(cx: &mut Cx<'_, '_>, i: usize, axis: i64) -> Result<ValueId, Fault> {
    let (x, scale, zero) = (cx.x(i)?, cx.x(i + 1)?, cx.opt(i + 2));
    let to = cx.dtype(scale);
    cx.node_opt(Op::DequantizeLinear(QuantizeAttrs { axis, to }), &[Some(x), Some(scale), zero])
}

/// The quantised result by the scale and zero point in inputs `i` and `i + 1`.
fn requantize(cx: &mut Cx<'_, '_>, y: ValueId, i: usize, axis: i64) -> Outputs {
    let (scale, zero) = (cx.x(i)?, cx.x(i + 1)?);
    let to = cx.dtype(zero);
    let y = cx.node(Op::QuantizeLinear(QuantizeAttrs { axis, to }), &[y, scale, zero])?;
    cx.done(y)
}

/// As a convolution of real numbers between quantisation steps, which passes may make an integer one.
pub(super) fn qlinear_conv(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs = conv_attrs(cx, cx.x(3)?)?;
    let axes = attrs.kernel.len();
    let (x, w) = (real(cx, 0, 1)?, real(cx, 3, 0)?);
    let mut y = cx.node(Op::Conv(attrs), &[x, w])?;
    if let Some(bias) = cx.opt(8) {
        // The bias is stored at the scale of the products.
        let scale = cx.node(Op::Binary(Binary::Mul), &[cx.x(1)?, cx.x(4)?])?;
        let to = cx.dtype(scale);
        let bias = cx.node(Op::Cast(CastAttrs { to }), &[bias])?;
        let bias = cx.node(Op::Binary(Binary::Mul), &[bias, scale])?;
        y = super::conv::add_per_channel(cx, y, bias, axes)?;
    }
    requantize(cx, y, 6, 1)
}

pub(super) fn qlinear_matmul(cx: &mut Cx<'_, '_>) -> Outputs {
    let (a, b) = (real(cx, 0, -2)?, real(cx, 3, -1)?);
    let y = cx.node(Op::MatMul, &[a, b])?;
    requantize(cx, y, 6, -2)
}

pub(super) fn matmul_integer(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.all(Op::MatMulInteger)
}

pub(super) fn conv_integer(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs = conv_attrs(cx, cx.x(1)?)?;
    cx.all(Op::ConvInteger(attrs))
}
