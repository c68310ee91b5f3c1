//! Two networks side by side: how far their values are apart, and what each makes of the labels.

use crate::net::Net;
use crate::observe::{batch, run, session};
use crate::report::{Accuracy, OutputError};
use crate::{Error, Progress, Result, Samples};
use paring::{Model, Session};
use std::time::{Duration, Instant};

/// Sums over two values that should be the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    want2: f64,
    got2: f64,
    both: f64,
    noise: f64,
    max: f64,
}

impl Sums {
    fn add(&mut self, got: &[f64], want: &[f64]) {
        for (&g, &w) in got.iter().zip(want) {
            self.want2 += w * w;
            self.got2 += g * g;
            self.both += g * w;
            self.noise += (g - w).powi(2);
            self.max = self.max.max((g - w).abs());
        }
    }

    /// Signal to noise in dB.
    pub fn sqnr_db(&self) -> Option<f64> {
        decibel(self.want2, self.noise)
    }

    fn error(&self, name: &str) -> OutputError {
        let norm = (self.want2 * self.got2).sqrt();
        let cosine = (norm > 0.0).then(|| (self.both / norm).clamp(-1.0, 1.0));
        OutputError { name: name.into(), cosine, sqnr_db: self.sqnr_db(), max_abs: self.max }
    }
}

/// Signal over noise in dB; `None` without either.
pub fn decibel(signal: f64, noise: f64) -> Option<f64> {
    (signal > 0.0 && noise > 0.0).then(|| 10.0 * (signal / noise).log10())
}

/// What comparing found.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub outputs: Vec<OutputError>,
    /// For each of the values that were asked for.
    pub values: Vec<Sums>,
    pub accuracy: Option<Accuracy>,
    /// How many there were.
    pub samples: usize,
}

impl Comparison {
    /// Signal to noise of the worst output in dB; none at all is infinite.
    pub fn worst_sqnr_db(&self) -> f64 {
        self.outputs.iter().filter_map(|o| o.sqnr_db).fold(f64::INFINITY, f64::min)
    }
}

/// What to compare with.
pub struct Subject<'a> {
    pub float: &'a Net,
    pub samples: &'a dyn Samples,
    pub labels: Option<&'a [i64]>,
    pub options: &'a paring::Options,
}

impl Subject<'_> {
    /// Runs both networks on the first `batches` batches, and looks at `values` beside the outputs.
    pub fn compare(
        &self,
        quantized: &Net,
        values: &[String],
        batches: usize,
        step: &'static str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Comparison> {
        let mut float = session(self.float, values, self.options)?;
        let mut bytes = session(quantized, values, self.options)?;
        let inputs = float.inputs().to_vec();
        let outputs: Vec<String> = self.float.graph.output.iter().map(|o| o.name.clone()).collect();
        let mut sums = vec![Sums::default(); outputs.len() + values.len()];
        let mut accuracy = Accuracy::default();
        let mut samples = 0;
        let of = batches.min(self.samples.batches());
        for i in 0..of {
            let batch = batch(self.samples, i, &inputs)?;
            run(&mut float, &batch)?;
            run(&mut bytes, &batch)?;
            for (name, sums) in outputs.iter().chain(values).zip(&mut sums) {
                sums.add(&numbers(&bytes, name)?, &numbers(&float, name)?);
            }
            samples += batch.samples;
            if let Some(labels) = self.labels {
                let end = (accuracy.samples + batch.samples).min(labels.len());
                let labels = &labels[accuracy.samples.min(end)..end];
                accuracy.float += right(&float, labels)?;
                accuracy.quantized += right(&bytes, labels)?;
                accuracy.samples += labels.len();
            }
            progress(Progress { step, done: i + 1, of });
        }
        let values = sums.split_off(outputs.len());
        let outputs = outputs.iter().zip(sums).map(|(name, s)| s.error(name)).collect();
        Ok(Comparison { outputs, values, accuracy: self.labels.map(|_| accuracy), samples })
    }
}

fn numbers(session: &Session, name: &str) -> Result<Vec<f64>> {
    let tensor = session.output_tensor(name)?;
    Ok(tensor.to_f64s().unwrap_or_default())
}

/// Right answers among the first rows of the first output.
fn right(session: &Session, labels: &[i64]) -> Result<usize> {
    let scores = session.output_tensor(0)?;
    let values = scores.to_f64s().unwrap_or_default();
    let rows = scores.shape().first().copied().unwrap_or(0);
    let classes = values.len().checked_div(rows).filter(|&c| c > 0 && rows >= labels.len());
    let Some(classes) = classes else {
        return Err(Error::Options(format!("an output of shape {:?} is no list of class scores", scores.shape())));
    };
    let best = |row: &[f64]| (0..classes).rev().max_by(|&a, &b| row[a].total_cmp(&row[b]));
    let hit = |(row, &label): (&[f64], &i64)| best(row).is_some_and(|b| i64::try_from(b) == Ok(label));
    match labels.iter().find(|&&l| l < 0 || l as usize >= classes) {
        Some(label) => Err(Error::Data(format!("label {label} is none of the {classes} classes"))),
        None => Ok(values.chunks_exact(classes).zip(labels).filter(|&x| hit(x)).count()),
    }
}

/// Median milliseconds of a run on one thread; not a number where there is no clock.
pub fn time(model: Vec<u8>, samples: &dyn Samples, options: &paring::Options) -> Result<f64> {
    /// Runs at the least and at most, and how long those beyond the least may take.
    const RUNS: (usize, usize) = (5, 200);
    const LONG: Duration = Duration::from_millis(200);
    if !paring::has_clock() {
        return Ok(f64::NAN);
    }
    let mut session = Model::from_vec(model)?.session(&options.clone().with_threads(1))?;
    let inputs = session.inputs().to_vec();
    run(&mut session, &batch(samples, 0, &inputs)?)?;
    let (start, mut times) = (Instant::now(), Vec::new());
    while times.len() < RUNS.0 || (times.len() < RUNS.1 && start.elapsed() < LONG) {
        let start = Instant::now();
        session.run()?;
        times.push(start.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
