//! Matrix products.

use super::cx::*;
use crate::{Dim, Fact};
use alloc::{collections::BTreeMap, format, vec, vec::Vec};
use paring_core::{
    DType,
    op::{DenseAttrs, EinsumAttrs, Equation, Label},
};

pub(super) fn dense(a: &DenseAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, w) = (cx.input(0, "x")?, cx.input(1, "w")?);
    need_number(x, "x")?;
    same_dtype(x, "x", w, "w")?;
    let ws = cx.dims_of_rank(w, 2, "w")?;
    let (k, n) = if a.transposed { (&ws[1], &ws[0]) } else { (&ws[0], &ws[1]) };
    let Some(shape) = &x.ty.shape else { return one(x.ty.dtype, None) };
    let Some((last, outer)) = shape.split_last() else {
        return Err(shape_error!("x must have rank 1 or more, found a scalar"));
    };
    unify(k, last, &format!("last axis of x, which w of shape {} fixes", show(&ws)))?;
    let mut out = outer.to_vec();
    out.push(n.clone());
    one(x.ty.dtype, Some(out))
}

pub(super) fn matmul(cx: &mut Cx<'_>) -> Facts {
    let (a, b) = (cx.input(0, "a")?, cx.input(1, "b")?);
    need_number(a, "a")?;
    same_dtype(a, "a", b, "b")?;
    one(a.ty.dtype, product_shape(a, b)?)
}

pub(super) fn matmul_integer(cx: &mut Cx<'_>) -> Facts {
    let (a, b) = (cx.input(0, "a")?, cx.input(1, "b")?);
    need_bytes(a, "a")?;
    need_bytes(b, "b")?;
    let shape = product_shape(a, b)?;
    if let Some(zero) = cx.optional(2) {
        same_dtype(a, "a", zero, "a_zero")?;
        // A vector has one for each row, though it would broadcast along them.
        match (zero.ty.shape.as_deref(), a.ty.shape.as_deref()) {
            (Some([n]), Some([.., m, _])) if !n.is(1) => drop(unify(m, n, "rows of a, and length of a_zero")?),
            (_, Some(a)) => broadcasts_to(zero, a, "a_zero")?,
            _ => {}
        }
    }
    if let Some(zero) = cx.optional(3) {
        same_dtype(b, "b", zero, "b_zero")?;
        b.ty.shape.as_ref().map_or(Ok(()), |b| broadcasts_to(zero, b, "b_zero"))?;
    }
    let columns = b.ty.shape.as_ref().filter(|s| s.len() > 1).and_then(|s| s.last());
    sums(cx.optional(4), columns, shape)
}

/// The only output, of sums of products of bytes: `i32`, or `f32` where there is a scale for all of them or for each
/// channel.
pub(super) fn sums(scale: Option<&Fact>, channels: Option<&Dim>, shape: Option<Vec<Dim>>) -> Facts {
    let Some(scale) = scale else { return one(DType::I32, shape) };
    if scale.ty.dtype != DType::F32 {
        return Err(dtype_error!("scale must be f32, found {}", scale.ty.dtype));
    }
    one_for_each(scale, channels, "scale")?;
    one(DType::F32, shape)
}

/// The shape of the product of two operands, where both of theirs are known.
fn product_shape(a: &Fact, b: &Fact) -> Result<Option<Vec<Dim>>> {
    let (Some(sa), Some(sb)) = (&a.ty.shape, &b.ty.shape) else { return Ok(None) };
    if sa.is_empty() || sb.is_empty() {
        return Err(shape_error!("operands must have rank 1 or more, found {} and {}", a.ty, b.ty));
    }
    // A vector becomes a matrix of one row or one column, and that axis goes away afterwards.
    let left = if sa.len() == 1 { vec![Dim::Known(1), sa[0].clone()] } else { sa.clone() };
    let right = if sb.len() == 1 { vec![sb[0].clone(), Dim::Known(1)] } else { sb.clone() };
    let (lr, rr) = (left.len(), right.len());
    unify(&left[lr - 1], &right[rr - 2], &format!("the inner dimension of {} x {}", a.ty, b.ty))?;
    let mut out = broadcast(&left[..lr - 2], &right[..rr - 2])?;
    if sa.len() > 1 {
        out.push(left[lr - 2].clone());
    }
    if sb.len() > 1 {
        out.push(right[rr - 1].clone());
    }
    Ok(Some(out))
}

pub(super) fn einsum(a: &EinsumAttrs, cx: &mut Cx<'_>) -> Facts {
    let equation = Equation::parse(&a.equation).map_err(|e| shape_error!("{e}"))?;
    if equation.terms.len() != cx.inputs.len() {
        return Err(shape_error!(
            "equation '{}' has {} operands, but the node has {}",
            a.equation,
            equation.terms.len(),
            cx.inputs.len()
        ));
    }
    let first = cx.input(0, "x")?;
    need_number(first, "x")?;
    let mut dims: BTreeMap<char, Dim> = BTreeMap::new();
    let mut batch: Option<Vec<Dim>> = Some(Vec::new());
    for (i, term) in equation.terms.iter().enumerate() {
        let x = cx.input(i, "operand of the equation")?;
        same_dtype(first, "operand 0", x, &format!("operand {i}"))?;
        let Some(shape) = &x.ty.shape else {
            if term.has_dots() {
                batch = None;
            }
            continue;
        };
        let Some(hidden) = term.hidden(shape.len()) else {
            let named = term.letters().count();
            return Err(shape_error!("equation '{}' gives operand {i} {named} axes, but it is {}", a.equation, x.ty));
        };
        let mut dots = Vec::with_capacity(hidden);
        for (label, d) in term.labels(hidden).into_iter().zip(shape) {
            let Label::Letter(l) = label else {
                dots.push(d.clone());
                continue;
            };
            let joined = match dims.get(&l) {
                // Axes of length 1 broadcast.
                Some(seen) if seen.is(1) => d.clone(),
                Some(seen) if d.is(1) => seen.clone(),
                Some(seen) => unify(seen, d, &format!("axis '{l}' of equation '{}'", a.equation))?,
                None => d.clone(),
            };
            dims.insert(l, joined);
        }
        batch = batch.map(|b| broadcast(&b, &dots)).transpose()?;
    }
    let Some(batch) = batch.or((!equation.result.has_dots()).then(Vec::new)) else {
        return one(first.ty.dtype, None);
    };
    let mut out = Vec::new();
    for label in equation.result.labels(batch.len()) {
        out.push(match label {
            Label::Dots(from_last) => batch[batch.len() - 1 - from_last].clone(),
            Label::Letter(l) => dims.get(&l).cloned().unwrap_or_else(|| cx.fresh()),
        });
    }
    one(first.ty.dtype, Some(out))
}
