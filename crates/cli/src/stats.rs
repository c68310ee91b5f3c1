//! Statistics of repeated timings.

use serde::Serialize;

/// Above this coefficient of variation a measurement is called unstable.
pub const UNSTABLE_CV: f64 = 0.05;

/// What a series of times, in milliseconds, says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Timing {
    pub min_ms: f64,
    pub median_ms: f64,
    pub mean_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    /// Sample standard deviation over mean.
    pub cv: f64,
}

impl Timing {
    /// `None` for no times at all.
    pub fn of(times_ms: &[f64]) -> Option<Timing> {
        let mut t = times_ms.to_vec();
        t.sort_by(f64::total_cmp);
        let (min, max) = (*t.first()?, *t.last()?);
        let mean = t.iter().sum::<f64>() / t.len() as f64;
        let spread = t.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (t.len().max(2) - 1) as f64;
        let cv = if mean > 0.0 { spread.sqrt() / mean } else { 0.0 };
        Some(Timing {
            min_ms: min,
            median_ms: percentile(&t, 0.5),
            mean_ms: mean,
            p90_ms: percentile(&t, 0.9),
            p99_ms: percentile(&t, 0.99),
            max_ms: max,
            cv,
        })
    }
}

/// Percentile of sorted values, with linear interpolation between neighbours.
fn percentile(sorted: &[f64], q: f64) -> f64 {
    let place = q * (sorted.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_known_series() {
        let t = Timing::of(&[4.0, 1.0, 3.0, 2.0, 5.0]).expect("five times");
        assert_eq!((t.min_ms, t.median_ms, t.mean_ms, t.max_ms), (1.0, 3.0, 3.0, 5.0));
        assert!((t.p90_ms - 4.6).abs() < 1e-12 && (t.cv - 2.5f64.sqrt() / 3.0).abs() < 1e-12);
    }

    #[test]
    fn even_count_and_single_and_none() {
        assert_eq!(Timing::of(&[1.0, 2.0]).map(|t| t.median_ms), Some(1.5));
        assert_eq!(Timing::of(&[7.0]).map(|t| (t.median_ms, t.p99_ms, t.cv)), Some((7.0, 7.0, 0.0)));
        assert_eq!(Timing::of(&[]), None);
    }
}
