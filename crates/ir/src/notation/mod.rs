//! Reads attributes and descriptions as text: the part of [RON](https://docs.rs/ron) that has structures, variants, lists,
//! tuples, strings and numbers, for any type of `serde`.
//!
//! The text becomes a tree first, and the tree the value. Types are many (one for each operator, and more), so what
//! counts is the code that each of them needs: over a tree it is a fifth of what the crate `ron` takes to read
//! the text itself, and that was a quarter of the smallest library. What that crate prints is read here.
//!
//! Where a variant has one value, that value's own parentheses may be left out: `Conv(groups: 1)` is
//! `Conv((groups: 1))`. The same goes for `Some`. Fields that a type does not have are ignored.

mod de;
mod parse;

pub(crate) use parse::string;

use alloc::string::String;
use core::fmt;
use serde::de::DeserializeOwned;

/// Why a text is not what it should be, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotationError(String);

impl fmt::Display for NotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for NotationError {}

/// The value that `text` describes.
///
/// # Errors
/// [`NotationError`] where the text is malformed, nests deeper than 64 levels, has more than 2^20 items, or does not fit
/// the type. It names the fields
/// that lead to the place.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, NotationError> {
    T::deserialize(&parse::tree(text)?)
}

#[cfg(test)]
mod tests;
