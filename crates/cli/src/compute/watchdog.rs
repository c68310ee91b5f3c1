//! The time limit of a command.

use crate::exit::{Exit, Failure, Result};
use paring::Canceller;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a run has to notice that it is cancelled.
const GRACE: Duration = Duration::from_secs(2);

/// Cancels the sessions it watches when the time is up; work that does not stop ends with the process.
pub struct Watchdog {
    deadline: Option<(Instant, Duration)>,
    watched: Arc<Mutex<Vec<Canceller>>>,
}

impl Watchdog {
    /// Starts the clock; without a limit nothing ever happens.
    pub fn start(limit: Option<Duration>) -> Watchdog {
        let watched = Arc::new(Mutex::new(Vec::<Canceller>::new()));
        if let Some(limit) = limit {
            let watched = watched.clone();
            thread::spawn(move || {
                thread::sleep(limit);
                for canceller in watched.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                    canceller.cancel();
                }
                thread::sleep(GRACE);
                let _ = writeln!(std::io::stderr(), "error: {}", message(limit));
                std::process::exit(Exit::Timeout as i32);
            });
        }
        let deadline = limit.and_then(|l| Some((Instant::now().checked_add(l)?, l)));
        Watchdog { deadline, watched }
    }

    /// Has `canceller` called when the time is up.
    pub fn watch(&self, canceller: Canceller) {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).push(canceller);
    }

    /// Fails once the time is up.
    pub fn check(&self) -> Result<()> {
        match self.deadline {
            Some((end, limit)) if Instant::now() >= end => Err(Failure::new(Exit::Timeout, message(limit))),
            _ => Ok(()),
        }
    }
}

fn message(limit: Duration) -> String {
    format!("out of time: the limit of {} s is reached", limit.as_secs_f64())
}
