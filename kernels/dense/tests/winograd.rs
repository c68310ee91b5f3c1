//! Winograd convolution against its definition in `f64`.

mod support;

use paring_core::op::{Act, EpiOp, Padding};
use paring_kernel::{NumericClass, Numerics, Problem};
use support::{Random, case::Case, check_within};

/// Kernels, the windows and strides they are for, and the errors allowed them.
const KERNELS: [(&str, [usize; 2], usize, f64); 13] = [
    ("conv_winograd_f2x3_f32", [3, 3], 1, 1e-5),
    ("conv_winograd_f4x3_f32", [3, 3], 1, 3e-5),
    ("conv_winograd_f6x3_f32", [3, 3], 1, 1e-4),
    ("conv_winograd_s2_f2x3_f32", [3, 3], 2, 1e-5),
    ("conv_winograd_s2_f3x3_f32", [3, 3], 2, 1e-5),
    ("conv_winograd_s2_f5x3_f32", [3, 3], 2, 1e-4),
    ("conv_winograd_s2_f5x7_f32", [7, 7], 2, 1e-4),
    ("conv_winograd_f2x5_f32", [5, 5], 1, 2e-5),
    ("conv_winograd_f4x5_f32", [5, 5], 1, 1e-4),
    ("conv_winograd_f4x3_line", [1, 3], 1, 3e-5),
    ("conv_winograd_f4x3_line", [3, 1], 1, 3e-5),
    ("conv_winograd_f4x7_line", [1, 7], 1, 1e-4),
    ("conv_winograd_f4x7_line", [7, 1], 1, 1e-4),
];

fn case(kernel: [usize; 2], stride: usize, x: &[usize], outputs: usize, before: [usize; 2], after: [usize; 2]) -> Case {
    let mut case = Case::new(x, outputs, &kernel);
    case.attrs.stride = vec![stride; 2];
    case.attrs.padding = Padding::Explicit { before: before.to_vec(), after: after.to_vec() };
    case
}

#[test]
fn layers_of_well_known_networks() {
    let mut r = Random(1);
    for (inputs, outputs, size) in [(64, 24, 28), (128, 16, 14), (256, 16, 14), (512, 9, 7), (3, 64, 30), (16, 40, 27)]
    {
        for (name, kernel, stride, tolerance) in KERNELS {
            let pad = kernel.map(|k| k / 2);
            assert!(
                case(kernel, stride, &[1, inputs, size, size], outputs, pad, pad).check(&mut r, &[name], tolerance) > 0
            );
        }
    }
}

#[test]
fn random_problems() {
    let mut r = Random(2);
    let mut ran = 0;
    while ran < 2000 {
        let x = [1 + r.below(2), 1 + r.below(40), 1 + r.below(20), 1 + r.below(20)];
        let outputs = 1 + r.below(40);
        let (before, after) = ([r.below(4), r.below(4)], [r.below(4), r.below(4)]);
        let automatic = match r.below(8) {
            0 => Some(Padding::SameUpper),
            1 => Some(Padding::SameLower),
            _ => None,
        };
        for (name, kernel, stride, tolerance) in KERNELS {
            let mut x = x;
            if stride > 1 && x[1] > 8 {
                x[1] = x[1].next_multiple_of(8);
            }
            let mut case = case(kernel, stride, &x, outputs, before, after);
            if let Some(padding) = &automatic {
                case.attrs.padding = padding.clone();
            }
            if case.output().is_some() {
                ran += case.check(&mut r, &[name], tolerance);
            }
        }
    }
}

#[test]
fn dilated_problems() {
    let mut r = Random(6);
    let mut ran = 0;
    while ran < 1500 {
        let x = [1 + r.below(2), 1 + r.below(20), 1 + r.below(40), 1 + r.below(40)];
        let outputs = 1 + r.below(20);
        let dilation = [1 + r.below(9), 1 + r.below(9)];
        let (before, after) = ([r.below(20), r.below(20)], [r.below(20), r.below(20)]);
        for (name, kernel, stride, tolerance) in KERNELS.into_iter().filter(|k| k.2 == 1) {
            let mut case = case(kernel, stride, &x, outputs, before, after);
            case.attrs.dilation = dilation.to_vec();
            if case.output().is_some() {
                ran += case.check(&mut r, &[name], tolerance);
            }
        }
    }
}

