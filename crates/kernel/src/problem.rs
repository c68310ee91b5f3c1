//! One node with everything concrete.

use crate::NumericClass;
use alloc::{string::String, sync::Arc, vec::Vec};
use paring_core::{
    DType, Layout, Quant, Tensor, numel,
    op::{self, EpiOp, Op},
};

/// How far results may stray from the order of operations in the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Numerics {
    /// Only reassociation of sums: no Winograd, no FFT.
    Strict,
    /// Algorithms whose error stays near that of plain `f32`.
    #[default]
    Default,
    /// Weights stored in half precision and the like.
    Fast,
}

impl Numerics {
    /// Whether an offer of that class may run.
    pub fn allows(self, class: NumericClass) -> bool {
        match class {
            NumericClass::Exact | NumericClass::Reassociated => true,
            NumericClass::Transformed => self >= Numerics::Default,
            NumericClass::Reduced => self == Numerics::Fast,
        }
    }
}

/// One input or output of a problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Operand {
    /// Element type.
    pub dtype: DType,
    /// Logical dimensions.
    pub shape: Vec<usize>,
    /// Quantisation.
    pub quant: Option<Quant>,
    /// The elements, where they are known before running.
    pub constant: Option<Arc<Tensor>>,
}

impl Operand {
    /// An operand whose elements are known only while running.
    pub fn new(dtype: DType, shape: &[usize]) -> Operand {
        Operand { dtype, shape: shape.to_vec(), quant: None, constant: None }
    }

    /// A constant operand.
    pub fn constant(tensor: Arc<Tensor>) -> Operand {
        Operand {
            dtype: tensor.dtype(),
            shape: tensor.shape().to_vec(),
            quant: tensor.quant().cloned(),
            constant: Some(tensor),
        }
    }

    /// Number of logical elements.
    pub fn len(&self) -> usize {
        numel(&self.shape).unwrap_or(usize::MAX)
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes in `layout`, padding lanes included; `None` where that overflows or the layout does not fit.
    pub fn bytes(&self, layout: Layout) -> Option<usize> {
        self.dtype.bytes(layout.elements(&self.shape)?)
    }
}

/// One node: operator, concrete operands, epilogue.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The node's name, for messages.
    pub name: String,
    /// The operator.
    pub op: Op,
    /// Its inputs, then the operands of the epilogue; `None` where an optional one is absent.
    pub inputs: Vec<Option<Operand>>,
    /// Its outputs; `None` where nobody wants one.
    pub outputs: Vec<Option<Operand>>,
    /// What happens to output 0 before it is stored.
    pub epilogue: Vec<EpiOp>,
    /// The numerics level that offers must keep to.
    pub numerics: Numerics,
}

impl Problem {
    /// Whether operands stand for real numbers that the operator computes with, or the result is quantised.
    pub fn is_quantised(&self) -> bool {
        let quantises = op::quantized(&self.epilogue).is_some();
        quantises || (self.op.reads_reals() && self.inputs.iter().flatten().any(|x| x.quant.is_some()))
    }

    /// Input `i`, if it is there.
    pub fn input(&self, i: usize) -> Option<&Operand> {
        self.inputs.get(i)?.as_ref()
    }

    /// Output `i`, if it is wanted.
    pub fn output(&self, i: usize) -> Option<&Operand> {
        self.outputs.get(i)?.as_ref()
    }

    /// The constant at input `i`.
    pub fn constant(&self, i: usize) -> Option<&Arc<Tensor>> {
        self.input(i)?.constant.as_ref()
    }

    /// Whether the last step of the epilogue pools.
    pub fn pools(&self) -> bool {
        self.epilogue.last() == Some(&EpiOp::MaxPool)
    }

    /// This problem without a last step that pools, and with the larger output that it would pool; `None` where there
    /// is no such step, or the operands do not fit the operator.
    pub fn unpooled(&self) -> Option<Problem> {
        let Op::Conv(a) = self.op.clone() else { return None };
        if !self.pools() {
            return None;
        }
        let spatial = a.output(self.input(0)?.shape.get(2..)?)?;
        let mut p = self.clone();
        p.epilogue.pop();
        let y = p.outputs.first_mut()?.as_mut()?;
        y.shape.truncate(2);
        y.shape.extend(spatial);
        Some(p)
    }

    /// The elements of a constant integer input.
    pub fn const_i64s(&self, i: usize) -> Option<Vec<i64>> {
        self.constant(i)?.to_i64s()
    }

    /// The elements of a constant `f32` input.
    pub fn const_f32s(&self, i: usize) -> Option<Vec<f32>> {
        Some(self.constant(i)?.elements::<f32>()?.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_allow_classes() {
        use NumericClass::*;
        let allowed = |n: Numerics| [Exact, Reassociated, Transformed, Reduced].map(|class| n.allows(class));
        assert_eq!(allowed(Numerics::Strict), [true, true, false, false]);
        assert_eq!(allowed(Numerics::Default), [true, true, true, false]);
        assert_eq!(allowed(Numerics::Fast), [true; 4]);
    }
}
