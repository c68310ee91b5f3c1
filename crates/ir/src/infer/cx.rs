//! What the rules of all operators share: operands, unification, broadcasting, results.

use crate::{Dim, Fact, InferError, TensorType};
use alloc::{format, string::String, vec, vec::Vec};
use paring_core::{DType, normalize_axis};

pub(super) type Result<T> = core::result::Result<T, InferError>;
pub(super) type Facts = Result<Vec<Fact>>;

/// Shape tensors with more elements than this are not tracked.
pub(super) const MAX_ELEMENTS: usize = 64;

macro_rules! shape_error {
    ($($arg:tt)*) => { crate::InferError::Shape(alloc::format!($($arg)*)) };
}
macro_rules! dtype_error {
    ($($arg:tt)*) => { crate::InferError::DType(alloc::format!($($arg)*)) };
}
pub(super) use {dtype_error, shape_error};

/// One operator's operands while its outputs are inferred.
pub(super) struct Cx<'a> {
    /// Operands of the operator itself.
    pub inputs: &'a [Option<&'a Fact>],
    /// Number of outputs of the node.
    pub outputs: usize,
    /// Makes a symbol.
    pub fresh: &'a mut dyn FnMut() -> Dim,
}

impl<'a> Cx<'a> {
    /// A required operand.
    pub fn input(&self, index: usize, what: &'static str) -> Result<&'a Fact> {
        self.optional(index).ok_or(InferError::MissingInput { index, what })
    }

    /// An operand that may be absent.
    pub fn optional(&self, index: usize) -> Option<&'a Fact> {
        self.inputs.get(index).copied().flatten()
    }

    pub fn fresh(&mut self) -> Dim {
        (self.fresh)()
    }

    pub fn fresh_shape(&mut self, rank: usize) -> Vec<Dim> {
        (0..rank).map(|_| self.fresh()).collect()
    }

    /// The dimensions of `x`, fresh ones where only the rank follows from elsewhere.
    pub fn dims_of_rank(&mut self, x: &Fact, rank: usize, what: &str) -> Result<Vec<Dim>> {
        match &x.ty.shape {
            Some(s) if s.len() == rank => Ok(s.clone()),
            Some(s) => Err(shape_error!("{what} must have rank {rank}, found {} of rank {}", x.ty, s.len())),
            None => Ok(self.fresh_shape(rank)),
        }
    }
}

/// A fact without known elements.
pub(super) fn typed(dtype: DType, shape: Option<Vec<Dim>>) -> Fact {
    Fact::of(TensorType { dtype, shape, quant: None })
}

/// The only output, of a type alone.
pub(super) fn one(dtype: DType, shape: Option<Vec<Dim>>) -> Facts {
    Ok(vec![typed(dtype, shape)])
}

/// The only output, of the elements of `x` moved about: quantisation for the whole tensor stays.
pub(super) fn moved(x: &Fact, shape: Option<Vec<Dim>>) -> Fact {
    let mut f = typed(x.ty.dtype, shape);
    f.ty.quant = x.ty.quant.clone().filter(|q| q.axis.is_none());
    f
}

/// Attaches elements to a fact whose shape they fit; drops them otherwise.
pub(super) fn with_elements(mut fact: Fact, elements: Option<Vec<Dim>>) -> Fact {
    let fits = |e: &Vec<Dim>| match fact.ty.shape.as_deref() {
        Some([]) => e.len() == 1,
        Some([n]) => n.is(e.len() as i64) && e.len() <= MAX_ELEMENTS,
        _ => false,
    };
    let in_range = |d: &Dim| match (fact.ty.dtype, d.as_i64()) {
        (DType::I32, Some(n)) => i32::try_from(n).is_ok(),
        (DType::Bool, Some(n)) => n == 0 || n == 1,
        (DType::Bool, None) => false,
        _ => true,
    };
    let tracked = matches!(fact.ty.dtype, DType::I64 | DType::I32 | DType::Bool);
    fact.symbolic = elements.filter(|e| tracked && fits(e) && e.iter().all(in_range));
    fact
}

/// The elements of an integer or boolean tensor of rank 0 or 1, where tracked.
pub(super) fn elements(f: &Fact) -> Option<Vec<Dim>> {
    let tracked = matches!(f.ty.dtype, DType::I64 | DType::I32 | DType::Bool) && f.ty.rank()? <= 1;
    if tracked { f.elements() } else { None }
}

/// A list of integers given as an operand: its elements, or else its length, where known.
pub(super) struct List {
    /// The elements.
    pub elements: Option<Vec<Dim>>,
    /// The length.
    pub len: Option<usize>,
}

