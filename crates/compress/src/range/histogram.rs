//! How the values of a tensor are spread, counted as they come.

/// Bins of a histogram.
pub const BINS: usize = 2048;

/// Counts in 2,048 bins of equal width, which double whenever a value lies outside. Zeros are counted apart: they are
/// exact in any quantisation, and after a ReLU half of all there is.
#[derive(Clone, Debug)]
pub struct Histogram {
    start: f64,
    width: f64,
    counts: Vec<u64>,
    zeros: u64,
    min: f32,
    max: f32,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { start: 0.0, width: 0.0, counts: vec![0; BINS], zeros: 0, min: 0.0, max: 0.0 }
    }
}

impl Histogram {
    /// Counts `values`, which must be finite.
    pub fn add(&mut self, values: &[f32]) {
        let (low, high) = values.iter().fold((0f32, 0f32), |(lo, hi), &v| (lo.min(v), hi.max(v)));
        (self.min, self.max) = (self.min.min(low), self.max.max(high));
        if low == 0.0 && high == 0.0 {
            self.zeros += values.len() as u64;
            return;
        }
        if self.width == 0.0 {
            self.start = f64::from(low);
            // The least width keeps divisions finite where all values are next to nothing.
            self.width = ((f64::from(high) - f64::from(low)) / BINS as f64).max(1e-300);
        }
        while f64::from(high) > self.end() {
            self.merge(0);
        }
        while f64::from(low) < self.start {
            self.start -= self.width * BINS as f64;
            self.merge(BINS / 2);
        }
        let (start, per_bin) = (self.start, 1.0 / self.width);
        for &v in values {
            if v == 0.0 {
                self.zeros += 1;
            } else {
                let bin = ((f64::from(v) - start) * per_bin) as usize;
                self.counts[bin.min(BINS - 1)] += 1;
            }
        }
    }

    fn end(&self) -> f64 {
        self.start + self.width * BINS as f64
    }

    /// Makes one bin of each two, the first of them at `to`.
    fn merge(&mut self, to: usize) {
        let merged: Vec<u64> = self.counts.chunks_exact(2).map(|pair| pair[0] + pair[1]).collect();
        self.counts.fill(0);
        self.counts[to..to + merged.len()].copy_from_slice(&merged);
        self.width *= 2.0;
    }

    /// The least value, or zero where that is less.
    pub fn min(&self) -> f32 {
        self.min
    }

    /// The greatest value, or zero where that is more.
    pub fn max(&self) -> f32 {
        self.max
    }

    /// How many values are zero.
    pub fn zeros(&self) -> u64 {
        self.zeros
    }

    /// How many values there are.
    pub fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Width of a bin.
    pub fn width(&self) -> f64 {
        self.width
    }

    /// Bins with the values in their middles, those without a count left out.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let middle = |i: usize| self.start + (i as f64 + 0.5) * self.width;
        self.counts.iter().enumerate().filter(|(_, c)| **c > 0).map(move |(i, &c)| (middle(i), c))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_loses_no_count_and_moves_no_value_far() {
        let mut h = Histogram::default();
        h.add(&[0.0, 0.0]);
        assert_eq!((h.zeros(), h.total(), h.bins().count()), (2, 2, 0));
        h.add(&[0.5, 1.0]);
        h.add(&[-100.0, 3.0, 0.0]);
        h.add(&[1000.0]);
        assert_eq!((h.total(), h.zeros(), h.min(), h.max()), (8, 3, -100.0, 1000.0));
        let near = |x: f64| h.bins().any(|(v, _)| (v - x).abs() <= h.width());
        for x in [0.5, 1.0, -100.0, 3.0, 1000.0] {
            assert!(near(x), "{x}");
        }
        assert!(h.width() * BINS as f64 <= 4.0 * 1100.0, "bins are no wider than they must be");
    }

    #[test]
    fn tiny_and_single_values_do_no_harm() {
        let mut h = Histogram::default();
        h.add(&[1e-40]);
        h.add(&[-3e38, 3e38]);
        assert_eq!(h.total(), 3);
        let mut one = Histogram::default();
        one.add(&[7.0; 5]);
        assert_eq!(one.bins().map(|(_, c)| c).sum::<u64>(), 5);
    }
}
