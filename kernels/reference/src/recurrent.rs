//! LSTM, GRU and plain recurrence (ONNX, `LSTM`, `GRU`, `RNN`).

use crate::io::{Built, Io, KernelResult, Slot, View, built, cast_scratch, data, ensure, problem, words};
use crate::scalar::activation;
use alloc::format;
use paring_core::op::{Act, Cell, Direction, RecurrentAttrs};
use paring_kernel::Problem;

/// The operands of a layer and their extents.
struct Layer {
    a: RecurrentAttrs,
    x: Slot,
    w: Slot,
    r: Slot,
    bias: Option<Slot>,
    lengths: Option<Slot>,
    h0: Option<Slot>,
    c0: Option<Slot>,
    peepholes: Option<Slot>,
    outputs: [Option<Slot>; 3],
    time: usize,
    batch: usize,
    features: usize,
    directions: usize,
    gates: usize,
}

/// The state of one sequence in one direction.
struct State<'a> {
    h: &'a mut [f64],
    c: &'a mut [f64],
    gates: &'a mut [f64],
    reset: &'a mut [f64],
}

/// `Recurrent`.
pub(crate) fn recurrent(p: &Problem, a: &RecurrentAttrs) -> KernelResult<Built> {
    let layer = Layer::new(p, a)?;
    let hidden = a.hidden;
    let scratch = words(hidden.checked_mul(3 + layer.gates).ok_or_else(|| problem("too many hidden units"))?)?;
    built(scratch, move |io| {
        let (h, rest) = cast_scratch::<f64>(io.scratch()).split_at_mut(hidden);
        let (c, rest) = rest.split_at_mut(hidden);
        let (reset, rest) = rest.split_at_mut(hidden);
        let mut state = State { h, c, gates: &mut rest[..layer.gates * hidden], reset };
        for d in 0..layer.directions {
            for n in 0..layer.batch {
                layer.sequence(io, d, n, &mut state)?;
            }
        }
        Ok(())
    })
}

impl Layer {
    fn new(p: &Problem, a: &RecurrentAttrs) -> KernelResult<Layer> {
        let (x, w, r) = (Slot::input(p, 0)?, Slot::input(p, 1)?, Slot::input(p, 2)?);
        let optional = |i: usize| Slot::optional_input(p, i);
        let &[first, second, features] = x.shape.as_slice() else {
            return Err(problem(format!("input {:?} is not of rank 3", x.shape)));
        };
        let (time, batch) = if a.batch_first { (second, first) } else { (first, second) };
        let directions = if a.direction == Direction::Bidirectional { 2 } else { 1 };
        let (gates, functions) = match a.cell {
            Cell::Lstm => (4, 3),
            Cell::Gru { .. } => (3, 2),
            Cell::Plain => (1, 1),
        };
        let hidden = a.hidden;
        let rows = hidden.checked_mul(2 * gates).ok_or_else(|| problem("too many hidden units"))? / 2;
        ensure(a.activations.len() == functions * directions, || {
            format!("{} activations where {} are needed", a.activations.len(), functions * directions)
        })?;
        w.expect_shape("w", &[directions, rows, features])?;
        r.expect_shape("r", &[directions, rows, hidden])?;
        let layer = Layer {
            bias: optional(3)?,
            lengths: optional(4)?,
            h0: optional(5)?,
            c0: optional(6)?,
            peepholes: optional(7)?,
            outputs: [Slot::optional_output(p, 0)?, Slot::optional_output(p, 1)?, Slot::optional_output(p, 2)?],
            a: a.clone(),
            x,
            w,
            r,
            time,
            batch,
            features,
            directions,
            gates,
        };
        layer.check(rows)?;
        Ok(layer)
    }

    fn check(&self, rows: usize) -> KernelResult<()> {
        let (d, n, t, hidden) = (self.directions, self.batch, self.time, self.a.hidden);
        let state = if self.a.batch_first { [n, d, hidden] } else { [d, n, hidden] };
        let sequence = if self.a.batch_first { [n, t, d, hidden] } else { [t, d, n, hidden] };
        let floats = [Some(&self.x), Some(&self.w), Some(&self.r), self.bias.as_ref(), self.h0.as_ref()];
        for s in floats.into_iter().chain([self.c0.as_ref(), self.peepholes.as_ref()]).flatten() {
            s.expect_float("an operand")?;
        }
        if let Some(b) = &self.bias {
            b.expect_shape("the bias", &[d, 2 * rows])?;
        }
        if let Some(l) = &self.lengths {
            l.expect_shape("the lengths", &[n])?;
            ensure(l.dtype.is_int(), || "the lengths are not integers".into())?;
        }
        if let Some(s) = &self.peepholes {
            s.expect_len("the peepholes", d * 3 * hidden)?;
        }
        for s in [&self.h0, &self.c0].into_iter().flatten() {
            s.expect_shape("an initial state", &state)?;
        }
        for (s, shape) in self.outputs.iter().zip([&sequence[..], &state, &state]) {
            if let Some(s) = s {
                s.expect_shape("an output", shape)?;
                s.expect_float("an output")?;
            }
        }
        Ok(())
    }

    /// First element of the state of sequence `n` in direction `d`.
    fn state_at(&self, d: usize, n: usize) -> usize {
        let row = if self.a.batch_first { n * self.directions + d } else { d * self.batch + n };
        row * self.a.hidden
    }

    /// First element of `y` at time `t`.
    fn output_at(&self, d: usize, n: usize, t: usize) -> usize {
        let row = if self.a.batch_first {
            (n * self.time + t) * self.directions + d
        } else {
            (t * self.directions + d) * self.batch + n
        };
        row * self.a.hidden
    }

