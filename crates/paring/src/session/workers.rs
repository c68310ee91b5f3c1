//! The threads of a session.

use super::RunOptions;
use crate::{
    Error, Executor, Result, Threads,
    pool::{Nobody, OwnThreads},
    team::{Crew, Team},
};
use paring_kernel::Parallel;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

/// More workers than this are a mistake; each takes scratch memory.
const MOST: usize = 1024;

/// Who computes the runs of a session.
pub(crate) struct Workers {
    team: Arc<Team>,
    executor: Arc<dyn Executor>,
    /// The last run was on another executor.
    elsewhere: AtomicBool,
}

impl Workers {
    pub fn new(threads: &Threads) -> Result<Workers> {
        let executor: Arc<dyn Executor> = match threads {
            Threads::Single | Threads::Pool(0 | 1) => Arc::new(Nobody),
            &Threads::Pool(n) => {
                Arc::new(OwnThreads::new(checked(n)?).map_err(|e| Error::threads(&format!("{n} threads"), &e))?)
            }
            #[cfg(feature = "shared-pool")]
            Threads::Shared(pool) => Arc::new(pool.clone()),
            Threads::Caller(executor) => executor.clone(),
        };
        let team = Arc::new(Team::new(checked(executor.threads())?));
        Ok(Workers { team, executor, elsewhere: AtomicBool::new(false) })
    }

    /// How many workers there may be, the calling thread included. Worker numbers are below this.
    pub fn count(&self) -> usize {
        self.team.workers()
    }

    /// Does `f` with workers at hand: those of the session, or what `run` says.
    pub fn awake<T>(&self, run: RunOptions<'_>, f: impl FnOnce(&dyn Parallel) -> Result<T>) -> Result<T> {
        let executor = run.executor.unwrap_or(&*self.executor);
        let limit = run.max_threads.unwrap_or(usize::MAX).min(executor.threads());
        let elsewhere = run.executor.is_some();
        let anew = self.elsewhere.swap(elsewhere, Relaxed) || elsewhere;
        let crew = Crew::new(&self.team, executor, limit, anew);
        let result = f(&crew)?;
        if crew.executor_panicked() {
            return Err(Error::invalid("the executor panicked when it was asked for threads"));
        }
        Ok(result)
    }
}

fn checked(workers: usize) -> Result<usize> {
    if workers > MOST {
        return Err(Error::invalid(format!("{workers} threads were asked for; at most {MOST} are allowed")));
    }
    Ok(workers.max(1))
}
