//! Convolutions, matrix products, pooling, and functions of one and two numbers.

use super::{In, Maker, Rng, given, known, types};
use paring_core::{
    Op, Tensor,
    op::{
        Act, Binary, CastAttrs, ConvAttrs, ConvTransposeAttrs, DenseAttrs, EinsumAttrs, GlobalPool, MaxUnpoolAttrs,
        Padding, PoolAttrs, PoolKind, QuantizeAttrs, RoiAlignAttrs, Unary,
    },
};

pub(super) fn make(op: &str, m: &mut Maker) {
    match op {
        "Conv" => convolutions(m),
        "ConvTranspose" => transposed(m),
        "Dense" => dense(m),
        "MatMul" => products(m),
        "Einsum" => einsum(m),
        "Pool" => pools(m),
        "GlobalPool" => global_pools(m),
        "MaxUnpool" => unpool(m),
        "RoiAlign" => roi_align(m),
        "Unary" => unary(m),
        "Activation" => activations(m),
        "Binary" => binary(m),
        "Where" => choices(m),
        "Cast" => casts(m),
        "QuantizeLinear" | "DequantizeLinear" => quantise(op, m),
        _ => {}
    }
}

fn around(n: usize) -> Padding {
    Padding::Explicit { before: vec![n; 2], after: vec![n; 2] }
}

fn conv(kernel: usize, stride: usize, dilation: usize, padding: Padding, groups: usize) -> ConvAttrs {
    let (kernel, stride, dilation) = (vec![kernel; 2], vec![stride; 2], vec![dilation; 2]);
    ConvAttrs { kernel, stride, dilation, padding, groups, select: None }
}

fn convolution(m: &mut Maker, x: Vec<usize>, outputs: usize, attrs: ConvAttrs) {
    let read = attrs.select.as_ref().map_or(x[1], Vec::len);
    let mut w = vec![outputs, read / attrs.groups];
    w.extend(&attrs.kernel);
    let inputs = move |rng: &mut Rng| vec![given(rng.floats(&x)), known(rng.uniform(&w, -1.0, 1.0))];
    m.add_fused(Op::Conv(attrs), inputs, Some(1));
}

