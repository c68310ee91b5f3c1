//! How much arithmetic and memory traffic a problem is.

use paring_core::Op;
use paring_kernel::Problem;

/// Arithmetic and traffic of one problem, whatever kernel runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-adds of convolutions and matrix products; 0 for everything else.
    pub macs: u64,
    /// Bytes of all operands.
    pub bytes: u64,
}

/// The work of `p`.
pub fn work(p: &Problem) -> Work {
    let operands = p.inputs.iter().chain(&p.outputs).flatten();
    let bytes = operands.filter_map(|o| o.dtype.bytes(o.len())).fold(0u64, |a, b| a.saturating_add(b as u64));
    Work { macs: macs(p).unwrap_or(0), bytes }
}

fn macs(p: &Problem) -> Option<u64> {
    let unpooled = p.unpooled();
    let p = unpooled.as_ref().unwrap_or(p);
    let (x, w, y) = (p.input(0)?, p.input(1), p.output(0)?);
    let len = |o: &paring_kernel::Operand| o.len() as u64;
    let per_output = |n: &[usize]| n.iter().fold(1u64, |a, &b| a.saturating_mul(b as u64));
    Some(match &p.op {
        Op::Conv(_) | Op::ConvInteger(_) => len(y).saturating_mul(per_output(w?.shape.get(1..)?)),
        Op::ConvTranspose(_) => len(x).saturating_mul(per_output(w?.shape.get(1..)?)),
        Op::Dense(_) | Op::MatMul | Op::MatMulInteger => len(y).saturating_mul(*x.shape.last()? as u64),
        _ => 0,
    })
}
