//! What a recurrent layer is, and whether it is computed here.

use paring_core::{
    DType, Op,
    op::{Cell, Direction, RecurrentAttrs},
};
use paring_kernel::{Operand, Problem, Reject};
use paring_simd::LANES;

/// Elements of the projected input of one direction that are kept at once: they are to be in the cache when they are wanted.
const KEPT: usize = 128 << 10;
/// Rows of the projected input that are made at once at least, or each would read all weights.
const ROWS: usize = 48;

/// A recurrent layer. Gates have `padded` columns each.
#[derive(Clone, Debug)]
pub struct Extent {
    pub attrs: RecurrentAttrs,
    pub time: usize,
    pub batch: usize,
    pub features: usize,
    pub hidden: usize,
    pub directions: usize,
    pub gates: usize,
    /// Hidden units in whole vectors.
    pub padded: usize,
    /// Steps whose input is projected at once.
    pub chunk: usize,
    /// Elements of the packed weights.
    pub packed: usize,
    /// Elements of the scratch.
    pub scratch: usize,
}

impl Extent {
    /// The extent of `p`.
    ///
    /// # Errors
    /// [`Reject`] where it is none that is computed here.
    pub fn of(p: &Problem) -> Result<Extent, Reject> {
        let Op::Recurrent(a) = &p.op else { return Err(Reject::because("not a recurrent layer")) };
        let floats = [0, 1, 2, 3, 5, 6].iter().filter_map(|&i| p.input(i)).chain(p.outputs.iter().flatten());
        if floats.clone().any(|o| o.dtype != DType::F32) {
            return Err(Reject::because("only f32"));
        }
        if floats.clone().any(|o| o.is_empty() || o.len() > isize::MAX as usize / 64) {
            return Err(Reject::because("an operand is empty"));
        }
        if p.input(7).is_some() {
            return Err(Reject::because("no peepholes"));
        }
        let missing = || Reject::because("an operand is missing");
        let (x, w, r) = (p.input(0), p.input(1), p.input(2));
        let (x, w, r) = (x.ok_or_else(missing)?, w.ok_or_else(missing)?, r.ok_or_else(missing)?);
        if [Some(w), Some(r), p.input(3)].iter().flatten().any(|o| o.constant.is_none()) {
            return Err(Reject::because("the weights are not constant"));
        }
        let &[first, second, features] = x.shape.as_slice() else {
            return Err(Reject::because("the input is not of rank 3"));
        };
        let (time, batch) = if a.batch_first { (second, first) } else { (first, second) };
        // Exporters like to say for each sequence that it is as long as the input.
        if p.input(4).is_some()
            && p.const_i64s(4).is_none_or(|l| l.len() != batch || l.iter().any(|&l| l != time as i64))
        {
            return Err(Reject::because("only sequences as long as the input"));
        }
        let directions = if a.direction == Direction::Bidirectional { 2 } else { 1 };
        let gates = match a.cell {
            Cell::Lstm => 4,
            Cell::Gru { .. } => 3,
            Cell::Plain => 1,
        };
        let mut e = Extent {
            attrs: a.clone(),
            time,
            batch,
            features,
            hidden: a.hidden,
            directions,
            gates,
            padded: 0,
            chunk: 0,
            packed: 0,
            scratch: 0,
        };
        e.check(p, w, r)?;
        e.measure().ok_or("the layer is too large")?;
        Ok(e)
    }

    /// Activations of one direction.
    fn functions(&self) -> usize {
        match self.attrs.cell {
            Cell::Lstm => 3,
            Cell::Gru { .. } => 2,
            Cell::Plain => 1,
        }
    }

    fn check(&self, p: &Problem, w: &Operand, r: &Operand) -> Result<(), Reject> {
        let (d, t, n, hidden) = (self.directions, self.time, self.batch, self.hidden);
        let contradiction = || Reject::because("the operands' shapes contradict each other");
        let rows = hidden.checked_mul(self.gates).ok_or_else(contradiction)?;
        let state = if self.attrs.batch_first { [n, d, hidden] } else { [d, n, hidden] };
        let sequence = if self.attrs.batch_first { [n, t, d, hidden] } else { [t, d, n, hidden] };
        let is = |o: Option<&Operand>, shape: &[usize]| o.is_none_or(|o| o.shape == shape);
        let fits = is(Some(w), &[d, rows, self.features])
            && is(Some(r), &[d, rows, hidden])
            && is(p.input(3), &[d, rows.saturating_mul(2)])
            && is(p.input(5), &state)
            && is(p.input(6), &state)
            && is(p.output(0), &sequence)
            && is(p.output(1), &state)
            && is(p.output(2), &state)
            && self.attrs.activations.len() == self.functions() * d;
        if fits { Ok(()) } else { Err(contradiction()) }
    }

    /// Sizes that follow from the others; `None` where one is beyond all memory.
    fn measure(&mut self) -> Option<()> {
        self.padded = self.hidden.checked_next_multiple_of(LANES)?;
        let width = self.padded.checked_mul(self.gates)?;
        self.packed = width.checked_mul(self.features.checked_add(self.hidden)?)?.checked_mul(self.directions)?;
        let step = width.checked_mul(self.batch)?;
        self.chunk = ROWS.div_ceil(self.batch).max(KEPT / step.max(1)).min(self.time);
        let states = self.state().checked_mul(self.batch)?;
        self.scratch = step.checked_mul(self.chunk)?.checked_add(states)?.checked_mul(self.directions)?;
        // Bytes are counted too.
        (self.packed.max(self.scratch) <= isize::MAX as usize / 64).then_some(())
    }

    /// Columns of all gates.
    pub fn width(&self) -> usize {
        self.gates * self.padded
    }

    /// Elements of the state of one sequence in one direction: the gates, and three rows of `padded`.
    pub fn state(&self) -> usize {
        (self.gates + 3) * self.padded
    }

    /// Columns of the gates that are multiplied with the state together, in the order of time: those of a GRU's hidden
    /// gate may wait for the reset gate.
    pub fn parts(&self) -> &'static [(usize, usize)] {
        match self.attrs.cell {
            Cell::Lstm => &[(0, 4)],
            Cell::Gru { .. } => &[(0, 2), (2, 3)],
            Cell::Plain => &[(0, 1)],
        }
    }

    /// First element of the state of sequence `n` in direction `d`, in the operands.
    pub fn state_at(&self, d: usize, n: usize) -> usize {
        self.hidden * if self.attrs.batch_first { n * self.directions + d } else { d * self.batch + n }
    }

    /// First element of the sequence's output at time `t`.
    pub fn output_at(&self, d: usize, n: usize, t: usize) -> usize {
        let row = match self.attrs.batch_first {
            true => (n * self.time + t) * self.directions + d,
            false => (t * self.directions + d) * self.batch + n,
        };
        row * self.hidden
    }

    /// Whether direction `d` begins at the end.
    pub fn is_backward(&self, d: usize) -> bool {
        self.attrs.direction == Direction::Reverse || d == 1
    }
}
