//! The reference behind the seam of the kernels.

use crate::dispatch::build;
use crate::io::{Built, Io, KernelResult, problem};
use alloc::{boxed::Box, format, sync::Arc, vec::Vec};
use paring_core::{AlignedBuf, Op, Tensor, numel};
use paring_kernel::{
    Cost, Isa, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Offer, Packed, Prepared, Problem, Reject,
    RunCx, Scratch,
};

/// The reference of one family of operators.
struct ReferenceKernel(&'static KernelDescriptor);

macro_rules! families {
    ($($id:ident $name:literal $ops:expr;)*) => {
        $(static $id: ReferenceKernel = ReferenceKernel(&KernelDescriptor {
            name: $name,
            summary: "the definition, element by element, summed in f64",
            ops: $ops,
            isa: Isa::Portable,
            numerics: NumericClass::Reassociated,
        });)*

        /// The references of every operator, by family.
        pub static KERNELS: &[&dyn Kernel] = &[$(&$id),*];
    };
}
families! {
    CONV "conv_reference" &["Conv", "ConvInteger", "ConvTranspose"];
    MATMUL "matmul_reference" &["Dense", "MatMul", "MatMulInteger", "Einsum"];
    POOL "pool_reference" &["Pool", "GlobalPool", "MaxUnpool", "RoiAlign"];
    ELEMENTWISE "elementwise_reference" &["Unary", "Activation", "Binary", "Where", "Cast"];
    QUANTIZE "quantize_reference" &["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"];
    NORM "norm_reference" &["BatchNorm", "InstanceNorm", "GroupNorm", "LayerNorm", "Lrn", "LpNorm", "Softmax"];
    REDUCE "reduce_reference" &["Reduce", "ArgReduce", "CumSum", "TopK"];
    SELECT "select_reference" &["Unique", "NonMaxSuppression", "NonZero", "Compress"];
    MOVEMENT "movement_reference" &[
        "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Transpose", "Concat", "Split", "Slice", "Pad",
        "Expand", "Tile", "DepthToSpace", "SpaceToDepth", "ChannelShuffle", "ReverseSequence", "Trilu",
    ];
    INDEX "index_reference" &[
        "Gather", "GatherElements", "GatherNd", "ScatterElements", "ScatterNd", "OneHot",
    ];
    CREATE "create_reference" &["Range", "ConstantOfShape", "Shape", "Size", "EyeLike"];
    SAMPLE "sample_reference" &["Resize", "GridSample"];
    RECURRENT "recurrent_reference" &["Recurrent"];
}

impl Kernel for ReferenceKernel {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.0
    }

    fn reads_quantised(&self) -> bool {
        true
    }

    fn pools(&self) -> bool {
        true
    }

    fn offers(&self, p: &Problem, _: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        if p.op.is_data_dependent() {
            return Err(Reject::because("the shape of the output depends on the data"));
        }
        let b = build(p).map_err(|e| Reject::from(format!("{e}")))?;
        let scratch = Scratch { shared: b.scratch, per_worker: 0 };
        out.push(Offer { fused: p.epilogue.len(), scratch, ..Offer::plain(p) });
        Ok(())
    }

    /// Dear on purpose: whatever else offers is better.
    fn cost(&self, p: &Problem, _: &Offer, m: &Machine) -> Cost {
        let bytes = |o: &paring_kernel::Operand| (o.len() as f64) * o.dtype.bits() as f64 / 8.0;
        let bytes: f64 = p.inputs.iter().chain(&p.outputs).flatten().map(bytes).sum();
        let ns = 1000.0 + 20.0 * work(p) + bytes / m.memory_bandwidth.max(1.0);
        Cost { ns, bytes }
    }

    fn prepare(&self, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        Ok(Box::new(PreparedReference(build(p)?)))
    }
}

/// Elements touched, roughly.
fn work(p: &Problem) -> f64 {
    if let Some(unpooled) = p.unpooled() {
        return work(&unpooled);
    }
    let out: f64 = p.outputs.iter().flatten().map(|o| o.len() as f64).sum();
    let product = |i: usize, from: usize| -> f64 {
        p.input(i).map_or(1.0, |o| o.shape.iter().skip(from).map(|&d| d as f64).product())
    };
    match &p.op {
        Op::Conv(_) | Op::ConvInteger(_) => out * product(1, 1),
        Op::ConvTranspose(_) => {
            out * product(1, 0) / p.input(1).and_then(|w| w.shape.get(1)).map_or(1.0, |&m| m as f64)
        }
        Op::Dense(_) | Op::MatMul | Op::MatMulInteger => {
            out * p.input(0).and_then(|x| x.shape.last()).map_or(1.0, |&k| k as f64)
        }
        Op::Einsum(_) => out * product(0, 0),
        Op::Pool(a) => out * a.kernel.iter().map(|&k| k as f64).product::<f64>(),
        Op::Recurrent(a) => product(0, 0) * product(1, 0) + out * 4.0 * a.hidden as f64,
        op if op.is_view() => 0.0,
        // Copies cost what their elements cost to find, a tenth of what one costs to compute.
        Op::Transpose(_) | Op::Concat(_) | Op::Split(_) | Op::Slice | Op::Pad(_) | Op::Expand | Op::Tile => out / 10.0,
        Op::DepthToSpace(_) | Op::SpaceToDepth(_) | Op::ChannelShuffle(_) | Op::Gather(_) => out / 10.0,
        _ => out + product(0, 0),
    }
}

