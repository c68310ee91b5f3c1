//! Bytes that several owners read: a buffer of one's own, or part of a mapped file.

use crate::AlignedBuf;
use alloc::sync::Arc;
use core::ops::Range;

/// Whoever keeps the bytes.
pub type Shared = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A range of bytes that somebody keeps alive. Cloning is cheap.
#[derive(Clone)]
pub struct SharedBytes {
    keeper: Shared,
    range: Range<usize>,
}

impl SharedBytes {
    /// Part of what `keeper` holds; `None` where it holds less.
    pub fn new(keeper: Shared, range: Range<usize>) -> Option<SharedBytes> {
        (*keeper).as_ref().get(range.clone())?;
        Some(SharedBytes { keeper, range })
    }

    /// All of what `keeper` holds, which is `len` bytes: it is not asked before somebody reads them.
    pub fn unread(keeper: Shared, len: usize) -> SharedBytes {
        SharedBytes { keeper, range: 0..len }
    }

    /// The bytes.
    ///
    /// # Panics
    /// Where the keeper holds less than it was said to.
    pub fn as_slice(&self) -> &[u8] {
        &(*self.keeper).as_ref()[self.range.clone()]
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// What tells these bytes from others while they live, without reading them.
    pub fn identity(&self) -> (usize, usize, usize) {
        (Arc::as_ptr(&self.keeper).cast::<()>() as usize, self.range.start, self.range.len())
    }
}

impl From<AlignedBuf> for SharedBytes {
    fn from(buffer: AlignedBuf) -> SharedBytes {
        let len = buffer.as_slice().len();
        SharedBytes { keeper: Arc::new(buffer), range: 0..len }
    }
}

impl core::fmt::Debug for SharedBytes {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "SharedBytes({} bytes)", self.len())
    }
}

/// So many times 2^30, for limits: where addresses have 32 bits and cannot count as far, no limit at all.
pub const fn gibibytes(n: usize) -> usize {
    n.saturating_mul(1 << 30)
}
