//! What the optimizer did, for people.

use std::collections::HashSet;

/// One applied patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The pass that proposed it.
    pub pass: &'static str,
    /// The node it is about.
    pub node: String,
    /// What was done.
    pub what: String,
}

/// Why a pass left something as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Remark {
    /// The pass.
    pub pass: &'static str,
    /// The node it is about.
    pub node: String,
    /// The reason.
    pub reason: String,
}

/// The record of one run of the optimizer.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The patches, in order.
    pub applied: Vec<Applied>,
    /// What was declined, each reason once.
    pub remarks: Vec<Remark>,
    /// Number of patches applied.
    pub steps: usize,
    seen: HashSet<Remark>,
}

impl Report {
    pub(crate) fn remark(&mut self, remark: Remark) {
        if self.seen.insert(remark.clone()) {
            self.remarks.push(remark);
        }
    }

    /// How many patches a pass applied.
    pub fn count(&self, pass: &str) -> usize {
        self.applied.iter().filter(|a| a.pass == pass).count()
    }
}
