//! Operators that move elements or make them from shapes.

use super::{In, Maker, given, known, list};
use paring_core::{
    DType, Op, Tensor,
    op::{
        AspectPolicy, AxesAttrs, AxisAttrs, ChannelShuffleAttrs, ConstantOfShapeAttrs, Coordinates, DepthToSpaceAttrs,
        EyeLikeAttrs, GatherNdAttrs, GridMode, GridPadding, GridSampleAttrs, Nearest, PadAttrs, PadMode, ReshapeAttrs,
        ResizeAttrs, ResizeMode, ReverseSequenceAttrs, ScatterAttrs, ScatterNdAttrs, ScatterReduction, ShapeAttrs,
        SpaceToDepthAttrs, SplitAttrs, TransposeAttrs, TriluAttrs,
    },
};

pub(super) fn make(op: &str, m: &mut Maker) {
    match op {
        "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Identity" => views(op, m),
        "Transpose" => transposes(m),
        "Concat" | "Split" => parts(op, m),
        "Slice" => slices(m),
        "Pad" => pads(m),
        "Expand" | "Tile" => repeats(op, m),
        "Resize" => resizes(m),
        "GridSample" => grids(m),
        "DepthToSpace" | "SpaceToDepth" | "ChannelShuffle" => channels(op, m),
        "Gather" | "GatherElements" | "GatherNd" | "OneHot" => gathers(op, m),
        "ScatterElements" | "ScatterNd" => scatters(op, m),
        "ReverseSequence" | "Trilu" => orders(op, m),
        "Range" | "ConstantOfShape" | "Shape" | "Size" | "EyeLike" => makers(op, m),
        _ => {}
    }
}

fn views(op: &str, m: &mut Maker) {
    for shape in [[2, 8, 3, 1], [1, 5, 4, 1]] {
        for real in [true, false] {
            let x = given(if real { m.rng.floats(&shape) } else { m.rng.integers(&shape, -9, 9) });
            match op {
                "Reshape" => m.add1(Op::Reshape(ReshapeAttrs { allow_zero: false }), vec![x, list(&[0, -1])]),
                "Squeeze" => m.add1(Op::Squeeze(AxesAttrs { axes: Some(vec![3]) }), vec![x]),
                "Unsqueeze" => m.add1(Op::Unsqueeze(AxesAttrs { axes: Some(vec![0]) }), vec![x]),
                "Flatten" => m.add1(Op::Flatten(AxisAttrs { axis: 1 }), vec![x]),
                _ => m.add1(Op::Identity, vec![x]),
            }
        }
    }
}

fn transposes(m: &mut Maker) {
    for perm in [vec![0, 2, 3, 1], vec![0, 2, 1, 3], vec![3, 2, 1, 0], vec![0, 1, 3, 2]] {
        for c in [5, 16] {
            let shape = m.rng.images(c);
            let x = m.rng.floats(&shape);
            m.add1(Op::Transpose(TransposeAttrs { perm: Some(perm.clone()) }), vec![given(x)]);
        }
    }
    let x = m.rng.integers(&[3, 7], -9, 9);
    m.add1(Op::Transpose(TransposeAttrs { perm: None }), vec![given(x)]);
}

fn parts(op: &str, m: &mut Maker) {
    for (axis, lengths) in [(1, [8, 16, 8]), (1, [3, 5, 4]), (0, [1, 2, 1]), (-1, [2, 1, 5])] {
        let place = if axis < 0 { 3 } else { axis as usize };
        let mut shape = [2, 8, 5, 6];
        if op == "Concat" {
            let mut inputs = Vec::new();
            for n in lengths {
                shape[place] = n;
                inputs.push(given(m.rng.floats(&shape)));
            }
            m.add1(Op::Concat(AxisAttrs { axis }), inputs);
        } else {
            shape[place] = lengths.iter().sum();
            let x = m.rng.floats(&shape);
            m.add(Op::Split(SplitAttrs { axis, sizes: Some(lengths.to_vec()) }), vec![given(x)], 3);
        }
    }
}

