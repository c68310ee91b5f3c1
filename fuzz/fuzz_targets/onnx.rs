//! Arbitrary bytes as a model and as a tensor: errors, never panics. Run with `cargo fuzz run onnx`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| paring_onnx::fuzz::check(data));
