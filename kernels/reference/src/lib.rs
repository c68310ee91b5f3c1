//! Naive kernels for every operator.
//!
//! They compute the definition of each operator, sum in `f64` and round once. They are the oracle that every other
//! kernel is held against, the evaluator behind constant folding, and what a plan falls back to where nothing faster
//! offers.
#![no_std]
#![warn(missing_docs)]
extern crate alloc;

mod conv;
mod create;
mod dispatch;
mod dynamic;
mod einsum;
mod elementwise;
mod epilogue;
mod index;
mod integer;
mod io;
mod kernel;
mod matmul;
mod movement;
mod norm;
mod pool;
mod quantised;
mod recurrent;
mod reduce;
mod resize;
mod sample;
mod scalar;
mod walk;

pub use dynamic::evaluate_dynamic;
pub use integer::dynamic_parameters;
pub use kernel::{KERNELS, evaluate};
