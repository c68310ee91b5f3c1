//! One step of some sequences.

use super::extent::Extent;
use crate::{
    epilogue::{Epilogue, Finish},
    gemm::Rows,
    packed::{self, Matrix},
    panel::Columns,
};
use paring_core::op::{Act, Cell};
use paring_simd::{LANES, Simd, Task, math::clamp};

/// Vectors that an activation is applied to at once.
const BATCH: usize = 64;

/// The activations of one direction: of the gates, of what is new, and of an LSTM's state. Those that are not there are the
/// last one's.
pub struct Functions([Epilogue; 3]);

impl Functions {
    /// Of one to three activations.
    pub fn new(acts: &[Act]) -> Functions {
        Functions([0, 1, 2].map(|i| Epilogue::activation(acts[i.min(acts.len() - 1)])))
    }
}

/// Sequences in one direction that take their steps together.
pub struct Sequences<'a> {
    pub extent: &'a Extent,
    pub functions: &'a Functions,
    /// Panels of each part of the weights of the state.
    pub parts: &'a [Vec<Columns>],
    pub weights: *const f32,
    /// What the products of the state start from.
    pub init: *const f32,
    pub finish: &'a Finish<'a>,
    /// The state of the first; the others' follow.
    pub states: *mut f32,
    pub count: usize,
}

/// A step; the projected input of the first sequence is at `input`, that of the next `apart` elements on.
pub struct Steps<'a> {
    pub sequences: &'a Sequences<'a>,
    pub input: *const f32,
    pub apart: usize,
}

/// Rows of a state, in units of `padded` elements: gates come first, in their order.
#[derive(Clone, Copy)]
struct Places {
    h: usize,
    c: usize,
    work: usize,
}

impl Task for Steps<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let gates = self.sequences.extent.gates;
        let places = Places { h: gates, c: gates + 1, work: gates + 2 };
        // SAFETY: whoever makes sequences gives them weights, states and projected input of the extent; no other task has
        // these states.
        unsafe {
            match self.sequences.extent.attrs.cell {
                Cell::Plain => self.plain(s, places),
                Cell::Lstm => self.lstm(s, places),
                Cell::Gru { linear_before_reset } => self.gru(s, places, linear_before_reset),
            }
        }
    }
}

/// Does `$body` for every vector of hidden units of every sequence, where `$row` gives its place in a row of the state; a
/// macro, since a closure with vectors would not be compiled for their instructions.
macro_rules! each {
    ($self:ident, |$row:ident| $body:expr) => {
        each!($self, |$row, _i, _column| $body)
    };
    ($self:ident, |$row:ident, $i:ident, $column:ident| $body:expr) => {
        let q = $self.sequences;
        for $i in 0..q.count {
            for $column in (0..q.extent.padded).step_by(LANES) {
                let at = q.states.wrapping_add($i * q.extent.state() + $column);
                let $row = |row: usize| at.wrapping_add(row * q.extent.padded);
                $body;
            }
        }
    };
}

