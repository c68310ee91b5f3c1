//! What the ONNX cases do not say: this project's own attributes, wrapping arithmetic, corner shapes, bad data.

mod common;

use common::{error, eval, f32s, out, problem, t};
use half::f16;
use paring_core::{DType, Op, Tensor, op::*};
use paring_reference::{evaluate, evaluate_dynamic};
use std::slice::from_ref;

fn conv(kernel: usize, groups: usize, select: Option<Vec<u32>>) -> Op {
    Op::Conv(ConvAttrs {
        kernel: vec![kernel; 2],
        stride: vec![1; 2],
        dilation: vec![1; 2],
        padding: Padding::none(2),
        groups,
        select,
    })
}

#[test]
fn a_convolution_reads_the_channels_it_selects() {
    let x = t(&[1, 4, 1, 2], &[1f32, 2., 10., 20., 100., 200., 1000., 2000.]);
    let w = t(&[2, 2, 1, 1], &[1f32, 2., 3., 4.]);
    let y = eval(conv(1, 2, Some(vec![3, 0, 1, 1])), &[x.clone(), w.clone()], DType::F32, &[1, 2, 1, 2]).unwrap();
    assert_eq!(f32s(&y), [1002., 2004., 70., 140.]);
    let y = eval(conv(1, 2, None), &[x.clone(), w.clone()], DType::F32, &[1, 2, 1, 2]).unwrap();
    assert_eq!(f32s(&y), [21., 42., 4300., 8600.]);
    let why = error(conv(1, 2, Some(vec![3, 0, 1, 4])), &[x, w], DType::F32, &[1, 2, 1, 2]);
    assert!(why.contains("selected channel"), "{why}");
}

#[test]
fn a_strided_dilated_padded_convolution_agrees_with_the_sum_by_hand() {
    let op = Op::Conv(ConvAttrs {
        kernel: vec![2],
        stride: vec![2],
        dilation: vec![3],
        padding: Padding::Explicit { before: vec![2], after: vec![1] },
        groups: 1,
        select: None,
    });
    // Padded: 0 0 1 2 3 4 5 0; windows start at 0, 2, 4 and read elements 0 and 3 of each.
    let (x, w) = (t(&[1, 1, 5], &[1f32, 2., 3., 4., 5.]), t(&[1, 1, 2], &[10f32, 1.]));
    let y = eval(op, &[x, w], DType::F32, &[1, 1, 3]).unwrap();
    assert_eq!(f32s(&y), [2., 14., 30.]);
}

#[test]
fn epilogue_steps_apply_in_order_per_channel_of_a_convolution() {
    let x = t(&[1, 1, 1, 2], &[1f32, -2.]);
    let w = t(&[2, 1, 1, 1], &[1f32, 2.]);
    let inputs = [
        Some(x),
        Some(w),
        Some(t(&[2], &[1f32, -1.])),
        Some(t(&[2], &[10f32, 100.])),
        Some(t(&[1, 2, 1, 2], &[0.5f32, 0.5, 0.25, 0.25])),
        Some(t(&[2], &[0.1f32, 0.01])),
    ];
    let steps = [
        EpiOp::Bias { input: 2 },
        EpiOp::Scale { input: 3 },
        EpiOp::Residual { input: 4 },
        EpiOp::PRelu { input: 5 },
        EpiOp::Act(Act::Clamp { lo: f32::NEG_INFINITY, hi: 50.0 }),
    ];
    let p = problem(conv(1, 1, None), &inputs, vec![out(DType::F32, &[1, 2, 1, 2])], &steps);
    let y = evaluate(&p, &[]).unwrap().remove(0).unwrap();
    assert_eq!(f32s(&y), [20.5, -0.95, 50.0, -4.9975]);
}

