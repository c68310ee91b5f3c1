//! Vertical fusion: what follows a convolution or product moves into its weights or its epilogue.
//!
//! A rule looks at the follower (`input` at the convolution itself). The nodes go, one takes their place; the driver
//! declines where a value between them is an output or has other users.

mod affine;
mod input;
mod layer;
mod steps;
mod sums;

use crate::{OptError, Pass, PassCx, Proposal};
use paring_ir::{Node, NodeId};

/// See the module.
pub struct FuseEpilogues;

type Rule = fn(&PassCx<'_>, NodeId, &Node) -> Option<Proposal>;

const RULES: &[Rule] =
    &[sums::scaled, affine::after_layer, input::before_layer, steps::residual, steps::prelu, steps::activation];

/// Pooling as the last step of epilogues: a pass of its own, as no other step can follow.
pub struct FusePooling;

impl Pass for FusePooling {
    fn name(&self) -> &'static str {
        "fuse-pooling"
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        cx.sweep(steps::max_pool)
    }
}

impl Pass for FuseEpilogues {
    fn name(&self) -> &'static str {
        "fuse-epilogues"
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        cx.sweep(|cx, id, node| RULES.iter().find_map(|rule| rule(cx, id, node)))
    }
}
