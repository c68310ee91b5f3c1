//! Rows of a row-major matrix against panels of another.

use crate::{
    epilogue::{Finish, Place},
    panel::Columns,
    tile::{self, Panel},
};
use paring_simd::{LANES, Simd};

/// Row-major operands: `rows` rows of `depth` elements in, rows of `stride` elements out.
#[derive(Clone, Copy)]
pub struct Rows {
    /// First element of the first row.
    pub x: *const f32,
    /// Elements in a row.
    pub depth: usize,
    /// Elements from one row to the next.
    pub apart: usize,
    /// First element of the first row of the output.
    pub y: *mut f32,
    /// Elements in a row of the output.
    pub stride: usize,
    /// Rows.
    pub rows: usize,
}

/// Most rows whose pointers are made at once.
const MOST: usize = 48;

/// The panel of `columns` whose weights begin at `weights`, `step` elements apart, and whose sums start from the numbers at
/// `init`.
#[inline(always)]
pub fn panel<'a>(
    columns: &Columns,
    weights: *const f32,
    step: usize,
    depth: usize,
    init: *const f32,
    finish: &'a Finish<'a>,
) -> Panel<'a> {
    Panel {
        weights,
        ahead: weights.wrapping_add(depth * columns.width()),
        step,
        offsets: &[],
        k: depth,
        beside: 0,
        init,
        place: Place { channel: columns.first, lanes: columns.lanes, columns: [columns.first, columns.first + LANES] },
        finish,
    }
}

/// Rows that fit the caches next to a panel: at most a third of the second level.
pub fn block(depth: usize) -> usize {
    ((160 << 10) / (depth.max(1) * size_of::<f32>())).clamp(2 * tile::STEP, MOST) / tile::STEP * tile::STEP
}

/// Computes all rows against each panel: a block of rows against all panels, then the next.
///
/// # Safety
/// Rows must be valid for reads and writes of their length, panels for `depth` rows of weights; no other task may write
/// these rows and columns.
#[inline(always)]
pub unsafe fn product<'a, S: Simd>(
    s: S,
    rows: Rows,
    count: usize,
    mut panels: impl FnMut(usize) -> (usize, Panel<'a>),
) {
    let mut x = [rows.x; MOST];
    let mut y = [rows.y; MOST];
    let block = block(rows.depth);
    for from in (0..rows.rows).step_by(block) {
        let n = block.min(rows.rows - from);
        for i in 0..n {
            // SAFETY: within the rows.
            unsafe {
                x[i] = rows.x.add((from + i) * rows.apart);
                y[i] = rows.y.add((from + i) * rows.stride);
            }
        }
        let mut p = 0;
        while p < count {
            let (mut vectors, mut panel) = panels(p);
            p += 1;
            if S::WIDE && p < count {
                let (more, next) = panels(p);
                if tile::abreast::<S>(vectors, more) {
                    (vectors, panel) = (4, panel.with(&next));
                    p += 1;
                }
            }
            // SAFETY: the caller's promise.
            unsafe { tile::product(s, vectors, &panel, &x[..n], &y[..n]) }
        }
    }
}
