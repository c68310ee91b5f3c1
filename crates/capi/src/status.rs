//! What calls return, and the words of the last error.

use crate::words;
use facade::ErrorKind;
use std::{
    cell::RefCell,
    ffi::{CStr, c_char},
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// What a call came to: `PARING_OK`, or what kind of failure it was. `paring_last_error` has it in words.
pub type paring_status = i32;

/// All went well.
pub const PARING_OK: paring_status = 0;
/// An argument is wrong: a handle, pointer, name, size, type or option.
pub const PARING_INVALID_ARGUMENT: paring_status = 1;
/// A file could not be read.
pub const PARING_IO: paring_status = 2;
/// A model is damaged or contradicts itself.
pub const PARING_CORRUPT: paring_status = 3;
/// A model asks for something that Paring does not have, or the program for something that this platform lacks.
pub const PARING_UNSUPPORTED: paring_status = 4;
/// The data given to a run is outside what an operator allows.
pub const PARING_DATA: paring_status = 5;
/// A limit was hit.
pub const PARING_LIMIT: paring_status = 6;
/// The run was cancelled.
pub const PARING_CANCELLED: paring_status = 7;
/// No memory.
pub const PARING_OUT_OF_MEMORY: paring_status = 8;
/// A callback of the program's failed.
pub const PARING_CALLBACK: paring_status = 9;
/// Another thread is using the session, or this one is, further up the stack.
pub const PARING_BUSY: paring_status = 10;
/// The buffer is too small; how large it must be was told.
pub const PARING_BUFFER_TOO_SMALL: paring_status = 11;
/// There is nothing of that name.
pub const PARING_NOT_FOUND: paring_status = 12;
/// A defect of Paring itself.
pub const PARING_INTERNAL: paring_status = 13;

const NAMES: [(paring_status, &CStr); 14] = [
    (PARING_OK, c"PARING_OK"),
    (PARING_INVALID_ARGUMENT, c"PARING_INVALID_ARGUMENT"),
    (PARING_IO, c"PARING_IO"),
    (PARING_CORRUPT, c"PARING_CORRUPT"),
    (PARING_UNSUPPORTED, c"PARING_UNSUPPORTED"),
    (PARING_DATA, c"PARING_DATA"),
    (PARING_LIMIT, c"PARING_LIMIT"),
    (PARING_CANCELLED, c"PARING_CANCELLED"),
    (PARING_OUT_OF_MEMORY, c"PARING_OUT_OF_MEMORY"),
    (PARING_CALLBACK, c"PARING_CALLBACK"),
    (PARING_BUSY, c"PARING_BUSY"),
    (PARING_BUFFER_TOO_SMALL, c"PARING_BUFFER_TOO_SMALL"),
    (PARING_NOT_FOUND, c"PARING_NOT_FOUND"),
    (PARING_INTERNAL, c"PARING_INTERNAL"),
];

/// The name of a status.
pub(crate) fn name(status: paring_status) -> &'static CStr {
    NAMES.iter().find(|(s, _)| *s == status).map_or(c"unknown status", |(_, name)| *name)
}

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a call fails.
#[derive(Debug)]
pub(crate) struct Failure {
    pub status: paring_status,
    pub message: String,
}

impl Failure {
    pub fn new(status: paring_status, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }

    pub fn invalid(message: impl Into<String>) -> Failure {
        Failure::new(PARING_INVALID_ARGUMENT, message)
    }

