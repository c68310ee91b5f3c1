//! Direct convolution: the sum runs over an offset table, without rearranging the input (an implicit matrix product).

use super::{engine, geometry::Geometry, lower};
use crate::{
    epilogue::{self, Epilogue},
    stamp::{self, generic_kernel},
};
use paring_core::{Layout, Op};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch,
};
use paring_simd::Simd;
use std::sync::Arc;

generic_kernel! {
    /// Direct convolution on blocks of eight channels.
    DirectConv
}

/// Most channels of an input that is read in plain layout: beyond, every channel is another cache line and page.
const PLAIN_CHANNELS: usize = 16;

/// The geometry of a convolution of either kind.
///
/// # Errors
/// [`Reject`] where `p` is not one that can be served.
pub(super) fn geometry(p: &Problem) -> Result<Geometry, Reject> {
    match &p.op {
        Op::Conv(a) => Geometry::of_conv(p, a),
        Op::ConvTranspose(a) => Geometry::of_transposed(p, a),
        _ => Err(Reject::because("not a convolution")),
    }
}

/// The offers for `p`: blocked in and out, and plain in where channels are few.
pub(super) fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
    let g = geometry(p)?;
    let fused = epilogue::fusable(p, g.outputs);
    let mut layouts = vec![Layout::Blocked(8)];
    if g.inputs <= PLAIN_CHANNELS {
        layouts.push(Layout::Plain);
    }
    for (variant, layout) in layouts.into_iter().enumerate() {
        let lanes = lower::lanes(layout).ok_or_else(|| Reject::because("only plain layout and blocks of eight"))?;
        let walk = g.walk(lanes);
        let (packed, _) = g.sizes(walk).ok_or_else(|| Reject::because("the weights are too large"))?;
        let shared = engine::halo(&g, lanes).map_or(0, |h| h.elements() * size_of::<f32>());
        let kind = if g.transposed { "deconv" } else { "conv" };
        out.push(Offer {
            scratch: Scratch { shared, per_worker: 0 },
            packed_bytes: packed * size_of::<f32>(),
            packed_format: packed_format(&g, kind, walk).into(),
            variant: variant as u32,
            ..epilogue::offer(p, fused, layout, Layout::Blocked(8))
        });
    }
    Ok(())
}

/// Names what the packed bytes depend on besides the weights: for a transposed convolution also how its taps fall into
/// phases.
fn packed_format(g: &Geometry, kind: &str, walk: lower::Walk) -> String {
    let mut name = format!("{kind}-f32-panels-{}-g{}", walk.name(), g.groups);
    for phase in g.phases.iter().filter(|_| g.transposed) {
        name += "-";
        for tap in &phase.taps {
            name += &format!(".{}", tap.index);
        }
    }
    name
}

/// Time and traffic of an offer.
pub(super) fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost {
    let never = Cost { ns: f64::INFINITY, bytes: f64::INFINITY };
    let Ok(g) = geometry(p) else { return never };
    let Some(lanes) = o.inputs.first().copied().flatten().and_then(lower::lanes) else { return never };
    let walk = g.walk(lanes);
    let Some((_, macs)) = g.sizes(walk) else { return never };
    let bytes = |i: Option<&paring_kernel::Operand>, l: Layout| i.and_then(|i| i.bytes(l)).unwrap_or(0) as f64;
    let input = bytes(p.input(0), o.inputs[0].unwrap_or(Layout::Plain));
    let output = bytes(p.output(0), Layout::Blocked(8));
    let residual = output * epilogue::residuals(p, o.fused).count() as f64;
    let weights = o.packed_bytes as f64;

    let rate = stamp::rate(S::ISA, m);
    // Measured: the share of the peak that the inner loop reaches, less where the input is read across pages.
    let eta = match (walk, lanes) {
        (lower::Walk::Blocks, _) => 0.93,
        (_, 1) => 0.82,
        _ => 0.88,
    };
    // Filling and draining the accumulators of a tile takes as long as some twelve terms of the sum.
    let drain =
        g.samples as f64 * g.output.iter().map(|&e| e as f64).product::<f64>() * g.outputs.next_multiple_of(8) as f64;
    let compute = (macs + 8.0 * drain) / (rate * eta);
    let stream = m.weights(o.packed_bytes, 1) + (output + residual) / (2.0 * m.l3_bandwidth);
    let copy = o.scratch.shared as f64 * 2.0 / m.l3_bandwidth;
    Cost {
        ns: compute + 0.5 * stream + copy + 300.0,
        bytes: input + output + residual + weights + 2.0 * o.scratch.shared as f64,
    }
}

/// Packs the weights of a convolution of either kind.
pub(super) fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
    let (g, lanes) = chosen(p, o)?;
    let walk = g.walk(lanes);
    let weights = stamp::weights(p, 1)?;
    let packed = g.sizes(walk).map(|s| s.0).filter(|&n| n * size_of::<f32>() == o.packed_bytes);
    let packed = packed.ok_or_else(|| KernelError::Problem("the offer is of another problem".into()))?;
    Ok(g.pack(walk, packed, &weights)?.into())
}

/// Prepares a convolution of either kind.
pub(super) fn prepare<S: Simd>(p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
    let (g, lanes) = chosen(p, o)?;
    let epilogue = Epilogue::new(p, o.fused, g.outputs, true)?;
    Ok(Box::new(engine::Engine::new(stamp::token::<S>()?, g, lanes, packed, epilogue)?))
}

/// The geometry and the lanes of the input in an offer that was chosen.
fn chosen(p: &Problem, o: &Offer) -> Result<(Geometry, usize), KernelError> {
    let g = geometry(p).map_err(|r| KernelError::Problem(r.to_string()))?;
    let lanes = o.inputs.first().copied().flatten().and_then(lower::lanes);
    Ok((g, lanes.ok_or_else(|| KernelError::Problem("the offer is of another kernel".into()))?))
}

impl<S: Simd> Kernel for DirectConv<S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        offers(p, out)
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        cost::<S>(p, o, m)
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        pack(p, o)
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        prepare::<S>(p, o, packed)
    }
}
