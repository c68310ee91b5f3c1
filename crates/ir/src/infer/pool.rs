//! Pooling.

use super::{conv::*, cx::*};
use crate::{Dim, Fact};
use alloc::{format, vec, vec::Vec};
use paring_core::{
    DType,
    op::{GlobalPool, MaxUnpoolAttrs, PoolAttrs, PoolKind, RoiAlignAttrs},
};

pub(super) fn pool(a: &PoolAttrs, cx: &mut Cx<'_>) -> Facts {
    let windows =
        Windows { kernel: &a.kernel, stride: &a.stride, dilation: &a.dilation, padding: &a.padding, ceil: a.ceil };
    windows.check()?;
    let x = cx.input(0, "x")?;
    need_number(x, "x")?;
    match a.kind {
        PoolKind::Max => {}
        _ if cx.outputs > 1 => return Err(crate::InferError::Arity("only max pooling has a second output".into())),
        PoolKind::Lp { p: 0 } => return Err(shape_error!("p must be at least 1, found 0")),
        PoolKind::Average { .. } | PoolKind::Lp { .. } => {}
    }
    let xs = cx.dims_of_rank(x, a.kernel.len() + 2, "x")?;
    let mut out = xs[..2].to_vec();
    out.extend(windows.output(&xs[2..])?);
    let values = match a.kind {
        PoolKind::Max => moved(x, Some(out.clone())),
        _ => typed(x.ty.dtype, Some(out.clone())),
    };
    Ok(vec![values, typed(DType::I64, Some(out))])
}

pub(super) fn global_pool(a: &GlobalPool, cx: &mut Cx<'_>) -> Facts {
    let x = cx.input(0, "x")?;
    need_number(x, "x")?;
    if let GlobalPool::Lp { p: 0 } = a {
        return Err(shape_error!("p must be at least 1, found 0"));
    }
    let Some(shape) = &x.ty.shape else { return one(x.ty.dtype, None) };
    if shape.len() < 2 {
        return Err(shape_error!("x must have rank 2 or more, found {}", x.ty));
    }
    for (axis, d) in shape[2..].iter().enumerate() {
        need_positive(d, &format!("spatial axis {axis} of x"))?;
    }
    let out = shape.iter().enumerate().map(|(i, d)| if i < 2 { d.clone() } else { Dim::Known(1) }).collect();
    one(x.ty.dtype, Some(out))
}

pub(super) fn max_unpool(a: &MaxUnpoolAttrs, cx: &mut Cx<'_>) -> Facts {
    let axes = a.kernel.len();
    need_entries("kernel", &a.kernel, axes, 1)?;
    need_entries("stride", &a.stride, axes, 1)?;
    need_entries("padding before", &a.before, axes, 0)?;
    need_entries("padding after", &a.after, axes, 0)?;
    let (x, indices) = (cx.input(0, "x")?, cx.input(1, "indices")?);
    if indices.ty.dtype != DType::I64 {
        return Err(dtype_error!("indices must be i64, found {}", indices.ty.dtype));
    }
    let mut xs = cx.dims_of_rank(x, axes + 2, "x")?;
    if let Some(i) = &indices.ty.shape {
        xs = unify_shapes(&xs, i, "indices")?;
    }
    let out = match cx.optional(2) {
        Some(shape) => given_shape(cx, shape, axes + 2)?,
        None => {
            let mut out = xs[..2].to_vec();
            for (i, d) in xs[2..].iter().enumerate() {
                let full = d.sub(&Dim::Known(1)).mul(&Dim::from(a.stride[i])).add(&Dim::from(a.kernel[i]));
                out.push(full.sub(&Dim::from(a.before[i])).sub(&Dim::from(a.after[i])));
            }
            out
        }
    };
    one(x.ty.dtype, Some(out))
}

fn given_shape(cx: &mut Cx<'_>, shape: &Fact, rank: usize) -> Result<Vec<Dim>> {
    let list = list(shape, "output_shape")?;
    match list.len {
        Some(n) if n != rank => Err(shape_error!("output_shape must have {rank} entries, found {n}")),
        _ => Ok(list.elements.unwrap_or_else(|| cx.fresh_shape(rank))),
    }
}

pub(super) fn roi_align(a: &RoiAlignAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, rois, batch) = (cx.input(0, "x")?, cx.input(1, "rois")?, cx.input(2, "batch_indices")?);
    need_float(x, "x")?;
    same_dtype(x, "x", rois, "rois")?;
    need_index(batch, "batch_indices")?;
    let xs = cx.dims_of_rank(x, 4, "x")?;
    let regions = cx.dims_of_rank(rois, 2, "rois")?;
    unify(&Dim::Known(4), &regions[1], "axis 1 of rois")?;
    let indices = cx.dims_of_rank(batch, 1, "batch_indices")?;
    let count = unify(&regions[0], &indices[0], "number of rois, and of batch_indices")?;
    let (h, w) = (Dim::from(a.output_height), Dim::from(a.output_width));
    need_positive(&h, "output height")?;
    need_positive(&w, "output width")?;
    one(x.ty.dtype, Some(vec![count, xs[1].clone(), h, w]))
}
