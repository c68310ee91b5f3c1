//! From sums of products to outputs: scales, the epilogue, and bytes again.

mod store;

use crate::{lanes::Kind, operand::Bytes};
use paring_core::{DType, Layout, op::EpiOp};
use paring_kernel::{KernelError, NumericClass, Offer, Problem, Reject, RunCx};
use paring_simd::{Act, LANES, bytes::Narrow};

/// One step of the epilogue, its per-channel operand padded to whole panels.
#[derive(Clone, Debug)]
enum Step {
    Bias(Vec<f32>),
    Scale(Vec<f32>),
    PRelu(Vec<f32>),
    Residual(Residual),
    Act(Act),
}

/// A tensor of the output's shape that is added.
#[derive(Clone, Copy, Debug)]
struct Residual {
    input: usize,
    kind: Kind,
}

/// Columns that panels of any width can read.
const PADDING: usize = 3 * LANES;

/// Elements of a vector of one for each of so many columns.
pub fn width(channels: usize) -> usize {
    channels.next_multiple_of(LANES) + PADDING
}

/// The epilogue of one problem, from sums of products of bytes on.
#[derive(Clone, Debug)]
pub struct Epilogue {
    /// What a sum of a column stands for: `scale * sum + shift`.
    scale: Vec<f32>,
    shift: Vec<f32>,
    steps: Vec<Step>,
    /// What is added before anything else, in the units of the result; its zero point is part of the shift.
    added: Option<Residual>,
    /// Bounds of the result, where it takes nothing but those: in the units of the bytes, where there are any.
    clamp: Option<(f32, f32)>,
    /// The same in integers, where results are bytes and surely small enough before they are bounded.
    narrow: Option<Narrow>,
    out: Option<Bytes>,
    /// Whether results are the sums themselves, in `i32`.
    sums: bool,
    /// Whether rows of the output have room for whole vectors, the lanes that do not exist being zero.
    padded: bool,
    /// Columns of the output, and whether what is made of those beyond is zero without further ado.
    columns: usize,
    blank: bool,
}

/// Refuses epilogues that [`Epilogue::new`] cannot serve.
pub fn servable(p: &Problem, channels: usize) -> Result<(), Reject> {
    let Some(y) = p.output(0) else { return Err(Reject::because("nobody wants the output")) };
    match y.quant {
        Some(_) => drop(Bytes::of(y)?),
        None if y.dtype == DType::F32 => {}
        None if y.dtype == DType::I32 && p.epilogue.is_empty() => {}
        None => return Err(Reject::from(format!("the output is neither quantised nor f32 but {}", y.dtype))),
    }
    for step in &p.epilogue {
        match *step {
            EpiOp::Bias { input } | EpiOp::Scale { input } | EpiOp::PRelu { input } => {
                let fits = p.constant(input).is_some_and(|t| t.dtype() == DType::F32 && t.len() == channels);
                if !fits {
                    return Err(Reject::because("an operand of the epilogue is not a constant vector of f32"));
                }
            }
            EpiOp::Residual { input } => {
                let r = p.input(input).filter(|r| r.shape == y.shape);
                let r = r.ok_or_else(|| Reject::because("a residual has not the shape of the output"))?;
                if r.quant.is_some() {
                    Bytes::of(r)?;
                } else if r.dtype != DType::F32 {
                    return Err(Reject::because("a residual is neither quantised nor f32"));
                }
            }
            EpiOp::Act(_) | EpiOp::Quantize { .. } => {}
            EpiOp::Sign { .. } => return Err(Reject::because("no signs of bytes")),
            EpiOp::MaxPool => return Err(Reject::because("no pooling of bytes before they are stored")),
        }
    }
    Ok(())
}

/// The inputs that the epilogue reads while running.
fn residuals(p: &Problem) -> impl Iterator<Item = usize> + '_ {
    p.epilogue.iter().filter_map(|e| match *e {
        EpiOp::Residual { input } => Some(input),
        _ => None,
    })
}

