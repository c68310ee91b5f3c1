//! LSTM, GRU and plain recurrence.

use crate::cx::{Cx, Fault, Outputs, invalid, unsupported};
use paring_core::op::*;
use paring_ir::Op;

pub(super) fn recurrent(cx: &mut Cx<'_, '_>) -> Outputs {
    let (cell, defaults): (Cell, &[&str]) = match cx.op {
        "LSTM" => (Cell::Lstm, &["Sigmoid", "Tanh", "Tanh"]),
        "GRU" => {
            let linear_before_reset = cx.attrs.flag("linear_before_reset", false)?;
            (Cell::Gru { linear_before_reset }, &["Sigmoid", "Tanh"])
        }
        _ => (Cell::Plain, &["Tanh"]),
    };
    let (direction, directions) = match cx.attrs.text("direction", "forward")?.as_str() {
        "forward" => (Direction::Forward, 1),
        "reverse" => (Direction::Reverse, 1),
        "bidirectional" => (Direction::Bidirectional, 2),
        other => return invalid(format!("attribute 'direction': '{other}' is unknown")),
    };
    let hidden = match cx.attrs.size("hidden_size")? {
        Some(h) => h,
        None => match cx.dim(cx.x(2)?, 2) {
            Some(h) => h,
            None => return invalid("hidden_size is neither given nor known from the weights"),
        },
    };
    let attrs = RecurrentAttrs {
        cell,
        direction,
        hidden,
        activations: activations(cx, defaults, directions)?,
        clip: cx.attrs.opt_float("clip")?,
        input_forget: cx.attrs.flag("input_forget", false)?,
        batch_first: cx.attrs.flag("layout", false)?,
    };
    cx.all(Op::Recurrent(attrs))
}

fn activations(cx: &Cx<'_, '_>, defaults: &[&str], directions: usize) -> Result<Vec<Act>, Fault> {
    let names = cx.attrs.texts("activations")?;
    let mut alphas = cx.attrs.floats("activation_alpha")?.unwrap_or_default().into_iter();
    let mut betas = cx.attrs.floats("activation_beta")?.unwrap_or_default().into_iter();
    let expected = defaults.len() * directions;
    let names = names.unwrap_or_else(|| (0..expected).map(|i| defaults[i % defaults.len()].to_string()).collect());
    if names.len() != expected {
        return invalid(format!("attribute 'activations' has {} entries, expected {expected}", names.len()));
    }
    // Alphas and betas are given in order, for those functions only that have one.
    let mut act = |name: &str| -> Result<Act, Fault> {
        let mut alpha = |default: f32| alphas.next().unwrap_or(default);
        Ok(match name.to_ascii_lowercase().as_str() {
            "relu" => Act::Relu,
            "tanh" => Act::Tanh,
            "sigmoid" => Act::Sigmoid,
            "softsign" => Act::Softsign,
            "softplus" => Act::Softplus,
            "leakyrelu" => Act::LeakyRelu(alpha(0.01)),
            "thresholdedrelu" => Act::ThresholdedRelu(alpha(1.0)),
            "elu" => Act::Elu(alpha(1.0)),
            "hardsigmoid" => Act::HardSigmoid { alpha: alpha(0.2), beta: betas.next().unwrap_or(0.5) },
            _ => return unsupported(format!("activation '{name}'")),
        })
    };
    names.iter().map(|n| act(n)).collect()
}
