//! The text form of graphs, for people and for tests.
//!
//! ```text
//! // A comment.
//! graph "tiny" {
//!   input %x "image": f32[N, 3, 8, 8]
//!   const %w "conv.w": f32[4, 3, 3, 3] = random 7
//!   const %b "conv.b": f32[4] = [0.0, 0.5, 1.0, -1.0]
//!   %1 "conv" = Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%x, %w)
//!     + bias(%b) + act(Relu) : f32[N, 4, 8, 8]
//!   %v "values", _ = TopK(axis: 1, largest: true, sorted: true)(%1, %k) : f32[N, 2, 8, 8]
//!   output "scores" = %v
//! }
//! ```
//!
//! Attributes are [RON](https://docs.rs/ron), as [`crate::notation`] reads it. An absent operand or output is `_`. Where a node's name is not that of its
//! first output it stands before the operator: `%1 "y" = "conv" Conv(...)(...)`. The type of a node may be left out; it
//! is inferred.
//!
//! Dimensions are numbers, symbols (`N`, `?3`, `"any text"`) and expressions: `2*H+1`, `floor(a, b)`, `max(a, b)`,
//! `min(a, b)`. `f32[*]` has an unknown rank, `f32[]` none. `quant((...))` after a type gives a [`crate::Quant`].
//!
//! The data of a constant is one of
//! - `[1.0, 2.0]`: the elements, row-major;
//! - `splat 0.5`: all alike;
//! - `hex "00ff"`: the bytes, in the order of this machine;
//! - `random SEED`: pseudo-random elements (floats in -1..1, integers in -8..8 or 0..16);
//! - `data 3`: bytes kept elsewhere under that number (see [`Graph::to_text_with`](crate::Graph::to_text_with));
//! - `opaque fnv64:HEX`: elements left out of the text. The parser makes up pseudo-random ones from the hash, so that a
//!   printed network can be read and run, though not to the same result.

mod data;
mod lex;
mod parse;
mod print;

pub use parse::{Kept, MAX_CONSTANT_BYTES};
