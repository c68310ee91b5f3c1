//! Single runs that differ from what the session's options say.

use super::Session;
use crate::{Executor, Result, Tensor, View, ViewMut};

/// What is different in one run; by default nothing. Results are the same bits whatever is chosen here.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct RunOptions<'a> {
    /// At most so many threads, the calling one included. More than the session was made for changes nothing, and 0 is
    /// as 1.
    pub max_threads: Option<usize>,
    /// Threads in place of the session's. As many help as the session was made for, at most: its scratch memory is for
    /// so many.
    pub executor: Option<&'a dyn Executor>,
}

impl<'a> RunOptions<'a> {
    /// These options with at most so many threads, the calling one included.
    #[must_use]
    pub fn with_max_threads(mut self, threads: usize) -> RunOptions<'a> {
        self.max_threads = Some(threads);
        self
    }

    /// These options with other threads than the session's.
    #[must_use]
    pub fn with_executor(mut self, executor: &'a dyn Executor) -> RunOptions<'a> {
        self.executor = Some(executor);
        self
    }
}

/// A session, for runs with [`RunOptions`]: see [`Session::using`].
#[derive(Debug)]
pub struct Run<'s, 'o> {
    session: &'s mut Session,
    options: RunOptions<'o>,
}

impl Session {
    /// For runs that differ from what the session's options say: `session.using(options).run()`.
    pub fn using<'o>(&mut self, options: RunOptions<'o>) -> Run<'_, 'o> {
        Run { session: self, options }
    }
}

impl Run<'_, '_> {
    /// As [`Session::run`].
    ///
    /// # Errors
    /// As for [`Session::run`].
    pub fn run(&mut self) -> Result<()> {
        self.session.run_as(self.options)
    }

    /// As [`Session::run_on`].
    ///
    /// # Errors
    /// As for [`Session::run_on`].
    pub fn run_on(
        &mut self,
        inputs: &[View<'_>],
        outputs: &mut [ViewMut<'_>],
        working: Option<&mut [u8]>,
    ) -> Result<()> {
        self.session.run_on_as(inputs, outputs, working, self.options)
    }

    /// As [`Session::run_with`].
    ///
    /// # Errors
    /// As for [`Session::run_with`].
    pub fn run_with(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>> {
        self.session.run_with_as(inputs, self.options)
    }
}
