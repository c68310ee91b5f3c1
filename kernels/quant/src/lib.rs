//! Kernels on quantised bytes.
//!
//! Operands are tensors of `u8` or `i8` whose type says what the integers stand for ([`paring_core::Quant`]). Sums of
//! products are exact; results are made numbers in `f32`, go through the epilogue, and are rounded to the nearest integer,
//! halves to even, where the epilogue ends by quantising.

mod binary;
mod conv;
mod convert;
mod dense;
mod depthwise;
mod dynamic;
pub mod family;
mod finish;
mod lanes;
mod late;
mod matmul;
mod mean;
mod multiply;
mod needed;
mod operand;
mod pool;
mod product;
mod resize;
mod rows;
mod table;
mod tile;
#[cfg(any(all(target_arch = "x86_64", feature = "avx512"), target_arch = "aarch64"))]
mod tiles;
#[cfg(feature = "winograd")]
mod winograd;

use family::Entry;
use paring_kernel::{Kernel, KernelDescriptor, NumericClass, count, joined};
use paring_simd::{Simd, stamped};
use std::marker::PhantomData;

macro_rules! entry {
    ($isa:ty, $suffix:literal, $family:ty, $name:literal, $summary:literal, $ops:expr) => {
        entry!($isa, <$isa as Simd>::ISA, $suffix, $family, $name, $summary, $ops)
    };
    ($isa:ty, $needs:expr, $suffix:literal, $family:ty, $name:literal, $summary:literal, $ops:expr) => {
        &Entry::<$family, $isa> {
            descriptor: &KernelDescriptor {
                name: concat!($name, $suffix),
                summary: $summary,
                ops: &$ops,
                isa: $needs,
                numerics: NumericClass::Reassociated,
            },
            kind: PhantomData,
        }
    };
}

/// A table of kernels, each for every instruction set; those that sum products of bytes for what is made for that as
/// well, and some only for what takes any weights.
macro_rules! kernels {
    (products { $($product:ty: $pname:literal, $psummary:literal, $pops:expr;)* }
     any_weights { $($any:ty: $aname:literal, $asummary:literal, $aops:expr;)* }
     transforms { $($(#[$tif:meta])* $transform:ty: $tname:literal, $tsummary:literal, $tops:expr;)* }
     others { $($(#[$if:meta])* $family:ty: $name:literal, $summary:literal, $ops:expr;)* }) => {
        const PARTS: &[&[&dyn Kernel]] = &[
            $(stamped!(products: entry!($product, $pname, $psummary, $pops)),)*
            $(stamped!(any_weights: entry!($any, $aname, $asummary, $aops)),)*
            $($(#[$tif])* stamped!(vectors: entry!($transform, $tname, $tsummary, $tops)),)*
            $($(#[$if])* stamped!(every: entry!($family, $name, $summary, $ops)),)*
            TILES,
        ];
    };
}

/// Kernels on tiles, which do all else with the instructions they are stamped for.
const TILES: &[&dyn Kernel] = &[
    #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
    entry!(
        paring_simd::Avx512Vnni,
        paring_kernel::Isa::Amx,
        "_amx",
        conv::ConvTiles<tiles::ByTiles>,
        "conv_bytes",
        "Direct convolution of bytes on blocks of eight channels: tiles of 32 pixels by 32 channels, 64 terms at a time",
        ["Conv", "ConvInteger"]
    ),
    #[cfg(target_arch = "aarch64")]
    entry!(
        paring_simd::NeonI8mm,
        "_i8mm",
        conv::ConvTiles<tiles::ByMatrices>,
        "conv_matrix_bytes",
        "Direct convolution of bytes on blocks of eight channels: two pixels by two channels, eight terms at a time",
        ["Conv", "ConvInteger"]
    ),
];

/// Every kernel of this crate.
pub static KERNELS: &[&dyn Kernel] = &joined::<{ count(PARTS) }>(PARTS);

kernels! {
    products {
        conv::Conv: "conv_bytes",
            "Direct convolution of bytes on blocks of eight channels: tiles of pixels by 16 channels, four channels at a time",
            ["Conv", "ConvInteger"];
        dense::Dense: "dense_bytes", "Product of bytes with a constant matrix, four terms at a time",
            ["Dense", "MatMulInteger"];
        matmul::MatMul: "matmul_bytes", "Batched product of two matrices of bytes, made words first", ["MatMul"];
    }
    any_weights {
        depthwise::DepthwiseDots: "conv_depthwise_dots_bytes",
            "Depthwise convolution of bytes: four taps of a row at a time", ["Conv"];
    }
    transforms {
        #[cfg(feature = "winograd")]
        winograd::Winograd: "conv_winograd_bytes",
            "Winograd convolution of bytes by tiles of two by two, exact: windows of 3 x 3, stride 1", ["Conv"];
    }
    others {
        depthwise::Depthwise: "conv_depthwise_bytes",
            "Depthwise convolution of bytes: numbers once for a band of rows, then windows over those", ["Conv"];
        binary::Binary: "binary_bytes", "A function of two numbers that bytes stand for", ["Binary"];
        table::Table: "table_bytes", "A function of a byte, by a table of its 256 values", ["Unary", "Activation"];
        pool::MaxPool: "pool_max_bytes", "The largest byte of each window", ["Pool"];
        mean::MeanPool: "pool_mean_bytes", "The mean of each window, from an exact sum", ["Pool"];
        resize::Resize: "resize_bytes", "Nearest and linear interpolation of images of bytes", ["Resize"];
        pool::GlobalMean: "global_mean_bytes", "The mean of every plane, from an exact sum", ["GlobalPool"];
        convert::Convert: "convert_bytes",
            "Numbers to bytes, bytes to others, and bytes to numbers, from layout to layout",
            ["Identity", "DequantizeLinear"];
        dynamic::DynamicQuantize: "dynamic_quantize_bytes",
            "Numbers to bytes by their own range, found in a first pass", ["DynamicQuantizeLinear"];
    }
}
