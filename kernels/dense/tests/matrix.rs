//! Matrix products against their definition in `f64`.

mod support;

use paring_core::{
    DType, Op, broadcast,
    op::{DenseAttrs, EpiOp},
};
use paring_dense::KERNELS;
use paring_kernel::{Numerics, Operand, Problem};
use support::*;

fn problem(op: Op, inputs: Vec<Option<Operand>>, y: &[usize], epilogue: Vec<EpiOp>) -> Problem {
    Problem {
        name: "product".into(),
        op,
        inputs,
        outputs: vec![Some(Operand::new(DType::F32, y))],
        epilogue,
        numerics: Default::default(),
    }
}

/// `a [m, k]` times `b [k, n]`.
fn product(a: &[f32], b: &[f32], m: usize, k: usize, n: usize) -> Vec<f64> {
    let mut y = vec![0.0; m * n];
    for i in 0..m {
        for c in 0..k {
            for j in 0..n {
                y[i * n + j] += f64::from(a[i * k + c]) * f64::from(b[c * n + j]);
            }
        }
    }
    y
}

fn check_dense(r: &mut Random, leading: &[usize], k: usize, n: usize) -> usize {
    let (p, data, sums) = dense(r, leading, k, n);
    let transposed = matches!(p.op, Op::Dense(DenseAttrs { transposed: true }));
    let names: &[&str] = match leading.iter().product() {
        1usize if transposed => &["dense_f32", "dense_unpacked_f32"],
        _ => &["dense_f32"],
    };
    check(&p, &data, names, |fused| finished(&p, fused, leading.len(), &data, &sums))
}

/// A product of `leading` rows with a matrix, stored either way, and some epilogue; the data of its inputs, and the sums.
fn dense(r: &mut Random, leading: &[usize], k: usize, n: usize) -> (Problem, Vec<Vec<f32>>, Vec<f64>) {
    let m: usize = leading.iter().product();
    let (x, b) = (r.floats(m * k), r.weights(k * n, k));
    let transposed = r.below(2) == 1;
    let stored = match transposed {
        true => (0..n * k).map(|i| b[i % k * n + i / k]).collect(),
        false => b.clone(),
    };
    let shape = |last: usize| [leading, &[last]].concat();
    let w_shape = if transposed { [n, k] } else { [k, n] };
    let mut inputs = vec![Some(operand(&shape(k), &x, false)), Some(operand(&w_shape, &stored, true))];
    let sums = product(&x, &b, m, k, n);
    let mut data = vec![x, stored];
    let y = shape(n);
    let steps = epilogue(r, &y, leading.len(), &mut inputs, &mut data);
    (problem(Op::Dense(DenseAttrs { transposed }), inputs, &y, steps), data, sums)
}

/// Sums after the first `fused` steps of the epilogue.
fn finished(p: &Problem, fused: usize, axis: usize, data: &[Vec<f32>], sums: &[f64]) -> Vec<f64> {
    let mut out = sums.to_vec();
    apply(p, fused, axis, data, &mut out);
    out
}

#[test]
fn fully_connected_layers() {
    let mut r = Random(7);
    for rows in 1..=9 {
        for (k, n) in [(64, 10), (33, 100), (1, 1), (128, 256), (5, 17), (7, 72)] {
            assert!(check_dense(&mut r, &[rows], k, n) > 0);
        }
    }
    for (leading, k, n) in [(vec![2, 50], 48, 65), (vec![], 40, 50), (vec![3, 2, 7], 9, 130), (vec![1, 130], 600, 20)] {
        assert!(check_dense(&mut r, &leading, k, n) > 0);
    }
    // Long sums and many panels.
    assert!(check_dense(&mut r, &[1], 2048, 1000) > 0);
    assert!(check_dense(&mut r, &[2], 1024, 300) > 0);
    assert!(check_dense(&mut r, &[1], 25088, 130) > 0);
    assert!(check_dense(&mut r, &[5], 25088, 20) > 0);
}