impl List {
    /// The elements, where each is a number.
    pub fn numbers(&self) -> Option<Vec<i64>> {
        self.elements.as_ref()?.iter().map(Dim::as_i64).collect()
    }
}

/// Reads a shape operand: integers of rank 0 or 1.
pub(super) fn list(f: &Fact, what: &str) -> Result<List> {
    if !matches!(f.ty.dtype, DType::I64 | DType::I32) {
        return Err(dtype_error!("{what} must be i64 or i32, found {}", f.ty));
    }
    let len = match f.ty.shape.as_deref() {
        None => None,
        Some([]) => Some(1),
        Some([n]) => n.known(),
        Some(_) => return Err(shape_error!("{what} must have rank 1, found {}", f.ty)),
    };
    let elements = match &f.constant {
        // A constant is read at any length, up to what a shape can have.
        Some(c) if c.len() > MAX_ELEMENTS => {
            return Err(shape_error!("{what} has {} elements, more than a rank of {MAX_ELEMENTS}", c.len()));
        }
        _ => f.elements(),
    };
    Ok(List { len: elements.as_ref().map(Vec::len).or(len.filter(|&n| n <= MAX_ELEMENTS)), elements })
}

/// A single integer given as an operand: a scalar or a vector of one.
pub(super) fn scalar(f: &Fact, what: &str) -> Result<Option<Dim>> {
    if !f.ty.dtype.is_int() {
        return Err(dtype_error!("{what} must be an integer, found {}", f.ty));
    }
    if let Some(shape) = f.ty.known_shape()
        && (shape.len() > 1 || shape.iter().any(|&d| d != 1))
    {
        return Err(shape_error!("{what} must be one number, found {}", f.ty));
    }
    Ok(f.elements().and_then(|e| e.into_iter().next()))
}

pub(super) fn same_dtype(a: &Fact, a_name: &str, b: &Fact, b_name: &str) -> Result<()> {
    if a.ty.dtype == b.ty.dtype {
        return Ok(());
    }
    Err(dtype_error!("{a_name} and {b_name} must have the same element type, found {} and {}", a.ty.dtype, b.ty.dtype))
}

pub(super) fn need_float(f: &Fact, what: &str) -> Result<()> {
    need(f, what, "a floating-point type", DType::is_float)
}

pub(super) fn need_number(f: &Fact, what: &str) -> Result<()> {
    need(f, what, "a number type", |d| d.is_float() || d.is_int() || d == DType::Sign)
}

pub(super) fn need_bool(f: &Fact, what: &str) -> Result<()> {
    need(f, what, "bool", |d| d == DType::Bool)
}

pub(super) fn need_index(f: &Fact, what: &str) -> Result<()> {
    need(f, what, "i64 or i32", |d| matches!(d, DType::I64 | DType::I32))
}

/// Fails unless the elements are bytes.
pub(super) fn need_bytes(f: &Fact, what: &str) -> Result<()> {
    need(f, what, "u8 or i8", |d| matches!(d, DType::U8 | DType::I8))
}

pub(super) fn need_int(f: &Fact, what: &str) -> Result<()> {
    need(f, what, "an integer type", DType::is_int)
}

fn need(f: &Fact, what: &str, expected: &str, test: impl Fn(DType) -> bool) -> Result<()> {
    if test(f.ty.dtype) { Ok(()) } else { Err(dtype_error!("{what} must have {expected}, found {}", f.ty.dtype)) }
}

/// The one dimension that `a` and `b` both are; a number wins over a symbol.
pub(super) fn unify(a: &Dim, b: &Dim, what: &str) -> Result<Dim> {
    match (a.as_i64(), b.as_i64()) {
        (Some(x), Some(y)) if x != y => Err(shape_error!("{what}: expected {x}, found {y}")),
        (Some(_), _) => Ok(a.clone()),
        (None, Some(_)) => Ok(b.clone()),
        (None, None) => Ok(a.clone()),
    }
}

/// The one shape that both are.
pub(super) fn unify_shapes(a: &[Dim], b: &[Dim], what: &str) -> Result<Vec<Dim>> {
    if a.len() != b.len() {
        return Err(shape_error!("{what}: expected shape {}, found {}", show(a), show(b)));
    }
    a.iter()
        .zip(b)
        .map(|(x, y)| unify(x, y, what))
        .collect::<Result<Vec<Dim>>>()
        .map_err(|_| shape_error!("{what}: expected shape {}, found {}", show(a), show(b)))
}

