//! Operators about the order of elements.

mod support;

use paring_core::{DType, Tensor, op::*};
use support::{Case, Rng};

/// Numbers of which many are equal, zeros of both signs and infinities among them; one in `nans` is NaN.
fn ties(rng: &mut Rng, shape: &[usize], nans: Option<u64>) -> Tensor {
    let n: usize = shape.iter().product();
    let few = [0.0, -0.0, 1.5, -1.5, 1e-40, f32::INFINITY, f32::NEG_INFINITY, -3.0];
    let mut one = || match nans {
        Some(every) if (rng.next() >> 20).is_multiple_of(every) => {
            [f32::NAN, -f32::NAN][(rng.next() >> 40) as usize % 2]
        }
        _ => few[(rng.next() >> 40) as usize % few.len()],
    };
    Tensor::new(shape, &(0..n).map(|_| one()).collect::<Vec<f32>>()).unwrap()
}

/// Inputs of a shape: all different, many equal, NaN here and there, nothing else.
fn inputs(rng: &mut Rng, shape: &[usize]) -> [Tensor; 6] {
    let n = shape.iter().product();
    [
        rng.tensor(DType::F32, shape),
        ties(rng, shape, None),
        ties(rng, shape, Some(7)),
        ties(rng, shape, Some(100)),
        ties(rng, shape, Some(1)),
        Tensor::new(shape, &vec![f32::NEG_INFINITY; n]).unwrap(),
    ]
}

#[test]
fn places_of_extremes_agree_along_any_axis() {
    let mut rng = Rng::new(1);
    for (shape, axis) in [
        (&[5][..], 0),
        (&[1], -1),
        (&[3, 1, 4], 1),
        (&[3, 7], -1),
        (&[3, 8], 1),
        (&[40, 39], 1),
        (&[40, 80], 1),
        (&[2, 257], 1),
        (&[2, 1100], -1),
        (&[9, 1], 0),
        (&[2, 5, 3], 1),
        (&[2, 21, 17, 31], 1),
        (&[3, 300, 2, 4], -3),
        (&[50, 1030], 0),
    ] {
        for x in inputs(&mut rng, shape) {
            for (max, last, keep_dims) in
                [(true, false, true), (true, true, false), (false, false, false), (false, true, true)]
            {
                let at = if axis < 0 { axis + shape.len() as i64 } else { axis } as usize;
                let mut y = shape.to_vec();
                y.splice(at..at + 1, keep_dims.then_some(1));
                let op = Op::ArgReduce(ArgReduceAttrs { max, axis, keep_dims, last });
                Case::new(op).input(x.clone()).output(DType::I64, &y).check();
            }
        }
    }
}

#[test]
fn first_few_agree_along_any_axis() {
    let mut rng = Rng::new(2);
    for (shape, axis, k) in [
        (&[5][..], 0, 5),
        (&[1], -1, 1),
        (&[40], 0, 1),
        (&[3, 17], -1, 2),
        (&[4, 1000], 1, 300),
        (&[1, 5000], 1, 40),
        (&[300, 200], -1, 7),
        (&[100, 41], 0, 20),
        (&[2, 60, 3, 5], 1, 33),
        (&[2, 60, 1], -2, 59),
    ] {
        let at = if axis < 0 { axis + shape.len() as i64 } else { axis } as usize;
        let mut y = shape.to_vec();
        y[at] = k;
        for x in inputs(&mut rng, shape) {
            for (largest, sorted) in [(true, true), (false, true), (true, false)] {
                let case = Case::new(Op::TopK(TopKAttrs { axis, largest, sorted })).input(x.clone());
                let both = case.i64s(&[k as i64]).output(DType::F32, &y).output(DType::I64, &y);
                both.check();
                let case = Case::new(both.problem.op.clone()).input(x.clone()).i64s(&[k as i64]);
                case.unwanted().output(DType::I64, &y).check();
                // The kernel need not read how many: the shape of the output says so.
                let case = Case::new(both.problem.op.clone()).input(x.clone());
                case.input(Tensor::from_i64s(&[k as i64])).output(DType::F32, &y).unwanted().check();
            }
        }
    }
}

#[test]
fn running_sums_agree_along_any_axis() {
    let mut rng = Rng::new(3);
    for dtype in [DType::F32, DType::I32, DType::I64] {
        for (shape, axis) in
            [(&[9][..], 0), (&[1, 1], -1), (&[5, 300], 1), (&[2, 40, 130], 1), (&[70, 64], -2), (&[2, 3, 7, 5], 2)]
        {
            for (exclusive, reverse) in [(false, false), (true, false), (false, true), (true, true)] {
                let op = Op::CumSum(CumSumAttrs { exclusive, reverse });
                let case = Case::new(op).input(rng.tensor(dtype, shape)).constant(Tensor::new(&[], &[axis]).unwrap());
                case.output(dtype, shape).check();
            }
        }
    }
    let far = Tensor::new(&[3], &[i32::MAX, 1, i32::MAX]).unwrap();
    let case = Case::new(Op::CumSum(CumSumAttrs { exclusive: false, reverse: false })).input(far);
    case.constant(Tensor::new(&[1], &[0i32]).unwrap()).output(DType::I32, &[3]).check();
}
