//! What products of bytes learn only while running, as `MatMulInteger` and `ConvInteger` have it: the zero point of the
//! input, and what sums stand for.
//!
//! With `z` for that zero point, `sum (x - z) w = sum x w - z sum w`: sums start from another number, and all else is as
//! for a zero point that was known before.

use crate::{
    finish,
    operand::{Bytes, Channels, integer},
    product::Product,
};
use paring_core::{DType, Layout, Op};
use paring_kernel::{Offer, Problem, Reject, RunCx};

/// Which inputs tell it.
#[derive(Clone, Copy, Debug)]
pub struct Late {
    /// The zero point, one byte.
    zero: Option<usize>,
    signed: bool,
    /// What a sum stands for: one number, or one for each column.
    scale: Option<usize>,
    columns: usize,
}

/// The values of one run.
pub struct Values<'a> {
    /// Where the sums of each column start from.
    pub starts: &'a [i32],
    /// A vector of [`finish::width`], where sums stand for other numbers.
    pub scale: Option<&'a [f32]>,
}

/// Input and weights of a product, the latter with output channels along `axis`. Those of integers stand for themselves
/// but for the zero points of the weights, which must be constant.
///
/// # Errors
/// [`Reject`] where they are not such as kernels here read.
pub fn operands(p: &Problem, axis: usize) -> Result<(Bytes, Channels, Option<Late>), Reject> {
    let (Some(x), Some(w)) = (p.input(0), p.input(1)) else { return Err(Reject::because("an operand is missing")) };
    if !matches!(p.op, Op::MatMulInteger | Op::ConvInteger(_)) {
        return Ok((Bytes::of(x)?, Channels::of(w, axis)?, None));
    }
    for o in [x, w] {
        if !matches!(o.dtype, DType::U8 | DType::I8) {
            return Err(format!("only bytes, found {}", o.dtype).into());
        }
    }
    let columns = w.shape.get(axis).copied().unwrap_or(0);
    let x = Bytes { signed: x.dtype == DType::I8, scale: 1.0, zero_point: 0 };
    let channels = Channels { scale: vec![1.0; columns], zero_point: zero_points(p, columns)? };
    Ok((x, channels, Some(Late::of(p, x.signed, columns)?)))
}

/// The constant zero points of the weights, in input 3.
fn zero_points(p: &Problem, columns: usize) -> Result<Vec<i32>, Reject> {
    let Some(operand) = p.input(3) else { return Ok(vec![0; columns]) };
    let zero = operand.constant.as_ref().ok_or("the zero points of the weights are not constant")?;
    let all: Vec<i32> = zero.bytes().iter().map(|&z| integer(z, zero.dtype() == DType::I8)).collect();
    match all[..] {
        [one] => Ok(vec![one; columns]),
        _ if all.len() == columns && zero.shape().last() == Some(&columns) => Ok(all),
        _ => Err("the weights have zero points along another axis than their output channels".into()),
    }
}

impl Late {
    fn of(p: &Problem, signed: bool, columns: usize) -> Result<Late, Reject> {
        if p.input(2).is_some_and(|z| z.len() != 1) {
            return Err("a zero point for each row".into());
        }
        if p.input(4).is_some_and(|s| s.dtype != DType::F32 || s.len() != 1 && s.len() != columns) {
            return Err("the scale is neither one number nor one for each column".into());
        }
        let there = |i: usize| p.input(i).map(|_| i);
        Ok(Late { zero: there(2), signed, scale: there(4), columns })
    }

    /// The layouts of an offer's inputs with those that are read here.
    pub fn inputs(&self, offer: &Offer) -> Vec<Option<Layout>> {
        let mut inputs = offer.inputs.clone();
        for i in [self.zero, self.scale].into_iter().flatten() {
            inputs[i] = Some(Layout::Plain);
        }
        inputs
    }

    /// Bytes of scratch for the values.
    pub fn scratch(&self) -> usize {
        (2 * finish::width(self.columns) * size_of::<f32>()).next_multiple_of(64)
    }

    /// The zero point of the input.
    pub fn zero(&self, cx: &RunCx<'_>) -> i32 {
        self.zero.map_or(0, |i| integer(cx.input::<u8>(i)[0], self.signed))
    }

    /// The values of a run, in [scratch](Late::scratch), where sums of `product` are too large by `zero` more for each unit
    /// of weight.
    pub fn values<'a>(&self, cx: &RunCx<'_>, zero: i32, product: &Product, scratch: &'a mut [u8]) -> Values<'a> {
        let width = finish::width(self.columns);
        let (starts, scale) = scratch[..2 * width * size_of::<f32>()].split_at_mut(width * size_of::<i32>());
        let starts: &mut [i32] = bytemuck::cast_slice_mut(starts);
        product.starts(zero, starts);
        let scale = self.scale.map(|i| {
            let (from, to) = (cx.input::<f32>(i), bytemuck::cast_slice_mut::<u8, f32>(scale));
            to.fill(0.0);
            match *from {
                [one] => to[..self.columns].fill(one),
                _ => to[..self.columns].copy_from_slice(&from[..self.columns]),
            }
            &*to
        });
        Values { starts, scale }
    }
}
