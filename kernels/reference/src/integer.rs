//! What dynamically quantised networks are made of: numbers to bytes by their own range, and products of bytes less
//! their zero points.

use crate::io::{Built, KernelResult, Redirect, Slot, built, cast_scratch, ensure, problem, words};
use crate::scalar::round_even;
use crate::walk::Walk;
use crate::walk::product;
use crate::{conv, matmul};
use alloc::{format, vec::Vec};
use paring_core::{DType, op::ConvAttrs};
use paring_kernel::{Operand, Problem};

/// `MatMulInteger`.
pub(crate) fn matmul(p: &Problem) -> KernelResult<Built> {
    let (a, b) = (Slot::input(p, 0)?, Slot::input(p, 1)?);
    let zeros = [Slot::optional_input(p, 2)?, Slot::optional_input(p, 3)?];
    // A vector has one for each row.
    let rows = zeros[0].as_ref().filter(|z| z.rank() == 1 && z.len > 1).map(|z| alloc::vec![z.len, 1]);
    let left = Centred::new(a, zeros[0].clone(), rows)?;
    let columns = if b.rank() > 1 { b.shape.last().copied().unwrap_or(1) } else { 1 };
    let right = Centred::new(b, zeros[1].clone(), None)?;
    sums(p, [left, right], (columns, 1), matmul::matmul)
}

/// `ConvInteger`.
pub(crate) fn conv(p: &Problem, a: &ConvAttrs) -> KernelResult<Built> {
    let (x, w) = (Slot::input(p, 0)?, Slot::input(p, 1)?);
    let zeros = [Slot::optional_input(p, 2)?, Slot::optional_input(p, 3)?];
    let out = Slot::output(p, 0)?;
    ensure(out.rank() > 2 && w.rank() == out.rank(), || format!("output {:?} has no spatial axes", out.shape))?;
    let mut each = alloc::vec![1; w.rank()];
    each[0] = zeros[1].as_ref().map_or(1, |z| z.len);
    let channels = (out.shape[1], product(&out.shape[2..]));
    let operands = [Centred::new(x, zeros[0].clone(), None)?, Centred::new(w, zeros[1].clone(), Some(each))?];
    sums(p, operands, channels, |real| conv::conv(real, a))
}

/// `DynamicQuantizeLinear`.
pub(crate) fn dynamic_quantize(p: &Problem) -> KernelResult<Built> {
    let x = Slot::input(p, 0)?;
    x.expect_dtype("the input", DType::F32)?;
    let outputs = [Slot::optional_output(p, 0)?, Slot::optional_output(p, 1)?, Slot::optional_output(p, 2)?];
    for (slot, dtype) in outputs.iter().zip([DType::U8, DType::F32, DType::U8]) {
        slot.as_ref().map_or(Ok(()), |s| s.expect_dtype("an output", dtype))?;
    }
    let [y, scale_out, zero_out] = outputs;
    y.as_ref().map_or(Ok(()), |y| y.expect_shape("the output", &x.shape))?;
    for one in [&scale_out, &zero_out].into_iter().flatten() {
        one.expect_len("scale or zero point", 1)?;
    }
    built(0, move |io| {
        let xv = x.view(io);
        let wider = |(low, high): (f64, f64), v: f64| (if v < low { v } else { low }, if v > high { v } else { high });
        let (low, high) = (0..x.len).map(|i| xv.f(i)).fold((0.0, 0.0), wider);
        let (scale, zero) = dynamic_parameters(low as f32, high as f32);
        if let Some(y) = &y {
            let mut out = y.target(io);
            for i in 0..x.len {
                let q = round_even(f64::from(xv.f(i) as f32 / scale)) + f64::from(zero);
                // What is not a number becomes 0.
                out.put_f(i, if q > 0.0 { q.min(255.0) } else { 0.0 });
            }
        }
        if let Some(slot) = &scale_out {
            slot.target(io).put_f(0, f64::from(scale));
        }
        if let Some(slot) = &zero_out {
            slot.target(io).put_int(0, zero.into());
        }
        Ok(())
    })
}

/// Scale and zero point by which `DynamicQuantizeLinear` makes bytes of numbers between `low`, 0 or less, and `high`, 0 or
/// more. Where the range is 0, any scale would do: it is 1, as in ONNX Runtime.
pub fn dynamic_parameters(low: f32, high: f32) -> (f32, u8) {
    let scale = (high - low) / 255.0;
    let scale = if scale > 0.0 { scale } else { 1.0 };
    let zero = round_even(f64::from((0.0 - low / scale).clamp(0.0, 255.0)));
    (scale, zero as u8)
}

