//! Convolution of bytes by tiles.

use super::{
    engine::Engine,
    plan::{Kind, Plan},
};
use crate::{family::Family, finish, late::operands, multiply::Multiply, rows::QUAD, tiles::ByTiles};
use paring_kernel::{Cost, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch};
use paring_simd::{
    Simd,
    amx::{Amx, GROUP},
};
use paring_vector::support::{BLOCKED, bytes_moved};
use std::sync::Arc;

/// See the module.
pub struct ConvTiles;

impl Family for ConvTiles {
    fn offers<S: Simd>(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let plan = Plan::of(p, Kind::Tiles)?;
        let packed_bytes = plan.tile_bytes(p)?;
        let offer = finish::offer(p, BLOCKED);
        let per_worker = ByTiles::scratch(plan.heights().max().unwrap_or(0));
        out.push(Offer {
            inputs: plan.late.as_ref().map_or(offer.inputs.clone(), |late| late.inputs(&offer)),
            scratch: Scratch { shared: plan.scratch().iter().sum(), per_worker },
            packed_bytes,
            packed_format: plan.packed_format(Kind::Tiles).into(),
            variant: Kind::Tiles as u32,
            ..offer
        });
        Ok(())
    }

    fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let Ok(plan) = Plan::of(p, Kind::Tiles) else { return Cost { ns: f64::INFINITY, bytes: f64::INFINITY } };
        let elements = p.output(0).map_or(0, |y| y.len()) as f64;
        let pixels = elements / plan.geometry.outputs as f64;
        // Where there are groups, each panel has inputs of its own.
        let gathered = if plan.geometry.groups > 1 { plan.heights().sum() } else { plan.heights().max().unwrap_or(0) };
        // Measured, in cycles: products of 450 bytes in each, of 1024 at best; six gathered bytes, or two to three finished results;
        // and 200 for each product of tiles, to begin and to end.
        let cycle = 32.0 / m.gmacs;
        let products = (pixels / GROUP as f64).ceil() * plan.panels.len().div_ceil(2) as f64;
        let multiply = pixels * o.packed_bytes as f64 / 450.0 + 200.0 * products;
        let compute = (multiply + pixels * (QUAD * gathered) as f64 / 6.0 + elements / 2.5) * cycle;
        let stream = m.weights(o.packed_bytes, 1) + elements / (2.0 * m.l3_bandwidth);
        let copy = o.scratch.shared as f64 * 2.0 / m.l3_bandwidth;
        let bytes = bytes_moved(p, o) as f64 + o.packed_bytes as f64 + 2.0 * o.scratch.shared as f64;
        Cost { ns: compute + 0.5 * stream + copy + 500.0, bytes }
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        super::Conv::pack(p, o)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let amx = Amx::detect().ok_or_else(|| KernelError::Problem("this machine lacks amx".into()))?;
        let (x, ..) = operands(p, 0).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(Box::new(Engine::new(s, ByTiles::new::<S>(amx, x), p, o, packed)?))
    }
}
