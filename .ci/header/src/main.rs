//! `header [--write]`: fails where `crates/capi/include/paring.h` is not what cbindgen makes of the sources, or writes it.
use cbindgen::{Builder, Config};
use std::{error::Error, fs, path::Path, process::ExitCode};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("header: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let capi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/capi");
    let header = capi.join("include/paring.h");
    let config = Config::from_file(capi.join("cbindgen.toml"))?;
    let mut made = Vec::new();
    Builder::new().with_config(config).with_src(capi.join("src/lib.rs")).generate()?.write(&mut made);
    if std::env::args().any(|a| a == "--write") {
        return Ok(fs::write(&header, &made)?);
    }
    let (made, found) = (String::from_utf8(made)?, fs::read_to_string(&header)?);
    if made == found {
        return Ok(());
    }
    let line = made.lines().zip(found.lines()).take_while(|(a, b)| a == b).count() + 1;
    Err(format!("{} is out of date from line {line} on: run this with --write", header.display()).into())
}
