//! Arithmetic on concrete shapes, with every overflow caught.

use alloc::vec::Vec;
use thiserror::Error;

/// What can be wrong with a shape.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// The number of elements does not fit the address space.
    #[error("shape {0:?} has more elements than this machine can address")]
    Overflow(Vec<usize>),
    /// Two shapes cannot be broadcast together.
    #[error("shapes {0:?} and {1:?} do not broadcast")]
    Broadcast(Vec<usize>, Vec<usize>),
    /// An axis lies outside the rank.
    #[error("axis {axis} is outside a tensor of rank {rank}")]
    Axis {
        /// The axis given.
        axis: i64,
        /// The rank it must lie within.
        rank: usize,
    },
}

/// Number of elements of `shape` (1 for a scalar).
///
/// # Errors
/// [`ShapeError::Overflow`] where the product exceeds `isize::MAX`.
pub fn numel(shape: &[usize]) -> Result<usize, ShapeError> {
    if shape.contains(&0) {
        return Ok(0);
    }
    shape
        .iter()
        .try_fold(1usize, |n, &d| n.checked_mul(d))
        .filter(|&n| n <= isize::MAX as usize)
        .ok_or_else(|| ShapeError::Overflow(shape.to_vec()))
}

/// Row-major strides of `shape`, in elements. The product must not overflow (see [`numel`]).
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut s = alloc::vec![1usize; shape.len()];
    for i in (0..shape.len().saturating_sub(1)).rev() {
        s[i] = s[i + 1].saturating_mul(shape[i + 1]);
    }
    s
}

/// The shape that `a` and `b` broadcast to by the rules of NumPy.
///
/// # Errors
/// [`ShapeError::Broadcast`] where two dimensions differ and neither is 1.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, ShapeError> {
    let rank = a.len().max(b.len());
    let at = |s: &[usize], i: usize| (i + s.len()).checked_sub(rank).map_or(1, |j| s[j]);
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (x, y) if x == y => Ok(x),
            (1, y) => Ok(y),
            (x, 1) => Ok(x),
            _ => Err(ShapeError::Broadcast(a.to_vec(), b.to_vec())),
        })
        .collect()
}

/// `axis` counted from the front, for an axis that may be negative.
///
/// # Errors
/// [`ShapeError::Axis`] where it lies outside `-rank..rank`.
pub fn normalize_axis(axis: i64, rank: usize) -> Result<usize, ShapeError> {
    let r = rank as i64;
    if axis < -r || axis >= r {
        return Err(ShapeError::Axis { axis, rank });
    }
    Ok(if axis < 0 { axis + r } else { axis } as usize)
}
