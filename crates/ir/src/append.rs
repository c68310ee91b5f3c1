//! Adding nodes with inferred outputs, and bringing facts up to date.

use crate::{Dim, Fact, Graph, GraphError, Node, NodeId, TensorType, ValueId, infer};
use alloc::{format, string::String, vec::Vec};
use paring_core::Op;

impl Graph {
    /// Adds a node of `outputs` outputs, all wanted, with inferred types. The outputs are named after the node.
    ///
    /// # Errors
    /// [`GraphError::Infer`] where the operands do not fit the operator.
    pub fn append(
        &mut self,
        name: &str,
        op: Op,
        inputs: &[Option<ValueId>],
        outputs: usize,
    ) -> Result<Vec<ValueId>, GraphError> {
        let node = Node { name: name.into(), op, inputs: inputs.to_vec(), outputs: Vec::new(), epilogue: Vec::new() };
        let facts = self.infer_node(&node, outputs)?;
        let ids: Vec<ValueId> = facts
            .into_iter()
            .enumerate()
            .map(|(i, fact)| {
                let name = if i == 0 { String::from(name) } else { format!("{name}.{i}") };
                self.add_value(&name, fact)
            })
            .collect();
        self.insert(Node { outputs: ids.iter().map(|&v| Some(v)).collect(), ..node })?;
        Ok(ids)
    }

    /// Adds a node with one output and returns that. See [`Graph::append`].
    ///
    /// # Errors
    /// As for [`Graph::append`].
    pub fn append_one(&mut self, name: &str, op: Op, inputs: &[ValueId]) -> Result<ValueId, GraphError> {
        let inputs: Vec<Option<ValueId>> = inputs.iter().map(|&v| Some(v)).collect();
        Ok(self.append(name, op, &inputs, 1)?[0])
    }

    /// What can be inferred of the outputs of `node`, which need not be part of the graph.
    ///
    /// # Errors
    /// [`GraphError::Infer`], and [`GraphError::NoSuchValue`].
    pub fn infer_node(&mut self, node: &Node, outputs: usize) -> Result<Vec<Fact>, GraphError> {
        if let Some(v) = node.inputs.iter().flatten().find(|v| !self.contains(**v)) {
            return Err(GraphError::NoSuchValue { node: node.name.clone(), value: v.0 });
        }
        let facts: Vec<Option<Fact>> = node.inputs.iter().map(|v| v.map(|v| self.value(v).fact.clone())).collect();
        let facts: Vec<Option<&Fact>> = facts.iter().map(Option::as_ref).collect();
        let mut fresh = || -> Dim { self.fresh_symbol() };
        infer::infer(&node.op, &node.epilogue, &facts, outputs, &mut fresh).map_err(|source| GraphError::Infer {
            node: node.name.clone(),
            op: node.op.name(),
            source,
        })
    }

    /// The type that output 0 of `node` has before a last step of the epilogue pools it.
    pub(crate) fn type_before_pooling(&self, node: &Node) -> Option<TensorType> {
        if !node.pools() {
            return node.output(0).filter(|&v| self.contains(v)).map(|v| self.ty(v).clone());
        }
        let fact = |v: &Option<ValueId>| v.filter(|&v| self.contains(v)).map(|v| &self.value(v).fact);
        let facts: Vec<Option<&Fact>> = node.op_inputs().iter().map(fact).collect();
        let mut made = 0u32;
        let mut fresh = || {
            made += 1;
            Dim::symbol(&format!("?unpooled{made}"))
        };
        Some(infer::infer(&node.op, &[], &facts, 1, &mut fresh).ok()?.swap_remove(0).ty)
    }

    /// Infers the facts of the outputs of `id` anew.
    ///
    /// # Errors
    /// As for [`Graph::infer_node`].
    pub fn reinfer(&mut self, id: NodeId) -> Result<(), GraphError> {
        let Some(node) = self.node(id).cloned() else { return Ok(()) };
        let facts = self.infer_node(&node, node.outputs.len())?;
        for (v, fact) in node.outputs.iter().zip(facts) {
            if let Some(v) = v {
                self.value_mut(*v).fact = fact;
            }
        }
        Ok(())
    }

    /// Infers every fact anew, in order.
    ///
    /// # Errors
    /// As for [`Graph::infer_node`], and [`GraphError::Cycle`].
    pub fn reinfer_all(&mut self) -> Result<(), GraphError> {
        for id in self.order()? {
            self.reinfer(id)?;
        }
        Ok(())
    }

    /// A copy with the symbols of the input dimensions replaced by numbers, and everything inferred anew. Symbols
    /// that `bind` knows nothing of stay.
    ///
    /// # Errors
    /// As for [`Graph::reinfer_all`]; [`GraphError::Malformed`] where a dimension becomes negative or overflows.
    pub fn bind(&self, bind: &dyn Fn(&str) -> Option<usize>) -> Result<Graph, GraphError> {
        let mut g = self.clone();
        let to_dim = |s: &str| bind(s).map(Dim::from);
        for &v in self.inputs() {
            let name = g.value(v).name.clone();
            for d in g.value_mut(v).fact.ty.shape.iter_mut().flatten() {
                *d = d
                    .substitute(&to_dim)
                    .filter(|d| d.as_i64().is_none_or(|n| n >= 0))
                    .ok_or_else(|| GraphError::Malformed(format!("input '{name}': dimension {d} does not fit")))?;
            }
        }
        g.reinfer_all()?;
        Ok(g)
    }
}
