//! ONNX models into Paring graphs.
//!
//! [`import`] reads a model of operator set 6 or later. Weights stay where they are: a tensor shares the bytes that
//! were given, so a mapped file is not copied. Nothing in a model may panic, loop or exhaust memory; what is wrong
//! with it comes back as an [`ImportError`] that names the culprit, and operators that are missing come back all at
//! once.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod attrs;
mod cx;
mod error;
mod external;
pub mod fuzz;
mod import;
mod ops;
mod options;
#[doc(hidden)]
pub mod proto;
mod scan;
mod scope;
mod sort;
mod tensor;

pub use error::{ImportError, UnsupportedOp};
pub use external::{ExternalData, Folder};
pub use import::{Metadata, Model, import, import_model};
pub use ops::supported_ops;
pub use options::{ImportOptions, Limits};
pub use tensor::read_tensor;
#[doc(hidden)]
pub use tensor::tensor_of;
