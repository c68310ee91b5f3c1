//! What Paring's own tests and benchmarks share: generators of problems, the model zoo with its golden results, and
//! small trained networks.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod problems;
pub mod trained;
pub mod zoo;
