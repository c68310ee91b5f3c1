//! Operators on bytes that stand for numbers.

use super::{In, Maker, Rng, given, known, list, square};
use paring_core::{
    DType, Op, Quant, Tensor,
    op::{
        Act, AspectPolicy, AxisAttrs, Binary, ConvAttrs, Coordinates, DenseAttrs, EpiOp, GlobalPool, Nearest, Padding,
        PoolAttrs, PoolKind, QuantizeAttrs, ResizeAttrs, ResizeMode, Unary,
    },
};

pub(super) fn make(op: &str, m: &mut Maker) {
    match op {
        "Conv" => convolutions(m),
        "Dense" => products(m),
        "MatMul" => varying_products(m),
        "Binary" => binary(m),
        "Unary" | "Activation" => functions(op, m),
        "Pool" => pools(m),
        "Resize" => resizes(m),
        "GlobalPool" => means(m),
        "Identity" => conversions(m),
        "DequantizeLinear" => dequantise(m),
        "Concat" => concatenations(m),
        _ => {}
    }
}

pub(super) const TYPES: [DType; 2] = [DType::U8, DType::I8];

/// Bytes from the least to the largest, with the extremes among them.
pub(super) fn bytes(rng: &mut Rng, dtype: DType, shape: &[usize]) -> Tensor {
    let n: usize = shape.iter().product();
    let extremes: [u8; 2] = if dtype == DType::I8 { [0x80, 0x7f] } else { [0, 255] };
    let all: Vec<u8> = (0..n)
        .map(|_| match rng.between(0, 9) {
            i @ 0..2 => extremes[i],
            _ => rng.between(0, 255) as u8,
        })
        .collect();
    Tensor::from_bytes(dtype, shape, &all).expect("a small tensor")
}

fn parameters(rng: &mut Rng, dtype: DType) -> (f32, i32) {
    let zero = match dtype {
        DType::I8 => rng.pick(&[0, -128, 5, 127]),
        _ => rng.pick(&[0, 128, 3, 255]),
    };
    (rng.pick(&[0.02, 0.05, 0.11]), zero)
}

/// Bytes that stand for numbers by one scale.
pub(super) fn activations(rng: &mut Rng, dtype: DType, shape: &[usize]) -> Tensor {
    let (scale, zero) = parameters(rng, dtype);
    bytes(rng, dtype, shape).with_quant(Some(Quant::per_tensor(scale, zero)))
}

/// Weights by one scale for each index of `axis`, or by one with a zero point.
pub(super) fn weights(rng: &mut Rng, shape: &[usize], axis: usize) -> Tensor {
    let n = shape[axis];
    match rng.between(0, 3) {
        i @ 0..2 => {
            let zero = parameters(rng, TYPES[i]).1;
            bytes(rng, TYPES[i], shape).with_quant(Some(Quant::per_tensor(0.003, zero)))
        }
        _ => {
            let scale = (0..n).map(|_| rng.pick(&[0.001, 0.004, 0.01])).collect();
            let quant = Quant { axis: Some(axis), scale, zero_point: vec![0; n] };
            bytes(rng, DType::I8, shape).with_quant(Some(quant))
        }
    }
}

/// A step that quantises results which are about `around` in size, by a scale that leaves few of them half-way between two
/// bytes.
fn quantise(rng: &mut Rng, around: f32) -> EpiOp {
    let to = rng.pick(&TYPES);
    EpiOp::Quantize { to, scale: around / 61.7, zero_point: parameters(rng, to).1 }
}

