//! Loops over operands that are broadcast to one shape.

use paring_kernel::Reject;
use std::ops::Range;

/// Dimensions after merging that any problem may have.
pub(crate) const MOST_DIMS: usize = 8;

/// A loop nest over `K` operands: dimensions outermost first, the last one innermost, with the stride of every operand
/// along each. The output is contiguous. Neighbouring dimensions that all operands walk as one are merged.
#[derive(Clone, Debug)]
pub(crate) struct Loops<const K: usize> {
    dims: Vec<usize>,
    strides: Vec<[usize; K]>,
    /// Rows and columns of one unit.
    tile: (usize, usize),
}

/// One unit of work: `rows` rows of `cols` elements, contiguous in the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit<const K: usize> {
    /// First element in the output.
    pub start: usize,
    /// First element of each operand.
    pub from: [usize; K],
    pub rows: usize,
    pub cols: usize,
}

impl<const K: usize> Loops<K> {
    /// Over `dims` with the given strides, in units of about `chunk` elements.
    pub(crate) fn new(dims: &[usize], strides: &[[usize; K]], chunk: usize) -> Result<Loops<K>, Reject> {
        let (mut d, mut st): (Vec<usize>, Vec<[usize; K]>) = (Vec::new(), Vec::new());
        for (&n, &stride) in dims.iter().zip(strides) {
            if n == 1 {
                continue;
            }
            match (d.last_mut(), st.last_mut()) {
                (Some(last), Some(s)) if (0..K).all(|k| s[k] == stride[k] * n) => {
                    *last *= n;
                    *s = stride;
                }
                _ => {
                    d.push(n);
                    st.push(stride);
                }
            }
        }
        while d.len() < 2 {
            d.insert(0, 1);
            st.insert(0, [0; K]);
        }
        if d.is_empty() || d.len() > MOST_DIMS {
            return Err("more than eight dimensions that do not merge".into());
        }
        let (rows, cols) = (d[d.len() - 2], d[d.len() - 1]);
        let tile = if cols > chunk { (1, chunk) } else { ((chunk / cols.max(1)).clamp(1, rows.max(1)), cols.max(1)) };
        Ok(Loops { dims: d, strides: st, tile })
    }

    /// Strides of the innermost dimension.
    pub(crate) fn col_strides(&self) -> [usize; K] {
        self.strides[self.dims.len() - 1]
    }

    /// Strides of the dimension around it.
    pub(crate) fn row_strides(&self) -> [usize; K] {
        self.strides[self.dims.len() - 2]
    }

    fn blocks(&self) -> (usize, usize) {
        let (rows, cols) = (self.dims[self.dims.len() - 2], self.dims[self.dims.len() - 1]);
        (rows.div_ceil(self.tile.0), cols.div_ceil(self.tile.1))
    }

    /// Number of units.
    pub(crate) fn units(&self) -> usize {
        let (r, c) = self.blocks();
        self.dims[..self.dims.len() - 2].iter().product::<usize>() * r * c
    }

    /// Calls `f` with each of the units in `range`.
    #[inline(always)]
    pub(crate) fn each(&self, range: Range<usize>, mut f: impl FnMut(Unit<K>)) {
        let outer = self.dims.len() - 2;
        let (rows, cols) = (self.dims[outer], self.dims[outer + 1]);
        let (row_blocks, col_blocks) = self.blocks();
        for unit in range {
            let (c, rest) = (unit % col_blocks * self.tile.1, unit / col_blocks);
            let (r, mut rest) = (rest % row_blocks * self.tile.0, rest / row_blocks);
            let start = rest * rows * cols + r * cols + c;
            let mut from = [0; K];
            for k in 0..K {
                from[k] = r * self.row_strides()[k] + c * self.col_strides()[k];
            }
            for d in (0..outer).rev() {
                let i = rest % self.dims[d];
                rest /= self.dims[d];
                for k in 0..K {
                    from[k] += i * self.strides[d][k];
                }
            }
            let (rows, cols) = (self.tile.0.min(rows - r), self.tile.1.min(cols - c));
            f(Unit { start, from, rows, cols });
        }
    }
}

/// Strides of a contiguous operand of `shape` that is broadcast to `dims`.
pub(crate) fn broadcast_strides(shape: &[usize], dims: &[usize]) -> Result<Vec<usize>, Reject> {
    let missing = dims.len().checked_sub(shape.len());
    let fits = missing.is_some_and(|m| shape.iter().zip(&dims[m..]).all(|(&a, &b)| a == b || a == 1));
    let Some(missing) = missing.filter(|_| fits) else {
        return Err(format!("{shape:?} does not broadcast to {dims:?}").into());
    };
    let own = paring_core::strides(shape);
    let stride = |d: usize| match d.checked_sub(missing) {
        Some(i) if shape[i] != 1 => own[i],
        _ => 0,
    };
    Ok((0..dims.len()).map(stride).collect())
}
