//! The epilogue of kernels here: activations, residuals, and zeros in the padding lanes.

use crate::{elementwise::ActPass, support::*};
use paring_core::{
    Layout,
    op::{Act, EpiOp},
};
use paring_kernel::{Problem, RunCx};
use paring_simd::{LANES, Simd, Task, act};

const MOST: usize = 4;

/// What happens to the elements of output 0 after the operator.
pub(crate) struct Post {
    steps: Vec<EpiOp>,
    mask: Option<Mask>,
}

/// Which lanes are padding.
#[derive(Clone, Copy)]
struct Mask {
    blocks: usize,
    pixels: usize,
    lanes: usize,
}

impl Post {
    /// How many steps from the first are activations or residuals of the output's own type and shape.
    pub(crate) fn fusable(p: &Problem) -> usize {
        let ours = |e: &EpiOp| match *e {
            EpiOp::Act(_) => true,
            EpiOp::Residual { input } => match (p.input(input), p.output(0)) {
                (Some(r), Some(y)) => r.dtype == y.dtype && r.shape == y.shape,
                _ => false,
            },
            _ => false,
        };
        p.epilogue.iter().take(MOST).take_while(|e| ours(e)).count()
    }

    /// The first `fused` steps. `zero` says whether the operator itself leaves zeros in padding lanes.
    pub(crate) fn new(p: &Problem, fused: usize, layout: Layout, zero: bool) -> Post {
        let steps = p.epilogue[..fused].to_vec();
        let kept = zero && steps.iter().all(|e| !matches!(e, EpiOp::Act(a) if !act::keeps_zero(*a)));
        let mask = p.output(0).filter(|_| layout != Layout::Plain && !kept).and_then(|y| {
            let planes = Planes::of(&y.shape).ok()?;
            let lanes = planes.channels % LANES;
            (lanes != 0).then_some(Mask { blocks: planes.blocks(), pixels: planes.plane, lanes })
        });
        Post { steps, mask }
    }

    /// Nanoseconds of its arithmetic with AVX2.
    pub(crate) fn work(p: &Problem, fused: usize) -> f64 {
        let each = |e: &EpiOp| match e {
            EpiOp::Act(a) => act_ns(*a),
            _ => 0.05,
        };
        p.epilogue[..fused].iter().map(each).sum::<f64>() * output_len(p) as f64
    }

    /// Finds the residuals of a run.
    pub(crate) fn bind<'a>(&'a self, cx: &RunCx<'a>) -> Bound<'a> {
        let mut residuals: [&[f32]; MOST] = [&[]; MOST];
        for (r, step) in residuals.iter_mut().zip(&self.steps) {
            if let EpiOp::Residual { input } = *step {
                *r = cx.input(input);
            }
        }
        Bound { post: self, residuals }
    }
}

/// Nanoseconds of one activation with AVX2.
pub(crate) fn act_ns(act: Act) -> f64 {
    match act {
        a if act::is_cheap(a) => 0.05,
        Act::Gelu => 1.5,
        _ => 0.75,
    }
}

/// An epilogue with its operands.
#[derive(Clone, Copy)]
pub(crate) struct Bound<'a> {
    post: &'a Post,
    residuals: [&'a [f32]; MOST],
}

impl Bound<'_> {
    /// Whether nothing remains to be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.post.steps.is_empty() && self.post.mask.is_none()
    }

    /// Finishes the elements `start..start + len` of the output at `y`. With padding lanes, both are multiples of
    /// eight.
    ///
    /// # Safety
    /// The elements must be valid for reads and writes, and nobody else's meanwhile.
    pub(crate) unsafe fn apply<S: Simd>(&self, s: S, y: *mut f32, start: usize, len: usize) {
        for (step, residual) in self.post.steps.iter().zip(&self.residuals) {
            // SAFETY: the caller's promise.
            let y = unsafe { y.add(start) };
            match *step {
                EpiOp::Act(act) => ActPass { act, x: y, y, len }.run(s),
                _ => s.vectorize(AddPass { x: residual[start..start + len].as_ptr(), y, len }),
            }
        }
        if let Some(mask) = self.post.mask {
            // SAFETY: the caller's promise.
            unsafe { mask.clear(y, start / LANES, (start + len) / LANES) };
        }
    }
}

impl Mask {
    /// Zeros the padding lanes of the pixels `first..end`, counted over the whole tensor.
    unsafe fn clear(&self, y: *mut f32, first: usize, end: usize) {
        let sample = self.blocks * self.pixels;
        let mut at = first;
        while at < end {
            let within = at % sample;
            let last = sample - self.pixels;
            if within < last {
                at += last - within;
                continue;
            }
            let stop = end.min(at + sample - within);
            for pixel in at..stop {
                for lane in self.lanes..LANES {
                    // SAFETY: the caller's promise.
                    unsafe { *y.add(pixel * LANES + lane) = 0.0 };
                }
            }
            at = stop;
        }
    }
}

struct AddPass {
    x: *const f32,
    y: *mut f32,
    len: usize,
}

impl Task for AddPass {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let (x, y, len) = (self.x, self.y, self.len);
        let mut i = 0;
        // SAFETY: whoever made the pass promises `len` elements at both.
        unsafe {
            while i + LANES <= len {
                s.store(y.add(i), s.add(s.load(y.add(i)), s.load(x.add(i))));
                i += LANES;
            }
            while i < len {
                *y.add(i) += *x.add(i);
                i += 1;
            }
        }
    }
}
