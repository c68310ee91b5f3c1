//! How kernels use several cores.

/// Runs independent tasks. The split into tasks depends on the problem alone, never on the number of workers, so that
/// results are bit-equal for any number of them.
pub trait Parallel: Sync {
    /// How many workers there may be; worker numbers are below this.
    fn workers(&self) -> usize;

    /// Calls `f(task, worker)` for every `task` below `tasks`, in any order, and returns when all are done. No two
    /// calls with the same `worker` overlap.
    ///
    /// # Panics
    /// Where a task panics, once no other is in progress. Where a task itself calls this, several threads may panic:
    /// there is one level of tasks.
    fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync));
}

/// The calling thread alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Serial;

impl Parallel for Serial {
    fn workers(&self) -> usize {
        1
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        for task in 0..tasks {
            f(task, 0);
        }
    }
}
