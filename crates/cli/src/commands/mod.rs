//! One module per subcommand, each with `run(args, console)`.

pub mod bench;
pub mod compare;
pub mod demo;
pub mod eval;
pub mod explain;
pub mod inspect;
pub mod optimize;
pub mod overview;
pub mod quantize;
pub mod run;
pub mod tune;
