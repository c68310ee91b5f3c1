//! Cancelling runs from other threads.

use crate::{Error, ErrorKind, Result};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Cancels runs of one session from any thread.
#[derive(Clone, Debug, Default)]
pub struct Canceller(Arc<AtomicBool>);

impl Canceller {
    /// Ends one run with [`ErrorKind::Cancelled`]: the one in progress, even where all of its layers have been
    /// computed, or the next one where none is in progress. Calling again before that run has ended changes nothing.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the run in progress is to stop.
    pub(crate) fn is_requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Ends a run with `result`, and with it every request to cancel that came until now.
    pub(crate) fn end_run(&self, result: Result<()>) -> Result<()> {
        let requested = self.0.swap(false, Ordering::Relaxed);
        result.and_then(|()| match requested {
            true => Err(Error::new(ErrorKind::Cancelled, "cancelled after the last layer")),
            false => Ok(()),
        })
    }
}