#[test]
fn an_epilogue_rounds_once() {
    // 2048 + 1 is not an f16: rounding before the residual is added would lose the 1.
    let h = |v: f32| f16::from_f32(v);
    let inputs =
        [Some(t(&[1, 2], &[h(2048.), h(1.)])), Some(t(&[2, 1], &[h(1.), h(1.)])), Some(t(&[1, 1], &[h(-2048.)]))];
    let p = problem(
        Op::Dense(DenseAttrs { transposed: false }),
        &inputs,
        vec![out(DType::F16, &[1, 1])],
        &[EpiOp::Residual { input: 2 }],
    );
    let y = evaluate(&p, &[]).unwrap().remove(0).unwrap();
    assert_eq!(y.to_f64s().unwrap(), [1.0]);
}

#[test]
fn an_epilogue_follows_moved_elements_along_the_last_axis() {
    let inputs = [Some(t(&[2, 2], &[1f32, 2., 3., 4.])), Some(t(&[2], &[10f32, 20.]))];
    let op = Op::Transpose(TransposeAttrs { perm: None });
    let p = problem(op, &inputs, vec![out(DType::F32, &[2, 2])], &[EpiOp::Bias { input: 1 }]);
    assert_eq!(f32s(evaluate(&p, &[]).unwrap()[0].as_ref().unwrap()), [11., 23., 12., 24.]);
}

#[test]
fn an_operand_of_the_epilogue_is_no_optional_input() {
    let inputs = [Some(t(&[1, 2], &[1f32, 3.])), None, None, Some(t(&[2], &[5f32, 6.]))];
    let op = Op::LayerNorm(LayerNormAttrs { axis: -1, epsilon: 0.0, rms: false });
    let p = problem(op, &inputs, vec![out(DType::F32, &[1, 2])], &[EpiOp::Bias { input: 3 }]);
    assert_eq!(f32s(evaluate(&p, &[]).unwrap()[0].as_ref().unwrap()), [4., 7.]);
}

#[test]
fn dense_weights_may_be_transposed() {
    let x = t(&[2, 3], &[1f32, 2., 3., 4., 5., 6.]);
    let w = t(&[2, 3], &[1f32, 0., 1., 0., 1., 0.]);
    let y = eval(Op::Dense(DenseAttrs { transposed: true }), &[x, w], DType::F32, &[2, 2]).unwrap();
    assert_eq!(f32s(&y), [4., 2., 10., 5.]);
}

#[test]
fn integer_arithmetic_wraps() {
    let eval = |b, x: i8, y: i8| {
        let y = eval(Op::Binary(b), &[t(&[1], &[x]), t(&[1], &[y])], DType::I8, &[1]).unwrap();
        y.to_i64s().unwrap()[0]
    };
    assert_eq!(eval(Binary::Add, 127, 1), -128);
    assert_eq!(eval(Binary::Mul, 16, 17), 16);
    assert_eq!(eval(Binary::Div, -7, 2), -3);
    assert_eq!(eval(Binary::Div, -128, -1), -128);
    assert_eq!(eval(Binary::Mod, -7, 3), 2);
    assert_eq!(eval(Binary::Mod, 7, -3), -2);
    assert_eq!(eval(Binary::Fmod, -7, 3), -1);
    assert_eq!(eval(Binary::Pow, 3, 5), -13);
    assert_eq!(eval(Binary::Pow, 2, -1), 0);
}

#[test]
fn wide_integers_keep_every_bit() {
    let big = i64::MAX - 1;
    let y = eval(Op::Binary(Binary::Add), &[t(&[1], &[big]), t(&[1], &[1i64])], DType::I64, &[1]).unwrap();
    assert_eq!(y.to_i64s().unwrap(), [i64::MAX]);
    let op = Op::Cast(CastAttrs { to: DType::U8 });
    let y = eval(op, &[t(&[3], &[256i64 + 7, -1, i64::MIN])], DType::U8, &[3]).unwrap();
    assert_eq!(y.to_i64s().unwrap(), [7, 255, 0]);
}

