//! Operators that read or write where indices say.

use crate::io::{Built, KernelResult, Slot, View, ViewMut, built, data, ensure, problem};
use crate::scalar::{max, min};
use crate::walk::{Walk, around, product};
use alloc::{format, vec::Vec};
use paring_core::{
    op::{AxisAttrs, GatherNdAttrs, ScatterAttrs, ScatterNdAttrs, ScatterReduction},
    strides,
};
use paring_kernel::Problem;

/// `index`, from the back where negative, within `n`.
fn place(index: i128, n: usize) -> KernelResult<usize> {
    let at = if index < 0 { index + n as i128 } else { index };
    let fail = || data(format!("index {index} is outside an axis of {n} elements"));
    usize::try_from(at).ok().filter(|&i| i < n).ok_or_else(fail)
}

fn indices(p: &Problem) -> KernelResult<Slot> {
    let s = Slot::input(p, 1)?;
    ensure(s.dtype.is_int(), || format!("the indices are {}, not integers", s.dtype))?;
    Ok(s)
}

/// Input 0, the indices and output 0.
fn gathering(p: &Problem) -> KernelResult<(Slot, Slot, Slot)> {
    let (x, i, y) = (Slot::input(p, 0)?, indices(p)?, Slot::output(p, 0)?);
    y.expect_dtype("the output", x.dtype)?;
    Ok((x, i, y))
}

/// `Gather`.
pub(crate) fn gather(p: &Problem, a: &AxisAttrs) -> KernelResult<Built> {
    let (x, index, y) = gathering(p)?;
    let axis = x.axis(a.axis)?;
    let (outer, n, inner) = around(&x.shape, axis);
    let expected = [&x.shape[..axis], &index.shape, &x.shape[axis + 1..]].concat();
    y.expect_shape("the output", &expected)?;
    let unit = inner * x.size();
    built(0, move |io| {
        let (xb, iv) = (x.bytes(io), index.view(io));
        let out = y.target_bytes(io);
        for k in 0..index.len {
            let from = place(iv.int(k), n)?;
            for o in 0..outer {
                let to = (o * index.len + k) * unit;
                out[to..to + unit].copy_from_slice(&xb[(o * n + from) * unit..][..unit]);
            }
        }
        Ok(())
    })
}

/// Position within `shape` of the element at `index`'s own position, but for `axis`, where the index counts.
struct ElementWalk {
    walk: Walk,
    step: usize,
    n: usize,
}

impl ElementWalk {
    fn new(x: &Slot, index: &Slot, axis: usize) -> KernelResult<ElementWalk> {
        let fits = index.rank() == x.rank() && (0..x.rank()).all(|d| d == axis || index.shape[d] <= x.shape[d]);
        ensure(fits, || format!("indices {:?} do not fit {:?} along axis {axis}", index.shape, x.shape))?;
        let own = strides(&x.shape);
        let steps: Vec<isize> = (0..x.rank()).map(|d| if d == axis { 0 } else { own[d] as isize }).collect();
        Ok(ElementWalk { walk: Walk::new(&index.shape, &steps, 0), step: own[axis], n: x.shape[axis] })
    }

    fn at(&self, indices: &View<'_>, i: usize) -> KernelResult<usize> {
        Ok(self.walk.at(i) + place(indices.int(i), self.n)? * self.step)
    }
}

/// `GatherElements`.
pub(crate) fn gather_elements(p: &Problem, a: &AxisAttrs) -> KernelResult<Built> {
    let (x, index, y) = gathering(p)?;
    y.expect_shape("the output", &index.shape)?;
    let walk = ElementWalk::new(&x, &index, x.axis(a.axis)?)?;
    let size = x.size();
    built(0, move |io| {
        let (xb, iv) = (x.bytes(io), index.view(io));
        for (i, to) in y.target_bytes(io).chunks_exact_mut(size).enumerate() {
            to.copy_from_slice(&xb[walk.at(&iv, i)? * size..][..size]);
        }
        Ok(())
    })
}

/// Index tuples into the leading axes of a tensor.
struct Tuples {
    /// Extent and stride of each axis that the tuples index.
    axes: Vec<(usize, usize)>,
    /// Elements of the slice that one tuple picks.
    slice: usize,
    /// Number of tuples.
    count: usize,
    /// Tuples per batch, and elements of one batch.
    per_batch: (usize, usize),
}

impl Tuples {
    fn new(x: &Slot, index: &Slot, batch_dims: usize) -> KernelResult<Tuples> {
        let fail = || problem(format!("indices {:?} do not fit {:?} after {batch_dims} axes", index.shape, x.shape));
        let (&width, lead) = index.shape.split_last().ok_or_else(fail)?;
        let end = batch_dims.checked_add(width).filter(|&e| e <= x.rank()).ok_or_else(fail)?;
        ensure(batch_dims <= lead.len() && x.shape[..batch_dims] == lead[..batch_dims], || {
            format!("indices {:?} and {:?} do not share {batch_dims} axes", index.shape, x.shape)
        })?;
        let own = strides(&x.shape);
        Ok(Tuples {
            axes: (batch_dims..end).map(|d| (x.shape[d], own[d])).collect(),
            slice: product(&x.shape[end..]),
            count: product(lead),
            per_batch: (product(&lead[batch_dims..]), product(&x.shape[batch_dims..])),
        })
    }

