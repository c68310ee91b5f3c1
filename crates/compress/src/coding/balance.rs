//! Errors of the weights of a row that add up to nothing.
//!
//! What a layer reads comes mostly from a `Relu`, and so has a mean: errors of weights that add up move the mean of the
//! output, and more so than their squares tell. Weights that were rounded up are rounded down, or the other way, those first
//! that it costs least, until the sum is next to zero (as SQuant has it, Guo et al. 2022).

use super::rows::Coded;

/// Balances every row.
pub fn balance(weights: &[f32], coded: &mut Coded) {
    let cut = coded.cut;
    let mut codes = std::mem::take(&mut coded.codes);
    for (row, (weights, codes)) in cut.split(weights).zip(cut.split_mut(&mut codes)).enumerate() {
        balance_row(weights, codes, |code| f64::from(coded.value(row, code)), coded.codes());
    }
    coded.codes = codes;
}

/// Another value for a weight.
struct Move {
    at: usize,
    code: i8,
    /// How far it moves the sum.
    by: f64,
    /// What it adds to the squared error, in proportion to that.
    cost: f64,
}

fn balance_row(weights: &[f32], codes: &mut [i8], value: impl Fn(i8) -> f64, [least, most]: [i8; 2]) {
    let errors: Vec<f64> = weights.iter().zip(&*codes).map(|(&w, &c)| value(c) - f64::from(w)).collect();
    let sum: f64 = errors.iter().sum();
    let step: i8 = if sum > 0.0 { -1 } else { 1 };
    let mut left = sum.abs();
    let other = |at: usize| {
        let code = codes[at].checked_add(step).filter(|c| (least..=most).contains(c))?;
        let (by, off) = ((value(code) - value(codes[at])).abs(), errors[at] * sum.signum());
        // Only what is off in the direction of the sum may go to the other side.
        (off > 0.0 && by > 0.0).then_some(Move { at, code, by, cost: by - 2.0 * off })
    };
    let mut moves: Vec<Move> = (0..codes.len()).filter_map(other).collect();
    moves.sort_unstable_by(|a, b| a.cost.total_cmp(&b.cost).then(a.at.cmp(&b.at)));
    for m in moves {
        if m.by < 2.0 * left {
            codes[m.at] = m.code;
            left = (left - m.by).abs();
        }
        // Once the sum has changed its sign, or is as good as nothing, nothing more is to be gained.
        if left <= m.by / 2.0 {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coding::rows::{Book, Cut};
    use crate::coding::tests::normal;
    use crate::coding::uniform;

    fn sums(weights: &[f32], coded: &Coded) -> Vec<f64> {
        let off = |i: usize| f64::from(coded.real(i)) - f64::from(weights[i]);
        (0..coded.cut.rows()).map(|r| (0..weights.len()).filter(|&i| coded.cut.row_of(i) == r).map(off).sum()).collect()
    }

    #[test]
    fn errors_add_up_to_half_a_step_and_hardly_grow() {
        for bits in 2..=6 {
            // A mean that is not zero makes what is cut off add up.
            let weights: Vec<f32> = normal(bits.into(), 1200).iter().map(|w| w * w.abs() + 0.1).collect();
            let mut coded = uniform::code(&weights, Cut::channels(3, 1200, None), bits);
            let (before, noise) = (sums(&weights, &coded), coded.noise(&weights));
            balance(&weights, &mut coded);
            for (row, (sum, before)) in sums(&weights, &coded).iter().zip(before).enumerate() {
                let step = f64::from(coded.value(row, 0) - coded.value(row, -1));
                assert!(sum.abs() <= step / 2.0 + 1e-6 && before.abs() >= sum.abs() - 1e-9, "{bits}: {sum}, {before}");
            }
            assert!(coded.noise(&weights) < 1.2 * noise, "{bits} bits");
        }
    }

    #[test]
    fn nothing_is_beyond_the_codes() {
        let mut coded =
            Coded { bits: 2, cut: Cut::whole(3), codes: vec![1, 1, -1], scales: vec![1.0], book: Book::Grid };
        balance(&[9.0, 9.0, -1.0], &mut coded);
        assert_eq!(coded.codes, [1, 1, -1]);
        coded.codes = vec![1, 1, 1];
        balance(&[0.6, 0.6, 0.6], &mut coded);
        assert_eq!(coded.codes.iter().filter(|&&c| c == 0).count(), 1);
    }
}
