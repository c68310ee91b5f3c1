//! `paring lowbit`, `paring ternarize` and `paring binarize`: weights in fewer bits.

use crate::args::{BinarizeArgs, LowbitArgs, SharedArg, TernarizeArgs, ThresholdArg, WeightArgs};
use crate::commands::compress::{Bars, accuracy, decibel, failure, output, sizes};
use crate::compute::calibration::Calibration;
use crate::compute::{self, Watchdog};
use crate::data::{read_file, write};
use crate::exit::{Exit, Failure, Result};
use crate::output::{Console, Ink, count};
use crate::table::{Grid, Side, printable};
use paring_compress::{
    CodeOptions, CodeReport, CodedLayer, CodedModel, Coding, Samples, Shared, Threshold, Values, code_weights,
};
use serde_json::{Value, json};
use std::path::Path;

pub fn lowbit(args: &LowbitArgs, console: &Console) -> Result<Exit> {
    let bits = args.bits;
    let values = match args.codebook {
        None => Values::Uniform { bits },
        Some(SharedArg::Layer) => Values::Codebook { bits, shared: Shared::Layer },
        Some(SharedArg::Channel) => Values::Codebook { bits, shared: Shared::Channel },
    };
    let mut options = CodeOptions::new(Coding { values, group: args.group.map(|g| g as usize) });
    options.bits_for.clone_from(&args.bits_for);
    let files = Files { model: &args.model_file, output: &args.out.output, force: args.out.force };
    make(&files, &args.weights, options, console)
}

pub fn ternarize(args: &TernarizeArgs, console: &Console) -> Result<Exit> {
    let threshold = match args.threshold {
        ThresholdArg::Exact => Threshold::Exact,
        ThresholdArg::Rule => Threshold::Rule,
    };
    let mut options = CodeOptions::new(Values::Ternary { threshold, whole: args.per_layer }.into());
    options.keep_ends = !args.all_layers;
    let files = Files { model: &args.model_file, output: &args.out.output, force: args.out.force };
    make(&files, &args.weights, options, console)
}

pub fn binarize(args: &BinarizeArgs, console: &Console) -> Result<Exit> {
    let warning =
        "a network that was not trained with binary weights loses its accuracy by them, and has to be trained again";
    if !args.force {
        return Err(Failure::usage(format!("{warning}; --force does it all the same")));
    }
    console.warn(warning);
    let mut options = CodeOptions::new(Values::Binary.into());
    options.keep_ends = !args.all_layers;
    options.sign_inputs = args.activations;
    let files = Files { model: &args.model_file, output: &args.output, force: true };
    make(&files, &args.weights, options, console)
}

struct Files<'a> {
    model: &'a Path,
    output: &'a Path,
    force: bool,
}

fn make(files: &Files<'_>, args: &WeightArgs, mut options: CodeOptions, console: &Console) -> Result<Exit> {
    let engine = &args.engine;
    let _watchdog = Watchdog::start(engine.model.time_limit());
    write::check_free(&[files.output.to_owned()], files.force)?;
    let limit = compute::data_limit(&engine.model);
    let bytes = read_file(files.model, limit)?;
    let (model, _) = compute::open(files.model, &engine.model)?;
    let data = args.calibration.as_deref();
    let samples = data.map(|path| Calibration::open(path, &args.samples, model.inputs(), limit)).transpose()?;
    drop(model);
    options.layers = (!args.layers.is_empty()).then(|| args.layers.clone());
    options.bias_correction = !args.no_bias_correction;
    options.run = compute::options(engine);
    options.labels = match &samples {
        Some(samples) => samples.labels(&args.samples, limit)?,
        None if args.samples.labels.is_some() => return Err(Failure::usage("--labels goes with --calibration")),
        None => None,
    };
    let mut bars = Bars::new(console);
    let samples = samples.as_ref().map(|s| s as &dyn Samples);
    let made = code_weights(bytes, &options, samples, &mut |p| bars.show(p));
    bars.end();
    let CodedModel { model, report } = made.map_err(|e| failure(e, files.model, data))?;
    write::write_bytes(files.output, &model)?;
    if console.json {
        console.emit(&as_json(files, &report))?;
        return Ok(Exit::Ok);
    }
    console.print(&table(&report, console))?;
    console.print(&summary(files, &report, console))?;
    Ok(Exit::Ok)
}

fn as_json(files: &Files<'_>, report: &CodeReport) -> Value {
    let mut all = json!(report);
    if let Some(map) = all.as_object_mut() {
        map.insert("model".into(), files.model.display().to_string().into());
        map.insert("file".into(), files.output.display().to_string().into());
        map.insert("recipe".into(), recipe(report).into());
        if let Some(a) = report.accuracy {
            map.insert("drop_points".into(), a.drop().into());
        }
    }
    all
}

/// For each layer what `--bits-for` wants to hear for the same to come out again.
fn recipe(report: &CodeReport) -> Vec<String> {
    let bits = |l: &CodedLayer| l.coding.map_or("f32".into(), |c| c.bits().to_string());
    report.layers.iter().map(|l| format!("{}={}", l.name, bits(l))).collect()
}

fn table(report: &CodeReport, console: &Console) -> String {
    let columns = [
        ("layer", Side::Left),
        ("op", Side::Left),
        ("weights", Side::Right),
        ("as", Side::Left),
        ("bits each", Side::Right),
        ("zero", Side::Right),
        ("dB", Side::Right),
    ];
    let mut grid = Grid::new(console, &columns);
    for l in &report.layers {
        let zeros = if l.coding.is_some() { format!("{:.0} %", 100.0 * l.zeros) } else { "-".into() };
        let each = format!("{:.2}", l.bits_per_weight());
        grid.row(vec![l.name.clone(), l.op.clone(), count(l.weights as u64), kind(l), each, zeros, decibel(l.sqnr_db)]);
    }
    grid.text()
}

/// What the weights of a layer are.
fn kind(l: &CodedLayer) -> String {
    let Some(coding) = l.coding else {
        return l.kept.as_ref().map_or("f32".into(), |why| printable(&format!("f32: {why}")));
    };
    let bits = coding.bits();
    let values = match coding.values {
        Values::Uniform { .. } => format!("{bits} bits"),
        Values::Codebook { shared: Shared::Layer, .. } => format!("{bits} bits, codebook"),
        Values::Codebook { shared: Shared::Channel, .. } => format!("{bits} bits, codebooks"),
        Values::Ternary { .. } => "ternary".into(),
        Values::Binary => "binary".into(),
    };
    coding.group.map_or(values.clone(), |g| format!("{values}, groups of {g}"))
}

fn summary(files: &Files<'_>, report: &CodeReport, console: &Console) -> String {
    let coded = report.layers.iter().filter(|l| l.coding.is_some()).count();
    let mut lines = vec![
        format!("{coded} of {} layers with weights take fewer bits", report.layers.len()),
        format!("weights {}", sizes(report.weight_bytes_before, report.weight_bytes_after)),
        format!("file    {}", sizes(report.bytes_before, report.bytes_after)),
    ];
    lines.extend(report.outputs.iter().map(output));
    lines.extend(report.accuracy.map(accuracy));
    lines.push(format!("wrote {}", console.paint(Ink::Bold, &files.output.display().to_string())));
    lines.join("\n")
}
