//! What an importer of one operator works with.

use crate::{ImportError, attrs::Attrs, proto::TensorProto, tensor::TensorReader};
use paring_core::{DType, Tensor, op::EpiOp};
use paring_ir::{Dim, Graph, GraphError, Node, Op, ValueId};
use std::{cell::Cell, sync::Arc};

/// Why a node could not be imported.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Valid, but beyond what is implemented; collected over the whole graph.
    Unsupported(String),
    /// Against the standard.
    Invalid(String),
    /// Types or shapes do not fit.
    Graph(GraphError),
    /// Anything that already names its culprit.
    Import(ImportError),
}

impl From<GraphError> for Fault {
    fn from(e: GraphError) -> Fault {
        Fault::Graph(e)
    }
}

impl From<ImportError> for Fault {
    fn from(e: ImportError) -> Fault {
        Fault::Import(e)
    }
}

/// The values of the outputs of a node, `None` for those that nobody wants.
pub(crate) type Outputs = Result<Vec<Option<ValueId>>, Fault>;

pub(crate) fn unsupported<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Unsupported(reason.into()))
}

pub(crate) fn invalid<T>(reason: impl Into<String>) -> Result<T, Fault> {
    Err(Fault::Invalid(reason.into()))
}

/// One node of the file, with the graph that it goes to.
pub(crate) struct Cx<'a, 't> {
    pub(crate) graph: &'a mut Graph,
    pub(crate) reader: &'a mut TensorReader<'t>,
    pub(crate) attrs: Attrs<'a>,
    pub(crate) op: &'a str,
    pub(crate) opset: i64,
    pub(crate) name: String,
    pub(crate) inputs: Vec<Option<ValueId>>,
    /// How many inputs have been asked for: more cannot mean anything.
    pub(crate) asked: Cell<usize>,
    /// Which outputs the node names.
    pub(crate) wanted: Vec<bool>,
    pub(crate) made: usize,
}

impl Cx<'_, '_> {
    // ---- operands

    /// Input `i`, which must be there.
    pub(crate) fn x(&self, i: usize) -> Result<ValueId, Fault> {
        let found = self.inputs.len();
        self.opt(i).ok_or_else(|| Fault::Invalid(format!("input {i} is missing (the node has {found} inputs)")))
    }

    pub(crate) fn opt(&self, i: usize) -> Option<ValueId> {
        self.asked.set(self.asked.get().max(i + 1));
        self.inputs.get(i).copied().flatten()
    }

    /// Whether output `i` is asked for.
    pub(crate) fn wants(&self, i: usize) -> bool {
        self.wanted.get(i).copied().unwrap_or(false)
    }

    pub(crate) fn dtype(&self, v: ValueId) -> DType {
        self.graph.ty(v).dtype
    }

    pub(crate) fn rank(&self, v: ValueId) -> Option<usize> {
        self.graph.ty(v).rank()
    }

    pub(crate) fn dims(&self, v: ValueId) -> Option<&[Dim]> {
        self.graph.ty(v).shape.as_deref()
    }

    /// Dimension `i`, where it is a known number.
    pub(crate) fn dim(&self, v: ValueId, i: usize) -> Option<usize> {
        self.dims(v)?.get(i)?.known()
    }

    pub(crate) fn tensor(&self, v: ValueId) -> Option<&Arc<Tensor>> {
        self.graph.constant(v)
    }

    /// The only element of a constant.
    pub(crate) fn const_scalar(&self, v: ValueId) -> Option<f64> {
        let t = self.tensor(v)?;
        if t.len() != 1 {
            return None;
        }
        t.to_f64s()?.first().copied()
    }

    // ---- constants

    /// The tensor of an attribute. One without a name goes by that of the node; one of a type that is not supported
    /// makes the node unsupported.
    pub(crate) fn read(&mut self, proto: &TensorProto) -> Result<Tensor, Fault> {
        self.reader.read(proto).map_err(|e| match e {
            ImportError::Tensor { reason, .. } if proto.name.is_empty() => {
                ImportError::Tensor { tensor: self.name.clone(), reason }.into()
            }
            ImportError::UnsupportedType { ty, .. } => Fault::Unsupported(format!("a tensor of {ty}")),
            e => e.into(),
        })
    }