fn slices(m: &mut Maker) {
    for (starts, ends, axes, steps) in [
        ([0, 1], [8, 4], [1, 2], [1, 1]),
        ([3, 0], [9, 100], [1, 3], [1, 2]),
        ([-1, -2], [-100, 1], [2, 3], [-1, -1]),
        ([2, 0], [16, 1], [1, 0], [2, 1]),
    ] {
        let x = m.rng.floats(&[2, 16, 6, 5]);
        m.add1(Op::Slice, vec![given(x), list(&starts), list(&ends), list(&axes), list(&steps)]);
    }
}

fn pads(m: &mut Maker) {
    for mode in [PadMode::Constant, PadMode::Reflect, PadMode::Edge, PadMode::Wrap] {
        for pads in [[0, 0, 1, 2, 0, 0, 2, 1], [0, 0, 0, 0, 0, 0, 0, 3], [0, 2, 0, 0, 0, 3, 1, 0]] {
            let x = m.rng.floats(&[1, 8, 5, 6]);
            let value = Tensor::new(&[], &[0.5f32]).expect("a small tensor");
            m.add1(Op::Pad(PadAttrs { mode }), vec![given(x), list(&pads), known(value)]);
        }
    }
    let x = m.rng.floats(&[1, 8, 5, 6]);
    m.add1(Op::Pad(PadAttrs { mode: PadMode::Constant }), vec![given(x), list(&[0, 0, 0, 0, 0, 8, 0, 0])]);
}

fn repeats(op: &str, m: &mut Maker) {
    for shape in [[2, 3, 1], [1, 3, 4]] {
        let x = given(m.rng.floats(&shape));
        match op {
            "Expand" => m.add1(Op::Expand, vec![x, list(&[2, 3, 4])]),
            _ => m.add1(Op::Tile, vec![x, list(&[2, 1, 3])]),
        }
    }
}

fn resizes(m: &mut Maker) {
    let modes = [
        ResizeMode::Nearest(Nearest::RoundPreferFloor),
        ResizeMode::Nearest(Nearest::Floor),
        ResizeMode::Linear,
        ResizeMode::Cubic { a: -0.75 },
    ];
    let coordinates =
        [Coordinates::HalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric, Coordinates::PytorchHalfPixel];
    for mode in modes {
        for coordinates in coordinates {
            for (shape, sizes) in [
                (&[1, 8, 5, 7][..], &[1, 8, 10, 14][..]),
                (&[1, 5, 5, 7], &[1, 5, 7, 4]),
                (&[1, 9, 3, 4, 5], &[1, 9, 3, 8, 9]),
            ] {
                let attrs = ResizeAttrs {
                    mode,
                    coordinates,
                    antialias: false,
                    exclude_outside: false,
                    extrapolation: 0.0,
                    axes: None,
                    aspect: AspectPolicy::Stretch,
                };
                let x = m.rng.floats(shape);
                m.add1(Op::Resize(attrs), vec![given(x), In::Absent, In::Absent, list(sizes)]);
            }
        }
    }
}

fn grids(m: &mut Maker) {
    for mode in [GridMode::Linear, GridMode::Nearest, GridMode::Cubic] {
        for padding in [GridPadding::Zeros, GridPadding::Border, GridPadding::Reflection] {
            let (x, grid) = (m.rng.floats(&[2, 3, 5, 6]), m.rng.uniform(&[2, 4, 3, 2], -1.2, 1.2));
            let attrs = GridSampleAttrs { mode, padding, align_corners: true };
            m.add1(Op::GridSample(attrs), vec![given(x), given(grid)]);
        }
    }
}

fn channels(op: &str, m: &mut Maker) {
    for c in [16, 32, 12] {
        let shape = m.rng.images(c);
        let x = m.rng.floats(&shape);
        match op {
            "ChannelShuffle" => {
                for groups in [2, 4] {
                    m.add1(Op::ChannelShuffle(ChannelShuffleAttrs { groups }), vec![given(x.clone())]);
                }
            }
            "DepthToSpace" => {
                for column_row_depth in [false, true] {
                    let attrs = DepthToSpaceAttrs { block: 2, column_row_depth };
                    m.add1(Op::DepthToSpace(attrs), vec![given(x.clone())]);
                }
            }
            _ => {
                let x = m.rng.floats(&[2, c, 6, 8]);
                m.add1(Op::SpaceToDepth(SpaceToDepthAttrs { block: 2 }), vec![given(x)]);
            }
        }
    }
}

