//! The time of a convolution by transformed tiles.

use super::{BLOCKED, Grid};
use crate::{epilogue, stamp};
use paring_kernel::{Cost, Isa, Machine, Offer, Operand, Problem};
use paring_simd::LANES;

/// What instructions can do.
#[derive(Clone, Copy)]
pub struct Rates {
    /// Multiply-adds in a nanosecond at best.
    pub macs: f64,
    /// Nanoseconds of a cycle.
    pub cycle: f64,
}

impl Rates {
    /// Those of `f32`.
    pub fn of(isa: Isa, m: &Machine) -> Rates {
        Rates { macs: stamp::rate(isa, m), cycle: stamp::cycle(isa, m) }
    }
}

/// The time and traffic of an offer whose transforms of a tile and eight channels take so many cycles, of inputs and of
/// outputs. `calls`: cycles that the product of a plane and a panel takes besides its multiply-adds. `spilt`: bytes that go
/// through the last-level cache besides.
pub fn cost(
    p: &Problem,
    o: &Offer,
    m: &Machine,
    grid: &Grid,
    rates: Rates,
    (cycles_in, cycles_out): (f64, f64),
    calls: f64,
    spilt: f64,
) -> Cost {
    let Rates { macs: rate, cycle } = rates;
    let tiles = grid.all_tiles() as f64;
    let blocks = |channels: usize| (channels / LANES) as f64;
    let transforms = tiles * (blocks(grid.depth()) * cycles_in + blocks(grid.width()) * cycles_out) * cycle;
    let macs = tiles * (grid.products() * grid.inputs) as f64 * grid.width() as f64;
    let calls = (grid.planes * grid.panels() * grid.blocks()) as f64 * calls * cycle;
    // Filling and draining the accumulators takes as long as some eight terms of the sum.
    let multiply = macs * (1.0 + 8.0 / grid.terms(0) as f64) / (0.97 * rate) + calls;
    // Weights are read once for each block.
    let weights = m.weights(o.packed_bytes, grid.blocks());
    let bytes = |i: Option<&Operand>| i.and_then(|i| i.bytes(BLOCKED)).unwrap_or(0) as f64;
    let moved = bytes(p.input(0)) + bytes(p.output(0)) * (1 + epilogue::residuals(p, o.fused).count()) as f64;
    // Measured: reading ahead hides all but a quarter of the weights' or of the products' time, whichever is less, but
    // nothing of what is spilt.
    let ns = multiply.max(weights) + 0.25 * multiply.min(weights) + spilt / m.l3_bandwidth + transforms + 300.0;
    Cost { ns, bytes: moved + o.packed_bytes as f64 }
}
