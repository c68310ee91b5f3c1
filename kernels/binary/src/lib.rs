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
use paring_kernel::{Kernel, KernelDescriptor, NumericClass, count, joined};
use paring_quant::family::Entry;
use paring_simd::{Portable, Simd, stamped};
use product::Product;

macro_rules! entry {
    ($isa:ty, $suffix:literal, $family:ty, $name:literal, $summary:expr, $ops:expr, $class:ident) => {
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
    (vectors { $($lookup:ty: $lname:literal, $lsummary:literal, $lops:expr, $lclass:ident;)* }
     every { $($family:ty: $name:literal, $summary:literal, $ops:expr, $class:ident;)* }
     portable { $($pfamily:ty: $pname:literal, $psummary:literal, $pops:expr, $pclass:ident;)* }) => {
        const PARTS: &[&[&dyn Kernel]] = &[
            $(stamped!(vectors: entry!($lookup, $lname, $lsummary, $lops, $lclass)),)*
            $(stamped!(every: entry!($family, $name, $summary, $ops, $class)),)*
            &[$(entry!(Portable, "", $pfamily, $pname, $psummary, $pops, $pclass),)*],
        ];
    };
}

/// Every kernel of this crate.
pub static KERNELS: &[&dyn Kernel] = &joined::<{ count(PARTS) }>(PARTS);

kernels! {
    vectors {
        Product<lut::Lut>: "signs_lut",
            "Products of signs looked up: a table for every four signs, 32 output channels at a time",
            ["Conv", "Dense"], Reassociated;
    }
    every {
        take::Take: "take_signs", "Signs of numbers, packed in fours, a batch norm before included",
            ["Identity", "BatchNorm"], Reassociated;
    }
    portable {
        Product<popcount::Popcount>: "signs_popcount_portable",
            "Products of signs by counting bits that differ (Rastegari et al. 2016)", ["Conv", "Dense"], Reassociated;
        pool::MaxPool: "pool_max_signs", "The largest of packed signs, four channels at a time by a table",
            ["Pool"], Exact;
        convert::Convert: "convert_signs", "Packed signs one by one, the reverse, and as numbers",
            ["Identity", "DequantizeLinear"], Exact;
    }
}
