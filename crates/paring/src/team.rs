//! How several threads share the tasks of a step.
//!
//! Whoever runs a session opens a job, a borrowed closure with a count of tasks, of which each worker has an even share: the
//! same part of every job, so that a core mostly reads what it wrote. Who is done with a share takes tasks of the
//! others'. Helpers work while the job is open, on threads that an [`Executor`] finds for them. Nobody waits for a
//! helper that is not inside the job, so an executor may be late, busy or broken: then the calling thread does the work.
//! Helpers spin from one step to the next, because waking a thread costs tens of microseconds and a spinning one answers
//! in a fraction of one. They go home when the run ends, or earlier where a step leaves them without work for long.

use crate::has_clock;
use paring_kernel::Parallel;
use std::{
    cell::{Cell, UnsafeCell},
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

/// How long a helper spins for work before it goes home: several times what waking a thread costs.
const PATIENCE: Duration = Duration::from_micros(200);
/// What a look for work takes, where there is no clock to tell.
const LOOK: Duration = Duration::from_nanos(20);

thread_local! {
    /// Whether this thread is asking an executor for help, and the helper has not come back to it.
    static ASKING: Cell<bool> = const { Cell::new(false) };
}

/// Threads of the caller's, such as the job system of a game or a pool shared with other work.
///
/// ```
/// struct Jobs(std::sync::mpsc::Sender<paring::Helper>);
///
/// impl paring::Executor for Jobs {
///     fn threads(&self) -> usize {
///         4
///     }
///
///     fn spawn(&self, helper: paring::Helper) {
///         // Some thread at the other end calls `helper.help()`.
///         let _ = self.0.send(helper);
///     }
/// }
/// ```
///
/// An executor decides how fast a run is, never what it computes: helpers that come late, or not at all, leave their
/// work to the calling thread.
pub trait Executor: Send + Sync {
    /// How many threads may work on a run at once, the calling one included. Asked when a session is made, which sets
    /// memory aside for so many, and at the beginning of each run.
    fn threads(&self) -> usize;

    /// Has [`Helper::help`] called on another thread, soon, and returns without waiting for it. Called during a run,
    /// up to [`Executor::threads`] `- 1` times, and again where helpers have gone home for want of work.
    fn spawn(&self, helper: Helper);
}

impl std::fmt::Debug for dyn Executor + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Executor({} threads)", self.threads())
    }
}

/// Help wanted: made by a run, to be taken up on a thread that an [`Executor`] chooses.
pub struct Helper {
    team: Arc<Team>,
    generation: usize,
}

impl Helper {
    /// Takes part in the run until it ends, or until there has been nothing to do for a while. Returns at once where the
    /// run is over. Never panics.
    pub fn help(self) {
        if ASKING.get() {
            // The calling thread computes anyway.
            return;
        }
        let Some(seat) = Seat::take(&self.team) else { return };
        let (mut done, mut looks, mut since) = (0, 0u32, None);
        while self.team.wants(&seat, self.generation) {
            if self.team.work(&seat, &mut done) {
                (looks, since) = (0, None);
                continue;
            }
            std::hint::spin_loop();
            looks = looks.saturating_add(1);
            if looks.is_multiple_of(64) {
                let idle = match has_clock() {
                    true => since.get_or_insert_with(Instant::now).elapsed(),
                    false => LOOK * looks,
                };
                if idle > PATIENCE {
                    return;
                }
                if idle > PATIENCE / 4 {
                    // Whoever is to open the next job may be waiting for this very core.
                    std::thread::yield_now();
                }
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.team.expected.fetch_sub(1, SeqCst);
        ASKING.set(false);
    }
}

impl std::fmt::Debug for Helper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Helper")
    }
}

/// A helper's place among the workers. Its number is nobody else's for as long.
struct Seat<'a> {
    team: &'a Team,
    worker: usize,
}

impl Seat<'_> {
    fn take(team: &Team) -> Option<Seat<'_>> {
        let free = team.seats.iter().position(|taken| !taken.swap(true, SeqCst))?;
        // Worker 0 is the calling thread.
        Some(Seat { team, worker: free + 1 })
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.team.seats[self.worker - 1].store(false, SeqCst);
    }
}

