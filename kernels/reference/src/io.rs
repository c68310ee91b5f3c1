//! Operands as the reference functions see them: typed views of bytes, fetched by index.

use alloc::{boxed::Box, format, string::String, vec::Vec};
use half::{bf16, f16};
use paring_core::{DType, Element, numel};
use paring_kernel::{KernelError, Operand, Problem};

/// Where the bytes of a run come from. Inputs outlive the borrow of the source, so that they can be read while an
/// output is written.
pub(crate) trait Io<'i> {
    /// The bytes of input `i`, aligned to its element; empty where it is absent.
    fn input(&self, i: usize) -> &'i [u8];
    /// The bytes of output `i`, aligned to its element.
    fn output(&mut self, i: usize) -> &mut [u8];
    /// The scratch, aligned to 64 bytes. The second call gets nothing.
    fn scratch(&mut self) -> &'i mut [u8];
}

/// Puts some inputs and output 0 elsewhere, and hands on what is left of the scratch.
pub(crate) struct Redirect<'a, 'i> {
    pub inner: &'a mut (dyn Io<'i> + 'a),
    /// Inputs by index, with the bytes that are read instead.
    pub inputs: &'a [(usize, &'i [u8])],
    pub result: Option<&'a mut [u8]>,
    pub scratch: Option<&'i mut [u8]>,
}

impl<'i> Io<'i> for Redirect<'_, 'i> {
    fn input(&self, i: usize) -> &'i [u8] {
        self.inputs.iter().find(|x| x.0 == i).map_or_else(|| self.inner.input(i), |x| x.1)
    }

    fn output(&mut self, i: usize) -> &mut [u8] {
        match &mut self.result {
            Some(r) if i == 0 => r,
            _ => self.inner.output(i),
        }
    }

    fn scratch(&mut self) -> &'i mut [u8] {
        self.scratch.take().unwrap_or_default()
    }
}

/// What the functions of this crate return.
pub(crate) type KernelResult<T> = Result<T, KernelError>;

type Run = Box<dyn for<'i> Fn(&mut dyn Io<'i>) -> Result<(), KernelError> + Send + Sync>;

/// An operator bound to one problem: everything checked, nothing left to allocate.
pub(crate) struct Built {
    pub run: Run,
    /// Bytes of scratch.
    pub scratch: usize,
}

/// Wraps what a run does.
pub(crate) fn built<F>(scratch: usize, run: F) -> Result<Built, KernelError>
where
    F: for<'i> Fn(&mut dyn Io<'i>) -> Result<(), KernelError> + Send + Sync + 'static,
{
    Ok(Built { run: Box::new(run), scratch })
}

/// An attribute or shape that does not fit.
pub(crate) fn problem(text: impl Into<String>) -> KernelError {
    KernelError::Problem(text.into())
}

/// An element that the operator does not allow.
pub(crate) fn data(text: impl Into<String>) -> KernelError {
    KernelError::Data(text.into())
}

/// Fails with `text` unless `holds`.
pub(crate) fn ensure(holds: bool, text: impl FnOnce() -> String) -> Result<(), KernelError> {
    if holds { Ok(()) } else { Err(problem(text())) }
}

/// Scratch bytes for `n` numbers of 8 bytes.
pub(crate) fn words(n: usize) -> Result<usize, KernelError> {
    n.checked_mul(8)
        .filter(|&b| b <= isize::MAX as usize)
        .ok_or_else(|| problem("the scratch exceeds the address space"))
}

/// One operand: which it is and what it looks like.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub index: usize,
    pub dtype: DType,
    pub shape: Vec<usize>,
    pub len: usize,
}

impl Slot {
    fn new(index: usize, o: &Operand) -> Result<Slot, KernelError> {
        let len = numel(&o.shape).map_err(|e| problem(format!("{e}")))?;
        o.dtype.bytes(len).ok_or_else(|| problem(format!("shape {:?} exceeds the address space", o.shape)))?;
        Ok(Slot { index, dtype: o.dtype, shape: o.shape.clone(), len })
    }

    /// Input `i`, which must be there.
    pub fn input(p: &Problem, i: usize) -> Result<Slot, KernelError> {
        let o = p.input(i).ok_or_else(|| problem(format!("{} lacks input {i}", p.op.name())))?;
        Slot::new(i, o)
    }

    /// Input `i`, if it is there.
    pub fn optional_input(p: &Problem, i: usize) -> Result<Option<Slot>, KernelError> {
        p.input(i).map(|o| Slot::new(i, o)).transpose()
    }

