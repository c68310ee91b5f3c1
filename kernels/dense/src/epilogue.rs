//! Epilogues: how many steps can be fused, their operands, and storing a tile.

use crate::tile::{ROWS, VECTORS};
use core::mem::MaybeUninit;
use paring_core::{
    DType, Layout,
    op::{Act, EpiOp},
};
use paring_kernel::{KernelError, Offer, Problem, RunCx};
use paring_simd::{LANES, Several, Simd, Task, by_act};

/// Residuals that a tile can add.
const RESIDUALS: usize = 2;

/// How many steps of the epilogue of `p` can be fused, where per-channel operands have `channels` entries.
pub fn fusable(p: &Problem, channels: usize) -> usize {
    let mut residuals = 0;
    let fits = |e: &EpiOp| match *e {
        EpiOp::Bias { input } | EpiOp::Scale { input } | EpiOp::PRelu { input } => {
            p.constant(input).is_some_and(|t| t.dtype() == DType::F32 && t.len() == channels)
        }
        EpiOp::Residual { input } => {
            residuals += 1;
            let same = |(a, b): (&paring_kernel::Operand, &paring_kernel::Operand)| {
                a.shape == b.shape && a.dtype == DType::F32 && b.dtype == DType::F32
            };
            residuals <= RESIDUALS && p.input(input).zip(p.output(0)).is_some_and(same)
        }
        EpiOp::Act(_) => true,
        EpiOp::Quantize { .. } | EpiOp::Sign { .. } | EpiOp::MaxPool => false,
    };
    p.epilogue
        .iter()
        .take_while({
            let mut fits = fits;
            move |e| fits(e)
        })
        .count()
}

/// Whether the epilogue of `p` pools last, and no other step minds coming after the maximum: all keep the order of
/// numbers.
pub fn pools(p: &Problem, channels: usize) -> bool {
    let ordered =
        |e: &EpiOp| matches!(e, EpiOp::Bias { .. } | EpiOp::Act(Act::Relu | Act::Clamp { .. }) | EpiOp::MaxPool);
    p.pools() && fusable(p, channels) + 1 == p.epilogue.len() && p.epilogue.iter().all(ordered)
}

/// The inputs that the first `fused` steps read while running.
pub fn residuals(p: &Problem, fused: usize) -> impl Iterator<Item = usize> + '_ {
    p.epilogue.iter().take(fused).filter_map(|e| match *e {
        EpiOp::Residual { input } => Some(input),
        _ => None,
    })
}

/// An offer that reads input 0 in layout `input` while running and writes `output`, and does the first `fused` steps of
/// the epilogue, whose residuals lie as the output does and may be taken over.
pub fn offer(p: &Problem, fused: usize, input: Layout, output: Layout) -> Offer {
    let mut inputs = vec![None; p.inputs.len()];
    inputs[0] = Some(input);
    for r in residuals(p, fused) {
        inputs[r] = Some(output);
    }
    let outputs = vec![output; p.outputs.len()];
    Offer { inputs, outputs, fused, in_place: residuals(p, fused).next(), ..Offer::plain(p) }
}

/// One step, its per-channel operand padded with zeros to whole panels.
#[derive(Clone, Debug)]
enum Step {
    Bias(Vec<f32>),
    Scale(Vec<f32>),
    PRelu(Vec<f32>),
    Residual(usize),
    Act(Act),
}

/// A row of a tile.
type Row = [f32; VECTORS * LANES];

/// Sums of residuals, rounded to multiples of a number where they stand for bytes, then a clamp: what almost every layer does.
/// Kept in registers.
#[derive(Clone, Copy, Debug)]
struct Quick {
    residuals: usize,
    grid: Option<f32>,
    clamp: Option<(f32, f32)>,
}

/// The fused steps of one problem.
#[derive(Clone, Debug)]
pub struct Epilogue {
    /// What accumulators start from, padded to whole panels.
    init: Vec<f32>,
    steps: Vec<Step>,
    quick: Option<Quick>,
    residuals: Vec<usize>,
    padded: bool,
}

