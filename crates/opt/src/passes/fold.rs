//! Computes what does not depend on the inputs: nodes of constants, and arithmetic on shapes.

use crate::{OptError, Pass, PassCx, Proposal};
use paring_core::{DType, Tensor};
use paring_ir::{Fact, Node, NodeId, Op};

/// The name of this pass. It may find that a graph contradicts itself: the elements of a constant are known only now.
pub(crate) const NAME: &str = "fold-constants";

/// See the module.
pub struct FoldConstants;

impl Pass for FoldConstants {
    fn name(&self) -> &'static str {
        NAME
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        cx.sweep(|cx, id, node| shape_arithmetic(cx, id, node).or_else(|| evaluate(cx, id, node)))
    }
}

/// The elements are known though the inputs may not be: `Shape` of a value of known shape, and what follows from it.
fn shape_arithmetic(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let [Some(out)] = node.outputs[..] else { return None };
    let tensor = known_elements(&cx.graph().value(out).fact)?;
    let mut patch = cx.patch(id, format!("{} is known from shapes", node.op.name()));
    let new = patch.constant(&cx.graph().value(out).name, tensor);
    Some(patch.replace(out, new).remove(id).into())
}

fn known_elements(fact: &Fact) -> Option<Tensor> {
    let shape = fact.ty.known_shape()?;
    let elements: Vec<i64> = fact.symbolic.as_ref()?.iter().map(paring_ir::Dim::as_i64).collect::<Option<_>>()?;
    match fact.ty.dtype {
        DType::I64 => Tensor::new(&shape, &elements).ok(),
        DType::I32 => {
            let elements: Vec<i32> = elements.iter().map(|&n| i32::try_from(n).ok()).collect::<Option<_>>()?;
            Tensor::new(&shape, &elements).ok()
        }
        _ => None,
    }
}

fn evaluate(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    // What an operator of the user does is its own affair.
    if matches!(node.op, Op::Custom(_)) {
        return None;
    }
    let inputs: Vec<Option<&Tensor>> = node
        .inputs
        .iter()
        .map(|v| v.map_or(Some(None), |v| Some(Some(cx.constant(v)?.as_ref()))))
        .collect::<Option<_>>()?;
    if let Err(reason) = within_limit(cx, node, &inputs) {
        return Some(Proposal::Decline(reason));
    }
    let values = match cx.evaluator().evaluate(cx.graph(), node, &inputs) {
        Ok(values) => values,
        Err(reason) => return Some(Proposal::Decline(format!("{} of constants: {reason}", node.op.name()))),
    };
    let mut patch = cx.patch(id, format!("{} of constants", node.op.name()));
    for (i, out) in node.outputs.iter().enumerate() {
        let Some(out) = *out else { continue };
        let Some(tensor) = values.get(i).cloned().flatten() else {
            return Some(Proposal::Decline(format!("{} of constants: output {i} was not computed", node.op.name())));
        };
        let new = patch.constant(&cx.graph().value(out).name, tensor);
        patch = patch.replace(out, new);
    }
    Some(patch.remove(id).into())
}

/// A constant may be large where its inputs are, but a small file must not unfold into a large model.
fn within_limit(cx: &PassCx<'_>, node: &Node, inputs: &[Option<&Tensor>]) -> Result<(), String> {
    const GROWTH: usize = 8; // The bits of a byte.
    let given: usize = inputs.iter().flatten().map(|t| t.len()).sum();
    let limit = cx.options().fold_limit.max(given.saturating_mul(GROWTH));
    for &out in node.outputs.iter().flatten() {
        match cx.graph().ty(out).known_shape().map(|s| paring_core::numel(&s)) {
            Some(Ok(n)) if n <= limit => {}
            // The shape depends on the elements; such outputs are no larger than a few times their inputs.
            None if node.op.is_data_dependent() => {}
            _ => return Err(format!("{} of constants would make more than {limit} elements", node.op.name())),
        }
    }
    Ok(())
}