impl Steps<'_> {
    /// One gate, whose activation is the new state.
    ///
    /// # Safety
    /// Weights, states and projected input are those of the extent, and no other task has these states.
    #[inline(always)]
    unsafe fn plain<S: Simd>(&self, s: S, at: Places) {
        // SAFETY: the caller's promise.
        unsafe {
            self.multiply(s, 0, at.h);
            self.join(s, 0, 1);
            self.activate(s, 0, 0, 1);
            each!(self, |row| s.store(row(at.h), s.load(row(0))));
        }
    }

    /// Gates in the order input, output, forget, cell.
    ///
    /// # Safety
    /// As for [`Steps::plain`].
    #[inline(always)]
    unsafe fn lstm<S: Simd>(&self, s: S, at: Places) {
        let (one, coupled) = (s.splat(1.0), self.sequences.extent.attrs.input_forget);
        // SAFETY: the caller's promise.
        unsafe {
            self.multiply(s, 0, at.h);
            self.join(s, 0, 4);
            self.activate(s, 0, 0, 3);
            self.activate(s, 1, 3, 4);
            each!(self, |row| {
                let input = s.load(row(0));
                let forget = if coupled { s.sub(one, input) } else { s.load(row(2)) };
                let c = s.mul_add(input, s.load(row(3)), s.mul(forget, s.load(row(at.c))));
                s.store(row(at.c), c);
                s.store(row(at.work), c);
            });
            self.activate(s, 2, at.work, at.work + 1);
            each!(self, |row| s.store(row(at.h), s.mul(s.load(row(1)), s.load(row(at.work)))));
        }
    }

    /// Gates in the order update, reset, hidden.
    ///
    /// # Safety
    /// As for [`Steps::plain`].
    #[inline(always)]
    unsafe fn gru<S: Simd>(&self, s: S, at: Places, linear_before_reset: bool) {
        let one = s.splat(1.0);
        let reset = if linear_before_reset { 2 } else { at.h };
        let to = if linear_before_reset { 2 } else { at.work };
        // SAFETY: the caller's promise.
        unsafe {
            self.multiply(s, 0, at.h);
            self.join(s, 0, 2);
            self.activate(s, 0, 0, 2);
            if linear_before_reset {
                self.multiply(s, 1, at.h);
            }
            each!(self, |row| s.store(row(to), s.mul(s.load(row(1)), s.load(row(reset)))));
            if !linear_before_reset {
                self.multiply(s, 1, at.work);
            }
            self.join(s, 2, 3);
            self.activate(s, 1, 2, 3);
            each!(self, |row| {
                let z = s.load(row(0));
                let h = s.mul_add(s.sub(one, z), s.load(row(2)), s.mul(z, s.load(row(at.h))));
                s.store(row(at.h), h);
            });
        }
    }

    /// Multiplies row `from` of every state by part `part` of the weights, into the gates of that part.
    ///
    /// # Safety
    /// As for [`Steps::plain`].
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, s: S, part: usize, from: usize) {
        let q = self.sequences;
        let e = q.extent;
        let column = e.parts()[part].0 * e.padded;
        let matrix = Matrix {
            panels: &q.parts[part],
            weights: q.weights.wrapping_add(column * e.hidden),
            init: q.init.wrapping_add(column),
            finish: q.finish,
        };
        // SAFETY: the caller's promise.
        unsafe {
            let rows = Rows {
                x: q.states.add(from * e.padded),
                depth: e.hidden,
                apart: e.state(),
                y: q.states.add(column),
                stride: e.state(),
                rows: q.count,
            };
            packed::product(s, rows, &matrix);
        }
    }

    /// Adds the projected input to gates `from..end`, and clips them.
    ///
    /// # Safety
    /// As for [`Steps::plain`].
    #[inline(always)]
    unsafe fn join<S: Simd>(&self, s: S, from: usize, end: usize) {
        let padded = self.sequences.extent.padded;
        let limit = self.sequences.extent.attrs.clip.unwrap_or(f32::INFINITY);
        // SAFETY: the caller's promise.
        unsafe {
            for gate in from..end {
                each!(self, |row, i, column| {
                    let input = s.load(self.input.add(i * self.apart + gate * padded + column));
                    s.store(row(gate), clamp(s, s.add(s.load(row(gate)), input), -limit, limit));
                });
            }
        }
    }

    /// Applies activation `which` to rows `from..end` of every state.
    ///
    /// # Safety
    /// As for [`Steps::plain`].
    #[inline(always)]
    unsafe fn activate<S: Simd>(&self, s: S, which: usize, from: usize, end: usize) {
        let q = self.sequences;
        let (state, padded) = (q.extent.state(), q.extent.padded);
        let function = &q.functions.0[which];
        let mut vectors = [q.states; BATCH];
        let mut n = 0;
        for i in 0..q.count {
            for column in (from * padded..end * padded).step_by(LANES) {
                vectors[n] = q.states.wrapping_add(i * state + column);
                n += 1;
                if n == BATCH {
                    // SAFETY: whole vectors of the states.
                    unsafe { function.map(s, &vectors) };
                    n = 0;
                }
            }
        }
        if n > 0 {
            // SAFETY: whole vectors of the states.
            unsafe { function.map(s, &vectors[..n]) };
        }
    }
}
