//! Weights as signed bytes, with a scale for each output channel.

/// Most that two neighbouring weights of one sign may make together: 255 times that fits sixteen bits, in which
/// processors without a wider instruction add the products of two of them.
const PAIR: i32 = 128;
/// Greatest weight, the least being its negative.
const MOST: i32 = 127;
/// Scales that are tried, in parts of the one that just covers the largest weight. At twice that no pair is too large.
const TRIED: [f64; 19] =
    [1.0, 0.98, 0.95, 0.92, 0.89, 0.85, 0.8, 0.75, 0.7, 0.63, 1.05, 1.1, 1.18, 1.27, 1.38, 1.5, 1.64, 1.8, 2.0];

/// Where the weights of a layer lie: output channel `c`, input `k` of it, tap `t` of the window at
/// `c * channel_stride + k * depth_stride + t`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Form {
    /// Output channels.
    pub channels: usize,
    pub channel_stride: usize,
    /// Inputs that an output channel reads.
    pub depth: usize,
    pub depth_stride: usize,
    pub taps: usize,
    /// Output channels that read the same inputs.
    pub group: usize,
}

impl Form {
    fn at(&self, channel: usize, k: usize, tap: usize) -> usize {
        channel * self.channel_stride + k * self.depth_stride + tap
    }

    /// Calls `f` with the places in a row, ordered by input and tap, of weights that are multiplied as a pair: the first
    /// input is even among all of the layer's, or the first weight is so in a row ordered by tap and input, as other
    /// runtimes have it. With an even number of inputs both are the same.
    fn pairs(&self, channel: usize, mut f: impl FnMut(usize, usize)) {
        let first = self.input(channel, 0);
        for k in (0..self.depth.saturating_sub(1)).filter(|k| (first + k).is_multiple_of(2)) {
            (0..self.taps).for_each(|t| f(k * self.taps + t, (k + 1) * self.taps + t));
        }
        let depthwise = self.depth == 1 && self.group < self.channels;
        if self.depth.is_multiple_of(2) || depthwise {
            return;
        }
        let place = |n: usize| n % self.depth * self.taps + n / self.depth;
        for n in (1..self.depth * self.taps).step_by(2) {
            f(place(n - 1), place(n));
        }
    }

    /// Which input of all a weight is for.
    pub fn input(&self, channel: usize, k: usize) -> usize {
        channel / self.group.max(1) * self.depth + k
    }

    /// Calls `f` with the place of every weight of a channel, and with its input among all.
    pub fn each(&self, channel: usize, mut f: impl FnMut(usize, usize)) {
        for k in 0..self.depth {
            for t in 0..self.taps {
                f(self.at(channel, k, t), self.input(channel, k));
            }
        }
    }
}

/// How weights are rounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rounding {
    /// Look for the scale with the least squared error, rather than cover the largest weight.
    pub search: bool,
    /// Keep pairs of neighbours within what fits sixteen bits.
    pub pairs: bool,
}

/// Weights of a layer in bytes, laid out as they were.
#[derive(Clone, Debug, PartialEq)]
pub struct Bytes {
    pub values: Vec<i8>,
    /// For each output channel.
    pub scales: Vec<f32>,
}

impl Bytes {
    /// Rounds `weights`. A scale is never less than its entry in `least`.
    pub fn of(weights: &[f32], form: &Form, least: impl Fn(usize) -> f32, rounding: Rounding) -> Bytes {
        let mut values = vec![0; weights.len()];
        let mut row = Row::default();
        let scale = |channel: usize| {
            row.read(weights, form, channel);
            let scale = row.scale(form, channel, least(channel), rounding);
            row.round(form, channel, scale, rounding.pairs);
            let mut rounded = row.rounded.iter();
            form.each(channel, |at, _| values[at] = rounded.next().map_or(0, |&q| q as i8));
            scale
        };
        let scales = (0..form.channels).map(scale).collect();
        Bytes { values, scales }
    }

    /// What the byte at a place of a channel stands for.
    pub fn real(&self, channel: usize, at: usize) -> f32 {
        f32::from(self.values[at]) * self.scales[channel]
    }
}

