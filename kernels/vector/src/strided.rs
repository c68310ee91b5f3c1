//! Copies from strided places into contiguous ones: what transposes, slices, broadcasts and shuffles come down to.

use crate::{loops::MOST_DIMS, support::*};
use paring_kernel::{Parallel, Reject, SharedMut};
use paring_simd::{LANES, Simd, Task};
use std::ops::Range;

/// A loop nest over the output, and where its elements come from.
#[derive(Clone, Debug)]
pub(crate) struct Strided {
    /// Extent, step in the input, step in the output; all but the two of the plane.
    outer: Vec<(usize, isize, usize)>,
    /// The dimension of rows: the one that is contiguous in the input, where the innermost is not.
    rows: (usize, isize, usize),
    /// The innermost dimension of the output: extent and step in the input.
    cols: (usize, isize),
    /// Rows of one unit.
    tile: usize,
    offset: isize,
    len: usize,
}

impl Strided {
    /// Fills an output of `dims` with the elements `offset + sum(index * strides)` of an input of `input` elements.
    pub(crate) fn new(dims: &[usize], strides: &[isize], offset: isize, input: usize) -> Result<Strided, Reject> {
        let len: usize = dims.iter().product();
        // Neighbours that the input walks as one are merged.
        let mut nest: Vec<(usize, isize)> = Vec::new();
        for (&n, &s) in dims.iter().zip(strides).filter(|d| *d.0 != 1) {
            match nest.last_mut() {
                Some((m, t)) if *t == s.saturating_mul(n as isize) => {
                    *m *= n;
                    *t = s;
                }
                _ => nest.push((n, s)),
            }
        }
        while nest.len() < 2 {
            nest.insert(0, (1, 0));
        }
        if nest.len() > MOST_DIMS {
            return Err("more than eight dimensions that do not merge".into());
        }
        // Every index is checked here, once, for the extremes.
        let reach = |pick: fn(isize, isize) -> isize| {
            nest.iter().fold(offset, |at, &(n, s)| at.saturating_add(pick(0, s.saturating_mul(n as isize - 1))))
        };
        if len > 0 && (reach(isize::min) < 0 || reach(isize::max) >= input as isize) {
            return Err("the output reaches beyond the input".into());
        }
        let mut out = 1;
        let mut with_out: Vec<(usize, isize, usize)> = Vec::new();
        for &(n, s) in nest.iter().rev() {
            with_out.insert(0, (n, s, out));
            out *= n;
        }
        let (cols, cs, _) = with_out.pop().ok_or("no dimensions")?;
        let row = match with_out.iter().position(|d| d.1 == 1) {
            Some(i) if cs != 1 => i,
            _ => with_out.len() - 1,
        };
        let rows = with_out.remove(row);
        let tile = (4096 / cols.max(1)).max(LANES).next_multiple_of(LANES);
        Ok(Strided { outer: with_out, rows, cols: (cols, cs), tile, offset, len })
    }

    /// Runs on several workers.
    pub(crate) fn run<S: Simd, T: bytemuck::Pod + Sync + Send>(
        &self,
        s: S,
        x: &[T],
        y: SharedMut<'_, T>,
        parallel: &dyn Parallel,
    ) {
        assert!(y.len() == self.len, "the output has another size than prepared for");
        let per_plane = self.rows.0.div_ceil(self.tile);
        let units = self.outer.iter().map(|d| d.0).product::<usize>() * per_plane;
        split(parallel, units, self.len * size_of::<T>() * 2, &|units, _| {
            s.vectorize(Pass { nest: self, x, y, per_plane, units });
        });
    }
}

struct Pass<'a, T> {
    nest: &'a Strided,
    x: &'a [T],
    y: SharedMut<'a, T>,
    per_plane: usize,
    units: Range<usize>,
}

impl<T: bytemuck::Pod> Task for Pass<'_, T> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        for unit in self.units.clone() {
            let (first, mut rest) = (unit % self.per_plane * self.nest.tile, unit / self.per_plane);
            let (n, rs, ro) = self.nest.rows;
            let (mut from, mut to) = (self.nest.offset + first as isize * rs, first * ro);
            for &(d, step, out) in self.nest.outer.iter().rev() {
                let i = rest % d;
                rest /= d;
                from += i as isize * step;
                to += i * out;
            }
            // SAFETY: `Strided::new` has checked the extremes of all places; units write disjoint places.
            unsafe { self.plane(s, from, to, (n - first).min(self.nest.tile)) };
        }
    }
}

impl<T: bytemuck::Pod> Pass<'_, T> {
    /// `rows` rows from `from` to `to`.
    ///
    /// # Safety
    /// The places must lie within the operands, and nobody else may write those of the output.
    #[inline(always)]
    unsafe fn plane<S: Simd>(&self, s: S, from: isize, to: usize, rows: usize) {
        let ((_, rs, ro), (cols, cs)) = (self.nest.rows, self.nest.cols);
        // SAFETY: the caller's promise.
        unsafe {
            let (x, y) = (self.x.as_ptr().offset(from), self.y.as_ptr().add(to));
            match (rs, cs) {
                (_, 1) => {
                    for r in 0..rows {
                        copy(x.offset(r as isize * rs), y.add(r * ro), cols);
                    }
                }
                (_, 0) => {
                    for r in 0..rows {
                        std::slice::from_raw_parts_mut(y.add(r * ro), cols).fill(*x.offset(r as isize * rs));
                    }
                }
                (1, _) if size_of::<T>() == 4 => {
                    let (x, y) = (x.cast::<f32>(), y.cast::<f32>());
                    let (full_rows, full_cols) = (rows / LANES * LANES, cols / LANES * LANES);
                    for r in (0..full_rows).step_by(LANES) {
                        for c in (0..full_cols).step_by(LANES) {
                            let block = std::array::from_fn(|j| s.load(x.offset(r as isize + (c + j) as isize * cs)));
                            for (i, v) in s.transpose(block).into_iter().enumerate() {
                                s.store(y.add((r + i) * ro + c), v);
                            }
                        }
                        elements(x, y, (rs, ro, cs), r..r + LANES, full_cols..cols);
                    }
                    elements(x, y, (rs, ro, cs), full_rows..rows, 0..cols);
                }
                (1, _) => {
                    for c in (0..cols).step_by(16) {
                        elements(x, y, (rs, ro, cs), 0..rows, c..(c + 16).min(cols));
                    }
                }
                _ => elements(x, y, (rs, ro, cs), 0..rows, 0..cols),
            }
        }
    }
}

#[inline(always)]
unsafe fn copy<T: Copy>(x: *const T, y: *mut T, n: usize) {
    // SAFETY: the caller's promise. Short rows are not worth a call.
    unsafe {
        if n * size_of::<T>() <= 32 {
            for i in 0..n {
                *y.add(i) = *x.add(i);
            }
        } else {
            std::ptr::copy_nonoverlapping(x, y, n);
        }
    }
}

#[inline(always)]
unsafe fn elements<T: Copy>(
    x: *const T,
    y: *mut T,
    (rs, ro, cs): (isize, usize, isize),
    rows: Range<usize>,
    cols: Range<usize>,
) {
    for r in rows {
        for c in cols.clone() {
            // SAFETY: the caller's promise.
            unsafe { *y.add(r * ro + c) = *x.offset(r as isize * rs + c as isize * cs) };
        }
    }
}
