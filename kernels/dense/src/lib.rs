//! Dense arithmetic in `f32`: convolution, transposed convolution, matrix products and recurrence.
//!
//! Direct convolution, fully connected and recurrent layers and matrix products all rest on one micro-kernel (`tile`): up
//! to six rows (output pixels) times sixteen columns (output channels), weights in panels of sixteen columns, the other
//! operand read one scalar at a time.
#![warn(missing_docs)]
// Families share code, of which some have no use for all.
#![cfg_attr(
    not(all(
        feature = "fft",
        feature = "fp16",
        feature = "im2col",
        feature = "lowbit",
        feature = "transposed",
        feature = "winograd"
    )),
    allow(dead_code, unused_imports)
)]

pub mod conv;
pub mod depthwise;
pub mod epilogue;
#[cfg(feature = "fft")]
mod fft;
pub mod fully_connected;
mod gemm;
#[cfg(feature = "fp16")]
mod half;
#[cfg(any(all(target_arch = "x86_64", feature = "avx512"), all(target_arch = "aarch64", feature = "fp16")))]
mod halves;
#[cfg(feature = "im2col")]
mod im2col;
pub mod matmul;
mod one_row;
mod packed;
pub mod panel;
mod recurrent;
mod stamp;
#[cfg(feature = "lowbit")]
mod table;
mod tile;
pub mod tiled;
mod unpacked;
#[cfg(feature = "winograd")]
mod winograd;

use paring_kernel::{Kernel, KernelDescriptor, NumericClass, count, joined};
use paring_simd::{Simd, stamped};

/// One kernel on one instruction set.
macro_rules! entry {
    ($isa:ty, $suffix:literal, $($kernel:ident)::+, $name:literal, $summary:expr, $ops:expr, $class:ident) => {
        entry!($isa, <$isa as Simd>::ISA, $suffix, $($kernel)::+, $name, $summary, $ops, $class)
    };
    ($isa:ty, $needs:expr, $suffix:literal, $($kernel:ident)::+, $name:literal, $summary:expr, $ops:expr, $class:ident) => {
        &<$($kernel)::+<$isa>>::new(&KernelDescriptor {
            name: concat!($name, $suffix),
            summary: $summary,
            ops: &$ops,
            isa: $needs,
            numerics: NumericClass::$class,
        })
    };
}

