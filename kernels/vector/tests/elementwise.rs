//! Functions of one and two numbers.

mod support;

use paring_core::{
    DType, Tensor,
    op::{Act, Binary, CastAttrs, EpiOp, Op, Unary},
};
use support::{Case, Rng};

const SHAPES: [&[usize]; 6] = [&[1], &[3, 7], &[2, 5, 3, 3], &[1, 16, 9, 5], &[2, 19, 40, 33], &[70_001]];

#[test]
fn activations_agree_in_both_layouts() {
    let mut rng = Rng::new(1);
    for act in [
        Act::Relu,
        Act::LeakyRelu(0.1),
        Act::ThresholdedRelu(0.3),
        Act::Clamp { lo: 0.5, hi: 6.0 },
        Act::Sigmoid,
        Act::Tanh,
        Act::HardSigmoid { alpha: 0.2, beta: 0.5 },
        Act::HardSwish,
        Act::Swish(1.0),
        Act::Gelu,
        Act::GeluTanh,
        Act::Elu(0.7),
        Act::Selu { alpha: 1.67, gamma: 1.05 },
        Act::Celu(1.2),
        Act::Softplus,
        Act::Softsign,
        Act::Mish,
        Act::Shrink { bias: 0.1, lambda: 0.4 },
        Act::Grid { scale: 0.125, lo: -5.0, hi: 10.0 },
    ] {
        for shape in SHAPES {
            let x = rng.tensor(DType::F32, shape);
            let case = Case::new(Op::Activation(act)).input(x).output(DType::F32, shape);
            if shape.len() >= 2 { case.check_blocked() } else { drop(case.check()) }
        }
    }
}

#[test]
fn unary_functions_agree_in_both_layouts() {
    use Unary::*;
    let mut rng = Rng::new(2);
    for f in [
        Abs, Neg, Exp, Log, Sqrt, Reciprocal, Floor, Ceil, Round, Sign, Erf, Sin, Cos, Tan, Asin, Acos, Atan, Sinh,
        Cosh, Asinh, Acosh, Atanh,
    ] {
        for shape in &SHAPES[..4] {
            let x = rng.tensor(DType::F32, shape);
            Case::new(Op::Unary(f)).input(x).output(DType::F32, shape).tolerance(2e-6).check();
        }
    }
    let special = Tensor::new(&[5], &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, 1.0]).unwrap();
    for f in [IsNan, IsInf { positive: true, negative: true }, IsInf { positive: false, negative: true }] {
        Case::new(Op::Unary(f)).input(special.clone()).output(DType::Bool, &[5]).check();
    }
    // Angles that vectors reduce, and others among and behind them.
    let angles: Vec<f32> = (0..203)
        .map(|i| [1.5, 700.0, 1e4, 1e6, 3e38, f32::NAN, f32::INFINITY][i * i % 7] * (i as f32 - 70.3) / 70.0)
        .collect();
    for f in [Sin, Cos] {
        let x = Tensor::new(&[203], &angles).unwrap();
        Case::new(Op::Unary(f)).input(x).output(DType::F32, &[203]).check();
    }
    for f in [Sign, Floor, Ceil, Round, Neg, Abs, Exp, Log, Sin, Cos, Erf] {
        Case::new(Op::Unary(f)).input(special.clone()).output(DType::F32, &[5]).check();
    }
    let x = rng.tensor(DType::Bool, &[33]);
    Case::new(Op::Unary(Not)).input(x).output(DType::Bool, &[33]).check();
    for f in [Neg, Abs, Sign] {
        let x = rng.tensor(DType::I64, &[33]);
        Case::new(Op::Unary(f)).input(x).output(DType::I64, &[33]).check();
    }
}

const PAIRS: [(&[usize], &[usize]); 14] = [
    (&[2, 5, 3, 3], &[2, 5, 3, 3]),
    (&[2, 5, 3, 3], &[]),
    (&[2, 19, 6, 7], &[19, 1, 1]),
    (&[2, 16, 6, 7], &[1, 16, 1, 1]),
    (&[2, 16, 6, 7], &[2, 16, 1, 1]),
    (&[2, 19, 6, 7], &[2, 1, 6, 7]),
    (&[1, 19, 1, 1], &[2, 19, 6, 7]),
    (&[4, 1, 5], &[1, 6, 5]),
    (&[3, 1, 1, 7], &[1, 2, 5, 1]),
    (&[64, 300], &[300]),
    (&[1, 24, 64, 64], &[1, 24, 64, 64]),
    (&[70_000], &[1]),
    (&[40, 30, 3], &[3]),
    (&[7], &[5, 29, 7]),
];

fn broadcast(a: &[usize], b: &[usize]) -> Vec<usize> {
    paring_core::broadcast(a, b).unwrap()
}

