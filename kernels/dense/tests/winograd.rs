//! Winograd convolution against its definition in `f64`.

mod support;

use paring_core::op::Padding;
use paring_kernel::{NumericClass, Numerics, Problem};
use support::{Random, case::Case};

/// Kernels and the errors allowed them.
const NAMES: [(&str, f64); 2] = [("conv_winograd_f2", 1e-5), ("conv_winograd_f4", 5e-5)];

fn case(x: &[usize], outputs: usize, before: [usize; 2], after: [usize; 2]) -> Case {
    let mut case = Case::new(x, outputs, &[3, 3]);
    case.attrs.padding = Padding::Explicit { before: before.to_vec(), after: after.to_vec() };
    case
}

#[test]
fn layers_of_well_known_networks() {
    let mut r = Random(1);
    for (inputs, outputs, size) in [(64, 24, 28), (128, 16, 14), (256, 16, 14), (512, 9, 7), (3, 64, 30), (16, 40, 27)]
    {
        for (name, tolerance) in NAMES {
            assert!(case(&[1, inputs, size, size], outputs, [1; 2], [1; 2]).check(&mut r, &[name], tolerance) > 0);
        }
    }
}

#[test]
fn random_problems() {
    let mut r = Random(2);
    let mut ran = 0;
    while ran < 600 {
        let x = [1 + r.below(2), 1 + r.below(40), 1 + r.below(20), 1 + r.below(20)];
        let outputs = 1 + r.below(40);
        let mut case = case(&x, outputs, [r.below(3), r.below(3)], [r.below(3), r.below(3)]);
        if r.below(4) == 0 {
            case.attrs.padding = if r.below(2) == 0 { Padding::SameUpper } else { Padding::SameLower };
        }
        if case.output().is_some() {
            ran += NAMES.iter().map(|&(name, tolerance)| case.check(&mut r, &[name], tolerance)).sum::<usize>();
        }
    }
}

#[test]
fn several_shared_blocks() {
    // So many channels that a shared block of twelve mebibytes holds but a part of the tiles.
    let mut r = Random(3);
    for (name, tolerance) in NAMES {
        assert!(case(&[1, 3000, 24, 24], 1, [1; 2], [1; 2]).check(&mut r, &[name], tolerance) > 1);
    }
}

/// What every Winograd kernel answers.
fn reasons(p: &Problem) -> Vec<String> {
    let machine = paring_simd::machine();
    let kernels = paring_dense::KERNELS.iter().filter(|k| k.descriptor().name.starts_with("conv_winograd"));
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
    let square = || case(&[1, 16, 8, 8], 16, [1; 2], [1; 2]);
    let (mut strict, _) = square().problem(&mut r);
    strict.numerics = Numerics::Strict;
    assert!(reasons(&strict).iter().all(|why| why.contains("strict numerics")));
    assert_eq!(reasons(&strict).len(), 4);
    let mut strided = square();
    strided.attrs.stride = vec![2, 1];
    assert!(reasons(&strided.problem(&mut r).0).iter().all(|why| why.contains("stride 1")));
    let mut grouped = square();
    grouped.attrs.groups = 2;
    assert!(reasons(&grouped.problem(&mut r).0).iter().all(|why| why.contains("one group")));
    let mut selected = square();
    selected.attrs.select = Some((0..16).rev().collect());
    assert!(reasons(&selected.problem(&mut r).0).iter().all(|why| why.contains("in order")));
}
