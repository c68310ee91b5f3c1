//! Constant tensors: shape, type, and bytes that are owned, or borrowed from a mapped file.

use crate::{AlignedBuf, AllocError, DType, Element, Quant, ShapeError, Shared, SharedBytes, numel};
use alloc::{borrow::Cow, vec::Vec};
use core::ops::Range;
use thiserror::Error;

/// What can be wrong with the data of a tensor.
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum TensorError {
    /// The bytes are not as many as shape and type ask for.
    #[error("a {dtype} tensor of shape {shape:?} needs {expected} bytes, but {found} were given")]
    Length {
        /// The element type.
        dtype: DType,
        /// The shape.
        shape: Vec<usize>,
        /// Bytes that these ask for.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The shape itself is impossible.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// No memory.
    #[error(transparent)]
    Alloc(#[from] AllocError),
}

/// An immutable tensor in plain layout. Cloning is cheap: the bytes are shared.
#[derive(Clone)]
pub struct Tensor {
    dtype: DType,
    shape: Vec<usize>,
    quant: Option<Quant>,
    data: SharedBytes,
}

impl Tensor {
    /// A tensor over bytes that somebody else keeps alive, such as a mapped file.
    ///
    /// # Errors
    /// [`TensorError::Length`] where `range` does not hold just the bytes that `shape` needs or lies outside `data`.
    pub fn from_shared(
        dtype: DType,
        shape: &[usize],
        data: Shared,
        range: Range<usize>,
    ) -> Result<Tensor, TensorError> {
        match SharedBytes::new(data, range) {
            Some(data) => Tensor::of(dtype, shape, data),
            None => {
                Err(TensorError::Length { dtype, shape: shape.to_vec(), expected: byte_len(dtype, shape)?, found: 0 })
            }
        }
    }

    /// A tensor of these bytes (native byte order), which are not read here.
    ///
    /// # Errors
    /// [`TensorError::Length`] where they are not as many as `shape` needs.
    pub fn of(dtype: DType, shape: &[usize], data: SharedBytes) -> Result<Tensor, TensorError> {
        let (expected, found) = (byte_len(dtype, shape)?, data.len());
        if found != expected {
            return Err(TensorError::Length { dtype, shape: shape.to_vec(), expected, found });
        }
        Ok(Tensor { dtype, shape: shape.to_vec(), quant: None, data })
    }

    /// A tensor that owns a copy of `bytes` (native byte order).
    ///
    /// # Errors
    /// As for [`Tensor::from_shared`], and [`TensorError::Alloc`].
    pub fn from_bytes(dtype: DType, shape: &[usize], bytes: &[u8]) -> Result<Tensor, TensorError> {
        Tensor::from_buffer(dtype, shape, AlignedBuf::from_bytes(bytes)?)
    }

    /// A tensor that owns `buffer`.
    ///
    /// # Errors
    /// As for [`Tensor::from_shared`].
    pub fn from_buffer(dtype: DType, shape: &[usize], buffer: AlignedBuf) -> Result<Tensor, TensorError> {
        Tensor::of(dtype, shape, buffer.into())
    }

    /// A tensor of these elements.
    ///
    /// # Errors
    /// As for [`Tensor::from_shared`], and [`TensorError::Alloc`].
    pub fn new<T: Element>(shape: &[usize], elements: &[T]) -> Result<Tensor, TensorError> {
        Tensor::from_bytes(T::DTYPE, shape, bytemuck::cast_slice(elements))
    }

    /// A boolean tensor.
    ///
    /// # Errors
    /// As for [`Tensor::new`].
    pub fn from_bools(shape: &[usize], elements: &[bool]) -> Result<Tensor, TensorError> {
        let bytes: Vec<u8> = elements.iter().map(|&b| b as u8).collect();
        Tensor::from_bytes(DType::Bool, shape, &bytes)
    }

    /// A one-dimensional `i64` tensor, as shape operands are.
    pub fn from_i64s(values: &[i64]) -> Tensor {
        Tensor::new(&[values.len()], values).expect("a short vector always fits")
    }

    /// The same bytes under another shape of as many elements.
    ///
    /// # Errors
    /// [`TensorError::Length`] where the number of elements differs.
    pub fn reshaped(&self, shape: &[usize]) -> Result<Tensor, TensorError> {
        let mut t = Tensor::of(self.dtype, shape, self.data.clone())?;
        t.quant = self.quant.clone();
        Ok(t)
    }

    /// Attaches quantisation parameters.
    #[must_use]
    pub fn with_quant(mut self, quant: Option<Quant>) -> Tensor {
        self.quant = quant;
        self
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Quantisation parameters, if any.
    pub fn quant(&self) -> Option<&Quant> {
        self.quant.as_ref()
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        numel(&self.shape).expect("checked at construction")
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes, row-major, native byte order; not necessarily aligned to the element.
    pub fn bytes(&self) -> &[u8] {
        self.data.as_slice()
    }

    /// How many [`bytes`](Tensor::bytes) there are, without reading them.
    pub fn byte_len(&self) -> usize {
        self.data.len()
    }

    /// The bytes and who keeps them.
    pub fn shared(&self) -> &SharedBytes {
        &self.data
    }

    /// The elements: borrowed where the bytes happen to be aligned, else copied. `None` where `T` is not the
    /// element type.
    pub fn elements<T: Element>(&self) -> Option<Cow<'_, [T]>> {
        if !T::matches(self.dtype) {
            return None;
        }
        Some(match bytemuck::try_cast_slice(self.bytes()) {
            Ok(s) => Cow::Borrowed(s),
            Err(_) => Cow::Owned(bytemuck::pod_collect_to_vec(self.bytes())),
        })
    }

    /// Every element widened to `f64` (64-bit integers may round).
    pub fn to_f64s(&self) -> Option<Vec<f64>> {
        macro_rules! widen {
            ($t:ty) => {
                self.elements::<$t>()?.iter().map(|&x| f64::from(x)).collect()
            };
            ($t:ty as) => {
                self.elements::<$t>()?.iter().map(|&x| x as f64).collect()
            };
        }
        Some(match self.dtype {
            DType::F32 => widen!(f32),
            DType::F16 => widen!(half::f16),
            DType::BF16 => widen!(half::bf16),
            DType::F64 => widen!(f64),
            DType::I8 | DType::Sign => widen!(i8),
            DType::U8 | DType::Bool => widen!(u8),
            DType::I16 => widen!(i16),
            DType::U16 => widen!(u16),
            DType::I32 => widen!(i32),
            DType::U32 => widen!(u32),
            DType::I64 => widen!(i64 as),
            DType::U64 => widen!(u64 as),
        })
    }

    /// Every element of an integer, sign or boolean tensor as `i64` (`u64` above `i64::MAX` saturates); `None` for others.
    pub fn to_i64s(&self) -> Option<Vec<i64>> {
        macro_rules! widen {
            ($t:ty) => {
                self.elements::<$t>()?.iter().map(|&x| i64::from(x)).collect()
            };
        }
        Some(match self.dtype {
            DType::I8 | DType::Sign => widen!(i8),
            DType::U8 | DType::Bool => widen!(u8),
            DType::I16 => widen!(i16),
            DType::U16 => widen!(u16),
            DType::I32 => widen!(i32),
            DType::U32 => widen!(u32),
            DType::I64 => widen!(i64),
            DType::U64 => self.elements::<u64>()?.iter().map(|&x| i64::try_from(x).unwrap_or(i64::MAX)).collect(),
            _ => return None,
        })
    }

    /// Whether both share the very same bytes (not merely equal ones).
    pub fn same_storage(&self, other: &Tensor) -> bool {
        self.data.identity() == other.data.identity()
    }
}

/// Bytes that a tensor of this shape takes.
fn byte_len(dtype: DType, shape: &[usize]) -> Result<usize, ShapeError> {
    dtype.bytes(numel(shape)?).ok_or_else(|| ShapeError::Overflow(shape.to_vec()))
}

impl PartialEq for Tensor {
    /// Same type, shape, quantisation and bytes.
    fn eq(&self, other: &Tensor) -> bool {
        self.dtype == other.dtype
            && self.shape == other.shape
            && self.quant == other.quant
            && (self.same_storage(other) || self.bytes() == other.bytes())
    }
}

impl core::fmt::Debug for Tensor {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Tensor({}{:?})", self.dtype, self.shape)
    }
}
