//! `paring`: look at, run, measure, explain and compare trained networks from the command line.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod compute;
mod data;
mod exit;
mod html;
mod metrics;
mod output;
mod rank;
mod rng;
mod stats;
mod table;

use args::{Cli, Command};
use clap::Parser;
use output::Console;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let console = Console::new(&cli.global);
    let result = match &cli.command {
        None => commands::overview::run(&console),
        Some(Command::Inspect(a)) => commands::inspect::run(a, &console),
        Some(Command::Run(a)) => commands::run::run(a, &console),
        Some(Command::Bench(a)) => commands::bench::run(a, &console),
        Some(Command::Explain(a)) => commands::explain::run(a, &console),
        Some(Command::Tune(a)) => commands::tune::run(a, &console),
        Some(Command::Compare(a)) => commands::compare::run(a, &console),
        Some(Command::Eval(a)) => commands::eval::run(a, &console),
        Some(Command::Quantize(a)) => commands::quantize::run(a, &console),
        Some(Command::Convert(a)) => commands::convert::run(a, &console),
        Some(Command::Lowbit(a)) => commands::weights::lowbit(a, &console),
        Some(Command::Ternarize(a)) => commands::weights::ternarize(a, &console),
        Some(Command::Binarize(a)) => commands::weights::binarize(a, &console),
        Some(Command::Optimize(a)) => commands::optimize::run(a, &console),
        Some(Command::Demo(a)) => commands::demo::run(a, &console),
    };
    match result {
        Ok(exit) => exit.into(),
        Err(failure) => {
            console.error(&failure.message);
            failure.exit.into()
        }
    }
}
