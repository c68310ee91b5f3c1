//! Making networks in Rust.

use crate::{Dim, Graph, GraphError, Node, Tensor, TensorType, ValueId};
use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use paring_core::{
    DType, Op,
    op::{
        Act, AxisAttrs, BatchNormAttrs, Binary, ConvAttrs, DenseAttrs, EpiOp, GlobalPool, Padding, PoolAttrs, PoolKind,
        ReshapeAttrs, SoftmaxAttrs, SoftmaxKind, TransposeAttrs,
    },
};

/// Builds a [`Graph`] layer by layer; every step checks shapes at once.
///
/// ```
/// use paring_ir::{Conv2d, GraphBuilder, Pool2d, DType, Tensor};
///
/// # fn main() -> Result<(), paring_ir::GraphError> {
/// let mut b = GraphBuilder::new("tiny");
/// let x = b.input("image", DType::F32, &["N".into(), 3.into(), 32.into(), 32.into()]);
/// let w = b.constant("conv.w", Tensor::new(&[8, 3, 3, 3], &[0.1f32; 216])?);
/// let bias = b.constant("conv.b", Tensor::new(&[8], &[0.0f32; 8])?);
/// let y = b.conv2d(x, w, Some(bias), Conv2d::new().stride(2).padding(1))?;
/// let y = b.relu(y)?;
/// let y = b.max_pool(y, Pool2d::new(2).stride(2))?;
/// let y = b.global_average_pool(y)?;
/// let y = b.flatten(y)?;
/// let w = b.constant("fc.w", Tensor::new(&[10, 8], &[0.1f32; 80])?);
/// let y = b.dense(y, w, None)?;
/// let y = b.softmax(y, -1)?;
/// b.output("scores", y);
/// let graph = b.finish()?;
/// assert_eq!(graph.ty(y).to_string(), "f32[N, 10]");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct GraphBuilder {
    graph: Graph,
    name: Option<String>,
    made: usize,
}

/// Options of a two-dimensional convolution.
#[derive(Clone, Debug)]
pub struct Conv2d {
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: Padding,
    groups: usize,
}

impl Default for Conv2d {
    fn default() -> Conv2d {
        Conv2d { stride: [1; 2], dilation: [1; 2], padding: Padding::none(2), groups: 1 }
    }
}

impl Conv2d {
    /// Stride and dilation 1, no padding, one group.
    pub fn new() -> Conv2d {
        Conv2d::default()
    }

    /// The same stride on both axes.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Conv2d {
        self.stride = [stride; 2];
        self
    }

    /// The same dilation on both axes.
    #[must_use]
    pub fn dilation(mut self, dilation: usize) -> Conv2d {
        self.dilation = [dilation; 2];
        self
    }

    /// The same padding on all four sides.
    #[must_use]
    pub fn padding(self, padding: usize) -> Conv2d {
        self.padding_by(Padding::Explicit { before: vec![padding; 2], after: vec![padding; 2] })
    }

    /// Any padding.
    #[must_use]
    pub fn padding_by(mut self, padding: Padding) -> Conv2d {
        self.padding = padding;
        self
    }

    /// Groups.
    #[must_use]
    pub fn groups(mut self, groups: usize) -> Conv2d {
        self.groups = groups;
        self
    }
}

/// Options of two-dimensional pooling.
#[derive(Clone, Debug)]
pub struct Pool2d {
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
    ceil: bool,
    count_padding: bool,
}

impl Pool2d {
    /// A square window, stride 1, no padding.
    pub fn new(kernel: usize) -> Pool2d {
        Pool2d { kernel: [kernel; 2], stride: [1; 2], padding: Padding::none(2), ceil: false, count_padding: false }
    }

    /// The same stride on both axes.
    #[must_use]
    pub fn stride(mut self, stride: usize) -> Pool2d {
        self.stride = [stride; 2];
        self
    }

    /// The same padding on all four sides.
    #[must_use]
    pub fn padding(mut self, padding: usize) -> Pool2d {
        self.padding = Padding::Explicit { before: vec![padding; 2], after: vec![padding; 2] };
        self
    }

    /// Whether a last, partial window counts.
    #[must_use]
    pub fn ceil(mut self, ceil: bool) -> Pool2d {
        self.ceil = ceil;
        self
    }

