//! Normalisations, reductions, orders and recurrence.

use super::{In, Maker, given, known};
use paring_core::{
    Op, Tensor,
    op::{
        Act, ArgReduceAttrs, BatchNormAttrs, Cell, CumSumAttrs, Direction, GroupNormAttrs, LayerNormAttrs, LpNormAttrs,
        LrnAttrs, RecurrentAttrs, ReduceAttrs, ReduceKind, SoftmaxAttrs, SoftmaxKind, TopKAttrs,
    },
};

pub(super) fn make(op: &str, m: &mut Maker) {
    match op {
        "BatchNorm" | "InstanceNorm" | "GroupNorm" | "Lrn" => over_images(op, m),
        "LayerNorm" => layer_norms(m),
        "LpNorm" | "Softmax" => along_an_axis(op, m),
        "Reduce" => reductions(m),
        "ArgReduce" | "CumSum" | "TopK" => orders(op, m),
        "Recurrent" => recurrent(m),
        _ => {}
    }
}

const EPSILON: f32 = 1e-5;

fn over_images(op: &str, m: &mut Maker) {
    for c in [4, 8, 12, 32] {
        let shape = m.rng.images(c);
        let x = given(m.rng.floats(&shape));
        let mut vector = || known(m.rng.uniform(&[c], 0.5, 1.5));
        match op {
            "BatchNorm" => {
                let inputs = vec![x, vector(), vector(), vector(), vector()];
                m.add1(Op::BatchNorm(BatchNormAttrs { epsilon: EPSILON }), inputs);
            }
            "InstanceNorm" => {
                let inputs = vec![x, vector(), vector()];
                m.add1(Op::InstanceNorm(BatchNormAttrs { epsilon: EPSILON }), inputs);
            }
            "GroupNorm" => {
                let inputs = vec![x, vector(), vector()];
                m.add1(Op::GroupNorm(GroupNormAttrs { epsilon: EPSILON, groups: 4 }), inputs);
            }
            _ => m.add1(Op::Lrn(LrnAttrs { alpha: 1e-2, beta: 0.75, bias: 1.0, size: 5 }), vec![x]),
        }
    }
}

fn layer_norms(m: &mut Maker) {
    for rms in [false, true] {
        for width in [5, 8, 33] {
            let x = m.rng.floats(&[2, 7, width]);
            let (scale, bias) = (m.rng.floats(&[width]), m.rng.floats(&[width]));
            let bias = if rms { In::Absent } else { known(bias) };
            m.add1(
                Op::LayerNorm(LayerNormAttrs { axis: -1, epsilon: EPSILON, rms }),
                vec![given(x), known(scale), bias],
            );
        }
    }
}

fn along_an_axis(op: &str, m: &mut Maker) {
    for axis in [1, -1] {
        for shape in [[2, 8, 3, 5], [1, 11, 4, 9]] {
            if op == "LpNorm" {
                for p in [1, 2] {
                    let x = m.rng.floats(&shape);
                    m.add1(Op::LpNorm(LpNormAttrs { axis, p }), vec![given(x)]);
                }
                continue;
            }
            for kind in [SoftmaxKind::Softmax, SoftmaxKind::LogSoftmax, SoftmaxKind::Hardmax] {
                for to_end in [false, true] {
                    let x = m.rng.floats(&shape);
                    m.add1(Op::Softmax(SoftmaxAttrs { kind, axis, to_end }), vec![given(x)]);
                }
            }
        }
    }
}

fn reductions(m: &mut Maker) {
    use ReduceKind::*;
    for kind in [Sum, Mean, Max, Min, Prod, L1, L2, SumSquare, LogSum, LogSumExp] {
        for axes in [vec![2, 3], vec![1], vec![-1], vec![0, 2]] {
            for keep_dims in [true, false] {
                let c = m.rng.channels();
                let x = m.rng.uniform(&[2, c, 4, 5], 0.5, 1.5);
                let attrs = ReduceAttrs { kind, axes: Some(axes.clone()), keep_dims, noop_if_empty: false };
                m.add1(Op::Reduce(attrs), vec![given(x)]);
            }
        }
    }
}

fn orders(op: &str, m: &mut Maker) {
    let x = given(m.rng.floats(&[3, 6, 4]));
    match op {
        "ArgReduce" => {
            m.add1(Op::ArgReduce(ArgReduceAttrs { max: true, axis: 1, keep_dims: true, last: false }), vec![x]);
        }
        "CumSum" => {
            let axis = Tensor::new(&[], &[1i64]).expect("a small tensor");
            m.add1(Op::CumSum(CumSumAttrs { exclusive: false, reverse: true }), vec![x, known(axis)]);
        }
        _ => {
            let k = known(Tensor::from_i64s(&[3]));
            m.add(Op::TopK(TopKAttrs { axis: 1, largest: true, sorted: true }), vec![x, k], 2);
        }
    }
}

fn recurrent(m: &mut Maker) {
    for (cell, gates, activations) in [
        (Cell::Lstm, 4, vec![Act::Sigmoid, Act::Tanh, Act::Tanh]),
        (Cell::Gru { linear_before_reset: false }, 3, vec![Act::Sigmoid, Act::Tanh]),
        (Cell::Plain, 1, vec![Act::Tanh]),
    ] {
        let (hidden, features) = (5, 3);
        let attrs = RecurrentAttrs {
            cell,
            direction: Direction::Forward,
            hidden,
            activations,
            clip: None,
            input_forget: false,
            batch_first: false,
        };
        let x = m.rng.floats(&[4, 2, features]);
        let (w, r) = (m.rng.floats(&[1, gates * hidden, features]), m.rng.floats(&[1, gates * hidden, hidden]));
        m.add(Op::Recurrent(attrs), vec![given(x), known(w), known(r)], 2);
    }
}
