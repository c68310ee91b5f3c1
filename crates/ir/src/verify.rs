//! Checks that a graph is what passes and planner take it to be.

use crate::{
    Dim, Fact, Graph, GraphError, Node, NodeId, TensorType, ValueId,
    infer::{self, Signature, channel_axis},
};
use alloc::{collections::BTreeSet, format, string::String, vec, vec::Vec};
use paring_core::{
    DType,
    op::{EpiOp, quantized},
};

impl Graph {
    /// Checks the whole structure: every name in range, every value produced once or given, no circle, epilogues well
    /// formed, recorded types agreeing with inferred ones. Takes time linear in the size of the graph.
    ///
    /// # Errors
    /// The first defect found.
    pub fn verify(&self) -> Result<(), GraphError> {
        self.verify_inputs()?;
        let produced = self.verify_producers()?;
        self.verify_uses(&produced)?;
        for id in self.order()? {
            if let Some(node) = self.node(id) {
                self.verify_epilogue(node)?;
                self.verify_types(node)?;
            }
        }
        Ok(())
    }

    fn verify_inputs(&self) -> Result<(), GraphError> {
        let mut seen = BTreeSet::new();
        for &v in self.inputs() {
            if !self.contains(v) {
                return Err(GraphError::NoSuchValue { node: "the inputs".into(), value: v.0 });
            }
            let value = self.value(v);
            if !seen.insert(v) {
                return Err(GraphError::Malformed(format!("'{}' is listed as an input twice", value.name)));
            }
            if value.fact.constant.is_some() {
                return Err(twice(&value.name, "the inputs", "the constants"));
            }
        }
        for (_, value) in self.values() {
            let Some(c) = &value.fact.constant else { continue };
            let found = Fact::constant(c.clone()).ty;
            if !compatible(&value.fact.ty, &found) {
                return Err(GraphError::Malformed(format!(
                    "constant '{}' is recorded as {} but holds {found}",
                    value.name, value.fact.ty
                )));
            }
        }
        Ok(())
    }

    /// Checks that nodes and values agree on who makes what; returns which values are there without any node or by one.
    fn verify_producers(&self) -> Result<Vec<bool>, GraphError> {
        let mut made: Vec<Option<(NodeId, usize)>> = vec![None; self.value_count()];
        for (id, node) in self.nodes() {
            for (i, &v) in node.outputs.iter().enumerate() {
                let Some(v) = v else { continue };
                let Some(slot) = made.get_mut(v.index()) else {
                    return Err(GraphError::NoSuchValue { node: node.name.clone(), value: v.0 });
                };
                let value = self.value(v);
                if let Some((first, _)) = slot.replace((id, i)) {
                    let first = self.node(first).map_or("?", |n| &n.name);
                    return Err(twice(&value.name, first, &node.name));
                }
                if value.fact.constant.is_some() {
                    return Err(twice(&value.name, "the constants", &node.name));
                }
            }
        }
        for &v in self.inputs() {
            if let Some((id, _)) = made[v.index()] {
                let node = self.node(id).map_or("?", |n| &n.name);
                return Err(twice(&self.value(v).name, "the inputs", node));
            }
        }
        for (v, value) in self.values() {
            if value.producer != made[v.index()] {
                return Err(GraphError::Malformed(format!(
                    "value '{}' names {:?} as its producer, but {:?} makes it",
                    value.name,
                    value.producer,
                    made[v.index()]
                )));
            }
        }
        let mut there: Vec<bool> = made.iter().map(Option::is_some).collect();
        for (v, value) in self.values() {
            there[v.index()] |= value.fact.constant.is_some();
        }
        for &v in self.inputs() {
            there[v.index()] = true;
        }
        Ok(there)
    }

    fn verify_uses(&self, there: &[bool]) -> Result<(), GraphError> {
        let check = |v: ValueId, user: &str| match there.get(v.index()) {
            None => Err(GraphError::NoSuchValue { node: user.into(), value: v.0 }),
            Some(false) => Err(GraphError::NotProduced { value: self.value(v).name.clone(), user: String::from(user) }),
            Some(true) => Ok(()),
        };
        for (_, node) in self.nodes() {
            node.inputs.iter().flatten().try_for_each(|&v| check(v, &node.name))?;
        }
        let mut names = BTreeSet::new();
        for output in self.outputs() {
            check(output.value, "the outputs")?;
            if !names.insert(&output.name) {
                return Err(GraphError::Malformed(format!("two outputs are called '{}'", output.name)));
            }
        }
        Ok(())
    }

