//! `paring tune --machine`: the caches and rates that estimates reckon with, by measurement.

use crate::args::TuneArgs;
use crate::data::write;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Console, bytes};
use crate::table::{Grid, Side};
use paring::Calibration;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Where the measurements go unless told otherwise.
const FILE: &str = "machine.json";

pub fn run(args: &TuneArgs, console: &Console) -> Result<Exit> {
    let file = args.output.clone().unwrap_or_else(|| PathBuf::from(FILE));
    write::check_free(std::slice::from_ref(&file), args.force)?;
    let measured = Calibration::measure()?;
    let text = serde_json::to_string_pretty(&measured).map_err(Failure::said)?;
    write::write_bytes(&file, format!("{text}\n").as_bytes())?;
    report(&file, &measured, console)?;
    Ok(Exit::Ok)
}

fn report(file: &Path, measured: &Calibration, console: &Console) -> Result<()> {
    let default = Calibration::typical();
    if console.json {
        let file = file.display().to_string();
        return console.emit(&json!({ "file": file, "measured": measured, "default": default }));
    }
    let mut grid = Grid::new(console, &[("per core", Side::Left), ("measured", Side::Right), ("default", Side::Right)]);
    let (m, d) = (measured.machine(), default.machine());
    for (name, m, d) in [("level 1", m.l1, d.l1), ("level 2", m.l2, d.l2), ("last level", m.l3, d.l3)] {
        grid.row(vec![format!("{name} cache"), bytes(m as u64), bytes(d as u64)]);
    }
    for (name, unit, m, d) in [
        ("multiply-adds", "GMAC/s", m.gmacs, d.gmacs),
        ("... of vectors of eight", "GMAC/s", m.vector_gmacs, d.vector_gmacs),
        ("reading level 2", "GB/s", m.l2_bandwidth, d.l2_bandwidth),
        ("reading last level", "GB/s", m.l3_bandwidth, d.l3_bandwidth),
        ("reading memory", "GB/s", m.memory_bandwidth, d.memory_bandwidth),
    ] {
        grid.row(vec![name.into(), format!("{m:.1} {unit}"), format!("{d:.1} {unit}")]);
    }
    console.print(&grid.text())?;
    console.print(&format!(
        "{} in {}; use it with --rates {}\n",
        paring::machine_name(),
        file.display(),
        file.display()
    ))
}
