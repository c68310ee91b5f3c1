//! Shape inference against operands and attributes that no honest model has.

use paring_ir::{DType, Dim, Fact, Op, Tensor, infer::infer, op::*};
use proptest::prelude::*;

const NUMBERS: [i64; 12] = [0, 1, -1, 2, 3, 7, i64::MAX, i64::MIN, i32::MAX as i64, 1 << 40, -(1 << 40), i64::MAX - 1];

fn number() -> impl Strategy<Value = i64> {
    prop::sample::select(&NUMBERS[..])
}

fn size() -> impl Strategy<Value = usize> {
    prop::sample::select(&[0usize, 1, 2, 3, 8, 1 << 33, usize::MAX, i64::MAX as usize][..])
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(size(), 0..4)
}

fn fact() -> impl Strategy<Value = Option<Fact>> {
    let dtype = prop::sample::select(&[DType::F32, DType::I64, DType::I64, DType::Bool, DType::F32, DType::U8][..]);
    let dim = prop_oneof![
        prop::sample::select(&[0i64, 1, 2, 3, 4, 8, i64::MAX, 1 << 40][..]).prop_map(Dim::from_i64),
        Just(Dim::symbol("N")),
        Just(Dim::symbol("M").mul(&Dim::from_i64(2)).sub(&Dim::from_i64(3))),
    ];
    let shaped = (dtype, prop::option::weighted(0.9, prop::collection::vec(dim, 0..6)))
        .prop_map(|(dtype, shape)| Some(Fact::of(paring_ir::TensorType { dtype, shape, quant: None })));
    let ints = prop::collection::vec(number(), 0..6)
        .prop_map(|v| Some(Fact::constant(std::sync::Arc::new(Tensor::from_i64s(&v)))));
    let floats = prop::collection::vec(
        prop::sample::select(&[0.0f32, 1.0, -1.0, 0.5, 1e30, f32::NAN, f32::INFINITY, 2.0][..]),
        0..6,
    )
    .prop_map(|v| Some(Fact::constant(std::sync::Arc::new(Tensor::new(&[v.len()], &v).unwrap()))));
    prop_oneof![5 => shaped, 3 => ints, 1 => floats, 1 => Just(None)]
}

