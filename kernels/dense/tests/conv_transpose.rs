//! Transposed convolution against its definition in `f64`.

mod support;

use paring_core::{
    DType, Op,
    op::{ConvTransposeAttrs, Padding},
};
use paring_kernel::{Operand, Problem};
use support::*;

/// Adds every input element, times every weight, to the output: the definition. `before` is what is cut in front.
fn oracle(x: &[f32], xs: &[usize], w: &[f32], a: &ConvTransposeAttrs, y: &[usize], before: &[usize]) -> Vec<f64> {
    let (c, m, g) = (xs[1], y[1], a.groups);
    let (kh, kw) = (a.kernel[0], a.kernel[1]);
    let mut out = vec![0.0; y.iter().product()];
    for n in 0..xs[0] {
        for k in 0..c {
            for o in 0..m / g {
                let channel = k / (c / g) * (m / g) + o;
                for ih in 0..xs[2] {
                    for iw in 0..xs[3] {
                        for t in 0..kh * kw {
                            let oh = (ih * a.stride[0] + t / kw * a.dilation[0]).wrapping_sub(before[0]);
                            let ow = (iw * a.stride[1] + t % kw * a.dilation[1]).wrapping_sub(before[1]);
                            if oh < y[2] && ow < y[3] {
                                let v = f64::from(x[((n * c + k) * xs[2] + ih) * xs[3] + iw]);
                                let u = f64::from(w[(k * (m / g) + o) * kh * kw + t]);
                                out[((n * m + channel) * y[2] + oh) * y[3] + ow] += u * v;
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

fn check_case(
    r: &mut Random,
    x: &[usize],
    outputs: usize,
    a: &ConvTransposeAttrs,
    y: &[usize],
    before: &[usize],
) -> usize {
    let w = [x[1], outputs / a.groups, a.kernel[0], a.kernel[1]];
    let mut data = vec![r.floats(x.iter().product()), r.weights(w.iter().product(), x[1] / a.groups)];
    let mut inputs = vec![Some(operand(x, &data[0], false)), Some(operand(&w, &data[1], true))];
    let sums = oracle(&data[0], x, &data[1], a, y, before);
    let epilogue = epilogue(r, y, 1, &mut inputs, &mut data);
    let p = Problem {
        name: "transposed".into(),
        op: Op::ConvTranspose(a.clone()),
        inputs,
        outputs: vec![Some(Operand::new(DType::F32, y))],
        epilogue,
        numerics: Default::default(),
    };
    check(&p, &data, &["conv_transpose"], |fused| {
        let mut y = sums.clone();
        apply(&p, fused, 1, &data, &mut y);
        y
    })
}

#[test]
fn random_problems() {
    let mut r = Random(11);
    let mut ran = 0;
    while ran < 300 {
        let groups = r.pick(&[1, 1, 1, 2, 3]);
        let (inputs, outputs) = (groups * (1 + r.below(20)), groups * (1 + r.below(20)));
        let x = [1 + r.below(2), inputs, 1 + r.below(9), 1 + r.below(9)];
        let mut two = |from: usize, n: usize| vec![from + r.below(n), from + r.below(n)];
        let (kernel, stride, dilation) = (two(1, 4), two(1, 4), two(1, 3));
        let (before, after, output_padding) = (two(0, 3), two(0, 3), two(0, 2));
        let extent = |i: usize| {
            ((x[2 + i] - 1) * stride[i] + (kernel[i] - 1) * dilation[i] + 1 + output_padding[i])
                .checked_sub(before[i] + after[i])
                .filter(|&e| e > 0)
        };
        let Some((h, w)) = extent(0).zip(extent(1)) else { continue };
        let a = ConvTransposeAttrs {
            padding: Padding::Explicit { before: before.clone(), after },
            kernel,
            stride,
            dilation,
            output_padding,
            output_shape: None,
            groups,
        };
        ran += check_case(&mut r, &x, outputs, &a, &[x[0], outputs, h, w], &before);
    }
}

#[test]
fn the_output_extent_decides_the_padding() {
    let mut r = Random(12);
    let x = [1, 8, 6, 5];
    let attrs = |padding: Padding, output_shape: Option<Vec<usize>>| ConvTransposeAttrs {
        kernel: vec![3, 4],
        stride: vec![2, 2],
        dilation: vec![1, 1],
        padding,
        output_padding: vec![0, 0],
        output_shape,
        groups: 1,
    };
    // Full extents are 13 and 12; 12 and 10 leave 1 and 2 to cut.
    let y = [1, 12, 12, 10];
    assert!(check_case(&mut r, &x, 12, &attrs(Padding::SameUpper, None), &y, &[0, 1]) > 0);
    assert!(check_case(&mut r, &x, 12, &attrs(Padding::SameLower, None), &y, &[1, 1]) > 0);
    assert!(check_case(&mut r, &x, 12, &attrs(Padding::none(2), Some(vec![12, 10])), &y, &[1, 1]) > 0);
}
