//! From sums of products to outputs: scales, the epilogue, and bytes again.

use crate::{
    lanes::{Kind, put_bytes},
    operand::Bytes,
};
use paring_core::{DType, Layout, op::EpiOp};
use paring_kernel::{KernelError, NumericClass, Offer, Problem, Reject, RunCx};
use paring_simd::{Act, LANES, Simd, Task, by_act, bytes::Narrow};

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

/// Most vectors of columns in a tile.
pub const VECTORS: usize = 4;

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

impl Finish<'_> {
    /// Finishes the sums of a tile and stores them. `y` are the first elements of the pixels.
    ///
    /// # Safety
    /// The elements of the pixels must be within the output and this task's alone.
    #[inline(always)]
    pub unsafe fn store_sums<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        place: &Place,
        sums: [[S::I; NV]; PX],
        y: &[usize],
    ) {
        if self.epilogue.sums {
            // SAFETY: the caller's promise.
            return unsafe { self.store_as_they_are(s, place, sums, y) };
        }
        let mut values = [[s.splat(0.0); NV]; PX];
        for i in 0..PX {
            for h in 0..NV {
                values[i][h] = s.sums_to_f32(sums[i][h]);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.store(s, place, values, y) }
    }

    /// # Safety
    /// As for [`Finish::store_sums`].
    #[inline(always)]
    unsafe fn store_as_they_are<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        place: &Place,
        sums: [[S::I; NV]; PX],
        y: &[usize],
    ) {
        for h in 0..NV {
            let lanes = place.lanes.saturating_sub(h * LANES).min(LANES);
            let room = if self.epilogue.padded { LANES } else { lanes };
            for i in 0..PX {
                let at = y[i] + place.first + h * place.step;
                assert!(at + room <= self.elements);
                // SAFETY: within the output; columns that do not exist have no weights, so their sums are zero.
                unsafe {
                    let to = self.y.cast::<i32>().add(at);
                    if room == LANES {
                        s.store_sums(to, sums[i][h]);
                        continue;
                    }
                    let mut row = [0; LANES];
                    s.store_sums(row.as_mut_ptr(), sums[i][h]);
                    core::ptr::copy_nonoverlapping(row.as_ptr(), to, lanes);
                }
            }
        }
    }

    /// As [`Finish::store_sums`], of sums that are numbers already.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn store<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        place: &Place,
        mut values: [[S::V; NV]; PX],
        y: &[usize],
    ) {
        let e = self.epilogue;
        for h in 0..NV {
            let at = place.channel + h * LANES;
            assert!(at + LANES <= self.scale.len() && at + LANES <= e.shift.len());
            // SAFETY: just checked.
            let (scale, shift) = unsafe { (s.load(self.scale.as_ptr().add(at)), s.load(e.shift.as_ptr().add(at))) };
            for i in 0..PX {
                values[i][h] = s.mul_add(values[i][h], scale, shift);
            }
        }
        let at = |i: usize, h: usize| y[i] + place.first + h * place.step;
        let whole = place.lanes >= NV * LANES;
        if let Some(r) = e.added {
            let mut rows = [[[0.0; LANES]; NV]; PX];
            for i in 0..PX {
                for h in 0..NV {
                    rows[i][h] = s.to_array(values[i][h]);
                }
            }
            self.add(s, r, place, rows.as_flattened_mut(), NV, y);
            for i in 0..PX {
                for h in 0..NV {
                    values[i][h] = s.from_array(rows[i][h]);
                }
            }
        }
        if let Some(how) = e.narrow
            && whole
        {
            // Two at once: vectors of a pixel, and the last ones of two pixels.
            for i in 0..PX {
                for h in 0..NV / 2 {
                    let bytes = s.narrow([values[i][2 * h], values[i][2 * h + 1]], how);
                    // SAFETY: the caller's promise.
                    unsafe {
                        self.y.add(at(i, 2 * h)).cast::<u64>().write_unaligned(bytes[0]);
                        self.y.add(at(i, 2 * h + 1)).cast::<u64>().write_unaligned(bytes[1]);
                    }
                }
            }
            if NV % 2 == 1 {
                for i in 0..PX.div_ceil(2) {
                    let (first, second) = (2 * i, if 2 * i + 1 < PX { 2 * i + 1 } else { 2 * i });
                    let bytes = s.narrow([values[first][NV - 1], values[second][NV - 1]], how);
                    // SAFETY: the caller's promise.
                    unsafe {
                        self.y.add(at(first, NV - 1)).cast::<u64>().write_unaligned(bytes[0]);
                        self.y.add(at(second, NV - 1)).cast::<u64>().write_unaligned(bytes[1]);
                    }
                }
            }
            return;
        }
        if let (None, Some((lo, hi))) = (e.out, e.clamp)
            && whole
        {
            let (lo, hi) = (s.splat(lo), s.splat(hi));
            for i in 0..PX {
                for h in 0..NV {
                    // SAFETY: the caller's promise.
                    unsafe { s.store(self.y.cast::<f32>().add(at(i, h)), s.min(hi, s.max(lo, values[i][h]))) };
                }
            }
            return;
        }
        for i in 0..PX {
            let mut row = [0.0; VECTORS * LANES];
            for h in 0..NV {
                // SAFETY: within the row.
                unsafe { s.store(row.as_mut_ptr().add(h * LANES), values[i][h]) };
            }
            self.general(s, place, &mut row[..NV * LANES], y[i] + place.first);
        }
    }

    /// Finishes `width` pixels of one vector of columns, whose sums follow one another as do the pixels, from element `y`
    /// of the output on.
    ///
    /// # Safety
    /// As for [`Finish::store`]; `sums` must be valid for reads of all of them.
    #[inline(always)]
    pub unsafe fn store_row<S: Simd>(&self, s: S, place: &Place, sums: *const f32, width: usize, y: usize) {
        macro_rules! some {
            ($n:literal, $at:expr) => {{
                let mut values = [[s.splat(0.0)]; $n];
                let mut to = [0; $n];
                for k in 0..$n {
                    // SAFETY: the caller's promise.
                    values[k][0] = unsafe { s.load(sums.add(($at + k) * LANES)) };
                    to[k] = y + ($at + k) * LANES;
                }
                // SAFETY: the caller's promise.
                unsafe { self.store::<S, $n, 1>(s, place, values, &to) };
            }};
        }
        let mut at = 0;
        while at + 4 <= width {
            some!(4, at);
            at += 4;
        }
        while at < width {
            some!(1, at);
            at += 1;
        }
    }

    /// Adds the first residual to `vectors` vectors of each pixel. Out of line, as it would swell every size of tile.
    #[inline(never)]
    fn add<S: Simd>(&self, s: S, r: Residual, place: &Place, rows: &mut [[f32; LANES]], vectors: usize, y: &[usize]) {
        s.vectorize(Add { finish: self, residual: r, place, rows, vectors, y });
    }

    /// Any epilogue, and vectors of which some lanes do not exist, for one pixel. Out of line, as it would swell every
    /// size of tile.
    #[inline(never)]
    fn general<S: Simd>(&self, s: S, place: &Place, row: &mut [f32], y: usize) {
        s.vectorize(General { finish: self, place, row, y });
    }
}

