//! Runs a recurrent layer: some steps' input is projected, then these steps are taken, then the next.

use super::{
    cell::{Functions, Sequences, Steps},
    extent::Extent,
    pack,
};
use crate::{
    epilogue::{Epilogue, Finish},
    gemm::Rows,
    packed::{self, Matrix},
    panel::{Columns, columns},
    tile,
};
use paring_kernel::{KernelError, Packed, Prepared, Problem, RunCx};
use paring_simd::Simd;
use std::sync::Arc;

/// Multiply-adds of a task that projects.
const TASK_MACS: usize = 1 << 20;
/// Sequences that one task takes through their steps.
const GROUP: usize = 2 * tile::STEP;

pub struct Bound<S> {
    isa: S,
    extent: Extent,
    packed: Arc<Packed>,
    biases: Vec<f32>,
    /// Stores sums as they are.
    plain: Epilogue,
    /// For each direction.
    functions: Vec<Functions>,
    /// Panels of the weights of the input, and of each part of those of the state.
    panels: Vec<Columns>,
    parts: Vec<Vec<Columns>>,
}

impl<S: Simd> Bound<S> {
    pub fn new(isa: S, extent: Extent, p: &Problem, packed: Arc<Packed>) -> Result<Self, KernelError> {
        let e = &extent;
        let each = e.attrs.activations.len() / e.directions;
        Ok(Bound {
            isa,
            packed,
            biases: pack::biases(e, p)?,
            plain: Epilogue::new(p, 0, e.width(), false)?,
            functions: e.attrs.activations.chunks(each).map(Functions::new).collect(),
            panels: columns(e.width(), 1),
            parts: e.parts().iter().map(|&(from, end)| columns((end - from) * e.padded, 1)).collect(),
            extent,
        })
    }
}

impl<S: Simd> Prepared for Bound<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let e = &self.extent;
        let parallel = cx.parallel();
        let x = cx.input::<f32>(0);
        assert!(x.len() >= e.time * e.batch * e.features);
        let scratch = cx.scratch::<f32>();
        assert!(scratch.len() >= e.scratch);
        let projected = scratch.as_ptr();
        let finish = self.plain.bind(cx, projected, scratch.len());
        let mut outputs = [core::ptr::null_mut(); 3];
        let states = e.directions * e.batch * e.hidden;
        for (i, pointer) in outputs.iter_mut().enumerate() {
            if cx.has_output(i) {
                let output = cx.output::<f32>(i);
                assert!(output.len() >= if i == 0 { states * e.time } else { states });
                *pointer = output.as_mut_ptr();
            }
        }
        let mut initial = [None; 2];
        for (i, state) in initial.iter_mut().enumerate() {
            *state = cx.has_input(5 + i).then(|| cx.input::<f32>(5 + i));
            assert!(state.is_none_or(|s| s.len() >= states));
        }
        // SAFETY: the scratch has room for the projected steps of all directions, then for their states.
        let at = unsafe { projected.add(e.directions * e.chunk * e.batch * e.width()) };
        let run = Run { bound: self, x: x.as_ptr(), projected, states: at, outputs, finish: &finish };
        run.begin(initial);
        let (lines, pieces) = run.pieces();
        let groups = e.batch.div_ceil(GROUP);
        for begin in (0..e.time).step_by(e.chunk) {
            let steps = e.chunk.min(e.time - begin);
            parallel.run(e.directions * lines * pieces, &|task, _| {
                run.project((begin, steps), task / pieces / lines, task / pieces % lines, task % pieces);
            });
            parallel.run(e.directions * groups, &|task, _| {
                run.steps((begin, steps), task / groups, task % groups);
            });
        }
        run.end();
        Ok(())
    }
}

/// The operands of one run.
struct Run<'a, S> {
    bound: &'a Bound<S>,
    x: *const f32,
    projected: *mut f32,
    states: *mut f32,
    /// Those that are wanted; else null.
    outputs: [*mut f32; 3],
    finish: &'a Finish<'a>,
}

// SAFETY: tasks read the input, and write disjoint columns of what is projected and the states and outputs of different
// sequences or directions.
unsafe impl<S: Simd> Sync for Run<'_, S> {}

