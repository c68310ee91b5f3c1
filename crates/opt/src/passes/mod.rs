//! The passes.

mod canonical;
mod channels;
mod cse;
mod dead;
pub(crate) mod fold;
mod fuse;
mod integers;
mod siblings;
mod signs;

use crate::Pass;

/// The passes in the order they run. Each inner list is repeated until nothing in it changes the graph.
pub const PHASES: &[&[&dyn Pass]] = &[
    // What nobody wants any more need not be computed, such as numbers of weights that are kept as integers.
    &[&canonical::Canonicalize, &dead::DeadOutputs, &fold::FoldConstants, &cse::CommonSubexpressions],
    &[&fuse::FuseEpilogues, &dead::DeadOutputs],
    &[&integers::Integers, &signs::Signs, &dead::DeadOutputs],
    &[&siblings::MergeSiblings, &dead::DeadOutputs],
    &[&channels::AbsorbChannels, &canonical::Canonicalize, &cse::CommonSubexpressions, &dead::DeadOutputs],
    &[&fuse::FusePooling],
];

/// The names of all passes, each once.
pub fn names() -> impl Iterator<Item = &'static str> {
    let phases = PHASES.iter().flat_map(|p| p.iter()).map(|p| p.name());
    let all: Vec<&'static str> = core::iter::once(crate::widen::NAME).chain(phases).collect();
    (0..all.len()).filter(|&i| !all[..i].contains(&all[i])).map(|i| all[i]).collect::<Vec<_>>().into_iter()
}
