//! Convolution and products with a constant matrix, of numbers that are made halves first: of sixteen bits, one, two or three for
//! each number.

#[cfg(target_arch = "x86_64")]
mod bf16;
mod conv;
mod engine;
#[cfg(target_arch = "aarch64")]
mod fp16;
mod places;
mod product;
mod way;

use crate::epilogue::{self, Epilogue};
use core::marker::PhantomData;
use engine::{Cuts, Engine, Room};
use paring_core::{AlignedBuf, op::EpiOp};
use paring_kernel::{
    Cost, Kernel, KernelDescriptor, KernelError, Machine, Offer, Packed, Prepared, Problem, Reject, Scratch,
};
use paring_simd::{LANES, Simd, act::is_cheap};
use places::Places;
use std::sync::Arc;
use way::{Rates, Way};

/// Convolution of sums of `bf16`: of two for each number where its class is `Reduced`, or else three.
#[cfg(target_arch = "x86_64")]
pub type SplitConv<S> = Halves<conv::Conv, S, paring_simd::amx::Pieces>;
/// Products of such sums.
#[cfg(target_arch = "x86_64")]
pub type SplitDense<S> = Halves<product::Dense, S, paring_simd::amx::Pieces>;
/// Convolution in half precision.
#[cfg(target_arch = "aarch64")]
pub type HalfConv<S> = Halves<conv::Conv, S, fp16::Fp16Sums>;
/// Products in half precision.
#[cfg(target_arch = "aarch64")]
pub type HalfDense<S> = Halves<product::Dense, S, fp16::Fp16Sums>;

/// Columns of a panel.
const PANEL: usize = 2 * LANES;

/// What is multiplied.
pub trait Family: Send + Sync + 'static {
    /// How the problem is seen here.
    type Problem;

    /// The problem, where it is served.
    fn of(p: &Problem) -> Result<Self::Problem, Reject>;

    /// Its size.
    fn shape(of: &Self::Problem) -> Shape;

    /// What is served, but for what [`Shape`] tells of, and bytes of shared scratch.
    fn offer(p: &Problem, of: &Self::Problem) -> (Offer, usize);

    /// Packed weights.
    fn pack<W: Way>(of: &Self::Problem, way: W, weights: &[f32]) -> Result<AlignedBuf, KernelError>;

    /// Where its pixels are.
    fn places(of: Self::Problem) -> Places;

    /// Whether the output has room for whole eights of columns.
    const PADDED: bool;
}

/// A family whose numbers are made halves in a way, which does all else with the instructions of `S`.
pub struct Halves<F: Family, S, W: Way> {
    descriptor: &'static KernelDescriptor,
    _kind: PhantomData<(F, S, W)>,
}

impl<F: Family, S, W: Way> Halves<F, S, W> {
    /// Described by `descriptor`.
    pub const fn new(descriptor: &'static KernelDescriptor) -> Self {
        Halves { descriptor, _kind: PhantomData }
    }

    fn way(&self) -> W {
        W::of(self.descriptor.numerics)
    }

    /// A problem that is served.
    fn problem(&self, p: &Problem) -> Result<F::Problem, Reject> {
        match p.numerics.allows(self.descriptor.numerics) {
            true => F::of(p),
            false => Err(Reject::because(self.way().excluded())),
        }
    }
}

/// How many sums, and how long.
pub struct Shape {
    /// Pixels, or rows.
    pixels: usize,
    /// Terms of the sum of a pixel and a column, in eights.
    terms: usize,
    /// Columns.
    columns: usize,
}

impl Shape {
    /// Steps of such a sum.
    fn steps<W: Way>(&self) -> usize {
        self.terms.div_ceil(W::TERMS)
    }

    /// Steps that are summed before the sums are put aside.
    fn steps_abreast<W: Way>(&self, way: W) -> usize {
        let (steps, most) = (self.steps::<W>(), W::INPUT_BYTES / (W::PIXELS / W::GROUP * way.input_bytes()));
        steps.div_ceil(steps.div_ceil(most))
    }

    /// Panels.
    fn panels(&self) -> usize {
        self.columns.div_ceil(PANEL)
    }

    /// Bytes of packed weights; `None` on overflow.
    fn packed_bytes<W: Way>(&self, way: W) -> Option<usize> {
        self.panels().checked_mul(self.steps::<W>())?.checked_mul(way.weight_bytes())
    }