/// Numbers made halves first, in the ways of this machine, within the bounds that docs/numerics.md has.
#[test]
fn several_rows_of_halves() {
    let isa = paring_simd::permitted(paring_simd::detect());
    let ways = [
        ("dense_split3_f32", Numerics::Default, 1e-5),
        ("dense_split2_f32", Numerics::Fast, 3e-5),
        ("dense_half_rows_f32", Numerics::Fast, 1e-2),
    ];
    // Two on x86-64 with AVX-512, one on AArch64, where features do not leave them out.
    let known = |name: &str| KERNELS.iter().any(|k| k.descriptor().name.starts_with(name));
    let split = if cfg!(all(target_arch = "x86_64", feature = "avx512")) { 2 } else { 0 };
    let half = if cfg!(all(target_arch = "aarch64", feature = "fp16")) { 1 } else { 0 };
    assert_eq!(ways.iter().filter(|(name, ..)| known(name)).count(), split + half);
    let mut r = Random(17);
    for (name, numerics, bound) in ways {
        if !KERNELS.iter().any(|k| k.descriptor().name.starts_with(name) && isa.has(k.descriptor().isa)) {
            continue;
        }
        let sizes = [
            (vec![4], 8, 1),
            (vec![5], 64, 7),
            (vec![2, 9], 40, 33),
            (vec![3, 2, 7], 128, 48),
            (vec![130], 600, 20),
            (vec![197], 768, 24),
            (vec![17], 4096, 336),
        ];
        for (leading, k, n) in sizes {
            let (mut p, data, sums) = dense(&mut r, &leading, k, n);
            p.numerics = numerics;
            let expected = |fused| finished(&p, fused, leading.len(), &data, &sums);
            assert!(check_within(&p, &data, &[name], bound, expected) > 0);
        }
    }
}

/// Half precision rounds every weight by at most one part in 2,048, so a sum of many is off by a few of those of its root
/// mean square; and nothing but fast numerics asks for that.
#[test]
fn weights_in_half_precision() {
    let mut r = Random(11);
    for (k, n) in [(64, 10), (33, 100), (1, 1), (2048, 1000), (512, 65)] {
        let (x, w) = (r.floats(k), r.weights(k * n, k));
        let sums = product(&x, &w, 1, k, n);
        let inputs = vec![Some(operand(&[1, k], &x, false)), Some(operand(&[k, n], &w, true))];
        let mut p = problem(Op::Dense(DenseAttrs { transposed: false }), inputs, &[1, n], vec![]);
        let data = [x, w];
        let machine = paring_simd::machine();
        let halves = KERNELS.iter().filter(|k| k.descriptor().name.starts_with("dense_half_f32"));
        assert!(halves.into_iter().all(|k| k.offers(&p, &machine, &mut vec![]).is_err()));
        p.numerics = Numerics::Fast;
        assert!(check_within(&p, &data, &["dense_half_f32"], 2e-3, |_| sums.clone()) > 0);
    }
}

/// Columns of sixteen different weights are kept as they are, and a seventeenth is seen wherever it stands.
#[test]
fn weights_of_few_different_values() {
    let mut r = Random(12);
    let machine = paring_simd::machine();
    let tables = || KERNELS.iter().filter(|k| k.descriptor().name.starts_with("dense_table_f32"));
    for (k, n, transposed) in [(128, 1, true), (129, 10, false), (191, 33, true), (2048, 130, true), (512, 65, false)] {
        let (x, values) = (r.floats(k), r.weights(16 * n, k));
        let w: Vec<f32> = (0..k * n).map(|i| values[16 * (i % n) + r.below(16)]).collect();
        let sums = product(&x, &w, 1, k, n);
        let stored = match transposed {
            true => (0..n * k).map(|i| w[i % k * n + i / k]).collect(),
            false => w,
        };
        let shape = if transposed { [n, k] } else { [k, n] };
        let with = |stored: &[f32]| {
            let inputs = vec![Some(operand(&[1, k], &x, false)), Some(operand(&shape, stored, true))];
            problem(Op::Dense(DenseAttrs { transposed }), inputs, &[1, n], vec![])
        };
        let p = with(&stored);
        let data = [x.clone(), stored.clone()];
        assert!(check(&p, &data, &["dense_table_f32"], |_| sums.clone()) > 0);

        let mut more = stored;
        *more.last_mut().expect("a weight") = 17.0;
        let all_used = k > 500;
        assert!(!all_used || tables().all(|t| t.offers(&with(&more), &machine, &mut vec![]).is_err()));
    }
}

