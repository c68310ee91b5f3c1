//! Numbers to bytes, bytes to others, and bytes to numbers.

use crate::{
    family::{Family, Target, streaming},
    lanes::{Eights, Kind},
    operand::{Bytes, range},
};
use paring_core::{DType, Layout, Op, op::EpiOp};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Parallel, Prepared, Problem, Reject, RunCx,
    SharedMut,
};
use paring_simd::{LANES, Simd, Task, bytes::Narrow};
use paring_vector::support::{BLOCKED, Planes, split};
use std::sync::Arc;

/// `Identity` that ends by quantising, and `DequantizeLinear` by one scale, in either layout or from one to the other.
pub struct Convert;

/// What is converted to what.
fn kinds(p: &Problem) -> Result<(Kind, Kind), Reject> {
    let (Some(x), Some(y)) = (p.input(0), p.output(0)) else { return Err("an operand is missing".into()) };
    match (&p.op, &p.epilogue[..]) {
        (Op::Identity, [EpiOp::Quantize { .. }]) => Ok((Kind::of(x)?, Kind::of(y)?)),
        (Op::Identity, []) if x.dtype == y.dtype && matches!(x.dtype, DType::U8 | DType::I8) => {
            // Only moved, so what they stand for is no matter.
            let bytes = Kind::Bytes(Bytes { signed: false, scale: 1.0, zero_point: 0 });
            Ok((bytes, bytes))
        }
        (Op::DequantizeLinear(_), []) => {
            let number = |i: usize| p.constant(i).filter(|t| t.len() == 1).and_then(|t| t.to_f64s()).map(|v| v[0]);
            let scale = number(1).ok_or("the scale is not one constant")? as f32;
            let zero_point = match p.input(2) {
                None => 0,
                Some(_) => number(2).ok_or("the zero point is not one constant")? as i32,
            };
            let signed = match x.dtype {
                DType::U8 => false,
                DType::I8 => true,
                other => return Err(format!("only bytes, found {other}").into()),
            };
            Ok((Kind::Bytes(Bytes { signed, scale, zero_point }), Kind::of(y)?))
        }
        _ => Err("not a conversion".into()),
    }
}

impl Family for Convert {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let (from, to) = kinds(p)?;
        let shape = p.input(0).map(|x| &x.shape).filter(|x| p.output(0).is_some_and(|y| y.shape == **x));
        let rank = shape.ok_or("the shapes differ")?.len();
        let layouts: &[(Layout, Layout)] = match rank {
            0 | 1 => &[(Layout::Plain, Layout::Plain)],
            _ => &[
                (Layout::Plain, Layout::Plain),
                (BLOCKED, BLOCKED),
                (Layout::Plain, BLOCKED),
                (BLOCKED, Layout::Plain),
            ],
        };
        for &(input, output) in layouts {
            // Copies as they are: that is what no kernel is needed for.
            if input == output && from == to && p.op == Op::Identity {
                continue;
            }
            let mut inputs = vec![None; p.inputs.len()];
            inputs[0] = Some(input);
            let exact = NumericClass::Exact;
            out.push(Offer {
                inputs,
                outputs: vec![output],
                fused: p.epilogue.len(),
                numerics: exact,
                ..Offer::plain(p)
            });
        }
        Ok(())
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        // Measured: what an element takes, in nanoseconds; the quotient of quantising takes its share.
        let turned = o.inputs.first().copied().flatten() != o.outputs.first().copied();
        let quantises = matches!(kinds(p), Ok((_, Kind::Bytes(_)))) && !p.epilogue.is_empty();
        let each = 0.1 + if turned { 0.2 } else { 0.0 } + if quantises { 0.07 } else { 0.0 };
        streaming(p, o, target, m, each * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let problem = |r: Reject| KernelError::Problem(r.to_string());
        let (from, to) = kinds(p).map_err(problem)?;
        let shape = p.output(0).map(|y| y.shape.clone()).unwrap_or_default();
        let (input, output) = (o.inputs[0].unwrap_or(Layout::Plain), o.outputs[0]);
        if input != output {
            let planes = Planes::of(&shape).map_err(problem)?;
            return Ok(Box::new(Turn { s, from, to, planes, to_blocked: output != Layout::Plain }));
        }
        let eights = match output {
            Layout::Plain => Eights::plain(shape.iter().product()),
            _ => Eights::blocked(&shape),
        };
        Ok(Box::new(Straight { s, from, to, eights }))
    }
}

/// A conversion that keeps the layout.
struct Straight<S> {
    s: S,
    from: Kind,
    to: Kind,
    eights: Eights,
}

impl<S: Simd> Prepared for Straight<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel) = (cx.input::<u8>(0), cx.parallel());
        straight(self.s, parallel, self.eights, (self.from, x), (self.to, cx.shared_output::<u8>(0)));
        Ok(())
    }
}

/// Converts all elements, which stay where they are.
pub fn straight<S: Simd>(
    s: S,
    parallel: &dyn Parallel,
    eights: Eights,
    (from, x): (Kind, &[u8]),
    (to, y): (Kind, SharedMut<'_, u8>),
) {
    let elements = eights.elements();
    assert!(x.len() >= elements * from.size() && y.len() >= elements * to.size());
    split(parallel, eights.count, x.len() + y.len(), &|range, _| {
        s.vectorize(Stretch { from, to, eights, x, y, first: range.start, end: range.end });
    });
}

struct Stretch<'a> {
    from: Kind,
    to: Kind,
    eights: Eights,
    x: &'a [u8],
    y: SharedMut<'a, u8>,
    first: usize,
    end: usize,
}

