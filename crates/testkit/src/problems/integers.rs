//! Operators on the integers themselves: bytes less their zero points, which are known only while running.

use super::{
    In, Maker, Rng, given, known,
    quantised::{TYPES, bytes},
    square,
};
use paring_core::{
    DType, Op, Tensor,
    op::{Act, EpiOp, Padding},
};

pub(super) fn make(op: &str, m: &mut Maker) {
    match op {
        "MatMulInteger" => products(m),
        "ConvInteger" => convolutions(m),
        "DynamicQuantizeLinear" => ranges(m),
        "Identity" => copies(m),
        _ => {}
    }
}

fn zero(rng: &mut Rng, dtype: DType, shape: &[usize]) -> Tensor {
    bytes(rng, dtype, shape)
}

/// The problem as it is, with sums that stand for numbers, by one scale and by one for each channel, and with steps after
/// that.
fn scaled(m: &mut Maker, op: &Op, inputs: impl Fn(&mut Rng) -> Vec<In>, channels: usize) {
    for kind in 0..4 {
        let mut all = inputs(&mut m.rng);
        let mut epilogue = vec![];
        let scales = |rng: &mut Rng, n: usize| rng.uniform(&[n], 1e-4, 1e-3);
        match kind {
            0 => all.push(In::Absent),
            1 => all.push(given(scales(&mut m.rng, 1))),
            2 => {
                all.extend([given(scales(&mut m.rng, channels)), known(m.rng.floats(&[channels]))]);
                epilogue.extend([EpiOp::Bias { input: 5 }, EpiOp::Act(Act::Relu)]);
            }
            _ => {
                all.extend([given(scales(&mut m.rng, channels)), known(m.rng.floats(&[channels]))]);
                epilogue.extend([EpiOp::Scale { input: 5 }, EpiOp::Act(Act::Swish(1.0))]);
            }
        }
        m.with_epilogue(op.clone(), all, 1, epilogue);
    }
}

fn products(m: &mut Maker) {
    let op = Op::MatMulInteger;
    for (a, b) in [
        (&[1, 64][..], &[64, 24][..]),
        (&[3, 37], &[37, 10]),
        (&[2, 5, 30], &[30, 33]),
        (&[50, 16], &[16, 80]),
        (&[13], &[13, 9]),
    ] {
        let columns = b[1];
        for types in [[0, 0], [0, 1], [1, 0], [1, 1]].map(|t| t.map(|t| TYPES[t])) {
            let make = move |rng: &mut Rng| {
                let zeros = match rng.between(0, 2) {
                    0 => In::Absent,
                    1 => known(zero(rng, types[1], &[])),
                    _ => known(zero(rng, types[1], &[columns])),
                };
                let of_a = given(zero(rng, types[0], &[]));
                vec![given(bytes(rng, types[0], a)), known(bytes(rng, types[1], b)), of_a, zeros]
            };
            scaled(m, &op, make, columns);
        }
    }
    // What only the definition serves: zero points for each row, and a right operand that is given.
    let (a, b) = (bytes(&mut m.rng, DType::U8, &[2, 4, 7]), bytes(&mut m.rng, DType::I8, &[7, 9]));
    for shape in [&[4][..], &[2, 4, 1]] {
        let zeros = given(zero(&mut m.rng, DType::U8, shape));
        m.add1(op.clone(), vec![given(a.clone()), known(b.clone()), zeros]);
    }
    let (right, columns) = (bytes(&mut m.rng, DType::U8, &[2, 7, 9]), zero(&mut m.rng, DType::U8, &[2, 1, 9]));
    m.add1(op.clone(), vec![given(a.clone()), given(right), In::Absent, given(columns)]);
    m.add1(op.clone(), vec![given(a), given(b)]);
    // Sums beyond 32 bits.
    let most = |shape: &[usize]| Tensor::from_bytes(DType::U8, shape, &vec![255; shape.iter().product()]);
    let (a, b) = (most(&[2, 34_000]).expect("a tensor"), most(&[34_000, 3]).expect("a tensor"));
    m.add1(op, vec![given(a), known(b)]);
}

