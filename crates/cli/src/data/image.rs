//! Pictures as network inputs.

use crate::args::{Extent, ImageArgs, LayoutArg};
use crate::data::read_file;
use crate::exit::{Context, Failure, Result};
use image::imageops::FilterType;
use image::{DynamicImage, ImageDecoder, ImageReader, Limits};
use paring::{DType, Tensor};
use std::io::Cursor;
use std::path::Path;

/// Longest side of a picture, before and after resizing.
const MAX_SIDE: u32 = 16_384;

/// What an input wants of a picture; `None` for sizes it leaves open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target {
    pub channels: usize,
    pub height: Option<u32>,
    pub width: Option<u32>,
    channels_last: bool,
    batched: bool,
    dtype: DType,
}

impl Target {
    /// Reads the wish off the input's dimensions.
    pub fn of(dtype: DType, dims: &[Option<usize>], layout: LayoutArg) -> Result<Target> {
        let (batched, image) = match dims {
            [_, image @ ..] if dims.len() == 4 => (true, image),
            _ if dims.len() == 3 => (false, dims),
            _ => return Err(Failure::usage(format!("an input of {} dimensions takes no picture", dims.len()))),
        };
        let is_channels = |d: Option<usize>| matches!(d, Some(1 | 3 | 4));
        let channels_last = match layout {
            LayoutArg::Nchw => false,
            LayoutArg::Nhwc => true,
            LayoutArg::Auto => !is_channels(image[0]) && is_channels(image[2]),
        };
        let [c, h, w] = if channels_last { [image[2], image[0], image[1]] } else { [image[0], image[1], image[2]] };
        let channels = c.unwrap_or(3);
        if !matches!(channels, 1 | 3 | 4) {
            return Err(Failure::usage(format!("a picture has 1, 3 or 4 channels, the input has {channels}")));
        }
        let side = |d: Option<usize>| d.map(|d| u32::try_from(d).ok().filter(|&d| d > 0 && d <= MAX_SIDE).ok_or(()));
        match (side(h).transpose(), side(w).transpose()) {
            (Ok(height), Ok(width)) => Ok(Target { channels, height, width, channels_last, batched, dtype }),
            _ => Err(Failure::usage(format!("no picture fits an input of shape {dims:?}"))),
        }
    }
}

/// The picture in `path` as the input wants it.
pub fn read(path: &Path, target: Target, args: &ImageArgs, limit: usize) -> Result<Tensor> {
    let bytes = read_file(path, limit)?;
    let picture = decode(&bytes, limit).map_err(|f| f.within(path.display()))?;
    to_tensor(fit(picture, target, args)?, target, args)
}

/// Decodes, upright, within bounds of size and memory.
fn decode(bytes: &[u8], limit: usize) -> Result<DynamicImage> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().context("not a picture")?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(limits.max_alloc.unwrap_or(u64::MAX).min(limit as u64));
    reader.limits(limits);
    let mut decoder = reader.into_decoder().context("not a picture that can be read")?;
    let orientation = decoder.orientation().context("bad orientation")?;
    let mut picture = DynamicImage::from_decoder(decoder).context("not a picture that can be read")?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

/// Resizes and crops as asked; without being asked, to what the input fixes.
fn fit(picture: DynamicImage, target: Target, args: &ImageArgs) -> Result<DynamicImage> {
    let (w, h) = (picture.width(), picture.height());
    let size = match args.resize {
        Some(Extent::Exact(h, w)) => (h, w),
        Some(Extent::Side(side)) => shorter_side(h, w, side),
        None if args.crop.is_some() => (h, w),
        None => (target.height.unwrap_or(h), target.width.unwrap_or(w)),
    };
    // Bilinear, and antialiased when shrinking, as the usual training pipelines do it.
    let picture = if size == (h, w) { picture } else { picture.resize_exact(size.1, size.0, FilterType::Triangle) };
    let crop = match args.crop {
        None => return Ok(picture),
        Some(Extent::Exact(h, w)) => (h, w),
        Some(Extent::Side(side)) => (side, side),
    };
    let (h, w) = (picture.height(), picture.width());
    if crop.0 > h || crop.1 > w {
        return Err(Failure::usage(format!("cannot crop {}x{} out of a picture of {h}x{w}", crop.0, crop.1)));
    }
    Ok(picture.crop_imm((w - crop.1) / 2, (h - crop.0) / 2, crop.1, crop.0))
}

