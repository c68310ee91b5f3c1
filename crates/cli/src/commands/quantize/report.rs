//! What quantisation did, in a table or in JSON.

use super::quantised;
use crate::args::QuantizeArgs;
use crate::commands::compress::{accuracy, decibel, output, sizes};
use crate::exit::Result;
use crate::output::{Console, Ink};
use crate::table::{Grid, Side};
use paring_compress::{LayerReport, Report};
use serde_json::{Value, json};

pub fn report(args: &QuantizeArgs, report: &Report, console: &Console) -> Result<()> {
    if console.json {
        return console.emit(&as_json(args, report));
    }
    console.print(&table(report, console))?;
    let (bytes_layers, all) = quantised(report);
    let mut lines = vec![
        format!(
            "{bytes_layers} of {all} layers with weights and {} other nodes compute with bytes",
            report.other_nodes
        ),
        format!("size    {}", sizes(report.bytes_before, report.bytes_after)),
        format!(
            "time    {:.3} -> {:.3} ms on one thread  ({:.2} times as fast)",
            report.ms_before,
            report.ms_after,
            report.ms_before / report.ms_after.max(1e-9)
        ),
    ];
    if args.equalize {
        lines.push(format!("channels between {} pairs of layers were brought to the same range", report.equalized));
    }
    lines.extend(report.outputs.iter().map(output));
    lines.extend(report.accuracy.map(accuracy));
    lines.push(format!("wrote {}", console.paint(Ink::Bold, &args.output.display().to_string())));
    console.print(&lines.join("\n"))
}

fn table(report: &Report, console: &Console) -> String {
    let ranked = report.layers.iter().any(|l| l.alone_sqnr_db.is_some());
    let mut columns = vec![
        ("layer", Side::Left),
        ("op", Side::Left),
        ("in", Side::Left),
        ("weights dB", Side::Right),
        ("result dB", Side::Right),
    ];
    columns.extend(ranked.then_some(("alone dB", Side::Right)));
    let mut grid = Grid::new(console, &columns);
    for l in &report.layers {
        let mut cells =
            vec![l.name.clone(), l.op.clone(), kind(l).into(), decibel(l.weight_sqnr_db), decibel(l.output_sqnr_db)];
        cells.extend(ranked.then(|| decibel(l.alone_sqnr_db)));
        grid.row(cells);
    }
    grid.text()
}

/// What a layer computes with.
pub fn kind(l: &LayerReport) -> &'static str {
    if l.float { "f32" } else { "bytes" }
}

fn as_json(args: &QuantizeArgs, report: &Report) -> Value {
    let mut all = json!(report);
    if let Some(map) = all.as_object_mut() {
        map.insert("model".into(), args.model_file.display().to_string().into());
        map.insert("file".into(), args.output.display().to_string().into());
        if let Some(a) = report.accuracy {
            map.insert("drop_points".into(), a.drop().into());
        }
    }
    all
}
