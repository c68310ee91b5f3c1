//! What can be wrong with a file.

use paring_ir::GraphError;
use std::sync::Arc;
use thiserror::Error;

/// A defect of a `.pare` file.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// It does not begin as such files do.
    #[error("this is no .pare file: it does not begin with the mark of one")]
    Mark,
    /// It was written by a later generation of the tool.
    #[error(
        "this .pare file has version {major}.{minor}; this program reads version {known}: open it with a newer one"
    )]
    Future {
        /// Its version.
        major: u16,
        /// And the lesser part.
        minor: u16,
        /// The version that is known here.
        known: u16,
    },
    /// It is shorter or longer than it says.
    #[error("the file has {found} bytes, but it should have {expected}: it was cut off or added to; copy it again")]
    Length {
        /// Bytes that the header speaks of.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A checksum does not fit.
    #[error("{what} is damaged: its checksum is {found:08x} instead of {expected:08x}; copy the file again")]
    Checksum {
        /// Which part.
        what: String,
        /// What the table says.
        expected: u32,
        /// What the bytes give.
        found: u32,
    },
    /// The parts contradict each other.
    #[error("the file contradicts itself: {0}")]
    Structure(String),
    /// It asks for more than is allowed.
    #[error("{what} of {found}, more than the limit of {limit}")]
    Limit {
        /// Of what there is too much.
        what: &'static str,
        /// How much.
        found: u64,
        /// How much is allowed.
        limit: u64,
    },
    /// The graph is not one.
    #[error("the graph: {0}")]
    Graph(#[from] GraphError),
    /// The bytes of numbers have the other order on this machine.
    #[error("this machine keeps the most significant byte first; .pare files are for those that keep it last")]
    ByteOrder,
    /// It could not be written.
    #[error("writing failed: {0}")]
    Write(Arc<std::io::Error>),
    /// No memory.
    #[error(transparent)]
    Alloc(#[from] paring_core::AllocError),
}

impl From<std::io::Error> for FormatError {
    fn from(e: std::io::Error) -> FormatError {
        FormatError::Write(Arc::new(e))
    }
}