/// A table of kernels, each for every instruction set; those that multiply matrices for wider registers as well, and those
/// that transform for vectors only.
macro_rules! kernels {
    (wide { $($(#[$wif:meta])* $($wide:ident)::+: $wname:literal, $wsummary:literal, $wops:expr, $wclass:ident;)* }
     transforms { $($(#[$tif:meta])* $($t:ident)::+: $tname:literal, $tsummary:literal, $tops:expr, $tclass:ident;)* }
     narrow { $($(#[$if:meta])* $($narrow:ident)::+: $name:literal, $summary:literal, $ops:expr, $class:ident;)* }) => {
        const PARTS: &[&[&dyn Kernel]] = &[
            $($(#[$wif])* stamped!(wide: entry!($($wide)::+, $wname, $wsummary, $wops, $wclass)),)*
            $($(#[$tif])* stamped!(wide_vectors: entry!($($t)::+, $tname, $tsummary, $tops, $tclass)),)*
            $($(#[$if])* stamped!(every: entry!($($narrow)::+, $name, $summary, $ops, $class)),)*
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            SPLIT3,
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            SPLIT2,
            #[cfg(all(target_arch = "aarch64", feature = "fp16"))]
            HALF,
        ];
    };
}

/// Kernels of numbers made halves, which do all else with AVX-512 or with Advanced SIMD.
#[cfg(any(all(target_arch = "x86_64", feature = "avx512"), all(target_arch = "aarch64", feature = "fp16")))]
macro_rules! halves {
    ($isa:ident $needs:ident $suffix:literal, $conv:ident $cname:literal, $dense:ident $dname:literal, $how:literal, $class:ident) => {
        &[
            entry!(
                paring_simd::$isa,
                paring_kernel::Isa::$needs,
                $suffix,
                halves::$conv,
                $cname,
                concat!("Direct convolution on blocks of eight channels: ", $how),
                ["Conv"],
                $class
            ),
            entry!(
                paring_simd::$isa,
                paring_kernel::Isa::$needs,
                $suffix,
                halves::$dense,
                $dname,
                concat!("Product of several rows with a constant matrix: ", $how),
                ["Dense"],
                $class
            ),
        ]
    };
}

#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
const SPLIT3: &[&dyn Kernel] = halves!(
    Avx512 Amx "_amx", SplitConv "conv_split3_f32", SplitDense "dense_split3_f32",
    "tiles of 32 rows by 32 columns, numbers as sums of three bf16", Transformed
);
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
const SPLIT2: &[&dyn Kernel] = halves!(
    Avx512 Amx "_amx", SplitConv "conv_split2_f32", SplitDense "dense_split2_f32",
    "tiles of 32 rows by 32 columns, numbers as sums of two bf16", Reduced
);
#[cfg(all(target_arch = "aarch64", feature = "fp16"))]
const HALF: &[&dyn Kernel] = halves!(
    Neon Fp16 "_fp16", HalfConv "conv_half_f32", HalfDense "dense_half_rows_f32",
    "tiles of eight rows by 16 columns, 32 terms at a time summed as halves", Reduced
);

/// The kernels of this crate.
pub static KERNELS: &[&dyn Kernel] = &joined::<{ count(PARTS) }>(PARTS);

kernels! {
    wide {
        conv::DirectConv: "conv_direct_f32",
            "Direct convolution on blocks of eight channels: tiles of pixels by 16 channels, pixels flattened across rows",
            ["Conv"], Reassociated;
        #[cfg(feature = "im2col")]
        im2col::Im2col: "conv_im2col_f32",
            "Convolution as a product with patches of the input, gathered for sixteen pixels at a time",
            ["Conv"], Reassociated;
        #[cfg(feature = "transposed")]
        conv::TransposedConv: "conv_transpose_f32",
            "Transposed convolution as one direct convolution per phase of the output (sub-pixel form)",
            ["ConvTranspose"], Reassociated;
        fully_connected::Dense: "dense_f32",
            "Product with a constant matrix in panels of sixteen columns; few rows read four panels at once",
            ["Dense"], Reassociated;
        matmul::MatMul: "matmul_f32",
            "Batched matrix product: panels of sixteen columns of the right operand against tiles of rows of the left",
            ["MatMul"], Reassociated;
        recurrent::Recurrent: "recurrent_f32",
            "LSTM, GRU and plain recurrence: one product with all steps of the input, then one for each step with the state",
            ["Recurrent"], Reassociated;
    }
    transforms {
        #[cfg(feature = "winograd")]
        winograd::Square2x3: "conv_winograd_f2x3_f32",
            "Winograd convolution F(2, 3): 2.25 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Square4x3: "conv_winograd_f4x3_f32",
            "Winograd convolution F(4, 3) with points 0, +-sqrt 2, +-1/sqrt 2: 4 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Square6x3: "conv_winograd_f6x3_f32",
            "Winograd convolution F(6, 3) with points 0, +-1, +-2, +-1/2: 5.06 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Strided2x3: "conv_winograd_s2_f2x3_f32",
            "Winograd convolution with stride 2, F(2, 3) as F(2, 2) of every second pixel: 1.44 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Strided3x3: "conv_winograd_s2_f3x3_f32",
            "Winograd convolution with stride 2, F(3, 3) as F(3, 2) of every second pixel: 1.65 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Strided5x3: "conv_winograd_s2_f5x3_f32",
            "Winograd convolution with stride 2, F(5, 3) as F(5, 2) of every second pixel: 1.86 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Strided5x7: "conv_winograd_s2_f5x7_f32",
            "Winograd convolution with stride 2, F(5, 7) as F(5, 4) of every second pixel: 5.4 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Square2x5: "conv_winograd_f2x5_f32",
            "Winograd convolution F(2, 5) with points 0, +-sqrt 2, +-1/sqrt 2: 2.78 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Square4x5: "conv_winograd_f4x5_f32",
            "Winograd convolution F(4, 5) with points 0, +-1, +-2, +-1/2: 6.25 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Line4x3: "conv_winograd_f4x3_line_f32",
            "Winograd convolution F(4, 3) of windows of 1 x 3 or 3 x 1: 2 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "winograd")]
        winograd::Line4x7: "conv_winograd_f4x7_line_f32",
            "Winograd convolution F(4, 7) of windows of 1 x 7 or 7 x 1: 2.8 times fewer multiplications",
            ["Conv"], Transformed;
        #[cfg(feature = "fft")]
        fft::FftConv: "conv_fft_f32",
            "Convolution by Fourier transforms of tiles of 16 x 16 or 32 x 32, for windows from 5 x 5 to 31 x 31",
            ["Conv"], Transformed;
    }
    narrow {
        depthwise::Depthwise: "conv_depthwise_f32",
            "Depthwise convolution on blocks of eight channels: inputs reused over columns, weights in registers",
            ["Conv"], Reassociated;
        #[cfg(feature = "fp16")]
        half::DenseHalf: "dense_half_f32",
            "Product of one row with a constant matrix in half precision, made single precision as it is loaded",
            ["Dense"], Reduced;
        #[cfg(feature = "lowbit")]
        table::DenseTable: "dense_table_f32",
            "Product of one row with a constant matrix of at most sixteen different weights in each column",
            ["Dense"], Reassociated;
        unpacked::Unpacked: "dense_unpacked_f32",
            "Product of one row with a constant matrix, read where it lies: eight dot products at once",
            ["Dense"], Reassociated;
    }
}
