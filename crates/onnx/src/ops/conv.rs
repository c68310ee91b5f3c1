//! Convolutions, matrix products.

use crate::cx::{Cx, Fault, Outputs, invalid, unsupported};
use paring_core::op::*;
use paring_ir::{Op, ValueId};

/// Kernel, stride, dilation and padding, as convolutions and pooling have them.
pub(super) struct Window {
    pub(super) kernel: Vec<usize>,
    pub(super) stride: Vec<usize>,
    pub(super) dilation: Vec<usize>,
    pub(super) padding: Padding,
}

/// Reads a window; the kernel defaults to the trailing dimensions of `w`.
pub(super) fn window(cx: &Cx<'_, '_>, w: Option<ValueId>) -> Result<Window, Fault> {
    let kernel = match cx.attrs.sizes("kernel_shape")? {
        Some(k) => k,
        None => match w.map(|w| cx.graph.ty(w).known_shape()) {
            Some(Some(shape)) if shape.len() > 2 => shape[2..].to_vec(),
            Some(Some(shape)) => return invalid(format!("weights of shape {shape:?} have no spatial axes")),
            Some(None) => return unsupported("the weights' shape is unknown and kernel_shape is not given"),
            None => return invalid("the required attribute 'kernel_shape' is missing"),
        },
    };
    let axes = kernel.len();
    let per_axis = |name: &str| -> Result<Vec<usize>, Fault> {
        let v = cx.attrs.sizes(name)?.unwrap_or_else(|| vec![1; axes]);
        check_axes(name, v.len(), axes)?;
        at_least_one(name, &v)?;
        Ok(v)
    };
    at_least_one("kernel_shape", &kernel)?;
    let (stride, dilation) = (per_axis("strides")?, per_axis("dilations")?);
    let padding = padding(cx, axes)?;
    Ok(Window { kernel, stride, dilation, padding })
}

fn check_axes(name: &str, found: usize, axes: usize) -> Result<(), Fault> {
    if found != axes {
        return invalid(format!("attribute '{name}' has {found} entries, expected {axes} for {axes} spatial axes"));
    }
    Ok(())
}

fn at_least_one(name: &str, v: &[usize]) -> Result<(), Fault> {
    if v.contains(&0) {
        invalid(format!("attribute '{name}' is {v:?}; every entry must be at least 1"))
    } else {
        Ok(())
    }
}

fn padding(cx: &Cx<'_, '_>, axes: usize) -> Result<Padding, Fault> {
    let pads = cx.attrs.ints("pads")?;
    let auto = cx.attrs.text("auto_pad", "NOTSET")?;
    match auto.as_str() {
        "SAME_UPPER" => return Ok(Padding::SameUpper),
        "SAME_LOWER" => return Ok(Padding::SameLower),
        "VALID" => return Ok(Padding::none(axes)),
        "NOTSET" | "" => {}
        other => return invalid(format!("attribute 'auto_pad': '{other}' is unknown")),
    }
    let Some(pads) = pads else { return Ok(Padding::none(axes)) };
    check_axes("pads", pads.len(), 2 * axes)?;
    if pads.iter().any(|&p| p < 0) {
        return unsupported(format!("negative padding {pads:?}"));
    }
    let pads = cx.attrs.sizes("pads")?.unwrap_or_default();
    Ok(Padding::Explicit { before: pads[..axes].to_vec(), after: pads[axes..].to_vec() })
}

fn groups(cx: &Cx<'_, '_>) -> Result<usize, Fault> {
    let groups = cx.attrs.size("group")?.unwrap_or(1);
    if groups == 0 {
        return invalid("attribute 'group' is 0; it must be at least 1");
    }
    Ok(groups)
}

/// The attributes of a convolution with the weights `w`.
pub(super) fn conv_attrs(cx: &Cx<'_, '_>, w: ValueId) -> Result<ConvAttrs, Fault> {
    let Window { kernel, stride, dilation, padding } = window(cx, Some(w))?;
    Ok(ConvAttrs { kernel, stride, dilation, padding, groups: groups(cx)?, select: None })
}

pub(super) fn conv(cx: &mut Cx<'_, '_>) -> Outputs {
    let (x, w) = (cx.x(0)?, cx.x(1)?);
    let attrs = conv_attrs(cx, w)?;
    let axes = attrs.kernel.len();
    with_bias(cx, Op::Conv(attrs), x, w, axes)
}

pub(super) fn conv_transpose(cx: &mut Cx<'_, '_>) -> Outputs {
    let (x, w) = (cx.x(0)?, cx.x(1)?);
    let Window { kernel, stride, dilation, padding } = window(cx, Some(w))?;
    let axes = kernel.len();
    let output_padding = cx.attrs.sizes("output_padding")?.unwrap_or_else(|| vec![0; axes]);
    check_axes("output_padding", output_padding.len(), axes)?;
    let output_shape = match cx.attrs.sizes("output_shape")? {
        Some(s) if s.len() == axes + 2 => Some(s[2..].to_vec()),
        Some(s) => {
            check_axes("output_shape", s.len(), axes)?;
            Some(s)
        }
        None => None,
    };
    let mut attrs =
        ConvTransposeAttrs { kernel, stride, dilation, padding, output_padding, output_shape, groups: groups(cx)? };
    settle_output_shape(cx, x, &mut attrs);
    with_bias(cx, Op::ConvTranspose(attrs), x, w, axes)
}