impl<S: Simd> Run<'_, S> {
    /// The state of sequence `n` in direction `d`: gates, `h`, `c` and a row to work in.
    fn state(&self, d: usize, n: usize) -> *mut f32 {
        let e = &self.bound.extent;
        self.states.wrapping_add((d * e.batch + n) * e.state())
    }

    /// All states as they are before the first step.
    fn begin(&self, initial: [Option<&[f32]>; 2]) {
        let e = &self.bound.extent;
        for (d, n) in (0..e.directions).flat_map(|d| (0..e.batch).map(move |n| (d, n))) {
            // SAFETY: nobody else has this state yet.
            let state = unsafe { core::slice::from_raw_parts_mut(self.state(d, n), e.state()) };
            state.fill(0.0);
            for (i, values) in initial.iter().enumerate() {
                if let Some(values) = values {
                    let to = &mut state[e.width() + i * e.padded..][..e.hidden];
                    to.copy_from_slice(&values[e.state_at(d, n)..][..e.hidden]);
                }
            }
        }
    }

    /// Hands out the last states.
    fn end(&self) {
        let e = &self.bound.extent;
        for (i, &output) in self.outputs[1..].iter().enumerate().filter(|(_, o)| !o.is_null()) {
            for (d, n) in (0..e.directions).flat_map(|d| (0..e.batch).map(move |n| (d, n))) {
                // SAFETY: within the state, and within the output, whose length was checked.
                unsafe {
                    let from = self.state(d, n).add(e.width() + i * e.padded);
                    core::ptr::copy_nonoverlapping(from, output.add(e.state_at(d, n)), e.hidden);
                }
            }
        }
    }

    /// How many runs of rows a chunk of the input has, and into how many groups of panels their product is cut.
    fn pieces(&self) -> (usize, usize) {
        let e = &self.bound.extent;
        let lines = if e.attrs.batch_first { e.batch } else { 1 };
        (lines, self.bound.panels.len().div_ceil(self.panels_each()))
    }

    /// Panels of a task that projects; whole groups of four, which are read together where rows are few.
    fn panels_each(&self) -> usize {
        let e = &self.bound.extent;
        let rows = if e.attrs.batch_first { e.chunk } else { e.chunk * e.batch };
        (TASK_MACS / e.features.saturating_mul(16).saturating_mul(rows)).max(1).next_multiple_of(4)
    }

    /// The first of these steps in direction `d`, as the earliest time of all.
    fn earliest(&self, (begin, steps): (usize, usize), d: usize) -> usize {
        let e = &self.bound.extent;
        if e.is_backward(d) { e.time - begin - steps } else { begin }
    }

    /// The weights of direction `d`: those of the input, then those of the state.
    fn weights(&self, d: usize) -> *const f32 {
        let e = &self.bound.extent;
        let all: &[f32] = self.bound.packed.elements();
        all[d * e.width() * (e.features + e.hidden)..].as_ptr()
    }

    /// Multiplies line `line` of the input of these steps by group `piece` of the panels.
    fn project(&self, chunk: (usize, usize), d: usize, line: usize, piece: usize) {
        let b = self.bound;
        let e = &b.extent;
        let (steps, each) = (chunk.1, self.panels_each());
        let (first, rows) = match e.attrs.batch_first {
            true => (line * e.time + self.earliest(chunk, d), steps),
            false => (self.earliest(chunk, d) * e.batch, steps * e.batch),
        };
        let matrix = Matrix {
            panels: &b.panels[piece * each..b.panels.len().min((piece + 1) * each)],
            weights: self.weights(d),
            init: b.biases[d * e.width()..].as_ptr(),
            finish: self.finish,
        };
        // SAFETY: rows of the input and of the scratch, whose lengths were checked; no other task has these columns.
        unsafe {
            let rows = Rows {
                x: self.x.add(first * e.features),
                depth: e.features,
                apart: e.features,
                y: self.projected(d).add(line * steps * e.width()),
                stride: e.width(),
                rows,
            };
            packed::product(b.isa, rows, &matrix);
        }
    }

    /// What is projected for direction `d`.
    fn projected(&self, d: usize) -> *mut f32 {
        let e = &self.bound.extent;
        self.projected.wrapping_add(d * e.chunk * e.batch * e.width())
    }

    /// Takes a group of sequences through these steps.
    fn steps(&self, chunk: (usize, usize), d: usize, group: usize) {
        let b = self.bound;
        let e = &b.extent;
        let (first, steps) = (group * GROUP, chunk.1);
        let earliest = self.earliest(chunk, d);
        let sequences = Sequences {
            extent: e,
            functions: &b.functions[d],
            parts: &b.parts,
            weights: self.weights(d).wrapping_add(e.width() * e.features),
            init: b.biases[(e.directions + d) * e.width()..].as_ptr(),
            finish: self.finish,
            states: self.state(d, first),
            count: GROUP.min(e.batch - first),
        };
        for step in 0..steps {
            let local = if e.is_backward(d) { steps - 1 - step } else { step };
            // Rows of what is projected follow each other as those of the input do.
            let (row, apart) = match e.attrs.batch_first {
                true => (first * steps + local, steps),
                false => (local * e.batch + first, 1),
            };
            let input = self.projected(d).wrapping_add(row * e.width());
            b.isa.vectorize(Steps { sequences: &sequences, input, apart: apart * e.width() });
            if !self.outputs[0].is_null() {
                for i in 0..sequences.count {
                    // SAFETY: within the state, and within the output, whose length was checked.
                    unsafe {
                        let h = self.state(d, first + i).add(e.width());
                        let to = self.outputs[0].add(e.output_at(d, first + i, earliest + local));
                        core::ptr::copy_nonoverlapping(h, to, e.hidden);
                    }
                }
            }
        }
    }
}
