//! Weights in half precision.

use crate::args::ConvertArgs;
use crate::commands::compress::{decibel, failure, sizes};
use crate::exit::Result;
use crate::output::{Console, Ink, bytes, count};
use crate::table::{Grid, Side};
use paring_compress::{HalfFormat, HalfReport, Halved, to_half};
use serde_json::json;
use std::path::Path;

/// The model with weights in half precision, and what that did to them.
pub fn halve(args: &ConvertArgs, model: Vec<u8>, console: &Console) -> Result<Halved> {
    let format = if args.bf16 { HalfFormat::Bf16 } else { HalfFormat::F16 };
    let halved = to_half(model, format).map_err(|e| failure(e, &args.model_file, None))?;
    for t in &halved.report.tensors {
        if let Some(why) = &t.kept {
            console.warn(&crate::table::printable(&format!("'{}' {why}", t.name)));
        }
    }
    Ok(halved)
}

pub fn report(args: &ConvertArgs, output: &Path, report: &HalfReport, console: &Console) -> Result<()> {
    if console.json {
        let mut all = json!(report);
        if let Some(map) = all.as_object_mut() {
            map.insert("model".into(), args.model_file.display().to_string().into());
            map.insert("file".into(), output.display().to_string().into());
        }
        return console.emit(&all);
    }
    console.print(&table(report, console))?;
    console.print(&summary(output, report, console))
}

pub fn name(format: HalfFormat) -> &'static str {
    match format {
        HalfFormat::F16 => "f16",
        HalfFormat::Bf16 => "bf16",
    }
}

fn table(report: &HalfReport, console: &Console) -> String {
    let columns = [
        ("weights", Side::Left),
        ("in", Side::Left),
        ("numbers", Side::Right),
        ("largest relative error", Side::Right),
        ("small", Side::Right),
        ("dB", Side::Right),
    ];
    let mut grid = Grid::new(console, &columns);
    for t in &report.tensors {
        let (kind, error) = match &t.kept {
            Some(_) => ("f32", "-".into()),
            None => (name(report.format), format!("{:.2e}", t.max_relative_error)),
        };
        let small = t.small.to_string();
        grid.row(vec![t.name.clone(), kind.into(), count(t.elements as u64), error, small, decibel(t.sqnr_db)]);
    }
    grid.text()
}

fn summary(output: &Path, report: &HalfReport, console: &Console) -> String {
    [
        format!("weights {}", sizes(report.weight_bytes_before, report.weight_bytes_after)),
        format!("file    {}", sizes(report.bytes_before, report.bytes_after)),
        format!("error   at most {:.2e} of a weight", report.max_relative_error),
        format!(
            "kept    {} vectors and small constants in f32 ({})",
            report.small_constants,
            bytes(report.small_bytes as u64)
        ),
        format!("wrote {}", console.paint(Ink::Bold, &output.display().to_string())),
    ]
    .join("\n")
}
