//! Operators on the integers themselves: bytes less their zero points, which are known only while running.

use super::{
    In, Maker, Rng, given, known,
    quantised::{TYPES, bytes},
};
use paring_core::{
    DType, Op, Tensor,
    op::{Act, EpiOp},
};

pub(super) fn make(op: &str, m: &mut Maker) {
    if op == "MatMulInteger" {
        products(m);
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
    m.add1(op, vec![given(a), given(b)]);
}
