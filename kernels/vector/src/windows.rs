//! Pooling windows.

use paring_core::{
    Op,
    op::{PoolAttrs, PoolKind},
};
use paring_kernel::{Operand, Problem, Reject};

/// What of the input one window sees along one axis.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// First element that is not padding.
    pub first: usize,
    /// Elements that are not padding.
    pub taps: usize,
    /// Elements that are not beyond the padded input.
    pub count: usize,
}

/// Windows along both axes. One-dimensional pooling has a single row.
pub struct Grid {
    /// Rows and columns of the input.
    pub input: [usize; 2],
    /// Rows and columns of the output.
    pub output: [usize; 2],
    /// Inputs from one tap to the next.
    pub dilation: [usize; 2],
    /// The windows of each row of the output.
    pub rows: Vec<Window>,
    /// The windows of each column of the output.
    pub cols: Vec<Window>,
}

/// Operands and windows of a pooling that keeps the largest of each and does nothing else.
///
/// # Errors
/// [`Reject`] where it is none.
pub fn of_largest(p: &Problem) -> Result<(&Operand, &Operand, Grid), Reject> {
    let Op::Pool(a) = &p.op else { return Err("not a pooling".into()) };
    let (Some(x), Some(y)) = (p.input(0), p.output(0)) else { return Err("an operand is missing".into()) };
    if a.kind != PoolKind::Max || p.output(1).is_some() || !p.epilogue.is_empty() {
        return Err("only the largest of each window, without indices or epilogue".into());
    }
    Ok((x, y, Grid::of(&x.shape, &y.shape, a)?))
}

/// Rows and columns of the input and of the output of a pooling over one or two spatial axes.
///
/// # Errors
/// [`Reject`] where it is none.
pub fn images(x: &[usize], y: &[usize], a: &PoolAttrs) -> Result<([usize; 2], [usize; 2]), Reject> {
    let axes = x.len().wrapping_sub(2);
    if !(axes == 1 || axes == 2) {
        return Err("only one or two spatial axes".into());
    }
    let fits = |v: &[usize]| v.len() == axes && v.iter().all(|&d| d > 0);
    if !fits(&a.kernel) || !fits(&a.stride) || !fits(&a.dilation) || y.len() != x.len() || x[..2] != y[..2] {
        return Err("window and operands do not fit".into());
    }
    let pair = |s: &[usize]| if axes == 2 { [s[2], s[3]] } else { [1, s[2]] };
    Ok((pair(x), pair(y)))
}

impl Grid {
    /// The windows of a pooling.
    ///
    /// # Errors
    /// [`Reject`] as for [`images`].
    pub fn of(x: &[usize], y: &[usize], a: &PoolAttrs) -> Result<Grid, Reject> {
        let (input, output) = images(x, y, a)?;
        let one = a.kernel.len() == 1;
        let axis = |i: usize| -> Vec<Window> {
            let Some(i_attr) = (if one { i.checked_sub(1) } else { Some(i) }) else {
                return vec![Window { first: 0, taps: 1, count: 1 }; output[0]];
            };
            let (k, stride, dilation) = (a.kernel[i_attr], a.stride[i_attr], a.dilation[i_attr]);
            let (before, after) = a.padding.resolve(i_attr, input[i], k, stride, dilation);
            let end = before.saturating_add(input[i]);
            // Taps before position `limit` of the padded axis.
            let below = |start: usize, limit: usize| limit.saturating_sub(start).div_ceil(dilation).min(k);
            (0..output[i])
                .map(|o| {
                    let start = o.saturating_mul(stride);
                    let skipped = below(start, before);
                    let taps = below(start, end) - skipped;
                    let first = (start.saturating_add(skipped.saturating_mul(dilation))).saturating_sub(before);
                    Window {
                        first: if taps == 0 { 0 } else { first },
                        taps,
                        count: below(start, end.saturating_add(after)),
                    }
                })
                .collect()
        };
        let dilation = if one { [1, a.dilation[0]] } else { [a.dilation[0], a.dilation[1]] };
        Ok(Grid { input, output, dilation, rows: axis(0), cols: axis(1) })
    }
}
