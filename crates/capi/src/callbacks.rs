//! The program's allocator, threads and listener, behind the traits of the Rust library.

use crate::{
    handles::Table,
    status::{PARING_OK, paring_status, quietly},
    words::c_string,
};
use facade::{ALIGNMENT, Allocator, Block, Executor, Helper, Level, Log};
use std::ffi::{c_char, c_void};

/// Returns `bytes` bytes that start at a multiple of `alignment`, a power of two, or NULL where there are none.
pub type paring_alloc_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, bytes: usize, alignment: usize) -> *mut c_void>;

/// Takes back what a `paring_alloc_fn` returned for so many bytes.
pub type paring_free_fn = Option<unsafe extern "C" fn(ctx: *mut c_void, data: *mut c_void, bytes: usize)>;

/// Hears a message of level `PARING_LOG_WARNING`, `PARING_LOG_INFO` or `PARING_LOG_DEBUG`, which is gone after the call.
pub type paring_log_fn = Option<unsafe extern "C" fn(ctx: *mut c_void, level: i32, message: *const c_char)>;

/// Work for another thread. Must be called with the `work` that came with it, once.
pub type paring_work_fn = Option<unsafe extern "C" fn(work: *mut c_void)>;

/// Has `run(work)` called once on another thread, soon, and returns without waiting for it. Anything but `PARING_OK`
/// says that there is no thread to spare; then `run` is not to be called.
pub type paring_spawn_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, run: paring_work_fn, work: *mut c_void) -> paring_status>;

/// Nothing is told.
pub const PARING_LOG_NONE: i32 = 0;
/// Something that the program will want to change.
pub const PARING_LOG_WARNING: i32 = 1;
/// What was loaded and planned.
pub const PARING_LOG_INFO: i32 = 2;
/// Every rewrite that was considered and declined, with the reason.
pub const PARING_LOG_DEBUG: i32 = 3;

/// The program's own pointer that its callbacks are called with.
#[derive(Clone, Copy)]
pub(crate) struct Context(pub *mut c_void);

// SAFETY: the pointer is only handed back to callbacks, which the program promises can be called from any thread.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

/// The program's allocator.
#[derive(Clone, Copy)]
pub(crate) struct CallerAllocator {
    pub ctx: Context,
    pub alloc: unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void,
    pub free: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
}

impl Allocator for CallerAllocator {
    fn allocate(&self, bytes: usize) -> Option<Box<dyn Block>> {
        // SAFETY: the program promises that its callback can be called with its own context.
        let data: *mut u8 = unsafe { (self.alloc)(self.ctx.0, bytes, ALIGNMENT) }.cast();
        if data.is_null() {
            return None;
        }
        let block = Allocated { memory: Memory { data, len: bytes }, by: *self };
        // What the allocator of a C program returns has no contents yet, as Rust sees it.
        // SAFETY: the allocator promises so many bytes.
        unsafe { data.write_bytes(0, bytes) };
        Some(Box::new(block))
    }
}

/// Bytes of the caller's that nobody else uses meanwhile.
pub(crate) struct Memory {
    pub data: *mut u8,
    pub len: usize,
}

// SAFETY: whoever makes one has the caller's promise that nobody else uses the bytes.
unsafe impl Send for Memory {}
// SAFETY: shared access only reads.
unsafe impl Sync for Memory {}

impl Block for Memory {
    fn bytes(&self) -> &[u8] {
        if self.len == 0 {
            return &[];
        }
        // SAFETY: whoever makes one promises so many bytes.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        if self.len == 0 {
            return &mut [];
        }
        // SAFETY: as above, and `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }
}

/// A block of the program's allocator.
struct Allocated {
    memory: Memory,
    by: CallerAllocator,
}

impl Block for Allocated {
    fn bytes(&self) -> &[u8] {
        self.memory.bytes()
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        self.memory.bytes_mut()
    }
}

impl Drop for Allocated {
    fn drop(&mut self) {
        // SAFETY: what this allocator returned for so many bytes, once.
        unsafe { (self.by.free)(self.by.ctx.0, self.memory.data.cast(), self.memory.len) }
    }
}

/// The program's threads.
pub(crate) struct CallerThreads {
    pub ctx: Context,
    pub threads: usize,
    pub spawn: unsafe extern "C" fn(*mut c_void, paring_work_fn, *mut c_void) -> paring_status,
}

/// Work that programs have been handed. A piece of it is known by a number, so that doing it twice does nothing.
static WORK: Table<Helper> = Table::new(4, "piece of work");

impl Executor for CallerThreads {
    fn threads(&self) -> usize {
        self.threads
    }

    fn spawn(&self, helper: Helper) {
        let Ok(handle) = WORK.insert(helper) else { return };
        let work = std::ptr::without_provenance_mut(handle);
        // SAFETY: the program promises that its callback can be called with its own context.
        if unsafe { (self.spawn)(self.ctx.0, Some(do_work), work) } != PARING_OK {
            WORK.take(handle);
        }
    }
}

unsafe extern "C" fn do_work(work: *mut c_void) {
    quietly(|| {
        if let Some(helper) = WORK.take(work.addr()) {
            helper.help();
        }
    });
}

/// The program's listener.
pub(crate) fn log(level: Level, ctx: Context, listener: unsafe extern "C" fn(*mut c_void, i32, *const c_char)) -> Log {
    Log::new(level, move |level, message| {
        let ctx = ctx;
        let level = match level {
            Level::Warning => PARING_LOG_WARNING,
            Level::Info => PARING_LOG_INFO,
            Level::Debug => PARING_LOG_DEBUG,
        };
        let message = c_string(message);
        // SAFETY: the program promises that its callback can be called with its own context.
        unsafe { listener(ctx.0, level, message.as_ptr()) }
    })
}