#[derive(Clone, Copy)]
struct Job {
    f: *const (dyn Fn(usize, usize) + Sync),
    tasks: usize,
    /// Worker numbers are below this.
    workers: usize,
}

impl Job {
    /// The tasks that a worker takes first.
    fn share(&self, worker: usize) -> Range<usize> {
        let (each, more) = (self.tasks / self.workers, self.tasks % self.workers);
        let start = |worker: usize| worker * each + worker.min(more);
        start(worker)..start(worker + 1)
    }
}

/// On cache lines of its own.
#[repr(align(128))]
struct Apart<T>(T);

/// Where the calling thread and its helpers meet.
pub(crate) struct Team {
    /// Read only by helpers that count as `inside` and have seen `open` after that; written only while that cannot be.
    job: UnsafeCell<Option<Job>>,
    /// The number of the open job; 0 while there is none.
    open: AtomicUsize,
    inside: AtomicUsize,
    /// For each worker the next task of its share that nobody has taken, or some number beyond.
    next: Box<[Apart<AtomicUsize>]>,
    panicked: AtomicBool,
    /// Whether a step is under way.
    busy: AtomicBool,
    /// Jobs so far.
    jobs: AtomicUsize,
    /// How many workers the run in progress may have; 0 between runs, which sends helpers home.
    limit: AtomicUsize,
    /// Helpers made for another generation go home: the run is on other threads now.
    generation: AtomicUsize,
    /// Helpers that have been made and are not done.
    expected: AtomicUsize,
    seats: Box<[AtomicBool]>,
}

// SAFETY: `job` is the one field that is not `Sync`. It is written by `Team::step`, of which `busy` lets one run at a
// time, while `open` is 0 and after `inside` was seen to be 0, and read by helpers that are counted in `inside` and have
// seen `open` set after that; `SeqCst` orders the accesses.
unsafe impl Sync for Team {}
// SAFETY: the pointer in `job` is used only while `Team::step` holds the borrow of the closure, which is `Sync`.
unsafe impl Send for Team {}

