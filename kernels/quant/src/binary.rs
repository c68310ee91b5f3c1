//! Functions of two numbers, of which at least one is made of bytes.

use crate::{
    family::{Family, Target, streaming},
    lanes::{Eights, Kind},
};
use paring_core::{
    Layout, Op,
    op::{self, EpiOp},
};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, SharedMut,
};
use paring_simd::{Act, LANES, Simd, Task, by_act, bytes::Narrow};
use paring_vector::support::{BLOCKED, split};
use std::sync::Arc;

/// `Binary`: sums, differences, products, quotients, minima and maxima.
pub struct Binary;

/// How an operand follows the output.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Spread {
    /// Element for element.
    Same,
    /// One for each channel of each sample.
    Channels,
    /// One for all.
    One,
}

struct Plan {
    kind: op::Binary,
    operands: [Kind; 2],
    spread: [Spread; 2],
    out: Kind,
    acts: Vec<Act>,
}

impl Plan {
    fn of(p: &Problem) -> Result<Plan, Reject> {
        let Op::Binary(kind) = p.op else { return Err("not a function of two numbers".into()) };
        use op::Binary::{Add, Div, Max, Min, Mul, Sub};
        if !matches!(kind, Add | Sub | Mul | Div | Min | Max) {
            return Err(format!("no {kind:?} of bytes").into());
        }
        let y = p.output(0).ok_or("nobody wants the output")?;
        let operand = |i: usize| -> Result<(Kind, Spread), Reject> {
            let x = p.input(i).ok_or("an operand is missing")?;
            Ok((Kind::of(x)?, spread(&x.shape, &y.shape)?))
        };
        let (a, b) = (operand(0)?, operand(1)?);
        let act = |e: &EpiOp| match *e {
            EpiOp::Act(act) => Some(Ok(act)),
            EpiOp::Quantize { .. } => None,
            _ => Some(Err(Reject::because("the epilogue has operands"))),
        };
        let acts = p.epilogue.iter().filter_map(act).collect::<Result<_, _>>()?;
        Ok(Plan { kind, operands: [a.0, b.0], spread: [a.1, b.1], out: Kind::of(y)?, acts })
    }
}

fn spread(x: &[usize], y: &[usize]) -> Result<Spread, Reject> {
    if x == y {
        Ok(Spread::Same)
    } else if x.iter().all(|&d| d == 1) {
        Ok(Spread::One)
    } else if x.len() == y.len() && x.len() > 2 && x[..2] == y[..2] && x[2..].iter().all(|&d| d == 1) {
        Ok(Spread::Channels)
    } else {
        Err(format!("{x:?} neither has the shape {y:?} nor one element for each of its channels").into())
    }
}

impl Family for Binary {
    fn offers(p: &Problem, _: Target, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let plan = Plan::of(p)?;
        let rank = p.output(0).map_or(0, |y| y.shape.len());
        for layout in [BLOCKED, Layout::Plain] {
            let blocked = layout != Layout::Plain;
            // One element for each channel is a vector of eight in blocks, and nothing as simple in plain layout.
            if (blocked && rank < 2) || (!blocked && plan.spread.contains(&Spread::Channels)) {
                continue;
            }
            let input = |s: Spread| Some(if s == Spread::One { Layout::Plain } else { layout });
            let numerics = NumericClass::Reassociated;
            let inputs = plan.spread.iter().map(|&s| input(s)).collect();
            let in_place =
                (0..2).find(|&i| plan.spread[i] == Spread::Same && plan.operands[i].size() == plan.out.size());
            let (outputs, fused) = (vec![layout], p.epilogue.len());
            out.push(Offer { inputs, outputs, fused, numerics, in_place, ..Offer::plain(p) });
        }
        if out.is_empty() { Err("no layout fits".into()) } else { Ok(()) }
    }