fn check_matmul(r: &mut Random, a: &[usize], b: &[usize]) -> usize {
    let (batch_a, m, k) = match a {
        [k] => (&[][..], None, *k),
        [batch @ .., m, k] => (batch, Some(*m), *k),
        [] => unreachable!(),
    };
    let (batch_b, n) = match b {
        [_] => (&[][..], None),
        [batch @ .., _, n] => (batch, Some(*n)),
        [] => unreachable!(),
    };
    let batch = broadcast(batch_a, batch_b).expect("shapes that broadcast");
    let y: Vec<usize> = batch.iter().copied().chain(m).chain(n).collect();
    let (rows, columns) = (m.unwrap_or(1), n.unwrap_or(1));
    let mut data = vec![r.floats(a.iter().product()), r.weights(b.iter().product(), k)];
    let mut inputs = vec![Some(operand(a, &data[0], false)), Some(operand(b, &data[1], false))];
    // Where a broadcast matrix of an operand begins: position by position from the back.
    let begin = |i: usize, own: &[usize], size: usize| {
        let (mut rest, mut step, mut at) = (i, size, 0);
        for d in 0..batch.len() {
            let d = batch.len() - 1 - d;
            let here = rest % batch[d];
            rest /= batch[d];
            if let Some(j) = (d + own.len()).checked_sub(batch.len()) {
                at += if own[j] == 1 { 0 } else { here * step };
                step *= own[j];
            }
        }
        at
    };
    let mut sums = vec![];
    for i in 0..batch.iter().product() {
        let (from_a, from_b) = (begin(i, batch_a, rows * k), begin(i, batch_b, k * columns));
        sums.extend(product(&data[0][from_a..][..rows * k], &data[1][from_b..][..k * columns], rows, k, columns));
    }
    let steps = match n {
        Some(_) => epilogue(r, &y, y.len() - 1, &mut inputs, &mut data),
        None => vec![],
    };
    let p = problem(Op::MatMul, inputs, &y, steps);
    check(&p, &data, &["matmul_f32"], |fused| {
        let mut out = sums.clone();
        apply(&p, fused, y.len().saturating_sub(1), &data, &mut out);
        out
    })
}

#[test]
fn batched_products_broadcast() {
    let mut r = Random(8);
    let shapes: [(&[usize], &[usize]); 17] = [
        (&[12, 50, 16], &[12, 16, 50]),
        (&[2, 3, 40, 20], &[2, 3, 20, 33]),
        (&[2, 1, 7, 20], &[3, 20, 16]),
        (&[3, 5, 8], &[8, 40]),
        (&[5, 8], &[4, 8, 9]),
        (&[1, 5, 8], &[4, 8, 32]),
        (&[4, 1, 2, 6], &[1, 3, 6, 5]),
        (&[9], &[9, 24]),
        (&[9], &[3, 9, 24]),
        (&[6, 9], &[9]),
        (&[2, 6, 9], &[9]),
        (&[9], &[9]),
        (&[1, 64], &[64, 128]),
        (&[200, 70], &[70, 130]),
        (&[13, 1], &[1, 13]),
        (&[14, 300], &[300, 7]),
        (&[2, 13, 31], &[2, 31, 48]),
    ];
    for (a, b) in shapes {
        assert!(check_matmul(&mut r, a, b) > 0, "{a:?} {b:?}");
    }
    for _ in 0..60 {
        let (m, k, n) = (1 + r.below(40), 1 + r.below(50), 1 + r.below(70));
        assert!(check_matmul(&mut r, &[2, m, k], &[2, k, n]) > 0);
    }
}