    /// Packs weights, panel by panel and step by step, where `weight` tells that of a term and a column.
    fn pack<W: Way>(&self, way: W, weight: impl Fn(usize, usize) -> f32) -> Result<AlignedBuf, KernelError> {
        let too_large = || KernelError::Problem("the weights are too large".into());
        let mut buf = AlignedBuf::zeroed(self.packed_bytes(way).ok_or_else(too_large)?)?;
        let mut out = buf.as_mut_slice().chunks_exact_mut(way.weight_bytes());
        let mut step = Vec::with_capacity(W::TERMS);
        for panel in (0..self.columns).step_by(PANEL) {
            let columns = panel..self.columns.min(panel + PANEL);
            for (first, out) in (0..self.terms).step_by(W::TERMS).zip(&mut out) {
                step.clear();
                step.resize(W::TERMS.min(self.terms - first), [0f32; PANEL]);
                for column in columns.clone() {
                    for (k, row) in step.iter_mut().enumerate() {
                        row[column - panel] = weight(first + k, column);
                    }
                }
                way.pack(&step, out);
            }
        }
        Ok(buf)
    }

    /// What it takes.
    fn cost<W: Way>(&self, way: W, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        let (pixels, elements) = (self.pixels as f64, (self.pixels * self.columns) as f64);
        let input = o.inputs[0].and_then(|layout| p.input(0)?.bytes(layout)).unwrap_or(0) as f64;
        let stored = 4.0 * elements * (1 + epilogue::residuals(p, o.fused).count()) as f64;
        let cycle = 32.0 / m.gmacs;
        let Rates { terms, products, convert, begin, finish } = way.rates(self.terms);
        let waits = |e: &EpiOp| matches!(e, EpiOp::Act(act) if !is_cheap(*act));
        let finish = finish[usize::from(p.epilogue[..o.fused].iter().any(waits))];
        let (terms, panels) = (terms as f64, self.panels());
        let rounds = self.steps::<W>().div_ceil(self.steps_abreast(way));
        let begun = (pixels / W::GROUP as f64).ceil() * (panels.div_ceil(W::ABREAST) * rounds) as f64;
        // Tasks of the same pixels convert them each; the first fetches them, which takes half as long.
        let convert = convert * (Cuts::of::<W>(self).parts as f64 + 0.5);
        let multiply = pixels * terms * (panels * PANEL) as f64 / products + begin * begun;
        let compute = (multiply + pixels * terms * convert + elements * finish) * cycle;
        // Weights are read once for each block of pixels.
        let blocks = self.pixels.div_ceil(W::PIXELS);
        let stream = m.weights(o.packed_bytes, blocks) + stored / (2.0 * m.l3_bandwidth);
        let copy = o.scratch.shared as f64 * 2.0 / m.l3_bandwidth;
        Cost {
            ns: compute.max(stream) + 0.5 * compute.min(stream) + copy + 500.0,
            bytes: input + stored + o.packed_bytes as f64 + 2.0 * o.scratch.shared as f64,
        }
    }
}

impl<F: Family, S: Simd, W: Way> Kernel for Halves<F, S, W> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, m: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        // Beside what its descriptor names.
        if !m.isa.has(S::ISA) {
            return Err(format!("needs {} as well", S::ISA).into());
        }
        let (problem, way) = (self.problem(p)?, self.way());
        let (shape, (offer, shared)) = (F::shape(&problem), F::offer(p, &problem));
        let packed_bytes = shape.packed_bytes(way).ok_or_else(|| Reject::because("the weights are too large"))?;
        let per_worker = Room::of(&shape, way, &Cuts::of::<W>(&shape)).bytes::<W>();
        out.push(Offer {
            scratch: Scratch { shared, per_worker },
            packed_bytes,
            packed_format: format!("{}-{}", offer.packed_format, way.format()).into(),
            numerics: self.descriptor.numerics,
            ..offer
        });
        Ok(())
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        match self.problem(p) {
            Ok(problem) => F::shape(&problem).cost(self.way(), p, o, m),
            Err(_) => Cost { ns: f64::INFINITY, bytes: f64::INFINITY },
        }
    }

    fn pack(&self, p: &Problem, _o: &Offer) -> Result<Packed, KernelError> {
        let problem = self.problem(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        Ok(F::pack(&problem, self.way(), &crate::stamp::weights(p, 1)?)?.into())
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let problem = self.problem(p).map_err(|r| KernelError::Problem(r.to_string()))?;
        let lacks = || KernelError::Problem(format!("this machine lacks {}", self.descriptor.isa));
        let how = (crate::stamp::token::<S>()?, self.way(), W::detect().ok_or_else(lacks)?);
        let shape = F::shape(&problem);
        if shape.packed_bytes(how.1) != Some(packed.data.as_slice().len()) {
            return Err(KernelError::Problem("the weights were packed for another problem".into()));
        }
        let epilogue = Epilogue::new(p, o.fused, shape.columns, F::PADDED)?;
        Ok(Box::new(Engine::new(how, F::places(problem), &shape, epilogue, packed)))
    }
}