#[test]
fn binary_functions_agree_however_they_broadcast() {
    use Binary::*;
    let mut rng = Rng::new(3);
    for (a, b) in PAIRS {
        let y = broadcast(a, b);
        for f in [Add, Sub, Mul, Div, Min, Max, PRelu, Mod, Fmod] {
            let (ta, tb) = (rng.tensor(DType::F32, a), rng.tensor(DType::F32, b));
            Case::new(Op::Binary(f)).input(ta.clone()).input(tb.clone()).output(DType::F32, &y).check();
            Case::new(Op::Binary(f)).input(ta.clone()).constant(tb.clone()).output(DType::F32, &y).check();
            Case::new(Op::Binary(f)).constant(tb).input(ta).output(DType::F32, &y).check();
        }
        for f in [Equal, Greater, GreaterOrEqual, Less, LessOrEqual] {
            let (ta, tb) = (rng.tensor(DType::F32, a), rng.tensor(DType::F32, b));
            Case::new(Op::Binary(f)).input(ta).input(tb).output(DType::Bool, &y).check();
        }
    }
}

#[test]
fn per_channel_operands_do_not_leave_the_blocked_layout() {
    let mut rng = Rng::new(4);
    for (a, b) in &PAIRS[..6] {
        let (ta, tb) = (rng.tensor(DType::F32, a), rng.tensor(DType::F32, b));
        Case::new(Op::Binary(Binary::Div)).input(ta).constant(tb).output(DType::F32, a).check_blocked();
    }
}

#[test]
fn powers_agree() {
    let mut rng = Rng::new(5);
    let x = rng.tensor(DType::F32, &[2, 9, 5]);
    let base = Tensor::new(&[2, 9, 5], &x.elements::<f32>().unwrap().iter().map(|v| v.abs() + 0.1).collect::<Vec<_>>());
    for e in [2.0f32, 0.5, 3.0, -1.5] {
        let exponent = Tensor::new(&[], &[e]).unwrap();
        let case = Case::new(Op::Binary(Binary::Pow)).input(base.clone().unwrap()).constant(exponent);
        case.output(DType::F32, &[2, 9, 5]).check();
    }
    let two = Tensor::new(&[1], &[2.0f32]).unwrap();
    Case::new(Op::Binary(Binary::Pow)).input(x).constant(two).output(DType::F32, &[2, 9, 5]).check();
}

#[test]
fn extremes_keep_nan() {
    let a = Tensor::new(&[4], &[f32::NAN, 1.0, f32::NAN, -0.0]).unwrap();
    let b = Tensor::new(&[4], &[1.0, f32::NAN, f32::NAN, 0.0]).unwrap();
    for f in [Binary::Min, Binary::Max] {
        Case::new(Op::Binary(f)).input(a.clone()).input(b.clone()).output(DType::F32, &[4]).check();
    }
}

#[test]
fn epilogues_are_fused() {
    let mut rng = Rng::new(6);
    for shape in [&[1, 13, 6, 7][..], &[2, 24, 40, 40]] {
        let (a, b, r) = (rng.tensor(DType::F32, shape), rng.tensor(DType::F32, shape), rng.tensor(DType::F32, shape));
        for steps in [
            vec![EpiOp::Act(Act::Relu)],
            vec![EpiOp::Act(Act::Sigmoid), EpiOp::Residual { input: 2 }],
            vec![EpiOp::Residual { input: 2 }, EpiOp::Act(Act::HardSwish)],
        ] {
            let mut case = Case::new(Op::Binary(Binary::Add)).input(a.clone()).input(b.clone()).input(r.clone());
            for &s in &steps {
                case = case.epilogue(s);
            }
            case.output(DType::F32, shape).check_blocked();
            let m = paring_kernel::Machine::generic(paring_simd::detect());
            let case = case_of_relu(&a, &steps[..1]);
            for k in paring_vector::KERNELS.iter().filter(|k| k.descriptor().name.starts_with("binary_f32")) {
                let mut offers = Vec::new();
                k.offers(&case.problem, &m, &mut offers).unwrap();
                let fusable = !matches!(steps[0], EpiOp::Residual { .. });
                assert!(offers.iter().all(|o| (o.fused == 1) == fusable));
            }
        }
    }
}

fn case_of_relu(a: &Tensor, steps: &[EpiOp]) -> Case {
    let mut case = Case::new(Op::Binary(Binary::Add)).input(a.clone()).input(a.clone());
    for &s in steps {
        case = case.epilogue(s);
    }
    case.output(DType::F32, a.shape())
}

