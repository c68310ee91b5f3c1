//! Makes trained networks smaller and faster: quantisation after training, and weights of few bits.
//!
//! [`quantize`] takes an ONNX model of `f32` and data to calibrate with, and makes the same model in eight-bit integers,
//! written as ONNX files write such (`QuantizeLinear` and `DequantizeLinear` around what stays as it was), so that any
//! runtime can take it. Paring runs it in integers.
//!
//! ```no_run
//! use paring_compress::{Batch, Options, Samples, quantize};
//!
//! struct Images(Vec<paring::Tensor>);
//!
//! impl Samples for Images {
//!     fn batches(&self) -> usize {
//!         self.0.len()
//!     }
//!
//!     fn batch(&self, i: usize) -> Result<Batch, String> {
//!         Ok(Batch { inputs: vec![self.0[i].clone()], samples: 1 })
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let images = Images(Vec::new());
//! let model = std::fs::read("net.onnx")?;
//! let quantized = quantize(model, &images, &Options::default(), &mut |_| {})?;
//! std::fs::write("net_int8.onnx", &quantized.model)?;
//! # Ok(()) }
//! ```
//!
//! [`code_weights`] and [`to_half`] need no data, and leave the arithmetic alone: they store weights in fewer bits, which
//! standard operators in the file make `f32` again.
//!
//! ```no_run
//! use paring_compress::{CodeOptions, Coding, code_weights};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = std::fs::read("net.onnx")?;
//! let coded = code_weights(model, &CodeOptions::new(Coding::uniform(4)), None, &mut |_| {})?;
//! std::fs::write("net_w4.onnx", &coded.model)?;
//! # Ok(()) }
//! ```
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod coding;
mod equalize;
mod error;
mod fold;
mod half;
mod layers;
mod measure;
mod net;
mod observe;
mod opset;
mod quantize;
mod range;
mod report;
mod rewrite;
mod search;
mod weights;
mod write;

pub use coding::{CodeOptions, CodeReport, CodedLayer, CodedModel, Coding, Shared, Threshold, Values, code_weights};
pub use error::{Error, Result};
pub use half::{HalfFormat, HalfReport, HalfTensor, Halved, to_half};
pub use quantize::{Bound, Options, Quantized, quantize};
pub use range::{Histogram, Method, Parameters, Range};
pub use report::{Accuracy, LayerReport, OutputError, Report};

use paring::Tensor;

/// Data to calibrate with, batch by batch. It is gone through more than once.
pub trait Samples {
    /// How many batches there are.
    fn batches(&self) -> usize;

    /// Batch `i`.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the data.
    fn batch(&self, i: usize) -> Result<Batch, String>;
}

/// Inputs of one run.
#[derive(Clone, Debug)]
pub struct Batch {
    /// A tensor for each input of the model, in its order.
    pub inputs: Vec<Tensor>,
    /// Samples in it that count; others, which only fill a batch up, come after them.
    pub samples: usize,
}

/// How far the work has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub step: &'static str,
    /// Parts that are done.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}
