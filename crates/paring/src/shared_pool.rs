//! A rayon pool that sessions share.

use crate::{Executor, Helper};
use std::sync::Arc;

/// A pool of threads shared between sessions. The calling thread of each session takes part in its own runs.
#[derive(Clone)]
pub struct SharedPool(Arc<rayon::ThreadPool>);

impl SharedPool {
    /// A new pool of so many threads.
    ///
    /// # Errors
    /// Where the operating system refuses threads.
    pub fn new(threads: usize) -> crate::Result<SharedPool> {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads.max(1))
            .thread_name(|i| format!("paring-shared-{i}"))
            .build()
            .map(|p| SharedPool(Arc::new(p)))
            .map_err(|e| crate::Error::from_source(crate::ErrorKind::Memory, e))
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
