//! Convolutions, and windows sliding over an axis.

use super::{cx::*, matmul::sums};
use crate::Dim;
use alloc::{format, vec, vec::Vec};
use paring_core::op::{ConvAttrs, ConvTransposeAttrs, Padding};

/// Windows over the spatial axes of an input.
pub(super) struct Windows<'a> {
    pub kernel: &'a [usize],
    pub stride: &'a [usize],
    pub dilation: &'a [usize],
    pub padding: &'a Padding,
    /// Whether a last, partial window counts.
    pub ceil: bool,
}

impl Windows<'_> {
    /// Fails unless all attributes have one positive entry per spatial axis.
    pub fn check(&self) -> Result<()> {
        let axes = self.kernel.len();
        if axes == 0 {
            return Err(shape_error!("the kernel must have at least one spatial axis, found none"));
        }
        need_entries("kernel", self.kernel, axes, 1)?;
        need_entries("stride", self.stride, axes, 1)?;
        need_entries("dilation", self.dilation, axes, 1)?;
        if let Padding::Explicit { before, after } = self.padding {
            need_entries("padding before", before, axes, 0)?;
            need_entries("padding after", after, axes, 0)?;
        }
        Ok(())
    }

    /// Extent of one window along an axis, gaps included.
    fn span(&self, axis: usize) -> Result<usize> {
        span(self.kernel[axis], self.dilation[axis])
    }

    /// The extents of the output for these spatial dimensions.
    pub fn output(&self, spatial: &[Dim]) -> Result<Vec<Dim>> {
        spatial.iter().enumerate().map(|(axis, d)| self.output_axis(axis, d)).collect()
    }

    fn output_axis(&self, axis: usize, input: &Dim) -> Result<Dim> {
        let (span, stride) = (self.span(axis)?, self.stride[axis]);
        let Padding::Explicit { before, after } = self.padding else {
            if input.is(0) {
                return Err(shape_error!("spatial axis {axis} of the input is empty: the output would be empty"));
            }
            return Ok(input.div_ceil(stride));
        };
        let (before, after) = (before[axis], after[axis]);
        match input.known() {
            Some(n) => known_output(axis, n, span, stride, before, after, self.ceil).map(Dim::from),
            None => Ok(symbolic_output(input, span, stride, before, after, self.ceil)),
        }
    }
}

fn known_output(
    axis: usize,
    input: usize,
    span: usize,
    stride: usize,
    before: usize,
    after: usize,
    ceil: bool,
) -> Result<usize> {
    let overflow = || shape_error!("spatial axis {axis}: {input} elements with padding {before} and {after} overflow");
    let padded = input.checked_add(before).and_then(|n| n.checked_add(after)).ok_or_else(overflow)?;
    let room = padded.checked_sub(span).ok_or_else(|| {
        shape_error!(
            "spatial axis {axis}: the window of {span} is larger than the padded input of {padded}: \
             the output would be empty"
        )
    })?;
    if !ceil {
        return Ok(room / stride + 1);
    }
    let out = room.div_ceil(stride).saturating_add(1);
    // The last window must start inside the input or its leading padding.
    let last = (out - 1).saturating_mul(stride);
    Ok(if out > 1 && last >= input.saturating_add(before) { out - 1 } else { out })
}

fn symbolic_output(input: &Dim, span: usize, stride: usize, before: usize, after: usize, ceil: bool) -> Dim {
    let leading = input.add(&Dim::from(before));
    let room = leading.add(&Dim::from(after)).sub(&Dim::from(span));
    let one = Dim::Known(1);
    if !ceil {
        return room.div_floor(&Dim::from(stride)).add(&one);
    }
    let out = room.div_ceil(stride).add(&one);
    if after.saturating_add(stride) <= span { out } else { out.min_of(&leading.div_ceil(stride)) }
}

pub(super) fn span(kernel: usize, dilation: usize) -> Result<usize> {
    kernel
        .checked_sub(1)
        .and_then(|k| k.checked_mul(dilation))
        .and_then(|k| k.checked_add(1))
        .filter(|&k| i64::try_from(k).is_ok())
        .ok_or_else(|| shape_error!("a kernel of {kernel} with dilation {dilation} overflows"))
}

/// Fails unless `values` has `axes` entries of at least `least`.
pub(super) fn need_entries(what: &str, values: &[usize], axes: usize, least: usize) -> Result<()> {
    if values.len() != axes {
        return Err(shape_error!(
            "{what} must have {axes} entries, one per spatial axis of the kernel, found {}",
            values.len()
        ));
    }
    match values.iter().find(|&&v| v < least || i64::try_from(v).is_err()) {
        Some(v) => Err(shape_error!("{what} must be at least {least} and below 2^63, found {v}")),
        None => Ok(()),
    }
}

/// Fails unless the operands are numbers of one type.
fn same_numbers(cx: &Cx<'_>) -> Result<()> {
    let (x, w) = (cx.input(0, "x")?, cx.input(1, "w")?);
    need_number(x, "x")?;
    same_dtype(x, "x", w, "w")
}