    pub fn memory(message: impl Into<String>) -> Failure {
        Failure::new(PARING_OUT_OF_MEMORY, message)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<facade::Error> for Failure {
    fn from(e: facade::Error) -> Failure {
        let status = match e.kind() {
            ErrorKind::Io => PARING_IO,
            ErrorKind::Corrupt => PARING_CORRUPT,
            ErrorKind::Unsupported => PARING_UNSUPPORTED,
            ErrorKind::Invalid => PARING_INVALID_ARGUMENT,
            ErrorKind::Data => PARING_DATA,
            ErrorKind::Limit => PARING_LIMIT,
            ErrorKind::Cancelled => PARING_CANCELLED,
            ErrorKind::Memory => PARING_OUT_OF_MEMORY,
            ErrorKind::Program => PARING_CALLBACK,
            _ => PARING_INTERNAL,
        };
        Failure::new(status, e.to_string())
    }
}

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
    static CALLBACK: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs the body of a function that the library exports: no panic gets out, and the words of a failure are kept.
pub(crate) fn call(f: impl FnOnce() -> Result<()>) -> paring_status {
    let failure = match catch_unwind(AssertUnwindSafe(f)) {
        Ok(Ok(())) => return PARING_OK,
        Ok(Err(failure)) => failure,
        Err(payload) => {
            let what = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(|s| &**s));
            let message = format!("a defect of Paring: {}", what.unwrap_or("a panic without words"));
            // Dropping it could panic again.
            std::mem::forget(payload);
            Failure::new(PARING_INTERNAL, message)
        }
    };
    // A thread that is ending has nobody left to ask.
    let _ = LAST.try_with(|last| *last.borrow_mut() = failure.message);
    failure.status
}

/// Does what cannot fail, but must not unwind.
pub(crate) fn quietly(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        std::mem::forget(payload);
    }
}

/// The failure of a callback that returned `status`, with the words it left by `paring_callback_error`.
pub(crate) fn of_callback(what: &str, status: paring_status) -> String {
    let words = CALLBACK.try_with(|c| c.borrow_mut().take()).ok().flatten();
    let name = name(status).to_string_lossy();
    match words {
        Some(words) => format!("{what} failed: {words} ({name})"),
        None => format!("{what} failed with {status} ({name})"),
    }
}

/// Version of the binary interface: programs work with any library of the version they were compiled with.
pub const PARING_ABI_VERSION: u32 = 0;

/// The `PARING_ABI_VERSION` that the library was made with.
#[unsafe(no_mangle)]
pub extern "C" fn paring_abi_version() -> u32 {
    PARING_ABI_VERSION
}

/// The version of the library, such as `0.1.0`.
#[unsafe(no_mangle)]
pub extern "C" fn paring_version() -> *const c_char {
    const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");
    VERSION.as_ptr().cast()
}

/// The name of a status, such as `PARING_IO`. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn paring_status_name(status: paring_status) -> *const c_char {
    name(status).as_ptr()
}

/// Copies what went wrong in the last call of this thread that failed, as a sentence.
///
/// `need`, where it is not NULL, receives how many bytes that takes with the final 0. With `buf` NULL and `cap` 0 that is
/// all. Of a buffer that is too small, as much is filled as fits, and `PARING_BUFFER_TOO_SMALL` returned.
///
/// # Safety
/// `buf` is NULL or has room for `cap` bytes; `need` is NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_last_error(buf: *mut c_char, cap: usize, need: *mut usize) -> paring_status {
    let copied = catch_unwind(|| {
        let last = LAST.try_with(|last| last.borrow().clone()).unwrap_or_default();
        // SAFETY: as the caller promises.
        unsafe { words::copy_out(&last, buf, cap, need) }
    });
    // What happens here is not an error to remember: that would overwrite what was asked for.
    copied.map_or(PARING_INTERNAL, |r| r.map_or_else(|f| f.status, |()| PARING_OK))
}

/// Says in words why the callback that calls this is about to fail. They become part of the message of the call that
/// the callback was made for.
///
/// # Safety
/// `text` is NULL or ends with 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn paring_callback_error(text: *const c_char) {
    quietly(|| {
        // SAFETY: as the caller promises.
        if let Ok(text) = unsafe { words::read(text, "text") } {
            CALLBACK.with(|c| *c.borrow_mut() = Some(text.into()));
        }
    });
}