/// Turns a fixed output shape into padding where the input's shape is known.
fn settle_output_shape(cx: &Cx<'_, '_>, x: ValueId, a: &mut ConvTransposeAttrs) {
    let Some(want) = a.output_shape.clone() else { return };
    let (mut before, mut after, mut extra) = (Vec::new(), Vec::new(), a.output_padding.clone());
    for i in 0..want.len() {
        let Some(input) = cx.dim(x, i + 2) else { return };
        let span = (a.kernel[i] as i128 - 1) * a.dilation[i] as i128 + 1;
        let full = a.stride[i] as i128 * (input as i128 - 1) + span + extra[i] as i128;
        let total = full - want[i] as i128;
        let (small, large) = (total.max(0) / 2, (total.max(0) + 1) / 2);
        let (b, e) = if a.padding == Padding::SameUpper { (small, large) } else { (large, small) };
        let sizes = (usize::try_from(b), usize::try_from(e), usize::try_from((-total).max(0)));
        let (Ok(b), Ok(e), Ok(more)) = sizes else { return };
        before.push(b);
        after.push(e);
        extra[i] += more;
    }
    a.padding = Padding::Explicit { before, after };
    a.output_padding = extra;
    a.output_shape = None;
}

fn with_bias(cx: &mut Cx<'_, '_>, op: Op, x: ValueId, w: ValueId, axes: usize) -> Outputs {
    let y = match cx.opt(2) {
        None => cx.node(op, &[x, w])?,
        Some(b) if cx.tensor(b).is_some() && cx.rank(b) == Some(1) => cx.node_with_bias(op, &[x, w], b)?,
        Some(b) => {
            let y = cx.node(op, &[x, w])?;
            add_per_channel(cx, y, b, axes)?
        }
    };
    cx.done(y)
}

/// Adds a vector along axis 1 of a value with `axes` spatial axes.
pub(super) fn add_per_channel(cx: &mut Cx<'_, '_>, y: ValueId, b: ValueId, axes: usize) -> Result<ValueId, Fault> {
    let axes = (1..=axes as i64).collect();
    let b = cx.node(Op::Unsqueeze(AxesAttrs { axes: Some(axes) }), &[b])?;
    cx.node(Op::Binary(Binary::Add), &[y, b])
}

pub(super) fn gemm(cx: &mut Cx<'_, '_>) -> Outputs {
    let (mut a, mut b, c) = (cx.x(0)?, cx.x(1)?, cx.opt(2));
    // Before opset 7 broadcasting of the bias had to be asked for; it meant the same.
    if cx.opset < 7 {
        cx.attrs.ignore(&["broadcast"]);
    }
    let (alpha, beta) = (cx.attrs.float("alpha", 1.0)?, cx.attrs.float("beta", 1.0)?);
    let (trans_a, trans_b) = (cx.attrs.int("transA", 0)? != 0, cx.attrs.int("transB", 0)? != 0);
    for v in [a, b] {
        if let Some(rank) = cx.rank(v).filter(|&r| r != 2) {
            return invalid(format!("expected matrices, found an operand of rank {rank}"));
        }
    }
    let flip = Op::Transpose(TransposeAttrs { perm: Some(vec![1, 0]) });
    if trans_a {
        a = cx.node(flip.clone(), &[a])?;
    }
    let product = if cx.tensor(b).is_some() {
        Op::Dense(DenseAttrs { transposed: trans_b })
    } else {
        if trans_b {
            b = cx.node(flip, &[b])?;
        }
        Op::MatMul
    };
    // A constant row of biases belongs to the product itself.
    let row = c.filter(|&c| cx.tensor(c).is_some() && beta == 1.0 && alpha == 1.0 && is_row(cx, c, b, trans_b));
    if let (Some(c), Op::Dense(_)) = (row, &product) {
        let bias = if cx.rank(c) == Some(1) {
            c
        } else {
            let t = cx.tensor(c).cloned().ok_or_else(|| Fault::Invalid("the bias is not constant".into()))?;
            let flat = t.reshaped(&[t.len()]).map_err(|e| Fault::Invalid(e.to_string()))?;
            cx.constant(flat)
        };
        let y = cx.node_with_bias(product, &[a, b], bias)?;
        return cx.done(y);
    }
    let mut y = cx.node(product, &[a, b])?;
    if alpha != 1.0 {
        y = scale(cx, y, alpha)?;
    }
    if let Some(mut c) = c.filter(|_| beta != 0.0) {
        if beta != 1.0 {
            c = scale(cx, c, beta)?;
        }
        y = cx.node(Op::Binary(Binary::Add), &[y, c])?;
    }
    cx.done(y)
}

/// Whether `c` is a vector, or a matrix of one row, as long as the product is wide.
fn is_row(cx: &Cx<'_, '_>, c: ValueId, b: ValueId, trans_b: bool) -> bool {
    let width = cx.dim(b, usize::from(!trans_b));
    match cx.graph.ty(c).known_shape().as_deref() {
        Some([n] | [1, n]) => Some(*n) == width,
        _ => false,
    }
}

pub(super) fn scale(cx: &mut Cx<'_, '_>, v: ValueId, by: f32) -> Result<ValueId, Fault> {
    let by = cx.scalar(cx.dtype(v), f64::from(by))?;
    cx.node(Op::Binary(Binary::Mul), &[v, by])
}

pub(super) fn matmul(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.all(Op::MatMul)
}

pub(super) fn einsum(cx: &mut Cx<'_, '_>) -> Outputs {
    let equation = cx.attrs.opt_text("equation")?;
    let equation = equation.ok_or_else(|| Fault::Invalid("the required attribute 'equation' is missing".into()))?;
    cx.all(Op::Einsum(EinsumAttrs { equation }))
}
