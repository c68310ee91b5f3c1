//! Functions of two `f32`, broadcast.

use crate::{
    loops::{Loops, Unit, broadcast_strides},
    post::{Bound, Post},
    reorder::pack_blocked,
    support::*,
};
use paring_core::{
    DType, Layout, Op,
    op::{self, EpiOp},
};
use paring_kernel::{KernelError, Offer, Operand, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::{LANES, Simd, Task, math};
use std::{borrow::Cow, sync::Arc};

/// `Binary` from `f32` to `f32`.
pub(crate) struct Binary;

fn op_of(p: &Problem) -> Result<op::Binary, Reject> {
    use op::Binary::*;
    match p.op {
        Op::Binary(b @ (Add | Sub | Mul | Div | Pow | Mod | Fmod | Min | Max | PRelu)) => Ok(b),
        _ => Err("not a function from f32 to f32".into()),
    }
}

/// How an operand reaches the kernel.
#[derive(Clone, Copy, PartialEq)]
enum Access {
    /// In this layout, at run time.
    Run(Layout),
    /// Constant, packed to blocks.
    Packed,
}

/// How operand `i` reaches a kernel whose output has `layout`, and its strides over the physical output dimensions.
fn access(p: &Problem, i: usize, out: &[usize], layout: Layout) -> Result<(Access, Vec<usize>), Reject> {
    let x = p.input(i).ok_or("an operand is absent")?;
    if layout == Layout::Plain {
        return Ok((Access::Run(Layout::Plain), broadcast_strides(&x.shape, out)?));
    }
    let dims = physical(out, layout);
    let mut shape = x.shape.clone();
    if shape.len() > out.len() {
        return Err("an operand has more dimensions than the output".into());
    }
    while shape.len() < out.len() {
        shape.insert(0, 1);
    }
    if shape[1] == 1 {
        // One channel stays plain and is broadcast along the blocks and the lanes.
        shape.push(1);
        return Ok((Access::Run(Layout::Plain), broadcast_strides(&shape, &dims)?));
    }
    let strides = broadcast_strides(&physical(&shape, layout), &dims)?;
    match &x.constant {
        Some(_) => Ok((Access::Packed, strides)),
        None if x.shape.len() == out.len() => Ok((Access::Run(layout), strides)),
        None => Err("an operand's axis 1 is not the output's".into()),
    }
}

fn packed_len(x: &Operand, rank: usize) -> Option<usize> {
    let mut shape = x.shape.clone();
    while shape.len() < rank {
        shape.insert(0, 1);
    }
    BLOCKED.elements(&shape)
}

impl Family for Binary {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        op_of(p)?;
        let (_, y) = require_f32(p)?;
        if p.input(1).is_none_or(|b| b.dtype != DType::F32) {
            return Err("input 1 is not f32".into());
        }
        let fused = Post::fusable(p);
        let mut reason = None;
        for &layout in layouts(y.len()) {
            match offer(p, y, layout, fused) {
                Ok(o) => out.push(o),
                Err(r) => reason = Some(r),
            }
        }
        if out.is_empty() { Err(reason.unwrap_or("no layout fits".into())) } else { Ok(()) }
    }

    fn work(p: &Problem, o: &Offer) -> f64 {
        let slow = matches!(op_of(p), Ok(op::Binary::Pow | op::Binary::Mod | op::Binary::Fmod));
        output_len(p) as f64 * if slow { 10.0 } else { 0.06 } + Post::work(p, o.fused)
    }

    fn pack(p: &Problem, o: &Offer) -> Result<Packed, KernelError> {
        match (0..2).find(|&i| o.inputs[i].is_none()).and_then(|i| p.constant(i)) {
            Some(t) => {
                let mut shape = t.shape().to_vec();
                while shape.len() < p.output(0).map_or(0, |y| y.shape.len()) {
                    shape.insert(0, 1);
                }
                pack_blocked(&t.reshaped(&shape)?)
            }
            None => Ok(Packed::none()),
        }
    }

    fn prepare<S: Simd>(s: S, p: &Problem, o: &Offer, packed: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let y = &p.output(0).ok_or_else(|| KernelError::Problem("output 0 is not wanted".into()))?.shape;
        let layout = o.outputs[0];
        let (_, sa) = access(p, 0, y, layout).map_err(problem)?;
        let (_, sb) = access(p, 1, y, layout).map_err(problem)?;
        let strides: Vec<[usize; 2]> = sa.into_iter().zip(sb).map(|(a, b)| [a, b]).collect();
        let loops = Loops::new(&physical(y, layout), &strides, CHUNK).map_err(problem)?;
        let packed_input = (0..2).find(|&i| o.inputs[i].is_none());
        let post = Post::new(p, o.fused, layout, false);
        let mut op = op_of(p).map_err(problem)?;
        let square =
            op == op::Binary::Pow && p.const_f32s(1).is_some_and(|e| !e.is_empty() && e.iter().all(|&e| e == 2.0));
        if square && sa_equals_output(p) {
            op = op::Binary::Mul;
        }
        Ok(Box::new(Run { s, op, square, loops, packed, packed_input, post }))
    }
}