/// An offer that does the whole epilogue, with input 0, residuals and outputs in one layout.
pub fn offer(p: &Problem, layout: Layout) -> Offer {
    let mut inputs = vec![None; p.inputs.len()];
    inputs[0] = Some(layout);
    for r in residuals(p) {
        inputs[r] = Some(layout);
    }
    let outputs = vec![layout; p.outputs.len()];
    Offer { inputs, outputs, fused: p.epilogue.len(), numerics: NumericClass::Reassociated, ..Offer::plain(p) }
}

impl Epilogue {
    /// Prepares the whole epilogue, where a sum of column `c` stands for `scale[c]` times it.
    ///
    /// # Errors
    /// [`KernelError::Problem`] where it is not [servable].
    pub fn new(p: &Problem, scale: &[f32], padded: bool) -> Result<Epilogue, KernelError> {
        Epilogue::of_sums_below(2f32.powi(31), p, scale, padded)
    }

    /// As [`Epilogue::new`], of sums that are less than `most` in size.
    ///
    /// # Errors
    /// As there.
    pub fn of_sums_below(most: f32, p: &Problem, scale: &[f32], padded: bool) -> Result<Epilogue, KernelError> {
        let channels = scale.len();
        servable(p, channels).map_err(|r| KernelError::Problem(r.to_string()))?;
        let width = width(channels);
        let pad = |mut v: Vec<f32>| {
            v.resize(width, 0.0);
            v
        };
        let missing = |input: usize| KernelError::Problem(format!("operand {input} of the epilogue is not there"));
        let vector = |input: usize| p.const_f32s(input).map(pad).ok_or_else(|| missing(input));
        let mut e = Epilogue {
            scale: pad(scale.to_vec()),
            shift: vec![0.0; width],
            steps: vec![],
            added: None,
            clamp: None,
            narrow: None,
            sums: p.output(0).is_some_and(|y| y.dtype == DType::I32),
            out: p.output(0).filter(|y| y.quant.is_some()).map(Bytes::of).transpose().ok().flatten(),
            padded,
            columns: channels,
            blank: false,
        };
        for step in &p.epilogue {
            let step = match *step {
                EpiOp::Bias { input } => Step::Bias(vector(input)?),
                EpiOp::Scale { input } => Step::Scale(vector(input)?),
                EpiOp::PRelu { input } => Step::PRelu(vector(input)?),
                EpiOp::Residual { input } => {
                    let operand = p.input(input).ok_or_else(|| missing(input))?;
                    let kind = Kind::of(operand).map_err(|r| KernelError::Problem(r.to_string()))?;
                    Step::Residual(Residual { input, kind })
                }
                EpiOp::Act(act) => Step::Act(act),
                EpiOp::Quantize { .. } | EpiOp::Sign { .. } | EpiOp::MaxPool => continue,
            };
            match step {
                Step::Bias(v) if e.steps.is_empty() => e.shift.iter_mut().zip(&v).for_each(|(a, b)| *a += b),
                step => e.steps.push(step),
            }
        }
        e.shorten(most);
        Ok(e)
    }

