//! What all families of kernels here share: stamping for instruction sets, splitting over workers, costs, edges.

use paring_core::{DType, Layout, numel};
use paring_kernel::{
    Cost, Isa, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Offer, Packed, Parallel, Prepared,
    Problem, Reject,
};
use paring_simd::{LANES, Simd};
use std::{marker::PhantomData, ops::Range, sync::Arc};

/// The blocked layout of all kernels here.
pub const BLOCKED: Layout = Layout::Blocked(LANES as u8);

/// One kernel, before it is stamped for an instruction set.
pub(crate) trait Family: 'static {
    /// See [`Kernel::offers`].
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject>;

    /// Nanoseconds of arithmetic with AVX2, as far as they exceed those of moving the operands.
    fn work(_p: &Problem, _o: &Offer) -> f64 {
        0.0
    }

    /// See [`Kernel::pack`].
    fn pack(_p: &Problem, _o: &Offer) -> Result<Packed, KernelError> {
        Ok(Packed::none())
    }

    /// See [`Kernel::prepare`].
    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError>;
}

/// A family on an instruction set.
pub(crate) struct Entry<F, S> {
    pub(crate) descriptor: &'static KernelDescriptor,
    pub(crate) kind: PhantomData<fn() -> (F, S)>,
}

impl<F: Family, S: Simd> Kernel for Entry<F, S> {
    fn descriptor(&self) -> &'static KernelDescriptor {
        self.descriptor
    }

    fn offers(&self, p: &Problem, _: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        offers(F::offers, self.descriptor.numerics, p, out)
    }

    fn cost(&self, p: &Problem, o: &Offer, m: &Machine) -> Cost {
        cost(F::work(p, o), S::ISA, p, o, m)
    }

    fn pack(&self, p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        F::pack(p, o)
    }

    fn prepare(&self, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let s = S::detect().ok_or_else(|| KernelError::Problem(format!("this machine lacks {}", S::ISA)))?;
        F::prepare(s, p, o, packed)
    }
}

/// [`Kernel::offers`] of a family whose own are `of`, of that class at most.
fn offers(
    of: fn(&Problem, &mut Vec<Offer>) -> Result<(), Reject>,
    numerics: NumericClass,
    p: &Problem,
    out: &mut Vec<Offer>,
) -> Result<(), Reject> {
    let overflows = |o: &paring_kernel::Operand| o.bytes(Layout::Plain).is_none();
    if p.inputs.iter().chain(&p.outputs).flatten().any(overflows) {
        return Err("an operand exceeds the address space".into());
    }
    if p.outputs.iter().chain(p.inputs.first()).flatten().any(|o| o.is_empty()) {
        return Err("an operand has no elements".into());
    }
    let first = out.len();
    of(p, out)?;
    for o in &mut out[first..] {
        o.numerics = o.numerics.min(numerics);
    }
    if out.len() == first { Err("no layout fits".into()) } else { Ok(()) }
}

/// [`Kernel::cost`] of a family whose arithmetic takes `work`.
fn cost(work: f64, isa: Isa, p: &Problem, o: &Offer, m: &Machine) -> Cost {
    let bytes = bytes_moved(p, o) as f64;
    let moving = bytes / m.bandwidth(bytes as usize);
    // Portable code has half the lanes, no fused multiply-add, and conversions that are not vector instructions.
    let (slower, spread) = if isa == Isa::Portable { (2.5, 1.1) } else { (1.0, 1.0) };
    Cost { ns: 300.0 + (moving * spread).max(work * slower), bytes }
}

/// Bytes of all operands that are touched while running.
pub fn bytes_moved(p: &Problem, o: &Offer) -> usize {
    let inputs = p.inputs.iter().zip(&o.inputs).filter_map(|(x, l)| x.as_ref()?.bytes((*l)?));
    let outputs = p.outputs.iter().zip(&o.outputs).filter_map(|(y, &l)| y.as_ref()?.bytes(l));
    inputs.chain(outputs).fold(o.packed_bytes, usize::saturating_add)
}

/// Elements of output 0.
pub(crate) fn output_len(p: &Problem) -> usize {
    p.output(0).map_or(0, |y| y.len())
}

