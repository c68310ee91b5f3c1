//! Operators that move elements.

mod support;

use paring_core::{DType, Layout, Tensor, op::*};
use support::{Case, Rng};

const TYPES: [DType; 4] = [DType::F32, DType::I64, DType::U8, DType::F16];

#[test]
fn transposes_agree_for_every_width() {
    let mut rng = Rng::new(1);
    for dtype in TYPES {
        for (shape, perm) in [
            (&[5, 7][..], &[1, 0][..]),
            (&[64, 96], &[1, 0]),
            (&[2, 19, 23, 9], &[0, 2, 3, 1]),
            (&[2, 9, 23, 19], &[0, 3, 1, 2]),
            (&[2, 12, 9, 16], &[0, 2, 1, 3]),
            (&[2, 12, 9, 16], &[0, 2, 3, 1]),
            (&[3, 4, 5, 6], &[3, 2, 1, 0]),
            (&[2, 3, 4, 5, 6], &[4, 0, 2, 1, 3]),
            (&[1, 4, 1, 6], &[0, 2, 3, 1]),
        ] {
            let y: Vec<usize> = perm.iter().map(|&i| shape[i]).collect();
            let op = Op::Transpose(TransposeAttrs { perm: Some(perm.to_vec()) });
            Case::new(op).input(rng.tensor(dtype, shape)).output(dtype, &y).check();
        }
    }
}

#[test]
fn shuffles_and_blocks_agree() {
    let mut rng = Rng::new(2);
    for (shape, groups) in [([1, 12, 5, 7], 3), ([2, 16, 9, 4], 2), ([1, 116, 7, 7], 2)] {
        let op = Op::ChannelShuffle(ChannelShuffleAttrs { groups });
        Case::new(op).input(rng.tensor(DType::F32, &shape)).output(DType::F32, &shape).check_blocked();
    }
    for dtype in TYPES {
        for column_row_depth in [false, true] {
            let op = Op::DepthToSpace(DepthToSpaceAttrs { block: 2, column_row_depth });
            Case::new(op).input(rng.tensor(dtype, &[2, 12, 5, 7])).output(dtype, &[2, 3, 10, 14]).check();
        }
        let op = Op::SpaceToDepth(SpaceToDepthAttrs { block: 3 });
        Case::new(op).input(rng.tensor(dtype, &[2, 2, 6, 9])).output(dtype, &[2, 18, 2, 3]).check();
    }
}

#[test]
fn joins_agree_in_both_layouts() {
    let mut rng = Rng::new(3);
    for channels in [&[8, 16, 5][..], &[3, 5], &[58, 58], &[1, 1, 30, 2], &[24, 24]] {
        let mut case = Case::new(Op::Concat(AxisAttrs { axis: 1 }));
        for &c in channels {
            case = case.input(rng.tensor(DType::F32, &[2, c, 9, 7]));
        }
        case.output(DType::F32, &[2, channels.iter().sum(), 9, 7]).check_blocked();
    }
    for axis in [0, 2, 3, -1] {
        let at = if axis < 0 { 3 } else { axis as usize };
        let mut case = Case::new(Op::Concat(AxisAttrs { axis }));
        let mut shape = [2, 11, 5, 6];
        for n in [1, 3, 2] {
            shape[at] = n;
            case = case.input(rng.tensor(DType::F32, &shape));
        }
        shape[at] = 6;
        case.output(DType::F32, &shape).check_blocked();
    }
    let case = Case::new(Op::Concat(AxisAttrs { axis: 0 }));
    let case = case.input(rng.tensor(DType::I64, &[3])).input(rng.tensor(DType::I64, &[1]));
    case.output(DType::I64, &[4]).check();
}

#[test]
fn cuts_agree_in_both_layouts() {
    let mut rng = Rng::new(4);
    for sizes in [vec![8, 16, 5], vec![29, 29], vec![24, 8], vec![1, 2, 30]] {
        let whole: usize = sizes.iter().sum();
        let op = Op::Split(SplitAttrs { axis: 1, sizes: Some(sizes.clone()) });
        let mut case = Case::new(op).input(rng.tensor(DType::F32, &[2, whole, 6, 5]));
        let mut partly = Case::new(case.problem.op.clone()).input(case.inputs[0].clone().unwrap());
        for (i, &s) in sizes.iter().enumerate() {
            case = case.output(DType::F32, &[2, s, 6, 5]);
            partly = if i == 0 { partly.unwanted() } else { partly.output(DType::F32, &[2, s, 6, 5]) };
        }
        case.check_blocked();
        partly.check_blocked();
    }
    let op = Op::Split(SplitAttrs { axis: -1, sizes: None });
    let case = Case::new(op).input(rng.tensor(DType::U8, &[3, 4, 10]));
    case.output(DType::U8, &[3, 4, 4]).output(DType::U8, &[3, 4, 4]).output(DType::U8, &[3, 4, 2]).check();
}

