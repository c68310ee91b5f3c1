//! Tensors and problems for tests.
#![allow(dead_code)]

use paring_core::{DType, Element, Op, Tensor, op::EpiOp};
use paring_kernel::{KernelError, Numerics, Operand, Problem};
use paring_reference::evaluate;
use std::sync::Arc;

/// A tensor of these elements.
pub fn t<T: Element>(shape: &[usize], elements: &[T]) -> Tensor {
    Tensor::new(shape, elements).unwrap()
}

/// An operand for an output of this type and shape.
pub fn out(dtype: DType, shape: &[usize]) -> Option<Operand> {
    Some(Operand::new(dtype, shape))
}

/// The problem of an operator on these constants.
pub fn problem(op: Op, inputs: &[Option<Tensor>], outputs: Vec<Option<Operand>>, epilogue: &[EpiOp]) -> Problem {
    Problem {
        name: "test".into(),
        op,
        inputs: inputs.iter().map(|i| i.clone().map(|t| Operand::constant(Arc::new(t)))).collect(),
        outputs,
        epilogue: epilogue.to_vec(),
        numerics: Numerics::Strict,
    }
}

/// Evaluates an operator on these inputs; one output of this type and shape.
pub fn eval(op: Op, inputs: &[Tensor], dtype: DType, shape: &[usize]) -> Result<Tensor, KernelError> {
    let inputs: Vec<_> = inputs.iter().cloned().map(Some).collect();
    let p = problem(op, &inputs, vec![out(dtype, shape)], &[]);
    Ok(evaluate(&p, &[])?.remove(0).unwrap())
}

/// The elements of an `f32` tensor.
pub fn f32s(t: &Tensor) -> Vec<f32> {
    t.elements::<f32>().unwrap().into_owned()
}

/// The text of the error that evaluating must give.
pub fn error(op: Op, inputs: &[Tensor], dtype: DType, shape: &[usize]) -> String {
    eval(op, inputs, dtype, shape).expect_err("must fail").to_string()
}

/// Fails unless both have one type and shape and the error is small against the root mean square of what is expected:
/// within the rounding of the type, or within `digits` where the expected numbers are coarser.
pub fn compare(found: &Tensor, expected: &Tensor, digits: f64) -> Result<(), String> {
    if found.dtype() != expected.dtype() || found.shape() != expected.shape() {
        return Err(format!("{found:?} instead of {expected:?}"));
    }
    if !found.dtype().is_float() {
        let (a, b) = (found.to_i64s().unwrap(), expected.to_i64s().unwrap());
        return if a == b { Ok(()) } else { Err(format!("{a:?} instead of {b:?}")) };
    }
    let (a, b) = (found.to_f64s().unwrap(), expected.to_f64s().unwrap());
    let finite: Vec<f64> = b.iter().copied().filter(|v| v.is_finite()).collect();
    let rms = (finite.iter().map(|v| v * v).sum::<f64>() / finite.len().max(1) as f64).sqrt();
    let unit = match found.dtype() {
        DType::F16 => 2e-3f64,
        DType::BF16 => 1.6e-2,
        _ => 1e-5f64,
    }
    .max(digits);
    for (i, (&x, &y)) in a.iter().zip(&b).enumerate() {
        let same = x == y || x.is_nan() && y.is_nan() || (x - y).abs() <= unit * rms.max(y.abs());
        if !same {
            return Err(format!("element {i}: {x} instead of {y} (RMS {rms})"));
        }
    }
    Ok(())
}