    /// The first element that tuple `t` picks.
    fn at(&self, indices: &View<'_>, t: usize) -> KernelResult<usize> {
        let mut at = t / self.per_batch.0 * self.per_batch.1;
        for (k, &(n, stride)) in self.axes.iter().enumerate() {
            at += place(indices.int(t * self.axes.len() + k), n)? * stride;
        }
        Ok(at)
    }
}

/// `GatherNd`.
pub(crate) fn gather_nd(p: &Problem, a: &GatherNdAttrs) -> KernelResult<Built> {
    let (x, index, y) = gathering(p)?;
    let tuples = Tuples::new(&x, &index, a.batch_dims)?;
    let tail = &x.shape[a.batch_dims + tuples.axes.len()..];
    y.expect_shape("the output", &[&index.shape[..index.rank() - 1], tail].concat())?;
    let unit = tuples.slice * x.size();
    built(0, move |io| {
        let (xb, iv) = (x.bytes(io), index.view(io));
        let out = y.target_bytes(io);
        for t in 0..tuples.count {
            let from = tuples.at(&iv, t)? * x.size();
            out[t * unit..][..unit].copy_from_slice(&xb[from..][..unit]);
        }
        Ok(())
    })
}

/// What scattering works on: input 0, the indices, the updates, output 0.
fn scattering(p: &Problem, reduction: ScatterReduction) -> KernelResult<(Slot, Slot, Slot, Slot)> {
    let (x, index, u, y) = (Slot::input(p, 0)?, indices(p)?, Slot::input(p, 2)?, Slot::output(p, 0)?);
    y.expect_dtype("the output", x.dtype)?;
    y.expect_shape("the output", &x.shape)?;
    u.expect_dtype("the updates", x.dtype)?;
    let number = x.dtype.is_float() || x.dtype.is_int();
    ensure(number || reduction == ScatterReduction::Replace, || format!("{reduction:?} of {}", x.dtype))?;
    Ok((x, index, u, y))
}

fn combine(how: ScatterReduction, out: &mut ViewMut<'_>, at: usize, u: &View<'_>, i: usize, float: bool) {
    if float {
        let (old, new) = (out.f(at), u.f(i));
        out.put_f(
            at,
            match how {
                ScatterReduction::Replace => new,
                ScatterReduction::Add => old + new,
                ScatterReduction::Mul => old * new,
                ScatterReduction::Min => min(old, new),
                ScatterReduction::Max => max(old, new),
            },
        );
    } else {
        let (old, new) = (out.int(at), u.int(i));
        out.put_int(
            at,
            match how {
                ScatterReduction::Replace => new,
                ScatterReduction::Add => old.wrapping_add(new),
                ScatterReduction::Mul => old.wrapping_mul(new),
                ScatterReduction::Min => old.min(new),
                ScatterReduction::Max => old.max(new),
            },
        );
    }
}

/// `ScatterElements`.
pub(crate) fn scatter_elements(p: &Problem, a: &ScatterAttrs) -> KernelResult<Built> {
    let (x, index, u, y) = scattering(p, a.reduction)?;
    u.expect_shape("the updates", &index.shape)?;
    let walk = ElementWalk::new(&x, &index, x.axis(a.axis)?)?;
    let (how, float) = (a.reduction, x.dtype.is_float());
    built(0, move |io| {
        let (xb, iv, uv) = (x.bytes(io), index.view(io), u.view(io));
        y.target_bytes(io).copy_from_slice(xb);
        let mut out = y.target(io);
        for i in 0..index.len {
            combine(how, &mut out, walk.at(&iv, i)?, &uv, i, float);
        }
        Ok(())
    })
}

/// `ScatterNd`.
pub(crate) fn scatter_nd(p: &Problem, a: &ScatterNdAttrs) -> KernelResult<Built> {
    let (x, index, u, y) = scattering(p, a.reduction)?;
    let tuples = Tuples::new(&x, &index, 0)?;
    let tail = &x.shape[tuples.axes.len()..];
    u.expect_shape("the updates", &[&index.shape[..index.rank() - 1], tail].concat())?;
    let (how, float) = (a.reduction, x.dtype.is_float());
    built(0, move |io| {
        let (xb, iv, uv) = (x.bytes(io), index.view(io), u.view(io));
        y.target_bytes(io).copy_from_slice(xb);
        let mut out = y.target(io);
        for t in 0..tuples.count {
            let at = tuples.at(&iv, t)?;
            for e in 0..tuples.slice {
                combine(how, &mut out, at + e, &uv, t * tuples.slice + e, float);
            }
        }
        Ok(())
    })
}

/// `OneHot`. An index outside the depth sets nothing.
pub(crate) fn one_hot(p: &Problem, a: &AxisAttrs) -> KernelResult<Built> {
    let (index, values, y) = (Slot::input(p, 0)?, Slot::input(p, 2)?, Slot::output(p, 0)?);
    values.expect_shape("the values", &[2])?;
    values.expect_dtype("the values", y.dtype)?;
    let axis = y.axis(a.axis)?;
    let (_, depth, inner) = around(&y.shape, axis);
    let mut expected = index.shape.clone();
    expected.insert(axis.min(expected.len()), depth);
    y.expect_shape("the output", &expected)?;
    let size = y.size();
    built(0, move |io| {
        let (iv, vb) = (index.view(io), values.bytes(io));
        for (i, to) in y.target_bytes(io).chunks_exact_mut(size).enumerate() {
            let k = iv.int(i / inner / depth * inner + i % inner);
            let k = if k < 0 { k + depth as i128 } else { k };
            let on = k == (i / inner % depth) as i128;
            to.copy_from_slice(&vb[on as usize * size..][..size]);
        }
        Ok(())
    })
}
