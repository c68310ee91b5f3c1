//! Pooling, normalisation, softmax, reductions.

mod support;

use paring_core::{DType, Layout, Tensor, op::*};
use support::{Case, Rng};

fn pool(kind: PoolKind, kernel: &[usize], stride: &[usize], pads: (&[usize], &[usize])) -> PoolAttrs {
    PoolAttrs {
        kind,
        kernel: kernel.to_vec(),
        stride: stride.to_vec(),
        dilation: vec![1; kernel.len()],
        padding: Padding::Explicit { before: pads.0.to_vec(), after: pads.1.to_vec() },
        ceil: false,
        column_major: false,
    }
}

fn pooled(x: &[usize], a: &PoolAttrs) -> Vec<usize> {
    let mut y = x[..2].to_vec();
    for i in 0..a.kernel.len() {
        let (b, e) = a.padding.resolve(i, x[i + 2], a.kernel[i], a.stride[i], a.dilation[i]);
        let room = x[i + 2] + b + e - ((a.kernel[i] - 1) * a.dilation[i] + 1);
        let mut n = if a.ceil { room.div_ceil(a.stride[i]) } else { room / a.stride[i] } + 1;
        if (n - 1) * a.stride[i] >= x[i + 2] + b {
            n -= 1;
        }
        y.push(n);
    }
    y
}

const KINDS: [PoolKind; 5] = [
    PoolKind::Max,
    PoolKind::Average { count_padding: false },
    PoolKind::Average { count_padding: true },
    PoolKind::Lp { p: 1 },
    PoolKind::Lp { p: 2 },
];

#[test]
fn pooling_agrees_in_both_layouts() {
    let mut rng = Rng::new(1);
    for kind in KINDS {
        for shape in [&[1, 3, 7, 9][..], &[2, 19, 12, 11], &[1, 16, 33, 40]] {
            for mut a in [
                pool(kind, &[2, 2], &[2, 2], (&[0, 0], &[0, 0])),
                pool(kind, &[3, 3], &[2, 2], (&[1, 1], &[1, 1])),
                pool(kind, &[3, 3], &[1, 1], (&[1, 1], &[0, 1])),
                pool(kind, &[5, 2], &[3, 1], (&[2, 0], &[1, 1])),
            ] {
                for ceil in [false, true] {
                    a.ceil = ceil;
                    let x = rng.tensor(DType::F32, shape);
                    Case::new(Op::Pool(a.clone())).input(x).output(DType::F32, &pooled(shape, &a)).check_blocked();
                }
                a.ceil = false;
                a.dilation = vec![2, 1];
                let x = rng.tensor(DType::F32, shape);
                if shape[2] > 9 {
                    Case::new(Op::Pool(a.clone())).input(x).output(DType::F32, &pooled(shape, &a)).check_blocked();
                }
                a.dilation = vec![1, 1];
                a.padding = Padding::SameLower;
                let x = rng.tensor(DType::F32, shape);
                Case::new(Op::Pool(a.clone())).input(x).output(DType::F32, &pooled(shape, &a)).check_blocked();
            }
        }
        let a = pool(kind, &[3], &[2], (&[1], &[1]));
        let x = rng.tensor(DType::F32, &[2, 9, 21]);
        Case::new(Op::Pool(a.clone())).input(x).output(DType::F32, &pooled(&[2, 9, 21], &a)).check_blocked();
    }
}

#[test]
fn pooling_fuses_and_keeps_padding_lanes_zero() {
    let mut rng = Rng::new(2);
    let a = pool(PoolKind::Max, &[2, 2], &[2, 2], (&[0, 0], &[0, 0]));
    let x = rng.tensor(DType::F32, &[1, 5, 8, 8]);
    let case = Case::new(Op::Pool(a)).input(x).output(DType::F32, &[1, 5, 4, 4]);
    case.epilogue(EpiOp::Act(Act::Sigmoid)).check_blocked();
}

#[test]
fn max_pooling_says_where_and_unpooling_puts_back() {
    let mut rng = Rng::new(3);
    for column_major in [false, true] {
        let mut a = pool(PoolKind::Max, &[2, 3], &[2, 2], (&[0, 1], &[0, 1]));
        a.column_major = column_major;
        let shape = [2, 3, 10, 9];
        let y = pooled(&shape, &a);
        let x = rng.tensor(DType::F32, &shape);
        let case = Case::new(Op::Pool(a.clone())).input(x.clone());
        case.output(DType::F32, &y).output(DType::I64, &y).check();
    }
    let x = rng.tensor(DType::F32, &[1, 2, 2, 3]);
    let places: Vec<i64> = (0..12).map(|i| (i * 5 + 1) % 48).collect();
    let indices = Tensor::new(&[1, 2, 2, 3], &places).unwrap();
    let a = MaxUnpoolAttrs { kernel: vec![2, 2], stride: vec![2, 2], before: vec![0, 0], after: vec![0, 0] };
    for shape in [[1, 2, 4, 6], [1, 2, 5, 7]] {
        let case = Case::new(Op::MaxUnpool(a.clone())).input(x.clone()).input(indices.clone());
        case.i64s(&shape.map(|d| d as i64)).output(DType::F32, &shape).check();
    }
}

