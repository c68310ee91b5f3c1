//! Convolution by Fourier transforms against its definition in `f64`.

mod support;

use paring_core::op::Padding;
use paring_kernel::{NumericClass, Numerics, Problem};
use support::{Random, case::Case};

const NAMES: [&str; 1] = ["conv_fft_f32"];
/// The largest error measured over these tests is 2.1e-6.
const TOLERANCE: f64 = 5e-6;

fn case(kernel: [usize; 2], x: &[usize], outputs: usize, before: [usize; 2], after: [usize; 2]) -> Case {
    let mut case = Case::new(x, outputs, &kernel);
    case.attrs.padding = Padding::Explicit { before: before.to_vec(), after: after.to_vec() };
    case
}

/// A layer whose output is as large as its input.
fn same(kernel: [usize; 2], x: &[usize], outputs: usize) -> Case {
    let before = kernel.map(|k| (k - 1) / 2);
    case(kernel, x, outputs, before, kernel.map(|k| k / 2))
}

#[test]
fn layers_of_well_known_networks() {
    let mut r = Random(1);
    for (kernel, inputs, outputs, size) in [
        // Of AlexNet, GoogLeNet, a super-resolution network, and networks with large windows.
        ([5, 5], 64, 24, 27),
        ([5, 5], 16, 48, 28),
        ([9, 9], 3, 64, 30),
        ([7, 7], 32, 16, 24),
        ([11, 11], 24, 8, 20),
        ([31, 31], 16, 9, 14),
        ([5, 31], 8, 8, 16),
    ] {
        assert!(same(kernel, &[1, inputs, size, size], outputs).check(&mut r, &NAMES, TOLERANCE) > 0);
    }
}

#[test]
fn long_sums() {
    let mut r = Random(5);
    for kernel in [[5, 5], [15, 15]] {
        assert!(same(kernel, &[1, 512, 9, 7], 8).check(&mut r, &NAMES, TOLERANCE) > 0);
    }
}

#[test]
fn random_problems() {
    let mut r = Random(2);
    let mut ran = 0;
    while ran < 600 {
        let large = if r.below(8) == 0 { 27 } else { 9 };
        let kernel = [5 + r.below(large), 5 + r.below(large)];
        let x = [1 + r.below(2), 1 + r.below(20), 1 + r.below(40), 1 + r.below(40)];
        let outputs = 1 + r.below(20);
        let mut pad = |k: usize| r.below(k + 2);
        let (before, after) = (kernel.map(&mut pad), kernel.map(&mut pad));
        let mut case = case(kernel, &x, outputs, before, after);
        match r.below(8) {
            0 => case.attrs.padding = Padding::SameUpper,
            1 => case.attrs.padding = Padding::SameLower,
            _ => {}
        }
        if case.output().is_some() {
            ran += case.check(&mut r, &NAMES, TOLERANCE);
        }
    }
}

#[test]
fn several_blocks() {
    // So many tiles that a block of twelve mebibytes holds but a part of them.
    let mut r = Random(3);
    assert!(same([7, 7], &[3, 40, 72, 68], 8).check(&mut r, &NAMES, TOLERANCE) > 1);
    assert!(same([13, 13], &[2, 200, 40, 36], 1).check(&mut r, &NAMES, TOLERANCE) > 1);
}

/// What the kernels answer.
fn reasons(p: &Problem) -> Vec<String> {
    let machine = paring_simd::machine();
    let kernels = paring_dense::KERNELS.iter().filter(|k| k.descriptor().name.starts_with(NAMES[0]));
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
    let plain = || same([9, 7], &[1, 16, 12, 12], 16);
    let mut expect = |change: &dyn Fn(&mut Case), why: &str| {
        let mut case = plain();
        change(&mut case);
        let reasons = reasons(&case.problem(&mut r).0);
        assert!(!reasons.is_empty() && reasons.iter().all(|r| r.contains(why)), "{reasons:?}");
    };
    expect(&|c| c.attrs.stride = vec![2, 1], "stride 1");
    expect(&|c| c.attrs.dilation = vec![1, 2], "no dilation");
    expect(&|c| c.attrs.groups = 2, "one group");
    expect(&|c| c.attrs.select = Some((0..16).rev().collect()), "in order");
    expect(&|c| c.attrs.kernel = vec![4, 5], "only windows");
    expect(&|c| *c = same([5, 32], &[1, 4, 12, 40], 4), "only windows");
    expect(&|c| *c = same([5, 5], &[1, 800, 6, 6], 800), "MiB");
    let (mut strict, _) = plain().problem(&mut r);
    strict.numerics = Numerics::Strict;
    assert!(reasons(&strict).iter().all(|why| why.contains("strict numerics")));
}