fn convolutions(m: &mut Maker) {
    for kernel in [1, 3, 5, 7] {
        for stride in [1, 2] {
            let (c, k) = (m.rng.channels(), m.rng.channels());
            let x = m.rng.images(c);
            convolution(m, x, k, conv(kernel, stride, 1, around(kernel / 2), 1));
        }
    }
    // Deep enough for algorithms that transform tiles.
    convolution(m, vec![1, 16, 18, 21], 24, conv(3, 1, 1, around(1), 1));
    convolution(m, vec![2, 32, 14, 14], 32, conv(3, 1, 1, around(1), 1));
    convolution(m, vec![1, 8, 17, 15], 16, conv(3, 1, 1, Padding::none(2), 1));
    convolution(m, vec![1, 16, 13, 25], 19, conv(5, 1, 1, around(2), 1));
    // Several panels, the last of them not full.
    for inputs in [3, 16] {
        let x = m.rng.images(inputs);
        convolution(m, x, 60, conv(3, 2, 1, around(1), 1));
    }
    for padding in [Padding::SameUpper, Padding::SameLower] {
        let x = m.rng.images(8);
        convolution(m, x, 11, conv(3, 2, 1, padding, 1));
    }
    let x = m.rng.images(16);
    convolution(m, x, 8, conv(3, 1, 2, around(2), 1));
    for (c, k, groups) in [(16, 16, 2), (12, 24, 3), (9, 6, 3)] {
        let x = m.rng.images(c);
        convolution(m, x, k, conv(1, 1, 1, around(0), groups));
        let x = m.rng.images(c);
        convolution(m, x, k, conv(3, 1, 1, around(1), groups));
    }
    for (kernel, stride) in [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1)] {
        let c = m.rng.channels().max(2);
        let x = m.rng.images(c);
        convolution(m, x, c, conv(kernel, stride, 1, around(kernel / 2), c));
    }
    let x = m.rng.images(8);
    convolution(m, x, 16, conv(3, 1, 1, around(1), 8));
    let select = |n: usize| Some((0..n as u32).map(|i| (i * 5 + 3) % 16).collect());
    let x = m.rng.images(16);
    convolution(m, x, 8, ConvAttrs { select: select(12), ..conv(1, 1, 1, around(0), 1) });
    let x = m.rng.images(16);
    convolution(m, x, 12, ConvAttrs { select: select(12), ..conv(3, 1, 1, around(1), 12) });
    let tall = ConvAttrs { kernel: vec![3, 1], padding: around(0), ..conv(1, 1, 1, around(0), 1) };
    let x = m.rng.images(8);
    convolution(m, x, 8, tall);
    // Weights that are known only while running, and more axes than images have.
    for (groups, select) in [(1, None), (2, None), (2, Some((0..8).rev().collect()))] {
        let (x, w) = (m.rng.floats(&[2, 8, 7, 6]), m.rng.uniform(&[6, 8 / groups, 3, 3], -1.0, 1.0));
        m.add1(Op::Conv(ConvAttrs { select, ..conv(3, 1, 1, around(1), groups) }), vec![given(x), given(w)]);
    }
    let four = ConvAttrs {
        kernel: vec![2, 3, 1, 3],
        stride: vec![1, 2, 1, 1],
        dilation: vec![2, 1, 1, 1],
        padding: Padding::SameUpper,
        groups: 1,
        select: None,
    };
    convolution(m, vec![1, 3, 5, 4, 3, 9], 7, four);
    // Windows of one row or column.
    for (kernel, pad) in [([1, 3], [0, 1]), ([1, 7], [0, 3]), ([7, 1], [3, 0])] {
        let padding = Padding::Explicit { before: pad.to_vec(), after: pad.to_vec() };
        let attrs = ConvAttrs { kernel: kernel.to_vec(), ..conv(1, 1, 1, padding, 1) };
        convolution(m, vec![1, 16, 13, 11], 24, attrs);
    }
}

fn transposed(m: &mut Maker) {
    for (kernel, stride, cut, extra) in [(2, 2, 0, 0), (3, 2, 1, 1), (3, 1, 1, 0), (4, 2, 1, 0), (5, 3, 2, 0)] {
        for groups in [1, 2] {
            let (c, k) = (m.rng.pick(&[4, 8, 16]), m.rng.pick(&[2, 8, 12]));
            let x = m.rng.images(c);
            let attrs = ConvTransposeAttrs {
                kernel: vec![kernel; 2],
                stride: vec![stride; 2],
                dilation: vec![1; 2],
                padding: around(cut),
                output_padding: vec![extra; 2],
                output_shape: None,
                groups,
            };
            let w = vec![c, k / groups, kernel, kernel];
            let inputs = move |rng: &mut Rng| vec![given(rng.floats(&x)), known(rng.uniform(&w, -1.0, 1.0))];
            m.add_fused(Op::ConvTranspose(attrs), inputs, Some(1));
        }
    }
}