    fn sequence(&self, io: &mut dyn Io<'_>, d: usize, n: usize, s: &mut State<'_>) -> KernelResult<()> {
        let length = self.lengths.as_ref().map_or(self.time as i128, |l| l.view(io).int(n));
        let fail = || data(format!("length {length} of sequence {n} is outside 0..={}", self.time));
        let steps = usize::try_from(length).ok().filter(|&l| l <= self.time).ok_or_else(fail)?;
        let at = self.state_at(d, n);
        for j in 0..self.a.hidden {
            s.h[j] = self.h0.as_ref().map_or(0.0, |v| v.view(io).f(at + j));
            s.c[j] = self.c0.as_ref().map_or(0.0, |v| v.view(io).f(at + j));
        }
        let backward = self.a.direction == Direction::Reverse || d == 1;
        for step in 0..steps {
            let t = if backward { steps - 1 - step } else { step };
            let row = if self.a.batch_first { n * self.time + t } else { t * self.batch + n };
            self.step(io, d, row * self.features, s);
            self.store(io, 0, self.output_at(d, n, t), s.h);
        }
        if let Some(y) = &self.outputs[0] {
            let mut out = y.target(io);
            for t in steps..self.time {
                let at = self.output_at(d, n, t);
                (at..at + self.a.hidden).for_each(|i| out.put_f(i, 0.0));
            }
        }
        self.store(io, 1, at, s.h);
        self.store(io, 2, at, s.c);
        Ok(())
    }

    fn store(&self, io: &mut dyn Io<'_>, output: usize, at: usize, values: &[f64]) {
        if let Some(y) = &self.outputs[output] {
            let mut out = y.target(io);
            values.iter().enumerate().for_each(|(j, &v)| out.put_f(at + j, v));
        }
    }

    fn step(&self, io: &dyn Io<'_>, d: usize, x_at: usize, s: &mut State<'_>) {
        let hidden = self.a.hidden;
        let rows = self.gates * hidden;
        let (xv, wv, rv) = (self.x.view(io), self.w.view(io), self.r.view(io));
        let bias = self.bias.as_ref().map(|b| b.view(io));
        let bias_w = |row: usize| bias.map_or(0.0, |b: View<'_>| b.f(d * 2 * rows + row));
        let bias_r = |row: usize| bias.map_or(0.0, |b: View<'_>| b.f(d * 2 * rows + rows + row));
        let from_x = |row: usize| -> f64 {
            let at = (d * rows + row) * self.features;
            (0..self.features).map(|i| wv.f(at + i) * xv.f(x_at + i)).sum()
        };
        let from_h = |row: usize, h: &[f64]| -> f64 {
            let at = (d * rows + row) * hidden;
            h.iter().enumerate().map(|(i, &h)| rv.f(at + i) * h).sum()
        };
        for row in 0..rows {
            s.gates[row] = from_x(row) + bias_w(row);
        }
        match self.a.cell {
            Cell::Plain => {
                (0..rows).for_each(|row| s.gates[row] += from_h(row, s.h) + bias_r(row));
                (0..hidden).for_each(|j| s.h[j] = self.act(d, 0, s.gates[j]));
            }
            Cell::Lstm => {
                (0..rows).for_each(|row| s.gates[row] += from_h(row, s.h) + bias_r(row));
                let peep = self.peepholes.as_ref().map(|p| p.view(io));
                let peep = |k: usize, j: usize| peep.map_or(0.0, |p: View<'_>| p.f((d * 3 + k) * hidden + j));
                for j in 0..hidden {
                    let [i, o, f, c] = [0, 1, 2, 3].map(|g| s.gates[g * hidden + j]);
                    let old = s.c[j];
                    let i = self.act(d, 0, i + peep(0, j) * old);
                    let f = if self.a.input_forget { 1.0 - i } else { self.act(d, 0, f + peep(2, j) * old) };
                    s.c[j] = f * old + i * self.act(d, 1, c);
                    let o = self.act(d, 0, o + peep(1, j) * s.c[j]);
                    s.h[j] = o * self.raw_act(d, 2, s.c[j]);
                }
            }
            Cell::Gru { linear_before_reset } => {
                for row in 0..2 * hidden {
                    let v = s.gates[row] + from_h(row, s.h) + bias_r(row);
                    s.gates[row] = self.act(d, 0, v);
                }
                for j in 0..hidden {
                    let r = s.gates[hidden + j];
                    let row = 2 * hidden + j;
                    s.reset[j] = if linear_before_reset { r * (from_h(row, s.h) + bias_r(row)) } else { r * s.h[j] };
                }
                for j in 0..hidden {
                    let row = 2 * hidden + j;
                    s.gates[row] += if linear_before_reset { s.reset[j] } else { from_h(row, s.reset) + bias_r(row) };
                }
                for j in 0..hidden {
                    let z = s.gates[j];
                    s.h[j] = (1.0 - z) * self.act(d, 1, s.gates[2 * hidden + j]) + z * s.h[j];
                }
            }
        }
    }

    /// Activation `k` of direction `d` after the clip of gate inputs.
    fn act(&self, d: usize, k: usize, v: f64) -> f64 {
        let v = match self.a.clip {
            Some(limit) => activation(Act::Clamp { lo: -limit, hi: limit }, v),
            None => v,
        };
        self.raw_act(d, k, v)
    }

    fn raw_act(&self, d: usize, k: usize, v: f64) -> f64 {
        let each = self.a.activations.len() / self.directions;
        activation(self.a.activations[d * each + k], v)
    }
}
