//! What the benchmarks measure: layers of well-known networks as problems. The benchmarks themselves are in `benches/`.

use paring_core::{
    DType, Quant, Tensor, TensorError,
    op::{
        Act, Binary, ConvAttrs, ConvTransposeAttrs, DenseAttrs, EpiOp, GlobalPool, LayerNormAttrs, Op, Padding,
        PoolAttrs, PoolKind, SoftmaxAttrs, SoftmaxKind,
    },
};
use paring_kernel::{Numerics, Operand, Problem};
use std::sync::Arc;

/// A convolution of a square input: channels, side, outputs, window, stride, groups.
type Conv = [usize; 6];

/// Layers of ResNet-50 at 224 x 224, one of each kind that takes time.
const RESNET50: &[Conv] = &[
    [3, 224, 64, 7, 2, 1],
    [64, 56, 64, 1, 1, 1],
    [64, 56, 64, 3, 1, 1],
    [64, 56, 256, 1, 1, 1],
    [256, 56, 128, 1, 1, 1],
    [128, 56, 128, 3, 2, 1],
    [128, 28, 128, 3, 1, 1],
    [128, 28, 512, 1, 1, 1],
    [256, 56, 512, 1, 2, 1],
    [256, 14, 256, 3, 1, 1],
    [256, 14, 1024, 1, 1, 1],
    [1024, 14, 256, 1, 1, 1],
    [512, 7, 512, 3, 1, 1],
    [512, 7, 2048, 1, 1, 1],
];

/// Layers of MobileNetV2 at 224 x 224.
const MOBILENET_V2: &[Conv] = &[
    [3, 224, 32, 3, 2, 1],
    [32, 112, 32, 3, 1, 32],
    [32, 112, 16, 1, 1, 1],
    [96, 112, 96, 3, 2, 96],
    [24, 56, 144, 1, 1, 1],
    [144, 56, 144, 3, 1, 144],
    [192, 28, 32, 1, 1, 1],
    [384, 14, 384, 3, 1, 384],
    [384, 14, 64, 1, 1, 1],
    [960, 7, 960, 3, 1, 960],
    [320, 7, 1280, 1, 1, 1],
];

/// Layers with windows that ResNet and MobileNet lack: for Winograd in squares and in lines, and for Fourier transforms.
const WINDOWS: &[(&str, [usize; 3], [usize; 2])] = &[
    ("googlenet", [32, 28, 96], [5, 5]),
    ("inception_v3", [128, 17, 128], [1, 7]),
    ("inception_v3", [128, 17, 128], [7, 1]),
    ("large_windows", [32, 64, 32], [11, 11]),
];

/// Every problem that is measured: at least one for each family of kernels.
///
/// # Errors
/// Where memory for the weights is short.
pub fn problems() -> Result<Vec<Problem>, TensorError> {
    let mut all = Vec::new();
    for (network, layers) in [("resnet50", RESNET50), ("mobilenet_v2", MOBILENET_V2)] {
        for layer in layers {
            all.push(conv(network, layer)?);
        }
    }
    for &(network, [channels, side, outputs], window) in WINDOWS {
        all.push(windowed(network, [channels, side, outputs], window, 1, 1)?);
    }
    all.extend(of_signs(256, 14)?.into_iter().nth(1).map(|p| Problem { name: "xnor_resnet18/signs3x3s1".into(), ..p }));
    all.push(transposed("unet", 128, 28, 64)?);
    all.push(dense("resnet50", 2048, 1000)?);
    all.push(dense("mobilenet_v2", 1280, 1000)?);
    let heads: [&[usize]; 3] = [&[1, 12, 128, 64], &[1, 12, 64, 128], &[1, 12, 128, 128]];
    all.push(plain("bert/matmul_scores", Op::MatMul, &heads[..2], heads[2]));
    let average = PoolKind::Average { count_padding: false };
    all.push(pool("resnet50", "max_pool", PoolKind::Max, [64, 112], 2));
    all.push(pool("inception_v3", "average_pool", average, [192, 35], 1));
    let global = Op::GlobalPool(GlobalPool::Average);
    all.push(plain("resnet50/global_average", global, &[&[1, 2048, 7, 7]], &[1, 2048, 1, 1]));
    let residual: &[usize] = &[1, 256, 56, 56];
    all.push(plain("resnet50/add", Op::Binary(Binary::Add), &[residual, residual], residual));
    let wide: &[usize] = &[1, 96, 112, 112];
    all.push(plain("efficientnet_b0/silu", Op::Activation(Act::Swish(1.0)), &[wide], wide));
    let softmax = |axis| Op::Softmax(SoftmaxAttrs { kind: SoftmaxKind::Softmax, axis, to_end: false });
    all.push(plain("resnet50/softmax", softmax(1), &[&[1, 1000]], &[1, 1000]));
    all.push(plain("bert/softmax", softmax(3), &heads[2..], heads[2]));
    all.push(layer_norm("bert", 128, 768)?);
    Ok(all)
}