fn gathers(op: &str, m: &mut Maker) {
    match op {
        "Gather" => {
            for (axis, length) in [(0, 2), (1, 16), (-1, 5)] {
                let (x, i) = (m.rng.floats(&[2, 16, 4, 5]), m.rng.integers(&[7], -length, length - 1));
                m.add1(Op::Gather(AxisAttrs { axis }), vec![given(x.clone()), given(i.clone())]);
                m.add1(Op::Gather(AxisAttrs { axis }), vec![given(x), known(i)]);
            }
        }
        "GatherElements" => {
            let (x, i) = (m.rng.floats(&[3, 6, 4]), m.rng.integers(&[3, 2, 4], -6, 5));
            m.add1(Op::GatherElements(AxisAttrs { axis: 1 }), vec![given(x), given(i)]);
        }
        "GatherNd" => {
            let (x, i) = (m.rng.floats(&[3, 4, 5]), m.rng.integers(&[6, 2], 0, 2));
            m.add1(Op::GatherNd(GatherNdAttrs { batch_dims: 0 }), vec![given(x), given(i)]);
        }
        _ => {
            let (i, values) = (m.rng.integers(&[3, 2], 0, 4), m.rng.floats(&[2]));
            m.add1(Op::OneHot(AxisAttrs { axis: -1 }), vec![given(i), list(&[5]), given(values)]);
        }
    }
}

fn scatters(op: &str, m: &mut Maker) {
    for reduction in [ScatterReduction::Replace, ScatterReduction::Add, ScatterReduction::Max] {
        let x = m.rng.floats(&[5, 4]);
        // Distinct places: which of two replacements wins is not defined.
        if op == "ScatterElements" {
            let places = Tensor::new(&[2, 4], &[0i64, 1, 2, 3, 4, 3, 1, 0]).expect("a small tensor");
            let updates = m.rng.floats(&[2, 4]);
            let attrs = ScatterAttrs { axis: 0, reduction };
            m.add1(Op::ScatterElements(attrs), vec![given(x), given(places), given(updates)]);
        } else {
            let places = Tensor::new(&[3, 1], &[4i64, 0, 2]).expect("a small tensor");
            let updates = m.rng.floats(&[3, 4]);
            m.add1(Op::ScatterNd(ScatterNdAttrs { reduction }), vec![given(x), given(places), given(updates)]);
        }
    }
}

fn orders(op: &str, m: &mut Maker) {
    if op == "Trilu" {
        for upper in [true, false] {
            let x = m.rng.floats(&[2, 4, 5]);
            m.add1(Op::Trilu(TriluAttrs { upper }), vec![given(x)]);
        }
        return;
    }
    let (x, lengths) = (m.rng.floats(&[5, 3, 2]), m.rng.integers(&[3], 1, 5));
    m.add1(Op::ReverseSequence(ReverseSequenceAttrs { batch_axis: 1, time_axis: 0 }), vec![given(x), given(lengths)]);
}

fn makers(op: &str, m: &mut Maker) {
    let scalar = |n: i64| known(Tensor::new(&[], &[n]).expect("a small tensor"));
    let x = given(m.rng.floats(&[3, 4]));
    match op {
        "Range" => m.add1(Op::Range, vec![scalar(3), scalar(17), scalar(2)]),
        "ConstantOfShape" => {
            let attrs = ConstantOfShapeAttrs { dtype: DType::F32, value: 1.5 };
            m.add1(Op::ConstantOfShape(attrs), vec![list(&[2, 3])]);
        }
        "Shape" => m.add1(Op::Shape(ShapeAttrs { start: 0, end: None }), vec![x]),
        "Size" => m.add1(Op::Size, vec![x]),
        _ => m.add1(Op::EyeLike(EyeLikeAttrs { dtype: DType::F32, k: 1 }), vec![x]),
    }
}
