//! The list of tokens: whoever makes something for every instruction set reads it here.
//!
//! A new token is added to [`each_token!`](crate::each_token) and to the lists of [`stamped!`](crate::stamped) that it
//! has something to say to; kernels, detection and tests follow.

/// Expands `$with!($token)` for every token of this architecture but the portable one, one after the other.
#[macro_export]
macro_rules! each_token {
    ($with:ident) => {
        #[cfg(target_arch = "x86_64")]
        {
            $with!($crate::Avx512Vnni);
            $with!($crate::Avx512);
            $with!($crate::AvxVnni);
            $with!($crate::Avx2);
        }
        #[cfg(target_arch = "aarch64")]
        {
            $with!($crate::NeonI8mm);
            $with!($crate::NeonDot);
            $with!($crate::Neon);
        }
    };
}

/// A slice of `$entry!($token, $suffix, $($args)*)`, one for each instruction set of a list, the portable one last.
/// Suffixes make names of kernels.
///
/// - `every`: one for each kind of vector.
/// - `wide`: what gains by registers of sixteen numbers as well.
/// - `vectors`, `wide_vectors`: as `every` and `wide`, for what is large and, in portable form, slow: that is left out where
///   the architecture has vectors of its own.
/// - `products`: what sums products of bytes ([`Bytes::dot`](crate::Bytes::dot)).
/// - `any_weights`: as `products`, where [`Bytes::ANY_WEIGHTS`](crate::Bytes::ANY_WEIGHTS); the portable form as for `vectors`.
///
/// Registers of 512 bits are for crates with the feature `avx512`; the portable form, where there is another, for those
/// with `portable`.
#[macro_export]
macro_rules! stamped {
    (every: $($of:tt)*) => {
        $crate::stamped!(@every any(feature = "portable", not(any(target_arch = "x86_64", target_arch = "aarch64"))), $($of)*)
    };
    (vectors: $($of:tt)*) => {
        $crate::stamped!(@every not(any(target_arch = "x86_64", target_arch = "aarch64")), $($of)*)
    };
    (wide: $($of:tt)*) => {
        $crate::stamped!(@wide any(feature = "portable", not(any(target_arch = "x86_64", target_arch = "aarch64"))), $($of)*)
    };
    (wide_vectors: $($of:tt)*) => {
        $crate::stamped!(@wide not(any(target_arch = "x86_64", target_arch = "aarch64")), $($of)*)
    };
    // As the lists of these names, with the portable form where `$portable` holds.
    (@every $portable:meta, $entry:ident!($($args:tt)*)) => {
        &[
            #[cfg(target_arch = "x86_64")]
            $entry!($crate::Avx2, "_avx2", $($args)*),
            #[cfg(target_arch = "aarch64")]
            $entry!($crate::Neon, "_neon", $($args)*),
            #[cfg($portable)]
            $entry!($crate::Portable, "_portable", $($args)*),
        ]
    };
    (@wide $portable:meta, $entry:ident!($($args:tt)*)) => {
        &[
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            $entry!($crate::Avx512, "_avx512", $($args)*),
            #[cfg(target_arch = "x86_64")]
            $entry!($crate::Avx2, "_avx2", $($args)*),
            #[cfg(target_arch = "aarch64")]
            $entry!($crate::Neon, "_neon", $($args)*),
            #[cfg($portable)]
            $entry!($crate::Portable, "_portable", $($args)*),
        ]
    };
    (products: $entry:ident!($($args:tt)*)) => {
        &[
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            $entry!($crate::Avx512Vnni, "_avx512vnni", $($args)*),
            #[cfg(target_arch = "x86_64")]
            $entry!($crate::AvxVnni, "_avxvnni", $($args)*),
            #[cfg(target_arch = "x86_64")]
            $entry!($crate::Avx2, "_avx2", $($args)*),
            #[cfg(target_arch = "aarch64")]
            $entry!($crate::NeonI8mm, "_i8mm", $($args)*),
            #[cfg(target_arch = "aarch64")]
            $entry!($crate::NeonDot, "_dotprod", $($args)*),
            #[cfg(target_arch = "aarch64")]
            $entry!($crate::Neon, "_neon", $($args)*),
            #[cfg(any(feature = "portable", not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
            $entry!($crate::Portable, "_portable", $($args)*),
        ]
    };
    (any_weights: $entry:ident!($($args:tt)*)) => {
        &[
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            $entry!($crate::Avx512Vnni, "_avx512vnni", $($args)*),
            #[cfg(target_arch = "x86_64")]
            $entry!($crate::AvxVnni, "_avxvnni", $($args)*),
            #[cfg(target_arch = "aarch64")]
            $entry!($crate::NeonI8mm, "_i8mm", $($args)*),
            #[cfg(target_arch = "aarch64")]
            $entry!($crate::NeonDot, "_dotprod", $($args)*),
            #[cfg(target_arch = "aarch64")]
            $entry!($crate::Neon, "_neon", $($args)*),
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            $entry!($crate::Portable, "_portable", $($args)*),
        ]
    };
}