impl Epilogue {
    /// Prepares the first `fused` steps for outputs of `channels` channels. `padded`: rows of the output have room for
    /// all columns of a panel, those beyond the channels are to be zero.
    pub fn new(p: &Problem, fused: usize, channels: usize, padded: bool) -> Result<Epilogue, KernelError> {
        let width = channels.next_multiple_of(2 * LANES);
        let vector = |input: usize| {
            let mut v = p.const_f32s(input).filter(|v| v.len() == channels).ok_or_else(|| {
                KernelError::Problem(format!("operand {input} is not a vector of {channels} constants"))
            })?;
            v.resize(width, 0.0);
            Ok::<_, KernelError>(v)
        };
        let mut e = Epilogue { init: vec![0.0; width], steps: vec![], quick: None, residuals: vec![], padded };
        for op in p.epilogue.iter().take(fused) {
            let step = match *op {
                EpiOp::Bias { input } => Step::Bias(vector(input)?),
                EpiOp::Scale { input } => Step::Scale(vector(input)?),
                EpiOp::PRelu { input } => Step::PRelu(vector(input)?),
                EpiOp::Residual { input } => {
                    e.residuals.push(input);
                    Step::Residual(e.residuals.len() - 1)
                }
                EpiOp::Act(a) => Step::Act(a),
                EpiOp::Quantize { .. } | EpiOp::Sign { .. } => {
                    return Err(KernelError::Problem("results are quantised by kernels of integers only".into()));
                }
                EpiOp::MaxPool => return Err(KernelError::Problem("a tile of sums cannot be pooled".into())),
            };
            match step {
                // Additions commute, so every bias before the first other step is where the sums start from.
                Step::Bias(v) if e.steps.iter().all(|s| matches!(s, Step::Residual(_))) => {
                    e.init.iter_mut().zip(&v).for_each(|(a, b)| *a += b);
                }
                step => e.steps.push(step),
            }
        }
        if e.residuals.len() > RESIDUALS {
            return Err(KernelError::Problem(format!("more than {RESIDUALS} residuals")));
        }
        e.quick = e.quick();
        Ok(e)
    }

    /// An activation alone, for [`Epilogue::map`].
    pub fn activation(act: Act) -> Epilogue {
        Epilogue { init: vec![], steps: vec![Step::Act(act)], quick: None, residuals: vec![], padded: false }
    }

    /// Applies an [activation](Epilogue::activation) to whole vectors.
    ///
    /// # Safety
    /// Every pointer must be valid for reads and writes of eight numbers.
    pub unsafe fn map<S: Simd>(&self, s: S, vectors: &[*mut f32]) {
        let finish = Finish { epilogue: self, out: core::ptr::null_mut(), residuals: [core::ptr::null(); RESIDUALS] };
        let place = Place { channel: 0, lanes: LANES, columns: [0, LANES] };
        // SAFETY: the caller's promise; there are no residuals, nor operands of channels.
        unsafe { finish.finish(s, &place, vectors, 1) };
    }

    fn quick(&self) -> Option<Quick> {
        let residuals = self.steps.iter().take_while(|s| matches!(s, Step::Residual(_))).count();
        let (grid, clamp) = match self.steps[residuals..] {
            [] => (None, None),
            [Step::Act(Act::Relu)] => (None, Some((0.0, f32::INFINITY))),
            [Step::Act(Act::Clamp { lo, hi })] => (None, Some((lo, hi))),
            [Step::Act(Act::Grid { scale, lo, hi })] => (Some(scale), Some((lo * scale, hi * scale))),
            _ => return None,
        };
        Some(Quick { residuals, grid, clamp })
    }

    /// Where the accumulators of the panel that begins at `channel` start from.
    pub fn init(&self, channel: usize) -> *const f32 {
        self.init[channel..].as_ptr()
    }

