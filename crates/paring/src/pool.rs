//! Executors of a single session: its own threads, or nobody.

use crate::{Executor, Helper};
use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread::JoinHandle,
};

/// The calling thread alone.
pub(crate) struct Nobody;

impl Executor for Nobody {
    fn threads(&self) -> usize {
        1
    }

    fn spawn(&self, _: Helper) {}
}

/// Threads that belong to one session. They sleep but while they help.
pub(crate) struct OwnThreads {
    lobby: Arc<Lobby>,
    threads: Vec<JoinHandle<()>>,
}

/// Where the threads wait for something to do.
struct Lobby {
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

struct Waiting {
    helpers: Vec<Helper>,
    closed: bool,
}

impl OwnThreads {
    /// Threads for so many workers, the calling one included.
    pub fn new(workers: usize) -> std::io::Result<OwnThreads> {
        // Room for as many as a run asks for, so that running allocates nothing.
        let waiting = Waiting { helpers: Vec::with_capacity(workers), closed: false };
        let lobby = Arc::new(Lobby { waiting: Mutex::new(waiting), wake: Condvar::new() });
        let mut own = OwnThreads { lobby, threads: Vec::new() };
        for w in 1..workers {
            let lobby = own.lobby.clone();
            let thread = std::thread::Builder::new().name(format!("paring-{w}"));
            own.threads.push(thread.spawn(move || while_open(&lobby))?);
        }
        Ok(own)
    }
}

/// Takes up helpers one after the other until the lobby closes.
fn while_open(lobby: &Lobby) {
    loop {
        let mut waiting = lobby.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let helper = loop {
            if waiting.closed {
                return;
            }
            match waiting.helpers.pop() {
                Some(helper) => break helper,
                None => waiting = lobby.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(waiting);
        helper.help();
    }
}

impl Executor for OwnThreads {
    fn threads(&self) -> usize {
        self.threads.len() + 1
    }

    fn spawn(&self, helper: Helper) {
        self.lobby.waiting.lock().unwrap_or_else(PoisonError::into_inner).helpers.push(helper);
        self.lobby.wake.notify_one();
    }
}

impl Drop for OwnThreads {
    fn drop(&mut self) {
        self.lobby.waiting.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.lobby.wake.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