impl Task for Stretch<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (x, y) = (self.x.as_ptr(), self.y.as_ptr());
        let mut i = self.first;
        while i < self.end {
            let whole = self.eights.whole(i, self.end);
            // SAFETY: the operands were checked to hold all eights; every task has its own.
            unsafe {
                match (self.from, self.to) {
                    (Kind::F32, Kind::Bytes(_)) => {
                        for i in i..whole {
                            self.to.store(s, y, i * LANES, s.load(x.cast::<f32>().add(i * LANES)), LANES, LANES);
                        }
                    }
                    (Kind::Bytes(_), Kind::F32) => {
                        for i in i..whole {
                            s.store(y.cast::<f32>().add(i * LANES), self.from.load(s, x, i * LANES, LANES));
                        }
                    }
                    _ => {
                        for i in i..whole {
                            self.to.store(s, y, i * LANES, self.from.load(s, x, i * LANES, LANES), LANES, LANES);
                        }
                    }
                }
            }
            i = whole;
            if i < self.end {
                let (n, room) = self.eights.at(i);
                // SAFETY: as above.
                unsafe { self.to.store(s, y, i * LANES, self.from.load(s, x, i * LANES, n), n, room) };
                i += 1;
            }
        }
    }
}

/// A conversion from one layout to the other.
struct Turn<S> {
    s: S,
    from: Kind,
    to: Kind,
    planes: Planes,
    to_blocked: bool,
}

/// Pixels of a unit of work.
const PIXELS: usize = 512;

impl<S: Simd> Prepared for Turn<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel, planes) = (cx.input::<u8>(0), cx.parallel(), self.planes);
        let y = cx.shared_output::<u8>(0);
        let plain = planes.samples * planes.channels * planes.plane;
        let blocked = planes.samples * planes.blocks() * planes.plane * LANES;
        let (before, after) = if self.to_blocked { (plain, blocked) } else { (blocked, plain) };
        assert!(x.len() >= before * self.from.size() && y.len() >= after * self.to.size());
        let parts = planes.plane.div_ceil(PIXELS);
        split(parallel, planes.samples * planes.blocks() * parts, x.len() + y.len(), &|units, _| {
            for unit in units {
                let (part, block) = (unit % parts, unit / parts);
                let pixels = (part * PIXELS, planes.plane.min((part + 1) * PIXELS));
                self.s.vectorize(Turned { turn: self, x, y, block, pixels });
            }
        });
        Ok(())
    }
}

struct Turned<'a, E> {
    turn: &'a Turn<E>,
    x: &'a [u8],
    y: SharedMut<'a, u8>,
    /// Counted through all samples.
    block: usize,
    pixels: (usize, usize),
}

impl<E: Simd> Task for Turned<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Turn { from, to, planes, to_blocked, .. } = *self.turn;
        let (sample, block) = (self.block / planes.blocks(), self.block % planes.blocks());
        let lanes = planes.lanes(block);
        let plain = (sample * planes.channels + block * LANES) * planes.plane;
        let blocked = self.block * planes.plane * LANES;
        let (x, y) = (self.x.as_ptr(), self.y.as_ptr());
        let mut pixel = self.pixels.0;
        while pixel < self.pixels.1 {
            let n = (self.pixels.1 - pixel).min(LANES);
            let mut rows = [s.splat(0.0); LANES];
            // SAFETY: the operands were checked to hold all planes; pixels of a block are this task's alone.
            unsafe {
                if let (true, Kind::Bytes(b)) = (to_blocked, to) {
                    // Quantised before they are turned: a division for each channel that exists, not for each pixel.
                    for lane in 0..lanes {
                        rows[lane] = b.quantise(s, from.load(s, x, plain + lane * planes.plane + pixel, n));
                    }
                    let columns = s.transpose(rows);
                    let (lo, hi) = range(b.signed);
                    let how = Narrow { zero: 0, lo: lo as i16, hi: hi as i16, signed: b.signed };
                    let y = y.add(blocked + pixel * LANES);
                    if n == LANES {
                        let [a, b, c, d, e, f, g, h] = columns;
                        s.store_narrow(y, [a, b, c, d], how);
                        s.store_narrow(y.add(4 * LANES), [e, f, g, h], how);
                    } else {
                        for i in 0..n {
                            y.add(i * LANES).cast::<u64>().write_unaligned(s.narrow([columns[i]; 2], how)[0]);
                        }
                    }
                } else if to_blocked {
                    for lane in 0..lanes {
                        rows[lane] = from.load(s, x, plain + lane * planes.plane + pixel, n);
                    }
                    let columns = s.transpose(rows);
                    for i in 0..n {
                        to.store(s, y, blocked + (pixel + i) * LANES, columns[i], lanes, LANES);
                    }
                } else {
                    for i in 0..n {
                        rows[i] = from.load(s, x, blocked + (pixel + i) * LANES, LANES);
                    }
                    let columns = s.transpose(rows);
                    for lane in 0..lanes {
                        to.store(s, y, plain + lane * planes.plane + pixel, columns[lane], n, n);
                    }
                }
            }
            pixel += n;
        }
    }
}