    pub(crate) fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = format!("{}.const", self.name);
        self.graph.add_constant(&name, tensor)
    }

    pub(crate) fn i64s(&mut self, values: &[i64]) -> ValueId {
        self.constant(Tensor::from_i64s(values))
    }

    /// A constant of rank 0.
    pub(crate) fn scalar(&mut self, dtype: DType, value: f64) -> Result<ValueId, Fault> {
        let t = scalar(dtype, value).ok_or_else(|| Fault::Unsupported(format!("a constant of type {dtype}")))?;
        Ok(self.constant(t))
    }

    // ---- nodes

    /// Adds a node of one output.
    pub(crate) fn node(&mut self, op: Op, inputs: &[ValueId]) -> Result<ValueId, Fault> {
        let inputs: Vec<_> = inputs.iter().map(|&v| Some(v)).collect();
        let out = self.insert(op, inputs, &[true], Vec::new())?;
        self.first(out)
    }

    /// Adds a node of one output, some of whose inputs may be absent.
    pub(crate) fn node_opt(&mut self, op: Op, inputs: &[Option<ValueId>]) -> Result<ValueId, Fault> {
        let out = self.insert(op, inputs.to_vec(), &[true], Vec::new())?;
        self.first(out)
    }

    fn first(&self, out: Vec<Option<ValueId>>) -> Result<ValueId, Fault> {
        out.first().copied().flatten().ok_or_else(|| Fault::Invalid("the operator has no output".into()))
    }

    /// Adds a node of one output with a per-channel vector added to it.
    pub(crate) fn node_with_bias(&mut self, op: Op, inputs: &[ValueId], bias: ValueId) -> Result<ValueId, Fault> {
        let index = inputs.len();
        let inputs = inputs.iter().chain([&bias]).map(|&v| Some(v)).collect();
        let out = self.insert(op, inputs, &[true], vec![EpiOp::Bias { input: index }])?;
        self.first(out)
    }

    /// All inputs.
    pub(crate) fn all_inputs(&self) -> Vec<Option<ValueId>> {
        self.asked.set(self.inputs.len());
        self.inputs.clone()
    }

    /// Adds a node with all inputs and outputs of this one.
    pub(crate) fn all(&mut self, op: Op) -> Outputs {
        let inputs = self.all_inputs();
        let wanted = self.wanted.clone();
        self.insert(op, inputs, &wanted, Vec::new())
    }

    /// Adds a node with these inputs and the outputs of this one.
    pub(crate) fn finish(&mut self, op: Op, inputs: &[Option<ValueId>]) -> Outputs {
        let wanted = self.wanted.clone();
        self.insert(op, inputs.to_vec(), &wanted, Vec::new())
    }

    /// The result of a node of one output.
    pub(crate) fn done(&self, v: ValueId) -> Outputs {
        Ok(vec![Some(v)])
    }

    pub(crate) fn insert(
        &mut self,
        op: Op,
        mut inputs: Vec<Option<ValueId>>,
        wanted: &[bool],
        epilogue: Vec<EpiOp>,
    ) -> Outputs {
        while epilogue.is_empty() && inputs.last().is_some_and(Option::is_none) {
            inputs.pop();
        }
        let name = if self.made == 0 { self.name.clone() } else { format!("{}.{}", self.name, self.made) };
        self.made += 1;
        let node = Node { name, op, inputs, outputs: Vec::new(), epilogue };
        let facts = self.graph.infer_node(&node, wanted.len())?;
        if facts.len() < wanted.len() {
            return invalid(format!("the operator has {} outputs, but the node names {}", facts.len(), wanted.len()));
        }
        let outputs: Vec<Option<ValueId>> = facts
            .into_iter()
            .zip(wanted)
            .enumerate()
            .map(|(i, (fact, &w))| w.then(|| self.graph.add_value(&format!("{}:{i}", node.name), fact)))
            .collect();
        self.graph.insert(Node { outputs: outputs.clone(), ..node })?;
        Ok(outputs)
    }
}

/// A tensor of rank 0.
pub(crate) fn scalar(dtype: DType, x: f64) -> Option<Tensor> {
    let s: &[usize] = &[];
    match dtype {
        DType::F32 => Tensor::new(s, &[x as f32]),
        DType::F64 => Tensor::new(s, &[x]),
        DType::F16 => Tensor::new(s, &[half::f16::from_f64(x)]),
        DType::BF16 => Tensor::new(s, &[half::bf16::from_f64(x)]),
        DType::I8 => Tensor::new(s, &[x as i8]),
        DType::U8 => Tensor::new(s, &[x as u8]),
        DType::I16 => Tensor::new(s, &[x as i16]),
        DType::U16 => Tensor::new(s, &[x as u16]),
        DType::I32 => Tensor::new(s, &[x as i32]),
        DType::U32 => Tensor::new(s, &[x as u32]),
        DType::I64 => Tensor::new(s, &[x as i64]),
        DType::U64 => Tensor::new(s, &[x as u64]),
        DType::Bool => Tensor::from_bools(s, &[x != 0.0]),
        _ => return None,
    }
    .ok()
}
