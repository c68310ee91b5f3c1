//! Direct convolution against its definition in `f64`.

mod support;

use paring_core::{
    DType, Op,
    op::{ConvAttrs, Padding},
};
use paring_kernel::{Operand, Problem};
use support::*;

const NAMES: &[&str] = &["conv_direct"];

/// A convolution over the given input shape with random operands.
struct Case {
    x: Vec<usize>,
    outputs: usize,
    attrs: ConvAttrs,
}

impl Case {
    fn new(x: &[usize], outputs: usize, kernel: &[usize]) -> Case {
        let axes = kernel.len();
        let attrs = ConvAttrs {
            kernel: kernel.to_vec(),
            stride: vec![1; axes],
            dilation: vec![1; axes],
            padding: Padding::none(axes),
            groups: 1,
            select: None,
        };
        Case { x: x.to_vec(), outputs, attrs }
    }

    fn depth(&self) -> usize {
        self.attrs.select.as_ref().map_or(self.x[1], Vec::len) / self.attrs.groups
    }

    fn pads(&self, axis: usize) -> (usize, usize) {
        let a = &self.attrs;
        a.padding.resolve(axis, self.x[2 + axis], a.kernel[axis], a.stride[axis], a.dilation[axis])
    }

    /// The output's shape; `None` where the window does not fit.
    fn output(&self) -> Option<Vec<usize>> {
        let a = &self.attrs;
        let mut y = vec![self.x[0], self.outputs];
        for i in 0..a.kernel.len() {
            let (before, after) = self.pads(i);
            let span = (a.kernel[i] - 1) * a.dilation[i] + 1;
            y.push((self.x[2 + i] + before + after).checked_sub(span)? / a.stride[i] + 1);
        }
        Some(y)
    }

    fn check(&self, r: &mut Random) -> usize {
        let y = self.output().expect("an output");
        let mut w = vec![self.outputs, self.depth()];
        w.extend(&self.attrs.kernel);
        let sum: usize = w[1..].iter().product();
        let mut data = vec![r.floats(self.x.iter().product()), r.weights(w.iter().product(), sum)];
        let mut inputs = vec![Some(operand(&self.x, &data[0], false)), Some(operand(&w, &data[1], true))];
        let epilogue = epilogue(r, &y, 1, &mut inputs, &mut data);
        let p = Problem {
            name: "conv".into(),
            op: Op::Conv(self.attrs.clone()),
            inputs,
            outputs: vec![Some(Operand::new(DType::F32, &y))],
            epilogue,
            numerics: Default::default(),
        };
        let sums = self.oracle(&data[0], &data[1], &y);
        check(&p, &data, NAMES, |fused| {
            let mut y = sums.clone();
            apply(&p, fused, 1, &data, &mut y);
            y
        })
    }

    /// The definition.
    fn oracle(&self, x: &[f32], w: &[f32], y: &[usize]) -> Vec<f64> {
        let (a, depth) = (&self.attrs, self.depth());
        let three = |v: &[usize], fill: usize| {
            let mut t = vec![fill; 3 - v.len()];
            t.extend(v);
            t
        };
        let (input, output) = (three(&self.x[2..], 1), three(&y[2..], 1));
        let (kernel, stride, dilation) = (three(&a.kernel, 1), three(&a.stride, 1), three(&a.dilation, 1));
        let before = three(&(0..a.kernel.len()).map(|i| self.pads(i).0).collect::<Vec<_>>(), 0);
        let mut sums = vec![];
        let each = |e: &[usize]| {
            let e = e.to_vec();
            (0..e[0] * e[1] * e[2]).map(move |i| [i / (e[1] * e[2]), i / e[2] % e[1], i % e[2]])
        };
        for n in 0..y[0] {
            for m in 0..y[1] {
                let group = m / (y[1] / a.groups);
                for o in each(&output) {
                    let mut sum = 0.0;
                    for k in 0..depth {
                        let c = group * depth + k;
                        let c = a.select.as_ref().map_or(c, |s| s[c] as usize);
                        for (t, tap) in each(&kernel).enumerate() {
                            let at: Vec<_> = (0..3)
                                .map(|i| (o[i] * stride[i] + tap[i] * dilation[i]).wrapping_sub(before[i]))
                                .collect();
                            if (0..3).all(|i| at[i] < input[i]) {
                                let at =
                                    (((n * self.x[1] + c) * input[0] + at[0]) * input[1] + at[1]) * input[2] + at[2];
                                let taps: usize = kernel.iter().product();
                                sum += f64::from(x[at]) * f64::from(w[(m * depth + k) * taps + t]);
                            }
                        }
                    }
                    sums.push(sum);
                }
            }
        }
        sums
    }
}