/// The problem with results in `f32` and quantised, with and without steps before.
fn finished(
    m: &mut Maker,
    op: &Op,
    inputs: impl Fn(&mut Rng) -> Vec<In>,
    channels: usize,
    shape: &[usize],
    around: f32,
) {
    for kind in 0..6 {
        let mut all = inputs(&mut m.rng);
        let count = all.len();
        let mut epilogue = vec![];
        let vector = |rng: &mut Rng| known(rng.floats(&[channels]));
        match kind {
            0 => {}
            1 => epilogue.push(quantise(&mut m.rng, around)),
            2 => {
                all.push(vector(&mut m.rng));
                epilogue.extend([EpiOp::Bias { input: count }, EpiOp::Act(Act::Relu), quantise(&mut m.rng, around)]);
            }
            3 => {
                all.push(vector(&mut m.rng));
                let clamp = EpiOp::Act(Act::Clamp { lo: 0.0, hi: 6.0 });
                epilogue.extend([EpiOp::Bias { input: count }, clamp]);
            }
            4 => {
                let dtype = m.rng.pick(&TYPES);
                all.extend([vector(&mut m.rng), given(activations(&mut m.rng, dtype, shape))]);
                let residual = EpiOp::Residual { input: count + 1 };
                epilogue.extend([EpiOp::Bias { input: count }, residual, quantise(&mut m.rng, around)]);
            }
            _ => {
                all.extend([vector(&mut m.rng), given(m.rng.floats(shape))]);
                let steps = [
                    EpiOp::PRelu { input: count },
                    EpiOp::Act(Act::Swish(1.0)),
                    EpiOp::Residual { input: count + 1 },
                    quantise(&mut m.rng, around),
                ];
                epilogue.extend(steps);
            }
        }
        m.with_epilogue(op.clone(), all, 1, epilogue);
    }
}

fn convolutions(m: &mut Maker) {
    let list = [
        (3, 16, 3, 2, 1, 1),
        (8, 24, 1, 1, 1, 1),
        (20, 40, 1, 1, 1, 1),
        (8, 60, 3, 1, 1, 1),
        (16, 11, 3, 1, 1, 1),
        (5, 8, 5, 2, 1, 1),
        (16, 16, 3, 1, 2, 1),
        (16, 32, 3, 1, 1, 2),
        (12, 24, 3, 1, 1, 3),
        (9, 12, 3, 1, 1, 3),
        (10, 14, 1, 1, 1, 2),
        (8, 8, 3, 1, 1, 8),
        (11, 11, 3, 2, 1, 11),
        (16, 16, 5, 1, 1, 16),
        (8, 16, 5, 2, 1, 8),
        (9, 9, 7, 1, 1, 9),
        (16, 16, 3, 1, 2, 16),
    ];
    for (inputs, outputs, kernel, stride, dilation, groups) in list {
        let a = square(kernel, stride, dilation, groups);
        convolution(m, inputs, outputs, a);
    }
    // So large that workers have tiles of their own.
    convolution_of(m, vec![1, 11, 21, 23], 20, square(3, 1, 1, 1));
    // Sums so long that tiles of neighbouring pixels are worth it, in maps of one, two and other numbers of sevens.
    for x in [[2, 32, 7, 7], [1, 32, 3, 14], [1, 32, 5, 10]] {
        convolution_of(m, x.to_vec(), 60, square(3, 1, 1, 1));
    }
    convolution_of(m, vec![1, 260, 4, 9], 60, square(1, 1, 1, 1));
    without_some_inputs(m);
    // Channels in another order, some of them twice.
    let mut a = square(3, 1, 1, 2);
    a.select = Some(vec![5, 1, 8, 8, 0, 3, 7, 2]);
    convolution(m, 9, 6, a);
    let mut a = square(3, 1, 1, 4);
    a.select = Some(vec![3, 1, 0, 2]);
    convolution(m, 4, 4, a);
}

