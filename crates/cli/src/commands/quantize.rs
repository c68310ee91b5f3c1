//! `paring quantize`: a model of `f32` becomes one of bytes.

mod page;
mod report;

use crate::args::{MethodArg, QuantizeArgs};
use crate::commands::compress::{Bars, failure};
use crate::compute::calibration::Calibration;
use crate::compute::{self, Watchdog};
use crate::data::{read_file, write};
use crate::exit::{Exit, Failure, Result};
use crate::output::Console;
use paring_compress::{Bound, Method, Options, Quantized, Report, quantize};

pub fn run(args: &QuantizeArgs, console: &Console) -> Result<Exit> {
    let _watchdog = Watchdog::start(args.engine.model.time_limit());
    let written: Vec<_> = std::iter::once(args.output.clone()).chain(args.html.clone()).collect();
    write::check_free(&written, args.force)?;
    let limit = compute::data_limit(&args.engine.model);
    let bytes = read_file(&args.model_file, limit)?;
    let (model, _) = compute::open(&args.model_file, &args.engine.model)?;
    let samples = Calibration::open(&args.calibration, &args.samples, model.inputs(), limit)?;
    drop(model);
    let options = options(args, &samples, limit)?;
    let mut bars = Bars::new(console);
    let made = quantize(bytes, &samples, &options, &mut |p| bars.show(p));
    bars.end();
    let Quantized { model, report, .. } = made.map_err(|e| failure(e, &args.model_file, Some(&args.calibration)))?;
    write::write_bytes(&args.output, &model)?;
    if let Some(file) = &args.html {
        write::write_bytes(file, page::page(args, &report).as_bytes())?;
    }
    report::report(args, &report, console)?;
    Ok(Exit::Ok)
}

fn options(args: &QuantizeArgs, samples: &Calibration<'_>, limit: usize) -> Result<Options> {
    let mut o = Options::default();
    o.method = match args.method {
        MethodArg::Minmax => Method::MinMax,
        MethodArg::Percentile => Method::Percentile(args.percentile),
        MethodArg::Mse => Method::Mse,
        MethodArg::Entropy => Method::Entropy,
    };
    o.search_scales = !args.cover_weights;
    o.full_range = args.full_range;
    o.bias_correction = !args.no_bias_correction;
    o.equalize = args.equalize;
    let bound = args.max_drop.or(args.min_sqnr);
    if let Some(b) = bound.filter(|b| !b.is_finite()) {
        return Err(Failure::usage(format!("a bound of {b} is none")));
    }
    o.bound = args.max_drop.map(Bound::Drop).or(args.min_sqnr.map(Bound::Sqnr));
    o.labels = samples.labels(&args.samples, limit)?;
    o.run = compute::options(&args.engine);
    Ok(o)
}

/// Layers that compute with bytes, of all with weights.
fn quantised(report: &Report) -> (usize, usize) {
    (report.layers.iter().filter(|l| !l.float).count(), report.layers.len())
}
