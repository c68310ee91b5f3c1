//! Runs a product with patches.

use super::{PANEL, gather::Patches};
use crate::{
    epilogue::{Epilogue, Finish, Place},
    gemm::{self, Rows},
    tile::Panel,
};
use core::ops::Range;
use paring_core::Tensor;
use paring_kernel::{KernelError, Prepared, Problem, RunCx};
use paring_simd::{LANES, Simd, Task};
use std::{borrow::Cow, sync::Arc};

/// Multiply-adds of a task.
const TASK_MACS: usize = 1 << 20;

/// Where the weights are.
pub enum Weights {
    /// In the model.
    Constant(Arc<Tensor>),
    /// Here, as they are not aligned in the model.
    Copied(Vec<f32>),
    /// Input 1.
    Input,
}

impl Weights {
    /// Those of `p`.
    pub fn new(p: &Problem) -> Weights {
        match p.constant(1).map(|w| (w, w.elements::<f32>())) {
            Some((w, Some(Cow::Borrowed(_)))) => Weights::Constant(w.clone()),
            Some((_, Some(Cow::Owned(w)))) => Weights::Copied(w),
            _ => Weights::Input,
        }
    }

    /// The elements.
    fn elements<'a>(&'a self, cx: &RunCx<'a>) -> &'a [f32] {
        match self {
            Weights::Constant(w) => bytemuck::cast_slice(w.bytes()),
            Weights::Copied(w) => w,
            Weights::Input => cx.input(1),
        }
    }
}

/// A convolution bound to its weights and epilogue.
pub struct Bound<S> {
    pub s: S,
    pub patches: Patches,
    pub weights: Weights,
    pub epilogue: Epilogue,
}

impl<S: Simd> Prepared for Bound<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let p = &self.patches;
        let weights = self.weights.elements(cx);
        let (x, scratch, parallel) = (cx.input::<f32>(0), cx.worker_scratch(), cx.parallel());
        let output = cx.output::<f32>(0);
        let (y, len) = (output.as_mut_ptr(), output.len());
        if x.len() != p.elements() || weights.len() != p.outputs * p.sum() || len != p.samples * p.outputs * p.pixels()
        {
            return Err(KernelError::Problem("operands are of another problem".into()));
        }
        let finish = self.epilogue.bind(cx, y, len);
        let shared = Shared { patches: p, x, weights, y, epilogue: &self.epilogue, finish: &finish };
        let panels = p.pixels().div_ceil(PANEL);
        let macs = p.panel() * (p.outputs / p.groups);
        let each = (TASK_MACS / macs.max(1)).clamp(1, panels);
        let tasks = panels.div_ceil(each);
        parallel.run(p.samples * p.groups * tasks, &|task, worker| {
            let (plane, first) = (task / tasks, task % tasks * each);
            let pixels = first * PANEL..p.pixels().min((first + each) * PANEL);
            // SAFETY: a worker runs one task at a time.
            let panel = unsafe { scratch.of::<f32>(worker) };
            self.s.vectorize(Run { shared: &shared, sample: plane / p.groups, group: plane % p.groups, pixels, panel });
        });
        Ok(())
    }
}

/// What all tasks of a run share.
struct Shared<'a> {
    patches: &'a Patches,
    x: &'a [f32],
    weights: &'a [f32],
    y: *mut f32,
    epilogue: &'a Epilogue,
    finish: &'a Finish<'a>,
}

// SAFETY: tasks read the operands and write disjoint parts of the output.
unsafe impl Sync for Shared<'_> {}

/// One task: some pixels of all channels of a group.
struct Run<'a> {
    shared: &'a Shared<'a>,
    sample: usize,
    group: usize,
    pixels: Range<usize>,
    panel: &'a mut [f32],
}

impl Task for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Shared { patches: p, x, weights, y, epilogue, finish } = *self.shared;
        let (rows, sum, stride) = (p.outputs / p.groups, p.sum(), p.pixels());
        let panel = &mut self.panel[..p.panel()];
        for first in self.pixels.clone().step_by(PANEL) {
            let lanes = PANEL.min(self.pixels.end - first);
            p.gather(x, self.sample, self.group, first..first + lanes, panel);
            let panel = Panel {
                weights: panel.as_ptr(),
                ahead: panel.as_ptr(),
                step: PANEL,
                offsets: &[],
                k: sum,
                beside: 0,
                init: epilogue.init(0),
                place: Place { channel: 0, lanes, columns: [first, first + LANES] },
                finish,
            };
            // SAFETY: the lengths of the operands were checked; no other task has these pixels and channels.
            unsafe {
                let channel = self.group * rows;
                let rows = Rows {
                    x: weights[channel * sum..].as_ptr(),
                    depth: sum,
                    apart: sum,
                    y: y.add((self.sample * p.outputs + channel) * stride),
                    stride,
                    rows,
                };
                gemm::product(s, rows, 1, |_| (2, panel));
            }
        }
    }
}
