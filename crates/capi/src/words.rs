//! Strings in and out, and the other things that callers point at.

use crate::status::{Failure, PARING_BUFFER_TOO_SMALL, Result};
use std::{
    ffi::{CStr, CString, c_char},
    mem::MaybeUninit,
};

/// A string of the caller's.
///
/// # Safety
/// `text` is NULL or ends with 0, and stays for `'a`.
pub(crate) unsafe fn read<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    if text.is_null() {
        return Err(Failure::invalid(format!("{what} is NULL")));
    }
    // SAFETY: not NULL, and as the caller promises.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Failure::invalid(format!("{what} is not UTF-8")))
}

/// Copies `text` and a final 0 into a buffer of the caller's, as much of it as fits.
///
/// # Safety
/// `buf` is NULL or has room for `cap` bytes; `need` is NULL or valid.
pub(crate) unsafe fn copy_out(text: &str, buf: *mut c_char, cap: usize, need: *mut usize) -> Result<()> {
    let text = c_string(text);
    let bytes = text.as_bytes_with_nul();
    if !need.is_null() {
        // SAFETY: not NULL, and as the caller promises.
        unsafe { need.write_unaligned(bytes.len()) };
    }
    if buf.is_null() {
        return match cap {
            0 => Ok(()),
            _ => Err(Failure::invalid(format!("the buffer is NULL, though it should have room for {cap} bytes"))),
        };
    }
    if cap > 0 {
        let fits = (bytes.len() - 1).min(cap - 1);
        // SAFETY: `fits + 1` is `cap` at most.
        unsafe {
            buf.copy_from_nonoverlapping(bytes.as_ptr().cast(), fits);
            buf.add(fits).write(0);
        }
    }
    if cap < bytes.len() {
        let message = format!("the buffer has {cap} bytes, but {} are needed", bytes.len());
        return Err(Failure::new(PARING_BUFFER_TOO_SMALL, message));
    }
    Ok(())
}

/// `text` as C has it, where a 0 in the middle ends it.
pub(crate) fn c_string(text: &str) -> CString {
    let end = text.bytes().position(|b| b == 0).unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// Where the caller wants a result.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// Zeroes the result first.
    ///
    /// # Safety
    /// `out` is NULL, or valid for writing until this is dropped.
    pub unsafe fn zeroed(out: *mut T, what: &str) -> Result<Out<T>> {
        if out.is_null() || !out.is_aligned() {
            let wrong = if out.is_null() { "is NULL" } else { "is misaligned" };
            return Err(Failure::invalid(format!("the pointer to {what} {wrong}")));
        }
        // SAFETY: valid as the caller promises, aligned as was checked.
        unsafe { out.write_bytes(0, 1) };
        Ok(Out(out))
    }

    /// As [`Out::zeroed`], of a result that the caller may not want.
    ///
    /// # Safety
    /// As for [`Out::zeroed`].
    pub unsafe fn optional(out: *mut T) -> Result<Option<Out<T>>> {
        if out.is_null() {
            return Ok(None);
        }
        // SAFETY: as the caller promises.
        unsafe { Out::zeroed(out, "a size") }.map(Some)
    }

    pub fn set(self, value: T) {
        // SAFETY: as `zeroed` was promised.
        unsafe { self.0.write(value) };
    }
}

/// A structure that begins with its own size as the caller was compiled with it, so that it can grow.
///
/// # Safety
/// The first field is a `usize`, all are plain data, and all zeros is a value.
pub(crate) unsafe trait Growing: Copy {}

/// Reads a structure of the caller's, who may know fewer fields (those are 0 then) or more (those must be).
///
/// # Safety
/// `given` is NULL, or valid for as many bytes as its first field says.
pub(crate) unsafe fn read_growing<T: Growing>(given: *const T, what: &str) -> Result<T> {
    const MOST: usize = 4096;
    if given.is_null() || !given.is_aligned() {
        let wrong = if given.is_null() { "is NULL" } else { "is misaligned" };
        return Err(Failure::invalid(format!("the pointer to {what} {wrong}")));
    }
    // SAFETY: not NULL, aligned, and whatever it is, it begins with its size.
    let size = unsafe { given.cast::<usize>().read() };
    let known = size_of::<T>();
    if !(size_of::<usize>()..=MOST).contains(&size) {
        return Err(Failure::invalid(format!(
            "struct_size of {what} is {size}: it must be sizeof, which is {known} here"
        )));
    }
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: both are valid for so many bytes.
    unsafe { value.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(given.cast(), size.min(known)) };
    for i in known..size {
        // SAFETY: within the size that the caller gave.
        if unsafe { given.cast::<u8>().add(i).read() } != 0 {
            let message =
                format!("{what} has fields that this version of the library does not know, and they are not 0");
            return Err(Failure::invalid(message));
        }
    }
    // SAFETY: all zeros is a value of `T`, and the bytes that were copied are plain data.
    Ok(unsafe { value.assume_init() })
}
