//! From the model's graph to one with concrete shapes.

use crate::{Error, ErrorKind, Result};
use paring_core::{Tensor, numel};
use paring_ir::{Dim, Graph, Op, TensorType, ValueId};
use std::{collections::HashMap, sync::Arc};

/// Small inputs whose elements decide shapes have at most this many elements.
const MOST_SHAPE_ELEMENTS: usize = 64;

/// Inputs whose elements may decide a shape: a plan holds for their values, too.
pub(crate) fn shape_inputs(graph: &Graph) -> Vec<bool> {
    let mut found = vec![false; graph.inputs().len()];
    let mut seen = vec![false; graph.value_count()];
    let mut stack: Vec<ValueId> = Vec::new();
    for (_, node) in graph.nodes() {
        stack.extend(node.op.shape_operands().iter().filter_map(|&i| node.input(i)));
    }
    while let Some(v) = stack.pop() {
        if std::mem::replace(&mut seen[v.index()], true) {
            continue;
        }
        if let Some(i) = graph.inputs().iter().position(|&x| x == v) {
            found[i] = true;
        }
        let Some(node) = graph.producer(v).and_then(|(n, _)| graph.node(n)) else { continue };
        // The shape of a value is known without its elements; data-dependent operators end a stage.
        if !matches!(node.op, Op::Shape(_) | Op::Size) && !node.op.is_data_dependent() {
            stack.extend(node.inputs.iter().flatten());
        }
    }
    found
}

/// What a plan is made for: the shape of each input, and the elements of those that decide shapes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Key(pub Vec<(Vec<usize>, Option<Vec<u8>>)>);

impl Key {
    /// Whether an input of this shape takes part with its elements.
    pub fn is_small(shape: &[usize]) -> bool {
        numel(shape).is_ok_and(|n| n <= MOST_SHAPE_ELEMENTS)
    }
}

/// `graph` with the shapes, and where present the elements, of `key`.
pub(crate) fn bind(graph: &Graph, key: &Key) -> Result<Graph> {
    let mut g = graph.clone();
    let mut symbols: HashMap<Arc<str>, (usize, String)> = HashMap::new();
    for (&v, (shape, elements)) in graph.inputs().iter().zip(&key.0) {
        check_shape(graph, v, shape, &mut symbols)?;
        let dtype = graph.ty(v).dtype;
        g.value_mut(v).fact.ty = TensorType::concrete(dtype, shape);
        if let Some(bytes) = elements {
            let constant = g.add_constant(&graph.value(v).name, Tensor::from_bytes(dtype, shape, bytes)?);
            g.replace_uses(v, constant);
        }
    }
    if symbols.is_empty() && key.0.iter().all(|(_, e)| e.is_none()) && !has_unknown(graph) {
        return Ok(g);
    }
    g.reinfer_all().map_err(|e| Error::from(e).blame(blame(key)))?;
    Ok(g)
}

/// What is at fault where a well-formed graph does not fit `key`: the elements that the caller gave, or the shapes.
pub(crate) fn blame(key: &Key) -> ErrorKind {
    if key.0.iter().any(|(_, e)| e.is_some()) { ErrorKind::Data } else { ErrorKind::Invalid }
}

fn has_unknown(graph: &Graph) -> bool {
    graph.inputs().iter().any(|&v| graph.ty(v).known_shape().is_none())
}

/// Checks `shape` against what the model declares, and that a symbol means the same number everywhere.
pub(crate) fn check_shape(
    graph: &Graph,
    v: ValueId,
    shape: &[usize],
    symbols: &mut HashMap<Arc<str>, (usize, String)>,
) -> Result<()> {
    let name = &graph.value(v).name;
    let ty = graph.ty(v);
    let Some(dims) = &ty.shape else { return Ok(()) };
    let wrong = || Error::invalid(format!("input '{name}' is {ty}, but the shape {shape:?} was given"));
    if dims.len() != shape.len() {
        return Err(wrong());
    }
    for (d, &n) in dims.iter().zip(shape) {
        match d {
            Dim::Known(k) if *k != n as i64 => return Err(wrong()),
            Dim::Known(_) => {}
            Dim::Sym(_) => {
                let Some(s) = d.as_symbol() else { continue };
                match symbols.get(&s) {
                    Some((other, at)) if *other != n => {
                        return Err(Error::invalid(format!(
                            "dimension {s} is {other} in input '{at}' but {n} in input '{name}'"
                        )));
                    }
                    _ => {
                        symbols.insert(s, (n, name.clone()));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Turns shape operands whose elements follow from known shapes into constants.
pub(crate) fn settle_shapes(g: &mut Graph) -> Result<()> {
    let mut settled: Vec<(paring_ir::NodeId, usize, Tensor)> = Vec::new();
    for (id, node) in g.nodes() {
        for &i in node.op.shape_operands() {
            let Some(v) = node.input(i) else { continue };
            let fact = &g.value(v).fact;
            if fact.constant.is_some() {
                continue;
            }
            let (Some(values), Some(shape)) = (fact.const_i64s(), fact.ty.known_shape()) else { continue };
            let tensor = match fact.ty.dtype {
                paring_core::DType::I64 => Tensor::new(&shape, &values)?,
                paring_core::DType::I32 => {
                    let narrow: Vec<i32> = values.iter().map(|&x| i32::try_from(x).unwrap_or(i32::MAX)).collect();
                    Tensor::new(&shape, &narrow)?
                }
                _ => continue,
            };
            settled.push((id, i, tensor));
        }
    }
    for (id, i, tensor) in settled {
        let constant = g.add_constant("shape", tensor);
        if let Some(node) = g.node_mut(id) {
            node.inputs[i] = Some(constant);
        }
    }
    Ok(())
}

/// Checks every shape of `key` against what the model declares.
pub(crate) fn check_key(graph: &Graph, key: &Key) -> Result<()> {
    let mut symbols = HashMap::new();
    for (&v, (shape, _)) in graph.inputs().iter().zip(&key.0) {
        check_shape(graph, v, shape, &mut symbols)?;
    }
    Ok(())
}
