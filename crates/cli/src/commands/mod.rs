//! One module per subcommand or family of them, each with `run(args, console)` or a function for each, and what some share.

pub mod bench;
pub mod compare;
pub mod compress;
pub mod convert;
pub mod demo;
pub mod eval;
pub mod explain;
pub mod inspect;
pub mod optimize;
pub mod overview;
pub mod quantize;
pub mod run;
pub mod tune;
pub mod weights;
