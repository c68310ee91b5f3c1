//! Functions of one `f32`, in place where the planner wants it.

use crate::{
    post::{Bound, Post, act_ns},
    support::*,
};
use paring_core::{
    Op,
    op::{Act, Unary},
};
use paring_kernel::{KernelError, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Several, Simd, Task, act, by_act, math};
use std::sync::Arc;

/// `Unary` and `Activation` on `f32`.
pub(crate) struct Elementwise;

#[derive(Clone, Copy)]
enum Function {
    Act(Act),
    Unary(Unary),
}

impl Function {
    fn of(p: &Problem) -> Result<Function, Reject> {
        match p.op {
            Op::Activation(a) => Ok(Function::Act(a)),
            Op::Unary(u) => match u {
                Unary::Not | Unary::BitNot | Unary::IsNan | Unary::IsInf { .. } => {
                    Err("not a function from f32 to f32".into())
                }
                u => Ok(Function::Unary(u)),
            },
            _ => Err("not a function of one number".into()),
        }
    }

    fn keeps_zero(self) -> bool {
        use Unary::*;
        match self {
            Function::Act(a) => act::keeps_zero(a),
            Function::Unary(u) => !matches!(u, Exp | Log | Reciprocal | Cos | Acos | Cosh | Acosh),
        }
    }

    /// Nanoseconds of one element with AVX2.
    fn ns(self) -> f64 {
        use Unary::*;
        match self {
            Function::Act(a) => act_ns(a),
            Function::Unary(Abs | Neg | Floor | Ceil | Round | Sign) => 0.05,
            Function::Unary(Sqrt | Reciprocal) => 0.2,
            Function::Unary(Exp | Log | Erf | Sin | Cos) => 0.5,
            Function::Unary(_) => 8.0,
        }
    }
}

impl Family for Elementwise {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let shape = require_same_shape(p)?;
        Function::of(p)?;
        for &layout in layouts(shape.len()) {
            let mut o = uniform(p, layout, Post::fusable(p));
            o.in_place = Some(0);
            out.push(o);
        }
        Ok(())
    }

    fn work(p: &Problem, o: &Offer) -> f64 {
        Function::of(p).map_or(0.0, |f| f.ns() * output_len(p) as f64) + Post::work(p, o.fused)
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let function = Function::of(p).map_err(problem)?;
        let post = Post::new(p, o.fused, o.outputs[0], function.keeps_zero());
        let ns = (function.ns() * output_len(p) as f64 + Post::work(p, o.fused)) as usize;
        Ok(Box::new(Run { s, function, post, ns }))
    }
}

struct Run<S> {
    s: S,
    function: Function,
    post: Post,
    ns: usize,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = (cx.in_place() != Some(0)).then(|| cx.input::<f32>(0));
        let post = self.post.bind(cx);
        let parallel = cx.parallel();
        let y = cx.shared_output::<f32>(0);
        let len = y.len();
        let src = Src(x.map_or(y.as_ptr(), <[f32]>::as_ptr));
        // Slow functions are worth another worker sooner than the bytes they touch say.
        split(parallel, len.div_ceil(CHUNK), (len * 8).max(self.ns * 8), &|chunks, _| {
            let (start, end) = (chunks.start * CHUNK, (chunks.end * CHUNK).min(len));
            Pass { function: self.function, post: &post, src, dst: y.as_ptr(), start, end }.run(self.s);
        });
        Ok(())
    }
}

struct Pass<'a> {
    function: Function,
    post: &'a Bound<'a>,
    src: Src,
    dst: *mut f32,
    start: usize,
    end: usize,
}

impl Pass<'_> {
    fn run<S: Simd>(self, s: S) {
        let mut at = self.start;
        while at < self.end {
            let len = CHUNK.min(self.end - at);
            // SAFETY: `at + len` is within both operands, and this task alone touches these elements.
            unsafe {
                let (x, y) = (self.src.0.add(at), self.dst.add(at));
                match self.function {
                    Function::Act(act) => ActPass { act, x, y, len }.run(s),
                    Function::Unary(f) => s.vectorize(UnaryPass { f, x, y, len }),
                }
                if !self.post.is_empty() {
                    self.post.apply(s, self.dst, at, len);
                }
            }
            at += len;
        }
    }
}

/// `y = act(x)` for `len` elements, which whoever makes it promises are there.
pub(crate) struct ActPass {
    pub act: Act,
    pub x: *const f32,
    pub y: *mut f32,
    pub len: usize,
}

impl ActPass {
    /// All of it. Compiled once for all who apply activations.
    #[inline(never)]
    pub(crate) fn run<S: Simd>(self, s: S) {
        s.vectorize(self);
    }
}

impl Task for ActPass {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let ActPass { act, x, y, len } = self;
        if S::SMALL { map_act::<S, 1>(s, act, x, y, len) } else { map_act::<S, 4>(s, act, x, y, len) }
    }
}

/// As [`ActPass`].
struct UnaryPass {
    f: Unary,
    x: *const f32,
    y: *mut f32,
    len: usize,
}

impl Task for UnaryPass {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let UnaryPass { f, x, y, len } = self;
        if S::SMALL { map_unary::<S, 1>(s, f, x, y, len) } else { map_unary::<S, 4>(s, f, x, y, len) }
    }
}

