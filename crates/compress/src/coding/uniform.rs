//! Whole numbers of a few bits with a scale: the scale of least squared error.

use super::rows::{Book, Coded, Cut, half};
use crate::weights::round;

/// Scales that are tried, from the one that covers the largest weight downwards: each is so much of the one before.
const STEP: f32 = 0.93;
/// Rounds of rounding to a scale and fitting the scale to what came out, each of which is an improvement.
const FITS: usize = 6;

/// Most bits of which grids without a zero are tried: with more, the one value more that they have makes no difference.
const ODD: u32 = 3;

/// Codes of `bits` bits. The values are as many below zero as above it: weights that are cut off then do so on both sides,
/// and do not add up to an error of the mean.
pub fn code(weights: &[f32], cut: Cut, bits: u32) -> Coded {
    let whole = on(Levels::Whole { most: half(bits) - 1 }, weights, cut, bits);
    if bits > ODD {
        return whole;
    }
    let odd = on(Levels::Odd { half: half(bits) }, weights, cut, bits);
    if odd.noise(weights) < whole.noise(weights) { odd } else { whole }
}

fn on(levels: Levels, weights: &[f32], cut: Cut, bits: u32) -> Coded {
    let mut codes = vec![0; weights.len()];
    let rows = cut.split(weights).zip(cut.split_mut(&mut codes));
    let scales = rows.map(|(row, codes)| code_row(row, levels, codes)).collect();
    let book = if matches!(levels, Levels::Odd { .. }) { Book::Odd } else { Book::Grid };
    Coded { bits, cut, codes, scales, book }
}

/// Codes a row; returns its scale.
fn code_row(row: &[f32], levels: Levels, codes: &mut [i8]) -> f32 {
    let largest = row.iter().fold(0f32, |m, w| m.max(w.abs()));
    if largest == 0.0 {
        codes.fill(0);
        return f32::MIN_POSITIVE;
    }
    let covering = levels.bounded(largest / levels.most() as f32);
    // The fewer the levels, the more of the large weights are better cut off.
    let tried = match levels.most() {
        ..=3 => 24,
        4..=7 => 16,
        _ => 8,
    };
    let scales = (0..tried).map(|i| levels.bounded(covering * STEP.powi(i)));
    let rated = scales.map(|s| (s, levels.error(row, s))).min_by(|a, b| a.1.total_cmp(&b.1));
    let (mut scale, mut error) = rated.unwrap_or((covering, f64::INFINITY));
    for _ in 0..FITS {
        let fitted = levels.fit(row, scale);
        let better = levels.error(row, fitted);
        if better >= error {
            break;
        }
        (scale, error) = (fitted, better);
    }
    for (code, &w) in codes.iter_mut().zip(row) {
        *code = levels.code(w / scale) as i8;
    }
    scale
}

/// What codes stand for, in steps of the scale.
#[derive(Clone, Copy)]
enum Levels {
    /// The code itself.
    Whole { most: i32 },
    /// Twice the code and one.
    Odd { half: i32 },
}

impl Levels {
    /// The greatest value, the least being its negative.
    fn most(self) -> i32 {
        match self {
            Levels::Whole { most } => most,
            Levels::Odd { half } => 2 * half - 1,
        }
    }

    /// A scale with which no value is infinite, nor the inverse of it.
    fn bounded(self, scale: f32) -> f32 {
        scale.clamp(f32::MIN_POSITIVE, f32::MAX / (self.most() + 1) as f32)
    }

    /// The code whose value is nearest.
    fn code(self, x: f32) -> i32 {
        match self {
            Levels::Whole { most } => round(x.clamp(-most as f32, most as f32)),
            Levels::Odd { half } => round((x * 0.5 - 0.5).clamp(-half as f32, (half - 1) as f32)),
        }
    }

    fn value(self, code: i32) -> f32 {
        match self {
            Levels::Whole { .. } => code as f32,
            Levels::Odd { .. } => (2 * code + 1) as f32,
        }
    }

    /// Sum of squared errors at this scale.
    fn error(self, row: &[f32], scale: f32) -> f64 {
        // Short sums in single precision, many of them side by side, then one in double.
        const LANES: usize = 8;
        const RUN: usize = 512;
        let mut total = 0.0;
        for part in row.chunks(RUN) {
            let mut sums = [0f32; LANES];
            for w in part.chunks(LANES) {
                for (sum, &w) in sums.iter_mut().zip(w) {
                    // In steps of the scale, so that the square of a tiny weight is no zero.
                    let x = w / scale;
                    let off = x - self.value(self.code(x));
                    *sum += off * off;
                }
            }
            total += sums.iter().map(|&s| f64::from(s)).sum::<f64>();
        }
        total * f64::from(scale).powi(2)
    }

    /// The scale with the least error for the codes that `scale` leads to.
    fn fit(self, row: &[f32], scale: f32) -> f32 {
        let (mut both, mut square) = (0f64, 0f64);
        for &w in row {
            let value = f64::from(self.value(self.code(w / scale)));
            both += f64::from(w) * value;
            square += value * value;
        }
        if square > 0.0 { self.bounded((both / square) as f32) } else { scale }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::tests::normal;

    #[test]
    fn exact_numbers_stay_exact() {
        for bits in 2..=8 {
            let weights: Vec<f32> = (1 - half(bits)..half(bits)).map(|q| q as f32 * 0.25).collect();
            let coded = code(&weights, Cut::whole(weights.len()), bits);
            assert!(coded.noise(&weights) < 1e-10, "{bits} bits: {coded:?}");
        }
        let odd = [-0.75, 0.75, 0.25, -0.25];
        let coded = code(&odd, Cut::whole(4), 2);
        assert!(coded.noise(&odd) < 1e-10 && coded.book == Book::Odd, "{coded:?}");
    }

    #[test]
    fn no_scale_nearby_is_better() {
        for bits in [2, 3, 4, 6] {
            let weights = normal(1, 500);
            let coded = code(&weights, Cut::whole(500), bits);
            let levels = match coded.book {
                Book::Odd => Levels::Odd { half: half(bits) },
                _ => Levels::Whole { most: half(bits) - 1 },
            };
            let found = coded.noise(&weights);
            for part in 1..200 {
                let scale = coded.scales[0] * part as f32 / 50.0;
                // The grid of scales may miss the best of several valleys by little.
                assert!(levels.error(&weights, scale) > found * 0.97, "{bits} bits: {part}");
            }
        }
    }

    #[test]
    fn every_bit_is_worth_five_decibels() {
        let weights = normal(2, 4096);
        let signal: f64 = weights.iter().map(|&w| f64::from(w).powi(2)).sum();
        let db = |bits| 10.0 * (signal / code(&weights, Cut::channels(4, 4096, None), bits).noise(&weights)).log10();
        let all: Vec<f64> = (2..=8).map(db).collect();
        assert!(all[0] > 8.5 && all.windows(2).all(|w| w[1] > w[0] + 4.5), "{all:?}");
    }

    #[test]
    fn odd_rows_are_no_trouble() {
        for row in [&[0.0, 0.0][..], &[f32::MAX, -f32::MAX], &[1e-40, -1e-40], &[-3.0], &[1e-45, 1e38]] {
            for bits in 2..=8 {
                let coded = code(row, Cut::whole(row.len()), bits);
                assert!(coded.scales.iter().all(|s| s.is_finite() && *s > 0.0), "{row:?}: {coded:?}");
                assert!(coded.noise(row).is_finite());
            }
        }
    }
}