    /// Where at most a residual and a clamp are left, brings them, scale and shift to the units of the output. Sums are less
    /// than `most` in size.
    fn shorten(&mut self, most: f32) {
        let each = self.out.map_or(1.0, |out| 1.0 / out.scale);
        let (added, rest) = match &self.steps[..] {
            [Step::Residual(r), rest @ ..] if self.out.is_none() || r.kind != Kind::F32 => (Some(*r), rest),
            rest => (None, rest),
        };
        let (lo, hi) = match *rest {
            [] => (f32::NEG_INFINITY, f32::INFINITY),
            [Step::Act(Act::Relu)] => (0.0, f32::INFINITY),
            [Step::Act(Act::Clamp { lo, hi })] => (lo, hi),
            _ => return,
        };
        self.steps.clear();
        self.scale.iter_mut().chain(&mut self.shift).for_each(|v| *v *= each);
        self.added = added.map(|r| Residual { kind: self.in_units(r.kind, each), ..r });
        let Some(out) = self.out else {
            self.clamp = Some((lo, hi));
            return;
        };
        let (least, largest) = out.range();
        let zero = out.zero_point as f32;
        let within = |v: f32| (v * each).clamp(least - zero, largest - zero);
        let (lo, hi) = (within(lo), within(hi));
        self.clamp = Some((lo, hi));
        // Together less than 2^31.
        let step = self.added.map_or(0.0, |r| if let Kind::Bytes(b) = r.kind { b.scale } else { 0.0 });
        let small = self.scale.iter().all(|s| s.abs() * most <= 1e9)
            && self.shift.iter().all(|s| s.abs() <= 5e8)
            && step * 255.0 <= 5e8;
        let bound = |v: f32| v.round_ties_even() as i16 + out.zero_point as i16;
        let narrow = Narrow { zero: out.zero_point as i16, lo: bound(lo), hi: bound(hi), signed: out.signed };
        self.narrow = small.then_some(narrow);
        if narrow.lo <= 0 && narrow.hi >= 0 {
            self.shift[self.columns..].fill(-zero);
            self.blank = self.padded;
        }
    }

    /// A residual in units of which there are `each` in 1, its zero point in the shift.
    fn in_units(&mut self, kind: Kind, each: f32) -> Kind {
        let Kind::Bytes(b) = kind else { return kind };
        let scale = b.scale * each;
        self.shift.iter_mut().for_each(|v| *v -= b.zero_point as f32 * scale);
        Kind::Bytes(Bytes { scale, zero_point: 0, ..b })
    }

    /// Bytes of an element of the output.
    pub fn size(&self) -> usize {
        if self.out.is_some() { 1 } else { size_of::<f32>() }
    }

    /// Binds the operands of a run, with the output's first byte and length in bytes.
    pub fn bind<'a>(&'a self, cx: &RunCx<'_>, y: *mut u8, len: usize) -> Finish<'a> {
        self.bind_scaled(&self.scale, cx, y, len)
    }

    /// As [`Epilogue::bind`], where sums stand for other numbers than those that it was made for: each `scale` times as
    /// much, a vector of [`width`].
    ///
    /// # Panics
    /// Where results are quantised, for then scales are in their units.
    pub fn bind_scaled<'a>(&'a self, scale: &'a [f32], cx: &RunCx<'_>, y: *mut u8, len: usize) -> Finish<'a> {
        let elements = len / self.size();
        let mut residuals = [core::ptr::null::<u8>(); MOST];
        let inputs = self.steps.iter().filter_map(|s| if let Step::Residual(r) = s { Some(r) } else { None });
        for (to, r) in residuals.iter_mut().zip(self.added.iter().chain(inputs)) {
            let bytes = cx.input::<u8>(r.input);
            assert!(bytes.len() >= elements * r.kind.size(), "a residual is too short");
            *to = bytes.as_ptr();
        }
        Finish { epilogue: self, scale, y, elements, residuals }
    }
}

/// Residuals of one epilogue: no network has more.
const MOST: usize = 4;

/// Columns of a panel in the output.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The first column.
    pub channel: usize,
    /// Columns that exist.
    pub lanes: usize,
    /// Elements from the pixel's first element to the first column, and from one vector of columns to the next.
    pub first: usize,
    pub step: usize,
}

impl Place {
    /// The columns from vector `h` on.
    #[inline(always)]
    pub fn from(&self, h: usize) -> Place {
        let before = h * LANES;
        let (channel, lanes) = (self.channel + before, self.lanes.saturating_sub(before));
        Place { channel, lanes, first: self.first + h * self.step, step: self.step }
    }
}

/// The epilogue of one run.
pub struct Finish<'a> {
    epilogue: &'a Epilogue,
    /// What a sum of a column stands for, before it is shifted.
    scale: &'a [f32],
    y: *mut u8,
    elements: usize,
    residuals: [*const u8; MOST],
}

// SAFETY: the pointers are to operands that outlive the run; tasks write disjoint elements.
unsafe impl Sync for Finish<'_> {}
