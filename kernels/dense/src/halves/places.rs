//! Where pixels, or rows, begin.

use crate::{
    conv::{Cursor, Halo, Lowered, operands},
    fully_connected::Extent,
};
use paring_kernel::RunCx;
use paring_simd::LANES;

/// Where pixels, or rows, begin in the input and in the output.
pub enum Places {
    /// Windows of an input that may have to be framed with zeros.
    Windows { lowered: Box<Lowered>, halo: Option<Halo> },
    /// Rows of two matrices, and the bytes from the first of a row to each of its eights.
    Rows { extent: Extent, offsets: Vec<usize> },
}

/// One of them, and with it those that follow.
pub enum At<'a> {
    Window(Cursor<'a>),
    Row(usize, &'a Extent),
}

impl Places {
    /// Where a run reads and writes: the output's first element and their number. Both are as large as they should be.
    pub fn operands(&self, cx: &mut RunCx<'_>) -> (*const f32, *mut f32, usize) {
        match self {
            Places::Windows { lowered, halo } => operands(lowered, halo.as_ref(), cx),
            Places::Rows { extent: e, .. } => {
                let (x, output) = (cx.input::<f32>(0), cx.output::<f32>(0));
                let (y, len) = (output.as_mut_ptr(), output.len());
                assert!(x.len() >= e.rows * e.depth && len >= e.rows * e.columns);
                (x.as_ptr(), y, len)
            }
        }
    }

    /// The bytes from the first of a pixel to each eight of its terms.
    pub fn offsets(&self) -> &[usize] {
        match self {
            Places::Windows { lowered, .. } => &lowered.offsets,
            Places::Rows { offsets, .. } => offsets,
        }
    }

    /// Elements of the output from eight columns of a pixel to the next eight.
    pub fn apart(&self) -> usize {
        match self {
            Places::Windows { lowered, .. } => lowered.geometry.output.iter().product::<usize>() * LANES,
            Places::Rows { .. } => LANES,
        }
    }

    /// At a pixel.
    pub fn at(&self, pixel: usize) -> At<'_> {
        match self {
            Places::Windows { lowered: l, .. } => {
                At::Window(Cursor::new(&l.geometry, &l.view, &l.phases[0].phase, pixel))
            }
            Places::Rows { extent, .. } => At::Row(pixel, extent),
        }
    }
}

impl At<'_> {
    /// Where the next pixels begin in an input at `from`, and in an output at `to`.
    pub fn fill(&mut self, (from, x): (*const f32, &mut [*const f32]), (to, y): (*mut f32, &mut [*mut f32])) {
        match self {
            At::Window(cursor) => cursor.fill(from, x, y, |at| to.wrapping_add(at)),
            At::Row(row, e) => {
                for (x, y) in x.iter_mut().zip(y) {
                    *x = from.wrapping_add(*row * e.depth);
                    *y = to.wrapping_add(*row * e.columns);
                    *row += 1;
                }
            }
        }
    }
}
