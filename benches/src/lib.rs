//! What the benchmarks measure: layers of well-known networks as problems. The benchmarks themselves are in `benches/`.

use paring_core::{
    DType, Tensor, TensorError,
    op::{
        Act, Binary, ConvAttrs, DenseAttrs, EpiOp, GlobalPool, Op, Padding, PoolAttrs, PoolKind, SoftmaxAttrs,
        SoftmaxKind,
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

/// Every problem that is measured.
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
    all.push(dense("resnet50", 2048, 1000)?);
    all.push(dense("mobilenet_v2", 1280, 1000)?);
    all.push(max_pool("resnet50", 64, 112));
    let pool = Op::GlobalPool(GlobalPool::Average);
    all.push(plain("resnet50/global_average", pool, &[&[1, 2048, 7, 7]], &[1, 2048, 1, 1]));
    let residual: &[usize] = &[1, 256, 56, 56];
    all.push(plain("resnet50/add", Op::Binary(Binary::Add), &[residual, residual], residual));
    let softmax = SoftmaxAttrs { kind: SoftmaxKind::Softmax, axis: 1, to_end: false };
    all.push(plain("resnet50/softmax", Op::Softmax(softmax), &[&[1, 1000]], &[1, 1000]));
    Ok(all)
}

/// A convolution with bias and ReLU, padded so that the output covers the input.
fn conv(network: &str, &[channels, side, outputs, window, stride, groups]: &Conv) -> Result<Problem, TensorError> {
    let pad = window / 2;
    let out = (side + 2 * pad - window) / stride + 1;
    let kind = if groups > 1 { "depthwise" } else { "conv" };
    let attrs = ConvAttrs {
        kernel: vec![window; 2],
        stride: vec![stride; 2],
        dilation: vec![1; 2],
        padding: Padding::Explicit { before: vec![pad; 2], after: vec![pad; 2] },
        groups,
        select: None,
    };
    Ok(Problem {
        name: format!("{network}/{kind}{window}x{window}s{stride}_{channels}x{side}x{side}_{outputs}"),
        op: Op::Conv(attrs),
        inputs: vec![
            Some(Operand::new(DType::F32, &[1, channels, side, side])),
            Some(constant(&[outputs, channels / groups, window, window])?),
            Some(constant(&[outputs])?),
        ],
        outputs: vec![Some(Operand::new(DType::F32, &[1, outputs, out, out]))],
        epilogue: vec![EpiOp::Bias { input: 2 }, EpiOp::Act(Act::Relu)],
        numerics: Numerics::Default,
    })
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

fn max_pool(network: &str, channels: usize, side: usize) -> Problem {
    let attrs = PoolAttrs {
        kind: PoolKind::Max,
        kernel: vec![3; 2],
        stride: vec![2; 2],
        dilation: vec![1; 2],
        padding: Padding::Explicit { before: vec![1; 2], after: vec![1; 2] },
        ceil: false,
        column_major: false,
    };
    let out = (side + 2 - 3) / 2 + 1;
    let name = format!("{network}/max_pool3x3s2_{channels}x{side}x{side}");
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
