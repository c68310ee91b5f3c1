//! Functions of single elements, and of elements at the same place.

use crate::{
    cx::{Cx, Fault, Outputs, invalid, unsupported},
    tensor::ElementTypeError,
};
use paring_core::{DType, op::*};
use paring_ir::{Op, ValueId};

pub(super) fn activation(cx: &mut Cx<'_, '_>) -> Outputs {
    let a = &cx.attrs;
    let act = match cx.op {
        "Relu" => Act::Relu,
        "LeakyRelu" => Act::LeakyRelu(a.float("alpha", 0.01)?),
        "ThresholdedRelu" => Act::ThresholdedRelu(a.float("alpha", 1.0)?),
        "Sigmoid" => Act::Sigmoid,
        "Tanh" => Act::Tanh,
        "HardSigmoid" => Act::HardSigmoid { alpha: a.float("alpha", 0.2)?, beta: a.float("beta", 0.5)? },
        "HardSwish" => Act::HardSwish,
        "Swish" => Act::Swish(a.float("alpha", 1.0)?),
        "QuickGelu" => Act::Swish(a.float("alpha", 1.702)?),
        "Gelu" => match a.text("approximate", "none")?.as_str() {
            "none" => Act::Gelu,
            "tanh" => Act::GeluTanh,
            other => return invalid(format!("attribute 'approximate': '{other}' is unknown")),
        },
        "Elu" => Act::Elu(a.float("alpha", 1.0)?),
        "Selu" => Act::Selu { alpha: a.float("alpha", 1.673_263_2)?, gamma: a.float("gamma", 1.050_701)? },
        "Celu" => Act::Celu(a.float("alpha", 1.0)?),
        "Softplus" => Act::Softplus,
        "Softsign" => Act::Softsign,
        "Mish" => Act::Mish,
        "Shrink" => Act::Shrink { bias: a.float("bias", 0.0)?, lambda: a.float("lambd", 0.5)? },
        other => return unsupported(format!("no activation is called {other}")),
    };
    let x = cx.x(0)?;
    if act == Act::Relu && !cx.dtype(x).is_float() {
        let zero = cx.scalar(cx.dtype(x), 0.0)?;
        let y = cx.node(Op::Binary(Binary::Max), &[x, zero])?;
        return cx.done(y);
    }
    cx.all(Op::Activation(act))
}

pub(super) fn clip(cx: &mut Cx<'_, '_>) -> Outputs {
    let x = cx.x(0)?;
    let dtype = cx.dtype(x);
    if cx.opset < 11 {
        let lo = cx.attrs.float("min", f32::NEG_INFINITY)?;
        let hi = cx.attrs.float("max", f32::INFINITY)?;
        return finish_clip(cx, x, lo, hi);
    }
    let (min, max) = (cx.opt(1), cx.opt(2));
    if dtype.is_float() {
        // Only bounds that single precision holds exactly, so that f64 keeps its own.
        let exact = |v: Option<ValueId>, default: f32| match v {
            None => Some(default),
            Some(v) => cx.const_scalar(v).filter(|&b| f64::from(b as f32) == b).map(|b| b as f32),
        };
        if let (Some(lo), Some(hi)) = (exact(min, f32::NEG_INFINITY), exact(max, f32::INFINITY)) {
            return finish_clip(cx, x, lo, hi);
        }
    }
    let mut y = x;
    for (bound, f) in [(min, Binary::Max), (max, Binary::Min)] {
        if let Some(b) = bound {
            y = cx.node(Op::Binary(f), &[y, b])?;
        }
    }
    if y == x {
        y = cx.node(Op::Identity, &[x])?;
    }
    cx.done(y)
}

fn finish_clip(cx: &mut Cx<'_, '_>, x: ValueId, lo: f32, hi: f32) -> Outputs {
    if lo.is_nan() || hi.is_nan() {
        return invalid("a bound is not a number");
    }
    let none = lo == f32::NEG_INFINITY && hi == f32::INFINITY;
    let op = if none { Op::Identity } else { Op::Activation(Act::Clamp { lo, hi }) };
    let y = cx.node(op, &[x])?;
    cx.done(y)
}

