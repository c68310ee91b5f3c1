//! Non-linearities that exporters write in several nodes.

use crate::{
    PassCx, Proposal,
    matching::{as_binary, close},
};
use core::f64::consts::{FRAC_2_PI, SQRT_2};
use paring_core::op::{Act, Binary, Unary};
use paring_ir::{Node, NodeId, Op, ValueId};

/// Proposes `act(x)` in place of `node`.
fn becomes(cx: &PassCx<'_>, id: NodeId, node: &Node, act: Act, x: ValueId, what: &str) -> Option<Proposal> {
    let mut patch = cx.patch(id, what);
    let y = patch.op(&node.name, Op::Activation(act), &[x]);
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

fn bounds(act: Act) -> Option<(f32, f32)> {
    match act {
        Act::Relu => Some((0.0, f32::INFINITY)),
        Act::Clamp { lo, hi } => Some((lo, hi)),
        _ => None,
    }
}

/// Clamps of clamps, clamps that do nothing, and clamps that are a ReLU.
pub fn clamp(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Activation(act) = node.op else { return None };
    let (lo, hi) = bounds(act)?;
    let x = node.input(0)?;
    if !node.epilogue.is_empty() || lo.is_nan() || hi.is_nan() || lo > hi {
        return None;
    }
    if lo == f32::NEG_INFINITY && hi == f32::INFINITY {
        return Some(cx.patch(id, "clamp without bounds").replace(node.output(0)?, x).remove(id).into());
    }
    if let Some((inner, source)) = cx.activation(x)
        && let Some((l, h)) = bounds(inner)
        && l <= h
        && !l.is_nan()
    {
        let (lo, hi) = (l.clamp(lo, hi), h.clamp(lo, hi));
        return becomes(cx, id, node, relu_or_clamp(lo, hi), source, "two clamps as one");
    }
    (act != relu_or_clamp(lo, hi)).then(|| becomes(cx, id, node, Act::Relu, x, "clamp at 0 as ReLU"))?
}

fn relu_or_clamp(lo: f32, hi: f32) -> Act {
    if lo == 0.0 && hi == f32::INFINITY { Act::Relu } else { Act::Clamp { lo, hi } }
}

/// The larger or smaller of a value and a number.
pub fn bound(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Binary(kind @ (Binary::Max | Binary::Min)) = node.op else { return None };
    let (x, c) = as_binary(node, kind)?;
    let c = cx.scalar(c).filter(|c| !c.is_nan() && cx.is_f32(x))? as f32;
    let act = match kind {
        Binary::Max => relu_or_clamp(c, f32::INFINITY),
        _ => Act::Clamp { lo: f32::NEG_INFINITY, hi: c },
    };
    becomes(cx, id, node, act, x, "bound by a number as clamp")
}

/// `clamp(x + 3, 0, 6) / 6`.
pub fn hard_sigmoid(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (clamped, factor) = cx.scaled(node.output(0)?)?;
    let x = relu6_of_shifted(cx, clamped)?;
    if !close(factor, 1.0 / 6.0) || !cx.is_f32(x) {
        return None;
    }
    let act = Act::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 };
    becomes(cx, id, node, act, x, "clamp(x + 3, 0, 6) / 6 as HardSigmoid")
}

fn relu6_of_shifted(cx: &PassCx<'_>, v: ValueId) -> Option<ValueId> {
    let (Act::Clamp { lo: 0.0, hi: 6.0 }, shifted) = cx.activation(v)? else { return None };
    let (x, shift) = cx.shifted(shifted)?;
    (shift == 3.0).then_some(x)
}

/// `x * sigmoid(alpha * x)`.
pub fn swish(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let (a, b) = as_binary(node, Binary::Mul)?;
    let gate = |x: ValueId, gate: ValueId| -> Option<Proposal> {
        let (Act::Sigmoid, z) = cx.activation(gate)? else { return None };
        let alpha = match cx.scaled(z) {
            _ if z == x => 1.0,
            Some((inner, alpha)) if inner == x => alpha,
            _ => return None,
        };
        becomes(cx, id, node, Act::Swish(alpha as f32), x, "x * sigmoid(x) as Swish")
    };
    gate(a, b).or_else(|| gate(b, a))
}