fn dense(m: &mut Maker) {
    for transposed in [true, false] {
        for rows in [1, 2, 7, 33] {
            let (k, n) = (m.rng.between(1, 70), m.rng.between(1, 50));
            let w = if transposed { vec![n, k] } else { vec![k, n] };
            let inputs = move |rng: &mut Rng| vec![given(rng.floats(&[rows, k])), known(rng.floats(&w))];
            m.add_fused(Op::Dense(DenseAttrs { transposed }), inputs, None);
        }
    }
    // Weights that half precision holds.
    for (k, n, transposed) in [(37, 21, true), (64, 100, false)] {
        let w = if transposed { vec![n, k] } else { vec![k, n] };
        let halves = move |rng: &mut Rng| {
            let w = rng.integers(&w, -512, 512);
            let values: Vec<f32> = w.to_f64s().expect("integers").iter().map(|&v| v as f32 / 256.0).collect();
            known(Tensor::new(w.shape(), &values).expect("a small tensor"))
        };
        let inputs = move |rng: &mut Rng| vec![given(rng.floats(&[1, k])), halves(rng)];
        m.add_fused(Op::Dense(DenseAttrs { transposed }), inputs, None);
    }
    // Weights of which each column has up to sixteen, and so many that their order matters.
    for (k, n, transposed, different) in
        [(133, 21, true, 16), (640, 50, false, 16), (199, 33, true, 3), (128, 1, false, 1)]
    {
        let few = move |rng: &mut Rng| {
            let (codes, values) = (rng.integers(&[n, k], 0, different - 1), rng.floats(&[n, 16]));
            let (codes, values) = (codes.to_f64s().expect("integers"), values.to_f64s().expect("numbers"));
            let weight = |column: usize, k_at: usize| values[16 * column + codes[column * k + k_at] as usize] as f32;
            let w: Vec<f32> = match transposed {
                true => (0..n * k).map(|i| weight(i / k, i % k)).collect(),
                false => (0..k * n).map(|i| weight(i % n, i / n)).collect(),
            };
            let shape = if transposed { [n, k] } else { [k, n] };
            known(Tensor::new(&shape, &w).expect("a small tensor"))
        };
        let inputs = move |rng: &mut Rng| vec![given(rng.floats(&[1, k])), few(rng)];
        m.add_fused(Op::Dense(DenseAttrs { transposed }), inputs, None);
    }
    let x = m.rng.floats(&[2, 3, 20]);
    let w = m.rng.floats(&[20, 9]);
    m.add1(Op::Dense(DenseAttrs { transposed: false }), vec![given(x), known(w)]);
}

fn products(m: &mut Maker) {
    let shapes: [(&[usize], &[usize]); 8] = [
        (&[5, 9], &[9, 7]),
        (&[33, 40], &[40, 24]),
        (&[2, 3, 7, 11], &[2, 3, 11, 6]),
        (&[2, 1, 7, 11], &[3, 11, 8]),
        (&[4, 6], &[3, 6, 5]),
        (&[6], &[6, 5]),
        (&[5, 6], &[6]),
        (&[6], &[6]),
    ];
    for (a, b) in shapes {
        let (a, b) = (m.rng.floats(a), m.rng.floats(b));
        m.add1(Op::MatMul, vec![given(a), given(b)]);
    }
}

fn einsum(m: &mut Maker) {
    for (equation, a, b) in [("bij,bjk->bik", [2, 3, 4], [2, 4, 5]), ("bij,bkj->bik", [2, 3, 4], [2, 6, 4])] {
        let (a, b) = (m.rng.floats(&a), m.rng.floats(&b));
        m.add1(Op::Einsum(EinsumAttrs { equation: equation.into() }), vec![given(a), given(b)]);
    }
}

fn pools(m: &mut Maker) {
    let kinds = [
        PoolKind::Max,
        PoolKind::Average { count_padding: true },
        PoolKind::Average { count_padding: false },
        PoolKind::Lp { p: 2 },
    ];
    for kind in kinds {
        for (kernel, stride, pad, ceil) in
            [(2, 2, 0, false), (3, 2, 1, false), (3, 2, 0, true), (3, 1, 1, false), (5, 1, 2, false)]
        {
            let c = m.rng.channels();
            let shape = m.rng.images(c);
            let attrs = PoolAttrs {
                kind,
                kernel: vec![kernel; 2],
                stride: vec![stride; 2],
                dilation: vec![1; 2],
                padding: around(pad),
                ceil,
                column_major: false,
            };
            let x = m.rng.floats(&shape);
            m.add1(Op::Pool(attrs.clone()), vec![given(x)]);
            if kind == PoolKind::Max {
                let x = m.rng.floats(&shape);
                m.add(Op::Pool(attrs), vec![given(x)], 2);
            }
        }
    }
}