impl Team {
    /// A team of at most so many workers, the calling thread included.
    pub fn new(workers: usize) -> Team {
        Team {
            job: UnsafeCell::new(None),
            open: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            next: (0..workers).map(|_| Apart(AtomicUsize::new(0))).collect(),
            panicked: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            jobs: AtomicUsize::new(0),
            limit: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
            expected: AtomicUsize::new(0),
            seats: (1..workers).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// How many workers there may be.
    pub fn workers(&self) -> usize {
        self.seats.len() + 1
    }

    /// Whether a helper in `seat` is to stay.
    fn wants(&self, seat: &Seat<'_>, generation: usize) -> bool {
        seat.worker < self.limit.load(SeqCst) && self.generation.load(SeqCst) == generation
    }

    /// Calls `f` for every task, on this thread and those of the helpers that come. `recruit` calls for helpers once the
    /// job is open. Returns, or unwinds, when no helper can reach `f` any more.
    fn step(&self, workers: usize, tasks: usize, f: &(dyn Fn(usize, usize) + Sync), recruit: impl FnOnce()) {
        let _busy = Busy::enter(&self.busy);
        if tasks <= 1 || workers <= 1 {
            return (0..tasks).for_each(|t| f(t, 0));
        }
        // SAFETY: erases the lifetime only; `Open` ends every use of the pointer before this function is left.
        let f: &'static (dyn Fn(usize, usize) + Sync) = unsafe { std::mem::transmute(f) };
        let job = Job { f, tasks, workers };
        // SAFETY: this is the only step (`busy`), `open` is 0, and `inside` was 0 when the last job was closed: whoever
        // counts itself in now sees `open` before it reads the cell.
        unsafe { *self.job.get() = Some(job) };
        self.panicked.store(false, SeqCst);
        for (worker, next) in self.next.iter().enumerate().take(workers) {
            next.0.store(job.share(worker).start, SeqCst);
        }
        // Only equality matters, so that wrapping around is harmless; 0 is taken.
        let number = self.jobs.fetch_add(1, SeqCst).wrapping_add(1).max(1);
        let open = Open(self);
        self.open.store(number, SeqCst);
        recruit();
        self.take_tasks(&job, 0, |t| f(t, 0));
        drop(open);
        assert!(!self.panicked.load(SeqCst), "a task panicked on a worker thread");
    }

    /// As a helper, takes part in the open job, unless that is number `done`. Returns whether there was one.
    fn work(&self, seat: &Seat<'_>, done: &mut usize) -> bool {
        let number = self.open.load(SeqCst);
        if number == 0 || number == *done {
            return false;
        }
        self.inside.fetch_add(1, SeqCst);
        if self.open.load(SeqCst) == number {
            // SAFETY: counted in `inside` and `open` seen after that: until `inside` is 0 again, `step` neither writes
            // the cell nor returns.
            if let Some(job) = unsafe { *self.job.get() }.filter(|job| seat.worker < job.workers) {
                // SAFETY: as above, the closure is alive.
                let f = unsafe { &*job.f };
                let tasks = || self.take_tasks(&job, seat.worker, |t| f(t, seat.worker));
                if let Err(payload) = catch_unwind(AssertUnwindSafe(tasks)) {
                    self.panicked.store(true, SeqCst);
                    // Dropping it could panic again, and leave this helper counted as inside for ever.
                    std::mem::forget(payload);
                }
            }
        }
        self.inside.fetch_sub(1, SeqCst);
        *done = number;
        true
    }

    /// Takes tasks until none is left: those of the worker's own share, then what is left of the others'.
    fn take_tasks(&self, job: &Job, worker: usize, f: impl Fn(usize)) {
        for owner in (worker..job.workers).chain(0..worker) {
            let (next, end) = (&self.next[owner].0, job.share(owner).end);
            // Looked at first: what is at its end stays with all who look.
            while next.load(SeqCst) < end {
                let task = next.fetch_add(1, SeqCst);
                if task < end {
                    f(task);
                }
            }
        }
    }
}

/// An open job. Dropping it closes the job and waits for those inside.
struct Open<'a>(&'a Team);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.open.store(0, SeqCst);
        let mut spins = 0u32;
        while self.0.inside.load(SeqCst) != 0 {
            spins = spins.wrapping_add(1);
            if spins.is_multiple_of(4096) {
                // A helper inside may be waiting for this very core.
                std::thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}

/// Marks that a step is under way.
struct Busy<'a>(&'a AtomicBool);

impl Busy<'_> {
    fn enter(flag: &AtomicBool) -> Busy<'_> {
        assert!(!flag.swap(true, SeqCst), "a task may not run tasks of its own");
        Busy(flag)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.store(false, SeqCst);
    }
}

/// The workers of one run.
pub(crate) struct Crew<'a> {
    team: &'a Arc<Team>,
    executor: &'a dyn Executor,
    limit: usize,
    /// The executor gave a helper up at once: it has no threads to spare, and is not asked again in this run.
    declined: AtomicBool,
    panicked: AtomicBool,
}

impl<'a> Crew<'a> {
    /// Opens a run on at most `limit` workers. Where `anew`, helpers of earlier runs are not to linger into this one.
    pub fn new(team: &'a Arc<Team>, executor: &'a dyn Executor, limit: usize, anew: bool) -> Crew<'a> {
        let limit = limit.clamp(1, team.workers());
        if anew {
            team.generation.fetch_add(1, SeqCst);
        }
        team.limit.store(limit, SeqCst);
        Crew { team, executor, limit, declined: AtomicBool::new(false), panicked: AtomicBool::new(false) }
    }

    /// Whether the executor panicked when it was asked for threads.
    pub fn executor_panicked(&self) -> bool {
        self.panicked.load(SeqCst)
    }

    /// Asks for the helpers that are missing for so many tasks.
    fn recruit(&self, tasks: usize) {
        let missing = (self.limit.min(tasks) - 1).saturating_sub(self.team.expected.load(SeqCst));
        let generation = self.team.generation.load(SeqCst);
        // So many times at most: some may be home again before all have been asked.
        for _ in 0..missing {
            if self.declined.load(SeqCst) {
                return;
            }
            self.team.expected.fetch_add(1, SeqCst);
            let helper = Helper { team: self.team.clone(), generation };
            ASKING.set(true);
            if catch_unwind(AssertUnwindSafe(|| self.executor.spawn(helper))).is_err() {
                self.panicked.store(true, SeqCst);
            }
            // A helper that ended on this very thread has set it to false.
            let accepted = ASKING.replace(false);
            self.declined.store(!accepted || self.executor_panicked(), SeqCst);
        }
    }
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        self.team.limit.store(0, SeqCst);
    }
}