/// The shape that both broadcast to by the rules of NumPy.
pub(super) fn broadcast(a: &[Dim], b: &[Dim]) -> Result<Vec<Dim>> {
    let rank = a.len().max(b.len());
    let unit = Dim::Known(1);
    let at = |s: &[Dim], i: usize| (i + s.len()).checked_sub(rank).map_or(unit.clone(), |j| s[j].clone());
    (0..rank)
        .map(|i| {
            let (x, y) = (at(a, i), at(b, i));
            match (x.as_i64(), y.as_i64()) {
                (Some(1), _) => Ok(y),
                (_, Some(1)) => Ok(x),
                (Some(m), Some(n)) if m != n => {
                    Err(shape_error!("shapes {} and {} do not broadcast: axis {i} is {m} and {n}", show(a), show(b)))
                }
                (Some(_), _) => Ok(x),
                (None, Some(_)) => Ok(y),
                // Either they are equal or one is 1.
                (None, None) => Ok(x.max_of(&y)),
            }
        })
        .collect()
}

/// [`broadcast`], where a shape may be unknown.
pub(super) fn broadcast_facts(a: &Fact, b: &Fact) -> Result<Option<Vec<Dim>>> {
    match (&a.ty.shape, &b.ty.shape) {
        (Some(a), Some(b)) => broadcast(a, b).map(Some),
        _ => Ok(None),
    }
}

/// Fails unless `f` broadcasts to `target` without enlarging it.
pub(super) fn broadcasts_to(f: &Fact, target: &[Dim], what: &str) -> Result<()> {
    let Some(shape) = &f.ty.shape else { return Ok(()) };
    let wider = shape.len() > target.len()
        || shape
            .iter()
            .rev()
            .zip(target.iter().rev())
            .any(|(s, t)| matches!((s.as_i64(), t.as_i64()), (Some(s), Some(t)) if s != 1 && s != t));
    if wider { Err(shape_error!("{what} {} does not broadcast to {}", f.ty, show(target))) } else { Ok(()) }
}

/// Fails unless `f` may be a vector of `len` elements.
pub(super) fn need_vector(f: &Fact, len: &Dim, what: &str) -> Result<()> {
    match f.ty.shape.as_deref() {
        None => Ok(()),
        Some([n]) => unify(len, n, &format!("length of {what}")).map(drop),
        Some(_) => Err(shape_error!("{what} must be a vector of {len}, found {}", f.ty)),
    }
}

/// Fails unless `f` may be one number, of any rank, or a vector with one for each of the `channels`, where there are any.
pub(super) fn one_for_each(f: &Fact, channels: Option<&Dim>, what: &str) -> Result<()> {
    match (f.ty.shape.as_deref(), channels) {
        (None, _) => Ok(()),
        (Some(s), _) if s.iter().all(|n| n.is(1)) => Ok(()),
        (Some([n]), Some(channels)) => unify(channels, n, &format!("channels, and length of {what}")).map(drop),
        (Some([n]), None) if n.known().is_none() => Ok(()),
        (Some(_), Some(_)) => Err(shape_error!("{what} must be one number or one for each channel, found {}", f.ty)),
        (Some(_), None) => Err(shape_error!("{what} must be one number, found {}", f.ty)),
    }
}

/// The axis counted from the front.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize> {
    Ok(normalize_axis(axis, rank)?)
}

/// Axes counted from the front, ascending, each once.
pub(super) fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    let mut out = Vec::with_capacity(axes.len().min(rank));
    for &a in axes {
        let a = axis_of(a, rank)?;
        if out.contains(&a) {
            return Err(shape_error!("axis {a} is named twice in {axes:?}"));
        }
        out.push(a);
    }
    out.sort_unstable();
    Ok(out)
}

/// Fails where `dim` is known and not a multiple of `by`, or `by` is 0.
pub(super) fn need_multiple(dim: &Dim, by: usize, what: &str) -> Result<()> {
    if by == 0 {
        return Err(shape_error!("{what}: the divisor must be at least 1, found 0"));
    }
    match dim.known() {
        Some(d) if d % by != 0 => Err(shape_error!("{what} must be a multiple of {by}, found {d}")),
        _ => Ok(()),
    }
}

/// Fails where `dim` is known to be below 1.
pub(super) fn need_positive(dim: &Dim, what: &str) -> Result<()> {
    match dim.as_i64() {
        Some(n) if n < 1 => Err(shape_error!("{what} must be at least 1, found {n}")),
        _ => Ok(()),
    }
}

/// The product of dimensions.
pub(super) fn product(dims: &[Dim]) -> Dim {
    if dims.iter().any(|d| d.is(0)) {
        return Dim::Known(0);
    }
    dims.iter().fold(Dim::Known(1), |n, d| n.mul(d))
}

pub(super) fn show(dims: &[Dim]) -> String {
    format!("{dims:?}")
}