#[test]
fn global_pooling_agrees_in_both_layouts() {
    let mut rng = Rng::new(4);
    for kind in [GlobalPool::Max, GlobalPool::Average, GlobalPool::Lp { p: 1 }, GlobalPool::Lp { p: 2 }] {
        for shape in [&[2, 19, 7, 7][..], &[1, 8, 1, 1], &[1, 16, 56, 56], &[3, 5, 13]] {
            let mut y = shape.to_vec();
            y[2..].fill(1);
            let x = rng.tensor(DType::F32, shape);
            // The mean of numbers around 0 is small against what its sum rounds.
            Case::new(Op::GlobalPool(kind)).input(x).output(DType::F32, &y).tolerance(1e-5).check_blocked();
        }
    }
}

#[test]
fn batch_norm_agrees_in_both_layouts() {
    let mut rng = Rng::new(5);
    for shape in [&[2, 19, 7, 5][..], &[4, 33], &[1, 16, 40, 40]] {
        let c = [shape[1]];
        let positive: Vec<f32> = (0..shape[1]).map(|_| rng.unit() + 0.1).collect();
        let var = Tensor::new(&c, &positive).unwrap();
        let case = Case::new(Op::BatchNorm(BatchNormAttrs { epsilon: 1e-5 })).input(rng.tensor(DType::F32, shape));
        let case = case.constant(rng.tensor(DType::F32, &c)).constant(rng.tensor(DType::F32, &c));
        let case = case.constant(rng.tensor(DType::F32, &c)).constant(var).output(DType::F32, shape);
        case.epilogue(EpiOp::Act(Act::Relu)).check_blocked();
    }
}

#[test]
fn norms_of_rows_agree() {
    let mut rng = Rng::new(6);
    for (shape, axis) in [(&[2, 5, 64][..], -1), (&[3, 7, 11], 1), (&[40, 768], -1), (&[2, 3], 0)] {
        for rms in [false, true] {
            let a = if axis < 0 { shape.len() as i64 + axis } else { axis } as usize;
            let (rows, inner) = (shape[..a].to_vec(), shape[a..].to_vec());
            let op = Op::LayerNorm(LayerNormAttrs { axis, epsilon: 1e-5, rms });
            let x = rng.tensor(DType::F32, shape);
            let case = || Case::new(op.clone()).input(x.clone());
            let mut stat = rows.clone();
            stat.resize(shape.len(), 1);
            let full = case().constant(rng.tensor(DType::F32, &inner)).input(rng.tensor(DType::F32, &inner));
            let full = full.output(DType::F32, shape);
            if rms {
                full.tolerance(2e-6).check()
            } else {
                full.output(DType::F32, &stat).output(DType::F32, &stat).tolerance(2e-6).check()
            };
            let scaled = case().constant(rng.tensor(DType::F32, &inner)).output(DType::F32, shape);
            scaled.tolerance(2e-6).check();
        }
    }
    for shape in [&[2, 12, 5, 7][..], &[1, 24, 33, 20], &[2, 19, 6]] {
        let c = [shape[1]];
        let mut case = |op: Op| {
            let x = Case::new(op).input(rng.tensor(DType::F32, shape));
            let x = x.constant(rng.tensor(DType::F32, &c)).constant(rng.tensor(DType::F32, &c));
            x.output(DType::F32, shape).tolerance(3e-6)
        };
        case(Op::InstanceNorm(BatchNormAttrs { epsilon: 1e-5 })).check_blocked();
        let groups = if shape[1] == 19 { 19 } else { 4 };
        case(Op::GroupNorm(GroupNormAttrs { epsilon: 1e-5, groups })).check();
    }
}

