//! Transforms weights, as integers.

use super::{N, Plan, TAPS};
use crate::operand::integer;
use paring_core::{AlignedBuf, AllocError, DType, Tensor};
use paring_dense::tiled::PANEL;

/// Twice `G` of F(2, 3), of three taps.
fn double(g: [i32; TAPS]) -> [i32; N] {
    [2 * g[0], g[0] + g[1] + g[2], g[0] - g[1] + g[2], 2 * g[2]]
}

/// The transformed weights of each value of a tile as `[panel][two inputs][column][one of the two]`, words; inputs and
/// columns that do not exist are zeros.
pub fn pack(plan: &Plan, w: &Tensor) -> Result<AlignedBuf, AllocError> {
    let grid = &plan.grid;
    let (bytes, signed, depth) = (w.bytes(), w.dtype() == DType::I8, grid.depth());
    let mut data = AlignedBuf::zeroed(plan.packed_bytes)?;
    let packed: &mut [i16] = bytemuck::cast_slice_mut(data.as_mut_slice());
    for output in 0..grid.outputs {
        let (panel, column) = (output / PANEL, output % PANEL);
        for input in 0..grid.inputs {
            let window = &bytes[(output * grid.inputs + input) * TAPS * TAPS..][..TAPS * TAPS];
            let at = |r: usize, c: usize| integer(window[r * TAPS + c], signed) - plan.channels.zero_point[output];
            let columns: [[i32; N]; TAPS] = core::array::from_fn(|c| double(core::array::from_fn(|r| at(r, c))));
            for r in 0..N {
                let row = double(core::array::from_fn(|c| columns[c][r]));
                for c in 0..N {
                    let pair = ((r * N + c) * grid.panels() + panel) * depth / 2 + input / 2;
                    // Nine weights of 255 at most in size fit.
                    packed[(pair * PANEL + column) * 2 + input % 2] = row[c] as i16;
                }
            }
        }
    }
    Ok(data)
}