/// Weights that are zero throughout for four inputs that lie together.
fn without_some_inputs(m: &mut Maker) {
    let (x, w) = ([1, 16, 5, 6], [24, 16, 3, 3]);
    let make = move |rng: &mut Rng| {
        let scale = Quant { axis: Some(0), scale: vec![0.004; w[0]], zero_point: vec![0; w[0]] };
        let mut elements = bytes(rng, DType::I8, &w).bytes().to_vec();
        elements.chunks_exact_mut(16 * 9).for_each(|row| row[4 * 9..8 * 9].fill(0));
        let elements: Vec<i8> = elements.into_iter().map(|b| b as i8).collect();
        let weights = Tensor::new(&w, &elements).expect("as many elements as the shape has");
        vec![given(activations(rng, DType::U8, &x)), known(weights.with_quant(Some(scale)))]
    };
    finished(m, &Op::Conv(square(3, 1, 1, 1)), make, w[0], &[1, w[0], x[2], x[3]], 8.0);
}

fn convolution(m: &mut Maker, inputs: usize, outputs: usize, a: ConvAttrs) {
    let x = m.rng.images(inputs);
    convolution_of(m, x, outputs, a);
}

fn convolution_of(m: &mut Maker, x: Vec<usize>, outputs: usize, a: ConvAttrs) {
    let read = a.select.as_ref().map_or(x[1], Vec::len) / a.groups;
    let w = [outputs, read, a.kernel[0], a.kernel[1]];
    let span = (a.kernel[0] - 1) * a.dilation[0] + 1;
    let size = |n: usize| (n + 2 * (a.kernel[0] / 2) - span) / a.stride[0] + 1;
    let y = [x[0], outputs, size(x[2]), size(x[3])];
    let dtype = m.rng.pick(&TYPES);
    let op = Op::Conv(a.clone());
    let make = move |rng: &mut Rng| vec![given(activations(rng, dtype, &x)), known(weights(rng, &w, 0))];
    finished(m, &op, make, outputs, &y, 8.0);
}

fn products(m: &mut Maker) {
    for (rows, depth, columns, transposed) in
        [(1, 64, 24, true), (3, 37, 10, true), (5, 16, 21, false), (50, 30, 33, false), (9, 24, 60, true)]
    {
        let op = Op::Dense(DenseAttrs { transposed });
        let w = if transposed { [columns, depth] } else { [depth, columns] };
        let dtype = m.rng.pick(&TYPES);
        let make = move |rng: &mut Rng| {
            let w = weights(rng, &w, usize::from(!transposed));
            vec![given(activations(rng, dtype, &[rows, depth])), known(w)]
        };
        finished(m, &op, make, columns, &[rows, columns], 8.0);
    }
}

/// Products of two operands that are given, of batches that are broadcast and of several that are not.
fn varying_products(m: &mut Maker) {
    for (a, b, y) in [
        (&[5, 16][..], &[16, 24][..], &[5, 24][..]),
        (&[2, 3, 19, 21], &[2, 3, 21, 50], &[2, 3, 19, 50]),
        (&[2, 1, 4, 7], &[3, 7, 9], &[2, 3, 4, 9]),
        (&[3, 4, 40], &[40, 17], &[3, 4, 17]),
        (&[13], &[2, 13, 8], &[2, 8]),
        (&[6, 13], &[13], &[6]),
    ] {
        let (columns, op) = (y[y.len() - 1], Op::MatMul);
        for (left, right) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let types = [TYPES[left], TYPES[right]];
            let make =
                move |rng: &mut Rng| vec![given(activations(rng, types[0], a)), given(activations(rng, types[1], b))];
            finished(m, &op, make, columns, y, 80.0);
        }
    }
}

