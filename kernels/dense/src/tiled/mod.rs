//! Convolution by transformed tiles: what Winograd and Fourier convolution have in common.
//!
//! Tiles of the input, which overlap by the window, are transformed; each of a tile's transformed values is a plane of
//! a matrix product of its own (tiles by input channels by output channels); the products are transformed back with the
//! epilogue. Planes may be read from the caches again while they are written and multiplied, so tiles go in blocks.

mod cost;
mod grid;
mod layer;
pub mod stages;

pub use cost::{Rates, cost};
pub use grid::{Grid, geometry, geometry_of_any, undilated};
pub(crate) use layer::{Layer, Run};

use crate::epilogue;
use paring_core::Layout;
use paring_kernel::{NumericClass, Offer, Problem};
use paring_simd::LANES;

/// Layout of inputs and outputs.
pub const BLOCKED: Layout = Layout::Blocked(LANES as u8);

/// Columns of a panel of weights.
pub const PANEL: usize = 2 * LANES;

/// The offer of a convolution over `grid`, without its scratch, the name of its packed weights and its variant.
pub(crate) fn offer(p: &Problem, grid: &Grid) -> Offer {
    Offer {
        packed_bytes: grid.weights() * size_of::<f32>(),
        numerics: NumericClass::Transformed,
        ..epilogue::offer(p, epilogue::fusable(p, grid.outputs), BLOCKED, BLOCKED)
    }
}
