//! Removes what nobody wants: unreachable nodes, and single outputs of nodes that have several.

use crate::{OptError, Pass, PassCx};
use paring_ir::NodeId;
use std::collections::HashSet;

/// See the module.
pub struct DeadOutputs;

impl Pass for DeadOutputs {
    fn name(&self) -> &'static str {
        "dead-outputs"
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        let live = live_nodes(cx);
        let dead: Vec<NodeId> = cx.graph().nodes().map(|(id, _)| id).filter(|id| !live.contains(id)).collect();
        if let Some(&first) = dead.first() {
            let patch = cx.patch(first, format!("remove {} unreachable node(s)", dead.len()));
            cx.apply(dead.iter().fold(patch, |p, &id| p.remove(id)))?;
        }
        for id in live {
            let Some(node) = cx.graph().node(id) else { continue };
            let unused = |i: &usize| node.output(*i).is_some_and(|v| cx.uses(v).is_empty() && !cx.is_output(v));
            let unused: Vec<usize> =
                (1..node.outputs.len()).chain((node.outputs.len() > 1).then_some(0)).filter(unused).collect();
            if !unused.is_empty() {
                let patch = cx.patch(id, format!("drop {} unused output(s)", unused.len()));
                cx.apply(unused.iter().fold(patch, |p, &i| p.drop_output(id, i)))?;
            }
        }
        Ok(())
    }
}

fn live_nodes(cx: &PassCx<'_>) -> std::collections::BTreeSet<NodeId> {
    let graph = cx.graph();
    let mut live = HashSet::new();
    let mut stack: Vec<NodeId> = graph.outputs().iter().filter_map(|o| Some(graph.producer(o.value)?.0)).collect();
    while let Some(id) = stack.pop() {
        if live.insert(id)
            && let Some(node) = graph.node(id)
        {
            stack.extend(node.inputs.iter().flatten().filter_map(|&v| Some(graph.producer(v)?.0)));
        }
    }
    live.into_iter().collect()
}