#[test]
fn a_cast_of_a_float_saturates() {
    let x = t(&[5], &[300f32, -300., f32::NAN, -1.9, f32::INFINITY]);
    let y = eval(Op::Cast(CastAttrs { to: DType::I8 }), &[x], DType::I8, &[5]).unwrap();
    assert_eq!(y.to_i64s().unwrap(), [127, -128, 0, -1, 127]);
}

#[test]
fn minimum_maximum_and_activations_keep_nan() {
    let x = t(&[2], &[f32::NAN, 1.]);
    for b in [Binary::Min, Binary::Max] {
        let y = eval(Op::Binary(b), &[x.clone(), t(&[2], &[0f32, f32::NAN])], DType::F32, &[2]).unwrap();
        assert!(f32s(&y).iter().all(|v| v.is_nan()), "{b:?}");
    }
    let acts = [Act::Relu, Act::Clamp { lo: 0., hi: 6. }, Act::HardSwish, Act::Shrink { bias: 0., lambda: 1. }];
    for a in acts.into_iter().chain([Act::ThresholdedRelu(1.), Act::LeakyRelu(0.1), Act::Gelu, Act::Mish]) {
        assert!(f32s(&eval(Op::Activation(a), from_ref(&x), DType::F32, &[2]).unwrap())[0].is_nan(), "{a:?}");
    }
}

#[test]
fn quantising_rounds_halves_to_even_and_saturates() {
    let x = t(&[6], &[0.5f32, 1.5, 2.5, -0.5, 1000., -1000.]);
    let op = Op::QuantizeLinear(QuantizeAttrs { axis: 0, to: DType::U8 });
    let y = eval(op, &[x, t(&[], &[1f32]), t(&[], &[10u8])], DType::U8, &[6]).unwrap();
    assert_eq!(y.to_i64s().unwrap(), [10, 12, 12, 10, 255, 0]);
}

#[test]
fn softmax_of_old_opsets_normalises_over_all_trailing_axes() {
    let op = Op::Softmax(SoftmaxAttrs { kind: SoftmaxKind::Softmax, axis: 1, to_end: true });
    let y = eval(op, &[t(&[1, 2, 2], &[0f32; 4])], DType::F32, &[1, 2, 2]).unwrap();
    assert_eq!(f32s(&y), [0.25; 4]);
}

#[test]
fn a_channel_shuffle_swaps_groups_and_members() {
    let x = t(&[1, 6, 1], &[0f32, 1., 2., 3., 4., 5.]);
    let y = eval(Op::ChannelShuffle(ChannelShuffleAttrs { groups: 2 }), &[x], DType::F32, &[1, 6, 1]).unwrap();
    assert_eq!(f32s(&y), [0., 3., 1., 4., 2., 5.]);
}

#[test]
fn equal_elements_order_by_index_and_nan_is_the_largest() {
    let x = t(&[5], &[1f32, f32::NAN, 2., 1., 2.]);
    let op = Op::TopK(TopKAttrs { axis: 0, largest: true, sorted: true });
    let outputs = vec![None, out(DType::I64, &[4])];
    let p = problem(op, &[Some(x), Some(Tensor::from_i64s(&[4]))], outputs, &[]);
    let found = evaluate(&p, &[]).unwrap();
    assert_eq!(found[1].as_ref().unwrap().to_i64s().unwrap(), [1, 2, 4, 0]);
}

#[test]
fn indices_out_of_range_are_named() {
    let x = t(&[3], &[1f32, 2., 3.]);
    let at = |i: i64| vec![x.clone(), t(&[1], &[i])];
    for i in [3, -4, i64::MIN, i64::MAX] {
        let ops = [Op::Gather(AxisAttrs { axis: 0 }), Op::GatherElements(AxisAttrs { axis: 0 })];
        for op in ops {
            let why = error(op, &at(i), DType::F32, &[1]);
            assert!(why.contains(&format!("index {i}")) && why.contains("3 elements"), "{why}");
        }
        let why = error(Op::GatherNd(GatherNdAttrs { batch_dims: 0 }), &at(i), DType::F32, &[]);
        assert!(why.contains(&format!("index {i}")), "{why}");
        let op = Op::ScatterElements(ScatterAttrs { axis: 0, reduction: ScatterReduction::Add });
        let inputs = [at(i), vec![t(&[1], &[1f32])]].concat();
        assert!(error(op, &inputs, DType::F32, &[3]).contains(&format!("index {i}")));
    }
    assert_eq!(f32s(&eval(Op::Gather(AxisAttrs { axis: 0 }), &at(-1), DType::F32, &[1]).unwrap()), [3.]);
}