impl Parallel for Crew<'_> {
    fn workers(&self) -> usize {
        self.limit
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        self.team.step(self.limit, tasks, f, || self.recruit(tasks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SharedPool, pool::OwnThreads};

    /// The sum over tasks of their number plus one; checks that no worker runs two tasks at once.
    fn sum(p: &dyn Parallel, tasks: usize) -> usize {
        let total = AtomicUsize::new(0);
        let busy: Vec<AtomicBool> = (0..p.workers()).map(|_| AtomicBool::new(false)).collect();
        p.run(tasks, &|t, w| {
            assert!(!busy[w].swap(true, SeqCst), "worker {w} runs two tasks at once");
            total.fetch_add(t + 1, SeqCst);
            busy[w].store(false, SeqCst);
        });
        total.into_inner()
    }

    #[test]
    fn every_task_runs_once_over_many_jobs() {
        let (own, shared) = (OwnThreads::new(4).unwrap(), SharedPool::new(3).unwrap());
        let team = Arc::new(Team::new(4));
        for round in 0..12 {
            let executor: &dyn Executor = if round % 3 == 2 { &shared } else { &own };
            let crew = Crew::new(&team, executor, round % 5, round % 3 != 1);
            assert!((1..=4).contains(&crew.workers()));
            for tasks in 0..200 {
                assert_eq!(sum(&crew, tasks), tasks * (tasks + 1) / 2, "round {round}");
            }
        }
    }

    #[test]
    fn helpers_do_take_part_and_go_home_for_want_of_work() {
        let own = OwnThreads::new(2).unwrap();
        let team = Arc::new(Team::new(2));
        let crew = Crew::new(&team, &own, 2, false);
        for _ in 0..3 {
            let seen = [AtomicBool::new(false), AtomicBool::new(false)];
            // Each of the two tasks waits for the other: they need two workers.
            crew.run(2, &|t, w| {
                seen[t].store(true, SeqCst);
                while !seen[1 - t].load(SeqCst) {
                    std::thread::yield_now();
                }
                assert!(w < 2);
            });
            let start = Instant::now();
            while team.expected.load(SeqCst) != 0 {
                assert!(start.elapsed() < Duration::from_secs(20), "the helper stays though the run has nothing to do");
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_panicking_task_reaches_the_caller_and_the_team_lives_on() {
        let own = OwnThreads::new(2).unwrap();
        let team = Arc::new(Team::new(2));
        let crew = Crew::new(&team, &own, 2, false);
        for bad in [0, 5] {
            let run = || crew.run(8, &|t, _| assert!(t != bad, "as the test wants it"));
            assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
            assert_eq!(sum(&crew, 10), 55);
        }
    }

    #[test]
    fn tasks_within_tasks_are_refused() {
        let own = OwnThreads::new(2).unwrap();
        let team = Arc::new(Team::new(2));
        for limit in [1, 2] {
            let crew = Crew::new(&team, &own, limit, false);
            for inner in [1, 8] {
                let ran = AtomicBool::new(false);
                let run = || crew.run(4, &|_, _| crew.run(inner, &|_, _| ran.store(true, SeqCst)));
                assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
                assert!(!ran.into_inner());
            }
            assert_eq!(sum(&crew, 10), 55);
        }
    }
}
