//! `paring eval`: accuracy of a classifier.

use crate::args::EvalArgs;
use crate::compute::{self, Watchdog, find_input};
use crate::data::{self, image::Scaling};
use crate::exit::{Exit, Failure, Result};
use crate::output::{Console, Ink};
use crate::rank::rank_of;
use half::f16;
use paring::{DType, DimInfo, IoInfo, Model, Session, Tensor};
use serde_json::{Map, Value, json};
use std::time::Instant;

pub fn run(args: &EvalArgs, console: &Console) -> Result<Exit> {
    let watchdog = Watchdog::start(args.engine.model.time_limit());
    let (model, _) = compute::open(&args.model_file, &args.engine.model)?;
    let limit = compute::data_limit(&args.engine.model);
    let info = only_input(&model)?;
    let labels = read_labels(args, limit)?;
    let images = Images::new(data::read_array(&args.data, None, limit)?, info, args)?;
    if images.count != labels.len() {
        return Err(Failure::usage(format!("{} images, but {} labels", images.count, labels.len())));
    }
    let output = args.output.as_deref().map_or(Ok(0), |name| find_input(model.outputs(), name))?;
    let plan = Batches::new(args, info, images.count)?;
    let mut session = compute::session(&model, &compute::options(&args.engine), &watchdog)?;

    let mut tally = Tally { topk: &args.topk, right: vec![0; args.topk.len()] };
    let bar = console.progress(plan.images as u64, "classifying");
    let start = Instant::now();
    for first in (0..plan.images).step_by(plan.size) {
        let used = plan.size.min(plan.images - first);
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

fn read_labels(args: &EvalArgs, limit: usize) -> Result<Vec<i64>> {
    let tensor = data::read_array(&args.labels, None, limit)?;
    let vector = tensor.shape().iter().skip(1).all(|&d| d == 1) && !tensor.shape().is_empty();
    let labels = tensor.to_i64s().filter(|_| vector && tensor.dtype() != DType::Bool);
    labels.ok_or_else(|| Failure::usage(format!("{}: labels must be a vector of integers", args.labels.display())))
}

/// How the images are cut into runs.
struct Batches {
    images: usize,
    size: usize,
    /// The model takes just so many at a time: a last, smaller batch is filled up.
    fixed: bool,
}

impl Batches {
    fn new(args: &EvalArgs, info: &IoInfo, count: usize) -> Result<Batches> {
        let images = args.limit_images.map_or(count, |n| n.min(count));
        if images == 0 {
            return Err(Failure::usage("there are no images"));
        }
        let size = match (info.dims.as_ref().and_then(|d| d.first()), args.batch) {
            (Some(DimInfo::Known(n)), Some(b)) if *n != b => {
                return Err(Failure::usage(format!("the model takes batches of {n}, not {b}")));
            }
            (Some(DimInfo::Known(n)), _) => return Ok(Batches { images, size: (*n).max(1), fixed: true }),
            (_, batch) => batch.unwrap_or(1).min(images),
        };
        Ok(Batches { images, size, fixed: false })
    }

    /// Images in the run that holds `used` ones of interest.
    fn rows(&self, used: usize) -> usize {
        if self.fixed { self.size } else { used }
    }
}

/// The data set, ready to be cut into inputs.
struct Images {
    tensor: Tensor,
    /// Shape of one image as the model wants it.
    shape: Vec<usize>,
    count: usize,
    dtype: DType,
    scaling: Scaling,
    channels: usize,
    plane: usize,
}

impl Images {
    fn new(tensor: Tensor, info: &IoInfo, args: &EvalArgs) -> Result<Images> {
        let rank = info.dims.as_ref().map_or(4, Vec::len);
        let Some((&count, image)) = tensor.shape().split_first() else {
            return Err(Failure::usage(format!("{}: the first axis must count the images", args.data.display())));
        };
        let mut shape = image.to_vec();
        if shape.len() + 2 == rank {
            let last = info.dims.as_ref().and_then(|d| d.last()) == Some(&DimInfo::Known(1));
            let first = info.dims.as_ref().and_then(|d| d.get(1)) == Some(&DimInfo::Known(1));
            shape.insert(if last && !first { shape.len() } else { 0 }, 1);
        }
        let bytes = tensor.dtype() == DType::U8;
        let channels_first = match &info.dims {
            Some(d) if d.len() == 4 => {
                !matches!(d[3], DimInfo::Known(1 | 3 | 4)) || matches!(d[1], DimInfo::Known(1 | 3 | 4))
            }
            _ => true,
        };
        let channels = match (shape.len(), channels_first) {
            (3, true) => shape[0],
            (3, false) => shape[2],
            _ => 1,
        };
        let plane = if channels_first { shape.iter().skip(1).product() } else { 1 };
        let scaling = Scaling::of(&args.mean, &args.std, args.raw, bytes, channels)?;
        if !matches!(info.dtype, DType::F32 | DType::F16 | DType::F64) && info.dtype != tensor.dtype() {
            let (have, want) = (tensor.dtype(), info.dtype);
            return Err(Failure::usage(format!("{}: holds {have}, the model takes {want}", args.data.display())));
        }
        Ok(Images { tensor, shape, count, dtype: info.dtype, scaling, channels, plane })
    }

    /// Images `first..first + used` as an input of `rows` images, the others zero.
    fn batch(&self, first: usize, used: usize, rows: usize) -> Result<Tensor> {
        let elements: usize = self.shape.iter().product();
        let width = elements * self.tensor.dtype().bits() / 8;
        let bytes = &self.tensor.bytes()[first * width..(first + used) * width];
        let shape: Vec<usize> = std::iter::once(rows).chain(self.shape.iter().copied()).collect();
        if self.dtype == self.tensor.dtype() && (self.scaling.is_identity() || !self.dtype.is_float()) {
            let mut bytes = bytes.to_vec();
            bytes.resize(rows * width, 0);
            return Tensor::from_bytes(self.dtype, &shape, &bytes).map_err(Failure::said);
        }
        let part = Tensor::from_bytes(self.tensor.dtype(), &[used * elements], bytes).map_err(Failure::said)?;
        let mut x = match self.tensor.dtype() {
            DType::U8 => self.scaling.apply(bytes, self.channels, self.plane),
            _ => {
                let wide: Vec<f32> = part.to_f64s().unwrap_or_default().into_iter().map(|x| x as f32).collect();
                self.scaling.apply(&wide, self.channels, self.plane)
            }
        };
        x.resize(rows * elements, 0.0);
        match self.dtype {
            DType::F16 => Tensor::new(&shape, &x.into_iter().map(f16::from_f32).collect::<Vec<_>>()),
            DType::F64 => Tensor::new(&shape, &x.into_iter().map(f64::from).collect::<Vec<_>>()),
            _ => Tensor::new(&shape, &x),
        }
        .map_err(Failure::said)
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