    /// Binds the operands of one run. `out` is the first element of output 0, of `len` elements.
    pub fn bind(&self, cx: &RunCx<'_>, out: *mut f32, len: usize) -> Finish<'_> {
        let mut residuals = [out.cast_const(); RESIDUALS];
        for (r, &input) in residuals.iter_mut().zip(&self.residuals) {
            if cx.in_place() != Some(input) {
                let x = cx.input::<f32>(input);
                assert!(x.len() >= len, "residual of {} elements for {len}", x.len());
                *r = x.as_ptr();
            }
        }
        Finish { epilogue: self, out, residuals }
    }
}

/// Columns of a panel in the output.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// First channel, for the operands of the epilogue.
    pub channel: usize,
    /// Columns that exist.
    pub lanes: usize,
    /// Elements from an output pointer to the first and to the second vector of its row; a third is as far again.
    pub columns: [usize; 2],
}

impl Place {
    /// Elements from an output pointer to vector `h` of its row.
    #[inline(always)]
    pub fn column(&self, h: usize) -> usize {
        let [first, second] = self.columns;
        first + h * (second - first)
    }
}

/// The epilogue of one run.
pub struct Finish<'a> {
    epilogue: &'a Epilogue,
    out: *mut f32,
    residuals: [*const f32; RESIDUALS],
}

// SAFETY: the pointers are to operands that outlive the run; tasks write disjoint rows.
unsafe impl Sync for Finish<'_> {}

impl Finish<'_> {
    /// The bounds that sums of these channels are clamped to, where storing them takes nothing else.
    pub fn bounds(&self, lanes: usize) -> Option<(f32, f32)> {
        let quick = self.epilogue.quick.filter(|q| q.residuals == 0 && q.grid.is_none() && lanes == LANES)?;
        Some(quick.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY)))
    }

    /// Applies the steps to the sums of a tile and stores it.
    ///
    /// # Safety
    /// Every pointer of `y`, moved by the columns of the panel, must be valid for writes of the lanes that exist, or of
    /// all where the epilogue is padded; all lie within output 0.
    #[inline(always)]
    pub unsafe fn store<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        place: &Place,
        sums: [[S::V; NV]; PX],
        y: [*mut f32; PX],
    ) {
        // SAFETY: the caller's promise.
        unsafe { self.store_or_defer::<S, PX, NV>(s, place, sums, y, false) }
    }

    /// As [`Finish::store`], or stores the sums as they are where `deferred`: see [`Finish::is_deferred`].
    ///
    /// # Safety
    /// As for [`Finish::store`].
    #[inline(always)]
    pub unsafe fn store_or_defer<S: Simd, const PX: usize, const NV: usize>(
        &self,
        s: S,
        place: &Place,
        mut sums: [[S::V; NV]; PX],
        y: [*mut f32; PX],
        deferred: bool,
    ) {
        // SAFETY: the caller's promise; residuals have the extent of the output.
        unsafe {
            if deferred {
                for i in 0..PX {
                    for h in 0..NV {
                        s.store(y[i].add(place.column(h)), sums[i][h]);
                    }
                }
            } else if let Some(quick) = self.epilogue.quick
                && place.lanes == NV * LANES
            {
                for r in 0..quick.residuals.min(RESIDUALS) {
                    for i in 0..PX {
                        for h in 0..NV {
                            let at = y[i].add(place.column(h)).offset_from(self.out);
                            sums[i][h] = s.add(sums[i][h], s.load(self.residuals[r].offset(at)));
                        }
                    }
                }
                if let Some(scale) = quick.grid {
                    let (scale, each) = (s.splat(scale), s.splat(1.0 / scale));
                    for i in 0..PX {
                        for h in 0..NV {
                            sums[i][h] = s.mul(s.round(s.mul(sums[i][h], each)), scale);
                        }
                    }
                }
                if let Some((lo, hi)) = quick.clamp {
                    let (lo, hi) = (s.splat(lo), s.splat(hi));
                    for i in 0..PX {
                        for h in 0..NV {
                            sums[i][h] = s.min(hi, s.max(lo, sums[i][h]));
                        }
                    }
                }
                for i in 0..PX {
                    for h in 0..NV {
                        s.store(y[i].add(place.column(h)), sums[i][h]);
                    }
                }
            } else {
                // Not initialised: clearing it takes as long as many an epilogue.
                let mut tile = [const { MaybeUninit::<Row>::uninit() }; ROWS];
                let mut rows = [core::ptr::null_mut(); ROWS];
                for i in 0..PX {
                    rows[i] = tile[i].as_mut_ptr().cast::<f32>();
                    for h in 0..NV {
                        s.store(rows[i].add(h * LANES), sums[i][h]);
                    }
                }
                self.general(s, place, Values { rows: &rows[..PX], columns: [0, LANES] }, &y, NV);
            }
        }
    }

    /// Whether sums of `vectors` vectors are better stored as they are, for [`Finish::finish`] to go over many of them
    /// at once: one vector of a long activation waits for itself unless there are others to work on meanwhile.
    #[inline(always)]
    pub fn is_deferred(&self, place: &Place, vectors: usize) -> bool {
        let e = self.epilogue;
        let room = e.padded || place.lanes == vectors * LANES;
        // A residual may lie where the sums would be stored.
        e.quick.is_none() && e.residuals.is_empty() && room
    }

    /// Applies the steps to sums that were stored as they are.
    ///
    /// # Safety
    /// As for [`Finish::store`]; all columns are initialised.
    pub unsafe fn finish<S: Simd>(&self, s: S, place: &Place, y: &[*mut f32], vectors: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.general(s, place, Values { rows: y, columns: place.columns }, y, vectors) }
    }

    /// Any epilogue, and panels with columns that do not exist. Out of line, as it would swell every size of tile.
    ///
    /// # Safety
    /// As for [`Finish::store`]; `vectors` vectors of each row of values are initialised.
    #[inline(never)]
    unsafe fn general<S: Simd>(&self, s: S, place: &Place, values: Values<'_>, y: &[*mut f32], vectors: usize) {
        s.vectorize(General { finish: self, place, values, y, vectors });
    }
}

