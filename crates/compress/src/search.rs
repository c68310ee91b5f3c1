//! Which layers stay in `f32` for a bound on the error to hold.

use crate::measure::{Comparison, Subject};
use crate::net::Net;
use crate::quantize::Bound;
use crate::{Error, Progress, Result};
use std::collections::BTreeSet;

/// Batches that tell sensitive layers from others.
const RANKING_BATCHES: usize = 16;

/// Layers to keep, and for each layer the error of the model's output that it alone causes, in dB.
pub struct Found {
    pub kept: BTreeSet<usize>,
    pub alone: Vec<Option<f64>>,
}

/// Whether a comparison stays within `bound`.
pub fn holds(found: &Comparison, bound: Bound) -> bool {
    match bound {
        Bound::Drop(points) => found.accuracy.is_none_or(|a| a.drop() <= points + 1e-9),
        Bound::Sqnr(db) => found.worst_sqnr_db() >= db,
    }
}

/// Keeps the most sensitive of `layers` in `f32`, as few as make `bound` hold. `make` quantises all but some of them.
pub fn search(
    subject: &Subject<'_>,
    layers: &[usize],
    bound: Bound,
    make: &dyn Fn(&BTreeSet<usize>) -> Net,
    progress: &mut dyn FnMut(Progress),
) -> Result<Found> {
    let last = layers.last().map_or(0, |l| l + 1);
    let mut alone = vec![None; last];
    let mut ranked = Vec::new();
    for (i, &layer) in layers.iter().enumerate() {
        let others = layers.iter().copied().filter(|&l| l != layer).collect();
        let found = subject.compare(&make(&others), &[], RANKING_BATCHES, "ranking layers", &mut |_| {})?;
        let sqnr = found.worst_sqnr_db();
        alone[layer] = sqnr.is_finite().then_some(sqnr);
        ranked.push((sqnr, layer));
        progress(Progress { step: "ranking layers", done: i + 1, of: layers.len() });
    }
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let first = |n: usize| ranked[..n].iter().map(|r| r.1).collect::<BTreeSet<_>>();
    let mut enough = |n: usize| {
        let found = subject.compare(&make(&first(n)), &[], usize::MAX, "trying", progress)?;
        Ok::<_, Error>(holds(&found, bound))
    };
    // Doubling finds a number that is enough, halving the least of them; none was not.
    let (mut too_few, mut many) = (0, 1);
    while many < ranked.len() && !enough(many)? {
        (too_few, many) = (many, many * 2);
    }
    if many >= ranked.len() {
        many = ranked.len();
        if !enough(many - 1)? {
            return Err(Error::Bound);
        }
        many -= 1;
    }
    while many - too_few > 1 {
        let middle = too_few + (many - too_few) / 2;
        if enough(middle)? { many = middle } else { too_few = middle }
    }
    Ok(Found { kept: first(many), alone })
}
