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
#[cfg(any(all(target_arch = "x86_64", feature = "avx512"), all(target_arch = "aarch64", feature = "fp16")))]
mod halves;
mod lower;
mod transposed;
mod work;

pub use cursor::Cursor;
pub use direct::*;
pub use extent::{Extent, only_f32, product};
pub use geometry::{Geometry, Phase, Tap};
pub use halo::Halo;
#[cfg(all(target_arch = "aarch64", feature = "fp16"))]
pub use halves::HalfConv;
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
pub use halves::SplitConv;
pub use lower::View;
pub use transposed::*;
pub use work::{Tasks, Work, cut, even};