/// An operand of bytes less its zero points.
struct Centred {
    slot: Slot,
    zero: Option<(Slot, Walk)>,
}

impl Centred {
    /// The bytes in `slot` less `zero`, which broadcasts to them as if it had the shape `seen`.
    fn new(slot: Slot, zero: Option<Slot>, seen: Option<Vec<usize>>) -> KernelResult<Centred> {
        let bytes = matches!(slot.dtype, DType::U8 | DType::I8);
        ensure(bytes, || format!("an operand is {} where bytes are needed", slot.dtype))?;
        let zero = match zero {
            None => None,
            Some(z) => {
                z.expect_dtype("a zero point", slot.dtype)?;
                let walk = match seen {
                    // One number of any rank.
                    _ if z.len == 1 => Walk::broadcast(&[], &slot.shape)?,
                    Some(shape) => Walk::broadcast(&shape, &slot.shape)?,
                    None => Walk::broadcast(&z.shape, &slot.shape)?,
                };
                Some((z, walk))
            }
        };
        Ok(Centred { slot, zero })
    }
}

/// Runs the integer problem `p` through the function that `build` makes of the same problem in floating-point numbers,
/// in which all these products and sums are exact, and brings the sums to 32 bits. `channels`: their number, and the
/// elements that one spans in the output.
fn sums(
    p: &Problem,
    operands: [Centred; 2],
    channels: (usize, usize),
    build: impl FnOnce(&Problem) -> KernelResult<Built>,
) -> KernelResult<Built> {
    let (out, scale) = (Slot::output(p, 0)?, Slot::optional_input(p, 4)?);
    match &scale {
        None => out.expect_dtype("the output", DType::I32)?,
        Some(s) => {
            out.expect_float("the output")?;
            s.expect_dtype("the scale", DType::F32)?;
            let fits = s.len == 1 || s.len == channels.0;
            ensure(fits, || format!("scale {:?} is neither one number nor {}", s.shape, channels.0))?;
        }
    }
    let inner = build(&in_floats(p, &operands, &out))?;
    let sizes = [words(operands[0].slot.len)?, words(operands[1].slot.len)?, words(out.len)?];
    let sizes = sizes.map(|bytes| bytes.next_multiple_of(64));
    let total = sizes.iter().chain([&inner.scratch]).try_fold(0usize, |a, &b| a.checked_add(b));
    let total = total.filter(|&t| t <= isize::MAX as usize);
    built(total.ok_or_else(|| problem("the scratch exceeds the address space"))?, move |io| {
        let mut rest = io.scratch();
        let mut inputs: [(usize, &[u8]); 2] = [(0, &[]); 2];
        for (input, (from, &bytes)) in inputs.iter_mut().zip(operands.iter().zip(&sizes)) {
            let (own, left) = core::mem::take(&mut rest).split_at_mut(bytes);
            rest = left;
            let own = &mut own[..from.slot.len * size_of::<f64>()];
            let view = from.slot.view(io);
            let zero = from.zero.as_ref().map(|(slot, walk)| (slot.view(io), walk));
            for (i, v) in cast_scratch::<f64>(own).iter_mut().enumerate() {
                *v = (view.int(i) - zero.as_ref().map_or(0, |(zero, walk)| zero.int(walk.at(i)))) as f64;
            }
            *input = (from.slot.index, own);
        }
        let (result, rest) = rest.split_at_mut(sizes[2]);
        let result = &mut result[..out.len * size_of::<f64>()];
        (inner.run)(&mut Redirect { inner: io, inputs: &inputs, result: Some(&mut *result), scratch: Some(rest) })?;
        let scale = scale.as_ref().map(|s| (s.view(io), s.len));
        let mut target = out.target(io);
        for (i, &sum) in cast_scratch::<f64>(result).iter().enumerate() {
            let sum = sum as i64 as i32;
            match &scale {
                None => target.put_int(i, sum.into()),
                Some((s, n)) => target.put_f(i, f64::from(sum) * s.f(i / channels.1 % channels.0 % n)),
            }
        }
        Ok(())
    })
}

/// The problem with operands and output of `f64` in place of the integers, and without zero points and scale.
fn in_floats(p: &Problem, operands: &[Centred; 2], out: &Slot) -> Problem {
    let number = |slot: &Slot| Some(Operand::new(DType::F64, &slot.shape));
    let mut real = p.clone();
    real.inputs = operands.iter().map(|o| number(&o.slot)).collect();
    real.outputs = alloc::vec![number(out)];
    real
}
