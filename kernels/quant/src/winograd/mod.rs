//! Winograd convolution of bytes: F(2, 3) for windows of 3 x 3 with stride 1, exact.
//!
//! Tiles of the input become words of sixteen bits by sums of four, weights by sums of nine (both halves of the
//! transform of the weights doubled, so that they stay integers), and products are summed in 32 bits modulo 2^32. What
//! is transformed back is four times the direct sum, which fits 32 bits where [`Plan::of`] accepts the problem, whatever
//! was left behind on the way. So results are those of direct convolution to the bit, for 2.25 times fewer multiplications
//! (A. Lavin and S. Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, section 4.1; in integers as in
//! L. Meng and J. Brothers, "Efficient Winograd Convolution via Integer Arithmetic", 2019).

mod engine;
mod pack;
mod product;
mod transform;

use crate::{
    family::{Family, Target, word_rate},
    finish,
    operand::{Bytes, Channels, range},
};
use engine::Engine;
use paring_core::{DType, Op};
use paring_dense::tiled::{self, Grid, PANEL, Rates, stages};
use paring_kernel::{Cost, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject};
use paring_simd::Simd;
use paring_vector::support::BLOCKED;
use std::sync::Arc;

/// Inputs and outputs of a tile along an axis, and values of a transformed tile.
const N: usize = 4;
const M: usize = 2;
const PLANES: usize = N * N;
/// Taps of a window along an axis.
const TAPS: usize = 3;
/// What a sum is too large by: two for each axis.
const SCALE: f32 = 4.0;

/// Measured cycles of the transforms of a tile and eight channels, of inputs and of outputs.
const CYCLES: (f64, f64) = (70.0, 60.0);

/// A problem that is served here.
struct Plan {
    grid: Grid,
    shared: bool,
    x: Bytes,
    channels: Channels,
    /// Bytes of transformed weights.
    packed_bytes: usize,
}

impl Plan {
    fn of(p: &Problem, shared: bool) -> Result<Plan, Reject> {
        let Op::Conv(a) = &p.op else { return Err(Reject::because("not a convolution")) };
        let (Some(x), Some(w)) = (p.input(0), p.input(1)) else { return Err(Reject::because("an operand is missing")) };
        if a.kernel != [TAPS; 2] {
            return Err(Reject::because("only windows of 3 x 3"));
        }
        let (signed, x, channels) = (w.dtype == DType::I8, Bytes::of(x)?, Channels::of(w, 0)?);
        let g = tiled::geometry_of_any(p, a, 1)?;
        tiled::undilated(a)?;
        finish::servable(p, g.outputs)?;
        let farthest = |signed: bool, zero: i32| {
            let (least, most) = range(signed);
            (zero - least).max(most - zero) as u64
        };
        let weight = channels.zero_point.iter().map(|&z| farthest(signed, z)).max().unwrap_or(0);
        let sum = (g.depth * g.taps) as u64 * weight * farthest(x.signed, x.zero_point);
        if sum as f64 * f64::from(SCALE) >= 2f64.powi(31) {
            return Err(Reject::because("the sum is too long for 32 bits, once it is four times as large"));
        }
        let grid = Grid::new(&g, [N; 2], [M; 2], PLANES);
        // Measured: twice the tiles of `f32`, each of which is larger.
        let packed = packed_bytes(&grid).ok_or("the transformed weights are too large")?;
        let most = 2 * stages::tiles_of_block(shared, Some(packed), tile_bytes(&grid));
        Ok(Plan { grid: grid.in_blocks(most)?, shared, x, channels, packed_bytes: packed })
    }

    /// That of an offer.
    fn chosen(p: &Problem, o: &Offer) -> Result<Plan, KernelError> {
        Plan::of(p, stages::is_shared(o)?).map_err(|r| KernelError::Problem(r.to_string()))
    }

    /// Bytes of a block's transformed inputs, which come first.
    fn input_bytes(&self) -> usize {
        PLANES * self.grid.input_step() * size_of::<i16>()
    }

    /// Bytes of a block's transformed inputs and products.
    fn scratch(&self) -> usize {
        self.input_bytes() + PLANES * self.grid.product_step() * size_of::<i32>()
    }
}

/// Bytes of one tile's transformed inputs and products.
fn tile_bytes(grid: &Grid) -> usize {
    PLANES * (grid.depth() * size_of::<i16>() + grid.width() * size_of::<i32>())
}

/// Bytes of transformed weights; `None` where that overflows.
fn packed_bytes(grid: &Grid) -> Option<usize> {
    (PLANES * PANEL * size_of::<i16>()).checked_mul(grid.panels())?.checked_mul(grid.depth())
}

/// See the module.
pub struct Winograd;

impl Family for Winograd {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        for (variant, shared) in stages::VARIANTS.into_iter().enumerate() {
            let plan = Plan::of(p, shared)?;
            if p.constant(1).is_none() {
                return Err(Reject::because("the weights are not constant"));
            }
            if !shared && !stages::is_divisible(&plan.grid) {
                continue;
            }
            out.push(Offer {
                scratch: stages::scratch(shared, plan.scratch()),
                packed_bytes: plan.packed_bytes,
                packed_format: format!("winograd-words-f2x3{}", plan.channels.packed_as()).into(),
                variant: variant as u32,
                ..finish::offer(p, BLOCKED)
            });
        }
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        let Ok(plan) = Plan::chosen(p, o) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let rates = Rates { macs: word_rate(target, m), ..Rates::of(target.isa, m) };
        let spilt = stages::spilt(&plan.grid, plan.scratch(), m);
        tiled::cost(p, o, m, &plan.grid, rates, CYCLES, 0.0, spilt)
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        let plan = Plan::chosen(p, o)?;
        let w = p.constant(1).ok_or_else(|| KernelError::Problem("the weights are not constant".into()))?;
        Ok(pack::pack(&plan, w)?.into())
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(Engine::new(s, p, Plan::chosen(p, o)?, packed)?))
    }
}
