//! Dense arithmetic in `f32`: convolution, transposed convolution and matrix products.
//!
//! Direct convolution, fully connected layers and matrix products all rest on one micro-kernel (`tile`): up to six rows
//! (output pixels) times sixteen columns (output channels), weights in panels of sixteen columns, the other operand
//! read one scalar at a time.
#![warn(missing_docs)]

mod conv;
mod depthwise;
mod epilogue;
mod fft;
mod fully_connected;
mod gemm;
mod im2col;
mod matmul;
mod panel;
mod stamp;
mod tile;
mod tiled;
mod unpacked;
mod winograd;

use paring_kernel::Kernel;

/// The kernels of this crate.
pub static KERNELS: &[&dyn Kernel] = &[
    #[cfg(target_arch = "x86_64")]
    &conv::DIRECT_AVX2,
    &conv::DIRECT_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &depthwise::DEPTHWISE_AVX2,
    &depthwise::DEPTHWISE_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &winograd::F2X3_AVX2,
    &winograd::F2X3_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &winograd::F4X3_AVX2,
    &winograd::F4X3_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &winograd::F6X3_AVX2,
    &winograd::F6X3_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &winograd::F2X5_AVX2,
    &winograd::F2X5_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &winograd::F4X5_AVX2,
    &winograd::F4X5_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &winograd::F4X3_LINE_AVX2,
    &winograd::F4X3_LINE_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &winograd::F4X7_LINE_AVX2,
    &winograd::F4X7_LINE_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &fft::FFT_AVX2,
    &fft::FFT_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &im2col::IM2COL_AVX2,
    &im2col::IM2COL_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &conv::TRANSPOSED_AVX2,
    &conv::TRANSPOSED_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &fully_connected::DENSE_AVX2,
    &fully_connected::DENSE_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &unpacked::UNPACKED_AVX2,
    &unpacked::UNPACKED_PORTABLE,
    #[cfg(target_arch = "x86_64")]
    &matmul::MATMUL_AVX2,
    &matmul::MATMUL_PORTABLE,
];
