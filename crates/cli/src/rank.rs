//! Ranking of class scores.
//!
//! One order for every command: greater scores first, equal scores by the lower class first, NaN after everything
//! (as a stable descending `argsort` of the scores with NaN read as minus infinity, below it).

use std::cmp::Ordering;

/// Orders two scores, the better one first.
fn better_first(a: f64, b: f64) -> Ordering {
    match (a.is_nan(), b.is_nan()) {
        (false, false) => b.partial_cmp(&a).expect("neither is NaN"),
        (x, y) => x.cmp(&y),
    }
}

/// The `k` best classes, best first.
pub fn top_k(scores: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&i, &j| better_first(scores[i], scores[j]));
    order.truncate(k);
    order
}

/// How many classes come before `class`; `None` where its score is NaN, which never counts as an answer, or where
/// there is no such class.
pub fn rank_of(scores: &[f64], class: usize) -> Option<usize> {
    let own = *scores.get(class).filter(|s| !s.is_nan())?;
    let before = |(i, &s): (usize, &f64)| match better_first(s, own) {
        Ordering::Less => true,
        Ordering::Equal => i < class,
        Ordering::Greater => false,
    };
    Some(scores.iter().enumerate().filter(|&x| before(x)).count())
}

/// Probabilities of the scores (largest subtracted first, so nothing overflows).
pub fn softmax(scores: &[f64]) -> Vec<f64> {
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.into_iter().map(|e| e / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    const NAN: f64 = f64::NAN;

    #[test]
    fn ties_go_to_the_lower_class() {
        let s = [1.0, 3.0, 3.0, 2.0];
        assert_eq!(top_k(&s, 3), [1, 2, 3]);
        assert_eq!([rank_of(&s, 1), rank_of(&s, 2), rank_of(&s, 0)], [Some(0), Some(1), Some(3)]);
        assert_eq!(top_k(&[0.0, -0.0], 2), [0, 1]);
    }

    #[test]
    fn nan_is_last_and_never_right() {
        let s = [NAN, f64::NEG_INFINITY, 0.0, NAN];
        assert_eq!(top_k(&s, 9), [2, 1, 0, 3]);
        assert_eq!([rank_of(&s, 0), rank_of(&s, 1), rank_of(&s, 2), rank_of(&s, 4)], [None, Some(1), Some(0), None]);
        assert_eq!(rank_of(&[NAN, NAN], 0), None);
    }

    #[test]
    fn rank_agrees_with_order() {
        let s = [0.5, NAN, 2.0, 0.5, f64::INFINITY, f64::INFINITY, -1.0];
        for (place, &class) in top_k(&s, s.len()).iter().enumerate() {
            assert_eq!(rank_of(&s, class), (!s[class].is_nan()).then_some(place));
        }
    }

    #[test]
    fn softmax_sums_to_one_for_large_scores() {
        let p = softmax(&[1000.0, 1000.0, 900.0]);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-12 && (p[0] - 0.5).abs() < 1e-12);
    }
}