#[test]
fn layers_of_well_known_networks() {
    let mut r = Random(1);
    for (x, outputs, kernel, stride, pad) in [
        ([1, 3, 40, 36], 64, 7, 2, 3),
        ([1, 64, 14, 14], 64, 3, 1, 1),
        ([1, 64, 14, 14], 256, 1, 1, 0),
        ([1, 64, 14, 14], 128, 1, 2, 0),
        ([1, 24, 14, 14], 144, 1, 1, 0),
        ([1, 144, 7, 7], 24, 1, 1, 0),
        ([1, 58, 7, 7], 58, 1, 1, 0),
        ([2, 116, 7, 7], 20, 1, 1, 0),
        ([1, 256, 7, 7], 40, 3, 1, 1),
        ([1, 64, 13, 13], 17, 3, 2, 1),
        ([1, 3, 33, 31], 32, 3, 2, 1),
    ] {
        let mut case = Case::new(&x, outputs, &[kernel; 2]);
        case.attrs.stride = vec![stride; 2];
        case.attrs.padding = Padding::Explicit { before: vec![pad; 2], after: vec![pad; 2] };
        assert!(case.check(&mut r) > 0);
    }
}

#[test]
fn groups_of_any_size() {
    let mut r = Random(2);
    for (inputs, outputs, groups) in [
        (24, 60, 3),
        (60, 240, 3),
        (64, 64, 8),
        (32, 32, 8),
        (20, 30, 10),
        (16, 16, 16),
        (9, 27, 9),
        (48, 32, 2),
        (34, 6, 2),
    ] {
        for kernel in [1, 3] {
            let mut case = Case::new(&[2, inputs, 6, 7], outputs, &[kernel; 2]);
            case.attrs.groups = groups;
            case.attrs.padding = Padding::SameUpper;
            assert!(case.check(&mut r) > 0);
        }
    }
}

#[test]
fn selected_channels() {
    let mut r = Random(3);
    let shuffled: Vec<u32> = (0..48).map(|i| (i % 3) * 16 + i / 3).collect();
    let second_half: Vec<u32> = (24..48).collect();
    let odd_half: Vec<u32> = (0..48).filter(|i| i % 2 == 1).collect();
    let repeated: Vec<u32> = vec![47, 0, 0, 13, 5];
    for (select, groups) in [(shuffled.clone(), 1), (shuffled, 3), (second_half, 1), (odd_half, 2), (repeated, 1)] {
        for kernel in [1, 3] {
            let mut case = Case::new(&[1, 48, 5, 6], 24, &[kernel; 2]);
            case.attrs.select = Some(select.clone());
            case.attrs.groups = groups;
            case.attrs.padding = Padding::Explicit { before: vec![kernel / 2; 2], after: vec![1, 2] };
            assert!(case.check(&mut r) > 0);
        }
    }
}

#[test]
fn one_and_three_spatial_axes() {
    let mut r = Random(4);
    let mut case = Case::new(&[2, 20, 50], 33, &[5]);
    case.attrs.padding = Padding::SameLower;
    case.attrs.stride = vec![2];
    assert!(case.check(&mut r) > 0);
    let mut case = Case::new(&[2, 8, 5, 6, 7], 24, &[3, 2, 3]);
    case.attrs.padding = Padding::Explicit { before: vec![1, 0, 2], after: vec![0, 1, 1] };
    case.attrs.dilation = vec![1, 2, 1];
    case.attrs.stride = vec![2, 1, 1];
    assert!(case.check(&mut r) > 0);
}

#[test]
fn random_problems() {
    let mut r = Random(5);
    let mut ran = 0;
    while ran < 500 {
        let groups = r.pick(&[1, 1, 1, 1, 2, 3, 4]);
        let (inputs, outputs) = (groups * (1 + r.below(24)), groups * (1 + r.below(40)));
        let x = [1 + r.below(3), inputs, 1 + r.below(14), 1 + r.below(14)];
        let mut case = Case::new(&x, outputs, &[1 + r.below(4), 1 + r.below(4)]);
        case.attrs.groups = groups;
        case.attrs.stride = vec![1 + r.below(3), 1 + r.below(3)];
        case.attrs.dilation = vec![1 + r.below(2), 1 + r.below(2)];
        let pads = |r: &mut Random| vec![r.below(3), r.below(3)];
        let explicit = Padding::Explicit { before: pads(&mut r), after: pads(&mut r) };
        case.attrs.padding = match r.below(4) {
            0 => Padding::SameUpper,
            1 => Padding::SameLower,
            _ => explicit,
        };
        if case.output().is_some() {
            ran += case.check(&mut r);
        }
    }
}
