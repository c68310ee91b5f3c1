//! Whether there is a clock to take times by.

use crate::{Error, ErrorKind, Result};

/// Whether this platform has a clock. All have one but WebAssembly outside WASI (`wasm32-unknown-unknown`), where whatever
/// takes times is refused with [`ErrorKind::Unsupported`].
pub const fn has_clock() -> bool {
    !cfg!(all(target_family = "wasm", target_os = "unknown"))
}

/// Refuses `what`, which takes times, where there is no clock: `Instant::now` panics there.
pub(crate) fn needed_for(what: &str) -> Result<()> {
    if has_clock() {
        return Ok(());
    }
    let message = format!("{what} needs a clock, and this platform has none: leave it out here, or do it under WASI");
    Err(Error::new(ErrorKind::Unsupported, message))
}