/// Stores `$e` of the `$together` vectors `$v` for all of `$len` elements from `$x` to `$y`.
macro_rules! several_loop {
    ($s:ident, $together:ident, $x:ident, $y:ident, $len:ident, $v:ident => $e:expr) => {{
        let mut at = 0;
        while at < $len {
            let n = ($len - at).min($together * LANES);
            let mut rest = [[0.0; LANES]; $together];
            // SAFETY: the caller promises `len` elements at both; fewer than all vectors go through `rest`.
            unsafe {
                let whole = n == $together * LANES;
                if !whole {
                    $x.add(at).copy_to_nonoverlapping(rest.as_mut_ptr().cast(), n);
                }
                let from = if whole { $x.add(at) } else { rest.as_ptr().cast() };
                let mut $v = [$s.splat(0.0); $together];
                for i in 0..$together {
                    $v[i] = $s.load(from.add(i * LANES));
                }
                let value = $e;
                let to = if whole { $y.add(at) } else { rest.as_mut_ptr().cast() };
                for i in 0..$together {
                    $s.store(to.add(i * LANES), value[i]);
                }
                if !whole {
                    rest.as_ptr().cast::<f32>().copy_to_nonoverlapping($y.add(at), n);
                }
            }
            at += n;
        }
    }};
}

#[inline(always)]
fn map_act<S: Simd, const TOGETHER: usize>(s: S, act: Act, x: *const f32, y: *mut f32, len: usize) {
    let all = Several::<S, TOGETHER>(s);
    macro_rules! together {
        ($v:ident => $value:expr) => {
            several_loop!(s, TOGETHER, x, y, len, $v => $value)
        };
    }
    by_act!(all, act, v, together!());
}

#[inline(always)]
fn map_unary<S: Simd, const TOGETHER: usize>(s: S, f: Unary, x: *const f32, y: *mut f32, len: usize) {
    let all = Several::<S, TOGETHER>(s);
    match f {
        Unary::Abs => map_loop!(s, x, y, len, v => s.abs(v)),
        Unary::Neg => map_loop!(s, x, y, len, v => s.xor(v, s.splat(-0.0))),
        Unary::Exp => several_loop!(s, TOGETHER, x, y, len, v => math::exp(all, v)),
        Unary::Log => several_loop!(s, TOGETHER, x, y, len, v => math::ln(all, v)),
        Unary::Sqrt => map_loop!(s, x, y, len, v => s.sqrt(v)),
        Unary::Reciprocal => map_loop!(s, x, y, len, v => s.div(s.splat(1.0), v)),
        Unary::Floor => map_loop!(s, x, y, len, v => math::floor(s, v)),
        Unary::Ceil => map_loop!(s, x, y, len, v => math::ceil(s, v)),
        Unary::Round => map_loop!(s, x, y, len, v => s.round(v)),
        Unary::Sign => map_loop!(s, x, y, len, v => sign(s, v)),
        Unary::Erf => several_loop!(s, TOGETHER, x, y, len, v => math::erf(all, v)),
        Unary::Sin => {
            several_loop!(s, TOGETHER, x, y, len, v => or_by_lanes(s, v, math::sin(all, v), f32::sin))
        }
        Unary::Cos => {
            several_loop!(s, TOGETHER, x, y, len, v => or_by_lanes(s, v, math::cos(all, v), f32::cos))
        }
        Unary::Tan => lanes(s, f32::tan, x, y, len),
        Unary::Asin => lanes(s, f32::asin, x, y, len),
        Unary::Acos => lanes(s, f32::acos, x, y, len),
        Unary::Atan => lanes(s, f32::atan, x, y, len),
        Unary::Sinh => lanes(s, f32::sinh, x, y, len),
        Unary::Cosh => lanes(s, f32::cosh, x, y, len),
        Unary::Asinh => lanes(s, f32::asinh, x, y, len),
        Unary::Acosh => lanes(s, f32::acosh, x, y, len),
        Unary::Atanh => lanes(s, f32::atanh, x, y, len),
        // Refused in `Function::of`.
        Unary::Not | Unary::BitNot | Unary::IsNan | Unary::IsInf { .. } => unreachable!("not made for {f:?}"),
    }
}

/// `y`, or `f` of `x` lane by lane where any is too large for sines of vectors.
#[inline(always)]
fn or_by_lanes<S: Simd, const N: usize>(s: S, x: [S::V; N], mut y: [S::V; N], f: fn(f32) -> f32) -> [S::V; N] {
    let mut fine = s.splat(1.0);
    for i in 0..N {
        fine = s.and(fine, s.less(s.abs(x[i]), s.splat(math::MOST_ANGLE)));
    }
    if s.sum(fine) != LANES as f32 {
        for i in 0..N {
            y[i] = s.from_array(by_lanes(s.to_array(x[i]), s.to_array(y[i]), f));
        }
    }
    y
}

#[inline(never)]
fn by_lanes(x: [f32; LANES], mut y: [f32; LANES], f: fn(f32) -> f32) -> [f32; LANES] {
    for (y, x) in y.iter_mut().zip(x) {
        if !matches!(x.abs(), ..math::MOST_ANGLE) {
            *y = f(x);
        }
    }
    y
}

/// One element at a time.
#[inline(always)]
fn lanes<S: Simd>(_: S, f: fn(f32) -> f32, x: *const f32, y: *mut f32, len: usize) {
    for i in 0..len {
        // SAFETY: the caller promises `len` elements at both.
        unsafe { *y.add(i) = f(*x.add(i)) };
    }
}

/// -1, 0 or 1; NaN stays.
#[inline(always)]
fn sign<S: Simd>(s: S, v: S::V) -> S::V {
    let (zero, one) = (s.splat(0.0), s.splat(1.0));
    let negative = s.and(s.less(v, zero), s.splat(-1.0));
    // Zeros and NaN, which have no sign, stay.
    let neither = s.select(s.less(zero, s.abs(v)), zero, v);
    s.or(s.or(s.and(s.less(zero, v), one), negative), neither)
}

const _: () = assert!(CHUNK.is_multiple_of(LANES));