#[test]
fn bad_data_is_an_error_with_numbers() {
    let one = t(&[1], &[1i32]);
    let why = error(Op::Binary(Binary::Div), &[one.clone(), t(&[1], &[0i32])], DType::I32, &[1]);
    assert!(why.contains("divided by zero"), "{why}");
    let unpool = MaxUnpoolAttrs { kernel: vec![2; 2], stride: vec![2; 2], before: vec![0; 2], after: vec![0; 2] };
    let inputs = [t(&[1, 1, 1, 1], &[1f32]), t(&[1, 1, 1, 1], &[4i64])];
    let why = error(Op::MaxUnpool(unpool), &inputs, DType::F32, &[1, 1, 2, 2]);
    assert!(why.contains("index 4"), "{why}");
    let reverse = Op::ReverseSequence(ReverseSequenceAttrs { batch_axis: 0, time_axis: 1 });
    let why = error(reverse, &[t(&[1, 2], &[1f32, 2.]), t(&[1], &[3i64])], DType::F32, &[1, 2]);
    assert!(why.contains("length 3"), "{why}");
    let roi = RoiAlignAttrs {
        max: false,
        output_height: 1,
        output_width: 1,
        sampling_ratio: 0,
        spatial_scale: 1.0,
        half_pixel: false,
    };
    let region = |v: f32, b: i64| {
        let inputs = [t(&[1, 1, 2, 2], &[1f32; 4]), t(&[1, 4], &[0., 0., v, v]), t(&[1], &[b])];
        error(Op::RoiAlign(roi), &inputs, DType::F32, &[1, 1, 1, 1])
    };
    assert!(region(1.0, 7).contains("batch index 7"));
    assert!(region(1e30, 0).contains("too large"));
    assert!(region(f32::NAN, 2).contains("batch index 2"));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let x = t(&[1, 1, 3, 3], &[0f32; 9]);
    let w = t(&[1, 1, 2, 2], &[0f32; 4]);
    assert!(error(conv(2, 1, None), &[x.clone(), w.clone()], DType::F32, &[1, 1, 3, 3]).contains("output"));
    assert!(error(conv(2, 0, None), &[x.clone(), w], DType::F32, &[1, 1, 2, 2]).contains("groups"));
    let pool = |kernel: usize, stride: usize| {
        Op::Pool(PoolAttrs {
            kind: PoolKind::Max,
            kernel: vec![kernel; 2],
            stride: vec![stride; 2],
            dilation: vec![1; 2],
            padding: Padding::none(2),
            ceil: false,
            column_major: false,
        })
    };
    assert!(error(pool(1 << 30, 1), from_ref(&x), DType::F32, &[1, 1, 1, 1]).contains("window"));
    assert!(error(pool(2, 0), from_ref(&x), DType::F32, &[1, 1, 1, 1]).contains("stride"));
    assert!(error(pool(usize::MAX, usize::MAX), &[x], DType::F32, &[1, 1, 2, 2]).contains("overflow"));
}

