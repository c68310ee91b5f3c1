//! Running allocates nothing once the shapes have been seen. Alone in its file: it counts for the whole process.

mod common;

use common::prepared;
use paring::{Executor, Helper, Options, RunOptions};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

struct Counting;

static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises; `ptr` came from `System`.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as the caller promises; `ptr` came from `System`.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// An executor that allocates nothing, and helps nobody.
struct Nobody;

impl Executor for Nobody {
    fn threads(&self) -> usize {
        2
    }

    fn spawn(&self, _: Helper) {}
}

#[test]
fn running_allocates_nothing() {
    assert!(CALLS.load(Ordering::Relaxed) > 0, "the counter counts");
    for (name, optimize) in [("squeezenet1_1", true), ("mobilenet_v2", true), ("squeezenet1_1", false)] {
        for threads in [1, 2, 3] {
            let mut session = prepared(name, &Options::default().with_threads(threads).with_optimize(optimize));
            session.run().unwrap();
            let before = CALLS.load(Ordering::Relaxed);
            for _ in 0..3 {
                session.run().unwrap();
            }
            // Neither do single runs with fewer threads or other ones.
            let options = RunOptions::default();
            session.using(options.with_max_threads(2)).run().unwrap();
            session.using(options.with_executor(&Nobody)).run().unwrap();
            session.run().unwrap();
            let calls = CALLS.load(Ordering::Relaxed) - before;
            assert_eq!(calls, 0, "{name}, optimised {optimize}, {threads} threads: calls of the allocator");
        }
    }
}
