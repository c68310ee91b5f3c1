//! Before and after of every pass, in the text form of graphs; where it must not fire as well.

mod common;

mod canonical;
mod channels;
mod cleanup;
mod fuse;
mod integers;
mod siblings;
mod signs;
mod widen;