fn binary(m: &mut Maker) {
    let y = [2, 11, 5, 4];
    for other in [&[2, 11, 5, 4][..], &[2, 11, 1, 1], &[1, 1, 1, 1]] {
        for kind in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Min, Binary::Max] {
            for act in [None, Some(Act::Relu), Some(Act::HardSwish)] {
                let (a, b) = (m.rng.pick(&TYPES), m.rng.pick(&TYPES));
                let a = given(activations(&mut m.rng, a, &y));
                let b = match act {
                    Some(Act::HardSwish) => given(m.rng.floats(other)),
                    _ => given(activations(&mut m.rng, b, other)),
                };
                let mut epilogue: Vec<EpiOp> = act.map(EpiOp::Act).into_iter().collect();
                if act.is_some() || kind != Binary::Add {
                    epilogue.push(quantise(&mut m.rng, 10.0));
                }
                m.with_epilogue(Op::Binary(kind), vec![a, b], 1, epilogue);
            }
        }
    }
    for kind in [Binary::Add, Binary::Sub, Binary::Mul] {
        let (a, b) = (m.rng.pick(&TYPES), m.rng.pick(&TYPES));
        let inputs = vec![given(activations(&mut m.rng, a, &[2, 11, 1, 1])), given(activations(&mut m.rng, b, &y))];
        let step = quantise(&mut m.rng, 10.0);
        m.with_epilogue(Op::Binary(kind), inputs, 1, vec![step]);
    }
    let flat = [given(activations(&mut m.rng, DType::U8, &[29])), given(activations(&mut m.rng, DType::I8, &[29]))];
    let step = quantise(&mut m.rng, 10.0);
    m.with_epilogue(Op::Binary(Binary::Add), flat.into(), 1, vec![step]);
}

fn functions(op: &str, m: &mut Maker) {
    let list = match op {
        "Unary" => vec![Op::Unary(Unary::Exp), Op::Unary(Unary::Abs)],
        _ => vec![Op::Activation(Act::Sigmoid), Op::Activation(Act::HardSwish), Op::Activation(Act::LeakyRelu(0.1))],
    };
    for op in list {
        for shape in [&[1, 11, 4, 5][..], &[37]] {
            let dtype = m.rng.pick(&TYPES);
            let x = given(activations(&mut m.rng, dtype, shape));
            let step = quantise(&mut m.rng, 3.0);
            m.with_epilogue(op.clone(), vec![x], 1, vec![step]);
        }
    }
}

fn pools(m: &mut Maker) {
    let (inner, all) = (PoolKind::Average { count_padding: false }, PoolKind::Average { count_padding: true });
    // Window, stride, padding, dilation; the last one's windows end beyond the padding.
    for (kernel, stride, pad, dilation, ceil) in [
        (2, 2, 0, 1, false),
        (3, 2, 1, 1, false),
        (3, 1, 1, 1, false),
        (2, 1, 1, 2, false),
        (5, 1, 2, 1, false),
        (3, 2, 1, 1, true),
    ] {
        for kind in [PoolKind::Max, inner, all] {
            let attrs = |axes: usize| PoolAttrs {
                kind,
                kernel: vec![kernel; axes],
                stride: vec![stride; axes],
                dilation: vec![dilation; axes],
                padding: Padding::Explicit { before: vec![pad; axes], after: vec![pad; axes] },
                ceil,
                column_major: false,
            };
            for dtype in TYPES {
                let c = m.rng.channels();
                let images = m.rng.images(c);
                let step = quantise(&mut m.rng, 10.0);
                let steps = match (kind, m.rng.between(0, 2)) {
                    (PoolKind::Max, _) => vec![],
                    (_, 0) => vec![EpiOp::Act(Act::HardSwish), step],
                    _ => vec![step],
                };
                let x = given(activations(&mut m.rng, dtype, &images));
                m.with_epilogue(Op::Pool(attrs(2)), vec![x], 1, steps.clone());
                let x = given(activations(&mut m.rng, dtype, &[2, 11, 9]));
                m.with_epilogue(Op::Pool(attrs(1)), vec![x], 1, steps);
                if kind != PoolKind::Max {
                    let x = given(activations(&mut m.rng, dtype, &images));
                    m.with_epilogue(Op::Pool(attrs(2)), vec![x], 1, vec![]);
                }
            }
        }
    }
}

