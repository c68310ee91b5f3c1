//! The steps between the result of an operator and its storing.

use crate::io::{Built, Io, KernelResult, Redirect, Slot, View, built, ensure, problem, words};
use crate::scalar::activation;
use crate::walk::product;
use alloc::{format, vec::Vec};
use paring_core::{
    DType, Op,
    op::{Act, EpiOp},
};
use paring_kernel::Problem;

enum Step {
    Bias(Slot),
    Scale(Slot),
    Residual(Slot),
    PRelu(Slot),
    Act(Act),
}

/// Runs an operator with its epilogue. A computed result stays in `f64` until all steps are done, so that it is
/// rounded but once; one that is merely moved is changed where it lies.
pub(crate) fn with_epilogue(p: &Problem, build: fn(&Problem) -> KernelResult<Built>) -> KernelResult<Built> {
    if p.epilogue.is_empty() {
        return build(p);
    }
    if let Some(unpooled) = p.unpooled() {
        return pooled(p, &unpooled, build);
    }
    let out = Slot::output(p, 0)?;
    ensure(out.dtype.is_float(), || format!("an epilogue on {} has no meaning", out.dtype))?;
    let steps = steps(p, &out)?;
    let channels = channels(p, &out);
    let wide = is_computed(&p.op) && out.dtype != DType::F64;
    let buffer = if wide { words(out.len)?.next_multiple_of(64) } else { 0 };
    let inner = build(&without_epilogue(p, wide))?;
    let total = buffer.checked_add(inner.scratch).ok_or_else(|| problem("the scratch exceeds the address space"))?;
    built(total, move |io| {
        let (result, rest) = io.scratch().split_at_mut(buffer);
        let result = &mut result[..if wide { out.len * 8 } else { 0 }];
        (inner.run)(&mut Redirect {
            inner: io,
            inputs: &[],
            result: wide.then_some(&mut *result),
            scratch: Some(rest),
        })?;
        for i in 0..out.len {
            let v = if wide { View::new(DType::F64, &result[i * 8..i * 8 + 8]).f(0) } else { out.target(io).f(i) };
            let v = steps.iter().fold(v, |v, s| s.apply(v, i, channels, io));
            out.target(io).put_f(i, v);
        }
        Ok(())
    })
}

/// Runs the problem without its last step, and pools what that gives.
fn pooled(p: &Problem, unpooled: &Problem, build: fn(&Problem) -> KernelResult<Built>) -> KernelResult<Built> {
    let (large, out) = (Slot::output(unpooled, 0)?, Slot::output(p, 0)?);
    let &[samples, channels, h, w] = large.shape.as_slice() else {
        return Err(problem("only a map along two axes is pooled"));
    };
    let (rows, columns) = (h / 2, w / 2);
    out.expect_shape("the pooled output", &[samples, channels, rows, columns])?;
    let bytes = words(large.len)?.next_multiple_of(64);
    let inner = with_epilogue(unpooled, build)?;
    let total = bytes.checked_add(inner.scratch).ok_or_else(|| problem("the scratch exceeds the address space"))?;
    built(total, move |io| {
        let (map, rest) = io.scratch().split_at_mut(bytes);
        let map = &mut map[..large.len * large.size()];
        (inner.run)(&mut Redirect { inner: io, inputs: &[], result: Some(&mut *map), scratch: Some(rest) })?;
        let (map, mut y) = (View::new(large.dtype, map), out.target(io));
        for i in 0..out.len {
            let (plane, row, column) = (i / columns / rows, i / columns % rows, i % columns);
            let at = (plane * h + 2 * row) * w + 2 * column;
            let largest = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
            y.put_f(i, [at + 1, at + w, at + w + 1].iter().fold(map.f(at), |v, &at| largest(v, map.f(at))));
        }
        Ok(())
    })
}

fn without_epilogue(p: &Problem, wide: bool) -> Problem {
    let mut p = p.clone();
    // Operands of the epilogue are not to be taken for optional inputs of the operator.
    for i in core::mem::take(&mut p.epilogue).iter().filter_map(EpiOp::input) {
        p.inputs[i] = None;
    }
    if let (true, Some(Some(o))) = (wide, p.outputs.first_mut()) {
        o.dtype = DType::F64;
    }
    p
}

fn steps(p: &Problem, out: &Slot) -> KernelResult<Vec<Step>> {
    let channels = channels(p, out).0;
    let vector = |i: usize| -> KernelResult<Slot> {
        let s = Slot::input(p, i)?;
        s.expect_len("a per-channel operand of the epilogue", channels)?;
        Ok(s)
    };
    p.epilogue
        .iter()
        .map(|e| {
            Ok(match *e {
                EpiOp::Bias { input } => Step::Bias(vector(input)?),
                EpiOp::Scale { input } => Step::Scale(vector(input)?),
                EpiOp::PRelu { input } => Step::PRelu(vector(input)?),
                EpiOp::Residual { input } => {
                    let s = Slot::input(p, input)?;
                    s.expect_shape("the residual", &out.shape)?;
                    Step::Residual(s)
                }
                EpiOp::Act(a) => Step::Act(a),
                EpiOp::Quantize { .. } | EpiOp::Sign { .. } => {
                    return Err(problem("results are quantised by the last step only"));
                }
                EpiOp::MaxPool => return Err(problem("only a convolution pools, and last of all")),
            })
        })
        .collect()
}

/// Number of channels, and elements that one channel spans.
fn channels(p: &Problem, out: &Slot) -> (usize, usize) {
    match (&p.op, out.shape.as_slice()) {
        (Op::Conv(_) | Op::ConvInteger(_) | Op::ConvTranspose(_), [_, c, spatial @ ..]) => (*c, product(spatial)),
        (_, [.., c]) => (*c, 1),
        (_, []) => (1, 1),
    }
}

/// Whether the function of an operator writes its output by value, whatever floating-point type that has.
fn is_computed(op: &Op) -> bool {
    use Op::*;
    let products = matches!(op, Conv(_) | ConvTranspose(_) | Dense(_) | MatMul | Einsum(_));
    let integers = matches!(op, ConvInteger(_) | MatMulInteger);
    let pooling = matches!(op, Pool(_) | GlobalPool(_) | RoiAlign(_) | GridSample(_));
    let elements = matches!(op, Unary(_) | Activation(_) | Binary(_) | Cast(_) | DequantizeLinear(_));
    let norms = matches!(op, BatchNorm(_) | InstanceNorm(_) | GroupNorm(_) | LayerNorm(_) | Lrn(_) | LpNorm(_));
    products || integers || pooling || elements || norms || matches!(op, Softmax(_) | Reduce(_) | CumSum(_))
}

impl Step {
    #[inline]
    fn apply(&self, v: f64, i: usize, (channels, span): (usize, usize), io: &dyn Io<'_>) -> f64 {
        let c = i / span % channels;
        match self {
            Step::Bias(s) => v + s.view(io).f(c),
            Step::Scale(s) => v * s.view(io).f(c),
            Step::Residual(s) => v + s.view(io).f(i),
            Step::PRelu(s) if v < 0.0 => v * s.view(io).f(c),
            Step::PRelu(_) => v,
            Step::Act(a) => activation(*a, v),
        }
    }
}
