//! The range whose 256 levels say most about the distribution.

use super::{Histogram, Range};

/// Levels of a byte.
const LEVELS: usize = 256;
/// Magnitudes that are tried.
const TRIED: usize = 128;

/// Narrows the range as long as the distribution, its tails heaped up at the ends, is told better by 256 levels.
pub fn range(seen: &Histogram, all: Range) -> Range {
    let bins: Vec<(f64, f64)> = seen.bins().map(|(v, c)| (v, c as f64)).collect();
    // The end that is farther out is the first to come in.
    let most = f64::from(all.high.max(-all.low));
    let part = |i: usize| {
        let magnitude = most * i as f64 / TRIED as f64;
        (f64::from(all.low).max(-magnitude), f64::from(all.high).min(magnitude))
    };
    // With fewer bins than levels there is nothing left to tell apart.
    let enough = |(low, high): &(f64, f64)| high - low >= seen.width() * LEVELS as f64;
    let rated = (1..=TRIED).rev().map(part).filter(enough);
    let rated = rated.filter_map(|(low, high)| Some((divergence(&bins, low, high)?, low, high)));
    match rated.min_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, low, high)) => Range { low: low as f32, high: high as f32 },
        None => all,
    }
}

/// Divergence of what 256 levels from `low` to `high` tell from the distribution clipped to there; `None` where nothing
/// lies there.
fn divergence(bins: &[(f64, f64)], low: f64, high: f64) -> Option<f64> {
    let first = bins.partition_point(|&(v, _)| v < low);
    let last = bins.partition_point(|&(v, _)| v <= high);
    let inside = bins.get(first..last).filter(|b| !b.is_empty())?;
    let (below, above): (f64, f64) = (bins[..first].iter().map(|b| b.1).sum(), bins[last..].iter().map(|b| b.1).sum());
    let level = |v: f64| (((v - low) / (high - low) * LEVELS as f64) as usize).min(LEVELS - 1);
    // A level tells the mean of its bins, of which only those with a count can be meant.
    let (mut counts, mut sizes) = ([0f64; LEVELS], [0f64; LEVELS]);
    for &(v, count) in inside {
        counts[level(v)] += count;
        sizes[level(v)] += 1.0;
    }
    let total: f64 = inside.iter().map(|b| b.1).sum();
    let whole = total + below + above;
    let end = inside.len() - 1;
    let divergence = inside.iter().enumerate().map(|(i, &(v, count))| {
        let tails = if i == 0 { below } else { 0.0 } + if i == end { above } else { 0.0 };
        let (p, q) = ((count + tails) / whole, counts[level(v)] / sizes[level(v)] / total);
        p * (p / q).ln()
    });
    // Counts that scatter about one density diverge from it, by so much on average (Miller and Madow), which would speak
    // for levels as narrow as bins wherever there are few values.
    let levels = sizes.iter().filter(|s| **s > 0.0).count();
    let scatter = (inside.len() - levels) as f64 / (2.0 * whole);
    Some(divergence.sum::<f64>() - scatter)
}