    /// Output `i`, which must be wanted.
    pub fn output(p: &Problem, i: usize) -> Result<Slot, KernelError> {
        let o = p.output(i).ok_or_else(|| problem(format!("{} lacks output {i}", p.op.name())))?;
        Slot::new(i, o)
    }

    /// Output `i`, if it is wanted.
    pub fn optional_output(p: &Problem, i: usize) -> Result<Option<Slot>, KernelError> {
        p.output(i).map(|o| Slot::new(i, o)).transpose()
    }

    pub fn rank(&self) -> usize {
        self.shape.len()
    }

    /// Bytes of one element.
    pub fn size(&self) -> usize {
        self.dtype.bits() / 8
    }

    pub fn axis(&self, axis: i64) -> Result<usize, KernelError> {
        paring_core::normalize_axis(axis, self.rank()).map_err(|e| problem(format!("{e}")))
    }

    /// Fails unless the shape is `shape`.
    pub fn expect_shape(&self, what: &str, shape: &[usize]) -> Result<(), KernelError> {
        ensure(self.shape == shape, || format!("{what} has shape {:?} where {shape:?} is needed", self.shape))
    }

    /// Fails unless the type is `dtype`.
    pub fn expect_dtype(&self, what: &str, dtype: DType) -> Result<(), KernelError> {
        ensure(self.dtype == dtype, || format!("{what} is {} where {dtype} is needed", self.dtype))
    }

    /// Fails unless the type is a floating-point one.
    pub fn expect_float(&self, what: &str) -> Result<(), KernelError> {
        ensure(self.dtype.is_float(), || format!("{what} is {} where a floating-point type is needed", self.dtype))
    }

    /// Fails unless there are `len` elements.
    pub fn expect_len(&self, what: &str, len: usize) -> Result<(), KernelError> {
        ensure(self.len == len, || format!("{what} has shape {:?} where {len} elements are needed", self.shape))
    }

    /// The elements of this input.
    pub fn view<'i>(&self, io: &dyn Io<'i>) -> View<'i> {
        View::new(self.dtype, io.input(self.index))
    }

    /// The bytes of this input.
    pub fn bytes<'i>(&self, io: &dyn Io<'i>) -> &'i [u8] {
        io.input(self.index)
    }

    /// The elements of this output.
    pub fn target<'a>(&self, io: &'a mut dyn Io<'_>) -> ViewMut<'a> {
        ViewMut::new(self.dtype, io.output(self.index))
    }

    /// The bytes of this output.
    pub fn target_bytes<'a>(&self, io: &'a mut dyn Io<'_>) -> &'a mut [u8] {
        io.output(self.index)
    }
}

/// The integers of a constant input that must be known before running.
pub(crate) fn constant_i64s(p: &Problem, i: usize) -> Result<Vec<i64>, KernelError> {
    p.const_i64s(i).ok_or_else(|| problem(format!("input {i} of {} must be a constant of integers", p.op.name())))
}

/// As [`constant_i64s`], for an optional input.
pub(crate) fn optional_i64s(p: &Problem, i: usize) -> Result<Option<Vec<i64>>, KernelError> {
    p.input(i).map(|_| constant_i64s(p, i)).transpose()
}

fn cast<T: Element>(bytes: &[u8]) -> &[T] {
    // An empty slice may have any address.
    if bytes.is_empty() { &[] } else { bytemuck::cast_slice(bytes) }
}

fn cast_mut<T: Element>(bytes: &mut [u8]) -> &mut [T] {
    if bytes.is_empty() { &mut [] } else { bytemuck::cast_slice_mut(bytes) }
}

/// Scratch as numbers.
pub(crate) fn cast_scratch<T: bytemuck::Pod>(bytes: &mut [u8]) -> &mut [T] {
    if bytes.is_empty() { &mut [] } else { bytemuck::cast_slice_mut(bytes) }
}