/// The weights of one output channel, input by input.
#[derive(Default)]
struct Row {
    weights: Vec<f32>,
    rounded: Vec<i32>,
}

impl Row {
    fn read(&mut self, weights: &[f32], form: &Form, channel: usize) {
        self.weights.clear();
        form.each(channel, |at, _| self.weights.push(weights[at]));
        self.rounded.resize(self.weights.len(), 0);
    }

    fn scale(&mut self, form: &Form, channel: usize, least: f32, rounding: Rounding) -> f32 {
        let largest = self.weights.iter().fold(0f32, |m, w| m.max(w.abs()));
        let least = least.max(f32::MIN_POSITIVE);
        if largest == 0.0 {
            return least.max(1.0 / MOST as f32);
        }
        let covering = (largest / MOST as f32).max(least);
        if !rounding.search {
            return covering;
        }
        let rated = TRIED.into_iter().map(|part| {
            let scale = ((f64::from(covering) * part) as f32).max(least);
            self.round(form, channel, scale, rounding.pairs);
            (scale, self.error(scale))
        });
        rated.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(covering, |(scale, _)| scale)
    }

    fn error(&self, scale: f32) -> f64 {
        /// Sums that do not wait for one another.
        const SUMS: usize = 8;
        let (mut sums, inverse) = ([0f32; SUMS], 1.0 / scale);
        for (w, q) in self.weights.chunks(SUMS).zip(self.rounded.chunks(SUMS)) {
            for (sum, (&w, &q)) in sums.iter_mut().zip(w.iter().zip(q)) {
                // In steps of the scale, so that the square of a tiny weight is no zero.
                let off = w * inverse - q as f32;
                *sum += off * off;
            }
        }
        sums.iter().map(|&s| f64::from(s)).sum::<f64>() * f64::from(scale).powi(2)
    }

    fn round(&mut self, form: &Form, channel: usize, scale: f32, pairs: bool) {
        let inverse = 1.0 / scale;
        for (q, w) in self.rounded.iter_mut().zip(&self.weights) {
            *q = round((w * inverse).clamp(-MOST as f32, MOST as f32));
        }
        if !pairs {
            return;
        }
        let Row { weights, rounded } = self;
        form.pairs(channel, |i, j| {
            let real = [weights[i] * inverse, weights[j] * inverse];
            [rounded[i], rounded[j]] = fit([rounded[i], rounded[j]], real);
        });
    }
}

/// To the nearest whole number, to the even one of two; for numbers of up to 22 bits. Added to so large a number, `x` loses
/// its fraction and is left in the low bits: faster than asking the library where the instruction set has no rounding.
pub fn round(x: f32) -> i32 {
    const LARGE: f32 = 1.5 * (1 << 23) as f32;
    (x + LARGE).to_bits() as i32 - LARGE.to_bits() as i32
}

