//! What commands that make models smaller have in common.

use crate::exit::{Exit, Failure};
use crate::output::Console;
use indicatif::ProgressBar;
use paring_compress::{Accuracy, Error, OutputError, Progress};
use std::path::Path;

/// What to say, and to tell the caller, where it could not be done.
pub fn failure(e: Error, model: &Path, samples: Option<&Path>) -> Failure {
    let exit = match e {
        Error::Model(e) => return Failure::from(e).within(model.display()),
        Error::Opset(_) => Exit::Unsupported,
        Error::Bound => Exit::Failure,
        Error::Data(why) => {
            let file = samples.map_or(String::new(), |f| format!("{}: ", f.display()));
            return Failure::usage(format!("{file}{why}"));
        }
        _ => Exit::Usage,
    };
    Failure::new(exit, e.to_string())
}

/// A bar for each step of the work.
pub struct Bars<'a> {
    console: &'a Console,
    now: Option<(&'static str, ProgressBar)>,
}

impl Bars<'_> {
    pub fn new(console: &Console) -> Bars<'_> {
        Bars { console, now: None }
    }

    pub fn show(&mut self, p: Progress) {
        if self.now.as_ref().is_none_or(|(step, _)| *step != p.step) {
            self.end();
            self.now = Some((p.step, self.console.progress(p.of as u64, p.step)));
        }
        if let Some((_, bar)) = &self.now {
            bar.set_length(p.of as u64);
            bar.set_position(p.done as u64);
        }
    }

    pub fn end(&mut self) {
        if let Some((_, bar)) = self.now.take() {
            bar.finish_and_clear();
        }
    }
}

/// `before -> after` of a size, with how many times smaller that is.
pub fn sizes(before: usize, after: usize) -> String {
    let times = before as f64 / after.max(1) as f64;
    format!(
        "{} -> {}  ({times:.2} times smaller)",
        crate::output::bytes(before as u64),
        crate::output::bytes(after as u64)
    )
}

/// A line about an output.
pub fn output(o: &OutputError) -> String {
    let cosine = o.cosine.map_or("no cosine".into(), |c| format!("cosine {c:.6}"));
    format!("error   {}: {cosine}, signal to noise {} dB, at most {:.3e}", o.name, decibel(o.sqnr_db), o.max_abs)
}

/// Decibels, where there are any.
pub fn decibel(x: Option<f64>) -> String {
    x.map_or("-".into(), |x| format!("{x:.1}"))
}

/// A line about the accuracy.
pub fn accuracy(a: Accuracy) -> String {
    let percent = |n: usize| format!("{:.2} %", 100.0 * n as f64 / a.samples.max(1) as f64);
    format!("top-1   {} -> {} of {} samples", percent(a.float), percent(a.quantized), a.samples)
}