    fn cost(p: &Problem, o: &Offer, target: Target, m: &Machine) -> Cost {
        streaming(p, o, target, m, 0.25 * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let shape = p.output(0).map(|y| y.shape.clone()).unwrap_or_default();
        let (eights, plane) = match o.outputs[0] {
            Layout::Plain => (Eights::plain(shape.iter().product()), 1),
            _ => (Eights::blocked(&shape), shape[2..].iter().product()),
        };
        let direct = Direct::of(&plan);
        Ok(Box::new(Run { s, plan, direct, eights, plane }))
    }
}

/// A sum, difference or product of bytes of one type that become bytes, with no more than bounds after it, in the units of
/// the latter. Bytes of two types go the general way, lest there be as many copies of this as there are pairs of types.
struct Direct {
    /// The operand of the output's shape, and the other; all that follows is in this order.
    order: [usize; 2],
    /// Whether the bytes of both are signed.
    signed: bool,
    of: Arithmetic,
    how: Narrow,
}

#[derive(Clone, Copy)]
enum Arithmetic {
    /// `factors[0] a + factors[1] b + shift`.
    Sum { factors: [f32; 2], shift: f32 },
    /// `factor (a - zeros[0]) (b - zeros[1])`.
    Product { factor: f32, zeros: [f32; 2] },
}

impl Direct {
    fn of(plan: &Plan) -> Option<Direct> {
        let (Kind::Bytes(a), Kind::Bytes(b), Kind::Bytes(y)) = (plan.operands[0], plan.operands[1], plan.out) else {
            return None;
        };
        let (lo, hi) = match plan.acts[..] {
            [] => (f32::NEG_INFINITY, f32::INFINITY),
            [Act::Relu] => (0.0, f32::INFINITY),
            [Act::Clamp { lo, hi }] => (lo, hi),
            _ => return None,
        };
        let order = match plan.spread {
            [Spread::Same, Spread::Same | Spread::Channels] => [0, 1],
            [Spread::Channels, Spread::Same] => [1, 0],
            _ => return None,
        };
        let zeros = order.map(|i| [a, b][i].zero_point as f32);
        let (of, largest) = match plan.kind {
            op::Binary::Add | op::Binary::Sub => {
                let sign = if plan.kind == op::Binary::Sub { -1.0 } else { 1.0 };
                let factors = order.map(|i| [a.scale / y.scale, sign * b.scale / y.scale][i]);
                let shift = -(factors[0] * zeros[0] + factors[1] * zeros[1]);
                (Arithmetic::Sum { factors, shift }, factors[0].abs().max(factors[1].abs()))
            }
            op::Binary::Mul => {
                let factor = a.scale * b.scale / y.scale;
                (Arithmetic::Product { factor, zeros }, factor * 256.0)
            }
            _ => return None,
        };
        let (zero, (least, most)) = (y.zero_point as f32, y.range());
        let bound = |v: f32| ((v / y.scale).clamp(least - zero, most - zero).round_ties_even() + zero) as i16;
        let how = Narrow { zero: y.zero_point as i16, lo: bound(lo), hi: bound(hi), signed: y.signed };
        // Results must be integers of 32 bits before they are bounded.
        (largest < 1e6 && a.signed == b.signed).then_some(Direct { order, signed: a.signed, of, how })
    }
}

struct Run<S> {
    s: S,
    plan: Plan,
    direct: Option<Direct>,
    eights: Eights,
    /// Eights that one eight of an operand for each channel serves.
    plane: usize,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = [0, 1].map(|i| (cx.in_place() != Some(i)).then(|| cx.input::<u8>(i)));
        let (parallel, y) = (cx.parallel(), cx.shared_output::<u8>(0));
        let len = x.map(|x| x.map_or(y.len(), <[u8]>::len));
        let elements = self.eights.elements();
        for (i, len) in len.into_iter().enumerate() {
            let needed = match self.plan.spread[i] {
                Spread::Same => elements,
                Spread::Channels => self.eights.count / self.plane * LANES,
                Spread::One => 1,
            };
            assert!(len >= needed * self.plan.operands[i].size());
        }
        assert!(y.len() >= elements * self.plan.out.size());
        split(parallel, self.eights.count, len[0] + len[1] + y.len(), &|range, _| {
            self.s.vectorize(Stretch { run: self, x, y, first: range.start, end: range.end });
        });
        Ok(())
    }
}

struct Stretch<'a, E> {
    run: &'a Run<E>,
    /// Operands, but for one that lies in the output.
    x: [Option<&'a [u8]>; 2],
    y: SharedMut<'a, u8>,
    first: usize,
    end: usize,
}

impl<E: Simd> Task for Stretch<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let run = self.run;
        if let Some(direct) = run.direct.as_ref().filter(|_| !S::SMALL) {
            return match direct.signed {
                true => self.directly::<S, true>(s, direct),
                false => self.directly::<S, false>(s, direct),
            };
        }
        // No function of a function here: it would not be compiled for the instructions of `S`.
        macro_rules! all {
            ($op:ident) => {
                for i in self.first..self.end {
                    let (n, room) = run.eights.at(i);
                    let v = s.$op(self.load(s, 0, i, n), self.load(s, 1, i, n));
                    self.finish(s, i, v, n, room);
                }
            };
        }
        match run.plan.kind {
            op::Binary::Add => all!(add),
            op::Binary::Sub => all!(sub),
            op::Binary::Mul => all!(mul),
            op::Binary::Div => all!(div),
            op::Binary::Min => all!(min),
            _ => all!(max),
        }
    }
}

