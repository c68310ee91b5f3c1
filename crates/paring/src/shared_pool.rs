//! A rayon pool that sessions share.

use crate::{Error, ErrorKind, Executor, Helper, Result};
use std::{error::Error as _, sync::Arc};

/// A pool of threads shared between sessions. The calling thread of each session takes part in its own runs.
#[derive(Clone)]
pub struct SharedPool(Arc<rayon::ThreadPool>);

impl SharedPool {
    /// A new pool of so many threads.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Memory`] where the operating system refuses threads; [`ErrorKind::Unsupported`] where the
    /// platform has none, such as WebAssembly.
    pub fn new(threads: usize) -> Result<SharedPool> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|i| format!("paring-shared-{i}"))
            .build()
            .map(|p| SharedPool(Arc::new(p)))
            .map_err(|e| match e.source().and_then(|s| s.downcast_ref()) {
                Some(refused) => Error::threads(&format!("a pool of {threads} threads"), refused),
                None => Error::from_source(ErrorKind::Memory, e),
            })
    }
}

impl Executor for SharedPool {
    fn threads(&self) -> usize {
        self.0.current_num_threads()
    }

    fn spawn(&self, helper: Helper) {
        self.0.spawn(|| helper.help());
    }
}

impl std::fmt::Debug for SharedPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedPool({} threads)", self.threads())
    }
}
