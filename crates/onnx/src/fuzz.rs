//! The entry points that fuzzers and tests feed with arbitrary bytes. None may panic, whatever it is given.

use crate::{ImportError, ImportOptions, import, read_tensor};
use bytes::Bytes;
use paring_ir::Graph;

/// Options under which arbitrary bytes are read: small limits, so that a fuzzer does not stop at memory.
pub fn options() -> ImportOptions {
    let mut options = ImportOptions::default();
    options.limits.bytes = 1 << 20;
    options.limits.nodes = 10_000;
    options.limits.tensors = 10_000;
    options.limits.constant_bytes = 64 << 20;
    options
}

/// Reads bytes as a model.
///
/// # Errors
/// As for [`import`].
pub fn model(bytes: &[u8]) -> Result<Graph, ImportError> {
    import(Bytes::copy_from_slice(bytes), &options())
}

/// All that a fuzzer does with bytes: whatever is imported is well formed, and nothing panics.
///
/// # Panics
/// Where that does not hold.
pub fn check(bytes: &[u8]) {
    if let Ok(graph) = model(bytes) {
        graph.verify().expect("what is imported is well formed");
    }
    tensor(bytes);
}

/// Reads bytes as a tensor.
pub fn tensor(bytes: &[u8]) {
    if let Ok(t) = read_tensor(Bytes::copy_from_slice(bytes)) {
        assert_eq!(t.bytes().len() * 8, t.len() * t.dtype().bits(), "a tensor holds what its type and shape say");
    }
}
