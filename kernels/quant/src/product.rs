//! Pixels against panels of packed rows: what convolutions and products with a matrix have in common. A pixel of the
//! latter is a row of the input.

use crate::{
    finish::{Epilogue, Finish, Place},
    late::Values,
    operand::{Bytes, Channels},
    rows::{Layout, QUAD},
    tile::{self, Panel},
};
use core::ops::Range;
use paring_dense::panel::Columns;
use paring_kernel::{KernelError, Packed, Problem, RunCx};
use paring_simd::{LANES, Simd};
use std::sync::Arc;

/// Pixels that go against one panel before the next, but for convolutions where registers are wide.
pub const BLOCK: usize = 48;

/// Packed rows and the epilogue, bound to one problem.
pub struct Product {
    columns: Vec<Columns>,
    /// The packed rows, as they were read.
    pub layout: Layout,
    /// For each row the bytes from a pixel's first to the four that it multiplies.
    offsets: Vec<usize>,
    /// For each panel but the last whether it and the next have two vectors each and rows of the same sources.
    alike: Vec<bool>,
    /// Where the sums of each column start from.
    init: Vec<i32>,
    epilogue: Epilogue,
    packed: Arc<Packed>,
}

impl Product {
    /// Binds packed rows, where `offset` tells a row's source as bytes from a pixel's first, and sums are too large by
    /// `zero` for each unit of weight. `padded`: as for [`Epilogue::new`].
    ///
    /// # Errors
    /// [`KernelError::Problem`] where the rows were packed for another problem.
    pub fn new(
        p: &Problem,
        columns: Vec<Columns>,
        (x, channels): (Bytes, &Channels),
        zero: i32,
        packed: Arc<Packed>,
        padded: bool,
        offset: impl Fn(u32) -> Option<usize>,
    ) -> Result<Product, KernelError> {
        let widths: Vec<usize> = columns.iter().map(Columns::width).collect();
        let wrong = || KernelError::Problem("the weights were packed for another problem".into());
        let layout = Layout::read(packed.data.as_slice(), &widths).ok_or_else(wrong)?;
        let offsets = layout.sources.iter().map(|&s| offset(s)).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
        let rows = |i: usize| &offsets[layout.panels[i].rows.clone()];
        let alike = |i: usize| columns[i..i + 2].iter().all(|c| c.vectors == 2) && rows(i) == rows(i + 1);
        let alike = (1..columns.len()).map(|i| alike(i - 1)).collect();
        let epilogue = Epilogue::new(p, &channels.products(x), padded)?;
        let init = layout.sums.iter().map(|s| zero.wrapping_mul(*s).wrapping_neg()).collect();
        Ok(Product { columns, layout, offsets, alike, init, epilogue, packed })
    }

    /// Rows of the panel that has most.
    pub fn most_rows(&self) -> usize {
        self.layout.panels.iter().map(|p| p.rows.len()).max().unwrap_or(0)
    }

    /// Bytes of weights that a pixel is multiplied by.
    pub fn per_pixel(&self) -> usize {
        self.layout.panels.iter().map(|p| p.weights.len()).sum::<usize>().max(1)
    }

    /// Panels.
    pub fn panels(&self) -> usize {
        self.columns.len()
    }

    /// Where the sums of each column start from, if they are too large by `zero` more for each unit of weight.
    pub fn starts(&self, zero: i32, to: &mut [i32]) {
        for (to, (init, sum)) in to.iter_mut().zip(self.init.iter().zip(&self.layout.sums)) {
            *to = init.wrapping_sub(zero.wrapping_mul(*sum));
        }
    }

    /// Binds a run on inputs at `x` whose output has room for `elements`. `late`: what is known only now.
    pub fn bind<'a>(&'a self, cx: &mut RunCx<'_>, x: *const u8, elements: usize, late: Option<Values<'a>>) -> Run<'a> {
        let output = cx.output::<u8>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        assert!(len >= elements * self.epilogue.size());
        let Values { starts, scale } = late.unwrap_or(Values { starts: &self.init, scale: None });
        let finish = match scale {
            Some(scale) => self.epilogue.bind_scaled(scale, cx, y, len),
            None => self.epilogue.bind(cx, y, len),
        };
        assert!(starts.len() >= self.init.len());
        Run { product: self, x, init: starts, finish }
    }
}

/// What all tasks of a run share.
pub struct Run<'a> {
    product: &'a Product,
    pub x: *const u8,
    /// Where the sums of each column start from.
    init: &'a [i32],
    finish: Finish<'a>,
}

// SAFETY: tasks only read the input, and write disjoint parts of the output.
unsafe impl Sync for Run<'_> {}

impl Run<'_> {
    /// Panel `i`, in an output where vectors of eight columns are `step` elements apart.
    #[inline(always)]
    pub fn panel(&self, i: usize, step: usize) -> Panel<'_> {
        let product = self.product;
        let (c, rows) = (&product.columns[i], &product.layout.panels[i]);
        let bytes = product.packed.data.as_slice();
        debug_assert_eq!(rows.weights.len(), rows.rows.len() * c.width() * QUAD);
        assert!(rows.weights.end <= bytes.len() && c.first + c.width() <= self.init.len());
        Panel {
            weights: bytes[rows.weights.start..].as_ptr().cast(),
            beside: 0,
            offsets: &product.offsets[rows.rows.clone()],
            init: self.init[c.first..].as_ptr(),
            place: Place { channel: c.first, lanes: c.lanes, first: c.first / LANES * step, step },
            finish: &self.finish,
        }
    }

    /// Whether panel `i`, not the last, and the next have two vectors each and rows of the same sources.
    #[inline(always)]
    pub fn is_alike(&self, i: usize) -> bool {
        self.product.alike[i]
    }

    /// Computes pixels that begin at `x` against `panels` and stores them from the elements `y` of the output on, where
    /// vectors of eight columns are `step` elements apart.
    ///
    /// # Safety
    /// Every pixel must be readable at all offsets, and these columns of the output be there and this task's alone.
    #[inline(always)]
    pub unsafe fn multiply<S: Simd, const KIND: u8>(
        &self,
        s: S,
        panels: &Range<usize>,
        x: &[*const u8],
        y: &[usize],
        step: usize,
    ) {
        let panel = |i: usize| self.panel(i, step);
        let mut i = panels.start;
        while i < panels.end {
            let (vectors, two) = (self.product.columns[i].vectors, S::WIDE && i + 1 < panels.end && self.is_alike(i));
            // SAFETY: the caller's promise; rows are as wide as the panel.
            unsafe {
                match vectors {
                    _ if S::WIDE && two => tile::pixels::<S, 4, KIND>(s, &panel(i).with(&panel(i + 1)), x, y),
                    3 => tile::pixels::<S, 3, KIND>(s, &panel(i), x, y),
                    2 => tile::pixels::<S, 2, KIND>(s, &panel(i), x, y),
                    _ => tile::pixels::<S, 1, KIND>(s, &panel(i), x, y),
                }
            }
            i += if two { 2 } else { 1 };
        }
    }
}