/// Height and width after scaling the shorter side to `side`.
fn shorter_side(h: u32, w: u32, side: u32) -> (u32, u32) {
    let scale = |long: u32, short: u32| {
        ((u64::from(long) * u64::from(side) / u64::from(short.max(1))) as u32).clamp(1, MAX_SIDE)
    };
    if h <= w { (side, scale(w, h)) } else { (scale(h, w), side) }
}

fn to_tensor(picture: DynamicImage, target: Target, args: &ImageArgs) -> Result<Tensor> {
    let c = target.channels;
    let (h, w) = (picture.height() as usize, picture.width() as usize);
    let mut pixels = match c {
        1 => picture.into_luma8().into_raw(),
        3 => picture.into_rgb8().into_raw(),
        _ => picture.into_rgba8().into_raw(),
    };
    if args.bgr && c >= 3 {
        pixels.chunks_exact_mut(c).for_each(|p| p.swap(0, 2));
    }
    if !target.channels_last {
        pixels = (0..c).flat_map(|i| pixels.iter().skip(i).step_by(c).copied().collect::<Vec<_>>()).collect();
    }
    let mut shape = if target.channels_last { vec![h, w, c] } else { vec![c, h, w] };
    if target.batched {
        shape.insert(0, 1);
    }
    let plane = if target.channels_last { 1 } else { h * w };
    let tensor = if target.dtype == DType::U8 {
        Tensor::new(&shape, &pixels)
    } else {
        Tensor::new(&shape, &Scaling::of(&args.mean, &args.std, args.raw, true, c)?.apply(&pixels, c, plane))
    };
    tensor.map_err(Failure::said)
}

