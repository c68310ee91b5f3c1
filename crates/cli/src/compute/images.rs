//! Data sets of images, or of anything of which the first axis counts samples, cut into runs.

use crate::data::{self, image::Scaling};
use crate::exit::{Failure, Result};
use half::f16;
use paring::{DType, DimInfo, IoInfo, Tensor};
use std::path::Path;

/// A vector of classes.
pub fn read_labels(file: &Path, limit: usize) -> Result<Vec<i64>> {
    let tensor = data::read_array(file, None, limit)?;
    let vector = tensor.shape().iter().skip(1).all(|&d| d == 1) && !tensor.shape().is_empty();
    let labels = tensor.to_i64s().filter(|_| vector && tensor.dtype() != DType::Bool);
    labels.ok_or_else(|| Failure::usage(format!("{}: labels must be a vector of integers", file.display())))
}

/// How values become inputs.
#[derive(Clone, Copy)]
pub struct Pixels<'a> {
    pub mean: &'a [f32],
    pub std: &'a [f32],
    pub raw: bool,
}

/// How the images are cut into runs.
pub struct Batches {
    pub images: usize,
    size: usize,
    /// The model takes just so many at a time: a last, smaller batch is filled up.
    fixed: bool,
}

impl Batches {
    /// At most `limit` of `count` images, `batch` at a time where the model leaves that open.
    pub fn new(info: &IoInfo, count: usize, limit: Option<usize>, batch: Option<usize>) -> Result<Batches> {
        let images = limit.map_or(count, |n| n.min(count));
        if images == 0 {
            return Err(Failure::usage("there are no images"));
        }
        let size = match (info.dims.as_ref().and_then(|d| d.first()), batch) {
            (Some(DimInfo::Known(n)), Some(b)) if *n != b => {
                return Err(Failure::usage(format!("the model takes batches of {n}, not {b}")));
            }
            (Some(DimInfo::Known(n)), _) => return Ok(Batches { images, size: (*n).max(1), fixed: true }),
            (_, batch) => batch.unwrap_or(1).min(images),
        };
        Ok(Batches { images, size, fixed: false })
    }

    /// How many runs there are.
    pub fn runs(&self) -> usize {
        self.images.div_ceil(self.size)
    }

    /// The first image of a run, and how many of interest there are in it.
    pub fn run(&self, i: usize) -> (usize, usize) {
        let first = (i * self.size).min(self.images);
        (first, self.size.min(self.images - first))
    }

    /// Images in the run that holds `used` ones of interest.
    pub fn rows(&self, used: usize) -> usize {
        if self.fixed { self.size } else { used }
    }
}

/// The data set, ready to be cut into inputs.
pub struct Images {
    tensor: Tensor,
    /// Shape of one image as the model wants it.
    shape: Vec<usize>,
    pub count: usize,
    dtype: DType,
    scaling: Scaling,
    channels: usize,
    plane: usize,
}

impl Images {
    /// What `file` holds, for the input `info`.
    pub fn new(tensor: Tensor, info: &IoInfo, file: &Path, pixels: Pixels<'_>) -> Result<Images> {
        let rank = info.dims.as_ref().map_or(4, Vec::len);
        let Some((&count, image)) = tensor.shape().split_first() else {
            return Err(Failure::usage(format!("{}: the first axis must count the images", file.display())));
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
        let scaling = Scaling::of(pixels.mean, pixels.std, pixels.raw, bytes, channels)?;
        if !matches!(info.dtype, DType::F32 | DType::F16 | DType::F64) && info.dtype != tensor.dtype() {
            let (have, want) = (tensor.dtype(), info.dtype);
            return Err(Failure::usage(format!("{}: holds {have}, the model takes {want}", file.display())));
        }
        Ok(Images { tensor, shape, count, dtype: info.dtype, scaling, channels, plane })
    }

    /// Images `first..first + used` as an input of `rows` images, the last of them again and again.
    pub fn batch(&self, first: usize, used: usize, rows: usize) -> Result<Tensor> {
        let elements: usize = self.shape.iter().product();
        let width = elements * self.tensor.dtype().bits() / 8;
        let mut bytes = self.tensor.bytes()[first * width..(first + used) * width].to_vec();
        for _ in used..rows {
            bytes.extend_from_within(bytes.len() - width..);
        }
        let shape: Vec<usize> = std::iter::once(rows).chain(self.shape.iter().copied()).collect();
        if self.dtype == self.tensor.dtype() && (self.scaling.is_identity() || !self.dtype.is_float()) {
            return Tensor::from_bytes(self.dtype, &shape, &bytes).map_err(Failure::said);
        }
        let x = match self.tensor.dtype() {
            DType::U8 => self.scaling.apply(&bytes, self.channels, self.plane),
            other => {
                let part = Tensor::from_bytes(other, &[rows * elements], &bytes).map_err(Failure::said)?;
                let wide: Vec<f32> = part.to_f64s().unwrap_or_default().into_iter().map(|x| x as f32).collect();
                self.scaling.apply(&wide, self.channels, self.plane)
            }
        };
        match self.dtype {
            DType::F16 => Tensor::new(&shape, &x.into_iter().map(f16::from_f32).collect::<Vec<_>>()),
            DType::F64 => Tensor::new(&shape, &x.into_iter().map(f64::from).collect::<Vec<_>>()),
            _ => Tensor::new(&shape, &x),
        }
        .map_err(Failure::said)
    }
}
