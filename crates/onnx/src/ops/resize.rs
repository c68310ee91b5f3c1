//! Interpolation.

use crate::cx::{Cx, Fault, Outputs, invalid};
use paring_core::{Tensor, op::*};
use paring_ir::{Op, ValueId};

fn nearest_mode(cx: &Cx<'_, '_>) -> Result<Nearest, Fault> {
    Ok(match cx.attrs.text("nearest_mode", "round_prefer_floor")?.as_str() {
        "round_prefer_floor" => Nearest::RoundPreferFloor,
        "round_prefer_ceil" => Nearest::RoundPreferCeil,
        "floor" => Nearest::Floor,
        "ceil" => Nearest::Ceil,
        other => return invalid(format!("attribute 'nearest_mode': '{other}' is unknown")),
    })
}

fn mode(cx: &Cx<'_, '_>, nearest: Nearest) -> Result<ResizeMode, Fault> {
    let a = cx.attrs.float("cubic_coeff_a", -0.75)?;
    Ok(match cx.attrs.text("mode", "nearest")?.as_str() {
        "nearest" => ResizeMode::Nearest(nearest),
        "linear" | "bilinear" => ResizeMode::Linear,
        "cubic" => ResizeMode::Cubic { a },
        other => return invalid(format!("attribute 'mode': '{other}' is unknown")),
    })
}

/// Upsample, and Resize before opset 11: scales only, coordinates divided by the scale.
pub(super) fn upsample(cx: &mut Cx<'_, '_>) -> Outputs {
    let attrs = ResizeAttrs {
        mode: mode(cx, Nearest::Floor)?,
        coordinates: Coordinates::Asymmetric,
        antialias: false,
        exclude_outside: false,
        extrapolation: 0.0,
        axes: None,
        aspect: AspectPolicy::Stretch,
    };
    let x = cx.x(0)?;
    let scales = match cx.attrs.floats("scales")? {
        Some(s) => {
            let t = Tensor::new(&[s.len()], &s).map_err(|e| Fault::Invalid(e.to_string()))?;
            cx.constant(t)
        }
        None => cx.x(1)?,
    };
    cx.finish(Op::Resize(attrs), &[Some(x), None, Some(scales)])
}

pub(super) fn resize(cx: &mut Cx<'_, '_>) -> Outputs {
    if cx.opset < 11 {
        return upsample(cx);
    }
    let coordinates = match cx.attrs.text("coordinate_transformation_mode", "half_pixel")?.as_str() {
        "half_pixel" => Coordinates::HalfPixel,
        "half_pixel_symmetric" => Coordinates::HalfPixelSymmetric,
        "pytorch_half_pixel" => Coordinates::PytorchHalfPixel,
        "align_corners" => Coordinates::AlignCorners,
        "asymmetric" => Coordinates::Asymmetric,
        "tf_half_pixel_for_nn" => Coordinates::TfHalfPixelForNn,
        "tf_crop_and_resize" => Coordinates::TfCropAndResize,
        other => return invalid(format!("attribute 'coordinate_transformation_mode': '{other}' is unknown")),
    };
    let aspect = match cx.attrs.text("keep_aspect_ratio_policy", "stretch")?.as_str() {
        "stretch" => AspectPolicy::Stretch,
        "not_larger" => AspectPolicy::NotLarger,
        "not_smaller" => AspectPolicy::NotSmaller,
        other => return invalid(format!("attribute 'keep_aspect_ratio_policy': '{other}' is unknown")),
    };
    let nearest = nearest_mode(cx)?;
    let attrs = ResizeAttrs {
        mode: mode(cx, nearest)?,
        coordinates,
        antialias: cx.attrs.flag("antialias", false)?,
        exclude_outside: cx.attrs.flag("exclude_outside", false)?,
        extrapolation: cx.attrs.float("extrapolation_value", 0.0)?,
        axes: cx.attrs.ints("axes")?,
        aspect,
    };
    // Exporters pass empty tensors for operands that they do not use.
    let given = |i: usize| cx.opt(i).filter(|&v| !is_empty(cx, v));
    let roi = given(1).filter(|_| coordinates == Coordinates::TfCropAndResize);
    let inputs = [Some(cx.x(0)?), roi, given(2), given(3)];
    if inputs[2].is_none() && inputs[3].is_none() {
        return invalid("neither scales nor sizes are given");
    }
    cx.finish(Op::Resize(attrs), &inputs)
}

fn is_empty(cx: &Cx<'_, '_>, v: ValueId) -> bool {
    cx.dims(v).is_some_and(|d| d.iter().any(|d| d.is(0)))
}

pub(super) fn grid_sample(cx: &mut Cx<'_, '_>) -> Outputs {
    let mode = match cx.attrs.text("mode", "bilinear")?.as_str() {
        "bilinear" | "linear" => GridMode::Linear,
        "nearest" => GridMode::Nearest,
        "bicubic" | "cubic" => GridMode::Cubic,
        other => return invalid(format!("attribute 'mode': '{other}' is unknown")),
    };
    let padding = match cx.attrs.text("padding_mode", "zeros")?.as_str() {
        "zeros" => GridPadding::Zeros,
        "border" => GridPadding::Border,
        "reflection" => GridPadding::Reflection,
        other => return invalid(format!("attribute 'padding_mode': '{other}' is unknown")),
    };
    let align_corners = cx.attrs.flag("align_corners", false)?;
    cx.all(Op::GridSample(GridSampleAttrs { mode, padding, align_corners }))
}