/// How pixel values become inputs: `(x / full - mean) / std`.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    full: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Scaling {
    /// Bytes are divided by 255 unless `raw`; one number for mean or deviation serves all channels.
    pub fn of(mean: &[f32], std: &[f32], raw: bool, bytes: bool, channels: usize) -> Result<Scaling> {
        let spread = |values: &[f32], default: f32, what: &str| match values {
            [] => Ok(vec![default; channels]),
            [one] => Ok(vec![*one; channels]),
            many if many.len() == channels => Ok(many.to_vec()),
            many => Err(Failure::usage(format!("{} values for --{what}, but {channels} channels", many.len()))),
        };
        let full = if bytes && !raw { 255.0 } else { 1.0 };
        let scaling = Scaling { full, mean: spread(mean, 0.0, "mean")?, std: spread(std, 1.0, "std")? };
        if scaling.std.iter().any(|&s| s == 0.0 || !s.is_finite()) {
            return Err(Failure::usage("--std must be finite and not 0"));
        }
        Ok(scaling)
    }

    /// Whether values stay what they are.
    pub fn is_identity(&self) -> bool {
        self.full == 1.0 && self.mean.iter().all(|&m| m == 0.0) && self.std.iter().all(|&s| s == 1.0)
    }

    /// Scales values whose channel advances every `plane` elements.
    pub fn apply<T: Copy + Into<f32>>(&self, values: &[T], channels: usize, plane: usize) -> Vec<f32> {
        let channel = |i: usize| i / plane.max(1) % channels.max(1);
        let scale = |(i, &x): (usize, &T)| (x.into() / self.full - self.mean[channel(i)]) / self.std[channel(i)];
        values.iter().enumerate().map(scale).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageFormat, Rgb, RgbImage};

    fn target(dims: &[usize]) -> Target {
        let dims: Vec<_> = dims.iter().map(|&d| Some(d)).collect();
        Target::of(DType::F32, &dims, LayoutArg::Auto).expect("a picture fits")
    }

    fn picture() -> DynamicImage {
        DynamicImage::ImageRgb8(RgbImage::from_fn(4, 2, |x, y| Rgb([x as u8 * 50, y as u8 * 100, 255])))
    }

    #[test]
    fn planes_or_interleaved() {
        let args = ImageArgs { raw: true, ..ImageArgs::default() };
        let t = to_tensor(picture(), target(&[1, 3, 2, 4]), &args).expect("a tensor");
        assert_eq!(t.shape(), [1, 3, 2, 4]);
        let x = t.to_f64s().expect("floats");
        assert_eq!(&x[..10], [0.0, 50.0, 100.0, 150.0, 0.0, 50.0, 100.0, 150.0, 0.0, 0.0]);
        let t = to_tensor(picture(), target(&[2, 4, 3]), &args).expect("a tensor");
        assert_eq!(
            (t.shape(), &t.to_f64s().expect("floats")[..6]),
            (&[2, 4, 3][..], &[0.0, 0.0, 255.0, 50.0, 0.0, 255.0][..])
        );
        let t = to_tensor(picture(), target(&[2, 4, 3]), &ImageArgs { bgr: true, ..args }).expect("a tensor");
        assert_eq!(&t.to_f64s().expect("floats")[3..6], [255.0, 0.0, 50.0]);
    }

    #[test]
    fn mean_and_deviation_per_channel() {
        let args = ImageArgs { mean: vec![0.5], std: vec![1.0, 2.0, 0.5], ..ImageArgs::default() };
        let x = to_tensor(picture(), target(&[1, 3, 2, 4]), &args).expect("a tensor").to_f64s().expect("floats");
        assert_eq!((x[0], x[8], x[16]), (-0.5, -0.25, 1.0));
        for (mean, std) in [(vec![0.1, 0.2], vec![]), (vec![], vec![0.0])] {
            assert!(Scaling::of(&mean, &std, false, true, 3).is_err());
        }
    }

    #[test]
    fn resize_and_crop() {
        let fitted = |resize, crop, dims: &[usize]| {
            let args = ImageArgs { resize, crop, ..ImageArgs::default() };
            fit(picture(), target(dims), &args).map(|p| (p.height(), p.width()))
        };
        assert_eq!(fitted(None, None, &[1, 3, 5, 7]).expect("fits"), (5, 7));
        assert_eq!(fitted(Some(Extent::Side(4)), None, &[1, 3, 4, 4]).expect("fits"), (4, 8));
        assert_eq!(fitted(Some(Extent::Side(4)), Some(Extent::Side(4)), &[1, 3, 4, 4]).expect("fits"), (4, 4));
        assert_eq!(fitted(None, Some(Extent::Exact(1, 3)), &[1, 3, 4, 4]).expect("fits"), (1, 3));
        assert!(fitted(None, Some(Extent::Side(3)), &[1, 3, 4, 4]).is_err());
    }

    #[test]
    fn decoding_is_bounded() {
        let mut png = Cursor::new(Vec::new());
        picture().write_to(&mut png, ImageFormat::Png).expect("a PNG file");
        let png = png.into_inner();
        assert_eq!(decode(&png, 1 << 20).expect("a picture").width(), 4);
        for end in 0..png.len() - 12 {
            assert!(decode(&png[..end], 1 << 20).is_err(), "{end} bytes");
        }
        // A header that promises 2^31 pixels a side.
        let mut huge = png.clone();
        huge[16..24].copy_from_slice(&[0x7f, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff]);
        assert!(decode(&huge, 1 << 20).is_err());
    }

    #[test]
    fn other_inputs_take_no_pictures() {
        for dims in
            [&[Some(1), Some(1000)][..], &[Some(1), Some(7), Some(8), Some(9)], &[Some(1), Some(3), Some(0), Some(5)]]
        {
            assert!(Target::of(DType::F32, dims, LayoutArg::Auto).is_err(), "{dims:?}");
        }
        let open = Target::of(DType::F32, &[None, Some(3), None, None], LayoutArg::Auto).expect("a picture fits");
        assert_eq!((open.channels, open.height), (3, None));
    }
}
