//! Takes channel shuffles, splits, slices and the concatenations between them out of the way.
//!
//! Moving whole channels costs memory traffic and computes nothing (Ma et al. 2018, "ShuffleNet V2", G4). Every value
//! whose readers can all follow is seen as a *selection*: a list of channels of some value that is really there. A
//! convolution reads a selection through [`ConvAttrs::select`](paring_core::op::ConvAttrs), what works on each channel
//! alone runs on the underlying value with its constants permuted, and a concatenation of selections becomes a
//! selection of a concatenation, which the planner lays out as slices of one buffer. Channels that nobody selects any
//! more stay where they are; nothing is copied.

mod analysis;
mod rewrite;

use crate::{OptError, Pass, PassCx};

/// See the module.
pub struct AbsorbChannels;

impl Pass for AbsorbChannels {
    fn name(&self) -> &'static str {
        "absorb-channels"
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        let readers = analysis::Readers::of(cx)?;
        if readers.nothing_moves() {
            return Ok(());
        }
        rewrite::rewrite(cx, readers)
    }
}
