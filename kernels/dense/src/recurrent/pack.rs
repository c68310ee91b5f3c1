//! Weights in panels, and biases.

use super::extent::Extent;
use crate::{
    panel::{Columns, columns},
    stamp,
};
use paring_core::{AlignedBuf, op::Cell};
use paring_kernel::{KernelError, Packed, Problem};

/// For each direction the weights of the input, then those of each part of the state.
pub fn pack(e: &Extent, p: &Problem) -> Result<Packed, KernelError> {
    let (w, r) = (stamp::weights(p, 1)?, stamp::weights(p, 2)?);
    let mut data = AlignedBuf::zeroed(e.packed * size_of::<f32>())?;
    let mut out: &mut [f32] = bytemuck::cast_slice_mut(data.as_mut_slice());
    let rows = e.gates * e.hidden;
    for d in 0..e.directions {
        let (w, r) = (&w[d * rows * e.features..], &r[d * rows * e.hidden..]);
        out = fill(e, out, w, e.features, (0, e.gates));
        for &part in e.parts() {
            out = fill(e, out, r, e.hidden, part);
        }
    }
    Ok(data.into())
}

/// The panels of gates `from..end`; `w` has `depth` elements for each hidden unit of each gate. What is left of `out`.
fn fill<'a>(e: &Extent, mut out: &'a mut [f32], w: &[f32], depth: usize, (from, end): (usize, usize)) -> &'a mut [f32] {
    for Columns { first, vectors, .. } in columns((end - from) * e.padded, 1) {
        let width = vectors * paring_simd::LANES;
        let (panel, rest) = core::mem::take(&mut out).split_at_mut(depth * width);
        for lane in 0..width {
            let (gate, unit) = (from + (first + lane) / e.padded, (first + lane) % e.padded);
            if unit < e.hidden {
                let row = &w[(gate * e.hidden + unit) * depth..][..depth];
                panel.iter_mut().skip(lane).step_by(width).zip(row).for_each(|(to, &v)| *to = v);
            }
        }
        out = rest;
    }
    out
}

/// What the products of all gates start from, those of the input of each direction, then those of the state.
///
/// Both biases go with the input, but for that of a GRU's hidden gate that the reset gate multiplies.
pub fn biases(e: &Extent, p: &Problem) -> Result<Vec<f32>, KernelError> {
    let mut all = vec![0.0; 2 * e.directions * e.width()];
    if p.input(3).is_none() {
        return Ok(all);
    }
    let bias = stamp::weights(p, 3)?;
    let (of_input, of_state) = all.split_at_mut(e.directions * e.width());
    let rows = e.gates * e.hidden;
    for d in 0..e.directions {
        for gate in 0..e.gates {
            for unit in 0..e.hidden {
                let from = 2 * d * rows + gate * e.hidden + unit;
                let to = d * e.width() + gate * e.padded + unit;
                let (w, r) = (bias[from], bias[from + rows]);
                if gate == 2 && e.attrs.cell == (Cell::Gru { linear_before_reset: true }) {
                    (of_input[to], of_state[to]) = (w, r);
                } else {
                    of_input[to] = w + r;
                }
            }
        }
    }
    Ok(all)
}
