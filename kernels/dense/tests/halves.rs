//! Convolution of numbers made halves against its definition in `f64`.
#![cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]

mod support;

use paring_core::op::Padding;
use paring_kernel::Numerics;
use support::{Random, case::Case};

/// Kernels, what allows them, and their bounds, as docs/numerics.md has them.
#[cfg(target_arch = "x86_64")]
const KERNELS: &[(&str, Numerics, f64)] =
    &[("conv_split2", Numerics::Fast, 3e-5), ("conv_split3", Numerics::Default, 1e-5)];
#[cfg(target_arch = "aarch64")]
const KERNELS: &[(&str, Numerics, f64)] = &[("conv_half", Numerics::Fast, 1e-2)];

/// Whether this machine has the kernels.
fn are_there() -> bool {
    #[cfg(target_arch = "x86_64")]
    return cfg!(feature = "avx512") && paring_simd::amx::Amx::detect().is_some();
    #[cfg(target_arch = "aarch64")]
    return cfg!(feature = "fp16") && paring_simd::fp16::Fp16::detect().is_some();
}

/// Checks cases where there are the kernels.
fn check(cases: impl IntoIterator<Item = Case>) {
    if !are_there() {
        return;
    }
    let mut r = Random(1);
    for mut case in cases {
        for &(name, numerics, bound) in KERNELS {
            case.numerics = numerics;
            assert!(case.check(&mut r, &[name], bound) > 0);
        }
    }
}

/// A window with zeros around the input.
fn case(x: &[usize], outputs: usize, kernel: usize, stride: usize) -> Case {
    let axes = x.len() - 2;
    let mut case = Case::new(x, outputs, &vec![kernel; axes]);
    case.attrs.stride = vec![stride; axes];
    case.attrs.padding = Padding::Explicit { before: vec![kernel / 2; axes], after: vec![kernel / 2; axes] };
    case
}

/// Part blocks, steps that lack eights, and last panels of all widths.
#[test]
fn depths_and_widths() {
    check([8, 16, 24, 40, 63, 64, 72].into_iter().map(|depth| case(&[1, depth, 5, 7], 24, 3, 1)));
    check((1..=17).chain([24, 33, 40, 48]).map(|outputs| case(&[1, 32, 5, 7], outputs, 1, 1)));
}

/// Groups of pixels that are not full, samples, axes and strides.
#[test]
fn pixels_of_any_number() {
    check([1, 15, 16, 17, 31, 33, 64, 65, 130].into_iter().map(|width| case(&[1, 32, 1, width], 40, 1, 1)));
    check([case(&[3, 16, 9, 9], 20, 3, 1), case(&[2, 32, 9, 8], 48, 3, 2), case(&[1, 64, 28, 28], 128, 1, 2)]);
    check([case(&[2, 24, 50], 16, 5, 1), case(&[1, 16, 4, 5, 6], 17, 3, 1)]);
    let mut dilated = case(&[1, 32, 12, 12], 32, 3, 1);
    dilated.attrs.dilation = vec![2, 2];
    let mut half = case(&[1, 64, 6, 6], 32, 1, 1);
    half.attrs.select = Some((32..64).collect());
    check([dilated, half]);
}

/// Few pixels and many channels: tasks share pixels, and have odd numbers of panels.
#[test]
fn tasks_of_panels() {
    check([case(&[1, 512, 7, 7], 336, 3, 1), case(&[1, 256, 14, 14], 240, 3, 1)]);
}
