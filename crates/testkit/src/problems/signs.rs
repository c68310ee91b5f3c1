//! Operators on signs.

use super::{In, Maker, Rng, given, known, square};
use paring_core::{
    DType, Op, Quant, Tensor,
    op::{BatchNormAttrs, ConvAttrs, DenseAttrs, EpiOp, Padding, PoolAttrs, PoolKind, QuantizeAttrs},
};

pub(super) fn make(op: &str, m: &mut Maker) {
    match op {
        "Conv" => convolutions(m),
        "Dense" => products(m),
        "Pool" => pools(m),
        "Identity" => takes(m),
        "BatchNorm" => norms(m),
        "DequantizeLinear" => numbers(m),
        _ => {}
    }
}

/// Signs, about `zeros` in nine of them zero.
fn signs(rng: &mut Rng, shape: &[usize], zeros: usize) -> Tensor {
    let n: usize = shape.iter().product();
    let mut sign = || if rng.between(1, 9) <= zeros { 0 } else { rng.pick(&[1i8, -1]) };
    let all: Vec<u8> = (0..n).map(|_| sign() as u8).collect();
    let signs = Tensor::from_bytes(DType::Sign, shape, &all).expect("a small tensor");
    signs.with_quant(Some(Quant::per_tensor(1.0, 0)))
}

/// Weights of one magnitude for each index of `axis`, and zeros among them where `zeros`.
fn weights(rng: &mut Rng, shape: &[usize], axis: usize, zeros: usize) -> Tensor {
    let magnitudes: Vec<f32> = (0..shape[axis]).map(|_| rng.pick(&[0.05, 0.11, 0.3, 0.0])).collect();
    let inner: usize = shape[axis + 1..].iter().product();
    let signs = signs(rng, shape, zeros);
    let magnitude = |i: usize| magnitudes[i / inner % shape[axis]];
    let all: Vec<f32> = signs.bytes().iter().enumerate().map(|(i, &s)| f32::from(s as i8) * magnitude(i)).collect();
    Tensor::new(shape, &all).expect("a small tensor")
}

fn convolutions(m: &mut Maker) {
    // Inputs, outputs, window, stride, dilation, groups.
    for (inputs, outputs, kernel, stride, dilation, groups) in [
        (8, 16, 1, 1, 1, 1),
        (5, 11, 3, 1, 1, 1),
        (24, 40, 3, 2, 1, 1),
        (64, 72, 3, 1, 1, 1),
        (33, 130, 3, 1, 2, 1),
        (16, 16, 3, 1, 1, 2),
        (12, 12, 3, 1, 1, 3),
    ] {
        let attrs = square(kernel, stride, dilation, groups);
        for zeros in [0, 3] {
            let x = m.rng.images(inputs);
            let w = [outputs, inputs / groups, kernel, kernel];
            let make = move |rng: &mut Rng| vec![given(signs(rng, &x, zeros)), known(weights(rng, &w, 0, zeros))];
            m.add_fused(Op::Conv(attrs.clone()), make, Some(1));
        }
    }
    // Along one axis, with uneven padding; and weights of more than one magnitude, which are no signs.
    let mut line = ConvAttrs {
        kernel: vec![5],
        stride: vec![2],
        dilation: vec![1],
        padding: Padding::Explicit { before: vec![3], after: vec![0] },
        groups: 1,
        select: None,
    };
    let x = given(signs(&mut m.rng, &[2, 19, 23], 1));
    let w = known(weights(&mut m.rng, &[9, 19, 5], 0, 0));
    m.add1(Op::Conv(line.clone()), vec![x, w]);
    line.kernel = vec![3];
    let (x, w) = (given(signs(&mut m.rng, &[1, 8, 9], 1)), known(m.rng.floats(&[8, 8, 3])));
    m.add1(Op::Conv(line), vec![x, w]);
}

fn products(m: &mut Maker) {
    for (rows, depth, outputs, transposed) in [(1, 64, 10, true), (3, 100, 70, false), (7, 13, 128, true)] {
        for zeros in [0, 2] {
            let w = if transposed { [outputs, depth] } else { [depth, outputs] };
            let axis = usize::from(!transposed);
            let make = move |rng: &mut Rng| -> Vec<In> {
                vec![given(signs(rng, &[rows, depth], zeros)), known(weights(rng, &w, axis, zeros))]
            };
            m.add_fused(Op::Dense(DenseAttrs { transposed }), make, None);
        }
    }
}

fn pools(m: &mut Maker) {
    for (kernel, stride, pad) in [(2, 2, 0), (3, 2, 1)] {
        let attrs = PoolAttrs {
            kind: PoolKind::Max,
            kernel: vec![kernel; 2],
            stride: vec![stride; 2],
            dilation: vec![1; 2],
            padding: Padding::Explicit { before: vec![pad; 2], after: vec![pad; 2] },
            ceil: false,
            column_major: false,
        };
        let x = m.rng.images(11);
        let x = given(signs(&mut m.rng, &x, 3));
        m.add1(Op::Pool(attrs), vec![x]);
    }
}

/// Numbers of which some are zero, of either sign, and some not a number.
fn mixed(rng: &mut Rng, shape: &[usize]) -> Tensor {
    let mut all = rng.floats(shape).elements::<f32>().expect("numbers").into_owned();
    for v in &mut all {
        *v = rng.pick(&[*v, *v, *v, 0.0, -0.0, f32::NAN, f32::INFINITY, -1e-40]);
    }
    Tensor::new(shape, &all).expect("a small tensor")
}

fn takes(m: &mut Maker) {
    for of_zero in [0, 1, -1] {
        for shape in [&[2, 11, 5, 7][..], &[1, 64, 9, 9], &[3, 50], &[2, 8, 100], &[29]] {
            let x = given(mixed(&mut m.rng, shape));
            m.with_epilogue(Op::Identity, vec![x], 1, vec![EpiOp::Sign { of_zero }]);
        }
    }
    for shape in [&[2, 11, 5, 7][..], &[3, 50], &[29]] {
        let x = given(signs(&mut m.rng, shape, 3));
        m.add1(Op::Identity, vec![x]);
    }
}

fn norms(m: &mut Maker) {
    for of_zero in [0, 1, -1] {
        for channels in [16, 11] {
            let x = m.rng.images(channels);
            let mut inputs = vec![given(m.rng.floats(&x))];
            inputs.extend((0..3).map(|_| known(m.rng.floats(&[channels]))));
            inputs.push(known(m.rng.uniform(&[channels], 0.5, 2.0)));
            let op = Op::BatchNorm(BatchNormAttrs { epsilon: 1e-5 });
            m.with_epilogue(op, inputs, 1, vec![EpiOp::Sign { of_zero }]);
        }
    }
}

fn numbers(m: &mut Maker) {
    for shape in [&[2, 11, 5, 7][..], &[3, 50], &[29]] {
        let x = signs(&mut m.rng, shape, 3).with_quant(None);
        let scale = known(Tensor::new(&[], &[1.0f32]).expect("a number"));
        let op = Op::DequantizeLinear(QuantizeAttrs { axis: 0, to: DType::F32 });
        m.add1(op, vec![given(x), scale]);
    }
}
