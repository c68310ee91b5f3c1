//! Brings the many ways in which exporters write one thing into one form.
//!
//! Each rule looks at one node; the others of its pattern are reached through its inputs. A rule replaces the last
//! value of the pattern and removes the node that made it: what else nobody needs then is left to dead-output
//! elimination, so inner values of a pattern may well have other users.

mod activation;
mod attributes;
mod choice;
mod einsum;
mod movement;
mod neutral;
mod norm;
mod pooling;
mod shuffle;
mod weights;

use crate::{OptError, Pass, PassCx, Proposal};
use paring_ir::{Node, NodeId};

/// See the module.
pub struct Canonicalize;

type Rule = fn(&PassCx<'_>, NodeId, &Node) -> Option<Proposal>;

/// The first rule that has something to say of a node wins.
const RULES: &[Rule] = &[
    neutral::remove_neutral,
    neutral::constant_second,
    neutral::divide_by_power_of_two,
    attributes::operand_to_attribute,
    einsum::matrix_product,
    attributes::product_with_constant,
    weights::quantised_weights,
    movement::merge_transposes,
    movement::transpose_image_first,
    movement::merge_views,
    movement::flatten_concat,
    shuffle::channel_shuffle,
    pooling::reduce_to_global_pool,
    pooling::pool_to_global_pool,
    pooling::pad_into_window,
    choice::sign_of_condition,
    activation::clamp,
    activation::bound,
    activation::hard_sigmoid,
    activation::swish,
    activation::hard_swish,
    activation::gelu,
    norm::layer_norm,
    norm::layer_norm_affine,
];

impl Pass for Canonicalize {
    fn name(&self) -> &'static str {
        "canonicalize"
    }

    fn run(&self, cx: &mut PassCx<'_>) -> Result<(), OptError> {
        cx.sweep(|cx, id, node| RULES.iter().find_map(|rule| rule(cx, id, node)))
    }
}