fn convolutions(m: &mut Maker) {
    for (inputs, outputs, kernel, stride, dilation, groups) in [
        (3, 16, 3, 2, 1, 1),
        (8, 24, 1, 1, 1, 1),
        (20, 11, 3, 1, 1, 1),
        (5, 8, 5, 2, 1, 1),
        (16, 16, 3, 1, 2, 1),
        (12, 24, 3, 1, 1, 3),
        (9, 9, 3, 1, 1, 9),
    ] {
        let op = Op::ConvInteger(square(kernel, stride, dilation, groups));
        let (x, w) = (m.rng.images(inputs), [outputs, inputs / groups, kernel, kernel]);
        let types = [m.rng.pick(&TYPES), m.rng.pick(&TYPES)];
        let make = move |rng: &mut Rng| {
            let zeros = match rng.between(0, 2) {
                0 => In::Absent,
                1 => known(zero(rng, types[1], &[1])),
                _ => known(zero(rng, types[1], &[outputs])),
            };
            let of_x = given(zero(rng, types[0], &[]));
            vec![given(bytes(rng, types[0], &x)), known(bytes(rng, types[1], &w)), of_x, zeros]
        };
        scaled(m, &op, make, outputs);
    }
    // Along one axis and three, and with weights that are given, which only the definition serves.
    for axes in [1, 3] {
        let mut a = square(3, 1, 1, 1);
        (a.kernel, a.stride, a.dilation) = (vec![3; axes], vec![1; axes], vec![1; axes]);
        a.padding = Padding::SameUpper;
        let (x, w) = ([&[2, 5][..], &[6, 5, 7][..axes]].concat(), [&[10, 5][..], &[3, 3, 3][..axes]].concat());
        let x = given(bytes(&mut m.rng, DType::U8, &x));
        let (w, of_x) = (bytes(&mut m.rng, DType::I8, &w), given(zero(&mut m.rng, DType::U8, &[])));
        m.add1(Op::ConvInteger(a.clone()), vec![x.clone(), known(w.clone()), of_x.clone()]);
        m.add1(Op::ConvInteger(a), vec![x, given(w), of_x]);
    }
}

/// Sums that change their layout, among them bits that would be no number in `f32`.
fn copies(m: &mut Maker) {
    for shape in [&[2, 11, 5, 7][..], &[1, 16, 40], &[3, 10]] {
        let all: Vec<i32> =
            (0..shape.iter().product()).map(|_| m.rng.pick(&[-1, 0x7f80_0001, 1, 77, i32::MIN])).collect();
        m.add1(Op::Identity, vec![given(Tensor::new(shape, &all).expect("a small tensor"))]);
    }
}

/// Numbers of either sign and of one, ties, ranges of nothing, and what is not a finite number.
fn ranges(m: &mut Maker) {
    let op = Op::DynamicQuantizeLinear;
    for shape in [&[2, 11, 5, 7][..], &[1, 16, 40], &[37], &[3, 10], &[], &[2, 11, 50, 57]] {
        for (lo, hi) in [(-3.0, 5.0), (1.0, 4.0), (-4.0, -1.0), (0.0, 0.0), (-1e-42, 1e-42), (-3e38, 3e38)] {
            let x = given(m.rng.uniform(shape, lo, hi));
            m.add(op.clone(), vec![x], 3);
        }
        let mut x = m.rng.integers(shape, 0, 510).to_f64s().expect("numbers");
        x[0] = 510.0;
        let halves: Vec<f32> = x.iter().map(|&x| x as f32 / 2.0).collect();
        m.add(op.clone(), vec![given(Tensor::new(shape, &halves).expect("a small tensor"))], 3);
        for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = halves.clone();
            for x in x.iter_mut().step_by(3) {
                *x = odd;
            }
            m.add(op.clone(), vec![given(Tensor::new(shape, &x).expect("a small tensor"))], 3);
        }
    }
}
