//! Arbitrary bytes as a model and as a tensor: errors, never panics. Run with `cargo fuzz run onnx`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(graph) = paring_onnx::fuzz::model(data) {
        graph.verify().expect("what is imported is well formed");
    }
    paring_onnx::fuzz::tensor(data);
});
