//! Arithmetic on integers and booleans, comparisons, choices: what masks and shapes are made with. Plain loops, left
//! to the compiler's vectoriser.

use crate::{
    loops::{Loops, Unit, broadcast_strides},
    support::*,
};
use paring_core::{
    DType, Element, Layout, Op,
    op::{Binary, Unary},
};
use paring_kernel::{KernelError, NumericClass, Offer, Packed, Prepared, Problem, Reject, RunCx};
use paring_simd::Simd;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// `Binary` and `Where` on anything; comparisons of `f32`; logical and integer `Unary`.
pub(crate) struct Scalar;

/// Loops over the operands of a problem, all plain.
fn loops<const K: usize>(p: &Problem) -> Result<Loops<K>, Reject> {
    let y = &p.output(0).ok_or("output 0 is not wanted")?.shape;
    let mut strides = vec![[0; K]; y.len()];
    for k in 0..K {
        let x = p.input(k).ok_or("an operand is absent")?;
        for (all, one) in strides.iter_mut().zip(broadcast_strides(&x.shape, y)?) {
            all[k] = one;
        }
    }
    Loops::new(y, &strides, CHUNK)
}

fn prepared(p: &Problem) -> Result<Box<dyn Prepared>, Reject> {
    let (x, y) = operands(p)?;
    match p.op {
        Op::Where => {
            let (a, b) = (p.input(1).ok_or("an operand is absent")?, p.input(2).ok_or("an operand is absent")?);
            if x.dtype != DType::Bool || a.dtype != y.dtype || b.dtype != y.dtype {
                return Err("the condition is not boolean, or the choices differ in type".into());
            }
            let loops = loops(p)?;
            Ok(by_width!(y.dtype, T => Box::new(Choose::<T> { loops, kind: Default::default() })))
        }
        Op::Binary(op) => {
            let b = p.input(1).ok_or("an operand is absent")?;
            if x.dtype != b.dtype || y.dtype != if op.is_comparison() { DType::Bool } else { x.dtype } {
                return Err("the operands differ in type".into());
            }
            if paring_core::broadcast(&x.shape, &b.shape).ok().as_ref() != Some(&y.shape) {
                return Err(format!("{:?} and {:?} do not make {:?}", x.shape, b.shape, y.shape).into());
            }
            let loops = loops(p)?;
            match x.dtype {
                DType::F32 => compare::<f32>(op, loops),
                DType::I64 => integers::<i64>(op, loops),
                DType::I32 => integers::<i32>(op, loops),
                DType::Bool => logic(op, loops),
                other => Err(format!("no loops for {other}").into()),
            }
        }
        Op::Unary(op) => {
            if x.shape != y.shape {
                return Err("the shapes differ".into());
            }
            match (op, x.dtype, y.dtype) {
                (Unary::Not, DType::Bool, DType::Bool) => map::<u8, u8>(|v| (v == 0) as u8),
                (Unary::IsNan, DType::F32, DType::Bool) => map::<f32, u8>(|v| v.is_nan() as u8),
                (Unary::IsInf { positive, negative }, DType::F32, DType::Bool) => match (positive, negative) {
                    (true, true) => map::<f32, u8>(|v| v.is_infinite() as u8),
                    (true, false) => map::<f32, u8>(|v| (v == f32::INFINITY) as u8),
                    (false, true) => map::<f32, u8>(|v| (v == f32::NEG_INFINITY) as u8),
                    (false, false) => map::<f32, u8>(|_| 0),
                },
                (Unary::Neg, DType::I64, DType::I64) => map::<i64, i64>(i64::wrapping_neg),
                (Unary::Neg, DType::I32, DType::I32) => map::<i32, i32>(i32::wrapping_neg),
                (Unary::Abs, DType::I64, DType::I64) => map::<i64, i64>(i64::wrapping_abs),
                (Unary::Abs, DType::I32, DType::I32) => map::<i32, i32>(i32::wrapping_abs),
                (Unary::Sign, DType::I64, DType::I64) => map::<i64, i64>(i64::signum),
                (Unary::Sign, DType::I32, DType::I32) => map::<i32, i32>(i32::signum),
                (op, from, to) => Err(format!("no loop for {op:?} from {from} to {to}").into()),
            }
        }
        _ => Err("not elementwise".into()),
    }
}

