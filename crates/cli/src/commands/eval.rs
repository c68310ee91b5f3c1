//! `paring eval`: accuracy of a classifier.

use crate::args::EvalArgs;
use crate::compute::images::{self, Batches, Images, Pixels};
use crate::compute::{self, Watchdog, find_input};
use crate::data;
use crate::exit::{Exit, Failure, Result};
use crate::output::{Console, Ink};
use crate::rank::rank_of;
use paring::{IoInfo, Model, Session, Tensor};
use serde_json::{Map, Value, json};
use std::time::Instant;

pub fn run(args: &EvalArgs, console: &Console) -> Result<Exit> {
    let watchdog = Watchdog::start(args.engine.model.time_limit());
    let (model, _) = compute::open(&args.model_file, &args.engine.model)?;
    let limit = compute::data_limit(&args.engine.model);
    let info = only_input(&model)?;
    let labels = images::read_labels(&args.labels, limit)?;
    let pixels = Pixels { mean: &args.mean, std: &args.std, raw: args.raw };
    let images = Images::new(data::read_array(&args.data, None, limit)?, info, &args.data, pixels)?;
    if images.count != labels.len() {
        return Err(Failure::usage(format!("{} images, but {} labels", images.count, labels.len())));
    }
    let output = args.output.as_deref().map_or(Ok(0), |name| find_input(model.outputs(), name))?;
    let plan = Batches::new(info, images.count, args.limit_images, args.batch)?;
    let mut session = compute::session(&model, &compute::options(&args.engine), &watchdog)?;

    let mut tally = Tally { topk: &args.topk, right: vec![0; args.topk.len()] };
    let bar = console.progress(plan.images as u64, "classifying");
    let start = Instant::now();
    for (first, used) in (0..plan.runs()).map(|i| plan.run(i)) {
        let scores = classify(&mut session, &images.batch(first, used, plan.rows(used))?, output)?;
        tally.add(&scores, plan.rows(used), &labels[first..first + used])?;
        watchdog.check()?;
        bar.inc(used as u64);
    }
    let seconds = start.elapsed().as_secs_f64();
    bar.finish_and_clear();
    report(args, &tally, plan.images, seconds, console)?;
    Ok(Exit::Ok)
}

fn only_input(model: &Model) -> Result<&IoInfo> {
    match model.inputs() {
        [one] => Ok(one),
        many => Err(Failure::usage(format!("eval wants a model of one input, this one has {}", many.len()))),
    }
}

fn classify(session: &mut Session, input: &Tensor, output: usize) -> Result<Tensor> {
    session.set_input(0, input)?;
    session.run()?;
    Ok(session.output_tensor(output)?)
}

/// Right answers so far, for each `k`.
struct Tally<'a> {
    topk: &'a [usize],
    right: Vec<usize>,
}

impl Tally<'_> {
    /// Counts the answers of one run whose `scores` have `rows` rows, the first of them of interest.
    fn add(&mut self, scores: &Tensor, rows: usize, labels: &[i64]) -> Result<()> {
        let values = scores.to_f64s().unwrap_or_default();
        let classes = values.len() / rows.max(1);
        if scores.shape().first() != Some(&rows) || classes == 0 {
            return Err(Failure::usage(format!("an output of shape {:?} is no list of class scores", scores.shape())));
        }
        for (row, &label) in values.chunks_exact(classes).zip(labels) {
            let class = usize::try_from(label).ok().filter(|&c| c < classes);
            let class =
                class.ok_or_else(|| Failure::usage(format!("label {label} is none of the {classes} classes")))?;
            let rank = rank_of(row, class);
            for (right, &k) in self.right.iter_mut().zip(self.topk) {
                *right += usize::from(rank.is_some_and(|r| r < k));
            }
        }
        Ok(())
    }
}

fn report(args: &EvalArgs, tally: &Tally<'_>, images: usize, seconds: f64, console: &Console) -> Result<()> {
    let rate = images as f64 / seconds.max(1e-9);
    if console.json {
        let mut all = Map::new();
        all.insert("model".into(), args.model_file.display().to_string().into());
        for (k, &right) in tally.topk.iter().zip(&tally.right) {
            all.insert(format!("top{k}"), (right as f64 / images as f64).into());
            all.insert(format!("top{k}_correct"), right.into());
        }
        all.insert("images".into(), images.into());
        all.insert("seconds".into(), json!(seconds));
        all.insert("images_per_s".into(), json!(rate));
        return console.emit(&Value::Object(all));
    }
    let mut text = String::new();
    for (k, &right) in tally.topk.iter().zip(&tally.right) {
        let percent = format!("{:6.2} %", right as f64 / images as f64 * 100.0);
        text += &format!("top-{k:<3} {}  ({right} of {images})\n", console.paint(Ink::Bold, &percent));
    }
    console.print(&(text + &format!("{rate:.0} images/s\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_and_nan_count_as_documented() {
        let scores = [1.0, 1.0, f32::NAN, 0.0, f32::NAN, 2.0];
        let scores = Tensor::new(&[2, 3], &scores).expect("a tensor");
        let count = |labels: &[i64]| {
            let mut tally = Tally { topk: &[1, 2], right: vec![0, 0] };
            tally.add(&scores, 2, labels).expect("scores");
            tally.right
        };
        assert_eq!(count(&[0, 2]), [2, 2]);
        assert_eq!(count(&[1, 0]), [0, 2], "equal scores rank by class");
        assert_eq!(count(&[2, 1]), [0, 0], "NaN is never right");
    }

    #[test]
    fn labels_out_of_range_are_refused() {
        let scores = Tensor::new(&[1, 3], &[0f32; 3]).expect("a tensor");
        for label in [-1, 3, i64::MIN] {
            assert!(Tally { topk: &[1], right: vec![0] }.add(&scores, 1, &[label]).is_err());
        }
    }
}
