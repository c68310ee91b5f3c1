//! Weights of three and of two values, with a scale for each row.

use super::rows::{Book, Coded, Cut};
use serde::Serialize;

/// Which weights become zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Threshold {
    /// Those with which the squared error is least, found by sorting.
    #[default]
    Exact,
    /// Those below 0.7 times the mean magnitude, as Li and Liu (2016) have it: right for weights that are normally
    /// distributed.
    Rule,
}

/// Weights of -1, 0 and 1 times a scale (ternary weight networks, Li and Liu 2016).
pub fn ternary(weights: &[f32], cut: Cut, threshold: Threshold) -> Coded {
    code(weights, cut, 2, Book::Grid, |row, codes| {
        let (scale, least) = match threshold {
            Threshold::Exact => exact(row),
            Threshold::Rule => rule(row),
        };
        for (code, w) in codes.iter_mut().zip(row) {
            *code = if w.abs() < least { 0 } else { sign(*w) };
        }
        scale
    })
}

/// Weights of -1 and 1 times their mean magnitude (binary weight networks, Rastegari et al. 2016).
pub fn binary(weights: &[f32], cut: Cut) -> Coded {
    code(weights, cut, 1, Book::Odd, |row, codes| {
        codes.iter_mut().zip(row).for_each(|(code, w)| *code = sign(*w).min(0));
        let scale = magnitude(row) / row.len().max(1) as f64;
        if scale > 0.0 { scale as f32 } else { 0.0 }
    })
}

fn code(weights: &[f32], cut: Cut, bits: u32, book: Book, row: impl Fn(&[f32], &mut [i8]) -> f32) -> Coded {
    let mut codes = vec![0; weights.len()];
    let scales = cut.split(weights).zip(cut.split_mut(&mut codes)).map(|(w, codes)| row(w, codes)).collect();
    Coded { bits, cut, codes, scales, book }
}

/// Zero counts as positive.
fn sign(w: f32) -> i8 {
    if w < 0.0 { -1 } else { 1 }
}

fn magnitude(row: &[f32]) -> f64 {
    row.iter().map(|w| f64::from(w.abs())).sum()
}

/// The scale, and the least magnitude that is not rounded to zero. With the `k` largest weights kept and their mean as the
/// scale, the squared error is that of all zeros less `sum^2 / k`.
fn exact(row: &[f32]) -> (f32, f32) {
    let mut sorted: Vec<f32> = row.iter().map(|w| w.abs()).collect();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    let (mut sum, mut best) = (0f64, (0f64, 0f64, f32::INFINITY));
    for (i, &w) in sorted.iter().enumerate() {
        sum += f64::from(w);
        // Of equal weights all are kept or none: in between the gain is never greater.
        let (count, last) = ((i + 1) as f64, sorted.get(i + 1).is_none_or(|&next| next < w));
        if last && w > 0.0 && sum * sum / count > best.0 {
            best = (sum * sum / count, sum / count, w);
        }
    }
    (best.1 as f32, best.2)
}

fn rule(row: &[f32]) -> (f32, f32) {
    let least = (0.7 * magnitude(row) / row.len().max(1) as f64) as f32;
    let kept = || row.iter().map(|w| w.abs()).filter(|w| *w >= least && *w > 0.0);
    let (sum, count) = kept().fold((0f64, 0f64), |(s, n), w| (s + f64::from(w), n + 1.0));
    if count > 0.0 { ((sum / count) as f32, least.max(f32::MIN_POSITIVE * f32::EPSILON)) } else { (0.0, f32::INFINITY) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::tests::normal;

    fn noise(row: &[f32], threshold: Threshold) -> f64 {
        ternary(row, Cut::whole(row.len()), threshold).noise(row)
    }

    /// The least error over every choice of codes, each with the scale that is best for it.
    fn brute_force(row: &[f32]) -> f64 {
        let total: f64 = row.iter().map(|&w| f64::from(w).powi(2)).sum();
        let mut best = total;
        for mut choice in 0..3usize.pow(row.len() as u32) {
            let (mut both, mut count) = (0f64, 0f64);
            for &w in row {
                let code = (choice % 3) as f64 - 1.0;
                (choice, both, count) = (choice / 3, both + code * f64::from(w), count + code * code);
            }
            if count > 0.0 && both > 0.0 {
                best = best.min(total - both * both / count);
            }
        }
        best
    }

    #[test]
    fn sorting_finds_what_trying_all_does() {
        for n in 1..=9 {
            for seed in 0..6 {
                let row = normal(100 * n as u64 + seed, n);
                let (found, best) = (noise(&row, Threshold::Exact), brute_force(&row));
                assert!((found - best).abs() <= 1e-6 * best.max(1e-3), "{row:?}: {found}, {best}");
            }
        }
        for row in [normal(7, 12), vec![0.5; 12], vec![1.0, 1.0, 0.1, 0.1, 0.1, -1.0, -0.1, 0.0]] {
            let (found, best) = (noise(&row, Threshold::Exact), brute_force(&row));
            assert!((found - best).abs() <= 1e-6 * best.max(1e-3), "{row:?}: {found}, {best}");
        }
    }

    #[test]
    fn the_rule_is_never_better_and_nearly_right_for_normal_weights() {
        for seed in 0..20 {
            let row: Vec<f32> = normal(seed, 300).iter().map(|w| w.powi(1 + 2 * (seed % 3) as i32)).collect();
            let (exact, rule) = (noise(&row, Threshold::Exact), noise(&row, Threshold::Rule));
            assert!(exact <= rule * (1.0 + 1e-6), "{seed}: {exact} {rule}");
            assert!(seed % 3 != 0 || rule < 1.05 * exact, "{seed}: {exact} {rule}");
        }
    }

    #[test]
    fn two_values_are_the_sign_and_the_mean_magnitude() {
        let coded = binary(&[1.0, -3.0, 0.0, -0.5], Cut::channels(2, 4, None));
        let values: Vec<f32> = (0..4).map(|i| coded.real(i)).collect();
        assert_eq!((values, coded.codes), (vec![2.0, -2.0, 0.25, -0.25], vec![0, -1, 0, -1]));
    }

    #[test]
    fn rows_of_zeros_stay_zero() {
        for threshold in [Threshold::Exact, Threshold::Rule] {
            assert_eq!(ternary(&[0.0; 4], Cut::whole(4), threshold).codes, [0; 4]);
            let odd = ternary(&[1e-40, 0.0, -1e-40, 0.0], Cut::whole(4), threshold);
            assert_eq!(odd.codes, [1, 0, -1, 0]);
        }
        assert_eq!(binary(&[0.0; 4], Cut::whole(4)).noise(&[0.0; 4]), 0.0);
    }
}
