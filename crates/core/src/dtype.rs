//! Element types.

use half::{bf16, f16};
use serde::{Deserialize, Serialize};

/// The type of one tensor element.
///
/// Quantisation is not a type: an `U8` tensor may or may not carry a [`crate::Quant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DType {
    /// IEEE 754 binary32.
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of a binary32.
    BF16,
    /// IEEE 754 binary64.
    F64,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 16-bit integer.
    I16,
    /// Unsigned 16-bit integer.
    U16,
    /// Signed 32-bit integer.
    I32,
    /// Unsigned 32-bit integer.
    U32,
    /// Signed 64-bit integer.
    I64,
    /// Unsigned 64-bit integer.
    U64,
    /// One byte, 0 or 1.
    Bool,
    /// -1, 0 or 1: an `i8` where elements lie one by one, two bits in [`Layout::Signs`](crate::Layout::Signs).
    Sign,
}

impl DType {
    /// Every type, in declaration order.
    pub const ALL: [DType; 14] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::F64,
        DType::I8,
        DType::U8,
        DType::I16,
        DType::U16,
        DType::I32,
        DType::U32,
        DType::I64,
        DType::U64,
        DType::Bool,
        DType::Sign,
    ];

    /// Bits of one element that lies by itself.
    pub const fn bits(self) -> usize {
        match self {
            DType::I8 | DType::U8 | DType::Bool | DType::Sign => 8,
            DType::F16 | DType::BF16 | DType::I16 | DType::U16 => 16,
            DType::F32 | DType::I32 | DType::U32 => 32,
            DType::F64 | DType::I64 | DType::U64 => 64,
        }
    }

    /// Bytes that `elements` elements occupy, or `None` on overflow.
    pub fn bytes(self, elements: usize) -> Option<usize> {
        elements.checked_mul(self.bits() / 8)
    }

    /// Whether this is a floating-point type.
    pub const fn is_float(self) -> bool {
        matches!(self, DType::F32 | DType::F16 | DType::BF16 | DType::F64)
    }

    /// Whether this is an integer type (`Bool` and `Sign` are not).
    pub const fn is_int(self) -> bool {
        !self.is_float() && !matches!(self, DType::Bool | DType::Sign)
    }

    /// Whether this is a signed number type.
    pub const fn is_signed(self) -> bool {
        self.is_float() || matches!(self, DType::I8 | DType::I16 | DType::I32 | DType::I64 | DType::Sign)
    }

    /// The integers that a byte of this type is; `None` for types that are not `u8` or `i8`.
    pub fn byte_range(self) -> Option<core::ops::RangeInclusive<i32>> {
        match self {
            DType::U8 => Some(0..=255),
            DType::I8 => Some(-128..=127),
            _ => None,
        }
    }

    /// The name used in the text form and in messages, such as `f32`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::F64 => "f64",
            DType::I8 => "i8",
            DType::U8 => "u8",
            DType::I16 => "i16",
            DType::U16 => "u16",
            DType::I32 => "i32",
            DType::U32 => "u32",
            DType::I64 => "i64",
            DType::U64 => "u64",
            DType::Bool => "bool",
            DType::Sign => "sign",
        }
    }

    /// The type of that [`name`](DType::name).
    pub fn from_name(name: &str) -> Option<DType> {
        DType::ALL.into_iter().find(|d| d.name() == name)
    }
}

impl core::fmt::Display for DType {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(self.name())
    }
}

/// A Rust type that can be the element of a tensor.
///
/// `Bool` tensors are bytes that are read as `u8`, those of `Sign` are read as `i8` (see [`Element::matches`]).
pub trait Element: bytemuck::Pod + Send + Sync + 'static {
    /// The tensor type this Rust type stands for.
    const DTYPE: DType;

    /// Whether elements of `dtype` can be viewed as this Rust type.
    fn matches(dtype: DType) -> bool {
        dtype == Self::DTYPE || matches!((Self::DTYPE, dtype), (DType::U8, DType::Bool) | (DType::I8, DType::Sign))
    }
}

macro_rules! element {
    ($($rust:ty => $dtype:ident),* $(,)?) => {$(
        impl Element for $rust { const DTYPE: DType = DType::$dtype; }
    )*};
}
element! {
    f32 => F32, f16 => F16, bf16 => BF16, f64 => F64, i8 => I8, u8 => U8, i16 => I16, u16 => U16,
    i32 => I32, u32 => U32, i64 => I64, u64 => U64,
}
