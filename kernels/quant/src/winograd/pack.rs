//! Transforms weights, as integers.

use super::{N, Plan, TAPS};
use crate::operand::integer;
use paring_core::{AlignedBuf, AllocError, DType, Tensor};
use paring_dense::tiled::PANEL;

/// What stands together: for each column of a panel, words of two inputs.
type Row = [i16; 2 * PANEL];

/// Twice `G` of F(2, 3), of three taps. Nine weights of 255 at most in size fit words, transformed along both axes.
fn double([a, b, c]: [&Row; TAPS]) -> [Row; N] {
    let mut values = [[0; 2 * PANEL]; N];
    for i in 0..2 * PANEL {
        values[0][i] = 2 * a[i];
        values[1][i] = a[i] + b[i] + c[i];
        values[2][i] = a[i] - b[i] + c[i];
        values[3][i] = 2 * c[i];
    }
    values
}

/// The transformed weights of each value of a tile as `[panel][two inputs][column][one of the two]`, words; inputs and
/// columns that do not exist are zeros.
pub fn pack(plan: &Plan, w: &Tensor) -> Result<AlignedBuf, AllocError> {
    let grid = &plan.grid;
    let (panels, pairs) = (grid.panels(), grid.depth() / 2);
    let mut data = AlignedBuf::zeroed(plan.packed_bytes)?;
    let packed: &mut [i16] = bytemuck::cast_slice_mut(data.as_mut_slice());
    let (rows, _) = packed.as_chunks_mut::<{ 2 * PANEL }>();
    for panel in 0..panels {
        for pair in 0..grid.inputs.div_ceil(2) {
            let taps = taps(plan, w, panel, pair);
            let columns: [[Row; N]; TAPS] = core::array::from_fn(|c| double([&taps[0][c], &taps[1][c], &taps[2][c]]));
            for r in 0..N {
                let values = double([&columns[0][r], &columns[1][r], &columns[2][r]]);
                for (c, value) in values.into_iter().enumerate() {
                    rows[((r * N + c) * panels + panel) * pairs + pair] = value;
                }
            }
        }
    }
    Ok(data)
}

/// Weights of two inputs in the columns of a panel, less their zero points, at [row][column] of the window.
fn taps(plan: &Plan, w: &Tensor, panel: usize, pair: usize) -> [[Row; TAPS]; TAPS] {
    let (grid, bytes, signed) = (&plan.grid, w.bytes(), w.dtype() == DType::I8);
    let mut taps = [[[0; 2 * PANEL]; TAPS]; TAPS];
    for output in panel * PANEL..grid.outputs.min((panel + 1) * PANEL) {
        let zero_point = plan.channels.zero_point[output];
        for input in 2 * pair..grid.inputs.min(2 * pair + 2) {
            let window = &bytes[(output * grid.inputs + input) * TAPS * TAPS..][..TAPS * TAPS];
            for (at, &byte) in window.iter().enumerate() {
                let weight = integer(byte, signed) - zero_point;
                taps[at / TAPS][at % TAPS][2 * (output % PANEL) + input % 2] = weight as i16;
            }
        }
    }
    taps
}