impl<E: Simd> Stretch<'_, E> {
    /// The bytes of operand `k`.
    #[inline(always)]
    fn operand(&self, k: usize) -> *const u8 {
        self.x[k].map_or(self.y.as_ptr().cast_const(), <[u8]>::as_ptr)
    }

    /// Bytes to bytes, four eights at once where all are whole. Whether operands are signed is known when this is compiled:
    /// asking for each eight would take as long as all else.
    #[inline(always)]
    fn directly<S: Simd, const SIGNED: bool>(&self, s: S, direct: &Direct) {
        let (run, y) = (self.run, self.y.as_ptr());
        let x = [self.operand(direct.order[0]), self.operand(direct.order[1])];
        // Eights of the second operand stand still where there is one for each channel.
        let (same, step) = if run.plan.spread == [Spread::Same; 2] { (true, LANES) } else { (false, 0) };
        // No function of a function here: it would not be compiled for the instructions of `S`.
        macro_rules! eights {
            (|$p:ident, $q:ident| $value:expr) => {{
                let mut i = self.first;
                while i < self.end {
                    let whole = run.eights.whole(i, self.end);
                    while i < whole {
                        // A division for each plane, not for each eight: it would take longer than all else.
                        let block = i / run.plane;
                        let stop = if same { whole } else { whole.min((block + 1) * run.plane) };
                        let (mut p, mut q) =
                            (x[0].wrapping_add(i * LANES), x[1].wrapping_add(if same { i } else { block } * LANES));
                        macro_rules! at {
                            ($k:literal) => {{
                                let $p = s.load_bytes(p.add($k * LANES), SIGNED);
                                let $q = s.load_bytes(q.add($k * step), SIGNED);
                                $value
                            }};
                        }
                        while i + 4 <= stop {
                            // SAFETY: operands were checked to hold all eights that they are read for; every task has its
                            // own of the output.
                            unsafe { s.store_narrow(y.add(i * LANES), [at!(0), at!(1), at!(2), at!(3)], direct.how) };
                            (i, p, q) = (i + 4, p.wrapping_add(4 * LANES), q.wrapping_add(4 * step));
                        }
                        while i < stop {
                            // SAFETY: as above.
                            unsafe {
                                let bytes = s.narrow([at!(0); 2], direct.how);
                                y.add(i * LANES).cast::<u64>().write_unaligned(bytes[0]);
                            }
                            (i, p, q) = (i + 1, p.wrapping_add(LANES), q.wrapping_add(step));
                        }
                    }
                    if i < self.end && i == whole {
                        let (n, room) = run.eights.at(i);
                        let (a, b) = (self.load(s, 0, i, n), self.load(s, 1, i, n));
                        let v = match run.plan.kind {
                            op::Binary::Sub => s.sub(a, b),
                            op::Binary::Mul => s.mul(a, b),
                            _ => s.add(a, b),
                        };
                        self.finish(s, i, v, n, room);
                        i += 1;
                    }
                }
            }};
        }
        match direct.of {
            Arithmetic::Sum { factors, shift } => {
                let (a, b, c) = (s.splat(factors[0]), s.splat(factors[1]), s.splat(shift));
                eights!(|p, q| s.mul_add(p, a, s.mul_add(q, b, c)));
            }
            Arithmetic::Product { factor, zeros } => {
                let (a, b, c) = (s.splat(zeros[0]), s.splat(zeros[1]), s.splat(factor));
                eights!(|p, q| s.mul(s.mul(s.sub(p, a), s.sub(q, b)), c));
            }
        }
    }

    /// Eight `i` of operand `k`.
    #[inline(always)]
    fn load<S: Simd>(&self, s: S, k: usize, i: usize, n: usize) -> S::V {
        let (kind, x) = (self.run.plan.operands[k], self.operand(k));
        // SAFETY: operands were checked to hold what they are read for.
        unsafe {
            match self.run.plan.spread[k] {
                Spread::Same => kind.load(s, x, i * LANES, n),
                Spread::Channels => kind.load(s, x, i / self.run.plane * LANES, n),
                Spread::One => s.splat(s.to_array(kind.load(s, x, 0, 1))[0]),
            }
        }
    }

    /// Applies the epilogue to eight `i` and stores it.
    #[inline(always)]
    fn finish<S: Simd>(&self, s: S, i: usize, mut v: S::V, n: usize, room: usize) {
        let plan = &self.run.plan;
        match plan.acts[..] {
            [] => {}
            [Act::Relu] => v = s.max(s.splat(0.0), v),
            [Act::Clamp { lo, hi }] => v = s.min(s.splat(hi), s.max(s.splat(lo), v)),
            _ => {
                let mut row = s.to_array(v);
                activate(s, &plan.acts, &mut row);
                v = s.from_array(row);
            }
        }
        // SAFETY: the output was checked to hold all eights, and every task has its own.
        unsafe { plan.out.store(s, self.y.as_ptr(), i * LANES, v, n, room) };
    }
}

/// Applies activations one after the other. Out of line, as it would swell every function.
#[inline(never)]
fn activate<S: Simd>(s: S, acts: &[Act], row: &mut [f32; LANES]) {
    s.vectorize(Activate { acts, row });
}

struct Activate<'a> {
    acts: &'a [Act],
    row: &'a mut [f32; LANES],
}

impl Task for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        for &act in self.acts {
            macro_rules! value {
                ($x:ident => $value:expr) => {{
                    let $x = s.from_array(*self.row);
                    *self.row = s.to_array($value);
                }};
            }
            by_act!(s, act, x, value!());
        }
    }
}
