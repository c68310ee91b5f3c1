//! The vocabulary shared by every crate of Paring: element types, shapes, physical layouts, tensors and the
//! closed set of operators with their attributes. Nothing in here computes more than how elements are written.
#![no_std]
#![warn(missing_docs)]
extern crate alloc;

mod buffer;
mod bytes;
mod dtype;
mod layout;
pub mod op;
mod quant;
mod shape;
pub mod signs;
mod tensor;

pub use buffer::{ALIGNMENT, AlignedBuf, AllocError};
pub use bytes::{Shared, SharedBytes, gibibytes};
pub use dtype::{DType, Element};
pub use layout::Layout;
pub use op::Op;
pub use quant::Quant;
pub use shape::{ShapeError, broadcast, normalize_axis, numel, strides};
pub use tensor::{Tensor, TensorError};