fn resizes(m: &mut Maker) {
    let modes =
        [ResizeMode::Nearest(Nearest::RoundPreferFloor), ResizeMode::Nearest(Nearest::Floor), ResizeMode::Linear];
    for mode in modes {
        for coordinates in [Coordinates::HalfPixel, Coordinates::AlignCorners, Coordinates::Asymmetric] {
            for (x, y) in [
                (&[1, 8, 5, 7][..], &[1, 8, 10, 14][..]),
                (&[2, 11, 5, 7], &[2, 11, 7, 4]),
                (&[1, 9, 6], &[1, 9, 13]),
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
                let sizes: Vec<i64> = y.iter().map(|&n| n as i64).collect();
                let dtype = m.rng.pick(&TYPES);
                let (scale, zero) = parameters(&mut m.rng, dtype);
                // As before, by another scale, after a function, and as numbers.
                let same = EpiOp::Quantize { to: dtype, scale, zero_point: zero };
                let other = quantise(&mut m.rng, 10.0);
                for steps in [vec![other], vec![EpiOp::Act(Act::HardSwish), other], vec![], vec![same]] {
                    let x = bytes(&mut m.rng, dtype, x).with_quant(Some(Quant::per_tensor(scale, zero)));
                    let inputs = vec![given(x), In::Absent, In::Absent, list(&sizes)];
                    m.with_epilogue(Op::Resize(attrs.clone()), inputs, 1, steps);
                }
            }
        }
    }
}

fn means(m: &mut Maker) {
    for dtype in TYPES {
        let x = m.rng.images(11);
        let step = quantise(&mut m.rng, 3.0);
        for epilogue in [vec![], vec![step], vec![EpiOp::Act(Act::Relu), step], vec![EpiOp::Act(Act::Sigmoid), step]] {
            let x = given(activations(&mut m.rng, dtype, &x));
            m.with_epilogue(Op::GlobalPool(GlobalPool::Average), vec![x], 1, epilogue);
        }
    }
}

fn conversions(m: &mut Maker) {
    for shape in [&[2, 11, 5, 7][..], &[1, 16, 40], &[37], &[3, 10]] {
        let x = given(m.rng.uniform(shape, -9.0, 9.0));
        let step = quantise(&mut m.rng, 8.0);
        m.with_epilogue(Op::Identity, vec![x], 1, vec![step]);
        for dtype in TYPES {
            let x = given(activations(&mut m.rng, dtype, shape));
            let step = quantise(&mut m.rng, 8.0);
            m.with_epilogue(Op::Identity, vec![x], 1, vec![step]);
            let x = given(activations(&mut m.rng, dtype, shape));
            m.with_epilogue(Op::Identity, vec![x], 1, vec![]);
        }
    }
}

fn dequantise(m: &mut Maker) {
    for shape in [&[2, 11, 5, 7][..], &[37]] {
        for dtype in TYPES {
            let (scale, zero) = parameters(&mut m.rng, dtype);
            let zero = Tensor::from_bytes(dtype, &[], &[zero as u8]).expect("a small tensor");
            let scale = Tensor::new(&[], &[scale]).expect("a small tensor");
            let x = given(bytes(&mut m.rng, dtype, shape));
            let op = Op::DequantizeLinear(QuantizeAttrs { axis: 1, to: DType::F32 });
            m.with_epilogue(op, vec![x, known(scale), known(zero)], 1, vec![]);
        }
    }
}

fn concatenations(m: &mut Maker) {
    let quant = Some(Quant::per_tensor(0.05, 3));
    let part = |rng: &mut Rng, c: usize| given(bytes(rng, DType::U8, &[1, c, 3, 5]).with_quant(quant.clone()));
    for sizes in [[8, 16], [3, 5]] {
        let parts = sizes.map(|c| part(&mut m.rng, c)).into();
        m.with_epilogue(Op::Concat(AxisAttrs { axis: 1 }), parts, 1, vec![]);
    }
}
