//! The threads of a session.

use crate::{
    Error, ErrorKind, Result, Threads,
    pool::{Pool, Rayon},
};
use paring_kernel::{Parallel, Serial};

/// Who computes the runs of a session.
pub(crate) enum Workers {
    Single(Serial),
    Own(Pool),
    Shared(Rayon),
}

impl Workers {
    pub fn new(threads: &Threads) -> Result<Workers> {
        Ok(match threads {
            Threads::Single | Threads::Pool(0 | 1) => Workers::Single(Serial),
            Threads::Pool(n) => {
                Workers::Own(Pool::new(*n).map_err(|e| Error::new(ErrorKind::Memory, format!("{n} threads: {e}")))?)
            }
            Threads::Shared(pool) => Workers::Shared(Rayon(pool.0.clone())),
        })
    }

    pub fn parallel(&self) -> &dyn Parallel {
        match self {
            Workers::Single(s) => s,
            Workers::Own(p) => p,
            Workers::Shared(r) => r,
        }
    }

    /// Does `f` with workers awake.
    pub fn awake<T>(&self, f: impl FnOnce(&dyn Parallel) -> T) -> T {
        if let Workers::Own(p) = self {
            p.begin();
        }
        let result = f(self.parallel());
        if let Workers::Own(p) = self {
            p.end();
        }
        result
    }
}
