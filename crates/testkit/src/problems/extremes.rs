//! Quantised problems whose sums are the largest that their bytes allow, and problems of the same weights.

use super::{
    Rng, given, known,
    quantised::{activations, weights},
    square,
};
use paring_core::{
    DType, Op, Quant, Tensor,
    op::{ConvAttrs, DenseAttrs, Padding},
};

/// Products of the largest and smallest bytes, with their exact sums as `f32`: what saturates or wraps is off.
///
/// # Panics
/// Where a problem is not well formed, which is a mistake in this module.
pub fn extreme_products() -> Vec<(super::Case, Vec<f32>)> {
    let mut all = vec![];
    for (x_type, x_zero) in [(DType::U8, 0), (DType::U8, 255), (DType::I8, -128), (DType::I8, 127)] {
        for (w_type, w_zero) in [(DType::I8, 0), (DType::I8, -128), (DType::U8, 0), (DType::U8, 255)] {
            for pattern in 0..4 {
                let (x, w) = (Extremes::new(x_type, x_zero, pattern), Extremes::new(w_type, w_zero, pattern));
                all.extend([extreme_convolution(1, 40, x, w), extreme_dense(x, w)]);
                // So long a sum that what Winograd convolution makes of it leaves 32 bits on the way.
                all.extend((pattern < 2).then(|| extreme_convolution(3, 900, x, w)));
            }
        }
    }
    all
}

/// The largest and smallest bytes of a type, of one kind, or of both in turn or in pairs, so that products add up or
/// cancel.
#[derive(Clone, Copy)]
struct Extremes {
    dtype: DType,
    zero: i32,
    pattern: usize,
}

impl Extremes {
    fn new(dtype: DType, zero: i32, pattern: usize) -> Extremes {
        Extremes { dtype, zero, pattern }
    }

    fn high(self, i: usize) -> bool {
        self.pattern == 0 || (self.pattern == 2 && i.is_multiple_of(2)) || (self.pattern == 3 && i % 4 < 2)
    }

    /// That of channel `i`, and of the other kind where `turned`.
    fn at(self, i: usize, turned: bool) -> i32 {
        match (self.dtype, self.high(i) != turned) {
            (DType::I8, true) => 127,
            (DType::I8, false) => -128,
            (_, true) => 255,
            (_, false) => 0,
        }
    }

    fn tensor(self, shape: &[usize], at: impl Fn(usize) -> i32) -> Tensor {
        let bytes: Vec<u8> = (0..shape.iter().product()).map(|i| at(i) as u8).collect();
        let t = Tensor::from_bytes(self.dtype, shape, &bytes).expect("a small tensor");
        t.with_quant(Some(Quant::per_tensor(1.0, self.zero)))
    }
}

const EXTREME_OUTPUTS: usize = 19;

/// Whether weights of an output are of the other kind.
fn turned(output: usize) -> bool {
    output.is_multiple_of(3)
}

/// The sum for an output of `channels` products, each `times` over.
fn extreme_sum(x: Extremes, w: Extremes, channels: usize, times: usize, output: usize) -> f32 {
    let product = |c: usize| (x.at(c, false) - x.zero) * (w.at(c, turned(output)) - w.zero);
    ((0..channels).map(product).sum::<i32>() * times as i32) as f32
}

fn extreme_convolution(kernel: usize, channels: usize, x: Extremes, w: Extremes) -> (super::Case, Vec<f32>) {
    let (side, taps) = (kernel + 2, kernel * kernel);
    let inputs = vec![
        given(x.tensor(&[1, channels, side, side], |i| x.at(i / (side * side), false))),
        known(w.tensor(&[EXTREME_OUTPUTS, channels, kernel, kernel], |i| {
            w.at(i / taps % channels, turned(i / taps / channels))
        })),
    ];
    let expected = (0..EXTREME_OUTPUTS * 9).map(|i| extreme_sum(x, w, channels, taps, i / 9)).collect();
    (super::case(&unpadded(kernel, 1, None), inputs, 1, vec![]).expect("a convolution"), expected)
}

fn extreme_dense(x: Extremes, w: Extremes) -> (super::Case, Vec<f32>) {
    let (rows, depth) = (9, 40);
    let inputs = vec![
        given(x.tensor(&[rows, depth], |i| x.at(i % depth, false))),
        known(w.tensor(&[EXTREME_OUTPUTS, depth], |i| w.at(i % depth, turned(i / depth)))),
    ];
    let expected = (0..rows * EXTREME_OUTPUTS).map(|i| extreme_sum(x, w, depth, 1, i % EXTREME_OUTPUTS)).collect();
    let dense = Op::Dense(DenseAttrs { transposed: true });
    (super::case(&dense, inputs, 1, vec![]).expect("a product"), expected)
}

fn unpadded(kernel: usize, groups: usize, select: Option<Vec<u32>>) -> Op {
    Op::Conv(ConvAttrs { padding: Padding::none(2), select, ..square(kernel, 1, 1, groups) })
}

/// The largest byte times the largest weight, read from one channel so many times, with the exact sums as `f32`.
///
/// # Panics
/// Where a problem is not well formed, which is a mistake in this module.
pub fn channel_read_often(times: usize) -> (super::Case, Vec<f32>) {
    let (outputs, pixels) = (5, 6);
    let tensor = |shape: &[usize]| {
        let bytes = vec![255; shape.iter().product()];
        let t = Tensor::from_bytes(DType::U8, shape, &bytes).expect("a small tensor");
        t.with_quant(Some(Quant::per_tensor(1.0, 0)))
    };
    let inputs = vec![given(tensor(&[1, 2, 2, 3])), known(tensor(&[outputs, times, 1, 1]))];
    let case = super::case(&unpadded(1, 1, Some(vec![1; times])), inputs, 1, vec![]).expect("a convolution");
    (case, vec![(times * 255 * 255) as f32; outputs * pixels])
}

/// Convolutions by the same weights, of bytes and of `f32`, that read other channels of their input, or of another input.
///
/// # Panics
/// Where a problem is not well formed, which is a mistake in this module.
pub fn same_weights() -> Vec<super::Case> {
    let mut rng = Rng::new(1);
    let (floats, integers) = (rng.floats(&[8, 4, 1, 1]), weights(&mut rng, &[8, 4, 1, 1], 0));
    let mut all = vec![];
    for weights in [&floats, &integers] {
        let readings = [
            (1, 4, None),
            (2, 8, None),
            (1, 4, Some(vec![3, 1, 0, 2])),
            (1, 12, Some(vec![3, 1, 0, 2])),
            (1, 12, Some(vec![11, 1, 0, 7])),
            (1, 12, Some(vec![5, 5, 5, 5])),
            (2, 12, Some(vec![3, 1, 0, 2, 8, 4, 11, 5])),
        ];
        for (groups, channels, select) in readings {
            let shape = [1, channels, 3, 5];
            let x =
                if weights.quant().is_some() { activations(&mut rng, DType::U8, &shape) } else { rng.floats(&shape) };
            let inputs = vec![given(x), known(weights.clone())];
            all.push(super::case(&unpadded(1, groups, select), inputs, 1, vec![]).expect("a convolution"));
        }
    }
    all
}
