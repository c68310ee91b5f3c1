//! The range with the least mean squared error.

use super::{Histogram, Range};

/// Parts of the whole range that are tried at each end.
const TRIED: usize = 128;

/// Moves one end at a time to where the error is least, until neither moves.
pub fn range(seen: &Histogram, all: Range) -> Range {
    let bins: Vec<(f64, f64)> = seen.bins().map(|(v, c)| (v, c as f64)).collect();
    let spread = seen.width() * seen.width() / 12.0;
    let error = |low: f64, high: f64| {
        let step = (high - low) / 255.0;
        // Rounding errors are spread evenly over a step; what is clipped is off by its distance from the end.
        let rounded = step * step / 12.0;
        bins.iter().fold(0.0, |sum, &(v, count)| {
            let beyond = (v - high).max(low - v);
            sum + count * if beyond > 0.0 { beyond * beyond + spread } else { rounded }
        })
    };
    let (mut low, mut high) = (f64::from(all.low), f64::from(all.high));
    for _ in 0..4 {
        let before = (low, high);
        high = best(f64::from(all.high), |h| error(low, h), low < 0.0);
        low = best(f64::from(all.low), |l| error(l, high), high > 0.0);
        if (low, high) == before {
            break;
        }
    }
    Range { low: low as f32, high: high as f32 }
}

/// The part of `end` at which `error` is least; nothing of it only where something is left at the other end.
fn best(end: f64, error: impl Fn(f64) -> f64, may_vanish: bool) -> f64 {
    if end == 0.0 {
        return end;
    }
    let parts = (if may_vanish { 0 } else { 1 }..=TRIED).rev().map(|i| end * i as f64 / TRIED as f64);
    let rated = parts.map(|part| (part, error(part)));
    rated.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(end, |(part, _)| part)
}