impl Family for Scalar {
    fn offers(p: &Problem, out: &mut Vec<Offer>) -> Result<(), Reject> {
        prepared(p)?;
        out.push(Offer { numerics: NumericClass::Exact, ..uniform(p, Layout::Plain, 0) });
        Ok(())
    }

    fn work(p: &Problem, _: &Offer) -> f64 {
        let division = matches!(p.op, Op::Binary(Binary::Div | Binary::Mod | Binary::Fmod | Binary::Pow));
        output_len(p) as f64 * if division { 5.0 } else { 0.4 }
    }

    fn prepare<S: Simd>(_: S, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        prepared(p).map_err(problem)
    }
}

struct Map<X, Y>(fn(X) -> Y);

fn map<X: Element, Y: Element>(f: fn(X) -> Y) -> Result<Box<dyn Prepared>, Reject> {
    Ok(Box::new(Map(f)))
}

impl<X: Element, Y: Element> Prepared for Map<X, Y> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x = cx.input::<X>(0);
        for (y, &x) in cx.output::<Y>(0).iter_mut().zip(x) {
            *y = (self.0)(x);
        }
        Ok(())
    }
}

/// A function of two elements; `None` where the data forbid it.
trait Function<X, Y>: Send + Sync + 'static {
    fn f(a: X, b: X) -> Option<Y>;
}

/// Rows of two operands, one of which may be a single element; `false` where the data forbid it.
type Rows<X, Y> = fn(&[X], &[X], &mut [Y], [usize; 2]) -> bool;

fn rows<X: Element, Y: Element, F: Function<X, Y>>(a: &[X], b: &[X], y: &mut [Y], steps: [usize; 2]) -> bool {
    let mut fine = true;
    let mut put = |y: &mut Y, v: Option<Y>| match v {
        Some(v) => *y = v,
        None => fine = false,
    };
    match steps {
        [0, _] => y.iter_mut().zip(b).for_each(|(y, &b)| put(y, F::f(a[0], b))),
        [_, 0] => y.iter_mut().zip(a).for_each(|(y, &a)| put(y, F::f(a, b[0]))),
        _ => y.iter_mut().zip(a).zip(b).for_each(|((y, &a), &b)| put(y, F::f(a, b))),
    }
    fine
}

struct Pair<X, Y> {
    loops: Loops<2>,
    rows: Rows<X, Y>,
}

impl<X: Element, Y: Element> Prepared for Pair<X, Y> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (a, b) = (cx.input::<X>(0), cx.input::<X>(1));
        let parallel = cx.parallel();
        let y = cx.shared_output::<Y>(0);
        let refused = AtomicBool::new(false);
        let (row, col) = (self.loops.row_strides(), self.loops.col_strides());
        split(parallel, self.loops.units(), y.len() * size_of::<X>() * 3, &|units, _| {
            self.loops.each(units, |Unit { start, from, rows, cols }| {
                for r in 0..rows {
                    let (a, b) = (&a[from[0] + r * row[0]..], &b[from[1] + r * row[1]..]);
                    // SAFETY: rows of units are disjoint parts of the output.
                    let y = unsafe { y.slice(start + r * cols, cols) };
                    if !(self.rows)(a, b, y, col) {
                        refused.store(true, Ordering::Relaxed);
                    }
                }
            });
        });
        if refused.into_inner() {
            return Err(KernelError::Data("an integer is divided by zero, or shifted by a negative number".into()));
        }
        Ok(())
    }
}

fn pair<X: Element, Y: Element, F: Function<X, Y>>(loops: Loops<2>) -> Result<Box<dyn Prepared>, Reject> {
    Ok(Box::new(Pair::<X, Y> { loops, rows: rows::<X, Y, F> }))
}