/// Whether operand 0 is not broadcast, so that a square may read it for both operands.
fn sa_equals_output(p: &Problem) -> bool {
    matches!((p.input(0), p.output(0)), (Some(a), Some(y)) if a.shape == y.shape)
}

fn offer(p: &Problem, y: &[usize], layout: Layout, fused: usize) -> Result<Offer, Reject> {
    let mut o = uniform(p, layout, fused);
    let dims = physical(y, layout);
    let mut strides = Vec::new();
    for i in 0..2 {
        let (how, st) = access(p, i, y, layout)?;
        match how {
            Access::Run(l) => o.inputs[i] = Some(l),
            Access::Packed => {
                if o.packed_bytes > 0 {
                    return Err("both operands are constant".into());
                }
                let x = p.input(i).ok_or("an operand is absent")?;
                o.inputs[i] = None;
                o.packed_bytes = packed_len(x, y.len()).and_then(|n| n.checked_mul(4)).ok_or("too large")?;
                o.packed_format = Cow::Owned(format!("8c_rank{}_of{i}", y.len()));
            }
        }
        if how == Access::Run(layout) && p.input(i).is_some_and(|x| x.shape == y) && o.in_place.is_none() {
            o.in_place = Some(i);
        }
        strides.push(st);
    }
    let both: Vec<[usize; 2]> = strides[0].iter().zip(&strides[1]).map(|(&a, &b)| [a, b]).collect();
    Loops::new(&dims, &both, CHUNK)?;
    // Axes that the epilogue counts in the layout of the output.
    debug_assert!(p.epilogue[..fused].iter().all(|e| matches!(e, EpiOp::Act(_) | EpiOp::Residual { .. })));
    Ok(o)
}

struct Run<S> {
    s: S,
    op: op::Binary,
    /// Operand 1 is the constant 2 of a power.
    square: bool,
    loops: Loops<2>,
    packed: Arc<Packed>,
    packed_input: Option<usize>,
    post: Post,
}

impl<S: Simd> Prepared for Run<S> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let of = |i: usize| match () {
            () if self.packed_input == Some(i) => Some(self.packed.elements::<f32>()),
            () if cx.in_place() == Some(i) => None,
            () => Some(cx.input::<f32>(i)),
        };
        let (a, b) = (of(0), of(1));
        let post = self.post.bind(cx);
        let parallel = cx.parallel();
        let y = cx.shared_output::<f32>(0);
        let a = Src(a.map_or(y.as_ptr(), <[f32]>::as_ptr));
        let mut b = Src(b.map_or(y.as_ptr(), <[f32]>::as_ptr));
        let mut square = false;
        if self.square && matches!(self.op, op::Binary::Mul) {
            (b, square) = (a, true);
        }
        split(parallel, self.loops.units(), y.len() * 12, &|units, _| {
            let dst = y.as_ptr();
            self.loops.each(units, |unit| {
                self.s.vectorize(Pass { op: self.op, square, loops: &self.loops, a, b, dst, post: &post, unit });
            });
        });
        Ok(())
    }
}

struct Pass<'a> {
    op: op::Binary,
    square: bool,
    loops: &'a Loops<2>,
    a: Src,
    b: Src,
    dst: *mut f32,
    post: &'a Bound<'a>,
    unit: Unit<2>,
}

impl Task for Pass<'_> {
    type Output = ();
    #[inline(always)]
    fn call<S: Simd>(self, s: S) {
        let Unit { start, from, rows, cols } = self.unit;
        let mut from = from;
        let (mut row, mut col) = (self.loops.row_strides(), self.loops.col_strides());
        if self.square {
            (from[1], row[1], col[1]) = (from[0], row[0], col[0]);
        }
        // SAFETY: the loops stay within the operands, whose shapes they were made from; the elements of the unit are
        // written by this task alone.
        unsafe {
            let t = Tile {
                a: self.a.0.add(from[0]),
                b: self.b.0.add(from[1]),
                y: self.dst.add(start),
                rows,
                cols,
                row,
                splat: [col[0] == 0, col[1] == 0],
            };
            match self.op {
                op::Binary::Add => t.run::<S, Add>(s),
                op::Binary::Sub => t.run::<S, Sub>(s),
                op::Binary::Mul => t.run::<S, Mul>(s),
                op::Binary::Div => t.run::<S, Div>(s),
                op::Binary::Min => t.run::<S, Min>(s),
                op::Binary::Max => t.run::<S, Max>(s),
                op::Binary::PRelu => t.run::<S, PRelu>(s),
                op::Binary::Pow => t.run::<S, Pow>(s),
                op::Binary::Mod => t.run::<S, Mod>(s),
                op::Binary::Fmod => t.run::<S, Fmod>(s),
                other => unreachable!("not made for {other:?}"),
            }
            if !self.post.is_empty() {
                self.post.apply(s, self.dst, start, rows * cols);
            }
        }
    }
}

/// One function of two vectors.
trait Function {
    fn f<S: Simd>(s: S, a: S::V, b: S::V) -> S::V;
}