pub(super) fn unary(cx: &mut Cx<'_, '_>) -> Outputs {
    let f = match cx.op {
        "Abs" => Unary::Abs,
        "Neg" => Unary::Neg,
        "Exp" => Unary::Exp,
        "Log" => Unary::Log,
        "Sqrt" => Unary::Sqrt,
        "Reciprocal" => Unary::Reciprocal,
        "Floor" => Unary::Floor,
        "Ceil" => Unary::Ceil,
        "Round" => Unary::Round,
        "Sign" => Unary::Sign,
        "Erf" => Unary::Erf,
        "Sin" => Unary::Sin,
        "Cos" => Unary::Cos,
        "Tan" => Unary::Tan,
        "Asin" => Unary::Asin,
        "Acos" => Unary::Acos,
        "Atan" => Unary::Atan,
        "Sinh" => Unary::Sinh,
        "Cosh" => Unary::Cosh,
        "Asinh" => Unary::Asinh,
        "Acosh" => Unary::Acosh,
        "Atanh" => Unary::Atanh,
        "Not" => Unary::Not,
        "BitwiseNot" => Unary::BitNot,
        "IsNaN" => Unary::IsNan,
        "IsInf" => Unary::IsInf {
            positive: cx.attrs.flag("detect_positive", true)?,
            negative: cx.attrs.flag("detect_negative", true)?,
        },
        other => return unsupported(format!("no function is called {other}")),
    };
    cx.all(Op::Unary(f))
}

pub(super) fn binary(cx: &mut Cx<'_, '_>) -> Outputs {
    let f = match cx.op {
        "Add" => Binary::Add,
        "Sub" => Binary::Sub,
        "Mul" => Binary::Mul,
        "Div" => Binary::Div,
        "PRelu" => Binary::PRelu,
        "And" => Binary::And,
        "Or" => Binary::Or,
        "Xor" => Binary::Xor,
        "BitwiseAnd" => Binary::BitAnd,
        "BitwiseOr" => Binary::BitOr,
        "BitwiseXor" => Binary::BitXor,
        "Equal" => Binary::Equal,
        "Greater" => Binary::Greater,
        "GreaterOrEqual" => Binary::GreaterOrEqual,
        "Less" => Binary::Less,
        "LessOrEqual" => Binary::LessOrEqual,
        "Mod" if cx.attrs.flag("fmod", false)? => Binary::Fmod,
        "Mod" => Binary::Mod,
        "BitShift" => match cx.attrs.text("direction", "")?.as_str() {
            "LEFT" => Binary::ShiftLeft,
            "RIGHT" => Binary::ShiftRight,
            other => return invalid(format!("attribute 'direction' should be LEFT or RIGHT, but is '{other}'")),
        },
        other => return unsupported(format!("no function is called {other}")),
    };
    let (a, b) = (cx.x(0)?, cx.x(1)?);
    let b = align(cx, a, b, f == Binary::PRelu)?;
    cx.finish(Op::Binary(f), &[Some(a), Some(b)])
}

/// The second operand so that it broadcasts from the back. Before opset 7 its first axis is matched with `axis`, and
/// a vector of slopes with the channels.
fn align(cx: &mut Cx<'_, '_>, a: ValueId, b: ValueId, slopes: bool) -> Result<ValueId, Fault> {
    if cx.opset >= 7 {
        return Ok(b);
    }
    let broadcast = cx.attrs.flag("broadcast", false)? || slopes;
    let axis = cx.attrs.opt_int("axis")?.or(slopes.then_some(1)).filter(|_| broadcast);
    let Some(axis) = axis else { return Ok(b) };
    let (Some(rank), Some(own)) = (cx.rank(a), cx.rank(b)) else {
        return unsupported("broadcasting by 'axis' where the rank is unknown");
    };
    if slopes && (own != 1 || cx.dim(b, 0) == Some(1)) {
        return Ok(b);
    }
    let axis = paring_core::normalize_axis(axis, rank).map_err(|e| Fault::Invalid(e.to_string()))?;
    let Some(missing) = rank.checked_sub(axis + own) else {
        return invalid(format!("an operand of rank {own} does not fit at axis {axis} of rank {rank}"));
    };
    if missing == 0 {
        return Ok(b);
    }
    let axes = (own..own + missing).map(|i| i as i64).collect();
    cx.node(Op::Unsqueeze(AxesAttrs { axes: Some(axes) }), &[b])
}