/// Sums on their way through the epilogue: rows, and the places of the first and second vector in a row.
#[derive(Clone, Copy)]
struct Values<'a> {
    rows: &'a [*mut f32],
    columns: [usize; 2],
}

/// The body of [`Finish::general`].
struct General<'a> {
    finish: &'a Finish<'a>,
    place: &'a Place,
    values: Values<'a>,
    y: &'a [*mut f32],
    vectors: usize,
}

impl Task for General<'_> {
    type Output = ();

    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let e = self.finish.epilogue;
        for step in &e.steps {
            self.step(s, step);
        }
        let in_place = core::ptr::eq(self.values.rows, self.y);
        for h in 0..self.vectors {
            let lanes = self.lanes(h);
            if in_place && lanes == LANES {
                continue;
            }
            let (from, to) = (self.column(h), self.place.column(h));
            for (&row, &y) in self.values.rows.iter().zip(self.y) {
                let (row, y) = (row.wrapping_add(from), y.wrapping_add(to));
                // SAFETY: eight elements of the values; `Finish::store` has the same conditions for `y`.
                unsafe {
                    if lanes < LANES {
                        // Nothing but zeros may reach padding lanes, not even where an infinity met a weight of zero.
                        for lane in 0..if e.padded { LANES } else { lanes } {
                            *y.add(lane) = if lane < lanes { *row.add(lane) } else { 0.0 };
                        }
                    } else {
                        s.store(y, s.load(row));
                    }
                }
            }
        }
    }
}