macro_rules! functions {
    ($($name:ident: |$s:ident, $a:ident, $b:ident| $e:expr;)*) => {$(
        struct $name;
        impl Function for $name {
            #[inline(always)]
            fn f<S: Simd>($s: S, $a: S::V, $b: S::V) -> S::V {
                $e
            }
        }
    )*};
}
functions! {
    Add: |s, a, b| s.add(a, b);
    Sub: |s, a, b| s.sub(a, b);
    Mul: |s, a, b| s.mul(a, b);
    Div: |s, a, b| s.div(a, b);
    Min: |s, a, b| math::min_nan(s, a, b);
    Max: |s, a, b| math::max_nan(s, a, b);
    PRelu: |s, a, b| s.select(s.less(a, s.splat(0.0)), s.mul(a, b), a);
    Pow: |s, a, b| lanes(s, a, b, f32::powf);
    Mod: |s, a, b| lanes(s, a, b, floor_mod);
    Fmod: |s, a, b| lanes(s, a, b, |a, b| a % b);
}

#[inline(always)]
fn lanes<S: Simd>(s: S, a: S::V, b: S::V, f: fn(f32, f32) -> f32) -> S::V {
    let (a, b) = (s.to_array(a), s.to_array(b));
    s.from_array(std::array::from_fn(|i| f(a[i], b[i])))
}

/// Remainder with the sign of the divisor.
fn floor_mod(a: f32, b: f32) -> f32 {
    let r = a % b;
    if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
}

struct Tile {
    a: *const f32,
    b: *const f32,
    y: *mut f32,
    rows: usize,
    cols: usize,
    row: [usize; 2],
    splat: [bool; 2],
}

impl Tile {
    /// Rows shorter than a vector, such as the channels of an image, with one operand the same for all of them: what
    /// vectors see of it begins again after as many vectors as a row has elements.
    ///
    /// # Safety
    /// All elements that the strides reach must be there.
    #[inline(always)]
    unsafe fn short_rows<S: Simd, F: Function>(&self, s: S) {
        let (first, len) = (self.row[0] == 0, self.rows * self.cols);
        let (same, other) = if first { (self.a, self.b) } else { (self.b, self.a) };
        let mut period = [[0.0; LANES]; LANES];
        for i in 0..self.cols * LANES {
            // SAFETY: `same` has a row.
            period[i / LANES][i % LANES] = unsafe { *same.add(i % self.cols) };
        }
        let mut at = 0;
        while at < len {
            for same in &period[..self.cols] {
                let n = (len - at).min(LANES);
                // SAFETY: `n` elements at `at`; a period has whole vectors.
                unsafe {
                    let same = s.load(same.as_ptr());
                    let other = if n == LANES { s.load(other.add(at)) } else { load_n(s, other.add(at), n) };
                    let v = if first { F::f(s, same, other) } else { F::f(s, other, same) };
                    if n == LANES { s.store(self.y.add(at), v) } else { store_n(s, self.y.add(at), v, n) }
                }
                at += n;
                if at == len {
                    return;
                }
            }
        }
    }

    /// # Safety
    /// All elements that the strides reach must be there.
    #[inline(always)]
    unsafe fn run<S: Simd, F: Function>(&self, s: S) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.cols == LANES && self.splat == [false, false] {
                // One vector against every pixel of a block of channels.
                if self.row[0] == 0 {
                    let a = s.load(self.a);
                    for r in 0..self.rows {
                        s.store(self.y.add(r * LANES), F::f(s, a, s.load(self.b.add(r * self.row[1]))));
                    }
                    return;
                }
                if self.row[1] == 0 {
                    let b = s.load(self.b);
                    for r in 0..self.rows {
                        s.store(self.y.add(r * LANES), F::f(s, s.load(self.a.add(r * self.row[0])), b));
                    }
                    return;
                }
            }
            let contiguous = |i: usize| self.row[i] == self.cols && !self.splat[i];
            let repeated = |i: usize| self.row[i] == 0 && !self.splat[i];
            if self.cols < LANES && (repeated(0) && contiguous(1) || contiguous(0) && repeated(1)) {
                return self.short_rows::<S, F>(s);
            }
            for r in 0..self.rows {
                let (a, b) = (self.a.add(r * self.row[0]), self.b.add(r * self.row[1]));
                let y = self.y.add(r * self.cols);
                let (one_a, one_b) = (s.broadcast(a), s.broadcast(b));
                let mut i = 0;
                while i < self.cols {
                    let n = self.cols - i;
                    let get = |p: *const f32, one: S::V, splat: bool| match () {
                        () if splat => one,
                        () if n >= LANES => s.load(p.add(i)),
                        () => load_n(s, p.add(i), n),
                    };
                    let v = F::f(s, get(a, one_a, self.splat[0]), get(b, one_b, self.splat[1]));
                    if n >= LANES {
                        s.store(y.add(i), v)
                    } else {
                        store_n(s, y.add(i), v, n)
                    }
                    i += LANES;
                }
            }
        }
    }
}