#[test]
fn softmax_and_lp_norm_agree_along_any_axis() {
    let mut rng = Rng::new(7);
    for shape in [&[3, 7][..], &[2, 5, 13], &[4, 1000], &[2, 3, 40, 41]] {
        for axis in -1..shape.len() as i64 {
            let x = rng.tensor(DType::F32, shape);
            for kind in [SoftmaxKind::Softmax, SoftmaxKind::LogSoftmax] {
                for to_end in [false, true] {
                    let op = Op::Softmax(SoftmaxAttrs { kind, axis, to_end });
                    Case::new(op).input(x.clone()).output(DType::F32, shape).tolerance(2e-6).check();
                }
            }
            for p in [1, 2] {
                let op = Op::LpNorm(LpNormAttrs { axis, p });
                Case::new(op).input(x.clone()).output(DType::F32, shape).tolerance(2e-6).check();
            }
        }
    }
    let masked = Tensor::new(&[1, 10], &[1.0, f32::NEG_INFINITY, 2.0, 0.5, -1e30, 1.0, 2.0, 3.0, 4.0, -200.0f32]);
    let op = Op::Softmax(SoftmaxAttrs { kind: SoftmaxKind::Softmax, axis: 1, to_end: false });
    Case::new(op).input(masked.unwrap()).output(DType::F32, &[1, 10]).check();
}

#[test]
fn local_response_norm_agrees_in_both_layouts() {
    let mut rng = Rng::new(8);
    for (beta, size) in [(0.75, 5), (0.5, 3), (1.0, 4), (0.6, 2), (0.75, 64)] {
        for shape in [&[2, 19, 5, 5][..], &[1, 16, 13, 14], &[2, 9]] {
            let op = Op::Lrn(LrnAttrs { alpha: 0.3, beta, bias: 1.5, size });
            let x = rng.tensor(DType::F32, shape);
            Case::new(op).input(x).output(DType::F32, shape).tolerance(3e-6).check_blocked();
        }
    }
}

#[test]
fn reductions_agree_over_any_axes() {
    use ReduceKind::*;
    let mut rng = Rng::new(9);
    for kind in [Sum, Mean, Max, Min, Prod, L1, L2, SumSquare, LogSum, LogSumExp] {
        for (shape, axes) in [
            (&[4, 37][..], vec![vec![1], vec![0], vec![0, 1]]),
            (&[2, 3, 9, 11], vec![vec![2, 3], vec![1], vec![0, 2], vec![1, 3], vec![0, 2, 3], vec![-1]]),
            (&[3, 700, 33], vec![vec![1], vec![2], vec![0]]),
        ] {
            for axes in axes {
                let r: Vec<bool> = (0..shape.len() as i64)
                    .map(|i| axes.iter().any(|&a| a == i || a + shape.len() as i64 == i))
                    .collect();
                let y: Vec<usize> = shape.iter().zip(&r).map(|(&n, &r)| if r { 1 } else { n }).collect();
                let trailing = r.iter().skip_while(|r| !**r).all(|r| *r);
                if kind == LogSumExp && !trailing || kind == Prod && shape[1] == 700 {
                    continue;
                }
                let a = ReduceAttrs { kind, axes: Some(axes), keep_dims: true, noop_if_empty: false };
                let mut x = rng.tensor(DType::F32, shape);
                if kind == LogSum {
                    // The logarithm of a sum near 0 would be of its rounding.
                    x = Tensor::new(shape, &x.elements::<f32>().unwrap().iter().map(|v| v.abs()).collect::<Vec<_>>())
                        .unwrap();
                }
                Case::new(Op::Reduce(a)).input(x).output(DType::F32, &y).tolerance(1e-5).check();
            }
        }
    }
    let a = ReduceAttrs { kind: Sum, axes: None, keep_dims: false, noop_if_empty: false };
    let x = rng.tensor(DType::F32, &[3, 5]);
    Case::new(Op::Reduce(a.clone())).input(x.clone()).output(DType::F32, &[]).tolerance(1e-5).check();
    let layouts = Case::new(Op::Reduce(a)).input(x).i64s(&[0]).output(DType::F32, &[5]).tolerance(1e-5).check();
    assert_eq!(layouts, [Layout::Plain]);
}

#[test]
fn extremes_of_rows_keep_nan() {
    let mut rng = Rng::new(10);
    for n in [1, 5, 8, 11, 56, 77] {
        for at in 0..n {
            let mut x = rng.tensor(DType::F32, &[2, n]).elements::<f32>().unwrap().into_owned();
            x[at] = f32::NAN;
            for kind in [ReduceKind::Max, ReduceKind::Min] {
                let a = ReduceAttrs { kind, axes: Some(vec![1]), keep_dims: false, noop_if_empty: false };
                let case = Case::new(Op::Reduce(a)).input(Tensor::new(&[2, n], &x).unwrap());
                case.output(DType::F32, &[2]).tolerance(0.0).check();
            }
        }
    }
}
