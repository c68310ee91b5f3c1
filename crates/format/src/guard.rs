//! Checking what is read when it is first read.

use crate::{FormatError, header::checksum};
use paring_core::Shared;
use std::{
    ops::Range,
    sync::{Arc, OnceLock},
};

/// Whether everything that was read from a file so far was as it was written.
///
/// Constants are handed out as bytes, which cannot fail. A damaged one is noted here instead, and whoever used it asks
/// before results get out.
#[derive(Clone, Debug, Default)]
pub struct Integrity(Arc<OnceLock<FormatError>>);

impl Integrity {
    /// Fails where something that was read is damaged.
    ///
    /// # Errors
    /// The first defect that was met.
    pub fn check(&self) -> Result<(), FormatError> {
        self.0.get().map_or(Ok(()), |e| Err(e.clone()))
    }

    /// Notes the first defect. Whether there was none this time.
    pub(crate) fn note(&self, result: Result<(), FormatError>) -> bool {
        match result {
            Ok(()) => true,
            Err(e) => {
                // Where there is one already, that stays.
                let _ = self.0.set(e);
                false
            }
        }
    }
}

/// One section of a file, checked on the first look.
pub(crate) struct Guarded {
    pub file: Shared,
    pub range: Range<usize>,
    pub checksum: u32,
    pub what: String,
    pub integrity: Integrity,
    pub checked: OnceLock<()>,
}

impl AsRef<[u8]> for Guarded {
    fn as_ref(&self) -> &[u8] {
        let bytes = &(*self.file).as_ref()[self.range.clone()];
        self.checked.get_or_init(|| {
            self.integrity.note(compare(bytes, self.checksum, || self.what.clone()));
        });
        bytes
    }
}

/// Fails where the bytes do not have that checksum.
pub(crate) fn compare(bytes: &[u8], expected: u32, what: impl FnOnce() -> String) -> Result<(), FormatError> {
    let found = checksum(bytes);
    if found == expected { Ok(()) } else { Err(FormatError::Checksum { what: what(), expected, found }) }
}
