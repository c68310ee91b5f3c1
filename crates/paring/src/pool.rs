//! The session's own threads: they spin for work while a run lasts and sleep between runs.
//!
//! A job is a borrowed closure and a count of tasks. Workers take tasks from a shared counter; whoever calls takes part
//! and returns once no worker is inside the job. Waking a sleeping thread costs tens of microseconds and spinning ones
//! answer in a fraction of one, which is why workers stay awake from the first layer of a run to the last.

use paring_kernel::Parallel;
use std::{
    cell::UnsafeCell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread::JoinHandle,
};

type Job = *const (dyn Fn(usize, usize) + Sync);

struct Shared {
    /// Meaningful while `open`; written only by the caller while no worker is `inside`.
    job: UnsafeCell<Option<(Job, usize)>>,
    open: AtomicBool,
    inside: AtomicUsize,
    next: AtomicUsize,
    panicked: AtomicBool,
    /// Whether a run is going on, so that workers spin rather than sleep.
    awake: AtomicBool,
    stop: AtomicBool,
    lock: Mutex<()>,
    wake: Condvar,
}

// SAFETY: `job` is written only while `open` is false and `inside` is zero, and read only by workers that are counted in
// `inside` and have seen `open` after that; `SeqCst` on both orders the accesses (see `Pool::run` and `work`).
unsafe impl Sync for Shared {}
// SAFETY: the pointer in `job` is dereferenced only while the closure it points to is borrowed by `Pool::run`.
unsafe impl Send for Shared {}

/// Threads that belong to one session.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// A pool of `workers`, the calling thread included.
    pub fn new(workers: usize) -> std::io::Result<Pool> {
        let shared = Arc::new(Shared {
            job: UnsafeCell::new(None),
            open: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            next: AtomicUsize::new(0),
            panicked: AtomicBool::new(false),
            awake: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            lock: Mutex::new(()),
            wake: Condvar::new(),
        });
        let mut pool = Pool { shared, threads: Vec::new() };
        for w in 1..workers {
            let shared = pool.shared.clone();
            let thread = std::thread::Builder::new().name(format!("paring-{w}")).spawn(move || live(&shared, w))?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Wakes the workers for a run.
    pub fn begin(&self) {
        self.shared.awake.store(true, SeqCst);
        drop(self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.wake.notify_all();
    }

    /// Lets the workers sleep.
    pub fn end(&self) {
        self.shared.awake.store(false, SeqCst);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        self.begin();
        for t in self.threads.drain(..) {
            let _ = t.join();
        }
    }
}

impl Parallel for Pool {
    fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        if tasks <= 1 || self.threads.is_empty() {
            return (0..tasks).for_each(|t| f(t, 0));
        }
        let s = &*self.shared;
        // SAFETY: erases the lifetime only; this function does not return before no worker can use the pointer.
        let job: Job = unsafe { std::mem::transmute::<&(dyn Fn(usize, usize) + Sync), Job>(f) };
        // SAFETY: `open` is false and `inside` was zero after that, so that no worker reads the cell.
        unsafe { *s.job.get() = Some((job, tasks)) };
        s.next.store(0, SeqCst);
        s.open.store(true, SeqCst);
        let own = catch_unwind(AssertUnwindSafe(|| take_tasks(s, tasks, |t| f(t, 0))));
        s.open.store(false, SeqCst);
        // A worker that counts itself in after this sees `open` false and leaves the job alone.
        while s.inside.load(SeqCst) != 0 {
            std::hint::spin_loop();
        }
        if s.panicked.swap(false, SeqCst) || own.is_err() {
            panic!("a kernel panicked on a worker thread");
        }
    }
}

fn take_tasks(s: &Shared, tasks: usize, f: impl Fn(usize)) {
    loop {
        let t = s.next.fetch_add(1, SeqCst);
        if t >= tasks {
            return;
        }
        f(t);
    }
}

/// The life of worker `w`.
fn live(s: &Shared, w: usize) {
    let mut idle = 0u32;
    while !s.stop.load(SeqCst) {
        if !s.awake.load(SeqCst) {
            let guard = s.lock.lock().unwrap_or_else(PoisonError::into_inner);
            // `begin` sets `awake` before it takes the lock, so that no wake-up is lost here.
            if !s.awake.load(SeqCst) && !s.stop.load(SeqCst) {
                drop(s.wake.wait(guard).unwrap_or_else(PoisonError::into_inner));
            }
            idle = 0;
            continue;
        }
        if s.open.load(SeqCst) && s.next.load(SeqCst) < usize::MAX / 2 && work(s, w) {
            idle = 0;
            continue;
        }
        idle += 1;
        if idle > 20_000 {
            // A long serial stretch: leave the core to others now and then.
            std::thread::yield_now();
            idle = 0;
        } else {
            std::hint::spin_loop();
        }
    }
}

/// Takes part in the open job, if there still is one. Returns whether any task was done.
fn work(s: &Shared, w: usize) -> bool {
    s.inside.fetch_add(1, SeqCst);
    let mut any = false;
    if s.open.load(SeqCst) {
        // SAFETY: counted in `inside` and `open` seen after that: the caller neither writes the cell nor returns from
        // `run` until `inside` is zero again.
        if let Some((job, tasks)) = unsafe { *s.job.get() } {
            // SAFETY: as above, the closure is alive.
            let f = unsafe { &*job };
            let done = catch_unwind(AssertUnwindSafe(|| {
                take_tasks(s, tasks, |t| {
                    f(t, w);
                })
            }));
            any = true;
            if done.is_err() {
                s.panicked.store(true, SeqCst);
            }
        }
    }
    s.inside.fetch_sub(1, SeqCst);
    any && s.open.load(SeqCst) && {
        // All tasks are taken; wait for the caller to close the job rather than count in and out.
        while s.open.load(SeqCst) && !s.stop.load(SeqCst) {
            std::hint::spin_loop();
        }
        true
    }
}

/// A rayon pool that others may use too.
pub(crate) struct Rayon(pub Arc<rayon::ThreadPool>);

impl Parallel for Rayon {
    fn workers(&self) -> usize {
        self.0.current_num_threads()
    }

    fn run(&self, tasks: usize, f: &(dyn Fn(usize, usize) + Sync)) {
        if tasks <= 1 || self.workers() == 1 {
            return (0..tasks).for_each(|t| f(t, 0));
        }
        let next = AtomicUsize::new(0);
        self.0.broadcast(|cx| {
            loop {
                let t = next.fetch_add(1, SeqCst);
                if t >= tasks {
                    return;
                }
                f(t, cx.index());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums(p: &dyn Parallel, tasks: usize) -> usize {
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
        let pool = Pool::new(3).unwrap();
        for round in 0..3 {
            pool.begin();
            for tasks in 0..200 {
                assert_eq!(sums(&pool, tasks), tasks * (tasks + 1) / 2, "round {round}");
            }
            pool.end();
        }
        let rayon = Rayon(Arc::new(rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap()));
        assert_eq!(sums(&rayon, 100), 5050);
    }

    #[test]
    fn a_panicking_task_reaches_the_caller_and_the_pool_lives_on() {
        let pool = Pool::new(2).unwrap();
        pool.begin();
        let caught = catch_unwind(AssertUnwindSafe(|| pool.run(8, &|t, _| assert!(t != 5))));
        assert!(caught.is_err());
        assert_eq!(sums(&pool, 10), 55);
    }
}