#[test]
fn integers_and_booleans_agree() {
    use Binary::*;
    let mut rng = Rng::new(7);
    for dtype in [DType::I64, DType::I32] {
        for (a, b) in [PAIRS[0], PAIRS[1], PAIRS[7], PAIRS[8]] {
            let y = broadcast(a, b);
            for f in [Add, Sub, Mul, Min, Max, Pow, BitAnd, BitOr, BitXor, Equal, Less, Greater, LessOrEqual] {
                let (ta, tb) = (rng.tensor(dtype, a), rng.tensor(dtype, b));
                let out = if f.is_comparison() { DType::Bool } else { dtype };
                Case::new(Op::Binary(f)).input(ta).input(tb).output(out, &y).check();
            }
            let divisors: Vec<i64> = (0..b.iter().product::<usize>() as i64).map(|i| i % 5 - 7).collect();
            let signed = Tensor::new(b, &divisors).unwrap();
            if dtype == DType::I64 {
                for f in [Div, Mod, Fmod] {
                    let ta = rng.tensor(dtype, a);
                    Case::new(Op::Binary(f)).input(ta).input(signed.clone()).output(dtype, &y).check();
                }
                let shifts = Tensor::new(b, &divisors.iter().map(|d| d + 7).collect::<Vec<_>>()).unwrap();
                for f in [ShiftLeft, ShiftRight] {
                    let ta = rng.tensor(dtype, a);
                    Case::new(Op::Binary(f)).input(ta).input(shifts.clone()).output(dtype, &y).check();
                }
            }
        }
    }
    for f in [And, Or, Xor, Equal] {
        let (a, b) = (rng.tensor(DType::Bool, &[3, 7]), rng.tensor(DType::Bool, &[7]));
        Case::new(Op::Binary(f)).input(a).input(b).output(DType::Bool, &[3, 7]).check();
    }
}

#[test]
fn division_by_zero_is_an_error() {
    let (a, b) = (Tensor::from_i64s(&[1, 2]), Tensor::from_i64s(&[1, 0]));
    let case = Case::new(Op::Binary(Binary::Div)).input(a).input(b).output(DType::I64, &[2]);
    let m = paring_kernel::Machine::generic(paring_simd::detect());
    let k = paring_vector::KERNELS.iter().find(|k| k.descriptor().name == "scalar").unwrap();
    let mut offers = Vec::new();
    k.offers(&case.problem, &m, &mut offers).unwrap();
    let result = case.run(*k, &offers[0], &paring_kernel::Serial, None);
    assert!(matches!(result, Err(paring_kernel::KernelError::Data(_))));
}

#[test]
fn choices_and_conversions_agree() {
    let mut rng = Rng::new(8);
    for (a, b) in [PAIRS[0], PAIRS[1], PAIRS[7], PAIRS[8], PAIRS[11]] {
        let y = broadcast(a, b);
        for dtype in [DType::F32, DType::I64, DType::Bool, DType::F16] {
            let (c, ta, tb) = (rng.tensor(DType::Bool, a), rng.tensor(dtype, b), rng.tensor(dtype, &y));
            Case::new(Op::Where).input(c).input(ta).input(tb).output(dtype, &y).check();
        }
    }
    let special = Tensor::new(&[6], &[f32::NAN, f32::INFINITY, -1e30, 2.9, -2.9, 0.0]).unwrap();
    let types = [DType::F32, DType::F64, DType::I64, DType::I32, DType::I8, DType::U8, DType::Bool];
    for to in types {
        Case::new(Op::Cast(CastAttrs { to })).input(special.clone()).output(to, &[6]).check();
        for from in [DType::F32, DType::I64, DType::I32, DType::Bool, DType::I8, DType::U8] {
            let x = rng.tensor(from, &[5, 67]);
            Case::new(Op::Cast(CastAttrs { to })).input(x).output(to, &[5, 67]).check();
        }
    }
    // Around the ends of every range, in groups that hold one too large for 32 bits and in groups that do not.
    let ends =
        [0.0f32, 0.99, 127.0, 128.0, 254.9, 255.0, 256.0, 2_147_483_520.0, 2_147_483_648.0, 9.2e18, 9.3e18, 1e-45];
    let mut values: Vec<f32> = ends.iter().flat_map(|&v| [v, -v]).collect();
    values.extend((0..500).map(|i| if i == 300 { f32::NAN } else { (i - 250) as f32 * 1.37 }));
    for to in [DType::I64, DType::I32, DType::I8, DType::U8, DType::Bool] {
        let x = Tensor::new(&[values.len()], &values).unwrap();
        Case::new(Op::Cast(CastAttrs { to })).input(x).output(to, &[values.len()]).check();
        let x = rng.tensor(DType::F32, &[70_001]);
        Case::new(Op::Cast(CastAttrs { to })).input(x).output(to, &[70_001]).check();
    }
    for to in [DType::F16, DType::BF16] {
        let x = rng.tensor(DType::F32, &[5, 67]);
        Case::new(Op::Cast(CastAttrs { to })).input(x).output(to, &[5, 67]).check();
        let x = rng.tensor(to, &[5, 67]);
        Case::new(Op::Cast(CastAttrs { to: DType::F32 })).input(x).output(DType::F32, &[5, 67]).check();
    }
}
