//! Kernels on signs.
//!
//! Networks of signs (BNN, XNOR-Net, Bi-Real and their kin) multiply -1, 0 and 1 by weights that are signs as well, times a
//! magnitude for each output channel. Zero is a sign of its own here: it is what `Sign` gives for zero, and what padding
//! is made of, so that results are those of the definition without corrections. Sums are exact, and become numbers with the
//! magnitude and the epilogue in `f32`.

mod convert;
mod engine;
mod lut;
mod plan;
mod pool;
mod popcount;
mod product;
mod take;

use core::marker::PhantomData;
use paring_kernel::{Kernel, KernelDescriptor, NumericClass};
use paring_quant::family::Entry;
use paring_simd::{Portable, Simd};
use product::Product;

macro_rules! kernels {
    ($($(#[$attribute:meta])* $family:ty, $isa:ty: $name:literal, $summary:expr, $ops:expr, $class:ident;)*) => {
        /// Every kernel of this crate.
        pub static KERNELS: &[&dyn Kernel] = &[$(
            $(#[$attribute])*
            &Entry::<$family, $isa> {
                descriptor: &KernelDescriptor {
                    name: $name,
                    summary: $summary,
                    ops: &$ops,
                    isa: <$isa as Simd>::ISA,
                    numerics: NumericClass::$class,
                },
                kind: PhantomData,
            },
        )*];
    };
}

const LOOKED_UP: &str = "Products of signs looked up: a table for every four signs, 32 output channels at a time";
const TAKEN: &str = "Signs of numbers, packed in fours, a batch norm before included";

kernels! {
    #[cfg(target_arch = "x86_64")]
    Product<lut::Lut>, paring_simd::Avx2: "signs_lut_avx2", LOOKED_UP, ["Conv", "Dense"], Reassociated;
    Product<lut::Lut>, Portable: "signs_lut_portable", LOOKED_UP, ["Conv", "Dense"], Reassociated;
    Product<popcount::Popcount>, Portable: "signs_popcount_portable",
        "Products of signs by counting bits that differ (Rastegari et al. 2016)", ["Conv", "Dense"], Reassociated;
    #[cfg(target_arch = "x86_64")]
    take::Take, paring_simd::Avx2: "take_signs_avx2", TAKEN, ["Identity", "BatchNorm"], Reassociated;
    take::Take, Portable: "take_signs_portable", TAKEN, ["Identity", "BatchNorm"], Reassociated;
    pool::MaxPool, Portable: "pool_max_signs", "The largest of packed signs, four channels at a time by a table",
        ["Pool"], Exact;
    convert::Convert, Portable: "convert_signs", "Packed signs one by one, the reverse, and as numbers",
        ["Identity", "DequantizeLinear"], Exact;
}
