//! From the position of an output element to that of an input element, without a mutable counter.

use crate::io::{KernelResult, problem};
use alloc::{format, vec::Vec};
use paring_core::strides;

#[derive(Clone, Copy, Debug)]
struct Axis {
    /// Elements of the output that one step along the axis skips.
    out: usize,
    /// Elements of the input likewise; 0 where it is broadcast.
    step: isize,
}

/// An affine map from flat output positions to flat input positions.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    axes: Vec<Axis>,
    offset: isize,
    identity: bool,
}

impl Walk {
    /// Input position `offset + sum(index[d] * steps[d])` for the output index over `out_shape`.
    pub fn new(out_shape: &[usize], steps: &[isize], offset: isize) -> Walk {
        let out = strides(out_shape);
        let axes: Vec<Axis> = (0..out_shape.len())
            .filter(|&d| out_shape[d] != 1)
            .map(|d| Axis { out: out[d].max(1), step: steps[d] })
            .collect();
        let identity = offset == 0 && axes.iter().all(|a| a.out as isize == a.step);
        Walk { axes, offset, identity }
    }

    /// The element of a tensor of `shape` that is broadcast to `out_shape`.
    pub fn broadcast(shape: &[usize], out_shape: &[usize]) -> KernelResult<Walk> {
        let fail = || problem(format!("shape {shape:?} does not broadcast to {out_shape:?}"));
        let lead = out_shape.len().checked_sub(shape.len()).ok_or_else(fail)?;
        let own = strides(shape);
        let mut steps = alloc::vec![0isize; out_shape.len()];
        for (d, &n) in shape.iter().enumerate() {
            if n == out_shape[lead + d] {
                steps[lead + d] = own[d] as isize;
            } else if n != 1 {
                return Err(fail());
            }
        }
        Ok(Walk::new(out_shape, &steps, 0))
    }

    /// The input position of output position `o`.
    #[inline]
    pub fn at(&self, o: usize) -> usize {
        if self.identity {
            return o;
        }
        let (mut rest, mut at) = (o, self.offset);
        for a in &self.axes {
            at += (rest / a.out) as isize * a.step;
            rest %= a.out;
        }
        at as usize
    }
}

/// Product of the dimensions before `axis`, the dimension, and the product of those after.
pub(crate) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    (product(&shape[..axis]), shape[axis], product(&shape[axis + 1..]))
}

/// Number of elements of part of a shape. Saturates: where another axis is empty, the part may be huge.
pub(crate) fn product(shape: &[usize]) -> usize {
    if shape.contains(&0) { 0 } else { shape.iter().fold(1, |n, &d| n.saturating_mul(d)) }
}
