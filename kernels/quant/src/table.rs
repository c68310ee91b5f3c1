//! Functions of one byte, by a table of all their values.

use crate::{
    family::{Family, Target, streaming},
    lanes::Eights,
    operand::Bytes,
};
use paring_core::{DType, Layout, Tensor};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx,
};
use paring_simd::{LANES, Simd};
use paring_vector::support::{BLOCKED, split};
use std::sync::Arc;

/// `Unary` and `Activation` from bytes to bytes, epilogue included.
pub struct Table;

/// Operands from bytes to bytes.
fn operands(p: &Problem) -> Result<(&Operand, &Operand), Reject> {
    let (Some(x), Some(y)) = (p.input(0), p.output(0)) else { return Err("an operand is missing".into()) };
    Bytes::of(x)?;
    Bytes::of(y)?;
    match p.epilogue.iter().any(|e| e.input().is_some()) {
        true => Err("the epilogue has operands".into()),
        false => Ok((x, y)),
    }
}

/// The value of every byte: the definition, computed once.
fn table(p: &Problem) -> Result<Vec<u8>, KernelError> {
    let (x, y) = operands(p).map_err(|r| KernelError::Problem(r.to_string()))?;
    let every: Vec<u8> = (0..=255).collect();
    let bytes =
        |dtype: DType| Tensor::from_bytes(dtype, &[256], &every).map_err(|e| KernelError::Problem(e.to_string()));
    let of = |o: &Operand| Operand { shape: vec![256], constant: None, ..o.clone() };
    let all = Problem { inputs: vec![Some(of(x))], outputs: vec![Some(of(y))], ..p.clone() };
    let values = paring_reference::evaluate(&all, &[Some(&bytes(x.dtype)?)])?;
    let values = values.into_iter().next().flatten();
    values.map(|v| v.bytes().to_vec()).ok_or_else(|| KernelError::Problem("the function has no values".into()))
}

impl Family for Table {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let (x, y) = operands(p)?;
        if x.shape != y.shape {
            return Err("the shapes differ".into());
        }
        let layouts: &[Layout] = if x.shape.len() >= 2 { &[BLOCKED, Layout::Plain] } else { &[Layout::Plain] };
        for &layout in layouts {
            out.push(Offer {
                inputs: vec![Some(layout)],
                outputs: vec![layout],
                fused: p.epilogue.len(),
                numerics: NumericClass::Exact,
                in_place: None,
                ..Offer::plain(p)
            });
        }
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        streaming(p, o, target, m, 0.35 * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(_: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let shape = p.output(0).map(|y| y.shape.clone()).unwrap_or_default();
        let eights = match o.outputs[0] {
            Layout::Plain => Eights::plain(shape.iter().product()),
            _ => Eights::blocked(&shape),
        };
        let table: [u8; 256] =
            table(p)?.try_into().map_err(|_| KernelError::Problem("a table of bytes has 256".into()))?;
        Ok(Box::new(Run { table, eights }))
    }
}

struct Run {
    table: [u8; 256],
    eights: Eights,
}

impl Prepared for Run {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, e) = (cx.input::<u8>(0), cx.parallel(), self.eights);
        let y = cx.shared_output::<u8>(0);
        split(parallel, e.count, x.len() + y.len(), &|range, _| {
            let mut i = range.start;
            while i < range.end {
                let whole = e.whole(i, range.end);
                // SAFETY: every task has its own eights.
                let to = unsafe { y.slice(i * LANES, (whole - i) * LANES) };
                for (to, &from) in to.iter_mut().zip(&x[i * LANES..whole * LANES]) {
                    *to = self.table[usize::from(from)];
                }
                i = whole;
                if i < range.end {
                    let (n, room) = e.at(i);
                    // SAFETY: as above.
                    let to = unsafe { y.slice(i * LANES, room.max(n)) };
                    for (lane, to) in to.iter_mut().enumerate() {
                        *to = if lane < n { self.table[usize::from(x[i * LANES + lane])] } else { 0 };
                    }
                    i += 1;
                }
            }
        });
        Ok(())
    }
}