/// The body of [`Finish::add`].
struct Add<'a> {
    finish: &'a Finish<'a>,
    residual: Residual,
    place: &'a Place,
    rows: &'a mut [[f32; LANES]],
    vectors: usize,
    y: &'a [usize],
}

impl Task for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Add { finish, residual, place, rows, vectors, y } = self;
        let from = finish.residuals[0];
        for (row, y) in rows.chunks_exact_mut(vectors).zip(y) {
            for (h, eight) in row.iter_mut().enumerate() {
                let more = finish.residual(s, residual, from, y + place.first, place, h);
                *eight = s.to_array(s.add(s.from_array(*eight), more));
            }
        }
    }
}

/// The body of [`Finish::general`].
struct General<'a> {
    finish: &'a Finish<'a>,
    place: &'a Place,
    row: &'a mut [f32],
    /// The first element.
    y: usize,
}

impl Task for General<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let General { finish, place, row, y } = self;
        let e = finish.epilogue;
        let mut residual = 0;
        for step in &e.steps {
            macro_rules! each {
                ($v:ident => $value:expr) => {
                    each!(|_h| $v => $value)
                };
                (|$h:ident| $v:ident => $value:expr) => {
                    for ($h, eight) in row.chunks_exact_mut(LANES).enumerate() {
                        // SAFETY: eight elements.
                        #[allow(unused_unsafe)]
                        unsafe {
                            let $v = s.load(eight.as_ptr());
                            s.store(eight.as_mut_ptr(), $value);
                        }
                    }
                };
            }
            let of = |v: &[f32], h: usize| v[place.channel + h * LANES..][..LANES].as_ptr();
            match step {
                // SAFETY: eight elements.
                Step::Bias(b) => each!(|h| v => s.add(v, s.load(of(b, h)))),
                // SAFETY: as above.
                Step::Scale(b) => each!(|h| v => s.mul(v, s.load(of(b, h)))),
                Step::PRelu(b) => {
                    // SAFETY: as above.
                    each!(|h| v => s.select(s.less(v, s.splat(0.0)), s.mul(v, s.load(of(b, h))), v));
                }
                Step::Residual(r) => {
                    let from = finish.residuals[residual];
                    residual += 1;
                    each!(|h| v => s.add(v, finish.residual(s, *r, from, y, place, h)));
                }
                Step::Act(act) => by_act!(s, *act, v, each!()),
            }
        }
        for (h, eight) in row.chunks_exact(LANES).enumerate() {
            let lanes = place.lanes.saturating_sub(h * LANES).min(LANES);
            finish.put(s, eight, y + h * place.step, lanes);
        }
    }
}