/// An offer whose input 0, outputs, and operands of the fused steps have one layout; other inputs are plain.
pub(crate) fn uniform(p: &Problem, layout: Layout, fused: usize) -> Offer {
    let mut o = Offer::plain(p);
    o.inputs[0] = Some(layout);
    o.outputs.fill(layout);
    o.fused = fused;
    for step in &p.epilogue[..fused] {
        if let Some(i) = step.input() {
            o.inputs[i] = Some(layout);
        }
    }
    // Operands of later steps are read by those steps, not by this kernel.
    for step in &p.epilogue[fused..] {
        if let Some(i) = step.input().filter(|&i| i < o.inputs.len()) {
            o.inputs[i] = None;
        }
    }
    o
}

/// The layouts a tensor of this rank may have.
pub(crate) fn layouts(rank: usize) -> &'static [Layout] {
    if rank >= 2 { &[BLOCKED, Layout::Plain] } else { &[Layout::Plain] }
}

/// Refuses problems with any element type but `f32` in input 0 and output 0.
pub(crate) fn require_f32(p: &Problem) -> Result<(&[usize], &[usize]), Reject> {
    let (x, y) = operands(p)?;
    if x.dtype != DType::F32 || y.dtype != DType::F32 {
        return Err(format!("{} to {} is not f32 to f32", x.dtype, y.dtype).into());
    }
    Ok((&x.shape, &y.shape))
}

/// Input 0 and output 0.
pub(crate) fn operands(p: &Problem) -> Result<(&paring_kernel::Operand, &paring_kernel::Operand), Reject> {
    match (p.input(0), p.output(0)) {
        (Some(x), Some(y)) => Ok((x, y)),
        (None, _) => Err("input 0 is absent".into()),
        (_, None) => Err("output 0 is not wanted".into()),
    }
}

/// Refuses problems whose output has another shape than input 0.
pub(crate) fn require_same_shape(p: &Problem) -> Result<&[usize], Reject> {
    let (x, y) = require_f32(p)?;
    if x == y { Ok(x) } else { Err(format!("output {y:?} differs from input {x:?}").into()) }
}

/// Turns a rejection found while preparing into an error.
pub(crate) fn problem(r: Reject) -> KernelError {
    KernelError::Problem(r.to_string())
}

/// The dimensions in memory, outermost first.
pub(crate) fn physical(shape: &[usize], layout: Layout) -> Vec<usize> {
    let mut dims = shape.to_vec();
    if let Layout::Blocked(b) = layout {
        dims[1] = dims[1].div_ceil(b as usize);
        dims.push(b as usize);
    }
    dims
}

/// A tensor seen as samples, channels and pixels.
#[derive(Clone, Copy, Debug)]
pub struct Planes {
    /// Samples.
    pub samples: usize,
    /// Channels of a sample.
    pub channels: usize,
    /// Elements of one channel.
    pub plane: usize,
}

impl Planes {
    /// Of a shape of rank 2 or more.
    pub fn of(shape: &[usize]) -> Result<Planes, Reject> {
        if shape.len() < 2 {
            return Err("there is no channel axis".into());
        }
        let plane = numel(&shape[2..]).map_err(|e| Reject::from(e.to_string()))?;
        Ok(Planes { samples: shape[0], channels: shape[1], plane })
    }

    /// Blocks of channels.
    pub fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Used lanes of block `b`.
    pub fn lanes(&self, b: usize) -> usize {
        (self.channels - b * LANES).min(LANES)
    }
}

/// A tensor seen as `[outer, len, inner]` around one or several axes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    pub outer: usize,
    pub len: usize,
    pub inner: usize,
}

impl Around {
    /// Around the axes `first..end`.
    pub(crate) fn axes(shape: &[usize], first: usize, end: usize) -> Around {
        let product = |r: Range<usize>| shape[r].iter().fold(1usize, |n, &d| n.saturating_mul(d));
        Around { outer: product(0..first), len: product(first..end), inner: product(end..shape.len()) }
    }

    /// Around `axis`, counted from the back where negative.
    pub(crate) fn axis(shape: &[usize], axis: i64) -> Result<Around, Reject> {
        let a = paring_core::normalize_axis(axis, shape.len()).map_err(|e| Reject::from(e.to_string()))?;
        Ok(Around::axes(shape, a, a + 1))
    }
}

/// Work below this is not worth handing to another worker.
const TASK_BYTES: usize = 32 << 10;

