//! Heap memory aligned for vector loads.

use alloc::alloc::{Layout as MemLayout, alloc_zeroed, dealloc};
use core::ptr::NonNull;
use thiserror::Error;

/// Alignment in bytes of every buffer, and of every tensor within an arena: one cache line.
pub const ALIGNMENT: usize = 64;

/// The allocator refused a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("out of memory: {bytes} bytes could not be allocated")]
pub struct AllocError {
    /// The size asked for.
    pub bytes: usize,
}

/// Owned bytes, zeroed at first, aligned to [`ALIGNMENT`].
///
/// Allocated at the allocator's own alignment with room to move the first byte: allocators hand out large blocks of
/// zeros untouched, but clear them byte by byte where a larger alignment is asked for.
pub struct AlignedBuf {
    /// The first byte.
    ptr: NonNull<u8>,
    len: usize,
    /// Bytes between the start of the allocation and `ptr`.
    moved: usize,
}

/// Alignment that is asked of the allocator.
const NATURAL: usize = 16;

/// What is allocated for `len` bytes.
fn allocation(len: usize) -> Option<MemLayout> {
    MemLayout::from_size_align(len.checked_add(ALIGNMENT - NATURAL)?, NATURAL).ok()
}

// SAFETY: the buffer is uniquely owned plain memory.
unsafe impl Send for AlignedBuf {}
// SAFETY: shared access only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// A buffer of `len` zero bytes.
    ///
    /// # Errors
    /// [`AllocError`] where the allocator refuses or the size exceeds the address space.
    pub fn zeroed(len: usize) -> Result<AlignedBuf, AllocError> {
        if len == 0 {
            return Ok(AlignedBuf { ptr: NonNull::<Aligned>::dangling().cast(), len, moved: 0 });
        }
        let failed = AllocError { bytes: len };
        let layout = allocation(len).ok_or(failed)?;
        // SAFETY: the size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(failed)?;
        let moved = start.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT - NATURAL);
        // SAFETY: the allocation has room for the bytes that are skipped, as it is aligned to all but them.
        let ptr = unsafe { start.add(moved) };
        Ok(AlignedBuf { ptr, len, moved })
    }

    /// A copy of `bytes`.
    ///
    /// # Errors
    /// [`AllocError`] as for [`AlignedBuf::zeroed`].
    pub fn from_bytes(bytes: &[u8]) -> Result<AlignedBuf, AllocError> {
        let mut buf = AlignedBuf::zeroed(bytes.len())?;
        buf.as_mut_slice().copy_from_slice(bytes);
        Ok(buf)
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: `ptr` is valid for `len` initialised bytes for as long as `self` lives.
        unsafe { core::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The bytes, to write.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and `&mut self` makes the access unique.
        unsafe { core::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }

    /// The first byte, for executors that hand out disjoint parts of an arena.
    pub fn as_mut_ptr(&mut self) -> *mut u8 {
        self.ptr.as_ptr()
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeroed` with this very layout, which was valid there; `ptr` was moved since.
            unsafe {
                let layout = allocation(self.len).unwrap_unchecked();
                dealloc(self.ptr.as_ptr().sub(self.moved), layout);
            }
        }
    }
}

impl AsRef<[u8]> for AlignedBuf {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl core::fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AlignedBuf({} bytes)", self.len)
    }
}

#[repr(align(64))]
struct Aligned;
const _: () = assert!(align_of::<Aligned>() == ALIGNMENT);