impl Finish<'_> {
    /// Vector `h` of a residual, of the columns at `place` of the pixel whose first column is element `y`.
    #[inline(always)]
    fn residual<S: Simd>(&self, s: S, r: Residual, from: *const u8, y: usize, place: &Place, h: usize) -> S::V {
        let (at, lanes) = (y + h * place.step, place.lanes.saturating_sub(h * LANES).min(LANES));
        assert!(at + lanes <= self.elements);
        // SAFETY: residuals have as many elements as the output.
        unsafe { r.kind.load(s, from, at, lanes) }
    }

    /// Stores eight results, of which `lanes` exist.
    #[inline(always)]
    fn put<S: Simd>(&self, s: S, eight: &[f32], at: usize, lanes: usize) {
        let e = self.epilogue;
        let room = if e.padded { LANES } else { lanes };
        assert!(at + room <= self.elements);
        // SAFETY: eight elements of a row.
        let mut v = unsafe { s.load(eight.as_ptr()) };
        match e.out {
            None => {
                if let Some((lo, hi)) = e.clamp {
                    v = s.min(s.splat(hi), s.max(s.splat(lo), v));
                }
                // SAFETY: within the output.
                unsafe { Kind::F32.store(s, self.y, at, v, lanes, room) };
            }
            Some(out) => {
                let (least, largest) = out.range();
                let zero = out.zero_point as f32;
                let (v, lo, hi) = match e.clamp {
                    Some((lo, hi)) => (v, lo, hi),
                    None => (s.mul(v, s.splat(1.0 / out.scale)), least - zero, largest - zero),
                };
                let v = s.add(s.round(s.min(s.splat(hi), s.max(s.splat(lo), v))), s.splat(zero));
                // SAFETY: within the output.
                unsafe { put_bytes(self.y.add(at), s.to_bytes(v, out.signed), lanes, room) };
            }
        }
    }
}
