//! Products of bytes.

use super::{GROUP, ROW_BYTES, STEP_BYTES, TILE_ROWS, Tiles};

/// Operands of [`Tiles::multiply`].
#[derive(Clone, Copy)]
pub struct TileProduct {
    /// Inputs, step by step: [`GROUP`] rows of [`ROW_BYTES`] bytes of `u8`.
    pub x: *const u8,
    /// Weights of sixteen columns, and of sixteen more: rows of [`ROW_BYTES`] bytes of `i8`, four for each column.
    pub w: [*const i8; 2],
    /// Rows of the weights: [`TILE_ROWS`] at the least. Steps take so many each; the last takes the last so many, and its
    /// inputs must be zero for those that the one before took.
    pub rows: usize,
    /// What is wanted next, as far as anyone knows: as many bytes as sixteen columns have weights are fetched from here on.
    pub ahead: *const i8,
    /// What sums start from, for each of sixteen columns, and of sixteen more.
    pub init: [*const i32; 2],
    /// Sums: [`GROUP`] rows of [`GROUP`].
    pub sums: *mut i32,
}

impl Tiles {
    /// Multiplies one or two sixteens of rows by one or two sixteens of columns, and stores their sums.
    ///
    /// # Safety
    /// The operands must be valid for all that they are said to have; of a second sixteen, where there are two. No other tiles of
    /// this thread may have been readied and dropped meanwhile.
    ///
    /// # Panics
    /// Where there are too few rows of weights.
    #[inline(always)]
    pub unsafe fn multiply(&self, p: &TileProduct, rows: usize, columns: usize) {
        assert!(p.rows >= TILE_ROWS);
        let over = p.rows % TILE_ROWS;
        // From where a step after the full ones would read to where the last one does.
        let back = if over == 0 { 0 } else { (over as isize - TILE_ROWS as isize) * ROW_BYTES as isize };
        // SAFETY: the tiles are ready; the caller's promise.
        unsafe {
            product!(p, (rows, columns), 0usize, p.rows / TILE_ROWS, back: back,
                bytes: [STEP_BYTES, TILE_ROWS * ROW_BYTES], "tdpbusd", {fetch 8, x 0, w 0}
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{amx::Amx, noise};

    #[test]
    fn sums_are_those_of_integers() {
        let Some(amx) = Amx::detect() else { return };
        let mut next = noise::bytes();
        for rows in [16, 17, 31, 32, 46, 64] {
            let terms = 4 * rows;
            let x: Vec<Vec<u8>> = (0..GROUP).map(|_| (0..terms).map(|_| next()).collect()).collect();
            let w: [Vec<i8>; 2] = [0, 1].map(|_| (0..rows * ROW_BYTES).map(|_| next() as i8).collect());
            let init: Vec<i32> = (0..GROUP).map(|_| i32::from(next()) - 128).collect();
            let steps = rows.div_ceil(TILE_ROWS);
            let mut packed = vec![0u8; steps * STEP_BYTES];
            for (i, row) in x.iter().enumerate() {
                for (k, &byte) in row.iter().enumerate() {
                    let step = k / ROW_BYTES;
                    // The last step ends where the weights do.
                    let skipped = if 4 * rows < (step + 1) * ROW_BYTES { steps * ROW_BYTES - terms } else { 0 };
                    packed[step * STEP_BYTES + i * ROW_BYTES + skipped + k % ROW_BYTES] = byte;
                }
            }
            for (tall, wide) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
                let mut sums = vec![0i32; GROUP * GROUP];
                let product = TileProduct {
                    x: packed.as_ptr(),
                    w: [w[0].as_ptr(), w[1].as_ptr()],
                    ahead: w[1].as_ptr(),
                    rows,
                    init: [init.as_ptr(), init[TILE_ROWS..].as_ptr()],
                    sums: sums.as_mut_ptr(),
                };
                // SAFETY: all operands are as large as they should be.
                unsafe { amx.tiles().multiply(&product, tall, wide) };
                for i in 0..tall * TILE_ROWS {
                    for c in 0..wide * TILE_ROWS {
                        let weight = |k: usize| w[c / 16][k / 4 * ROW_BYTES + c % 16 * 4 + k % 4];
                        let products = x[i].iter().enumerate().map(|(k, &x)| i32::from(x) * i32::from(weight(k)));
                        let want = init[c] + products.sum::<i32>();
                        assert_eq!(sums[i * GROUP + c], want, "{rows} rows, {tall} x {wide}, row {i} column {c}");
                    }
                }
            }
        }
    }
}