    /// Whether the mean counts padding as elements.
    #[must_use]
    pub fn count_padding(mut self, count: bool) -> Pool2d {
        self.count_padding = count;
        self
    }

    fn attrs(self, kind: PoolKind) -> PoolAttrs {
        PoolAttrs {
            kind,
            kernel: self.kernel.to_vec(),
            stride: self.stride.to_vec(),
            dilation: vec![1; 2],
            padding: self.padding,
            ceil: self.ceil,
            column_major: false,
        }
    }
}

type Made = Result<ValueId, GraphError>;

impl GraphBuilder {
    /// An empty network.
    pub fn new(name: &str) -> GraphBuilder {
        GraphBuilder { graph: Graph::new(name), name: None, made: 0 }
    }

    /// Names the next node; otherwise nodes are named after their operator.
    pub fn name(&mut self, name: &str) -> &mut GraphBuilder {
        self.name = Some(name.into());
        self
    }

    /// An input. Dimensions are numbers or symbols: `"N".into()`, `3.into()`.
    pub fn input(&mut self, name: &str, dtype: DType, shape: &[Dim]) -> ValueId {
        self.graph.add_input(name, TensorType::new(dtype, shape.to_vec()))
    }

    /// A constant.
    pub fn constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        self.graph.add_constant(name, tensor)
    }

    /// Makes `v` an output.
    pub fn output(&mut self, name: &str, v: ValueId) {
        self.graph.add_output(name, v);
    }

    /// The type of a value made so far.
    ///
    /// # Errors
    /// [`GraphError::NoSuchValue`] where `v` is of another network.
    pub fn ty(&self, v: ValueId) -> Result<&TensorType, GraphError> {
        if self.graph.contains(v) {
            return Ok(self.graph.ty(v));
        }
        Err(GraphError::NoSuchValue { node: "the builder".into(), value: v.0 })
    }

    /// The finished network, verified.
    ///
    /// # Errors
    /// As for [`Graph::verify`].
    pub fn finish(self) -> Result<Graph, GraphError> {
        self.graph.verify()?;
        Ok(self.graph)
    }

    /// Applies any operator with one output.
    ///
    /// # Errors
    /// [`GraphError::Infer`] where the operands do not fit, as for all methods that add a node.
    pub fn op(&mut self, op: Op, inputs: &[ValueId]) -> Made {
        let inputs: Vec<Option<ValueId>> = inputs.iter().map(|&v| Some(v)).collect();
        Ok(self.op_with(op, &inputs, 1)?[0])
    }

    /// Applies any operator, with absent operands and several outputs.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn op_with(&mut self, op: Op, inputs: &[Option<ValueId>], outputs: usize) -> Result<Vec<ValueId>, GraphError> {
        if outputs == 0 {
            return Err(GraphError::Malformed(format!("{} must have at least one output here", op.name())));
        }
        let name = self.next_name(&op);
        self.graph.append(&name, op, inputs, outputs)
    }

    fn next_name(&mut self, op: &Op) -> String {
        self.made += 1;
        self.name.take().unwrap_or_else(|| format!("{}_{}", op.name(), self.made))
    }

    /// A node with a bias in its epilogue, where there is one.
    fn biased(&mut self, op: Op, x: ValueId, w: ValueId, bias: Option<ValueId>) -> Made {
        let name = self.next_name(&op);
        let mut node = Node { name, op, inputs: vec![Some(x), Some(w)], outputs: vec![], epilogue: vec![] };
        if bias.is_some() {
            node.push_epilogue(bias, |input| EpiOp::Bias { input });
        }
        let mut facts = self.graph.infer_node(&node, 1)?;
        let fact = facts.pop().ok_or_else(|| GraphError::Malformed("a node without an output".to_string()))?;
        let v = self.graph.add_value(&node.name, fact);
        node.outputs.push(Some(v));
        self.graph.insert(node)?;
        Ok(v)
    }

    /// A two-dimensional convolution: `x [N, C, H, W]`, `w [M, C / groups, kh, kw]`, `bias [M]`, a constant.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn conv2d(&mut self, x: ValueId, w: ValueId, bias: Option<ValueId>, options: Conv2d) -> Made {
        let shape = self.ty(w)?.known_shape().filter(|s| s.len() == 4).ok_or_else(|| {
            GraphError::Malformed(format!(
                "the weights of a convolution must have 4 known axes, found {}",
                self.graph.ty(w)
            ))
        })?;
        let attrs = ConvAttrs {
            kernel: shape[2..].to_vec(),
            stride: options.stride.to_vec(),
            dilation: options.dilation.to_vec(),
            padding: options.padding,
            groups: options.groups,
            select: None,
        };
        self.biased(Op::Conv(attrs), x, w, bias)
    }

    /// A convolution of each channel by itself: `w [C, 1, kh, kw]`. The groups of `options` are replaced.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`]; the channels of `x` must be known.
    pub fn depthwise(&mut self, x: ValueId, w: ValueId, bias: Option<ValueId>, options: Conv2d) -> Made {
        let channels = self.ty(x)?.shape.as_ref().and_then(|s| s.get(1)).and_then(Dim::known);
        let channels = channels.ok_or_else(|| {
            GraphError::Malformed("a depthwise convolution needs the number of channels to be known".into())
        })?;
        self.conv2d(x, w, bias, options.groups(channels))
    }

    /// A fully connected layer: `x [..., K]`, `w [N, K]`, `bias [N]`, a constant.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn dense(&mut self, x: ValueId, w: ValueId, bias: Option<ValueId>) -> Made {
        self.biased(Op::Dense(DenseAttrs { transposed: true }), x, w, bias)
    }

    /// A non-linearity.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn activation(&mut self, act: Act, x: ValueId) -> Made {
        self.op(Op::Activation(act), &[x])
    }

    /// `max(x, 0)`.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn relu(&mut self, x: ValueId) -> Made {
        self.activation(Act::Relu, x)
    }

    /// Max pooling.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn max_pool(&mut self, x: ValueId, options: Pool2d) -> Made {
        self.op(Op::Pool(options.attrs(PoolKind::Max)), &[x])
    }

    /// Average pooling.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn avg_pool(&mut self, x: ValueId, options: Pool2d) -> Made {
        let count_padding = options.count_padding;
        self.op(Op::Pool(options.attrs(PoolKind::Average { count_padding })), &[x])
    }

    /// The mean over all spatial axes, which become 1.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn global_average_pool(&mut self, x: ValueId) -> Made {
        self.op(Op::GlobalPool(GlobalPool::Average), &[x])
    }

    /// Batch normalisation with fixed statistics, each `[C]`.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn batch_norm(
        &mut self,
        x: ValueId,
        scale: ValueId,
        bias: ValueId,
        mean: ValueId,
        var: ValueId,
        epsilon: f32,
    ) -> Made {
        self.op(Op::BatchNorm(BatchNormAttrs { epsilon }), &[x, scale, bias, mean, var])
    }

    /// `a + b`, broadcast.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Made {
        self.op(Op::Binary(Binary::Add), &[a, b])
    }

    /// `a * b`, broadcast.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn mul(&mut self, a: ValueId, b: ValueId) -> Made {
        self.op(Op::Binary(Binary::Mul), &[a, b])
    }

    /// Joins along `axis`.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn concat(&mut self, parts: &[ValueId], axis: i64) -> Made {
        self.op(Op::Concat(AxisAttrs { axis }), parts)
    }

    /// The same elements under another shape: 0 copies an axis, -1 is what is left.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn reshape(&mut self, x: ValueId, shape: &[i64]) -> Made {
        let shape = self.constant("shape", Tensor::from_i64s(shape));
        self.op(Op::Reshape(ReshapeAttrs { allow_zero: false }), &[x, shape])
    }

    /// `[N, ...]` to `[N, rest]`.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn flatten(&mut self, x: ValueId) -> Made {
        self.op(Op::Flatten(AxisAttrs { axis: 1 }), &[x])
    }

    /// Softmax along `axis`.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn softmax(&mut self, x: ValueId, axis: i64) -> Made {
        self.op(Op::Softmax(SoftmaxAttrs { kind: SoftmaxKind::Softmax, axis, to_end: false }), &[x])
    }

    /// Output axis `i` is input axis `perm[i]`.
    ///
    /// # Errors
    /// As for [`GraphBuilder::op`].
    pub fn transpose(&mut self, x: ValueId, perm: &[usize]) -> Made {
        self.op(Op::Transpose(TransposeAttrs { perm: Some(perm.to_vec()) }), &[x])
    }
}

impl From<&str> for Dim {
    /// A symbol.
    fn from(name: &str) -> Dim {
        Dim::symbol(name)
    }
}
