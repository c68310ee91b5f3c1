//! Rows against a constant matrix in panels.

use crate::{
    epilogue::Finish,
    gemm::{self, Rows},
    panel::Columns,
    tile,
};
use paring_simd::{Simd, Task};

/// Panels of a packed matrix.
pub struct Matrix<'a> {
    /// Those that are multiplied.
    pub panels: &'a [Columns],
    /// The weights of the column 0; every panel before has its whole width: only the last can be narrow.
    pub weights: *const f32,
    /// What the sums of all columns start from, padded to whole panels.
    pub init: *const f32,
    /// What becomes of the sums.
    pub finish: &'a Finish<'a>,
}

impl<'a> Matrix<'a> {
    /// The vectors of panel `i`, and the panel.
    #[inline(always)]
    fn panel(&self, i: usize, depth: usize) -> (usize, tile::Panel<'a>) {
        let c = &self.panels[i];
        let weights = self.weights.wrapping_add(c.first * depth);
        (c.vectors, gemm::panel(c, weights, c.width(), depth, self.init.wrapping_add(c.first), self.finish))
    }
}

/// Multiplies all rows by all panels: one to three rows by several panels at once, as weights are then what is waited for.
///
/// # Safety
/// Rows must be valid for reads and writes of their length, panels for `rows.depth` rows of weights and one entry of `init`
/// for each column; no other task may write these rows and columns.
#[inline(never)]
pub unsafe fn product<S: Simd>(s: S, rows: Rows, matrix: &Matrix<'_>) {
    s.vectorize(Product { rows, matrix });
}

/// The body of [`product`].
struct Product<'a> {
    rows: Rows,
    matrix: &'a Matrix<'a>,
}

impl Task for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Product { rows, matrix } = self;
        let count = matrix.panels.len();
        let panel = |i: usize| matrix.panel(i, rows.depth);
        let whole = |from: usize, n: usize| from + n <= count && (from..from + n).all(|i| panel(i).0 == 2);
        let mut first = 0;
        // SAFETY: the promise of the caller of `product`.
        unsafe {
            let row = |i: usize| (rows.x.add(i * rows.apart), rows.y.add(i * rows.stride));
            match rows.rows {
                1 => {
                    let (x, y) = row(0);
                    while whole(first, 4) {
                        let p = [0, 1, 2, 3].map(|i| panel(first + i).1);
                        tile::streams(s, &p, [x], [y]);
                        first += 4;
                    }
                }
                2 => {
                    let ((x0, y0), (x1, y1)) = (row(0), row(1));
                    while whole(first, 2) {
                        tile::streams(s, &[panel(first).1, panel(first + 1).1], [x0, x1], [y0, y1]);
                        first += 2;
                    }
                }
                3 => {
                    let ((x0, y0), (x1, y1), (x2, y2)) = (row(0), row(1), row(2));
                    while whole(first, 2) {
                        tile::streams(s, &[panel(first).1, panel(first + 1).1], [x0, x1, x2], [y0, y1, y2]);
                        first += 2;
                    }
                }
                _ => {}
            }
            gemm::product(s, rows, count - first, |i| panel(first + i));
        }
    }
}