macro_rules! comparisons {
    ($($name:ident: $op:tt;)*) => {$(
        struct $name;
        impl<X: PartialOrd> Function<X, u8> for $name {
            #[inline(always)]
            fn f(a: X, b: X) -> Option<u8> {
                Some((a $op b) as u8)
            }
        }
    )*};
}
comparisons! {
    Equal: ==;
    Greater: >;
    GreaterOrEqual: >=;
    Less: <;
    LessOrEqual: <=;
}

fn compare<X: Element + PartialOrd>(op: Binary, loops: Loops<2>) -> Result<Box<dyn Prepared>, Reject> {
    match op {
        Binary::Equal => pair::<X, u8, Equal>(loops),
        Binary::Greater => pair::<X, u8, Greater>(loops),
        Binary::GreaterOrEqual => pair::<X, u8, GreaterOrEqual>(loops),
        Binary::Less => pair::<X, u8, Less>(loops),
        Binary::LessOrEqual => pair::<X, u8, LessOrEqual>(loops),
        _ => Err(format!("no loop for {op:?} on {}", X::DTYPE).into()),
    }
}

/// What integers of every width can do, with wrapping as the hardware does.
trait Integer: Element + Ord {
    fn add(a: Self, b: Self) -> Option<Self>;
    fn sub(a: Self, b: Self) -> Option<Self>;
    fn mul(a: Self, b: Self) -> Option<Self>;
    fn div(a: Self, b: Self) -> Option<Self>;
    fn fmod(a: Self, b: Self) -> Option<Self>;
    fn floor_mod(a: Self, b: Self) -> Option<Self>;
    fn pow(a: Self, b: Self) -> Option<Self>;
    fn and(a: Self, b: Self) -> Option<Self>;
    fn or(a: Self, b: Self) -> Option<Self>;
    fn xor(a: Self, b: Self) -> Option<Self>;
    fn left(a: Self, b: Self) -> Option<Self>;
    fn right(a: Self, b: Self) -> Option<Self>;
    fn least(a: Self, b: Self) -> Option<Self> {
        Some(Ord::min(a, b))
    }
    fn most(a: Self, b: Self) -> Option<Self> {
        Some(Ord::max(a, b))
    }
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Integer for $t {
            #[inline(always)]
            fn add(a: $t, b: $t) -> Option<$t> {
                Some(a.wrapping_add(b))
            }
            #[inline(always)]
            fn sub(a: $t, b: $t) -> Option<$t> {
                Some(a.wrapping_sub(b))
            }
            #[inline(always)]
            fn mul(a: $t, b: $t) -> Option<$t> {
                Some(a.wrapping_mul(b))
            }
            fn div(a: $t, b: $t) -> Option<$t> {
                (b != 0).then(|| a.wrapping_div(b))
            }
            fn fmod(a: $t, b: $t) -> Option<$t> {
                (b != 0).then(|| a.wrapping_rem(b))
            }
            fn floor_mod(a: $t, b: $t) -> Option<$t> {
                let r = Self::fmod(a, b)?;
                Some(if r != 0 && (r < 0) != (b < 0) { r.wrapping_add(b) } else { r })
            }
            fn pow(a: $t, b: $t) -> Option<$t> {
                if b < 0 {
                    // The fraction is cut off: only 1 and -1 leave anything.
                    let sign = if b & 1 == 0 { a.wrapping_mul(a) } else { a };
                    return Some(if a == 1 || a.wrapping_add(1) == 0 { sign } else { 0 });
                }
                let (mut base, mut left, mut result) = (a, b, 1 as $t);
                while left > 0 {
                    if left & 1 == 1 {
                        result = result.wrapping_mul(base);
                    }
                    base = base.wrapping_mul(base);
                    left >>= 1;
                }
                Some(result)
            }
            #[inline(always)]
            fn and(a: $t, b: $t) -> Option<$t> {
                Some(a & b)
            }
            #[inline(always)]
            fn or(a: $t, b: $t) -> Option<$t> {
                Some(a | b)
            }
            #[inline(always)]
            fn xor(a: $t, b: $t) -> Option<$t> {
                Some(a ^ b)
            }
            fn left(a: $t, b: $t) -> Option<$t> {
                let b = u32::try_from(b).or_else(|_| if b < 0 { Err(()) } else { Ok(u32::MAX) }).ok()?;
                Some(a.checked_shl(b).unwrap_or(0))
            }
            fn right(a: $t, b: $t) -> Option<$t> {
                let b = u32::try_from(b).or_else(|_| if b < 0 { Err(()) } else { Ok(u32::MAX) }).ok()?;
                Some(a.checked_shr(b).unwrap_or(if a < 0 { (0 as $t).wrapping_sub(1) } else { 0 }))
            }
        }
    )*};
}
integer!(i64, i32);

