//! Nodes and the names of things.

use alloc::{string::String, vec::Vec};
use paring_core::{Op, op::EpiOp};

/// Names a value of one [`crate::Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub u32);

/// Names a node of one [`crate::Graph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl ValueId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl NodeId {
    /// As an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One application of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// A name for people; need not be unique.
    pub name: String,
    /// The operator.
    pub op: Op,
    /// Its inputs, then the operands of the epilogue.
    pub inputs: Vec<Option<ValueId>>,
    /// Its outputs; `None` where nobody wants one.
    pub outputs: Vec<Option<ValueId>>,
    /// What happens to output 0 before it is stored. Passes append to it; no fused operator is ever invented.
    pub epilogue: Vec<EpiOp>,
}

impl Node {
    /// The inputs of the operator itself, without the operands of the epilogue.
    pub fn op_inputs(&self) -> &[Option<ValueId>] {
        let n = self.epilogue.iter().filter_map(EpiOp::input).min().unwrap_or(self.inputs.len());
        &self.inputs[..n.min(self.inputs.len())]
    }

    /// Input `i`, where it is present.
    pub fn input(&self, i: usize) -> Option<ValueId> {
        self.inputs.get(i).copied().flatten()
    }

    /// Output `i`, where it is wanted.
    pub fn output(&self, i: usize) -> Option<ValueId> {
        self.outputs.get(i).copied().flatten()
    }

    /// Whether the last step of the epilogue pools: no other may follow.
    pub fn pools(&self) -> bool {
        self.epilogue.last() == Some(&EpiOp::MaxPool)
    }

    /// Appends a step to the epilogue, with `operand` as a new last input where the step has one. `make` gets the
    /// operand's index.
    pub fn push_epilogue(&mut self, operand: Option<ValueId>, make: impl FnOnce(usize) -> EpiOp) {
        let index = self.inputs.len();
        if let Some(v) = operand {
            self.inputs.push(Some(v));
        }
        self.epilogue.push(make(index));
    }
}
