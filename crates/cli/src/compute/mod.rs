//! From arguments to models, sessions and their inputs.

pub mod calibration;
pub mod images;
pub mod inputs;
mod watchdog;

use crate::args::{EngineArgs, ModelArgs, NumericsArg};
use crate::exit::{Failure, Result};
use paring::{DimInfo, IoInfo, Limits, Model, Numerics, Options, Session, Threads};
use std::path::Path;
use std::time::{Duration, Instant};
pub use watchdog::Watchdog;

/// Opens a model within the limits; the time that took comes along.
pub fn open(path: &Path, args: &ModelArgs) -> Result<(Model, Duration)> {
    let start = Instant::now();
    let model = Model::open_with(path, &limits(args)).map_err(|e| Failure::from(e).within(path.display()))?;
    Ok((model, start.elapsed()))
}

/// What a model may ask for.
pub fn limits(args: &ModelArgs) -> Limits {
    let mut limits = Limits::default();
    if let Some(bytes) = args.memory_limit() {
        limits.tensor_bytes = limits.tensor_bytes.min(bytes);
        limits.arena_bytes = limits.arena_bytes.min(bytes);
    }
    limits
}

/// Bytes that a data file may have.
pub fn data_limit(args: &ModelArgs) -> usize {
    args.memory_limit().unwrap_or(crate::data::DEFAULT_LIMIT)
}

/// Threads to use when none are asked for.
pub fn threads(args: &EngineArgs) -> usize {
    args.threads.map_or_else(paring::default_threads, usize::from)
}

/// The options of a session.
pub fn options(args: &EngineArgs) -> Options {
    let mut o = Options::default();
    o.threads = match threads(args) {
        1 => Threads::Single,
        n => Threads::Pool(n),
    };
    o.numerics = match args.numerics {
        NumericsArg::Strict => Numerics::Strict,
        NumericsArg::Default => Numerics::Default,
        NumericsArg::Fast => Numerics::Fast,
    };
    o.isa = args.isa.clone();
    o.optimize = !args.no_optimize;
    o.opt_stop_at = args.opt_stop_at;
    o.kernels = args.kernels.clone();
    o.exclude_kernels = args.exclude_kernels.clone();
    o.limits = limits(&args.model);
    o.max_memory = args.model.memory_limit();
    o.tuning = args.tuning.clone();
    o.calibration = args.rates.clone();
    o
}

/// A session that the watchdog can stop.
pub fn session(model: &Model, options: &Options, watchdog: &Watchdog) -> Result<Session> {
    let session = model.session(options)?;
    watchdog.watch(session.canceller());
    watchdog.check()?;
    Ok(session)
}

/// The shape of every input: what the model fixes, filled in by `--shape` and `--set`. An open first dimension, by
/// custom the batch, is 1 unless told otherwise.
pub fn input_shapes(model: &Model, args: &ModelArgs) -> Result<Vec<Vec<usize>>> {
    let inputs = model.inputs();
    check_names(inputs, args)?;
    inputs.iter().map(|info| input_shape(info, args, inputs.len() == 1)).collect()
}

/// Each shape with the name of its input.
pub fn named_shapes<'a>(model: &'a Model, shapes: &'a [Vec<usize>]) -> Vec<(&'a str, &'a [usize])> {
    model.inputs().iter().zip(shapes).map(|(info, s)| (info.name.as_str(), s.as_slice())).collect()
}

fn input_shape(info: &IoInfo, args: &ModelArgs, only: bool) -> Result<Vec<usize>> {
    let mine = |name: &Option<String>| name.as_deref().map_or(only, |n| n == info.name);
    if let Some(s) = args.shapes.iter().rev().find(|s| mine(&s.name)) {
        return Ok(s.dims.clone());
    }
    let Some(declared) = &info.dims else {
        return Err(Failure::usage(format!("the shape of input `{0}` is open: give --shape {0}=...", info.name)));
    };
    let resolve = |(axis, dim): (usize, &DimInfo)| match dim {
        DimInfo::Known(n) => Ok(*n),
        DimInfo::Symbol(s) => match args.sets.iter().rev().find(|(name, _)| name == s) {
            Some((_, n)) => Ok(*n),
            None if axis == 0 => Ok(1),
            None => Err(Failure::usage(format!(
                "dimension `{s}` of input `{}` ({}) is open: give --set '{s}'=SIZE or --shape",
                info.name,
                dims(info)
            ))),
        },
    };
    declared.iter().enumerate().map(resolve).collect()
}

/// Refuses names that no input has, rather than ignoring them.
fn check_names(inputs: &[IoInfo], args: &ModelArgs) -> Result<()> {
    for s in &args.shapes {
        match &s.name {
            Some(name) => {
                find_input(inputs, name)?;
            }
            None if inputs.len() == 1 => {}
            None => return Err(Failure::usage(format!("which input has that --shape? Inputs are {}", names(inputs)))),
        }
    }
    let symbols = || {
        inputs
            .iter()
            .flat_map(|i| i.dims.iter().flatten())
            .filter_map(|d| if let DimInfo::Symbol(s) = d { Some(s) } else { None })
    };
    match args.sets.iter().find(|(name, _)| !symbols().any(|s| s == name)) {
        Some((name, _)) => {
            let mut known: Vec<_> = symbols().map(|s| format!("`{s}`")).collect();
            known.dedup();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(Failure::usage(format!("no dimension is called `{name}`; open dimensions: {known}")))
        }
        None => Ok(()),
    }
}

/// The place of the input called `name`.
pub fn find_input(inputs: &[IoInfo], name: &str) -> Result<usize> {
    let place = inputs.iter().position(|i| i.name == name);
    place.ok_or_else(|| Failure::usage(format!("no input is called `{name}`; inputs are {}", names(inputs))))
}

/// Names for a message.
pub fn names(all: &[IoInfo]) -> String {
    all.iter().map(|i| format!("`{}`", i.name)).collect::<Vec<_>>().join(", ")
}

/// The declared shape of an input or output, such as `Nx3x224x224`.
pub fn dims(info: &IoInfo) -> String {
    let one = |d: &DimInfo| match d {
        DimInfo::Known(n) => n.to_string(),
        DimInfo::Symbol(s) => s.clone(),
    };
    match info.dims.as_deref() {
        None => "any shape".to_owned(),
        Some([]) => "scalar".to_owned(),
        Some(all) => all.iter().map(one).collect::<Vec<_>>().join("x"),
    }
}
