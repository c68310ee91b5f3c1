//! The first value at which two runs part.

use super::rearrange;
use crate::args::CompareArgs;
use crate::compute::{self, Watchdog, inputs};
use crate::exit::Result;
use crate::metrics::{Criterion, Diff, diff};
use crate::output::{Console, Ink, shape};
use crate::table::printable;
use paring::{Model, Options, Session, Tensor};
use serde_json::{Value, json};

/// What the search found.
pub struct Finding {
    /// Values that both runs have, up to and including the first that differs.
    compared: usize,
    last_agreeing: Option<String>,
    first_differing: Option<Diff>,
}

/// Walks the values of the reference run, in the order they are computed, and compares those both runs have.
pub fn first_divergence(
    args: &CompareArgs,
    model: &Model,
    options: &Options,
    tensors: &[Tensor],
    criterion: Criterion,
    watchdog: &Watchdog,
) -> Result<Finding> {
    let mut keep = options.clone();
    keep.keep_intermediates = true;
    let tested = run(model, &keep, tensors, watchdog)?;
    let reference = match &args.other {
        Some(path) => {
            let (other, _) = compute::open(path, &args.engine.model)?;
            let tensors = rearrange(model.inputs(), tensors, other.inputs())?;
            run(&other, &keep, &tensors, watchdog)?
        }
        None => run(model, &keep.with_optimize(false), tensors, watchdog)?,
    };

    let own: std::collections::HashSet<String> = tested.intermediate_names().into_iter().collect();
    let mut finding = Finding { compared: 0, last_agreeing: None, first_differing: None };
    for name in reference.intermediate_names().into_iter().filter(|n| own.contains(n)) {
        let d = diff(&name, &tested.intermediate(&name)?, &reference.intermediate(&name)?, criterion);
        finding.compared += 1;
        if !d.agree {
            finding.first_differing = Some(d);
            break;
        }
        finding.last_agreeing = Some(name);
    }
    Ok(finding)
}

fn run(model: &Model, options: &Options, tensors: &[Tensor], watchdog: &Watchdog) -> Result<Session> {
    let mut session = compute::session(model, options, watchdog)?;
    inputs::set(&mut session, tensors)?;
    session.run()?;
    Ok(session)
}

impl Finding {
    pub fn to_json(&self) -> Value {
        json!({"compared": self.compared, "last_agreeing": self.last_agreeing, "first_differing": self.first_differing})
    }

    pub fn to_text(&self, console: &Console) -> String {
        let after =
            self.last_agreeing.as_deref().map_or(String::new(), |n| format!(", after `{}` which agrees", printable(n)));
        match &self.first_differing {
            None => format!("bisect: all {} values that both runs have agree\n", self.compared),
            Some(d) => {
                let name = console.paint(Ink::Red, &printable(&d.name));
                let figures = match (&d.reason, d.rms_relative) {
                    (Some(reason), _) => reason.clone(),
                    (None, rms) => format!("RMS-relative error {:.3e}", rms.unwrap_or(f64::NAN)),
                };
                format!("bisect: first difference at `{name}` ({} {}): {figures}{after}\n", d.dtype, shape(&d.shape))
            }
        }
    }
}