#[test]
fn slices_agree_in_both_layouts() {
    let mut rng = Rng::new(5);
    let mut slice = |starts: &[i64], ends: &[i64], axes: &[i64], steps: &[i64], y: &[usize]| {
        let case = Case::new(Op::Slice).input(rng.tensor(DType::F32, &[2, 21, 9, 12]));
        case.i64s(starts).i64s(ends).i64s(axes).i64s(steps).output(DType::F32, y).check()
    };
    let both = [Layout::Plain, Layout::Blocked(8)];
    assert_eq!(slice(&[8], &[16], &[1], &[1], &[2, 8, 9, 12]), both);
    assert_eq!(slice(&[16], &[100], &[1], &[1], &[2, 5, 9, 12]), both);
    assert_eq!(slice(&[3], &[10], &[1], &[1], &[2, 7, 9, 12]), both);
    assert_eq!(slice(&[-1], &[-100], &[1], &[-2], &[2, 11, 9, 12]), both);
    assert_eq!(slice(&[1, -5], &[-1, 12], &[2, 3], &[2, 1], &[2, 21, 4, 5]), both);
    slice(&[20, 1, 8, -1], &[0, 2, 0, -13], &[1, 0, 2, 3], &[-3, 1, -4, -1], &[1, 7, 2, 12]);
    slice(&[0], &[1], &[3], &[i64::MAX], &[2, 21, 9, 1]);
    let case = Case::new(Op::Slice).input(rng.tensor(DType::I64, &[7])).i64s(&[2]).i64s(&[i64::MAX]);
    case.output(DType::I64, &[5]).check();
}

#[test]
fn padding_agrees_in_both_layouts() {
    let mut rng = Rng::new(6);
    let op = || Op::Pad(PadAttrs { mode: PadMode::Constant });
    for c in [16, 11] {
        let x = rng.tensor(DType::F32, &[2, c, 5, 6]);
        let case = Case::new(op()).input(x.clone()).i64s(&[0, 0, 1, 2, 0, 0, 3, 0]);
        case.output(DType::F32, &[2, c, 9, 8]).check_blocked();
        let value = Tensor::new(&[], &[1.5f32]).unwrap();
        let case = Case::new(op()).input(x.clone()).i64s(&[0, 0, 1, -2, 1, 0, -3, 3]).constant(value.clone());
        let layouts = case.output(DType::F32, &[3, c, 3, 7]).check();
        assert_eq!(layouts.len(), if c == 16 { 2 } else { 1 });
        let case = Case::new(op()).input(x).i64s(&[2, 1]).input(value).i64s(&[-1]);
        case.output(DType::F32, &[2, c, 5, 9]).check();
    }
    let case = Case::new(op()).input(rng.tensor(DType::I64, &[3, 2])).i64s(&[1, 1, 2, 0]);
    case.output(DType::I64, &[6, 3]).check();
}

#[test]
fn padding_with_own_elements_agrees_in_both_layouts() {
    let mut rng = Rng::new(10);
    for mode in [PadMode::Reflect, PadMode::Edge, PadMode::Wrap] {
        let mut pad = |dtype: DType, x: &[usize], pads: &[i64], axes: Option<&[i64]>| {
            let count = pads.len() / 2;
            let mut y = x.to_vec();
            for i in 0..count {
                let d = axes.map_or(i, |a| a[i].rem_euclid(x.len() as i64) as usize);
                y[d] = (x[d] as i64 + pads[i] + pads[i + count]) as usize;
            }
            let case = Case::new(Op::Pad(PadAttrs { mode })).input(rng.tensor(dtype, x)).i64s(pads);
            let case = if let Some(axes) = axes { case.absent().i64s(axes) } else { case };
            case.output(dtype, &y).check()
        };
        let both = [Layout::Plain, Layout::Blocked(8)];
        for c in [16, 11] {
            let x = [2, c, 5, 6];
            assert_eq!(pad(DType::F32, &x, &[0, 0, 1, 2, 0, 0, 3, 0], None), both);
            // Farther than the axis is long, on one axis, not at all, cut off on one side.
            assert_eq!(pad(DType::F32, &x, &[2, 0, 7, 13, 0, 0, 11, 20], None), both);
            assert_eq!(pad(DType::F32, &x, &[3, 4], Some(&[2])), both);
            assert_eq!(pad(DType::F32, &x, &[0, 0], Some(&[-1])), both);
            assert_eq!(pad(DType::F32, &x, &[-2, 3, 9, -4], Some(&[-2, -1])), both);
            assert_eq!(pad(DType::F32, &x, &[1, 2], Some(&[1])), [Layout::Plain]);
        }
        for dtype in TYPES {
            pad(dtype, &[4, 3, 5], &[1, 0, 2, 0, 3, 1], None);
            pad(dtype, &[4, 3, 5], &[0, 2, 0, 1, 1, 0], None);
            pad(dtype, &[1, 70, 1], &[1, 40, 2, 3, 40, 1], None);
            pad(dtype, &[7], &[-7, 9], None);
            pad(dtype, &[7], &[9, -7], None);
        }
    }
}

