//! Computing single nodes outside a plan: for folding constants, and for operators whose output shape depends on data.

use paring_core::Tensor;
use paring_ir::{Graph, Node};
#[cfg(feature = "fallback")]
use {
    paring_core::op::EpiOp,
    paring_ir::ValueId,
    paring_kernel::{Numerics, Operand, Problem},
    std::sync::Arc,
};

/// Folds with the reference kernels.
#[cfg(feature = "optimizer")]
pub(crate) struct ReferenceEvaluator;

#[cfg(feature = "optimizer")]
impl paring_opt::Evaluator for ReferenceEvaluator {
    fn evaluate(&self, graph: &Graph, node: &Node, inputs: &[Option<&Tensor>]) -> Result<Vec<Option<Tensor>>, String> {
        evaluate(graph, node, inputs)
    }
}

/// The outputs of `node` for these inputs.
#[cfg(feature = "fallback")]
pub(crate) fn evaluate(graph: &Graph, node: &Node, inputs: &[Option<&Tensor>]) -> Result<Vec<Option<Tensor>>, String> {
    if node.op.is_data_dependent() {
        let outputs = paring_reference::evaluate_dynamic(&node.op, inputs).map_err(|e| e.to_string())?;
        return Ok(outputs.into_iter().map(Some).collect());
    }
    let problem = problem(graph, node, inputs)?;
    paring_reference::evaluate(&problem, inputs).map_err(|e| e.to_string())
}

/// There is nothing to compute them with.
#[cfg(not(feature = "fallback"))]
pub(crate) fn evaluate(_: &Graph, node: &Node, _: &[Option<&Tensor>]) -> Result<Vec<Option<Tensor>>, String> {
    Err(format!("{} is computed while planning: build with the feature `fallback`", node.op.name()))
}

#[cfg(feature = "fallback")]
fn problem(graph: &Graph, node: &Node, inputs: &[Option<&Tensor>]) -> Result<Problem, String> {
    let operand = |v: ValueId| {
        let value = graph.value(v);
        let shape = value.fact.ty.known_shape();
        let shape = shape.ok_or_else(|| format!("the shape of '{}' is not known: {}", value.name, value.fact.ty))?;
        let quant = value.fact.ty.quant.clone();
        Ok::<_, String>(Operand { quant, ..Operand::new(value.fact.ty.dtype, &shape) })
    };
    let outputs: Result<Vec<_>, _> = node.outputs.iter().map(|v| v.map(operand).transpose()).collect();
    let epilogue: Vec<EpiOp> = node.epilogue.clone();
    Ok(Problem {
        name: node.name.clone(),
        op: node.op.clone(),
        inputs: inputs.iter().map(|t| t.map(|t| Operand::constant(Arc::new(t.clone())))).collect(),
        outputs: outputs?,
        epilogue,
        numerics: Numerics::Default,
    })
}
