//! `paring convert`: the same network in another form of file.

mod features;
mod half;
mod pare;

use crate::args::ConvertArgs;
use crate::compute::{self, Watchdog};
use crate::data::{read_file, write};
use crate::exit::{Exit, Failure, Result};
use crate::output::Console;

pub fn run(args: &ConvertArgs, console: &Console) -> Result<Exit> {
    let _watchdog = Watchdog::start(args.engine.model.time_limit());
    let Some(output) = &args.output else {
        let (model, _) = compute::open(&args.model_file, &args.engine.model)?;
        return features::report(args, &model, console);
    };
    let to_pare = output.extension().is_some_and(|e| e.eq_ignore_ascii_case("pare"));
    let halves = args.fp16 || args.bf16;
    if !to_pare && !args.pack_for.is_empty() {
        return Err(Failure::usage("--pack-for is for model files: give an output that ends in .pare"));
    }
    if !to_pare && !halves {
        return Err(Failure::usage("give --fp16 or --bf16, or an output that ends in .pare"));
    }
    write::check_free(std::slice::from_ref(output), args.force)?;
    // First of all: whoever gives a damaged model is told so in the same words as everywhere.
    let (model, _) = compute::open(&args.model_file, &args.engine.model)?;
    if !halves {
        return pare::convert(args, output, &model, Vec::new(), console);
    }
    if model.recipe().is_some() {
        return Err(Failure::usage("weights are halved in ONNX models: give the model that this file was made of"));
    }
    let bytes = read_file(&args.model_file, compute::data_limit(&args.engine.model))?;
    let halved = half::halve(args, bytes, console)?;
    if !to_pare {
        write::write_bytes(output, &halved.model)?;
        half::report(args, output, &halved.report, console)?;
        return Ok(Exit::Ok);
    }
    let model = paring::Model::from_vec(halved.model)?;
    pare::convert(
        args,
        output,
        &model,
        vec![format!("weights stored as {}", half::name(halved.report.format))],
        console,
    )
}