fn global_pools(m: &mut Maker) {
    for kind in [GlobalPool::Max, GlobalPool::Average, GlobalPool::Lp { p: 2 }] {
        for c in [3, 8, 19] {
            let shape = m.rng.images(c);
            let x = m.rng.floats(&shape);
            m.add1(Op::GlobalPool(kind), vec![given(x)]);
        }
    }
}

fn unpool(m: &mut Maker) {
    for c in [3, 8, 13] {
        let (h, w) = (m.rng.between(2, 5), m.rng.between(2, 5));
        let shape = [1, c, h, w];
        // One place of its window for each maximum, as flat indices of the whole output.
        let corners = m.rng.integers(&shape, 0, 3).to_i64s().unwrap_or_default();
        let places = corners.iter().enumerate().map(|(i, corner)| {
            let (plane, row, column) = (i / (h * w), i / w % h, i % w);
            let (row, column) = (2 * row as i64 + corner / 2, 2 * column as i64 + corner % 2);
            (plane * 4 * h * w) as i64 + row * 2 * w as i64 + column
        });
        let places = Tensor::new(&shape, &places.collect::<Vec<i64>>()).expect("a small tensor");
        let attrs = MaxUnpoolAttrs { kernel: vec![2; 2], stride: vec![2; 2], before: vec![0; 2], after: vec![0; 2] };
        let x = m.rng.floats(&shape);
        m.add1(Op::MaxUnpool(attrs), vec![given(x), given(places)]);
    }
}

fn roi_align(m: &mut Maker) {
    for max in [false, true] {
        let attrs = RoiAlignAttrs {
            max,
            output_height: 3,
            output_width: 2,
            sampling_ratio: 2,
            spatial_scale: 1.0,
            half_pixel: true,
        };
        let x = m.rng.floats(&[2, 3, 9, 9]);
        let boxes = [1.0, 1.0, 6.0, 7.5, 0.0, 2.0, 4.5, 5.0f32];
        let boxes = Tensor::new(&[2, 4], &boxes).expect("a small tensor");
        let images = Tensor::from_i64s(&[0, 1]);
        m.add1(Op::RoiAlign(attrs), vec![given(x), given(boxes), given(images)]);
    }
}

fn unary(m: &mut Maker) {
    use Unary::*;
    let all = [
        Abs,
        Neg,
        Exp,
        Log,
        Sqrt,
        Reciprocal,
        Floor,
        Ceil,
        Round,
        Sign,
        Erf,
        Sin,
        Cos,
        Tan,
        Asin,
        Acos,
        Atan,
        Sinh,
        Cosh,
        Asinh,
        Acosh,
        Atanh,
        IsNan,
        IsInf { positive: true, negative: true },
    ];
    for f in all {
        for c in [5, 8] {
            let shape = m.rng.images(c);
            let x = m.rng.floats(&shape);
            m.add1(Op::Unary(f), vec![given(x)]);
        }
    }
    let x = m.rng.booleans(&[3, 7]);
    m.add1(Op::Unary(Not), vec![given(x)]);
    for f in [Abs, Neg, Sign, BitNot] {
        let x = m.rng.integers(&[4, 5], -9, 9);
        m.add1(Op::Unary(f), vec![given(x)]);
    }
}

fn activations(m: &mut Maker) {
    use Act::*;
    let all = [
        Relu,
        LeakyRelu(0.2),
        ThresholdedRelu(0.5),
        Clamp { lo: -1.0, hi: f32::INFINITY },
        Sigmoid,
        Tanh,
        HardSigmoid { alpha: 0.2, beta: 0.5 },
        HardSwish,
        Swish(1.5),
        Gelu,
        GeluTanh,
        Elu(0.7),
        Selu { alpha: 1.6, gamma: 1.05 },
        Celu(1.3),
        Softplus,
        Softsign,
        Mish,
        Shrink { bias: 0.1, lambda: 0.5 },
        Grid { scale: 0.125, lo: -5.0, hi: 10.0 },
    ];
    for act in all {
        for c in [3, 16] {
            let shape = m.rng.images(c);
            let x = m.rng.uniform(&shape, -4.0, 4.0);
            m.add1(Op::Activation(act), vec![given(x)]);
        }
        let x = m.rng.uniform(&[37], -4.0, 4.0);
        m.add1(Op::Activation(act), vec![given(x)]);
    }
}

