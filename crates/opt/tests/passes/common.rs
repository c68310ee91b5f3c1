//! Running passes over graphs in the text form, and graphs by the reference kernels.

use paring_core::{Op, Tensor};
use paring_ir::{DType, Graph, Node, ValueId};
use paring_kernel::{Numerics, Operand, Problem};
use paring_opt::{Evaluator, Options, Report, optimize};
use std::{collections::HashMap, sync::Arc};

/// Computes nodes with the reference kernels.
pub struct Reference;

impl Evaluator for Reference {
    fn evaluate(&self, graph: &Graph, node: &Node, inputs: &[Option<&Tensor>]) -> Result<Vec<Option<Tensor>>, String> {
        if node.op.is_data_dependent() {
            let outputs = paring_reference::evaluate_dynamic(&node.op, inputs).map_err(|e| e.to_string())?;
            return Ok(outputs.into_iter().map(Some).collect());
        }
        let operand = |v: ValueId| {
            let ty = graph.ty(v);
            let shape = ty.known_shape().ok_or_else(|| format!("{ty} is not known"))?;
            Ok::<_, String>(Operand { quant: ty.quant.clone(), ..Operand::new(ty.dtype, &shape) })
        };
        let problem = Problem {
            name: node.name.clone(),
            op: node.op.clone(),
            inputs: inputs.iter().map(|t| t.map(|t| Operand::constant(Arc::new(t.clone())))).collect(),
            outputs: node.outputs.iter().map(|v| v.map(operand).transpose()).collect::<Result<_, _>>()?,
            epilogue: node.epilogue.clone(),
            numerics: Numerics::Default,
        };
        paring_reference::evaluate(&problem, inputs).map_err(|e| e.to_string())
    }
}

/// The outputs of a graph whose dimensions are all known.
pub fn run(graph: &Graph, inputs: &[Tensor]) -> Vec<Tensor> {
    let mut values: HashMap<ValueId, Tensor> = graph.inputs().iter().copied().zip(inputs.iter().cloned()).collect();
    for (v, value) in graph.values() {
        if let Some(c) = &value.fact.constant {
            values.insert(v, (**c).clone());
        }
    }
    for id in graph.order().unwrap() {
        let node = graph.node(id).unwrap();
        let inputs: Vec<Option<&Tensor>> = node.inputs.iter().map(|v| v.map(|v| &values[&v])).collect();
        let outputs = Reference.evaluate(graph, node, &inputs).unwrap_or_else(|e| panic!("{}: {e}", node.name));
        for (v, t) in node.outputs.iter().zip(outputs) {
            if let (Some(v), Some(t)) = (v, t) {
                values.insert(*v, t);
            }
        }
    }
    graph.outputs().iter().map(|o| values[&o.value].clone()).collect()
}

/// Pseudo-random inputs for a graph; symbols become small numbers.
pub fn bound_with_inputs(graph: &Graph, seed: u64) -> (Graph, Vec<Tensor>) {
    let bound = graph.bind(&|s| Some(if s == "N" { 2 } else { 12 })).unwrap();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let inputs = bound
        .inputs()
        .iter()
        .map(|&v| {
            let shape = bound.ty(v).known_shape().unwrap();
            let len = shape.iter().product();
            match bound.ty(v).dtype {
                DType::U8 => Tensor::new(&shape, &(0..len).map(|_| (128.0 * next()) as i8 as u8).collect::<Vec<_>>()),
                DType::F32 => Tensor::new(&shape, &(0..len).map(|_| 3.0 * next()).collect::<Vec<f32>>()),
                other => panic!("tests use inputs of f32 and u8, not {other}"),
            }
            .unwrap()
        })
        .collect();
    (bound, inputs)
}

/// Asserts that both graphs compute the same, by error relative to the RMS of what `before` computes.
pub fn assert_same_results(before: &Graph, after: &Graph, seed: u64) {
    let (before, inputs) = bound_with_inputs(before, seed);
    let (after, _) = bound_with_inputs(after, seed);
    for (a, b) in run(&before, &inputs).iter().zip(run(&after, &inputs)) {
        assert_eq!(a.shape(), b.shape());
        let (a, b) = (a.to_f64s().unwrap(), b.to_f64s().unwrap());
        let rms = (a.iter().map(|x| x * x).sum::<f64>() / a.len().max(1) as f64).sqrt().max(1e-6);
        let worst = a.iter().zip(&b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
        assert!(worst <= 1e-4 * rms, "error {worst} at RMS {rms}\n{}", after.to_text());
    }
}

/// `text` with the named passes run over it, and their report. The result is verified and computes the same.
pub fn optimized(text: &str, passes: &[&str]) -> (Graph, Report) {
    let before = Graph::parse(&format!("graph \"t\" {{\n{text}\n}}")).unwrap_or_else(|e| panic!("{e}\n{text}"));
    before.verify().unwrap();
    let mut after = before.clone();
    let options = Options { verify: true, ..Options::only(passes) };
    let report = optimize(&mut after, &Reference, &options).unwrap();
    after.verify().unwrap();
    assert_same_results(&before, &after, 1);
    (after, report)
}

/// The nodes and outputs of the text form, without constants, types and attributes other than those that `keep`.
pub fn sketch(graph: &Graph) -> String {
    let text = graph.to_text();
    let lines = text.lines().map(str::trim).filter(|l| l.starts_with('%') || l.starts_with("output"));
    lines.map(|l| l.rsplit_once(" : ").map_or(l, |p| p.0).to_string() + "\n").collect()
}

/// Names of the operators left, in order.
pub fn ops(graph: &Graph) -> Vec<String> {
    let step = |n: &Node| {
        n.epilogue
            .iter()
            .map(|e| format!("+{}", format!("{e:?}").split([' ', '(']).next().unwrap().to_lowercase()))
            .collect::<String>()
    };
    let name = |n: &Node| match &n.op {
        Op::Activation(a) => format!("{a:?}").split([' ', '(']).next().unwrap().to_string(),
        Op::Binary(b) => format!("{b:?}"),
        Op::Unary(u) => format!("{u:?}"),
        op => op.name().to_string(),
    };
    graph.order().unwrap().into_iter().map(|id| graph.node(id).unwrap()).map(|n| name(n) + &step(n)).collect()
}

/// Asserts what the passes leave: operators with their epilogues, in order.
#[track_caller]
pub fn becomes(text: &str, passes: &[&str], expected: &[&str]) -> (Graph, Report) {
    let (graph, report) = optimized(text, passes);
    assert_eq!(ops(&graph), expected, "{}\n{:#?}", graph.to_text(), report.remarks);
    (graph, report)
}

/// Asserts that the passes change nothing, and that some remark says `why` (where that is not empty).
#[track_caller]
pub fn stays(text: &str, passes: &[&str], why: &str) {
    let (graph, report) = optimized(text, passes);
    assert!(report.applied.is_empty(), "{:#?}\n{}", report.applied, graph.to_text());
    if !why.is_empty() {
        assert!(report.remarks.iter().any(|r| r.reason.contains(why)), "{:#?}", report.remarks);
    }
}
