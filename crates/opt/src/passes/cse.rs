//! Common subexpressions: nodes that compute the same from the same inputs, and constants of the same bytes.

use crate::{OptError, Pass, PassCx};
use paring_ir::{Node, NodeId, Op, Tensor, ValueId};
use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

/// See the module.
pub struct CommonSubexpressions;

impl Pass for CommonSubexpressions {
    fn name(&self) -> &'static str {
        "common-subexpressions"
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        merge_constants(cx)?;
        merge_nodes(cx)
    }
}

fn merge_constants(cx: &mut PassCx<'_>) -> Result<(), OptError> {
    let mut seen: HashMap<u64, Vec<ValueId>> = HashMap::new();
    let mut same = Vec::new();
    for (v, value) in cx.graph().values() {
        let Some(tensor) = &value.fact.constant else { continue };
        if cx.uses(v).is_empty() {
            continue;
        }
        let bucket = seen.entry(hash_tensor(tensor)).or_default();
        match bucket.iter().find(|&&first| cx.constant(first) == Some(tensor)) {
            Some(&first) => same.push((v, first, cx.uses(v)[0].0)),
            None => bucket.push(v),
        }
    }
    for (v, first, user) in same {
        let what = format!("constant '{}' equals '{}'", cx.graph().value(v).name, cx.graph().value(first).name);
        cx.apply(cx.patch(user, what).replace(v, first))?;
    }
    Ok(())
}

/// Samples large constants: those that agree in it are compared in full.
fn hash_tensor(t: &Tensor) -> u64 {
    const SAMPLE: usize = 4096;
    let mut h = DefaultHasher::new();
    (t.dtype(), t.shape()).hash(&mut h);
    let bytes = t.bytes();
    bytes[..bytes.len().min(SAMPLE)].hash(&mut h);
    bytes[bytes.len().saturating_sub(SAMPLE)..].hash(&mut h);
    h.finish()
}

fn merge_nodes(cx: &mut PassCx<'_>) -> Result<(), OptError> {
    let mut seen: HashMap<(&'static str, Vec<Option<ValueId>>), Vec<NodeId>> = HashMap::new();
    for id in cx.graph().order()? {
        let Some(node) = cx.graph().node(id) else { continue };
        // What an operator of the user does is not known to be a function of its inputs alone.
        if matches!(node.op, Op::Custom(_)) {
            continue;
        }
        let bucket = seen.entry((node.op.name(), node.inputs.clone())).or_default();
        let same = |first: &&NodeId| cx.graph().node(**first).is_some_and(|other| equal(node, other));
        match bucket.iter().find(same).copied() {
            None => bucket.push(id),
            Some(first) => {
                let other = cx.graph().node(first).expect("found above");
                let mut patch = cx.patch(id, format!("same as '{}'", other.name));
                for (mine, theirs) in node.outputs.iter().zip(&other.outputs) {
                    if let (Some(mine), Some(theirs)) = (mine, theirs) {
                        patch = patch.replace(*mine, *theirs);
                    }
                }
                cx.apply(patch.remove(id))?;
            }
        }
    }
    Ok(())
}

/// Whether `b` computes all that `a` does. Inputs and the operator's name are equal already.
fn equal(a: &Node, b: &Node) -> bool {
    a.op == b.op
        && a.epilogue == b.epilogue
        && a.outputs.len() == b.outputs.len()
        && a.outputs.iter().zip(&b.outputs).all(|(a, b)| a.is_none() || b.is_some())
}
