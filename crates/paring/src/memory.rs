//! Where the memory of sessions comes from.

use crate::{Error, ErrorKind, Result};
use paring_core::{ALIGNMENT, AlignedBuf};
use std::{fmt, sync::Arc};

/// A block of memory that somebody owns. Dropping it gives it back.
pub trait Block: Send + Sync {
    /// The bytes: the same ones at every call.
    fn bytes(&self) -> &[u8];

    /// The same bytes, to write.
    fn bytes_mut(&mut self) -> &mut [u8];
}

impl Block for AlignedBuf {
    fn bytes(&self) -> &[u8] {
        self.as_slice()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.as_mut_slice()
    }
}

/// Hands out the memory of a session: inputs, outputs, and working memory (see [`crate::Options::allocator`]).
pub trait Allocator: Send + Sync {
    /// A block of `bytes` bytes at least, of any contents, that starts at a multiple of [`ALIGNMENT`] bytes. `None`
    /// where there is no memory.
    fn allocate(&self, bytes: usize) -> Option<Box<dyn Block>>;
}

impl fmt::Debug for dyn Allocator + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Allocator")
    }
}

/// A piece of a session's memory, of a length of its own.
pub(crate) struct Buffer {
    block: Box<dyn Block>,
    len: usize,
    /// The program gave this very block, and expects results there.
    pub bound: bool,
}

impl Buffer {
    pub fn empty() -> Buffer {
        let block = AlignedBuf::zeroed(0).expect("an empty buffer needs no memory");
        Buffer { block: Box::new(block), len: 0, bound: false }
    }

    /// `len` zeros.
    pub fn zeroed(len: usize, allocator: Option<&Arc<dyn Allocator>>) -> Result<Buffer> {
        let Some(allocator) = allocator.filter(|_| len > 0) else {
            return Ok(Buffer { block: Box::new(AlignedBuf::zeroed(len)?), len, bound: false });
        };
        let refused = || Error::new(ErrorKind::Memory, format!("the program's allocator has no {len} bytes"));
        let block = allocator.allocate(len).ok_or_else(refused)?;
        let mut buffer = Buffer { block, len, bound: false };
        buffer.check(len, ALIGNMENT, &"a block of the program's allocator")?;
        buffer.as_mut_slice().fill(0);
        Ok(buffer)
    }

    /// All of a block that the program gave.
    pub fn bound(block: Box<dyn Block>) -> Buffer {
        let len = block.bytes().len();
        Buffer { block, len, bound: true }
    }

    /// Checks that this can hold `len` bytes.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Invalid`] where it has fewer, or starts elsewhere than at a multiple of `alignment`.
    pub fn check(&self, len: usize, alignment: usize, what: &dyn fmt::Display) -> Result<()> {
        let bytes = self.block.bytes();
        if bytes.len() < len {
            return Err(Error::invalid(format!("{what} has {} bytes, but needs {len}", bytes.len())));
        }
        if len > 0 && !(bytes.as_ptr() as usize).is_multiple_of(alignment) {
            return Err(Error::invalid(format!("{what} must start at a multiple of {alignment} bytes")));
        }
        Ok(())
    }

    /// Makes this the first `len` bytes of its block, which must have as many.
    pub fn set_len(&mut self, len: usize) {
        self.len = len;
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.block.bytes()[..self.len]
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.block.bytes_mut()[..self.len]
    }
}
