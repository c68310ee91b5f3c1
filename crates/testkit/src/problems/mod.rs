//! Problems for every operator, made from a seed: small, with odd sizes, and with what kernels fuse.

mod arithmetic;
mod extremes;
mod integers;
mod movement;
mod normalisation;
mod quantised;
mod signs;

pub use extremes::{channel_read_often, extreme_products, same_weights};

use paring_core::{
    DType, Op, Tensor,
    op::{Act, ConvAttrs, EpiOp, Padding},
};
use paring_ir::{Graph, GraphError, Node, TensorType, ValueId};
use paring_kernel::{Numerics, Operand, Problem};
use std::sync::Arc;

/// A problem and the elements of its inputs, constants included.
#[derive(Clone, Debug)]
pub struct Case {
    /// The problem.
    pub problem: Problem,
    /// Its inputs; `None` where the problem has none.
    pub inputs: Vec<Option<Tensor>>,
}

/// Problems for the operator of that name; none where the name is unknown or its shapes depend on data.
///
/// # Panics
/// Where a problem is not well formed, which is a mistake in this module.
pub fn cases(op: &str, seed: u64) -> Vec<Case> {
    let mut maker = Maker { rng: Rng::new(seed ^ crate::zoo::fnv1a64(op)), cases: Vec::new() };
    arithmetic::make(op, &mut maker);
    movement::make(op, &mut maker);
    normalisation::make(op, &mut maker);
    quantised::make(op, &mut maker);
    signs::make(op, &mut maker);
    integers::make(op, &mut maker);
    maker.cases
}

/// A xorshift generator (Marsaglia: Xorshift RNGs, 2003).
pub(crate) struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number from `lo` to `hi`, both included.
    pub fn between(&mut self, lo: usize, hi: usize) -> usize {
        lo + ((self.next() >> 20) % (hi - lo + 1) as u64) as usize
    }

    pub fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.between(0, of.len() - 1)].clone()
    }

    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Numbers from `lo` to `hi`.
    pub fn uniform(&mut self, shape: &[usize], lo: f32, hi: f32) -> Tensor {
        let n = shape.iter().product();
        let elements: Vec<f32> = (0..n).map(|_| self.unit() * (hi - lo) + lo).collect();
        Tensor::new(shape, &elements).expect("a small tensor")
    }

    /// Numbers from -2 to 2.
    pub fn floats(&mut self, shape: &[usize]) -> Tensor {
        self.uniform(shape, -2.0, 2.0)
    }

    /// Integers from `lo` to `hi`, both included.
    pub fn integers(&mut self, shape: &[usize], lo: i64, hi: i64) -> Tensor {
        let n = shape.iter().product();
        let span = (hi - lo) as usize;
        let elements: Vec<i64> = (0..n).map(|_| lo + self.between(0, span) as i64).collect();
        Tensor::new(shape, &elements).expect("a small tensor")
    }

    pub fn booleans(&mut self, shape: &[usize]) -> Tensor {
        let n = shape.iter().product();
        let elements: Vec<bool> = (0..n).map(|_| self.next() >> 63 == 1).collect();
        Tensor::from_bools(shape, &elements).expect("a small tensor")
    }

    /// The shape of a small batch of images with `channels`.
    pub fn images(&mut self, channels: usize) -> Vec<usize> {
        vec![self.between(1, 2), channels, self.between(4, 13), self.between(4, 13)]
    }

    /// Channels: fewer than a block, whole blocks, and in between.
    pub fn channels(&mut self) -> usize {
        self.pick(&[1, 3, 5, 8, 11, 16, 24, 27])
    }
}

/// A convolution with square windows, padded by half of them on every side.
pub(crate) fn square(kernel: usize, stride: usize, dilation: usize, groups: usize) -> ConvAttrs {
    ConvAttrs {
        kernel: vec![kernel; 2],
        stride: vec![stride; 2],
        dilation: vec![dilation; 2],
        padding: Padding::Explicit { before: vec![kernel / 2; 2], after: vec![kernel / 2; 2] },
        groups,
        select: None,
    }
}

/// How an input comes.
#[derive(Clone)]
pub(crate) enum In {
    /// While running.
    Given(Tensor),
    /// Known before.
    Known(Tensor),
    Absent,
}

pub(crate) fn given(t: Tensor) -> In {
    In::Given(t)
}

pub(crate) fn known(t: Tensor) -> In {
    In::Known(t)
}

pub(crate) fn list(values: &[i64]) -> In {
    In::Known(Tensor::from_i64s(values))
}

pub(crate) struct Maker {
    pub rng: Rng,
    cases: Vec<Case>,
}

impl Maker {
    /// A problem with `outputs` outputs.
    pub fn add(&mut self, op: Op, inputs: Vec<In>, outputs: usize) {
        self.with_epilogue(op, inputs, outputs, Vec::new());
    }

    pub fn add1(&mut self, op: Op, inputs: Vec<In>) {
        self.add(op, inputs, 1);
    }

    fn with_epilogue(&mut self, op: Op, inputs: Vec<In>, outputs: usize, epilogue: Vec<EpiOp>) {
        let case = case(&op, inputs, outputs, epilogue);
        self.cases.push(case.unwrap_or_else(|e| panic!("{op:?}: {e}")));
    }

