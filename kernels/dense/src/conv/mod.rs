//! Convolution and transposed convolution by one engine.
//!
//! A `Lowered` problem is a set of phases, each a grid of output pixels and a list of taps. A convolution has one
//! phase; a transposed one has as many as its strides multiply to, each of them a plain convolution with stride 1
//! (the sub-pixel form: no output is written twice, no input is widened with zeros).

mod cursor;
mod direct;
mod engine;
mod extent;
mod geometry;
mod halo;
mod lower;
mod transposed;
mod work;

pub use cursor::Cursor;
pub use direct::*;
pub use engine::{halo, operands};
pub use extent::{Extent, only_f32, product};
pub use geometry::{Geometry, Phase, Tap};
pub use halo::Halo;
pub use lower::{Lowered, View, Walk};
pub use transposed::*;
pub use work::{Tasks, Work, cut, even};