    fn verify_epilogue(&self, node: &Node) -> Result<(), GraphError> {
        let own = node.op_inputs().len();
        let mut used = vec![false; node.inputs.len() - own];
        let defect = |step: usize, reason: String| GraphError::Epilogue { node: node.name.clone(), step, reason };
        // Steps before the last see what is quantised as the numbers it stands for.
        let mut out = self.type_before_pooling(node);
        if let (Some(ty), Some(_)) = (&mut out, quantized(&node.epilogue)) {
            *ty = TensorType { dtype: DType::F32, shape: ty.shape.take(), quant: None };
        }
        for (step, epi) in node.epilogue.iter().enumerate() {
            verify_quantize(epi, step + 1 == node.epilogue.len()).map_err(|r| defect(step, r))?;
            let Some(i) = epi.input() else { continue };
            if i < Signature::of(&node.op).required() {
                return Err(defect(step, format!("operand {i} is an input of the operator itself")));
            }
            let Some(slot) = i.checked_sub(own).and_then(|k| used.get_mut(k)) else {
                return Err(defect(step, format!("operand {i} is beyond the {} inputs", node.inputs.len())));
            };
            *slot = true;
            let Some(operand) = node.input(i) else {
                return Err(defect(step, format!("operand {i} is absent")));
            };
            if let Some(out) = &out {
                self.verify_operand(node, epi, out, operand).map_err(|reason| defect(step, reason))?;
            }
        }
        match used.iter().position(|u| !u) {
            Some(k) if !node.epilogue.is_empty() => Err(GraphError::Malformed(format!(
                "node '{}': no step of the epilogue uses input {}",
                node.name,
                own + k
            ))),
            _ => Ok(()),
        }
    }

    fn verify_operand(&self, node: &Node, epi: &EpiOp, out: &TensorType, operand: ValueId) -> Result<(), String> {
        let fact = infer::real(&node.op, &node.epilogue, &self.value(operand).fact);
        let ty = &fact.ty;
        if let EpiOp::Residual { .. } = epi {
            return if compatible(out, ty) {
                Ok(())
            } else {
                Err(format!("the residual must be {out} as the output is, found {ty}"))
            };
        }
        if self.constant(operand).is_none() {
            return Err(format!("the per-channel operand '{}' must be constant", self.value(operand).name));
        }
        let Some(shape) = &out.shape else { return Ok(()) };
        let axis = channel_axis(&node.op, shape.len()).ok_or("the output has no channels")?;
        let expected = TensorType::new(out.dtype, vec![shape[axis].clone()]);
        if compatible(&expected, ty) {
            Ok(())
        } else {
            Err(format!("the per-channel operand must be {expected}, found {ty}"))
        }
    }

    fn verify_types(&self, node: &Node) -> Result<(), GraphError> {
        let facts: Vec<Option<&Fact>> = node.inputs.iter().map(|v| v.map(|v| &self.value(v).fact)).collect();
        let mut made = 0u32;
        let mut fresh = || {
            made += 1;
            Dim::symbol(&format!("?verify{made}"))
        };
        let inferred = infer::infer(&node.op, &node.epilogue, &facts, node.outputs.len(), &mut fresh)
            .map_err(|source| GraphError::Infer { node: node.name.clone(), op: node.op.name(), source })?;
        for (v, fact) in node.outputs.iter().zip(&inferred) {
            let Some(v) = v else { continue };
            let value = self.value(*v);
            // What a custom operator makes is known to its definition only.
            let defined = node.op.as_custom().is_none_or(|a| a.definition.is_some());
            if defined && !compatible(&value.fact.ty, &fact.ty) {
                return Err(GraphError::TypeMismatch {
                    node: node.name.clone(),
                    value: value.name.clone(),
                    recorded: format!("{}", value.fact.ty),
                    inferred: format!("{}", fact.ty),
                });
            }
        }
        Ok(())
    }
}

fn verify_quantize(step: &EpiOp, is_last: bool) -> Result<(), String> {
    let (to, scale, zero_point) = match *step {
        EpiOp::Quantize { to, scale, zero_point } => (to, scale, zero_point),
        EpiOp::Sign { of_zero } if !(-1..=1).contains(&of_zero) => {
            return Err(format!("the sign of zero must be -1, 0 or 1, found {of_zero}"));
        }
        EpiOp::Sign { .. } if !is_last => return Err("taking signs must be the last step".into()),
        _ => return Ok(()),
    };
    let range = to.byte_range().ok_or_else(|| format!("results are quantised to u8 or i8, found {to}"))?;
    if !range.contains(&zero_point) {
        return Err(format!("the zero point must be within the range of {to}, found {zero_point}"));
    }
    if !(scale.is_finite() && scale > 0.0) {
        return Err(format!("the scale must be positive and finite, found {scale}"));
    }
    if is_last { Ok(()) } else { Err("quantising must be the last step".into()) }
}

fn twice(value: &str, first: &str, second: &str) -> GraphError {
    GraphError::ProducedTwice { value: value.into(), first: first.into(), second: second.into() }
}

/// Whether two types may be of one value: the same element type, and no two different numbers for one dimension.
pub(crate) fn compatible(a: &TensorType, b: &TensorType) -> bool {
    let differ = |x: &Dim, y: &Dim| matches!((x.as_i64(), y.as_i64()), (Some(x), Some(y)) if x != y);
    a.dtype == b.dtype
        && match (&a.shape, &b.shape) {
            (Some(a), Some(b)) => a.len() == b.len() && !a.iter().zip(b).any(|(x, y)| differ(x, y)),
            _ => true,
        }
}