/// The exponent may be of another type; the result has that of the base.
pub(super) fn pow(cx: &mut Cx<'_, '_>) -> Outputs {
    let (base, exponent) = (cx.x(0)?, cx.x(1)?);
    let exponent = align(cx, base, exponent, false)?;
    let (b, e) = (cx.dtype(base), cx.dtype(exponent));
    let pow = Op::Binary(Binary::Pow);
    let y = if b == e {
        cx.node(pow, &[base, exponent])?
    } else if b.is_float() || !e.is_float() {
        let exponent = cx.node(Op::Cast(CastAttrs { to: b }), &[exponent])?;
        cx.node(pow, &[base, exponent])?
    } else {
        let wide = cx.node(Op::Cast(CastAttrs { to: e }), &[base])?;
        let y = cx.node(pow, &[wide, exponent])?;
        cx.node(Op::Cast(CastAttrs { to: b }), &[y])?
    };
    cx.done(y)
}

/// One or more operands, combined two at a time.
pub(super) fn variadic(cx: &mut Cx<'_, '_>) -> Outputs {
    let f = match cx.op {
        "Min" => Binary::Min,
        "Max" => Binary::Max,
        _ => Binary::Add,
    };
    let inputs: Vec<ValueId> = (0..cx.inputs.len()).map(|i| cx.x(i)).collect::<Result<_, Fault>>()?;
    let Some((&first, rest)) = inputs.split_first() else { return invalid("the node has no inputs") };
    let mut y = first;
    for &v in rest {
        y = cx.node(Op::Binary(f), &[y, v])?;
    }
    if cx.op == "Mean" && !rest.is_empty() {
        let n = cx.scalar(cx.dtype(first), inputs.len() as f64)?;
        y = cx.node(Op::Binary(Binary::Div), &[y, n])?;
    }
    if y == first {
        y = cx.node(Op::Identity, &[first])?;
    }
    cx.done(y)
}

pub(super) fn select(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.all(Op::Where)
}

pub(super) fn cast(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.attrs.ignore(&["saturate", "round_mode"]);
    let to = element_type(cx, "to")?;
    let to = to.ok_or_else(|| Fault::Invalid("the required attribute 'to' is missing".into()))?;
    cx.all(Op::Cast(CastAttrs { to }))
}

pub(super) fn cast_like(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.attrs.ignore(&["saturate", "round_mode"]);
    let (x, to) = (cx.x(0)?, cx.dtype(cx.x(1)?));
    let y = cx.node(Op::Cast(CastAttrs { to }), &[x])?;
    cx.done(y)
}

/// An attribute that holds the number of an element type; 0 counts as absent.
pub(super) fn element_type(cx: &Cx<'_, '_>, name: &str) -> Result<Option<DType>, Fault> {
    match cx.attrs.opt_int(name)? {
        None | Some(0) => Ok(None),
        Some(n) => {
            let dtype = crate::tensor::dtype(i32::try_from(n).unwrap_or(-1));
            dtype.map(Some).map_err(|e| match e {
                ElementTypeError::Unsupported(ty) => {
                    Fault::Unsupported(format!("attribute '{name}': element type {ty}"))
                }
                ElementTypeError::Invalid(reason) => Fault::Invalid(format!("attribute '{name}': {reason}")),
            })
        }
    }
}

pub(super) fn identity(cx: &mut Cx<'_, '_>) -> Outputs {
    let x = cx.x(0)?;
    // A renamed constant is still one, which operators that want constants depend on.
    if cx.tensor(x).is_some() {
        return cx.done(x);
    }
    cx.all(Op::Identity)
}

pub(super) fn dropout(cx: &mut Cx<'_, '_>) -> Outputs {
    cx.attrs.ignore(&["ratio", "seed"]);
    check_inference(cx)?;
    let x = cx.x(0)?;
    if let Some(training) = cx.opt(2)
        && cx.const_scalar(training) != Some(0.0)
    {
        return unsupported("training_mode is set or not constant; export the model for inference");
    }
    let y = cx.node(Op::Identity, &[x])?;
    let mut out = vec![Some(y)];
    if cx.wants(1) {
        let dtype = if cx.opset < 10 { cx.dtype(x) } else { DType::Bool };
        let shape = cx.node(Op::Shape(ShapeAttrs { start: 0, end: None }), &[x])?;
        out.push(Some(cx.node(Op::ConstantOfShape(ConstantOfShapeAttrs { dtype, value: 1.0 }), &[shape])?));
    }
    Ok(out)
}

/// Before opset 7 an attribute tells training from inference.
pub(super) fn check_inference(cx: &Cx<'_, '_>) -> Result<(), Fault> {
    if cx.opset < 7 && !cx.attrs.flag("is_test", false)? {
        return unsupported("attribute 'is_test' is 0; export the model for inference");
    }
    Ok(())
}
