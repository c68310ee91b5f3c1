//! Nodes on quantised operands: as they are, or on the numbers that those stand for.

use crate::{
    PlanError,
    lower::{Builder, Candidate, LNode, Origin, ValueIx, least, no_kernel},
};
use paring_core::{AlignedBuf, DType, Op, Tensor, op, op::EpiOp, op::QuantizeAttrs};
use paring_kernel::{Numerics, Operand, Problem};
use std::sync::Arc;

impl Builder<'_> {
    /// Adds a node of quantised operands.
    pub(crate) fn quantised(
        &mut self,
        problem: Problem,
        inputs: Vec<Option<ValueIx>>,
        outputs: Vec<Option<ValueIx>>,
    ) -> Result<(), PlanError> {
        let (candidates, mut rejects) = self.ask(&problem);
        let steps = problem.epilogue.len();
        let candidates: Vec<Candidate> = candidates.into_iter().filter(|c| c.offer.fused == steps).collect();
        let integers = least(&candidates);
        let reals = self.reals_cost(&problem);
        match (integers, reals) {
            (None, None) => Err(no_kernel(&problem, &rejects)),
            (Some(i), Some(r)) if r < i => {
                let reason = format!("{:.1} us; in f32 {:.1} us, conversions included", i / 1e3, r / 1e3);
                self.as_reals(problem, inputs, outputs, &[("in bytes", reason)])
            }
            (None, Some(_)) => self.as_reals(problem, inputs, outputs, &rejects),
            (Some(_), reals) => {
                if let Some(r) = reals {
                    rejects.push(("in f32", format!("{:.1} us, conversions included", r / 1e3)));
                }
                self.low.nodes.push(LNode { problem, inputs, outputs, candidates, rejects, is_view: false });
                Ok(())
            }
        }
    }

    /// What the node would take on numbers, conversions included; `None` where it is one itself, or no kernel would.
    fn reals_cost(&self, p: &Problem) -> Option<f64> {
        if matches!(p.op, Op::Identity) {
            return None;
        }
        let real = real_problem(p);
        let (candidates, _) = self.ask(&real);
        let best = candidates.iter().map(|c| self.with_separate_steps(&real, c)).min_by(f64::total_cmp)?;
        // Each pays for its own ends. That is too much between two nodes on numbers, where one rounds and nothing is
        // converted, but what others will run on is not known here.
        let changed = p.inputs.iter().chain(&p.outputs).flatten();
        let converted = changed.filter(|o| o.quant.is_some() && o.constant.is_none());
        let conversions = converted.map(|o| self.conversion(o)).collect::<Option<Vec<_>>>()?;
        Some(best + conversions.iter().sum::<f64>())
    }

    fn explain(&mut self, node: usize, why: &[(&'static str, String)]) {
        if let Some(node) = self.low.nodes.get_mut(node) {
            node.rejects.extend_from_slice(why);
        }
    }

    /// The least that it takes to quantise numbers as `o` is.
    fn conversion(&self, o: &Operand) -> Option<f64> {
        let (scale, zero_point) = o.quant.as_ref()?.whole()?;
        let step = match o.dtype {
            DType::Sign => EpiOp::Sign { of_zero: 0 },
            to => EpiOp::Quantize { to, scale, zero_point },
        };
        let p = Problem {
            name: String::new(),
            op: Op::Identity,
            inputs: vec![Some(Operand::new(DType::F32, &o.shape))],
            outputs: vec![Some(Operand { constant: None, ..o.clone() })],
            epilogue: vec![step],
            numerics: Numerics::Default,
        };
        least(&self.ask(&p).0)
    }

    /// Adds the node on numbers, between conversions. `why` says why not on bytes.
    fn as_reals(
        &mut self,
        p: Problem,
        mut inputs: Vec<Option<ValueIx>>,
        mut outputs: Vec<Option<ValueIx>>,
        why: &[(&'static str, String)],
    ) -> Result<(), PlanError> {
        let mut epilogue = p.epilogue.clone();
        for v in inputs.iter_mut().flatten() {
            *v = self.real(*v)?;
        }
        let node = self.low.nodes.len();
        let Some(&last @ (EpiOp::Quantize { .. } | EpiOp::Sign { .. })) = p.epilogue.last() else {
            self.emit(p.name, p.op, inputs, outputs, epilogue)?;
            self.explain(node, why);
            return Ok(());
        };
        epilogue.pop();
        let target = outputs.first().copied().flatten();
        let Some(target) = target else {
            return Err(PlanError::Internal(format!("'{}' quantises nothing", p.name)));
        };
        let middle = Operand::new(DType::F32, &self.low.values[target].operand.shape);
        let middle = self.add(middle, Origin::Node);
        outputs[0] = Some(middle);
        let name = format!("{}.quantize", p.name);
        self.emit(p.name, p.op, inputs, outputs, epilogue)?;
        self.explain(node, why);
        self.emit(name, Op::Identity, vec![Some(middle)], vec![Some(target)], vec![last])
    }

    /// The numbers that a value of quantised type stands for: one conversion, whoever reads it.
    fn real(&mut self, v: ValueIx) -> Result<ValueIx, PlanError> {
        let operand = &self.low.values[v].operand;
        let Some(quant) = operand.quant.clone() else { return Ok(v) };
        if let Some(&real) = self.reals.get(&v) {
            return Ok(real);
        }
        let fail = |e: &dyn core::fmt::Display| PlanError::Internal(format!("quantised operand: {e}"));
        let real = if let Some(t) = &operand.constant {
            let t = dequantised(t).ok_or_else(|| fail(&"its scales do not fit"))?;
            self.add(Operand::constant(Arc::new(t)), Origin::Constant)
        } else {
            let vector = |t: Result<Tensor, _>| t.map(|t| Operand::constant(Arc::new(t)));
            let shape: &[usize] = if quant.axis.is_some() { &[quant.scale.len()] } else { &[] };
            let zero = match operand.dtype {
                DType::Sign => None,
                DType::I8 => Some(Tensor::new(shape, &quant.zero_point.iter().map(|&z| z as i8).collect::<Vec<_>>())),
                _ => Some(Tensor::new(shape, &quant.zero_point.iter().map(|&z| z as u8).collect::<Vec<_>>())),
            };
            let (scale, zero) = (vector(Tensor::new(shape, &quant.scale)), zero.map(vector).transpose());
            let (shape, axis) = (operand.shape.clone(), quant.axis.unwrap_or(0) as i64);
            let scale = self.add(scale.map_err(|e| fail(&e))?, Origin::Constant);
            let zero = zero.map_err(|e| fail(&e))?.map(|zero| self.add(zero, Origin::Constant));
            let real = self.add(Operand::new(DType::F32, &shape), Origin::Node);
            let op = Op::DequantizeLinear(QuantizeAttrs { axis, to: DType::F32 });
            self.emit("dequantize".into(), op, vec![Some(v), Some(scale), zero], vec![Some(real)], vec![])?;
            real
        };
        self.reals.insert(v, real);
        Ok(real)
    }
}

/// The same problem on the numbers that its operands stand for.
fn real_problem(p: &Problem) -> Problem {
    let mut real = p.clone();
    for o in real.inputs.iter_mut().chain(&mut real.outputs).flatten() {
        if o.quant.is_some() {
            let constant = o.constant.take();
            *o = Operand::new(DType::F32, &o.shape);
            o.constant = constant.and_then(|t| stand_in(t.shape())).map(Arc::new);
        }
    }
    if op::quantized(&real.epilogue).is_some() {
        real.epilogue.pop();
    }
    real
}

/// Elements of a row or a column that are different.
const STAND_OUT: usize = 32;

/// A constant of which offers and prices see no more than that it is one: the first elements are all different and no
/// halves, lest it be taken for a matrix of halves, or one of few different weights.
fn stand_in(shape: &[usize]) -> Option<Tensor> {
    let bytes = DType::F32.bytes(paring_core::numel(shape).ok()?)?;
    let mut elements = AlignedBuf::zeroed(bytes).ok()?;
    let row = shape.last().copied().unwrap_or(1).max(1);
    let numbers: &mut [f32] = bytemuck::cast_slice_mut(elements.as_mut_slice());
    for i in 0..STAND_OUT {
        // Along the first row, and along the first column.
        for at in [i, i * row] {
            if let Some(v) = numbers.get_mut(at) {
                *v = 0.1 * (1 + at) as f32;
            }
        }
    }
    Tensor::from_buffer(DType::F32, shape, elements).ok()
}

/// The numbers of a quantised constant.
fn dequantised(t: &Tensor) -> Option<Tensor> {
    let quant = t.quant()?;
    let (span, n) = (quant.span(t.shape())?, quant.scale.len());
    let value = |i: usize, q: i32| (q - quant.zero_point[i / span % n]) as f32 * quant.scale[i / span % n];
    let values: Vec<f32> = match t.dtype() {
        DType::I8 | DType::Sign => t.bytes().iter().enumerate().map(|(i, &b)| value(i, i32::from(b as i8))).collect(),
        DType::U8 => t.bytes().iter().enumerate().map(|(i, &b)| value(i, i32::from(b))).collect(),
        _ => return None,
    };
    Tensor::new(t.shape(), &values).ok()
}