/// What all convolutions ask of the shapes of their operands: `x` of the rank of the kernel plus 2, `w` likewise and of that
/// kernel.
fn operands(cx: &mut Cx<'_>, kernel: &[usize], groups: usize) -> Result<(Vec<Dim>, Vec<Dim>)> {
    let (x, w) = (cx.input(0, "x")?, cx.input(1, "w")?);
    if groups == 0 {
        return Err(shape_error!("groups must be at least 1, found 0"));
    }
    let rank = kernel.len() + 2;
    let xs = cx.dims_of_rank(x, rank, "x")?;
    let ws = cx.dims_of_rank(w, rank, "w")?;
    need_positive(&xs[1], "channels of x")?;
    need_positive(&ws[0], "axis 0 of w")?;
    need_positive(&ws[1], "axis 1 of w")?;
    need_multiple(&xs[1], groups, "channels of x (split into groups)")?;
    for (axis, (&k, d)) in kernel.iter().zip(&ws[2..]).enumerate() {
        unify(&Dim::from(k), d, &format!("kernel along spatial axis {axis}, and axis {} of w", axis + 2))?;
    }
    Ok((xs, ws))
}

pub(super) fn conv(a: &ConvAttrs, cx: &mut Cx<'_>) -> Facts {
    same_numbers(cx)?;
    one(cx.input(0, "x")?.ty.dtype, Some(conv_shape(a, cx)?))
}

pub(super) fn conv_integer(a: &ConvAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, w) = (cx.input(0, "x")?, cx.input(1, "w")?);
    need_bytes(x, "x")?;
    need_bytes(w, "w")?;
    let out = conv_shape(a, cx)?;
    if let Some(zero) = cx.optional(2) {
        same_dtype(x, "x", zero, "x_zero")?;
        one_for_each(zero, None, "x_zero")?;
    }
    if let Some(zero) = cx.optional(3) {
        same_dtype(w, "w", zero, "w_zero")?;
        one_for_each(zero, Some(&out[1]), "w_zero")?;
    }
    sums(cx.optional(4), Some(&out[1].clone()), Some(out))
}

/// The shape of the output of a convolution.
fn conv_shape(a: &ConvAttrs, cx: &mut Cx<'_>) -> Result<Vec<Dim>> {
    let windows =
        Windows { kernel: &a.kernel, stride: &a.stride, dilation: &a.dilation, padding: &a.padding, ceil: false };
    windows.check()?;
    // With a selection the channels of x need not divide.
    let (xs, ws) = operands(cx, &a.kernel, if a.select.is_some() { a.groups.min(1) } else { a.groups })?;
    need_multiple(&ws[0], a.groups, "output channels (axis 0 of w, split into groups)")?;
    match &a.select {
        Some(select) => check_select(select, a.groups, &xs[1], &ws[1])?,
        None => {
            let expected = xs[1].div_floor(&Dim::from(a.groups));
            let what = format!("input channels per group ({} / {}), and axis 1 of w", xs[1], a.groups);
            unify(&expected, &ws[1], &what)?;
        }
    }
    let mut out = vec![xs[0].clone(), ws[0].clone()];
    out.extend(windows.output(&xs[2..])?);
    Ok(out)
}

fn check_select(select: &[u32], groups: usize, channels: &Dim, per_group: &Dim) -> Result<()> {
    let len = Dim::from(select.len());
    unify(&per_group.mul(&Dim::from(groups)), &len, "channels the weights read (groups x axis 1 of w), and select")?;
    match (channels.known(), select.iter().max()) {
        (Some(c), Some(&max)) if max as usize >= c => {
            Err(shape_error!("select names channel {max}, but x has {c} channels"))
        }
        _ => Ok(()),
    }
}

pub(super) fn conv_transpose(a: &ConvTransposeAttrs, cx: &mut Cx<'_>) -> Facts {
    let windows =
        Windows { kernel: &a.kernel, stride: &a.stride, dilation: &a.dilation, padding: &a.padding, ceil: false };
    windows.check()?;
    let axes = a.kernel.len();
    need_entries("output padding", &a.output_padding, axes, 0)?;
    if let Some(shape) = &a.output_shape {
        need_entries("output shape", shape, axes, 1)?;
    }
    same_numbers(cx)?;
    let (xs, ws) = operands(cx, &a.kernel, a.groups)?;
    unify(&xs[1], &ws[0], "channels of x, and axis 0 of w")?;
    let mut out = vec![xs[0].clone(), ws[1].mul(&Dim::from(a.groups))];
    for (axis, d) in xs[2..].iter().enumerate() {
        need_positive(d, &format!("spatial axis {axis} of x"))?;
        out.push(transposed_axis(a, axis, d)?);
    }
    one(cx.input(0, "x")?.ty.dtype, Some(out))
}

fn transposed_axis(a: &ConvTransposeAttrs, axis: usize, input: &Dim) -> Result<Dim> {
    if let Some(shape) = &a.output_shape {
        return Ok(Dim::from(shape[axis]));
    }
    let stride = Dim::from(a.stride[axis]);
    let Padding::Explicit { before, after } = &a.padding else { return Ok(input.mul(&stride)) };
    let full = input
        .sub(&Dim::Known(1))
        .mul(&stride)
        .add(&Dim::from(a.output_padding[axis]))
        .add(&Dim::from(span(a.kernel[axis], a.dilation[axis])?));
    let out = full.sub(&Dim::from(before[axis])).sub(&Dim::from(after[axis]));
    match out.as_i64() {
        Some(n) if n < 1 => Err(shape_error!(
            "spatial axis {axis}: padding {} and {} leaves nothing of {full} elements: the output would be empty",
            before[axis],
            after[axis]
        )),
        _ => Ok(out),
    }
}
