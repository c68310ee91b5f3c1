//! Tensors as C sees them.

use crate::status::{Failure, Result};
use facade::DType;
use std::ffi::{c_char, c_void};

/// The type of one element. 0 is none.
pub type paring_dtype = i32;

/// IEEE 754 binary32.
pub const PARING_F32: paring_dtype = 1;
/// IEEE 754 binary16.
pub const PARING_F16: paring_dtype = 2;
/// The upper half of a binary32.
pub const PARING_BF16: paring_dtype = 3;
/// IEEE 754 binary64.
pub const PARING_F64: paring_dtype = 4;
/// Signed 8-bit integer.
pub const PARING_I8: paring_dtype = 5;
/// Unsigned 8-bit integer.
pub const PARING_U8: paring_dtype = 6;
/// Signed 16-bit integer.
pub const PARING_I16: paring_dtype = 7;
/// Unsigned 16-bit integer.
pub const PARING_U16: paring_dtype = 8;
/// Signed 32-bit integer.
pub const PARING_I32: paring_dtype = 9;
/// Unsigned 32-bit integer.
pub const PARING_U32: paring_dtype = 10;
/// Signed 64-bit integer.
pub const PARING_I64: paring_dtype = 11;
/// Unsigned 64-bit integer.
pub const PARING_U64: paring_dtype = 12;
/// One byte, 0 or 1.
pub const PARING_BOOL: paring_dtype = 13;

/// Every type that callers see: signs never leave a network.
const DTYPES: [(paring_dtype, DType); 13] = [
    (PARING_F32, DType::F32),
    (PARING_F16, DType::F16),
    (PARING_BF16, DType::BF16),
    (PARING_F64, DType::F64),
    (PARING_I8, DType::I8),
    (PARING_U8, DType::U8),
    (PARING_I16, DType::I16),
    (PARING_U16, DType::U16),
    (PARING_I32, DType::I32),
    (PARING_U32, DType::U32),
    (PARING_I64, DType::I64),
    (PARING_U64, DType::U64),
    (PARING_BOOL, DType::Bool),
];

/// The most dimensions that a tensor may have.
pub const PARING_MAX_RANK: usize = 32;

/// A tensor: elements in row-major order, without gaps.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct paring_tensor {
    /// The first element.
    pub data: *mut c_void,
    /// Bytes of all elements.
    pub bytes: usize,
    /// The dimensions, `rank` of them.
    pub dims: *const i64,
    /// Number of dimensions.
    pub rank: i32,
    /// Type of the elements.
    pub dtype: paring_dtype,
}

/// What a model says of an input or output.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct paring_tensor_info {
    /// The name. It stays until the model is freed.
    pub name: *const c_char,
    /// The dimensions, -1 for one that the model leaves open. They stay until the model is freed.
    pub dims: *const i64,
    /// Number of dimensions; -1 where the model leaves even that open.
    pub rank: i32,
    /// Type of the elements.
    pub dtype: paring_dtype,
}

impl paring_tensor {
    /// No tensor: where an optional one is absent.
    pub(crate) const NONE: paring_tensor =
        paring_tensor { data: std::ptr::null_mut(), bytes: 0, dims: std::ptr::null(), rank: 0, dtype: 0 };
}

pub(crate) fn to_c(dtype: DType) -> paring_dtype {
    DTYPES.iter().find(|(_, d)| *d == dtype).map_or(0, |(c, _)| *c)
}

pub(crate) fn from_c(dtype: paring_dtype) -> Result<DType> {
    let found = DTYPES.iter().find(|(c, _)| *c == dtype).map(|(_, d)| *d);
    found.ok_or_else(|| Failure::invalid(format!("{dtype} is no element type: those are 1 to {}", DTYPES.len())))
}

/// Dimensions, without a heap.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    dims: [usize; PARING_MAX_RANK],
    rank: usize,
}

impl Shape {
    /// Reads dimensions of the caller's.
    ///
    /// # Safety
    /// `dims` is NULL, or valid for `rank` numbers where that is above 0.
    pub unsafe fn read(dims: *const i64, rank: i32, what: &str) -> Result<Shape> {
        let most = PARING_MAX_RANK;
        let rank = usize::try_from(rank).ok().filter(|r| *r <= most);
        let rank = rank.ok_or_else(|| Failure::invalid(format!("the rank of {what} must be 0 to {most}")))?;
        if rank > 0 && (dims.is_null() || !dims.is_aligned()) {
            return Err(Failure::invalid(format!("the dimensions of {what} are NULL or misaligned")));
        }
        let mut shape = Shape { dims: [0; PARING_MAX_RANK], rank };
        for (i, to) in shape.dims[..rank].iter_mut().enumerate() {
            // SAFETY: below `rank`, as the caller promises.
            let d = unsafe { dims.add(i).read() };
            *to = usize::try_from(d).map_err(|_| Failure::invalid(format!("dimension {i} of {what} is {d}")))?;
        }
        Ok(shape)
    }

    pub fn as_slice(&self) -> &[usize] {
        &self.dims[..self.rank]
    }

    /// Bytes of a tensor of this shape.
    fn bytes(&self, dtype: DType) -> Option<usize> {
        self.as_slice().iter().try_fold(1usize, |n, &d| n.checked_mul(d)).and_then(|n| dtype.bytes(n))
    }
}

/// A tensor that the caller gave, checked but for what only its maker knows: that the memory is there.
pub(crate) struct Given {
    pub dtype: DType,
    pub shape: Shape,
    pub data: *mut u8,
    pub bytes: usize,
}

impl Given {
    /// # Safety
    /// `tensor` is NULL or valid, and so are its dimensions.
    pub unsafe fn read(tensor: *const paring_tensor, what: &str) -> Result<Given> {
        if tensor.is_null() || !tensor.is_aligned() {
            return Err(Failure::invalid(format!("the tensor for {what} is NULL or misaligned")));
        }
        // SAFETY: not NULL, aligned, valid as the caller promises.
        let t = unsafe { tensor.read() };
        let dtype = from_c(t.dtype)?;
        // SAFETY: as the caller promises.
        let shape = unsafe { Shape::read(t.dims, t.rank, what)? };
        let needed = shape.bytes(dtype);
        if needed != Some(t.bytes) {
            let needed = needed.map_or("more bytes than there are".into(), |n| format!("{n} bytes"));
            let shape = shape.as_slice();
            let message = format!("the tensor for {what} has {} bytes, but {dtype} {shape:?} takes {needed}", t.bytes);
            return Err(Failure::invalid(message));
        }
        if t.data.is_null() && t.bytes > 0 {
            return Err(Failure::invalid(format!("the tensor for {what} has no data: it is NULL")));
        }
        Ok(Given { dtype, shape, data: t.data.cast(), bytes: t.bytes })
    }
}