struct PreparedReference(Built);

impl Prepared for PreparedReference {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let scratch = match self.0.scratch {
            0 => &mut [],
            // SAFETY: the only slice of the scratch that this run makes.
            bytes => unsafe { cx.scratch::<u8>().slice(0, bytes) },
        };
        (self.0.run)(&mut Running { cx, scratch: Some(scratch) })
    }
}

/// Operands of a planned run.
struct Running<'a, 'i> {
    cx: &'a mut RunCx<'i>,
    scratch: Option<&'i mut [u8]>,
}

impl<'i> Io<'i> for Running<'_, 'i> {
    fn input(&self, i: usize) -> &'i [u8] {
        if self.cx.has_input(i) { self.cx.input(i) } else { &[] }
    }

    fn output(&mut self, i: usize) -> &mut [u8] {
        if self.cx.has_output(i) { self.cx.output(i) } else { &mut [] }
    }

    fn scratch(&mut self) -> &'i mut [u8] {
        self.scratch.take().unwrap_or_default()
    }
}

/// Computes the outputs of a problem from tensors, without a plan: the oracle of the tests and the evaluator of the
/// constant folder. `inputs` stand for the operands of `p` in order; those the problem knows as constants may be left
/// out.
///
/// # Errors
/// [`KernelError::Problem`] where types, shapes or attributes do not fit, [`KernelError::Data`] where an element is
/// not allowed, [`KernelError::Alloc`] where memory is short.
pub fn evaluate(p: &Problem, inputs: &[Option<&Tensor>]) -> Result<Vec<Option<Tensor>>, KernelError> {
    let mut p = p.clone();
    for (i, operand) in p.inputs.iter_mut().enumerate() {
        let Some(operand) = operand else { continue };
        let given = inputs.get(i).copied().flatten().or(operand.constant.as_deref());
        let t = given.ok_or_else(|| problem(format!("input {i} was not given")))?;
        if t.dtype() != operand.dtype || t.shape() != operand.shape {
            let (d, s) = (operand.dtype, &operand.shape);
            return Err(problem(format!("input {i} is {}{:?} where {d}{s:?} is needed", t.dtype(), t.shape())));
        }
        operand.constant = Some(Arc::new(aligned(t)?));
    }
    let built = build(&p)?;
    let mut scratch = AlignedBuf::zeroed(built.scratch)?;
    let outputs = p.outputs.iter().map(|o| o.as_ref().map(buffer).transpose()).collect::<Result<Vec<_>, _>>()?;
    let mut io = Evaluating { p: &p, outputs, scratch: Some(scratch.as_mut_slice()) };
    (built.run)(&mut io)?;
    let finish = |(o, buffer): (&Option<paring_kernel::Operand>, Option<AlignedBuf>)| {
        let (Some(o), Some(buffer)) = (o, buffer) else { return Ok(None) };
        Ok(Some(Tensor::from_buffer(o.dtype, &o.shape, buffer)?.with_quant(o.quant.clone())))
    };
    p.outputs.iter().zip(io.outputs).map(finish).collect()
}

fn buffer(o: &paring_kernel::Operand) -> KernelResult<AlignedBuf> {
    let bytes = numel(&o.shape).ok().and_then(|n| o.dtype.bytes(n));
    let bytes = bytes.ok_or_else(|| problem(format!("output {:?} exceeds the address space", o.shape)))?;
    Ok(AlignedBuf::zeroed(bytes)?)
}

/// The tensor, copied where its bytes do not lie as its elements need.
pub(crate) fn aligned(t: &Tensor) -> KernelResult<Tensor> {
    if (t.bytes().as_ptr() as usize).is_multiple_of(t.dtype().bits().div_ceil(8)) {
        return Ok(t.clone());
    }
    Ok(Tensor::from_bytes(t.dtype(), t.shape(), t.bytes())?)
}

/// Operands of an evaluation: constants in, fresh buffers out.
struct Evaluating<'i> {
    p: &'i Problem,
    outputs: Vec<Option<AlignedBuf>>,
    scratch: Option<&'i mut [u8]>,
}

impl<'i> Io<'i> for Evaluating<'i> {
    fn input(&self, i: usize) -> &'i [u8] {
        self.p.constant(i).map_or(&[], |t| t.bytes())
    }

    fn output(&mut self, i: usize) -> &mut [u8] {
        self.outputs.get_mut(i).and_then(Option::as_mut).map_or(&mut [], AlignedBuf::as_mut_slice)
    }

    fn scratch(&mut self) -> &'i mut [u8] {
        self.scratch.take().unwrap_or_default()
    }
}