/// `x * hard_sigmoid(x)` and `x * clamp(x + 3, 0, 6) / 6`.
pub fn hard_swish(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let gate = |x: ValueId, gate: ValueId| -> Option<ValueId> {
        let (Act::HardSigmoid { alpha, beta }, z) = cx.activation(gate)? else { return None };
        (z == x && close(alpha.into(), 1.0 / 6.0) && beta == 0.5).then_some(x)
    };
    let either = |f: &dyn Fn(ValueId, ValueId) -> Option<ValueId>, a, b| f(a, b).or_else(|| f(b, a));
    let x = match as_binary(node, Binary::Mul).and_then(|(a, b)| either(&gate, a, b)) {
        Some(x) => x,
        None => {
            let (product, factor) = cx.scaled(node.output(0)?).filter(|s| close(s.1, 1.0 / 6.0))?;
            let _ = factor;
            let (a, b) = cx.binary(product, Binary::Mul)?;
            let clamped = |x, gate| (relu6_of_shifted(cx, gate)? == x).then_some(x);
            either(&clamped, a, b)?
        }
    };
    if !cx.is_f32(x) {
        return None;
    }
    becomes(cx, id, node, Act::HardSwish, x, "x * HardSigmoid(x) as HardSwish")
}

/// GELU by the error function, `x * (1 + erf(x / sqrt(2))) / 2`, or by the hyperbolic tangent,
/// `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2`, whatever the order of the factors.
pub fn gelu(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    as_binary(node, Binary::Mul)?;
    let out = node.output(0)?;
    let mut leaves = Vec::new();
    product_tree(cx, out, 3, &mut leaves);
    let (gate, x, act) = leaves.iter().find_map(|&gate| {
        let (inner, _) = cx.shifted(gate).filter(|s| s.1 == 1.0)?;
        let (x, act) = erf_argument(cx, inner).or_else(|| tanh_argument(cx, inner))?;
        Some((gate, x, act))
    })?;
    let (factor, mut rest) = factors(cx, out, &[x, gate], 4);
    rest.sort_unstable();
    let mut expected = vec![x, gate];
    expected.sort_unstable();
    if rest != expected || !close(factor, 0.5) || !cx.is_f32(x) {
        return None;
    }
    becomes(cx, id, node, act, x, "decomposed GELU as one node")
}

/// All values of a tree of products, the constants aside.
fn product_tree(cx: &PassCx<'_>, v: ValueId, depth: usize, out: &mut Vec<ValueId>) {
    out.push(v);
    if depth > 0
        && let Some((a, b)) = cx.binary(v, Binary::Mul)
    {
        product_tree(cx, a, depth - 1, out);
        product_tree(cx, b, depth - 1, out);
    }
}

/// `v` as a number times values, none of which is taken apart further if it is among `stop`.
fn factors(cx: &PassCx<'_>, v: ValueId, stop: &[ValueId], depth: usize) -> (f64, Vec<ValueId>) {
    if let Some(c) = cx.scalar(v) {
        return (c, Vec::new());
    }
    if depth > 0 && !stop.contains(&v) {
        if let Some((x, c)) = cx.scaled(v) {
            let (rest, values) = factors(cx, x, stop, depth - 1);
            return (c * rest, values);
        }
        if let Some((a, b)) = cx.binary(v, Binary::Mul) {
            let ((c, mut values), (d, more)) = (factors(cx, a, stop, depth - 1), factors(cx, b, stop, depth - 1));
            values.extend(more);
            return (c * d, values);
        }
        if let Some((x, e)) = cx.binary(v, Binary::Pow)
            && let Some(e) = cx.scalar(e).filter(|&e| e == 2.0 || e == 3.0)
        {
            return (1.0, vec![x; e as usize]);
        }
    }
    (1.0, vec![v])
}

fn erf_argument(cx: &PassCx<'_>, v: ValueId) -> Option<(ValueId, Act)> {
    let (_, node) = cx.made_by(v)?;
    let (Op::Unary(Unary::Erf), true) = (&node.op, node.epilogue.is_empty()) else { return None };
    let (x, factor) = cx.scaled(node.input(0)?)?;
    close(factor, 1.0 / SQRT_2).then_some((x, Act::Gelu))
}

fn tanh_argument(cx: &PassCx<'_>, v: ValueId) -> Option<(ValueId, Act)> {
    let (Act::Tanh, z) = cx.activation(v)? else { return None };
    let (sum, factor) = cx.scaled(z)?;
    let (a, b) = cx.binary(sum, Binary::Add)?;
    let cubed = |x: ValueId, cube: ValueId| -> Option<(ValueId, Act)> {
        let (factor, values) = factors(cx, cube, &[x], 4);
        (close(factor, 0.044715) && values == [x, x, x]).then_some((x, Act::GeluTanh))
    };
    close(factor, FRAC_2_PI.sqrt()).then(|| cubed(a, b).or_else(|| cubed(b, a)))?
}