macro_rules! views {
    ($($variant:ident: $rust:ty),* $(,)?) => {
        /// The elements of an input.
        #[derive(Clone, Copy)]
        pub(crate) enum View<'a> { $($variant(&'a [$rust]),)* Bool(&'a [u8]) }

        /// The elements of an output.
        pub(crate) enum ViewMut<'a> { $($variant(&'a mut [$rust]),)* Bool(&'a mut [u8]) }

        impl<'a> View<'a> {
            pub fn new(dtype: DType, bytes: &'a [u8]) -> View<'a> {
                match dtype {
                    $(DType::$variant => View::$variant(cast(bytes)),)*
                    DType::Sign => View::I8(cast(bytes)),
                    DType::Bool => View::Bool(bytes),
                    _ => View::Bool(&[]),
                }
            }

            /// Element `i` as a number; 64-bit integers may round.
            #[inline]
            pub fn f(&self, i: usize) -> f64 {
                match self { $(View::$variant(s) => s[i].to_f(),)* View::Bool(s) => (s[i] != 0) as u8 as f64 }
            }

            /// Element `i` as an integer; fractions are cut off.
            #[inline]
            pub fn int(&self, i: usize) -> i128 {
                match self { $(View::$variant(s) => s[i].to_int(),)* View::Bool(s) => (s[i] != 0) as i128 }
            }
        }

        impl<'a> ViewMut<'a> {
            pub fn new(dtype: DType, bytes: &'a mut [u8]) -> ViewMut<'a> {
                match dtype {
                    $(DType::$variant => ViewMut::$variant(cast_mut(bytes)),)*
                    DType::Sign => ViewMut::I8(cast_mut(bytes)),
                    DType::Bool => ViewMut::Bool(bytes),
                    _ => ViewMut::Bool(&mut []),
                }
            }

            /// Element `i` as a number.
            #[inline]
            pub fn f(&self, i: usize) -> f64 {
                match self { $(ViewMut::$variant(s) => s[i].to_f(),)* ViewMut::Bool(s) => (s[i] != 0) as u8 as f64 }
            }

            /// Element `i` as an integer.
            #[inline]
            pub fn int(&self, i: usize) -> i128 {
                match self { $(ViewMut::$variant(s) => s[i].to_int(),)* ViewMut::Bool(s) => (s[i] != 0) as i128 }
            }

            /// Stores a number: rounded to a floating-point type; cut off and saturated to an integer type.
            #[inline]
            pub fn put_f(&mut self, i: usize, v: f64) {
                match self {
                    $(ViewMut::$variant(s) => s[i] = <$rust>::of_f(v),)*
                    ViewMut::Bool(s) => s[i] = (v != 0.0) as u8,
                }
            }

            /// Stores an integer: rounded to a floating-point type; its low bits in an integer type.
            #[inline]
            pub fn put_int(&mut self, i: usize, v: i128) {
                match self {
                    $(ViewMut::$variant(s) => s[i] = <$rust>::of_int(v),)*
                    ViewMut::Bool(s) => s[i] = (v != 0) as u8,
                }
            }
        }
    };
}
views! {
    F32: f32, F16: f16, BF16: bf16, F64: f64, I8: i8, U8: u8, I16: i16, U16: u16, I32: i32, U32: u32, I64: i64,
    U64: u64,
}

/// Conversions of one element type.
pub(crate) trait Num: Element {
    fn to_f(self) -> f64;
    fn to_int(self) -> i128;
    fn of_f(v: f64) -> Self;
    fn of_int(v: i128) -> Self;
}

macro_rules! num {
    ($($t:ty),*) => {$(
        impl Num for $t {
            #[inline(always)]
            fn to_f(self) -> f64 { self as f64 }
            #[inline(always)]
            fn to_int(self) -> i128 { self as i128 }
            #[inline(always)]
            fn of_f(v: f64) -> $t { v as $t }
            #[inline(always)]
            fn of_int(v: i128) -> $t { v as $t }
        }
    )*};
}
num!(f32, f64, i8, u8, i16, u16, i32, u32, i64, u64);

macro_rules! half_num {
    ($($t:ty),*) => {$(
        impl Num for $t {
            #[inline(always)]
            fn to_f(self) -> f64 { self.to_f64() }
            #[inline(always)]
            fn to_int(self) -> i128 { self.to_f64() as i128 }
            #[inline(always)]
            fn of_f(v: f64) -> $t { <$t>::from_f64(v) }
            #[inline(always)]
            fn of_int(v: i128) -> $t { <$t>::from_f64(v as f64) }
        }
    )*};
}
half_num!(f16, bf16);

/// Runs `$body` with `$s` bound to the typed slice of a floating-point [`View`]; anything else is an error.
macro_rules! with_floats {
    ($view:expr, $s:ident => $body:expr) => {
        match $view {
            $crate::io::View::F32($s) => $body,
            $crate::io::View::F16($s) => $body,
            $crate::io::View::BF16($s) => $body,
            $crate::io::View::F64($s) => $body,
            _ => return Err($crate::io::problem("a floating-point type is needed")),
        }
    };
}
pub(crate) use with_floats;
