//! Living on less memory: bytes of packed weights have a price, all of a model's together have a bound, and where memory is
//! bounded, kernels that pack weights into much more than they were are given up.

use crate::{
    assign::Choice,
    lower::{Candidate, LNode, Lowered},
    pack,
    place::Placed,
};
use paring_core::Tensor;
use std::collections::HashMap;

/// Nanoseconds that a byte of packed weights must save in every run to be worth it: 20 us for a MiB. Large transforms
/// that gain next to nothing over small ones lose by it, and nothing else does.
const PRICE: f64 = 20e3 / (1 << 20) as f64;

/// Bytes that packed weights may take beyond all weights of the model in `f32`, those that are read where they lie among them.
/// Weights of bytes count as much: layers that run on the numbers they stand for pack those.
const GROWTH_BYTES: usize = 50 << 20;

/// What a candidate is chosen by: its time and the price of what it packs.
pub(crate) fn priced(c: &Candidate) -> f64 {
    c.cost_ns + PRICE * c.offer.packed_bytes as f64
}

/// Leaves each node only those kernels that pack at most `growth` times the bytes of its constants, or where there are
/// none the ones that pack the least.
pub(crate) fn give_up(lowered: &mut Lowered, growth: f64) {
    for node in lowered.nodes.iter_mut().filter(|n| !n.is_view) {
        let least = node.candidates.iter().map(|c| c.offer.packed_bytes).min().unwrap_or(0);
        let allowed = (growth * constant_bytes(node) as f64).max(least as f64);
        node.keep(|c| c.offer.packed_bytes as f64 <= allowed);
    }
}

/// Where the chosen kernels pack more than [`GROWTH_BYTES`] beyond the weights, takes kernels that pack less, of the same
/// layouts, one node at a time: first those that lose the least time for a byte.
pub(crate) fn bound_growth(lowered: &mut Lowered, choice: &mut Choice) {
    let nodes = &mut lowered.nodes;
    let packed = |node: &LNode, at: usize| node.candidates.get(at).map_or(0, |c| c.offer.packed_bytes);
    let allowed = nodes.iter().map(f32_bytes).fold(GROWTH_BYTES, usize::saturating_add);
    let mut total = nodes.iter().zip(&*choice).map(|(n, &at)| packed(n, at)).fold(0, usize::saturating_add);
    while total > allowed {
        let switches = nodes.iter().zip(&*choice).enumerate().filter(|(_, (n, _))| !n.is_view);
        let switches = switches.filter_map(|(i, (n, &at))| n.thriftier(at).map(|(to, price)| (i, to, price)));
        let Some((i, to, _)) = switches.min_by(|a, b| a.2.total_cmp(&b.2)) else { return };
        let (from, most) = (packed(&nodes[i], choice[i]), packed(&nodes[i], to));
        let fits = |c: &Candidate| c.offer.packed_bytes <= most;
        total -= from - most;
        choice[i] = nodes[i].candidates[..to].iter().filter(|c| fits(c)).count();
        nodes[i].keep(fits);
    }
}

impl LNode {
    /// The candidate that packs less than the one at `at` for the least time per byte, and that price.
    fn thriftier(&self, at: usize) -> Option<(usize, f64)> {
        let now = self.candidates.get(at)?;
        let alike = self.candidates.iter().enumerate().filter(|(_, c)| {
            let less = c.offer.packed_bytes < now.offer.packed_bytes;
            less && c.offer.inputs == now.offer.inputs && c.offer.outputs == now.offer.outputs
        });
        let price = |c: &Candidate| (c.cost_ns - now.cost_ns) / (now.offer.packed_bytes - c.offer.packed_bytes) as f64;
        alike.map(|(i, c)| (i, price(c))).min_by(|a, b| a.1.total_cmp(&b.1))
    }

    /// Gives up candidates that do not fit.
    fn keep(&mut self, fits: impl Fn(&Candidate) -> bool) {
        let (kept, dropped) = std::mem::take(&mut self.candidates).into_iter().partition(fits);
        self.candidates = kept;
        for c in dropped {
            let reason = format!("given up to save memory: it packs {} bytes", c.offer.packed_bytes);
            self.rejects.push((c.kernel.descriptor().name, reason));
        }
    }
}

fn constant_bytes(node: &LNode) -> usize {
    constants(node).map(|t| t.byte_len()).sum()
}

/// Bytes of the constants of a node if all were `f32`.
fn f32_bytes(node: &LNode) -> usize {
    constants(node).map(|t| t.len() * size_of::<f32>()).sum()
}

fn constants(node: &LNode) -> impl Iterator<Item = &Tensor> {
    node.problem.inputs.iter().flatten().filter_map(|x| x.constant.as_deref())
}

/// Bytes of the packed weights and of the working memory of one worker.
pub(crate) fn needed(placed: &Placed) -> usize {
    let mut shared = HashMap::new();
    let mut packed = 0usize;
    for step in &placed.emitted.steps {
        match pack::key(step) {
            Some(key) => {
                shared.insert(key, step.offer.packed_bytes);
            }
            None => packed += step.offer.packed_bytes,
        }
    }
    shared.values().fold(packed, |sum, &n| sum.saturating_add(n)).saturating_add(placed.memory().working_set(1))
}
