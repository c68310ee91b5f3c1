//! The `.pare` model file: a graph, its constants, and weights packed for kinds of machines, in sections that are
//! mapped and used in place.
//!
//! ```text
//! header    64 bytes: mark, version, length of the file, number of sections, checksums of itself and of the table
//! table     32 bytes for each section: kind, checksum, where it begins, how long it is
//! sections  each at a multiple of 64 bytes
//! ```
//!
//! Everything is little-endian. Numbers, kinds and rules are in `docs/model-file.md`, which other readers can be
//! written from.
//!
//! A file may be damaged or hostile. [`read`] checks all that it looks at: header, table, graph and descriptions.
//! Constants and packed weights are checked when they are first read, so that opening a file costs nothing for what is
//! not used; see [`Integrity`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod coded;
mod describe;
mod error;
pub mod fuzz;
mod guard;
mod header;
mod read;
mod write;

pub use describe::{Metadata, PackDescription, PackSet, Recipe};
pub use error::FormatError;
pub use guard::Integrity;
pub use header::{MARK, Section, SectionKind, VERSION, is_pare};
pub use read::{Contents, Limits, PackedWeights, read};
pub use write::{NewPack, NewPackSet, Written, write};
