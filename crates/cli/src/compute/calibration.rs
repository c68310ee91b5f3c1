//! Calibration data: arrays, or a folder of images.

use crate::args::SampleArgs;
use crate::compute::images::{self, Batches, Images, Pixels};
use crate::data::{self, Kind, image};
use crate::exit::{Context, Failure, Result};
use paring::{DimInfo, IoInfo, Tensor};
use paring_compress::{Batch, Samples};
use std::path::{Path, PathBuf};

/// Samples for the inputs of a model.
pub struct Calibration<'a> {
    source: Source<'a>,
    count: usize,
    plan: Batches,
}

enum Source<'a> {
    /// For each input an array.
    Arrays(Vec<Images>),
    /// Pictures for the only input.
    Folder { files: Vec<PathBuf>, target: image::Target, args: &'a SampleArgs, limit: usize },
}

impl<'a> Calibration<'a> {
    /// The samples in `path` for these inputs.
    pub fn open(path: &Path, args: &'a SampleArgs, inputs: &[IoInfo], limit: usize) -> Result<Calibration<'a>> {
        let Some(first) = inputs.first() else {
            return Err(Failure::usage("the model has no inputs, so there is nothing to calibrate"));
        };
        let (source, count) = if path.is_dir() {
            let target = target(inputs, args)?;
            let files = pictures(path)?;
            let count = files.len();
            (Source::Folder { files, target, args, limit }, count)
        } else {
            let arrays = arrays(path, args, inputs, limit)?;
            let count = arrays[0].count;
            if let Some(other) = arrays.iter().find(|a| a.count != count) {
                return Err(Failure::usage(format!("{}: {count} samples, and {}", path.display(), other.count)));
            }
            (Source::Arrays(arrays), count)
        };
        let plan =
            Batches::new(first, count, Some(args.limit_images), args.batch).map_err(|f| f.within(path.display()))?;
        Ok(Calibration { source, count, plan })
    }

    /// The class of each sample, where they were given.
    pub fn labels(&self, args: &SampleArgs, limit: usize) -> Result<Option<Vec<i64>>> {
        let Some(file) = &args.labels else { return Ok(None) };
        let labels = images::read_labels(file, limit)?;
        if labels.len() != self.count {
            return Err(Failure::usage(format!("{} samples, but {} labels", self.count, labels.len())));
        }
        Ok(Some(labels))
    }

    fn inputs(&self, first: usize, used: usize) -> Result<Vec<Tensor>> {
        let rows = self.plan.rows(used);
        match &self.source {
            Source::Arrays(all) => all.iter().map(|images| images.batch(first, used, rows)).collect(),
            Source::Folder { files, target, args, limit } => {
                let read = |file: &PathBuf| image::read(file, *target, &args.image, *limit);
                let read = files[first..first + used].iter().map(read).collect::<Result<Vec<_>>>()?;
                Ok(vec![stack(&read, rows)?])
            }
        }
    }
}

impl Samples for Calibration<'_> {
    fn batches(&self) -> usize {
        self.plan.runs()
    }

    fn batch(&self, i: usize) -> std::result::Result<Batch, String> {
        let (first, used) = self.plan.run(i);
        let inputs = self.inputs(first, used).map_err(|f| f.message)?;
        Ok(Batch { inputs, samples: used })
    }
}

fn arrays(path: &Path, args: &SampleArgs, inputs: &[IoInfo], limit: usize) -> Result<Vec<Images>> {
    let pixels = Pixels { mean: &args.image.mean, std: &args.image.std, raw: args.image.raw };
    if !matches!(Kind::of(path)?, Kind::Npy | Kind::Npz) {
        return Err(Failure::usage(format!("{}: expected .npy, .npz or a folder of images", path.display())));
    }
    if let [one] = inputs {
        return Ok(vec![Images::new(data::read_array(path, Some(&one.name), limit)?, one, path, pixels)?]);
    }
    let all = data::read_arrays(path, limit)?;
    let find = |info: &IoInfo| {
        let found = all.iter().find(|(name, _)| name.as_deref() == Some(&info.name));
        let (_, tensor) = found
            .ok_or_else(|| Failure::usage(format!("{}: holds no array for input `{}`", path.display(), info.name)))?;
        Images::new(tensor.clone(), info, path, pixels)
    };
    inputs.iter().map(find).collect()
}

fn target(inputs: &[IoInfo], args: &SampleArgs) -> Result<image::Target> {
    let [info] = inputs else {
        return Err(Failure::usage(format!("images are for a model of one input, this one has {}", inputs.len())));
    };
    let dims: Option<&[DimInfo]> = info.dims.as_deref();
    if dims.is_some_and(|d| d.len() != 4) {
        return Err(Failure::usage(format!("input `{}` takes no batches of images", info.name)));
    }
    let size = |d: &DimInfo| if let DimInfo::Known(n) = d { Some(*n) } else { None };
    let dims: Vec<_> = dims.map_or(vec![None; 4], |all| all.iter().map(size).collect());
    image::Target::of(info.dtype, &dims, args.image.layout).map_err(|f| f.within(format!("input `{}`", info.name)))
}

/// The images of a folder, by name.
fn pictures(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).context(folder.display())? {
        let path = entry.context(folder.display())?.path();
        if Kind::of(&path).is_ok_and(|k| k == Kind::Image) {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(format!("{}: holds no .png or .jpg", folder.display())));
    }
    files.sort();
    Ok(files)
}

/// One input of `rows` images, the last of them again and again.
fn stack(images: &[Tensor], rows: usize) -> Result<Tensor> {
    let Some((first, last)) = images.first().zip(images.last()) else {
        return Err(Failure::usage("there are no images"));
    };
    if let Some(other) = images.iter().find(|t| t.shape() != first.shape()) {
        let (a, b) = (first.shape(), other.shape());
        return Err(Failure::usage(format!("images of shapes {a:?} and {b:?}: give --resize or --crop")));
    }
    let mut bytes: Vec<u8> = images.iter().flat_map(|t| t.bytes().iter().copied()).collect();
    for _ in images.len()..rows {
        bytes.extend_from_slice(last.bytes());
    }
    let mut shape = first.shape().to_vec();
    shape[0] = rows;
    Tensor::from_bytes(first.dtype(), &shape, &bytes).map_err(Failure::said)
}