#[test]
fn pads_beyond_their_output_are_declined() {
    let mut rng = Rng::new(11);
    let pad = paring_vector::KERNELS.iter().find(|k| k.descriptor().name == "pad").unwrap();
    for pads in [[i64::MIN, i64::MAX], [-4, 4], [5, -4], [i64::MAX - 3, 3 - i64::MAX]] {
        for mode in [PadMode::Constant, PadMode::Reflect] {
            let case = Case::new(Op::Pad(PadAttrs { mode })).input(rng.tensor(DType::F32, &[3])).i64s(&pads);
            let y = 3i64.wrapping_add(pads[0]).wrapping_add(pads[1]) as usize;
            let case = case.output(DType::F32, &[y]);
            let machine = paring_kernel::Machine::generic(paring_simd::detect());
            let reason = pad.offers(&case.problem, &machine, &mut Vec::new()).unwrap_err().to_string();
            assert!(reason.contains("beyond its output"), "{reason}");
        }
    }
}

#[test]
fn repeats_and_views_agree() {
    let mut rng = Rng::new(7);
    for dtype in TYPES {
        let case = Case::new(Op::Expand).input(rng.tensor(dtype, &[3, 1, 5]));
        case.i64s(&[2, 3, 4, 5]).output(dtype, &[2, 3, 4, 5]).check();
        let case = Case::new(Op::Tile).input(rng.tensor(dtype, &[2, 3, 4])).i64s(&[2, 1, 3]);
        case.output(dtype, &[4, 3, 12]).check();
        let case = Case::new(Op::Reshape(ReshapeAttrs { allow_zero: false })).input(rng.tensor(dtype, &[2, 30]));
        case.i64s(&[5, 12]).output(dtype, &[5, 12]).check();
        let op = Op::Unsqueeze(AxesAttrs { axes: Some(vec![0]) });
        Case::new(op).input(rng.tensor(dtype, &[7])).output(dtype, &[1, 7]).check();
    }
    for shape in [&[2, 19, 9, 7][..], &[3, 5], &[1, 3, 100, 100], &[1, 64, 17, 31], &[1, 16, 4]] {
        let x = rng.tensor(DType::F32, shape);
        Case::new(Op::Identity).input(x).output(DType::F32, shape).check_blocked();
    }
}

#[test]
fn gathers_agree_and_check_their_indices() {
    let mut rng = Rng::new(8);
    for axis in [0, 1, -1] {
        let at = if axis < 0 { 2 } else { axis as usize };
        let indices = Tensor::new(&[2, 3], &[0i64, 8, -1, -9, 3, 4]).unwrap();
        let mut y = vec![9, 9, 9];
        y.splice(at..at + 1, [2, 3]);
        let op = Op::Gather(AxisAttrs { axis });
        for dtype in TYPES {
            let x = rng.tensor(dtype, &[9, 9, 9]);
            Case::new(op.clone()).input(x).input(indices.clone()).output(dtype, &y).check();
        }
        let op = Op::GatherElements(AxisAttrs { axis });
        let indices = Tensor::new(&[2, 2, 2], &[0i32, 8, -1, -9, 3, 4, 5, 1]).unwrap();
        let x = rng.tensor(DType::F32, &[9, 9, 9]);
        Case::new(op).input(x).input(indices).output(DType::F32, &[2, 2, 2]).check();
    }
    let case = Case::new(Op::Gather(AxisAttrs { axis: 1 })).input(rng.tensor(DType::F32, &[2, 20, 3, 3]));
    case.i64s(&[5, -1, 0, 19, 7, 8, 9, 10, 11]).output(DType::F32, &[2, 9, 3, 3]).check_blocked();
    let wrong = Tensor::from_i64s(&[0, 9]);
    let case = Case::new(Op::Gather(AxisAttrs { axis: 0 })).input(rng.tensor(DType::F32, &[9])).input(wrong);
    let case = case.output(DType::F32, &[2]);
    let k = paring_vector::KERNELS.iter().find(|k| k.descriptor().name == "gather").unwrap();
    let mut offers = Vec::new();
    k.offers(&case.problem, &paring_kernel::Machine::generic(paring_simd::detect()), &mut offers).unwrap();
    let result = case.run(*k, &offers[0], &paring_kernel::Serial, None);
    assert!(matches!(result, Err(paring_kernel::KernelError::Data(_))));
}

