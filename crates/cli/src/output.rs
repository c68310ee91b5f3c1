//! Where words go: data to standard output, everything else to standard error.

use crate::args::Global;
use crate::exit::{Exit, Failure, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::Duration;

/// Colours that the commands use, as SGR parameters.
#[derive(Clone, Copy)]
pub enum Ink {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Ink {
    fn code(self) -> &'static str {
        match self {
            Ink::Bold => "1",
            Ink::Dim => "2",
            Ink::Red => "31",
            Ink::Green => "32",
            Ink::Yellow => "33",
            Ink::Cyan => "36",
        }
    }
}

/// How this process talks.
pub struct Console {
    /// Machine-readable output was asked for.
    pub json: bool,
    quiet: bool,
    verbose: u8,
    colour_out: bool,
    colour_err: bool,
    width: Option<u16>,
}

impl Console {
    pub fn new(global: &Global) -> Console {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty())
            || std::env::var_os("TERM").is_some_and(|v| v == "dumb");
        let terminal = std::io::stdout().is_terminal();
        let width = terminal.then(|| console::Term::stdout().size_checked().map_or(80, |(_, columns)| columns));
        Console {
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose,
            colour_out: terminal && !plain,
            colour_err: std::io::stderr().is_terminal() && !plain,
            width,
        }
    }

    /// Columns of the terminal; `None` where standard output is not one.
    pub fn width(&self) -> Option<u16> {
        self.width
    }

    /// Whether standard output understands colours.
    pub fn colour(&self) -> bool {
        self.colour_out
    }

    /// `text` in colour, where standard output shows colours.
    pub fn paint(&self, ink: Ink, text: &str) -> String {
        if self.colour_out { format!("\x1b[{}m{text}\x1b[0m", ink.code()) } else { text.to_owned() }
    }

    /// Prints data. A reader that went away ends the command silently.
    pub fn print(&self, text: &str) -> Result<()> {
        let mut out = std::io::stdout().lock();
        let end = if text.ends_with('\n') { "" } else { "\n" };
        let written =
            out.write_all(text.as_bytes()).and_then(|()| out.write_all(end.as_bytes())).and_then(|()| out.flush());
        written.map_err(|e| match e.kind() {
            ErrorKind::BrokenPipe => Failure::new(Exit::Ok, ""),
            _ => Failure::other(format!("cannot write to standard output: {e}")),
        })
    }

    /// Prints one line of JSON.
    pub fn emit(&self, value: &impl Serialize) -> Result<()> {
        let line = serde_json::to_string(value).map_err(|e| Failure::other(format!("cannot write JSON: {e}")))?;
        self.print(&line)
    }

    /// Says something that is not data, unless asked to be quiet.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            self.log(text);
        }
    }

    /// Says something only when asked for details.
    pub fn detail(&self, text: &str) {
        if self.verbose > 0 {
            self.log(text);
        }
    }

    pub fn warn(&self, text: &str) {
        if !self.quiet {
            self.log(&format!("{}: {text}", self.paint_err(Ink::Yellow, "warning")));
        }
    }

    pub fn error(&self, text: &str) {
        if !text.is_empty() {
            self.log(&format!("{}: {text}", self.paint_err(Ink::Red, "error")));
        }
    }

    /// A bar for `len` steps of long work; invisible where nobody would see it.
    pub fn progress(&self, len: u64, what: &'static str) -> ProgressBar {
        if self.quiet || self.json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr()).with_message(what);
        let style = ProgressStyle::with_template("{msg} [{bar:32}] {pos}/{len} {eta}").expect("a valid template");
        bar.set_style(style.progress_chars("=> "));
        bar
    }

    fn paint_err(&self, ink: Ink, text: &str) -> String {
        if self.colour_err { format!("\x1b[{}m{text}\x1b[0m", ink.code()) } else { text.to_owned() }
    }

    /// A closed standard error is no reason to stop, let alone to panic.
    fn log(&self, text: &str) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// `1234567` as `1.23 M`.
pub fn count(n: u64) -> String {
    scaled(n as f64, 1000.0, &["", " k", " M", " G", " T", " P"])
}

/// Bytes with a decimal prefix, as file sizes are usually given.
pub fn bytes(n: u64) -> String {
    scaled(n as f64, 1000.0, &[" B", " kB", " MB", " GB", " TB", " PB"])
}

fn scaled(mut x: f64, step: f64, units: &[&str]) -> String {
    let mut unit = 0;
    while x >= step && unit + 1 < units.len() {
        x /= step;
        unit += 1;
    }
    let digits = match (unit, x) {
        (0, _) => 0,
        (_, x) if x < 10.0 => 2,
        (_, x) if x < 100.0 => 1,
        _ => 0,
    };
    format!("{x:.digits$}{}", units[unit])
}

/// Milliseconds of a duration.
pub fn ms(d: Duration) -> f64 {
    d.as_secs_f64() * 1e3
}

/// A shape as `1x3x224x224`; `scalar` where there are no axes.
pub fn shape(dims: &[usize]) -> String {
    match dims {
        [] => "scalar".to_owned(),
        _ => dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        assert_eq!(count(999), "999");
        assert_eq!(count(4_089_184_256), "4.09 G");
        assert_eq!(bytes(97_500_000), "97.5 MB");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(shape(&[1, 3, 8]), "1x3x8");
        assert_eq!(shape(&[]), "scalar");
    }
}
