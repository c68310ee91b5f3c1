//! Paring for C and C++: what `include/paring.h` declares, which is generated from here.
//!
//! A handle is no address but a number that a table knows, so that a stale or foreign one is an error. A session is
//! locked for as long as a call uses it, and a second thread is told that it is busy. The unsafe code that is left reads
//! what callers point at, writes to where they want results, and calls them back.
#![allow(non_camel_case_types)]
#![deny(unsafe_op_in_unsafe_fn)]
#![warn(clippy::undocumented_unsafe_blocks)]

mod callbacks;
mod custom;
mod handles;
mod model;
mod node;
mod options;
mod session;
mod status;
mod tensor;
mod words;

#[cfg(test)]
mod tests;
