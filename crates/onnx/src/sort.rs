//! Nodes in an order in which each comes after those it reads from.

use crate::{ImportError, proto::*};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet},
};

/// The names that a node reads, those that its subgraphs take from around them included.
fn reads(node: &NodeProto) -> Vec<&str> {
    let mut out: Vec<&str> = node.input.iter().map(String::as_str).filter(|n| !n.is_empty()).collect();
    for graph in node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs)) {
        let mut own: HashSet<&str> = graph.input.iter().map(|v| v.name.as_str()).collect();
        own.extend(graph.initializer.iter().map(|t| t.name.as_str()));
        own.extend(graph.node.iter().flat_map(|n| n.output.iter().map(String::as_str)));
        let inner = graph.node.iter().flat_map(reads).chain(graph.output.iter().map(|v| v.name.as_str()));
        out.extend(inner.filter(|n| !own.contains(n)));
    }
    out
}

/// Indices of `nodes` in an order fit to go through them: that of the file wherever possible.
///
/// # Errors
/// Where the nodes depend on each other in a circle.
pub(crate) fn sorted(nodes: &[NodeProto], names: &[String]) -> Result<Vec<usize>, ImportError> {
    let mut producer: HashMap<&str, usize> = HashMap::new();
    for (i, node) in nodes.iter().enumerate() {
        for output in node.output.iter().filter(|o| !o.is_empty()) {
            producer.entry(output).or_insert(i);
        }
    }
    let mut waiting = vec![0usize; nodes.len()];
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (i, node) in nodes.iter().enumerate() {
        for &from in reads(node).iter().filter_map(|name| producer.get(name)) {
            waiting[i] += 1;
            readers[from].push(i);
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..nodes.len()).filter(|&i| waiting[i] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(nodes.len());
    while let Some(Reverse(i)) = ready.pop() {
        order.push(i);
        for &reader in &readers[i] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.push(Reverse(reader));
            }
        }
    }
    if order.len() == nodes.len() {
        return Ok(order);
    }
    let stuck: Vec<&str> = (0..nodes.len()).filter(|&i| waiting[i] > 0).take(5).map(|i| names[i].as_str()).collect();
    Err(ImportError::Cycle(format!("these nodes depend on each other in a circle: '{}'", stuck.join("', '"))))
}
