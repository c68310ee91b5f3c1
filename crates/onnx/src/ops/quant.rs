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

/// To `u8` by the range of the data, as the standard's function body has it.
pub(super) fn dynamic_quantize(cx: &mut Cx<'_, '_>) -> Outputs {
    let x = cx.x(0)?;
    let dtype = cx.dtype(x);
    let zero = cx.scalar(dtype, 0.0)?;
    let steps = cx.scalar(dtype, 255.0)?;
    let mut bound = |kind, f| -> Result<ValueId, Fault> {
        let attrs = ReduceAttrs { kind, axes: None, keep_dims: false, noop_if_empty: false };
        let v = cx.node(Op::Reduce(attrs), &[x])?;
        cx.node(Op::Binary(f), &[v, zero])
    };
    let low = bound(ReduceKind::Min, Binary::Min)?;
    let high = bound(ReduceKind::Max, Binary::Max)?;
    let range = cx.node(Op::Binary(Binary::Sub), &[high, low])?;
    let scale = cx.node(Op::Binary(Binary::Div), &[range, steps])?;
    let shift = cx.node(Op::Binary(Binary::Div), &[low, scale])?;
    let shift = cx.node(Op::Binary(Binary::Sub), &[zero, shift])?;
    let shift = cx.node(Op::Activation(Act::Clamp { lo: 0.0, hi: 255.0 }), &[shift])?;
    let shift = cx.node(Op::Unary(Unary::Round), &[shift])?;
    let point = cx.node(Op::Cast(CastAttrs { to: DType::U8 }), &[shift])?;
    let y = cx.node(Op::QuantizeLinear(QuantizeAttrs { axis: 0, to: DType::U8 }), &[x, scale, point])?;
    Ok(vec![Some(y), Some(scale), Some(point)])
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

/// Operand `i` less its zero point in input `zero`, as integers or numbers of type `to`.
fn centred(cx: &mut Cx<'_, '_>, i: usize, zero: usize, to: DType, rows: bool) -> Result<ValueId, Fault> {
    let cast = Op::Cast(CastAttrs { to });
    let x = cx.node(cast.clone(), &[cx.x(i)?])?;
    let Some(zero) = cx.opt(zero) else { return Ok(x) };
    let mut zero = cx.node(cast, &[zero])?;
    if rows && cx.rank(zero) == Some(1) {
        zero = cx.node(Op::Unsqueeze(AxesAttrs { axes: Some(vec![1]) }), &[zero])?;
    }
    cx.node(Op::Binary(Binary::Sub), &[x, zero])
}

pub(super) fn matmul_integer(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.all(Op::MatMulInteger)
}

/// In single precision, which is exact as long as no sum can reach 2^24.
pub(super) fn conv_integer(cx: &mut Cx<'_, '_>) -> Outputs {
    const EXACT_TERMS: usize = (1 << 24) / (255 * 255);
    let w = cx.x(1)?;
    let attrs = conv_attrs(cx, w)?;
    let terms =
        cx.graph.ty(w).known_shape().and_then(|s| s.get(1..)?.iter().try_fold(1usize, |n, &d| n.checked_mul(d)));
    if terms.is_none_or(|n| n > EXACT_TERMS) {
        return unsupported(format!("sums of more than {EXACT_TERMS} products would not be exact"));
    }
    if cx.opt(3).is_some_and(|z| cx.rank(z) != Some(0) && cx.graph.ty(z).known_shape() != Some(vec![1])) {
        return unsupported("a zero point per output channel");
    }
    let x = centred(cx, 0, 2, DType::F32, false)?;
    let w = centred(cx, 1, 3, DType::F32, false)?;
    let y = cx.node(Op::Conv(attrs), &[x, w])?;
    let y = cx.node(Op::Cast(CastAttrs { to: DType::I32 }), &[y])?;
    cx.done(y)
}
