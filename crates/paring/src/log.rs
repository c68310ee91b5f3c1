//! What is worth telling while a model is loaded and planned.

use crate::rewrite::Rewritten;
use paring_plan::Plan;
use std::{fmt, sync::Arc};

/// Layers of fewer multiply-adds than this are not worth a warning.
const SLOW: u64 = 100_000;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Something that the program will want to change, such as a layer that only the slow reference computes.
    Warning,
    /// What was loaded and planned.
    Info,
    /// Every rewrite that was considered and declined, with the reason.
    Debug,
}

/// Somebody who listens. Nothing is told while a model runs.
#[derive(Clone)]
pub struct Log {
    most: Level,
    listener: Arc<Listener>,
}

type Listener = dyn Fn(Level, &str) + Send + Sync;

impl Log {
    /// Hands messages up to this level to `listener`, on the thread that loads a model, makes a session, or runs it for
    /// the first time with new shapes.
    pub fn new(most: Level, listener: impl Fn(Level, &str) + Send + Sync + 'static) -> Log {
        Log { most, listener: Arc::new(listener) }
    }

    /// Tells what the optimizer did to a graph and what it declined to do.
    pub(crate) fn rewritten(&self, report: &Rewritten) {
        for r in &report.remarks {
            self.say(Level::Debug, || format!("{}: not at '{}': {}", r.pass, r.node, r.reason));
        }
        let (made, declined) = (report.applied.len(), report.remarks.len());
        self.say(Level::Info, || format!("optimised: {made} rewrites made, {declined} declined"));
    }

    /// Tells what a plan takes, and which of its layers are slow for want of a kernel.
    pub(crate) fn planned(&self, plan: &Plan) {
        for s in plan.steps.iter().filter(|s| s.macs > SLOW && s.kernel.ends_with("_reference")) {
            self.say(Level::Warning, || {
                let (name, op, kernel) = (&s.name, s.op, s.kernel);
                format!("'{name}' ({op}) has no fast kernel for this type and shape, and runs on {kernel}")
            });
        }
        let m = plan.memory();
        self.say(Level::Info, || {
            format!(
                "planned: {} layers, {} bytes between them, {} bytes of packed weights",
                plan.steps.len(),
                m.arena,
                m.packed
            )
        });
    }

    /// Says `message`, which is not made where nobody listens.
    pub(crate) fn say(&self, level: Level, message: impl FnOnce() -> String) {
        if level <= self.most {
            (self.listener)(level, &message());
        }
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Log({:?})", self.most)
    }
}
