//! `paring compare`: whether two models, or a model and recorded outputs, agree.

mod bisect;
mod reference;

use crate::args::CompareArgs;
use crate::compute::{self, Watchdog, inputs};
use crate::exit::{Exit, Failure, Result};
use crate::metrics::{Criterion, Diff, diff};
use crate::output::{Console, Ink, shape};
use crate::table::{Grid, Side, printable};
use paring::{IoInfo, Model, Options, Tensor};
use serde_json::json;

/// Default tolerance of the RMS error between two models.
const MODEL_RMS: f64 = 1e-3;
/// Default tolerances against recorded outputs, those of the ONNX backend tests.
const REFERENCE_RTOL: f64 = 1e-3;
const REFERENCE_ATOL: f64 = 1e-5;

pub fn run(args: &CompareArgs, console: &Console) -> Result<Exit> {
    let watchdog = Watchdog::start(args.engine.model.time_limit());
    let (model, _) = compute::open(&args.model_file, &args.engine.model)?;
    let options = compute::options(&args.engine);
    let criterion = criterion(args);
    let (diffs, tensors) = match &args.reference {
        Some(path) => {
            let recorded = reference::read(path, &model, compute::data_limit(&args.engine.model))?;
            let got = run_model(&model, &options, &recorded.inputs, &watchdog)?;
            let pairs =
                recorded.outputs.iter().map(|(place, want)| diff(&got[*place].0, &got[*place].1, want, criterion));
            (pairs.collect::<Vec<_>>(), recorded.inputs)
        }
        None => {
            let tensors = inputs::gather(&model, &args.input, &args.engine.model, true, console)?;
            let got = run_model(&model, &options, &tensors, &watchdog)?;
            let want = run_other(args, &model, &options, &tensors, &watchdog)?;
            (pair_up(&got, &want)?.into_iter().map(|(a, b)| diff(&a.0, &a.1, &b.1, criterion)).collect(), tensors)
        }
    };
    let agree = diffs.iter().all(|d| d.agree);
    let culprit = match args.bisect {
        true => Some(bisect::first_divergence(args, &model, &options, &tensors, criterion, &watchdog)?),
        false => None,
    };
    if console.json {
        let bisect = culprit.as_ref().map(bisect::Finding::to_json);
        console.emit(&json!({"agree": agree, "outputs": diffs, "bisect": bisect}))?;
    } else {
        let mut text = to_text(&diffs, console);
        if let Some(finding) = &culprit {
            text += &finding.to_text(console);
        }
        console.print(&text)?;
    }
    if agree {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::Differs, complaint(&diffs)))
}

fn criterion(args: &CompareArgs) -> Criterion {
    match (args.rms, args.rtol, args.atol) {
        (Some(rms), ..) => Criterion::Rms(rms),
        (None, None, None) if args.reference.is_none() => Criterion::Rms(MODEL_RMS),
        (None, rtol, atol) => {
            Criterion::Elementwise { rtol: rtol.unwrap_or(REFERENCE_RTOL), atol: atol.unwrap_or(REFERENCE_ATOL) }
        }
    }
}

/// One run; outputs with their names.
fn run_model(
    model: &Model,
    options: &Options,
    tensors: &[Tensor],
    watchdog: &Watchdog,
) -> Result<Vec<(String, Tensor)>> {
    let mut session = compute::session(model, options, watchdog)?;
    inputs::set(&mut session, tensors)?;
    session.run()?;
    inputs::outputs(&session)
}

/// The outputs to compare with: those of the other model, or of the same one unoptimised.
fn run_other(
    args: &CompareArgs,
    model: &Model,
    options: &Options,
    tensors: &[Tensor],
    watchdog: &Watchdog,
) -> Result<Vec<(String, Tensor)>> {
    match &args.other {
        Some(path) => {
            let (other, _) = compute::open(path, &args.engine.model)?;
            let tensors = rearrange(model.inputs(), tensors, other.inputs())?;
            run_model(&other, options, &tensors, watchdog).map_err(|f| f.within(path.display()))
        }
        None => run_model(model, &options.clone().with_optimize(false), tensors, watchdog),
    }
}

/// The tensors of one model's inputs in the order of another's: by name, else by place.
fn rearrange(from: &[IoInfo], tensors: &[Tensor], to: &[IoInfo]) -> Result<Vec<Tensor>> {
    if from.len() != to.len() {
        return Err(Failure::usage(format!("the models have {} and {} inputs", from.len(), to.len())));
    }
    let by_name = |info: &IoInfo| from.iter().position(|f| f.name == info.name);
    match to.iter().map(by_name).collect::<Option<Vec<_>>>() {
        Some(places) => Ok(places.into_iter().map(|i| tensors[i].clone()).collect()),
        None => Ok(tensors.to_vec()),
    }
}

type Named = (String, Tensor);

/// Outputs of the same name, or where names differ, of the same place.
fn pair_up<'a>(a: &'a [Named], b: &'a [Named]) -> Result<Vec<(&'a Named, &'a Named)>> {
    if a.len() != b.len() {
        return Err(Failure::usage(format!("the models have {} and {} outputs", a.len(), b.len())));
    }
    let by_name = |x: &'a Named| b.iter().find(|y| y.0 == x.0).map(|y| (x, y));
    Ok(a.iter().map(by_name).collect::<Option<Vec<_>>>().unwrap_or_else(|| a.iter().zip(b).collect()))
}

/// One sentence about what differs most.
fn complaint(diffs: &[Diff]) -> String {
    let Some(d) = diffs.iter().find(|d| !d.agree) else { return String::new() };
    let why = match (&d.reason, d.beyond, d.rms_relative) {
        (Some(reason), ..) => reason.clone(),
        (None, Some(n), _) => {
            let worst = d.max_abs.unwrap_or(f64::NAN);
            format!("{n} of {} elements beyond the tolerance, the worst by {worst:.3e}", d.elements)
        }
        (None, None, rms) => format!("RMS-relative error {:.3e}", rms.unwrap_or(f64::NAN)),
    };
    format!("output `{}` differs: {why}", printable(&d.name))
}

fn to_text(diffs: &[Diff], console: &Console) -> String {
    let columns = [
        ("output", Side::Left),
        ("shape", Side::Left),
        ("max abs", Side::Right),
        ("RMS rel", Side::Right),
        ("cosine", Side::Right),
        ("SNR dB", Side::Right),
        ("top-1", Side::Right),
        ("", Side::Left),
    ];
    let mut grid = Grid::new(console, &columns);
    for d in diffs {
        let number = |x: Option<f64>, f: fn(f64) -> String| x.map_or_else(|| "-".to_owned(), f);
        grid.row(vec![
            d.name.clone(),
            format!("{} {}", d.dtype, shape(&d.shape)),
            number(d.max_abs, |x| format!("{x:.3e}")),
            number(d.rms_relative, |x| format!("{x:.3e}")),
            number(d.cosine, |x| format!("{x:.7}")),
            number(d.snr_db, |x| format!("{x:.1}")),
            number(d.top1, |x| format!("{:.1} %", x * 100.0)),
            if d.agree { "agrees".to_owned() } else { "DIFFERS".to_owned() },
        ]);
    }
    let verdict = match diffs.iter().all(|d| d.agree) {
        true => console.paint(Ink::Green, "PASSED"),
        false => console.paint(Ink::Red, "FAILED"),
    };
    format!("{}{verdict}\n", grid.text())
}