/// A convolution with a square window.
fn conv(network: &str, &[channels, side, outputs, window, stride, groups]: &Conv) -> Result<Problem, TensorError> {
    windowed(network, [channels, side, outputs], [window; 2], stride, groups)
}

/// A convolution with bias and ReLU, padded so that the output covers the input.
fn windowed(
    network: &str,
    [channels, side, outputs]: [usize; 3],
    window: [usize; 2],
    stride: usize,
    groups: usize,
) -> Result<Problem, TensorError> {
    let pad = window.map(|w| w / 2).to_vec();
    let [height, width] = window.map(|w| (side + w / 2 * 2 - w) / stride + 1);
    let kind = if groups > 1 { "depthwise" } else { "conv" };
    let attrs = ConvAttrs {
        kernel: window.to_vec(),
        stride: vec![stride; 2],
        dilation: vec![1; 2],
        padding: Padding::Explicit { before: pad.clone(), after: pad },
        groups,
        select: None,
    };
    let [h, w] = window;
    Ok(Problem {
        name: format!("{network}/{kind}{h}x{w}s{stride}_{channels}x{side}x{side}_{outputs}"),
        op: Op::Conv(attrs),
        inputs: vec![
            Some(Operand::new(DType::F32, &[1, channels, side, side])),
            Some(constant(&[outputs, channels / groups, h, w])?),
            Some(constant(&[outputs])?),
        ],
        outputs: vec![Some(Operand::new(DType::F32, &[1, outputs, height, width]))],
        epilogue: vec![EpiOp::Bias { input: 2 }, EpiOp::Act(Act::Relu)],
        numerics: Numerics::Default,
    })
}

/// A convolution with windows of 3 x 3 and weights of one magnitude, of numbers and of signs.
///
/// # Errors
/// Where memory for the weights is short.
pub fn of_signs(channels: usize, side: usize) -> Result<[Problem; 2], TensorError> {
    let mut numbers = windowed("signs", [channels, side, channels], [3; 2], 1, 1)?;
    let shape = [channels, channels, 3, 3];
    let elements: Vec<f32> =
        (0..shape.iter().product()).map(|i: usize| if i * 37 % 101 > 50 { 0.05 } else { -0.05 }).collect();
    numbers.inputs[1] = Some(Operand::constant(Arc::new(Tensor::new(&shape, &elements)?)));
    let mut signs = numbers.clone();
    if let Some(x) = &mut signs.inputs[0] {
        *x = Operand { quant: Some(Quant::per_tensor(1.0, 0)), ..Operand::new(DType::Sign, &x.shape) };
    }
    Ok([numbers, signs])
}

