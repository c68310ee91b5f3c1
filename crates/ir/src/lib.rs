//! The graph of Paring: values in single static assignment, a closed set of operators, symbolic dimensions.
//!
//! Always logical `[N, C, spatial...]`: no layout, no instruction set and no kernel is ever named here. See
//! [`Graph`] for the structure, [`infer`] for types and shapes, [`GraphBuilder`] for making networks in Rust.
#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]
extern crate alloc;
#[cfg(test)]
extern crate std;

mod append;
mod builder;
mod dim;
mod error;
mod fact;
mod graph;
pub mod infer;
mod node;
pub mod notation;
mod stats;
pub mod text;
mod verify;

pub use builder::{Conv2d, GraphBuilder, Pool2d};
pub use dim::{Dim, Expr};
pub use error::{GraphError, InferError};
pub use fact::{Fact, TensorType};
pub use graph::{Graph, Output, Value};
pub use node::{Node, NodeId, ValueId};
pub use paring_core::op;
pub use paring_core::{DType, Op, Quant, Tensor};
pub use stats::Stats;
