//! Arbitrary bytes as a `.pare` file: errors, never panics. Run with `cargo fuzz run pare`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| paring_format::fuzz::check(data));
