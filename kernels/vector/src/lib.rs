//! Elementwise, pooling, normalising and moving kernels: all that is bound by memory rather than by arithmetic.
//!
//! Each family is written once over [`paring_simd::Simd`] and stamped for every instruction set in [`KERNELS`].
//! Kernels that only move or compare elements, or that vectors do not speed up, are portable code alone.

mod arg_reduce;
pub mod batch_norm;
mod binary;
mod cast;
mod cast_f32;
mod channels;
mod concat;
mod cum_sum;
mod elementwise;
mod gather;
mod global_pool;
mod grid_sample;
mod loops;
mod lrn;
mod movement;
mod one_hot;
mod pad;
pub mod places;
mod pool;
mod post;
mod reduce;
mod reorder;
mod resize;
mod row_norm;
mod scalar;
mod softmax;
mod strided;
pub mod support;
mod top_k;
mod unpool;
pub mod windows;

use paring_kernel::{Kernel, KernelDescriptor, NumericClass, count, joined};
use paring_simd::{Portable, Simd, stamped};
use std::marker::PhantomData;
use support::Entry;

macro_rules! entry {
    ($isa:ty, $suffix:literal, $family:ty, $name:literal, $summary:literal, $ops:expr, $class:ident) => {
        &Entry::<$family, $isa> {
            descriptor: &KernelDescriptor {
                name: concat!($name, $suffix),
                summary: $summary,
                ops: &$ops,
                isa: <$isa as Simd>::ISA,
                numerics: NumericClass::$class,
            },
            kind: PhantomData,
        }
    };
}

macro_rules! kernels {
    (vector { $($family:ty: $name:literal, $summary:literal, $ops:expr, $class:ident;)* }
     portable { $($pfamily:ty: $pname:literal, $psummary:literal, $pops:expr, $pclass:ident;)* }) => {
        const PARTS: &[&[&dyn Kernel]] = &[
            $(stamped!(every: entry!($family, $name, $summary, $ops, $class)),)*
            &[$(entry!(Portable, "", $pfamily, $pname, $psummary, $pops, $pclass),)*],
        ];
    };
}

/// Every kernel of this crate.
pub static KERNELS: &[&dyn Kernel] = &joined::<{ count(PARTS) }>(PARTS);

kernels! {
    vector {
        elementwise::Elementwise: "elementwise_f32", "A function of one number, eight at a time.",
            ["Unary", "Activation"], Reassociated;
        binary::Binary: "binary_f32", "A function of two numbers over merged broadcast loops.",
            ["Binary"], Reassociated;
        batch_norm::BatchNorm: "batch_norm_f32", "One multiply-add per element.",
            ["BatchNorm"], Reassociated;
        pool::Pool: "pool_f32", "Windows of one or two axes.",
            ["Pool"], Reassociated;
        global_pool::GlobalPool: "global_pool_f32", "Whole planes, folded in four chains.",
            ["GlobalPool"], Reassociated;
        row_norm::RowNorm: "row_norm_f32", "Mean and variance of rows in two passes.",
            ["LayerNorm", "GroupNorm", "InstanceNorm"], Reassociated;
        softmax::Softmax: "softmax_f32", "Rows or eight columns at once.",
            ["Softmax", "LpNorm"], Reassociated;
        lrn::Lrn: "lrn_f32", "Squares of neighbouring channels, window by window.",
            ["Lrn"], Reassociated;
        reduce::Reduce: "reduce_f32", "Folds over merged axes.",
            ["Reduce"], Reassociated;
        arg_reduce::ArgReduce: "arg_reduce_f32", "Places of extremes, of rows or of many columns at once.",
            ["ArgReduce"], Exact;
        resize::Resize: "resize_f32", "Nearest and linear interpolation by tables.",
            ["Resize"], Reassociated;
        cast_f32::CastF32: "cast_f32", "Conversions of `f32` to integers, saturating.", ["Cast"], Exact;
        movement::Movement: "movement", "Strided copies over merged dimensions, transposed in 8x8 blocks.",
            ["Transpose", "Slice", "Expand", "Tile", "ChannelShuffle", "DepthToSpace", "SpaceToDepth", "Reshape",
             "Flatten", "Squeeze", "Unsqueeze", "Identity"], Exact;
        reorder::Reorder: "reorder_f32", "Plain to blocked layout and back by 8x8 transposes.",
            ["Identity"], Exact;
    }
    portable {
        concat::Concat: "concat", "Runs of memory, copied.", ["Concat", "Split"], Exact;
        channels::Channels: "channels_blocked", "Lanes of blocked channels, from a table of their sources.",
            ["Concat", "Split", "Slice", "ChannelShuffle", "Gather"], Exact;
        pad::Pad: "pad", "Rows, copied between borders.", ["Pad"], Exact;
        gather::Gather: "gather", "Slices or elements by checked indices.", ["Gather", "GatherElements"], Exact;
        one_hot::OneHot: "one_hot", "Fills, with one element of each replaced.", ["OneHot"], Exact;
        scalar::Scalar: "scalar", "Comparisons, choices, integers and booleans.", ["Binary", "Where", "Unary"], Exact;
        cast::Cast: "cast", "Conversions of the element type.", ["Cast"], Exact;
        top_k::TopK: "top_k_f32", "A heap of those kept, and the rest compared with the least of it.", ["TopK"], Exact;
        cum_sum::CumSum: "cum_sum", "Many columns at once.", ["CumSum"], Exact;
        grid_sample::GridSample: "grid_sample_f32", "Up to four elements of every channel, their places computed once.",
            ["GridSample"], Reassociated;
        unpool::MaxUnpool: "max_unpool", "Elements put where their indices say.", ["MaxUnpool"], Exact;
    }
}
