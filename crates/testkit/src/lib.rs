//! What Paring's own tests and benchmarks share: the model zoo with its golden results.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod zoo;
