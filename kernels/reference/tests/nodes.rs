//! The single-operator cases of the ONNX backend tests, on operators of this project.
//!
//! The cases are text: `case NAME`, `op RON`, then `in` and `out` lines of type, shape and elements (`-`: absent).
//! `PARING_NODE_CASES` names another file to run.

mod common;

use common::{compare, problem};
use half::{bf16, f16};
use paring_core::{DType, Op, Tensor};
use paring_kernel::Operand;
use paring_reference::{evaluate, evaluate_dynamic};

/// Cases whose expected outputs are given with four digits.
const FOUR_DIGITS: [&str; 4] = [
    "averagepool_2d_ceil_last_window_starts_on_pad",
    "gridsample_bicubic",
    "roialign_aligned_false",
    "roialign_aligned_true",
];

struct Case {
    name: String,
    op: Op,
    inputs: Vec<Option<Tensor>>,
    outputs: Vec<Option<Tensor>>,
}

fn tensor(text: &str) -> Option<Tensor> {
    let mut words = text.split_whitespace();
    let dtype = match words.next()? {
        "-" => return None,
        name => DType::from_name(&name.to_lowercase()).unwrap(),
    };
    let shape: Vec<usize> = match words.next().unwrap() {
        "scalar" => Vec::new(),
        dims => dims.split('x').map(|d| d.parse().unwrap()).collect(),
    };
    macro_rules! parse {
        ($t:ty) => {
            Tensor::new(&shape, &words.map(|w| w.parse::<$t>().unwrap()).collect::<Vec<$t>>())
        };
    }
    let t = match dtype {
        DType::F32 => parse!(f32),
        DType::F64 => parse!(f64),
        DType::F16 => parse!(f16),
        DType::BF16 => parse!(bf16),
        DType::I8 => parse!(i8),
        DType::U8 => parse!(u8),
        DType::I16 => parse!(i16),
        DType::U16 => parse!(u16),
        DType::I32 => parse!(i32),
        DType::U32 => parse!(u32),
        DType::I64 => parse!(i64),
        DType::U64 => parse!(u64),
        _ => Tensor::from_bools(&shape, &words.map(|w| w == "1").collect::<Vec<_>>()),
    };
    Some(t.unwrap())
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut name = String::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (kind, rest) = line.split_once(' ').unwrap();
        match kind {
            "case" => name = rest.into(),
            "op" => {
                let op = paring_ir::notation::from_str(rest);
                let op = op.unwrap_or_else(|e| panic!("{name}: {rest}: {e}"));
                cases.push(Case { name: name.clone(), op, inputs: Vec::new(), outputs: Vec::new() });
            }
            "in" => cases.last_mut().unwrap().inputs.push(tensor(rest)),
            _ => cases.last_mut().unwrap().outputs.push(tensor(rest)),
        }
    }
    cases
}

fn run(case: &Case) -> Result<(), String> {
    let found = if case.op.is_data_dependent() {
        let inputs: Vec<_> = case.inputs.iter().map(Option::as_ref).collect();
        evaluate_dynamic(&case.op, &inputs).map(|v| v.into_iter().map(Some).collect())
    } else {
        let outputs = case.outputs.iter().map(|o| o.as_ref().map(|t| Operand::new(t.dtype(), t.shape()))).collect();
        evaluate(&problem(case.op.clone(), &case.inputs, outputs, &[]), &[])
    };
    let found: Vec<Option<Tensor>> = found.map_err(|e| e.to_string())?;
    let digits = if FOUR_DIGITS.contains(&case.name.as_str()) { 1e-3 } else { 0.0 };
    for (i, (f, e)) in found.iter().zip(&case.outputs).enumerate() {
        if let (Some(f), Some(e)) = (f, e) {
            compare(f, e, digits).map_err(|why| format!("output {i}: {why}"))?;
        }
    }
    Ok(())
}

#[test]
fn every_onnx_node_case_agrees() {
    let text = match std::env::var("PARING_NODE_CASES") {
        Ok(path) => std::fs::read_to_string(path).unwrap(),
        Err(_) => include_str!("node_cases.txt").into(),
    };
    let cases = cases(&text);
    assert!(cases.len() > 300, "only {} cases", cases.len());
    let failed: Vec<String> = cases.iter().filter_map(|c| Some(format!("{}: {}", c.name, run(c).err()?))).collect();
    assert!(failed.is_empty(), "{} of {} cases fail:\n{}", failed.len(), cases.len(), failed.join("\n"));
}
