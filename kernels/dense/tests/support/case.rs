//! Convolutions with random operands.

use super::*;
use paring_core::{
    Op,
    op::{ConvAttrs, Padding},
};
use paring_kernel::Numerics;

/// A convolution over the given input shape with random operands.
pub struct Case {
    pub x: Vec<usize>,
    pub outputs: usize,
    pub attrs: ConvAttrs,
    pub numerics: Numerics,
}

impl Case {
    pub fn new(x: &[usize], outputs: usize, kernel: &[usize]) -> Case {
        let axes = kernel.len();
        let attrs = ConvAttrs {
            kernel: kernel.to_vec(),
            stride: vec![1; axes],
            dilation: vec![1; axes],
            padding: Padding::none(axes),
            groups: 1,
            select: None,
        };
        Case { x: x.to_vec(), outputs, attrs, numerics: Numerics::Default }
    }

    fn depth(&self) -> usize {
        self.attrs.select.as_ref().map_or(self.x[1], Vec::len) / self.attrs.groups
    }

    fn pads(&self, axis: usize) -> (usize, usize) {
        let a = &self.attrs;
        a.padding.resolve(axis, self.x[2 + axis], a.kernel[axis], a.stride[axis], a.dilation[axis])
    }

    /// The output's shape; `None` where the window does not fit.
    pub fn output(&self) -> Option<Vec<usize>> {
        let a = &self.attrs;
        let mut y = vec![self.x[0], self.outputs];
        for i in 0..a.kernel.len() {
            let (before, after) = self.pads(i);
            let span = (a.kernel[i] - 1) * a.dilation[i] + 1;
            y.push((self.x[2 + i] + before + after).checked_sub(span)? / a.stride[i] + 1);
        }
        Some(y)
    }

    /// The problem with a random epilogue, and the data of its inputs.
    pub fn problem(&self, r: &mut Random) -> (Problem, Vec<Vec<f32>>) {
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
            numerics: self.numerics,
        };
        (p, data)
    }

    /// Checks the kernels whose name starts with one of `names`. The number of offers that ran.
    pub fn check(&self, r: &mut Random, names: &[&str], tolerance: f64) -> usize {
        let (p, data) = self.problem(r);
        let sums = self.oracle(&data[0], &data[1], &p.output(0).expect("an output").shape);
        check_within(&p, &data, names, tolerance, |fused| {
            let mut y = sums.clone();
            apply(&p, fused, 1, &data, &mut y);
            y
        })
    }

    /// A problem whose outputs are pooled by two along both axes, the data of its inputs, and its definition's result.
    pub fn pooled(&self, r: &mut Random) -> (Problem, Vec<Vec<f32>>, Vec<f64>) {
        let (mut p, data) = self.problem(r);
        let y = p.output(0).expect("an output").shape.clone();
        let mut large = self.oracle(&data[0], &data[1], &y);
        apply(&p, p.epilogue.len(), 1, &data, &mut large);
        let (h, w) = (y[2] / 2, y[3] / 2);
        let first = |i: usize| (i / w / h * y[2] + 2 * (i / w % h)) * y[3] + 2 * (i % w);
        let window = |i: usize| [0, 1, y[3], y[3] + 1].map(|offset| large[first(i) + offset]);
        let largest = |i: usize| window(i).into_iter().fold(f64::NEG_INFINITY, f64::max);
        let expected = (0..y[0] * y[1] * h * w).map(largest).collect();
        p.outputs = vec![Some(Operand::new(DType::F32, &[y[0], y[1], h, w]))];
        p.epilogue.push(EpiOp::MaxPool);
        (p, data, expected)
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
            let e = [e[0], e[1], e[2]];
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
                            let at =
                                [0, 1, 2].map(|i| (o[i] * stride[i] + tap[i] * dilation[i]).wrapping_sub(before[i]));
                            if at[0] < input[0] && at[1] < input[1] && at[2] < input[2] {
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
