//! Functions of two numbers, of which at least one is made of bytes.

use crate::{
    family::{Family, streaming},
    lanes::{Eights, Kind},
};
use paring_core::{
    Layout, Op,
    op::{self, EpiOp},
};
use paring_kernel::{
    Cost, KernelError, Machine, NumericClass, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx, SharedMut,
};
use paring_simd::{Act, LANES, Simd, Task, by_act};
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
    fn offers<S: Simd>(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
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
            out.push(Offer { inputs, outputs: vec![layout], fused: p.epilogue.len(), numerics, ..Offer::plain(p) });
        }
        if out.is_empty() { Err("no layout fits".into()) } else { Ok(()) }
    }

    fn cost<S: Simd>(p: &Problem, o: &Offer, m: &Machine) -> Cost {
        streaming::<S>(p, o, m, 0.25 * p.output(0).map_or(0, Operand::len) as f64)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let plan = Plan::of(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let shape = p.output(0).map(|y| y.shape.clone()).unwrap_or_default();
        let (eights, plane) = match o.outputs[0] {
            Layout::Plain => (Eights::plain(shape.iter().product()), 1),
            _ => (Eights::blocked(&shape), shape[2..].iter().product()),
        };
        Ok(Box::new(Run { s, plan, eights, plane }))
    }
}

struct Run<S> {
    s: S,
    plan: Plan,
    eights: Eights,
    /// Eights that one eight of an operand for each channel serves.
    plane: usize,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (x, parallel) = ([cx.input::<u8>(0), cx.input::<u8>(1)], cx.parallel());
        let y = cx.shared_output::<u8>(0);
        let (last, room) = self.eights.at(self.eights.count - 1);
        let elements = (self.eights.count - 1) * LANES + last.max(room);
        for (i, x) in x.iter().enumerate() {
            let needed = match self.plan.spread[i] {
                Spread::Same => elements,
                Spread::Channels => self.eights.count / self.plane * LANES,
                Spread::One => 1,
            };
            assert!(x.len() >= needed * self.plan.operands[i].size());
        }
        assert!(y.len() >= elements * self.plan.out.size());
        split(parallel, self.eights.count, x[0].len() + x[1].len() + y.len(), &|range, _| {
            self.s.vectorize(Stretch { run: self, x, y, first: range.start, end: range.end });
        });
        Ok(())
    }
}

struct Stretch<'a, E> {
    run: &'a Run<E>,
    x: [&'a [u8]; 2],
    y: SharedMut<'a, u8>,
    first: usize,
    end: usize,
}

impl<E: Simd> Task for Stretch<'_, E> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        macro_rules! of {
            ($op:ident) => {
                self.all(s, |a, b| s.$op(a, b))
            };
        }
        match self.run.plan.kind {
            op::Binary::Add => of!(add),
            op::Binary::Sub => of!(sub),
            op::Binary::Mul => of!(mul),
            op::Binary::Div => of!(div),
            op::Binary::Min => of!(min),
            _ => of!(max),
        }
    }
}

impl<E: Simd> Stretch<'_, E> {
    #[inline(always)]
    fn all<S: Simd>(&self, s: S, f: impl Fn(S::V, S::V) -> S::V) {
        let run = self.run;
        for i in self.first..self.end {
            let (n, room) = run.eights.at(i);
            let load = |k: usize| {
                let (kind, x) = (run.plan.operands[k], self.x[k].as_ptr());
                // SAFETY: operands were checked to hold what they are read for.
                unsafe {
                    match run.plan.spread[k] {
                        Spread::Same => kind.load(s, x, i * LANES, n),
                        Spread::Channels => kind.load(s, x, i / run.plane * LANES, n),
                        Spread::One => s.splat(s.to_array(kind.load(s, x, 0, 1))[0]),
                    }
                }
            };
            let mut v = f(load(0), load(1));
            for &act in &run.plan.acts {
                macro_rules! value {
                    ($x:ident => $value:expr) => {{
                        let $x = v;
                        $value
                    }};
                }
                v = by_act!(s, act, x, value!());
            }
            // SAFETY: as above; every task has its own eights.
            unsafe { run.plan.out.store(s, self.y.as_ptr(), i * LANES, v, n, room) };
        }
    }
}
