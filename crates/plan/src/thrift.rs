//! Living on less memory: bytes of packed weights have a price, and where memory is bounded, kernels that pack weights
//! into much more than they were are given up.

use crate::{
    lower::{Candidate, LNode, Lowered},
    pack,
    place::Placed,
};
use std::collections::HashMap;

/// Nanoseconds that a byte of packed weights must save in every run to be worth it: 20 us for a MiB. Large transforms
/// that gain next to nothing over small ones lose by it, and nothing else does.
const PRICE: f64 = 20e3 / (1 << 20) as f64;

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
        let fits = |c: &Candidate| c.offer.packed_bytes as f64 <= allowed;
        let (kept, dropped) = std::mem::take(&mut node.candidates).into_iter().partition(fits);
        node.candidates = kept;
        for c in dropped {
            let reason = format!("given up to save memory: it packs {} bytes", c.offer.packed_bytes);
            node.rejects.push((c.kernel.descriptor().name, reason));
        }
    }
}

fn constant_bytes(node: &LNode) -> usize {
    let constants = node.problem.inputs.iter().flatten().filter_map(|x| x.constant.as_ref());
    constants.map(|t| t.byte_len()).sum()
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
