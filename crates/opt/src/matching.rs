//! Questions that patterns ask of the graph.

use crate::PassCx;
use paring_core::{
    DType, Quant, Tensor, normalize_axis,
    op::{Act, Binary},
};
use paring_ir::{Dim, Node, NodeId, Op, ValueId};
use std::sync::Arc;

impl PassCx<'_> {
    /// The elements of a constant.
    pub fn constant(&self, v: ValueId) -> Option<&Arc<Tensor>> {
        self.graph().constant(v)
    }

    /// The only element of a constant.
    pub fn scalar(&self, v: ValueId) -> Option<f64> {
        let c = self.constant(v).filter(|c| c.len() == 1)?;
        c.to_f64s()?.first().copied()
    }

    /// The elements of a constant integer tensor.
    pub fn ints(&self, v: ValueId) -> Option<Vec<i64>> {
        self.graph().value(v).fact.const_i64s()
    }

    /// The dimensions.
    pub fn dims(&self, v: ValueId) -> Option<&[Dim]> {
        self.graph().ty(v).shape.as_deref()
    }

    /// Dimension `i`, where it is a number.
    pub fn dim(&self, v: ValueId, i: usize) -> Option<usize> {
        self.dims(v)?.get(i)?.known()
    }

    /// Whether both have the very same type.
    pub fn same_type(&self, a: ValueId, b: ValueId) -> bool {
        let (a, b) = (self.graph().ty(a), self.graph().ty(b));
        a.dtype == b.dtype && a.shape.is_some() && a.shape == b.shape && a.quant == b.quant
    }

    /// Whether the elements are `f32`.
    pub fn is_f32(&self, v: ValueId) -> bool {
        self.graph().ty(v).dtype == DType::F32
    }

    /// The node of which `v` is output 0.
    pub fn made_by(&self, v: ValueId) -> Option<(NodeId, &Node)> {
        let (id, 0) = self.graph().producer(v)? else { return None };
        Some((id, self.graph().node(id)?))
    }

    /// The operands, where `v` is made by this function of two numbers and nothing more.
    pub fn binary(&self, v: ValueId, kind: Binary) -> Option<(ValueId, ValueId)> {
        let (_, node) = self.made_by(v)?;
        as_binary(node, kind)
    }

    /// The operand, where `v` is made by this non-linearity and nothing more.
    pub fn activation(&self, v: ValueId) -> Option<(Act, ValueId)> {
        let (_, node) = self.made_by(v)?;
        match node.op {
            Op::Activation(act) if node.epilogue.is_empty() => Some((act, node.input(0)?)),
            _ => None,
        }
    }

    /// `(x, c)` where `v` is `x * c` or `x / (1/c)` for a scalar constant.
    pub fn scaled(&self, v: ValueId) -> Option<(ValueId, f64)> {
        if let Some((a, b)) = self.binary(v, Binary::Mul) {
            return self.scalar(b).map(|c| (a, c)).or_else(|| Some((b, self.scalar(a)?)));
        }
        let (a, b) = self.binary(v, Binary::Div)?;
        Some((a, 1.0 / self.scalar(b)?))
    }

    /// `(x, c)` where `v` is `x + c` for a scalar constant.
    pub fn shifted(&self, v: ValueId) -> Option<(ValueId, f64)> {
        let (a, b) = self.binary(v, Binary::Add)?;
        self.scalar(b).map(|c| (a, c)).or_else(|| Some((b, self.scalar(a)?)))
    }

    /// The elements of a constant `f32` operand of an elementwise node, one per channel: it must be one number, or
    /// have all its elements along `axis` of an output of rank `rank` with `channels` of them.
    pub fn per_channel(&self, v: ValueId, rank: usize, axis: usize, channels: usize) -> Option<Vec<f64>> {
        let c = self.constant(v).filter(|c| c.dtype() == DType::F32)?;
        let shape = c.shape();
        if c.len() == 1 && shape.len() <= rank {
            return Some(vec![c.to_f64s()?[0]; channels]);
        }
        let at = (axis + shape.len()).checked_sub(rank)?;
        let fits = shape.iter().enumerate().all(|(i, &d)| d == if i == at { channels } else { 1 });
        if at < shape.len() && fits { c.to_f64s() } else { None }
    }
}

/// Numbers that are a linear function of integers, by constants.
pub struct Linear {
    /// The integers: bytes.
    pub x: ValueId,
    /// What they stand for.
    pub quant: Quant,
}

impl Linear {
    /// What `v` is made of by `DequantizeLinear` alone.
    pub fn of(cx: &PassCx<'_>, v: ValueId) -> Option<Linear> {
        let (_, node) = cx.made_by(v)?;
        let Op::DequantizeLinear(a) = node.op else { return None };
        let x = node.input(0)?;
        let bytes = matches!(cx.graph().ty(x).dtype, DType::U8 | DType::I8) && node.epilogue.is_empty();
        Some(Linear { x, quant: Linear::parameters(cx, node, a.axis)? }).filter(|_| bytes)
    }

    /// The constant scales and zero points in inputs 1 and 2 of a conversion along `axis`.
    pub fn parameters(cx: &PassCx<'_>, node: &Node, axis: i64) -> Option<Quant> {
        let scale = cx.constant(node.input(1)?)?;
        let rank = cx.graph().ty(node.input(0)?).rank()?;
        let vector = scale.shape().len() == 1 && scale.len() > 1;
        let axis = if vector { Some(normalize_axis(axis, rank).ok()?) } else { None };
        let scale: Vec<f32> = scale.elements::<f32>()?.into_owned();
        let zero_point = match node.input(2) {
            None => vec![0; scale.len()],
            Some(z) => cx.constant(z)?.to_f64s()?.iter().map(|&z| z as i32).collect(),
        };
        let zero_point = if zero_point.len() == 1 { vec![zero_point[0]; scale.len()] } else { zero_point };
        (zero_point.len() == scale.len() && !scale.is_empty()).then_some(Quant { axis, scale, zero_point })
    }
}

/// The operands of a node that is this function of two numbers and nothing more.
pub fn as_binary(node: &Node, kind: Binary) -> Option<(ValueId, ValueId)> {
    match node.op {
        Op::Binary(k) if k == kind && node.epilogue.is_empty() => Some((node.input(0)?, node.input(1)?)),
        _ => None,
    }
}

/// Whether two numbers are equal but for the rounding of `f32` constants in files.
pub fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-4 * b.abs().max(1e-3)
}

/// Axes counted from the front, in order, each once.
pub fn sorted_axes(axes: &[i64], rank: usize) -> Option<Vec<usize>> {
    let mut out: Vec<usize> = axes.iter().map(|&a| normalize_axis(a, rank).ok()).collect::<Option<_>>()?;
    out.sort_unstable();
    out.dedup();
    Some(out)
}

/// An `f32` tensor of numbers computed in `f64`.
pub fn f32_tensor(shape: &[usize], values: &[f64]) -> Option<Tensor> {
    let values: Vec<f32> = values.iter().map(|&x| x as f32).collect();
    Tensor::new(shape, &values).ok()
}
