//! The range of a tensor that its bytes cover, and how it is chosen.

mod entropy;
mod histogram;
mod mse;

pub use histogram::Histogram;

use serde::Serialize;

/// How ranges of activations are chosen from the values seen while calibrating.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Method {
    /// Everything that was seen.
    MinMax,
    /// All but the outermost values: this share of them in percent stays.
    Percentile(f64),
    /// The least mean squared error of the values.
    #[default]
    Mse,
    /// The least divergence (Kullback-Leibler) of the distribution from what is left of it, as TensorRT does it.
    Entropy,
}

impl Method {
    /// The range that bytes should cover. Zero is within it.
    pub fn range(self, seen: &Histogram) -> Range {
        let all = Range { low: seen.min(), high: seen.max() };
        if all.low == all.high {
            return all;
        }
        match self {
            Method::MinMax => all,
            Method::Percentile(share) => percentile(seen, all, share),
            Method::Mse => mse::range(seen, all),
            Method::Entropy => entropy::range(seen, all),
        }
    }
}

/// Values from `low`, at most zero, to `high`, at least zero.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// The least value.
    pub low: f32,
    /// The greatest value.
    pub high: f32,
}

/// What a byte stands for: `scale * (byte - zero_point)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parameters {
    /// The distance of neighbouring values.
    pub scale: f32,
    /// The byte that stands for zero.
    pub zero_point: u8,
}

impl Range {
    /// The whole range in 256 steps, zero being one of them.
    pub fn parameters(self) -> Parameters {
        let width = f64::from(self.high) - f64::from(self.low);
        // A tensor of nothing but zeros has no scale; the least normal number has a finite inverse.
        let scale = if width > 0.0 { ((width / 255.0) as f32).max(f32::MIN_POSITIVE) } else { 1.0 };
        let zero_point = (-f64::from(self.low) / f64::from(scale)).round().clamp(0.0, 255.0) as u8;
        Parameters { scale, zero_point }
    }
}

fn percentile(seen: &Histogram, all: Range, share: f64) -> Range {
    let spare = (1.0 - share / 100.0).max(0.0) * seen.total() as f64;
    let half = seen.width() / 2.0;
    let mut ascending: Vec<(f64, u64)> = seen.bins().collect();
    // Zeros have their place among the others.
    let at = ascending.partition_point(|&(v, _)| v < 0.0);
    ascending.insert(at, (0.0, seen.zeros()));
    let low = edge(ascending.iter(), spare).map_or(all.low, |(v, _)| (v - half) as f32);
    let high = edge(ascending.iter().rev(), spare).map_or(all.high, |(v, _)| (v + half) as f32);
    let range = Range { low: low.clamp(all.low, 0.0), high: high.clamp(0.0, all.high) };
    if range.low == range.high { all } else { range }
}

/// The first bin with which there are more than `spare` values.
fn edge<'a>(mut bins: impl Iterator<Item = &'a (f64, u64)>, spare: f64) -> Option<(f64, u64)> {
    let mut beyond = 0.0;
    let found = bins.find(|(_, count)| {
        beyond += *count as f64;
        beyond > spare
    });
    found.copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bell of five million values with deviation 1, and one outlier: with fewer values clipping it would not pay.
    fn bell(outlier: f32, fold: bool) -> Histogram {
        let mut h = Histogram::default();
        for i in -400i32..=400 {
            let x = i as f32 / 100.0;
            let count = (20_000.0 * (-x * x / 2.0).exp()) as usize;
            h.add(&vec![if fold { x.abs() } else { x }; count]);
        }
        h.add(&[outlier]);
        h
    }

    #[test]
    fn min_max_covers_the_outlier_and_the_others_clip_it() {
        for fold in [true, false] {
            let h = bell(100.0, fold);
            assert_eq!(Method::MinMax.range(&h).high, 100.0);
            for method in [Method::Mse, Method::Entropy, Method::Percentile(99.9)] {
                let r = method.range(&h);
                assert!((2.5..30.0).contains(&r.high), "{method:?} {fold}: {r:?}");
                assert!(if fold { r.low == 0.0 } else { (-5.0..-2.0).contains(&r.low) }, "{method:?} {fold}: {r:?}");
            }
        }
    }

    #[test]
    fn values_spread_evenly_are_all_covered() {
        let mut h = Histogram::default();
        h.add(&(0..10_000).map(|i| i as f32 / 10_000.0).collect::<Vec<_>>());
        for method in [Method::MinMax, Method::Mse, Method::Entropy] {
            let r = method.range(&h);
            assert!(r.high > 0.97 && r.low == 0.0, "{method:?}: {r:?}");
        }
        let cut = Method::Percentile(90.0).range(&h);
        assert!((0.88..0.92).contains(&cut.high), "{cut:?}");
    }

    #[test]
    fn nothing_and_constants_have_parameters() {
        let parameters = |values: &[f32]| {
            let mut h = Histogram::default();
            h.add(values);
            [Method::MinMax, Method::Mse, Method::Entropy, Method::Percentile(99.0)].map(|m| m.range(&h).parameters())
        };
        assert_eq!(parameters(&[]), [Parameters { scale: 1.0, zero_point: 0 }; 4]);
        assert_eq!(parameters(&[0.0; 9]), [Parameters { scale: 1.0, zero_point: 0 }; 4]);
        for p in parameters(&[-2.55; 9]) {
            assert!(p.zero_point == 255 && (p.scale - 0.01).abs() < 1e-4, "{p:?}");
        }
        for p in parameters(&[1e-44]) {
            assert!(p.scale >= f32::MIN_POSITIVE && (1.0 / p.scale).is_finite(), "{p:?}");
        }
    }

    #[test]
    fn zero_is_exact() {
        let p = Range { low: -1.0, high: 2.0 }.parameters();
        assert_eq!(p.zero_point, 85);
        assert!((p.scale - 3.0 / 255.0).abs() < 1e-9);
    }
}
