//! `paring inspect`: what is in a model, and how much work it is.

mod file;

use crate::args::{InspectArgs, ModelArgs};
use crate::compute::{self, Watchdog, dims};
use crate::exit::{Exit, Result};
use crate::output::{Console, Ink, bytes, count, ms, shape};
use crate::table::{Grid, Side, printable};
use paring::{IoInfo, LayerStats, Model, Stats};
use serde_json::{Value, json};

pub fn run(args: &InspectArgs, console: &Console) -> Result<Exit> {
    let _watchdog = Watchdog::start(args.model.time_limit());
    let (model, load) = compute::open(&args.model_file, &args.model)?;
    console.detail(&format!("opened in {:.1} ms", ms(load)));
    let stats = count_work(&model, &args.model, console)?;
    if console.json {
        console.emit(&to_json(args, &model, &stats))?;
    } else {
        console.print(&to_text(args, &model, &stats, console))?;
    }
    Ok(Exit::Ok)
}

/// Counts; symbolic dimensions take the sizes asked for, or stay unknown where none can be told.
fn count_work(model: &Model, args: &ModelArgs, console: &Console) -> Result<Stats> {
    let asked = !args.shapes.is_empty() || !args.sets.is_empty();
    if !asked && model.inputs().iter().all(|i| i.known_shape().is_some()) {
        return Ok(model.stats());
    }
    match compute::input_shapes(model, args) {
        Ok(shapes) => {
            let named = compute::named_shapes(model, &shapes);
            let words: Vec<_> = named.iter().map(|(name, dims)| format!("{name}={}", shape(dims))).collect();
            console.note(&format!("counted with {}", printable(&words.join(", "))));
            Ok(model.stats_for(&named)?)
        }
        Err(f) if asked => Err(f),
        Err(f) => {
            console.note(&f.message);
            Ok(model.stats())
        }
    }
}

fn to_json(args: &InspectArgs, model: &Model, stats: &Stats) -> Value {
    let ports = |all: &[IoInfo]| -> Vec<Value> {
        all.iter().map(|i| json!({"name": i.name, "dtype": i.dtype.name(), "shape": dims(i)})).collect()
    };
    let layers: Vec<&LayerStats> = stats.layers.iter().take(args.layers).collect();
    let ops: serde_json::Map<_, _> = stats.ops.iter().map(|(op, n)| (op.clone(), (*n).into())).collect();
    let meta = model.metadata();
    json!({
        "model": args.model_file.display().to_string(),
        "producer": meta.producer,
        "opset": meta.opsets,
        "pare": file::to_json(model),
        "inputs": ports(model.inputs()),
        "outputs": ports(model.outputs()),
        "ops": ops,
        "params": stats.params,
        "macs": stats.macs,
        "flops": stats.flops,
        "memory_access": stats.memory_access,
        "memory_bytes": stats.memory_bytes,
        "weight_bytes": stats.weight_bytes,
        "layers": layers,
    })
}

fn to_text(args: &InspectArgs, model: &Model, stats: &Stats, console: &Console) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| {
        text += &format!("{} {}\n", console.paint(Ink::Bold, &format!("{key:9}")), printable(&value))
    };
    line("model", args.model_file.display().to_string());
    let meta = model.metadata();
    let opsets: Vec<_> = meta
        .opsets
        .iter()
        .map(|(domain, v)| format!("{} {v}", if domain.is_empty() { "ai.onnx" } else { domain }))
        .collect();
    line(
        "producer",
        format!("{} (opset {})", if meta.producer.is_empty() { "unknown" } else { &meta.producer }, opsets.join(", ")),
    );
    for (key, value) in file::lines(model) {
        line(key, value);
    }
    for i in model.inputs() {
        line("input", format!("{}: {} {}", i.name, i.dtype, dims(i)));
    }
    for o in model.outputs() {
        line("output", format!("{}: {} {}", o.name, o.dtype, dims(o)));
    }
    let ops: Vec<_> = stats.ops.iter().map(|(op, n)| format!("{op} {n}")).collect();
    line("operators", ops.join(", "));
    line("params", format!("{} ({})", count(stats.params), bytes(stats.weight_bytes)));
    if let (Some(macs), Some(flops)) = (stats.macs, stats.flops) {
        line("work", format!("{}MAC, {}FLOP", spaced(macs), spaced(flops)));
    }
    if let (Some(elements), Some(all)) = (stats.memory_access, stats.memory_bytes) {
        line("access", format!("{} elements read and written, {}", count(elements), bytes(all)));
    }
    if !stats.layers.is_empty() {
        text += "\n";
        text += &layer_table(args, stats, console);
    }
    text
}

/// `4.09 G`, with a space after a bare number too, for a unit to follow.
fn spaced(n: u64) -> String {
    let text = count(n);
    if text.contains(' ') { text } else { text + " " }
}

fn layer_table(args: &InspectArgs, stats: &Stats, console: &Console) -> String {
    let columns = [
        ("#", Side::Right),
        ("layer", Side::Left),
        ("op", Side::Left),
        ("out shape", Side::Left),
        ("params", Side::Right),
        ("MAC", Side::Right),
        ("access", Side::Right),
    ];
    let mut grid = Grid::new(console, &columns);
    for (i, l) in stats.layers.iter().take(args.layers).enumerate() {
        grid.row(vec![
            (i + 1).to_string(),
            l.name.clone(),
            l.op.clone(),
            l.shape.clone(),
            count(l.params),
            l.macs.map_or_else(|| "?".to_owned(), count),
            l.memory_access.map_or_else(|| "?".to_owned(), count),
        ]);
    }
    let mut text = grid.text();
    if stats.layers.len() > args.layers {
        text += &format!("... and {} more layers\n", stats.layers.len() - args.layers);
    }
    text
}