    /// The same problem with each of several epilogues. `axis` is that of the channels in the output.
    pub fn add_fused(&mut self, op: Op, inputs: impl Fn(&mut Rng) -> Vec<In>, axis: Option<usize>) {
        let first = inputs(&mut self.rng);
        let count = first.len();
        let plain = case(&op, first, 1, Vec::new()).unwrap_or_else(|e| panic!("{op:?}: {e}"));
        let shape = plain.problem.output(0).expect("one output").shape.clone();
        let channels = axis.map_or(shape.last().copied().unwrap_or(1), |a| shape[a]);
        self.cases.push(plain);
        let layer = matches!(op, Op::Conv(_) | Op::Dense(_));
        for kind in 0..if layer { 6 } else { 5 } {
            let mut all = inputs(&mut self.rng);
            let mut epilogue = Vec::new();
            let vector = |rng: &mut Rng| known(rng.floats(&[channels]));
            let act = self.rng.pick(&[
                Act::Relu,
                Act::Clamp { lo: 0.0, hi: 6.0 },
                Act::LeakyRelu(0.1),
                Act::Sigmoid,
                Act::HardSwish,
                Act::Swish(1.0),
            ]);
            match kind {
                5 => {
                    all.extend([vector(&mut self.rng), given(self.rng.floats(&shape))]);
                    let grid = Act::Grid { scale: 0.7, lo: -5.0, hi: 9.0 };
                    let residual = EpiOp::Residual { input: count + 1 };
                    epilogue.extend([EpiOp::Bias { input: count }, residual, EpiOp::Act(grid)]);
                }
                0 => {
                    all.push(vector(&mut self.rng));
                    epilogue.extend([EpiOp::Bias { input: count }, EpiOp::Act(Act::Relu)]);
                }
                1 => {
                    all.extend([vector(&mut self.rng), vector(&mut self.rng)]);
                    epilogue.extend([EpiOp::Scale { input: count }, EpiOp::Bias { input: count + 1 }, EpiOp::Act(act)]);
                }
                2 => {
                    all.extend([vector(&mut self.rng), given(self.rng.floats(&shape))]);
                    let residual = EpiOp::Residual { input: count + 1 };
                    epilogue.extend([EpiOp::Bias { input: count }, residual, EpiOp::Act(Act::Relu)]);
                }
                3 => {
                    all.extend([vector(&mut self.rng), vector(&mut self.rng)]);
                    epilogue.extend([EpiOp::Bias { input: count }, EpiOp::PRelu { input: count + 1 }]);
                }
                _ => {
                    all.push(given(self.rng.floats(&shape)));
                    epilogue.extend([EpiOp::Act(act), EpiOp::Residual { input: count }]);
                }
            }
            self.with_epilogue(op.clone(), all.clone(), 1, epilogue.clone());
            let halves = shape.len() == 4 && shape[2..].iter().all(|&d| d > 1);
            if matches!(op, Op::Conv(_)) && halves {
                epilogue.push(EpiOp::MaxPool);
                self.with_epilogue(op.clone(), all, 1, epilogue);
            }
        }
    }
}

fn case(op: &Op, inputs: Vec<In>, outputs: usize, epilogue: Vec<EpiOp>) -> Result<Case, GraphError> {
    let mut graph = Graph::new("problem");
    let (mut values, mut tensors, mut operands) = (Vec::new(), Vec::new(), Vec::new());
    for (i, input) in inputs.into_iter().enumerate() {
        let (value, operand, tensor): (Option<ValueId>, _, _) = match input {
            In::Given(t) => {
                let mut ty = TensorType::concrete(t.dtype(), t.shape());
                ty.quant = t.quant().cloned();
                let operand = Operand { quant: ty.quant.clone(), ..Operand::new(t.dtype(), t.shape()) };
                (Some(graph.add_input(&format!("x{i}"), ty)), Some(operand), Some(t))
            }
            In::Known(t) => {
                let shared = Arc::new(t.clone());
                let value = graph.add_constant(&format!("c{i}"), shared.clone());
                (Some(value), Some(Operand::constant(shared)), Some(t))
            }
            In::Absent => (None, None, None),
        };
        values.push(value);
        operands.push(operand);
        tensors.push(tensor);
    }
    let name = format!("a {}", op.name());
    let node = Node { name, op: op.clone(), inputs: values, outputs: vec![], epilogue: epilogue.clone() };
    let facts = graph.infer_node(&node, outputs)?;
    let mut results = Vec::new();
    for fact in &facts {
        let shape = fact.ty.known_shape().ok_or_else(|| GraphError::Malformed(format!("{op:?} has unknown shapes")))?;
        results.push(Some(Operand { quant: fact.ty.quant.clone(), ..Operand::new(fact.ty.dtype, &shape) }));
    }
    let problem = Problem {
        name: node.name,
        op: node.op,
        inputs: operands,
        outputs: results,
        epilogue,
        numerics: Numerics::Default,
    };
    Ok(Case { problem, inputs: tensors })
}

/// Every element type but that of signs, which few operators know.
pub(crate) fn types() -> impl Iterator<Item = DType> {
    DType::ALL.into_iter().filter(|t| *t != DType::Sign)
}