macro_rules! arithmetic {
    ($($name:ident: $f:ident;)*) => {
        $(
            struct $name;
            impl<X: Integer> Function<X, X> for $name {
                #[inline(always)]
                fn f(a: X, b: X) -> Option<X> {
                    X::$f(a, b)
                }
            }
        )*
        fn integers<X: Integer>(op: Binary, loops: Loops<2>) -> Result<Box<dyn Prepared>, Reject> {
            match op {
                $(Binary::$name => pair::<X, X, $name>(loops),)*
                _ => compare::<X>(op, loops),
            }
        }
    };
}
arithmetic! {
    Add: add;
    Sub: sub;
    Mul: mul;
    Div: div;
    Mod: floor_mod;
    Fmod: fmod;
    Pow: pow;
    Min: least;
    Max: most;
    BitAnd: and;
    BitOr: or;
    BitXor: xor;
    ShiftLeft: left;
    ShiftRight: right;
}

/// Booleans are bytes; anything but 0 is true.
fn logic(op: Binary, loops: Loops<2>) -> Result<Box<dyn Prepared>, Reject> {
    struct And;
    struct Or;
    struct Xor;
    struct Same;
    macro_rules! logical {
        ($($name:ident: |$a:ident, $b:ident| $e:expr;)*) => {$(
            impl Function<u8, u8> for $name {
                #[inline(always)]
                fn f(a: u8, b: u8) -> Option<u8> {
                    let ($a, $b) = (a != 0, b != 0);
                    Some(($e) as u8)
                }
            }
        )*};
    }
    logical! {
        And: |a, b| a && b;
        Or: |a, b| a || b;
        Xor: |a, b| a != b;
        Same: |a, b| a == b;
    }
    match op {
        Binary::And => pair::<u8, u8, And>(loops),
        Binary::Or => pair::<u8, u8, Or>(loops),
        Binary::Xor => pair::<u8, u8, Xor>(loops),
        Binary::Equal => pair::<u8, u8, Same>(loops),
        _ => Err(format!("no loop for {op:?} on bool").into()),
    }
}

struct Choose<T> {
    loops: Loops<3>,
    kind: std::marker::PhantomData<fn() -> T>,
}

impl<T: bytemuck::Pod + Send + Sync> Prepared for Choose<T> {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let (c, a, b) = (cx.input::<u8>(0), cx.input::<T>(1), cx.input::<T>(2));
        let parallel = cx.parallel();
        let y = cx.shared_output::<T>(0);
        let (row, col) = (self.loops.row_strides(), self.loops.col_strides());
        split(parallel, self.loops.units(), y.len() * size_of::<T>() * 3, &|units, _| {
            self.loops.each(units, |Unit { start, from, rows, cols }| {
                for r in 0..rows {
                    let at: [usize; 3] = std::array::from_fn(|k| from[k] + r * row[k]);
                    // SAFETY: rows of units are disjoint parts of the output.
                    let y = unsafe { y.slice(start + r * cols, cols) };
                    if col == [1, 1, 1] {
                        let (c, a, b) = (&c[at[0]..][..cols], &a[at[1]..][..cols], &b[at[2]..][..cols]);
                        for (i, y) in y.iter_mut().enumerate() {
                            *y = if c[i] != 0 { a[i] } else { b[i] };
                        }
                    } else {
                        for (i, y) in y.iter_mut().enumerate() {
                            *y = if c[at[0] + i * col[0]] != 0 { a[at[1] + i * col[1]] } else { b[at[2] + i * col[2]] };
                        }
                    }
                }
            });
        });
        Ok(())
    }
}