impl General<'_> {
    /// Lanes of vector `h` that exist.
    #[inline(always)]
    fn lanes(&self, h: usize) -> usize {
        self.place.lanes.saturating_sub(h * LANES).min(LANES)
    }

    /// The place of vector `h` in a row of values.
    #[inline(always)]
    fn column(&self, h: usize) -> usize {
        let [first, second] = self.values.columns;
        first + h * (second - first)
    }

    /// Applies one step to all vectors.
    #[inline(always)]
    fn step<S: Simd>(&self, s: S, step: &Step) {
        macro_rules! each {
            ($v:ident => $value:expr) => {
                each!(|_i, _h| $v => $value)
            };
            (|$i:ident, $h:ident| $v:ident => $value:expr) => {
                for $h in 0..self.vectors {
                    let column = self.column($h);
                    for ($i, row) in self.values.rows.iter().enumerate() {
                        let p = row.wrapping_add(column);
                        // SAFETY: eight elements of the values, initialised by whoever made them.
                        unsafe {
                            let $v = s.load(p);
                            s.store(p, $value);
                        }
                    }
                }
            };
        }
        let channel = |h: usize| self.place.channel + h * LANES;
        // Per-channel operands are padded to whole panels.
        let of = |b: &[f32], h: usize| b[channel(h)..][..LANES].as_ptr();
        match step {
            // SAFETY: eight elements.
            Step::Bias(b) => each!(|_i, h| v => s.add(v, s.load(of(b, h)))),
            Step::Scale(b) => each!(|_i, h| v => s.mul(v, s.load(of(b, h)))),
            Step::PRelu(b) => {
                each!(|_i, h| v => s.select(s.less(v, s.splat(0.0)), s.mul(v, s.load(of(b, h))), v))
            }
            Step::Residual(r) => each!(|i, h| v => s.add(v, self.residual(s, *r, i, h))),
            Step::Act(a) if S::SMALL => self.activate::<S, 1>(s, *a),
            Step::Act(a) => self.activate::<S, 4>(s, *a),
        }
    }

    /// Applies an activation to all vectors, `TOGETHER` at once.
    #[inline(always)]
    fn activate<S: Simd, const TOGETHER: usize>(&self, s: S, act: Act) {
        let all = Several::<S, TOGETHER>(s);
        macro_rules! together {
            ($v:ident => $value:expr) => {
                for h in 0..self.vectors {
                    let column = self.column(h);
                    for rows in self.values.rows.chunks(TOGETHER) {
                        // What is missing of the last few repeats the last: a condition at the stores would have
                        // the compiler take the vectors apart, each to where it is wanted.
                        let mut at = [rows[0].wrapping_add(column); TOGETHER];
                        for i in 1..TOGETHER {
                            at[i] = rows[i.min(rows.len() - 1)].wrapping_add(column);
                        }
                        let mut $v = [s.splat(0.0); TOGETHER];
                        // SAFETY: eight elements of the values, initialised by whoever made them.
                        unsafe {
                            for i in 0..TOGETHER {
                                $v[i] = s.load(at[i]);
                            }
                            let value = $value;
                            for i in 0..TOGETHER {
                                s.store(at[i], value[i]);
                            }
                        }
                    }
                }
            };
        }
        by_act!(all, act, v, together!())
    }

    /// Vector `h` of the residual of row `i`.
    ///
    /// # Safety
    /// As for [`Finish::store`]: residuals have the extent of the output.
    #[inline(always)]
    unsafe fn residual<S: Simd>(&self, s: S, r: usize, i: usize, h: usize) -> S::V {
        // SAFETY: loads stay within what may be written.
        unsafe {
            let at = self.y[i].add(self.place.column(h)).offset_from(self.finish.out);
            let x = self.finish.residuals[r].offset(at);
            let lanes = self.lanes(h);
            if lanes == LANES || self.finish.epilogue.padded { s.load(x) } else { load_some(s, x, lanes) }
        }
    }
}

/// The first `lanes` elements at `x`, then zeros.
///
/// # Safety
/// `x` must be valid for reads of `lanes` elements.
#[inline(always)]
unsafe fn load_some<S: Simd>(s: S, x: *const f32, lanes: usize) -> S::V {
    let mut a = [0.0; LANES];
    // SAFETY: the caller's promise; at most eight lanes.
    unsafe { core::ptr::copy_nonoverlapping(x, a.as_mut_ptr(), lanes.min(LANES)) };
    s.from_array(a)
}
