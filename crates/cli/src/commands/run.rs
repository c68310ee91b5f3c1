//! `paring run`: outputs of a model for given inputs.

use crate::args::RunArgs;
use crate::compute::{self, Watchdog, inputs};
use crate::data::{self, write};
use crate::exit::{Context, Exit, Failure, Result};
use crate::output::{Console, Ink, ms, shape};
use crate::rank::{softmax, top_k};
use crate::table::printable;
use paring::Tensor;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Classes that are listed for an output of scores.
const BEST: usize = 5;

pub fn run(args: &RunArgs, console: &Console) -> Result<Exit> {
    let watchdog = Watchdog::start(args.engine.model.time_limit());
    let labels = args.labels.as_deref().map(read_labels).transpose()?;
    let (model, load) = compute::open(&args.model_file, &args.engine.model)?;
    let names: Vec<&str> = model.outputs().iter().map(|o| o.name.as_str()).collect();
    let files = args.output_dir.as_deref().map(|dir| prepare_files(dir, &names, args.force)).transpose()?;
    let tensors = inputs::gather(&model, &args.input, &args.engine.model, false, console)?;
    let mut session = compute::session(&model, &compute::options(&args.engine), &watchdog)?;
    inputs::set(&mut session, &tensors)?;
    let start = Instant::now();
    session.run()?;
    let time = start.elapsed();
    console.detail(&format!("opened in {:.1} ms, ran in {:.1} ms", ms(load), ms(time)));

    let outputs = inputs::outputs(&session)?;
    for (i, file) in files.iter().flatten().enumerate() {
        write::write(file, &outputs[i].1)?;
    }
    let rows: Vec<Summary<'_>> = outputs.iter().map(|(name, t)| Summary::of(name, t, labels.as_deref())).collect();
    if console.json {
        let file = |i: usize| files.as_ref().map(|f| f[i].display().to_string());
        let outputs: Vec<Value> = rows.iter().enumerate().map(|(i, s)| s.to_json(file(i))).collect();
        console
            .emit(&json!({"model": args.model_file.display().to_string(), "run_ms": ms(time), "outputs": outputs}))?;
    } else {
        let text: Vec<String> = match &files {
            Some(files) => files.iter().zip(&rows).map(|(f, s)| format!("{}  {}", f.display(), s.kind())).collect(),
            None => rows.iter().map(|s| s.to_text(console)).collect(),
        };
        console.print(&text.join("\n"))?;
    }
    Ok(Exit::Ok)
}

fn prepare_files(dir: &Path, names: &[&str], force: bool) -> Result<Vec<PathBuf>> {
    let files = write::plan(dir, names);
    write::check_free(&files, force)?;
    std::fs::create_dir_all(dir).context(dir.display())?;
    Ok(files)
}

fn read_labels(path: &Path) -> Result<Vec<String>> {
    let bytes = data::read_file(path, 64 << 20)?;
    let text = String::from_utf8(bytes).map_err(|_| Failure::other(format!("{}: not UTF-8 text", path.display())))?;
    Ok(text.lines().map(|l| l.trim().to_owned()).collect())
}

/// An output in a few words.
struct Summary<'a> {
    name: &'a str,
    tensor: &'a Tensor,
    /// Least, greatest and mean of the elements that are numbers.
    range: Option<[f64; 3]>,
    nan: usize,
    /// Per row: best classes with score, share and label.
    best: Vec<Vec<Class>>,
}

struct Class {
    index: usize,
    score: f64,
    share: f64,
    label: Option<String>,
}

impl<'a> Summary<'a> {
    fn of(name: &'a str, tensor: &'a Tensor, labels: Option<&[String]>) -> Summary<'a> {
        let values = tensor.to_f64s().unwrap_or_default();
        let numbers = || values.iter().copied().filter(|x| !x.is_nan());
        let n = numbers().count();
        let range = (n > 0).then(|| {
            let sum: f64 = numbers().sum();
            [numbers().fold(f64::INFINITY, f64::min), numbers().fold(f64::NEG_INFINITY, f64::max), sum / n as f64]
        });
        let best = match *tensor.shape() {
            [_, classes] if classes > 1 && tensor.dtype().is_float() => {
                values.chunks_exact(classes).map(|row| best_of(row, labels)).collect()
            }
            _ => Vec::new(),
        };
        Summary { name, tensor, range, nan: values.len() - n, best }
    }

    fn kind(&self) -> String {
        format!("{} {}", self.tensor.dtype(), shape(self.tensor.shape()))
    }

    fn to_text(&self, console: &Console) -> String {
        let mut text = format!("{}  {}", console.paint(Ink::Bold, &printable(self.name)), self.kind());
        if let Some([min, max, mean]) = self.range {
            text += &format!("  min {min:.6}  max {max:.6}  mean {mean:.6}");
        }
        if self.nan > 0 {
            text += &console.paint(Ink::Red, &format!("  NaN {}", self.nan));
        }
        for (i, row) in self.best.iter().enumerate() {
            if self.best.len() > 1 {
                text += &format!("\n  row {i}");
            }
            for c in row {
                let label = c.label.as_deref().map(printable).unwrap_or_default();
                text += &format!("\n  {:>6}  {:>10.4}  {:>5.1} %  {label}", c.index, c.score, c.share * 100.0);
            }
        }
        text
    }

    fn to_json(&self, file: Option<String>) -> Value {
        let class = |c: &Class| json!({"class": c.index, "score": c.score, "softmax": c.share, "label": c.label});
        let best: Vec<Vec<Value>> = self.best.iter().map(|row| row.iter().map(class).collect()).collect();
        let [min, max, mean] = self.range.map_or([None; 3], |r| r.map(Some));
        json!({
            "name": self.name, "dtype": self.tensor.dtype().name(), "shape": self.tensor.shape(), "min": min,
            "max": max, "mean": mean, "nan": self.nan, "top": best, "file": file,
        })
    }
}

fn best_of(scores: &[f64], labels: Option<&[String]>) -> Vec<Class> {
    // Scores that are shares already stay as they are.
    let sum: f64 = scores.iter().sum();
    let shares =
        if (sum - 1.0).abs() < 1e-3 && scores.iter().all(|&s| s >= 0.0) { scores.to_vec() } else { softmax(scores) };
    let class = |i: usize| Class {
        index: i,
        score: scores[i],
        share: shares[i],
        label: labels.and_then(|l| l.get(i).cloned()),
    };
    top_k(scores, BEST).into_iter().map(class).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_not_softened_twice() {
        let rows = best_of(&[0.25, 0.75], None);
        assert_eq!((rows[0].index, rows[0].share), (1, 0.75));
        let rows = best_of(&[0.0, 3f64.ln()], None);
        assert!((rows[0].share - 0.75).abs() < 1e-12);
    }
}