/// A transposed convolution that doubles the side, with bias.
fn transposed(network: &str, channels: usize, side: usize, outputs: usize) -> Result<Problem, TensorError> {
    let attrs = ConvTransposeAttrs {
        kernel: vec![2; 2],
        stride: vec![2; 2],
        dilation: vec![1; 2],
        padding: Padding::none(2),
        output_padding: vec![0; 2],
        output_shape: None,
        groups: 1,
    };
    Ok(Problem {
        name: format!("{network}/transposed2x2s2_{channels}x{side}x{side}_{outputs}"),
        op: Op::ConvTranspose(attrs),
        inputs: vec![
            Some(Operand::new(DType::F32, &[1, channels, side, side])),
            Some(constant(&[channels, outputs, 2, 2])?),
            Some(constant(&[outputs])?),
        ],
        outputs: vec![Some(Operand::new(DType::F32, &[1, outputs, 2 * side, 2 * side]))],
        epilogue: vec![EpiOp::Bias { input: 2 }],
        numerics: Numerics::Default,
    })
}

/// Normalisation of rows, with scale and shift.
fn layer_norm(network: &str, rows: usize, width: usize) -> Result<Problem, TensorError> {
    let op = Op::LayerNorm(LayerNormAttrs { axis: -1, epsilon: 1e-5, rms: false });
    let mut p = plain(&format!("{network}/layer_norm"), op, &[&[1, rows, width]], &[1, rows, width]);
    p.inputs.extend([Some(constant(&[width])?), Some(constant(&[width])?)]);
    Ok(p)
}

fn dense(network: &str, depth: usize, columns: usize) -> Result<Problem, TensorError> {
    Ok(Problem {
        name: format!("{network}/dense_{depth}_{columns}"),
        op: Op::Dense(DenseAttrs { transposed: true }),
        inputs: vec![
            Some(Operand::new(DType::F32, &[1, depth])),
            Some(constant(&[columns, depth])?),
            Some(constant(&[columns])?),
        ],
        outputs: vec![Some(Operand::new(DType::F32, &[1, columns]))],
        epilogue: vec![EpiOp::Bias { input: 2 }],
        numerics: Numerics::Default,
    })
}

/// Pooling over windows of 3 x 3.
fn pool(network: &str, name: &str, kind: PoolKind, [channels, side]: [usize; 2], stride: usize) -> Problem {
    let attrs = PoolAttrs {
        kind,
        kernel: vec![3; 2],
        stride: vec![stride; 2],
        dilation: vec![1; 2],
        padding: Padding::Explicit { before: vec![1; 2], after: vec![1; 2] },
        ceil: false,
        column_major: false,
    };
    let out = (side + 2 - 3) / stride + 1;
    let name = format!("{network}/{name}3x3s{stride}_{channels}x{side}x{side}");
    plain(&name, Op::Pool(attrs), &[&[1, channels, side, side]], &[1, channels, out, out])
}

fn plain(name: &str, op: Op, inputs: &[&[usize]], output: &[usize]) -> Problem {
    Problem {
        name: name.into(),
        op,
        inputs: inputs.iter().map(|shape| Some(Operand::new(DType::F32, shape))).collect(),
        outputs: vec![Some(Operand::new(DType::F32, output))],
        epilogue: Vec::new(),
        numerics: Numerics::Default,
    }
}

/// A constant of small numbers around zero; zeros and subnormals would make some processors faster or slower.
fn constant(shape: &[usize]) -> Result<Operand, TensorError> {
    let elements: Vec<f32> =
        (0..shape.iter().product()).map(|i: usize| ((i * 37 % 101) as f32 - 50.0) / 500.0).collect();
    Ok(Operand::constant(Arc::new(Tensor::new(shape, &elements)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use paring_kernel::Kernel;

    /// A problem nobody but the reference can run would be measured in vain.
    #[test]
    fn every_problem_has_a_fast_kernel() {
        let machine = paring_simd::machine();
        let registry = paring::builtin_registry();
        for p in problems().expect("memory") {
            let offers = |k: &&'static dyn Kernel| k.offers(&p, &machine, &mut Vec::new()).is_ok();
            let names: Vec<_> = registry.candidates(&p, &machine).filter(offers).map(|k| k.descriptor().name).collect();
            assert!(names.len() > 1, "{}: only {names:?}", p.name);
        }
    }
}