#[test]
fn dilated_problems_do_not_pool() {
    let mut case = case([3, 3], 1, &[1, 16, 20, 20], 16, [2; 2], [2; 2]);
    case.attrs.dilation = vec![2, 2];
    let (p, ..) = case.pooled(&mut Random(7));
    assert!(reasons(&p, [3, 3], 1).iter().all(|why| why.contains("without dilation")));
}

#[test]
fn pooled_problems() {
    let mut r = Random(5);
    let (mut ran, mut declined) = (0, 0);
    while ran < 500 {
        let x = [1 + r.below(2), 1 + r.below(40), 2 + r.below(30), 2 + r.below(30)];
        let outputs = 1 + r.below(40);
        for (name, kernel, stride, tolerance) in KERNELS.into_iter().filter(|k| k.1[0] == k.1[1] && k.2 == 1) {
            let case = case(kernel, stride, &x, outputs, [kernel[0] / 2; 2], [r.below(3), r.below(3)]);
            if case.output().is_none_or(|y| y[2] < 2 || y[3] < 2) {
                continue;
            }
            let (p, data, expected) = case.pooled(&mut r);
            assert_eq!(p.unpooled().and_then(|p| Some(p.output(0)?.shape.clone())), case.output());
            let monotone = |e: &EpiOp| {
                matches!(e, EpiOp::Bias { .. } | EpiOp::MaxPool | EpiOp::Act(Act::Relu | Act::Clamp { .. }))
            };
            if p.epilogue.iter().all(monotone) {
                ran += check_within(&p, &data, &[name], tolerance, |_| expected.clone());
            } else {
                assert!(
                    reasons(&p, kernel, stride).iter().all(|why| why.contains("pools only after")),
                    "{:?}",
                    p.epilogue
                );
                declined += 1;
            }
        }
    }
    assert!(declined > 0);
}

#[test]
fn several_shared_blocks() {
    // So many channels that a shared block of twelve mebibytes holds but a part of the tiles. Sums of so many terms lose more
    // than those that the errors are published for.
    for (name, kernel, stride, tolerance) in KERNELS {
        let mut r = Random(3);
        let pad = kernel.map(|k| k / 2);
        let case = case(kernel, stride, &[1, 3000, 24, 24], 1, pad, pad);
        assert!(case.check(&mut r, &[name], 3.0 * tolerance) > 0, "{name}");
    }
}

/// What the kernels for these windows and strides answer.
fn reasons(p: &Problem, kernel: [usize; 2], stride: usize) -> Vec<String> {
    let machine = paring_simd::machine();
    let ours = |name: &str| KERNELS.iter().any(|k| (k.1, k.2) == (kernel, stride) && name.starts_with(k.0));
    let kernels = paring_dense::KERNELS.iter().filter(|k| ours(k.descriptor().name));
    kernels
        .map(|k| {
            assert_eq!(k.descriptor().numerics, NumericClass::Transformed);
            k.offers(p, &machine, &mut vec![]).expect_err("no offer").to_string()
        })
        .collect()
}

#[test]
fn other_problems_are_rejected_with_a_reason() {
    let mut r = Random(4);
    for (_, kernel, stride, _) in KERNELS {
        let plain = || case(kernel, stride, &[1, 16, 8, 8], 16, [1; 2], [1; 2]);
        let (mut strict, _) = plain().problem(&mut r);
        strict.numerics = Numerics::Strict;
        assert!(reasons(&strict, kernel, stride).iter().all(|why| why.contains("strict numerics")));
        assert!(!reasons(&strict, kernel, stride).is_empty());
        let mut strided = plain();
        strided.attrs.stride = vec![2, 1];
        assert!(reasons(&strided.problem(&mut r).0, kernel, stride).iter().all(|why| why.contains("only stride")));
        let mut grouped = plain();
        grouped.attrs.groups = 2;
        assert!(reasons(&grouped.problem(&mut r).0, kernel, stride).iter().all(|why| why.contains("one group")));
        let mut selected = plain();
        selected.attrs.select = Some((0..16).rev().collect());
        assert!(reasons(&selected.problem(&mut r).0, kernel, stride).iter().all(|why| why.contains("in order")));
        if stride > 1 {
            let (odd, _) = case(kernel, stride, &[1, 12, 8, 8], 16, [1; 2], [1; 2]).problem(&mut r);
            assert!(reasons(&odd, kernel, stride).iter().all(|why| why.contains("multiples of eight")));
        }
        let (other, _) = case([4, 2], stride, &[1, 16, 8, 8], 16, [1; 2], [1; 2]).problem(&mut r);
        assert!(reasons(&other, kernel, stride).iter().all(|why| why.contains("only windows")));
    }
}