fn binary(m: &mut Maker) {
    use Binary::*;
    let shapes: [(&[usize], &[usize]); 6] = [
        (&[2, 11, 5, 6], &[2, 11, 5, 6]),
        (&[1, 16, 5, 6], &[1, 16, 1, 1]),
        (&[2, 5, 4, 3], &[]),
        (&[3, 7], &[7]),
        (&[4, 1, 3], &[1, 5, 1]),
        (&[2, 8, 3, 3], &[8, 1, 1]),
    ];
    let real = [Add, Sub, Mul, Div, Pow, Min, Max, PRelu, Fmod, Equal, Greater, GreaterOrEqual, Less, LessOrEqual];
    for f in real {
        for (a, b) in shapes {
            let a = if f == Pow { m.rng.uniform(a, 0.1, 3.0) } else { m.rng.floats(a) };
            let b = m.rng.floats(b);
            m.add1(Op::Binary(f), vec![given(a), given(b)]);
        }
    }
    for f in [Add, Sub, Mul, Div, Mod, Fmod, Min, Max, BitAnd, BitOr, BitXor, Equal, Greater, Less, LessOrEqual] {
        let (a, b) = (m.rng.integers(&[3, 4, 5], -20, 20), m.rng.integers(&[4, 1], 1, 9));
        m.add1(Op::Binary(f), vec![given(a), given(b)]);
    }
    for f in [And, Or, Xor, Equal] {
        let (a, b) = (m.rng.booleans(&[3, 4]), m.rng.booleans(&[4]));
        m.add1(Op::Binary(f), vec![given(a), given(b)]);
    }
}

fn choices(m: &mut Maker) {
    let (c, x, y) = (m.rng.booleans(&[2, 3, 4]), m.rng.floats(&[2, 3, 4]), m.rng.floats(&[4]));
    m.add1(Op::Where, vec![given(c), given(x), given(y)]);
    let (c, x, y) = (m.rng.booleans(&[3, 1]), m.rng.integers(&[2, 3, 4], -5, 5), m.rng.integers(&[4], -5, 5));
    m.add1(Op::Where, vec![given(c), given(x), given(y)]);
}

fn casts(m: &mut Maker) {
    for to in types() {
        let x = m.rng.floats(&[3, 5]);
        m.add1(Op::Cast(CastAttrs { to }), vec![given(x)]);
        let x = m.rng.integers(&[3, 5], 0, 100);
        m.add1(Op::Cast(CastAttrs { to }), vec![given(x)]);
        let x = m.rng.booleans(&[9]);
        m.add1(Op::Cast(CastAttrs { to }), vec![given(x)]);
    }
}

fn quantise(op: &str, m: &mut Maker) {
    use paring_core::{DType, Tensor};
    let shape = [2, 5, 3, 4];
    let scale = Tensor::new(&[], &[0.037f32]).expect("a small tensor");
    let zero = Tensor::new(&[], &[117u8]).expect("a small tensor");
    if op == "QuantizeLinear" {
        let x = m.rng.floats(&shape);
        let attrs = QuantizeAttrs { axis: 1, to: DType::U8 };
        m.add1(Op::QuantizeLinear(attrs), vec![given(x), known(scale), known(zero)]);
    } else {
        let bytes: Vec<u8> = (0..120).map(|i| (i * 2) as u8).collect();
        let x = Tensor::new(&shape, &bytes).expect("a small tensor");
        let attrs = QuantizeAttrs { axis: 1, to: DType::F32 };
        m.add1(Op::DequantizeLinear(attrs), vec![given(x.clone()), known(scale.clone()), known(zero)]);
        m.add1(Op::DequantizeLinear(attrs), vec![given(x), known(scale), In::Absent]);
    }
}
