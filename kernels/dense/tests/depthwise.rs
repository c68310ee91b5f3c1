//! Depthwise convolution against its definition in `f64`.

mod support;

use paring_core::op::Padding;
use paring_kernel::Problem;
use support::{Random, case::Case};

const NAMES: &[&str] = &["conv_depthwise"];

/// One group per input channel.
fn case(x: &[usize], multiplier: usize, kernel: &[usize]) -> Case {
    let mut case = Case::new(x, x[1] * multiplier, kernel);
    case.attrs.groups = x[1];
    case
}

fn pad(before: &[usize], after: &[usize]) -> Padding {
    Padding::Explicit { before: before.to_vec(), after: after.to_vec() }
}

#[test]
fn layers_of_well_known_networks() {
    let mut r = Random(1);
    for (channels, size, kernel, stride) in [
        (32, 28, 3, 1),
        (20, 112, 3, 1),
        (144, 14, 3, 1),
        (144, 14, 3, 2),
        (24, 33, 3, 2),
        (40, 7, 3, 1),
        (40, 14, 5, 1),
        (40, 14, 5, 2),
        (9, 56, 5, 2),
        (16, 7, 7, 1),
    ] {
        let mut case = case(&[1, channels, size, size], 1, &[kernel; 2]);
        case.attrs.stride = vec![stride; 2];
        case.attrs.padding = pad(&[kernel / 2; 2], &[kernel / 2; 2]);
        assert!(case.check(&mut r, NAMES, 1e-5) > 0);
    }
}

#[test]
fn random_problems() {
    let mut r = Random(2);
    let mut ran = 0;
    while ran < 1500 {
        let x = [1 + r.below(2), 1 + r.below(40), 1 + r.below(20), 1 + r.below(20)];
        let kernel = match r.below(4) {
            0 => [3, 3],
            1 => [5, 5],
            _ => [1 + r.below(5), 1 + r.below(7)],
        };
        let mut case = case(&x, r.pick(&[1, 1, 1, 2, 3]), &kernel);
        case.attrs.stride = r.pick(&[[1, 1], [1, 1], [2, 2], [1, 2], [3, 1], [2, 3]]).to_vec();
        case.attrs.dilation = r.pick(&[[1, 1], [1, 1], [1, 1], [2, 1], [2, 3]]).to_vec();
        case.attrs.padding = match r.below(5) {
            0 => Padding::SameUpper,
            1 => Padding::SameLower,
            _ => pad(&[r.below(3), r.below(3)], &[r.below(3), r.below(3)]),
        };
        if case.output().is_some() {
            ran += case.check(&mut r, NAMES, 1e-5);
        }
    }
}

#[test]
fn selected_channels() {
    let mut r = Random(3);
    let shuffled: Vec<u32> = (0..20).map(|i| (i % 4) * 5 + i / 4).collect();
    for (select, multiplier) in [(shuffled, 1), (vec![19, 0, 0, 7, 3, 4, 11, 12, 2], 1), (vec![5, 17, 2], 4)] {
        let mut case = Case::new(&[2, 20, 9, 11], select.len() * multiplier, &[3, 3]);
        case.attrs.groups = select.len();
        case.attrs.select = Some(select);
        case.attrs.padding = pad(&[1, 0], &[1, 2]);
        assert!(case.check(&mut r, NAMES, 1e-5) > 0);
    }
}

#[test]
fn windows_that_lie_in_padding() {
    let mut r = Random(4);
    for (height, width) in [(1, 1), (2, 3), (1, 9)] {
        let mut case = case(&[1, 12, height, width], 1, &[3, 3]);
        case.attrs.padding = pad(&[5, 6], &[4, 7]);
        assert!(case.check(&mut r, NAMES, 1e-5) > 0);
    }
}

#[test]
fn one_spatial_axis() {
    let mut r = Random(5);
    let mut case = case(&[2, 20, 50], 1, &[5]);
    case.attrs.padding = Padding::SameLower;
    assert!(case.check(&mut r, NAMES, 1e-5) > 0);
}

/// What every depthwise kernel answers.
fn reasons(p: &Problem) -> Vec<String> {
    let machine = paring_simd::machine();
    let kernels = paring_dense::KERNELS.iter().filter(|k| k.descriptor().name.starts_with(NAMES[0]));
    kernels.map(|k| k.offers(p, &machine, &mut vec![]).expect_err("no offer").to_string()).collect()
}

#[test]
fn other_problems_are_rejected_with_a_reason() {
    let mut r = Random(6);
    let mut dense = Case::new(&[1, 16, 8, 8], 16, &[3, 3]);
    dense.attrs.groups = 2;
    assert!(reasons(&dense.problem(&mut r).0).iter().all(|why| why.contains("one input channel")));
    let cube = case(&[1, 8, 4, 4, 4], 1, &[3, 3, 3]);
    assert!(reasons(&cube.problem(&mut r).0).iter().all(|why| why.contains("spatial axes")));
    let mut far = case(&[1, 8, 1, 1], 1, &[1, 1]);
    far.attrs.stride = vec![usize::MAX; 2];
    assert!(reasons(&far.problem(&mut r).0).iter().all(|why| why.contains("too large")));
}