#[test]
fn one_hot_agrees_on_every_axis() {
    let mut rng = Rng::new(12);
    let shape = [3, 2, 40];
    // Some count from the back, some lie outside.
    let wide: Vec<i64> =
        (0..240).map(|i| [i % 13 - 6, i % 5, i64::MAX, i64::MIN][(i % 9 / 3) as usize * i as usize % 4]).collect();
    let narrow: Vec<i32> = wide.iter().map(|&i| i.clamp(i32::MIN.into(), i32::MAX.into()) as i32).collect();
    let both = [Tensor::new(&shape, &wide).unwrap(), Tensor::new(&shape, &narrow).unwrap()];
    for (axis, at) in [(-1, 3), (0, 0), (1, 1), (2, 2), (-4, 0)] {
        for depth in [1, 5] {
            let mut y = shape.to_vec();
            y.insert(at, depth);
            for dtype in TYPES {
                for indices in &both {
                    let case = Case::new(Op::OneHot(AxisAttrs { axis })).input(indices.clone()).i64s(&[depth as i64]);
                    case.input(rng.tensor(dtype, &[2])).output(dtype, &y).check();
                }
            }
        }
    }
    let indices = Tensor::new(&[], &[2i64]).unwrap();
    let case = Case::new(Op::OneHot(AxisAttrs { axis: 0 })).input(indices).i64s(&[4]);
    case.input(rng.tensor(DType::F32, &[2])).output(DType::F32, &[4]).check();
}

#[test]
fn resizing_agrees_in_both_layouts() {
    let mut rng = Rng::new(9);
    use Coordinates::*;
    let nearest = [Nearest::RoundPreferFloor, Nearest::RoundPreferCeil, Nearest::Floor, Nearest::Ceil];
    let modes = nearest.into_iter().map(ResizeMode::Nearest).chain([ResizeMode::Linear]);
    for mode in modes {
        for coordinates in [
            HalfPixel,
            HalfPixelSymmetric,
            PytorchHalfPixel,
            AlignCorners,
            Asymmetric,
            TfHalfPixelForNn,
            TfCropAndResize,
        ] {
            let a = ResizeAttrs {
                mode,
                coordinates,
                antialias: false,
                exclude_outside: false,
                extrapolation: 1.5,
                axes: None,
                aspect: AspectPolicy::Stretch,
            };
            for ([h, w], [oh, ow]) in [
                ([5, 7], [10, 14]),
                ([9, 8], [4, 17]),
                ([3, 3], [1, 1]),
                ([13, 20], [40, 60]),
                ([6, 5], [24, 5]),
                ([4, 9], [4, 36]),
            ] {
                let x = rng.tensor(DType::F32, &[2, 11, h, w]);
                let case = Case::new(Op::Resize(a.clone())).input(x);
                let crop = coordinates == TfCropAndResize;
                let roi = Tensor::new(&[8], &[0.0f32, 0.0, 0.1, 0.2, 1.0, 1.0, 0.9, 1.2]).unwrap();
                let case = if crop { case.constant(roi) } else { case.absent() };
                let case = case.absent().i64s(&[2, 11, oh as i64, ow as i64]).output(DType::F32, &[2, 11, oh, ow]);
                if crop { drop(case.check()) } else { case.check_blocked() }
            }
            let scales = Tensor::new(&[1], &[2.6f32]).unwrap();
            let a = ResizeAttrs { axes: Some(vec![2]), ..a };
            if coordinates != TfCropAndResize {
                let case = Case::new(Op::Resize(a)).input(rng.tensor(DType::F32, &[1, 3, 5])).absent();
                case.constant(scales).output(DType::F32, &[1, 3, 13]).check();
            }
        }
    }
}