#[test]
fn no_elements_are_fine_everywhere() {
    let none = t::<f32>(&[0, 2], &[]);
    let y = eval(Op::Binary(Binary::Add), &[none.clone(), t(&[2], &[1f32, 2.])], DType::F32, &[0, 2]).unwrap();
    assert!(y.is_empty());
    let w = t(&[2, 3], &[0f32; 6]);
    assert!(eval(Op::Dense(DenseAttrs { transposed: false }), &[none.clone(), w], DType::F32, &[0, 3]).is_ok());
    let soft = Op::Softmax(SoftmaxAttrs { kind: SoftmaxKind::Softmax, axis: 0, to_end: false });
    assert!(eval(soft, from_ref(&none), DType::F32, &[0, 2]).is_ok());
    let inner = t::<f32>(&[2, 0], &[]);
    let y = eval(Op::MatMul, &[inner, none.clone()], DType::F32, &[2, 2]).unwrap();
    assert_eq!(f32s(&y), [0.; 4]);
    let op = Op::Tile;
    assert!(eval(op, &[none.clone(), Tensor::from_i64s(&[3, 1])], DType::F32, &[0, 2]).is_ok());
    assert_eq!(evaluate_dynamic(&Op::NonZero, &[Some(&none)]).unwrap()[0].shape(), [2, 0]);
}

#[test]
fn data_dependent_operators_are_evaluated_apart() {
    let x = t(&[2, 2], &[1f32, 0., 0., 2.]);
    let y = evaluate_dynamic(&Op::NonZero, &[Some(&x)]).unwrap();
    assert_eq!((y[0].shape(), y[0].to_i64s().unwrap()), (&[2usize, 2][..], vec![0, 1, 0, 1]));
    let why = error(Op::NonZero, from_ref(&x), DType::I64, &[2, 2]);
    assert!(why.contains("depends on the data"), "{why}");
    let pick = Tensor::from_bools(&[3], &[false, false, true]).unwrap();
    let op = Op::Compress(CompressAttrs { axis: Some(0) });
    let why = evaluate_dynamic(&op, &[Some(&x), Some(&pick)]).unwrap_err().to_string();
    assert!(why.contains("slice 2 is picked of 2"), "{why}");
    assert!(evaluate_dynamic(&Op::Identity, &[Some(&x)]).is_err());
}

#[test]
fn a_constant_that_is_not_aligned_is_read_all_the_same() {
    let mut bytes = vec![0u8; 9];
    bytes[1..5].copy_from_slice(&1.5f32.to_ne_bytes());
    bytes[5..].copy_from_slice(&2.5f32.to_ne_bytes());
    let x = Tensor::from_shared(DType::F32, &[2], std::sync::Arc::new(bytes), 1..9).unwrap();
    let y = eval(Op::Unary(Unary::Neg), &[x], DType::F32, &[2]).unwrap();
    assert_eq!(f32s(&y), [-1.5, -2.5]);
}

#[test]
fn huge_axes_beside_an_empty_one_neither_overflow_nor_hang() {
    let huge = 1usize << 40;
    for shape in [[huge, huge, 0], [0, huge, huge], [huge, 0, huge]] {
        let x = || t::<f32>(&shape, &[]);
        let soft = Op::Softmax(SoftmaxAttrs { kind: SoftmaxKind::Softmax, axis: 1, to_end: false });
        assert!(eval(soft, &[x()], DType::F32, &shape).is_ok());
        let sum = ReduceAttrs { kind: ReduceKind::Sum, axes: None, keep_dims: false, noop_if_empty: false };
        assert_eq!(f32s(&eval(Op::Reduce(sum), &[x()], DType::F32, &[]).unwrap()), [0.]);
        assert_eq!(eval(Op::Size, &[x()], DType::I64, &[]).unwrap().to_i64s().unwrap(), [0]);
        assert_eq!(evaluate_dynamic(&Op::NonZero, &[Some(&x())]).unwrap()[0].shape(), [3, 0]);
        for axis in 0..3 {
            let op = Op::Unique(UniqueAttrs { axis: Some(axis), sorted: true });
            // An axis of so many slices cannot be listed; an empty one can.
            if shape[axis as usize] == 0 {
                assert_eq!(evaluate_dynamic(&op, &[Some(&x())]).unwrap()[3].len(), 0);
            }
        }
    }
}