fn padding() -> impl Strategy<Value = Padding> {
    prop_oneof![
        Just(Padding::SameUpper),
        Just(Padding::SameLower),
        (sizes(), sizes()).prop_map(|(before, after)| Padding::Explicit { before, after })
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let axes = prop::option::of(prop::collection::vec(number(), 0..5));
    let windows = (sizes(), sizes(), sizes(), padding(), size(), sizes(), any::<bool>()).boxed();
    let windowed = (windows, 0usize..6).prop_map(|((kernel, stride, dilation, padding, groups, extra, flag), kind)| {
        // Half of the time the lengths agree, so that what follows is reached as well.
        let fit = |v: Vec<usize>| {
            if flag { v.iter().copied().chain([1; 4]).take(kernel.len()).collect() } else { v }
        };
        let (stride, dilation, output_padding) = (fit(stride), fit(dilation), fit(extra.clone()));
        match kind {
            0 | 4 => {
                let attrs = ConvAttrs {
                    kernel,
                    stride,
                    dilation,
                    padding,
                    groups,
                    select: flag.then(|| extra.iter().map(|&e| e as u32).collect()),
                };
                if kind == 0 { Op::Conv(attrs) } else { Op::ConvInteger(attrs) }
            }
            1 => Op::ConvTranspose(ConvTransposeAttrs {
                kernel,
                stride,
                dilation,
                padding,
                output_padding,
                output_shape: (groups == 3).then_some(extra),
                groups,
            }),
            2 => Op::MaxUnpool(MaxUnpoolAttrs { kernel, stride, before: dilation, after: output_padding }),
            _ => Op::Pool(PoolAttrs {
                kind: if kind == 3 { PoolKind::Max } else { PoolKind::Lp { p: groups as u32 } },
                kernel,
                stride,
                dilation,
                padding,
                ceil: flag,
                column_major: false,
            }),
        }
    });
    let plain =
        (number(), size(), axes, sizes(), any::<bool>(), 0usize..36).prop_map(|(axis, n, axes, list, flag, kind)| {
            match kind {
                0 => Op::Dense(DenseAttrs { transposed: flag }),
                1 => {
                    if flag {
                        Op::MatMul
                    } else {
                        Op::MatMulInteger
                    }
                }
                2 => Op::Reshape(ReshapeAttrs { allow_zero: flag }),
                3 => Op::Squeeze(AxesAttrs { axes }),
                4 => Op::Unsqueeze(AxesAttrs { axes }),
                5 => Op::Flatten(AxisAttrs { axis }),
                6 => Op::Transpose(TransposeAttrs { perm: flag.then_some(list) }),
                7 => Op::Concat(AxisAttrs { axis }),
                8 => Op::Split(SplitAttrs { axis, sizes: flag.then_some(list) }),
                9 => Op::Slice,
                10 => Op::Pad(PadAttrs { mode: PadMode::Reflect }),
                11 => Op::Expand,
                12 => Op::Tile,
                13 => Op::Resize(ResizeAttrs {
                    mode: ResizeMode::Linear,
                    coordinates: Coordinates::HalfPixel,
                    antialias: false,
                    exclude_outside: false,
                    extrapolation: 0.0,
                    axes,
                    aspect: if flag { AspectPolicy::Stretch } else { AspectPolicy::NotLarger },
                }),
                14 => Op::DepthToSpace(DepthToSpaceAttrs { block: n, column_row_depth: flag }),
                15 => Op::SpaceToDepth(SpaceToDepthAttrs { block: n }),
                16 => Op::ChannelShuffle(ChannelShuffleAttrs { groups: n }),
                17 => Op::Gather(AxisAttrs { axis }),
                18 => Op::GatherElements(AxisAttrs { axis }),
                19 => Op::GatherNd(GatherNdAttrs { batch_dims: n }),
                20 => Op::ScatterNd(ScatterNdAttrs { reduction: ScatterReduction::Add }),
                21 => Op::OneHot(AxisAttrs { axis }),
                22 => Op::Range,
                23 => Op::ConstantOfShape(ConstantOfShapeAttrs { dtype: DType::I32, value: axis as f64 }),
                24 => Op::Shape(ShapeAttrs { start: axis, end: flag.then_some(-1) }),
                25 => Op::Binary(if flag { Binary::Div } else { Binary::Mod }),
                26 => Op::Reduce(ReduceAttrs { kind: ReduceKind::Prod, axes, keep_dims: flag, noop_if_empty: !flag }),
                27 => Op::TopK(TopKAttrs { axis, largest: true, sorted: true }),
                28 => Op::Unique(UniqueAttrs { axis: flag.then_some(axis), sorted: true }),
                29 => Op::Binary(if flag { Binary::Sub } else { Binary::Mul }),
                30 => Op::Compress(CompressAttrs { axis: flag.then_some(axis) }),
                31 => Op::LayerNorm(LayerNormAttrs { axis, epsilon: 0.0, rms: flag }),
                32 => Op::ScatterElements(ScatterAttrs { axis, reduction: ScatterReduction::Add }),
                33 => Op::Unary(Unary::Neg),
                34 => Op::GroupNorm(GroupNormAttrs { epsilon: 0.0, groups: n }),
                _ => Op::Recurrent(RecurrentAttrs {
                    cell: Cell::Plain,
                    direction: Direction::Forward,
                    hidden: n,
                    activations: vec![Act::Tanh],
                    clip: None,
                    input_forget: false,
                    batch_first: flag,
                }),
            }
        });
    prop_oneof![1 => windowed, 3 => plain]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    /// Whatever attributes, constants and shapes come in: an answer that makes sense, or an error.
    #[test]
    fn nothing_panics(op in op(), inputs in prop::collection::vec(fact(), 0..6), outputs in 0usize..4) {
        let inputs: Vec<Option<&Fact>> = inputs.iter().map(Option::as_ref).collect();
        let mut n = 0;
        let mut fresh = || { n += 1; Dim::symbol(&format!("?{n}")) };
        if let Ok(facts) = infer(&op, &[], &inputs, outputs, &mut fresh) {
            prop_assert_eq!(facts.len(), outputs);
            for f in facts {
                if let Some(shape) = f.ty.known_shape() {
                    prop_assert!(shape.iter().filter(|d| **d != 0).count() == 0 || shape.contains(&0)
                        || shape.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).is_some());
                }
                prop_assert!(f.ty.shape.iter().flatten().all(|d| d.as_i64().is_none_or(|n| n >= 0)));
            }
        }
    }
}