/// Two neighbours within [`PAIR`] that are as near to `real` as can be.
fn fit([a, b]: [i32; 2], real: [f32; 2]) -> [i32; 2] {
    if a.signum() != b.signum() || a.abs() + b.abs() <= PAIR {
        return [a, b];
    }
    // The nearest point of the line on which the two make just so much.
    let first = ((real[0].abs() - real[1].abs() + PAIR as f32) / 2.0).round() as i32;
    let first = first.clamp(PAIR - MOST, MOST);
    // Never more than it was: it may have been made less as part of another pair.
    [first.min(a.abs()) * a.signum(), (PAIR - first).min(b.abs()) * b.signum()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_simd::bytes::fits;

    const EXACT: Rounding = Rounding { search: false, pairs: true };

    fn row(depth: usize, taps: usize) -> Form {
        Form { channels: 1, channel_stride: 0, depth, depth_stride: taps, taps, group: 1 }
    }

    #[test]
    fn rounding_is_to_the_nearest_and_to_even() {
        for i in -1280..=1280 {
            let x = i as f32 / 10.0;
            assert_eq!(round(x), x.round_ties_even() as i32, "{x}");
        }
        assert_eq!([round(0.5), round(1.5), round(-2.5)], [0, 2, -2]);
    }

    #[test]
    fn pairs_fit_and_are_as_near_as_can_be() {
        for a in -127..=127 {
            for b in -127..=127 {
                let [x, y] = fit([a, b], [a as f32, b as f32]);
                assert!(fits(x as i8, y as i8) && x.abs() <= 127 && y.abs() <= 127, "{a} {b}: {x} {y}");
                let error = (x - a).pow(2) + (y - b).pow(2);
                if fits(a as i8, b as i8) {
                    assert_eq!(error, 0, "{a} {b}");
                } else {
                    let over = a.abs() + b.abs() - 128;
                    assert!(error <= (over * over + 1) / 2 + 1, "{a} {b}: {x} {y}");
                }
            }
        }
    }

    #[test]
    fn only_neighbouring_inputs_at_one_tap_are_pairs() {
        // Two taps: the inputs of a pair are two places apart.
        let q = Bytes::of(&[1.0, 0.0, 1.0, 1.0], &row(2, 2), |_| 0.0, EXACT);
        assert_eq!(q.values, [64, 0, 64, 127]);
        let q = Bytes::of(&[0.0, 1.0, 1.0, 0.0], &row(4, 1), |_| 0.0, EXACT);
        assert_eq!(q.values, [0, 127, 127, 0]);
        let whole = Bytes::of(&[1.0, 1.0], &row(2, 1), |_| 0.0, Rounding { pairs: false, ..EXACT });
        assert_eq!(whole.values, [127, 127]);
    }

    #[test]
    fn groups_are_paired_as_their_inputs_lie() {
        // Three inputs each: the second group begins at an odd one.
        let form = Form { channels: 2, channel_stride: 3, depth: 3, depth_stride: 1, taps: 1, group: 1 };
        let q = Bytes::of(&[1.0; 6], &form, |_| 0.0, EXACT);
        assert_eq!(q.values, [64, 64, 127, 64, 64, 64]);
        let depthwise = Form { channels: 2, channel_stride: 2, depth: 1, depth_stride: 2, taps: 2, group: 1 };
        assert_eq!(Bytes::of(&[1.0; 4], &depthwise, |_| 0.0, EXACT).values, [127; 4]);
    }

    #[test]
    fn odd_numbers_of_inputs_are_paired_tap_by_tap_too() {
        assert_eq!(Bytes::of(&[1.0; 4], &row(1, 4), |_| 0.0, EXACT).values, [64; 4]);
        // The last input at a tap goes with the first at the next.
        let q = Bytes::of(&[0.0, 1.0, 0.0, 0.0, 1.0, 0.0], &row(3, 2), |_| 0.0, EXACT);
        assert_eq!(q.values, [0, 64, 0, 0, 64, 0]);
    }

    #[test]
    fn columns_of_a_matrix_are_channels() {
        // Two inputs, three columns.
        let form = Form { channels: 3, channel_stride: 1, depth: 2, depth_stride: 3, taps: 1, group: 3 };
        let q = Bytes::of(&[1.0, -2.0, 0.0, -1.0, 0.0, 0.0], &form, |_| 0.0, EXACT);
        assert_eq!(q.values, [127, -127, 0, -127, 0, 0]);
        assert!((q.real(1, 1) + 2.0).abs() < 1e-6 && q.scales[2] > 0.0);
    }

    #[test]
    fn a_search_is_never_worse_and_respects_the_least_scale() {
        let weights: Vec<f32> = (0..64).map(|i| ((i * 37 % 64) as f32 / 64.0 - 0.5).powi(3)).collect();
        let error = |search| {
            let q = Bytes::of(&weights, &row(64, 1), |_| 0.0, Rounding { search, pairs: true });
            weights.iter().enumerate().map(|(i, w)| (q.real(0, i) - w).powi(2)).sum::<f32>()
        };
        assert!(error(true) <= error(false));
        let wide = Bytes::of(&weights, &row(64, 1), |_| 0.5, EXACT);
        assert_eq!(wide.scales, [0.5]);
    }
}