/// Runs `f` over all of `0..units`, in tasks whose number depends on `units` and on the `bytes` they touch alone.
pub fn split(parallel: &dyn Parallel, units: usize, bytes: usize, f: &(dyn Fn(Range<usize>, usize) + Sync)) {
    let tasks = (bytes / TASK_BYTES).clamp(1, 64).min(units);
    match tasks {
        0 => {}
        1 => f(0..units, 0),
        _ => parallel.run(tasks, &|t, worker| f(units * t / tasks..units * (t + 1) / tasks, worker)),
    }
}

/// Elements that a task brings through its stages at once, so that they stay in the first-level cache.
pub(crate) const CHUNK: usize = 2048;

/// A source that several tasks read. It may be the memory that the same tasks write, element for element.
#[derive(Clone, Copy)]
pub(crate) struct Src(pub *const f32);

// SAFETY: every task reads only elements that no other task writes.
unsafe impl Send for Src {}
// SAFETY: as above.
unsafe impl Sync for Src {}

/// Fewer than eight elements; the other lanes are 0.
///
/// # Safety
/// `p` must be valid for reads of `n` elements.
#[inline(always)]
pub(crate) unsafe fn load_n<S: Simd>(s: S, p: *const f32, n: usize) -> S::V {
    let mut a = [0.0; LANES];
    for (i, a) in a.iter_mut().enumerate().take(n) {
        // SAFETY: the caller's promise.
        *a = unsafe { *p.add(i) };
    }
    s.from_array(a)
}

/// Stores the first `n` lanes.
///
/// # Safety
/// `p` must be valid for writes of `n` elements.
#[inline(always)]
pub(crate) unsafe fn store_n<S: Simd>(s: S, p: *mut f32, v: S::V, n: usize) {
    let a = s.to_array(v);
    for (i, &a) in a.iter().enumerate().take(n) {
        // SAFETY: the caller's promise.
        unsafe { *p.add(i) = a };
    }
}

/// All bits set in the first `n` lanes, none in the others.
#[inline(always)]
pub(crate) fn lane_mask<S: Simd>(s: S, n: usize) -> S::V {
    let mut a = [0.0; LANES];
    a[..n].fill(f32::from_bits(u32::MAX));
    s.from_array(a)
}

/// Stores `$e` of `$v` for every eight of `$len` elements from `$x` to `$y`, and for the rest.
macro_rules! map_loop {
    ($s:ident, $x:expr, $y:expr, $len:expr, $v:ident => $e:expr) => {{
        let (x, y, len): (*const f32, *mut f32, usize) = ($x, $y, $len);
        let mut i = 0;
        // One copy of the function for whole vectors and for the rest: it may be long.
        while i < len {
            let n = len - i;
            // SAFETY: the caller promises `len` elements at both.
            #[allow(unused_unsafe)]
            unsafe {
                let $v = if n >= 8 { $s.load(x.add(i)) } else { crate::support::load_n($s, x.add(i), n) };
                let r = $e;
                if n >= 8 {
                    $s.store(y.add(i), r);
                } else {
                    crate::support::store_n($s, y.add(i), r, n);
                }
            }
            i += 8;
        }
    }};
}
pub(crate) use map_loop;

/// Binds `$t` to an unsigned integer as wide as the elements of `$dtype`, for kernels that only move them.
macro_rules! by_width {
    ($dtype:expr, $t:ident => $e:expr) => {
        match $dtype.bits() {
            8 => {
                type $t = u8;
                $e
            }
            16 => {
                type $t = u16;
                $e
            }
            32 => {
                type $t = u32;
                $e
            }
            _ => {
                type $t = u64;
                $e
            }
        }
    };
}
pub(crate) use by_width;

/// Refuses operands of unlike types.
pub(crate) fn require_movable(p: &Problem, inputs: Range<usize>) -> Result<DType, Reject> {
    let (_, y) = match (p.input(0), p.outputs.iter().flatten().next()) {
        (Some(x), Some(y)) => (x, y),
        _ => return Err("input 0 is absent, or no output is wanted".into()),
    };
    let inputs = p.inputs[inputs.start..inputs.end.min(p.inputs.len())].iter().flatten();
    if inputs.chain(p.outputs.iter().flatten()).any(|o| o.dtype != y.dtype) {
        return Err("the element types differ".into());
    }
    Ok(y.dtype)
}
