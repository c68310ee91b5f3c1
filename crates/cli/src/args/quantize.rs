//! Arguments of `paring quantize`.

use super::{EngineArgs, ImageArgs, parse_count};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring quantize model.onnx --calibration images.npy -o model_int8.onnx\n  \
                        paring quantize model.onnx --calibration photos/ --mean 0.485,0.456,0.406 \
                        --std 0.229,0.224,0.225 -o model_int8.onnx\n  \
                        paring quantize model.onnx --calibration x.npy --labels y.npy --max-drop 0.5 -o out.onnx\n\n\
                        The file has QuantizeLinear and DequantizeLinear around the layers, as other runtimes want it\n\
                        too: activations are unsigned bytes with one scale and zero point for each tensor, weights are\n\
                        signed bytes with a scale for each output channel. uint8 images are scaled to 0..1 unless\n\
                        --mean, --std or --raw say otherwise. A few hundred typical samples are enough.")]
pub struct QuantizeArgs {
    /// The model, in f32
    pub model_file: PathBuf,
    /// Typical inputs: an array with the samples along its first axis (.npy or .npz), or a folder of images
    #[arg(long, value_name = "DATA")]
    pub calibration: PathBuf,
    /// Where the quantised model goes
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite existing files
    #[arg(short, long)]
    pub force: bool,
    /// How the ranges of activations are chosen
    #[arg(long, value_enum, default_value_t)]
    pub method: MethodArg,
    /// Percentage of the values that stay within their range, for --method percentile
    #[arg(long, value_name = "P", default_value_t = 99.99)]
    pub percentile: f64,
    /// Use all values of weights, even where that costs exactness or speed on processors without VNNI
    #[arg(long)]
    pub full_range: bool,
    /// Cover the largest weight of each output channel, rather than look for the scale with the least error
    #[arg(long)]
    pub cover_weights: bool,
    /// Leave biases as they are, rather than make up for the mean error of rounded weights
    #[arg(long)]
    pub no_bias_correction: bool,
    /// Keep layers in f32 until no more than these points of top-1 accuracy are lost
    #[arg(long, value_name = "POINTS", requires = "labels", conflicts_with = "min_sqnr")]
    pub max_drop: Option<f64>,
    /// Keep layers in f32 until every output has this signal to noise, in dB
    #[arg(long, value_name = "DB")]
    pub min_sqnr: Option<f64>,
    /// Write the report as a page that needs no network
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// First bring the channels between layers to the same range, where nothing but Relu, LeakyRelu, PRelu and pooling is
    /// between them
    #[arg(long)]
    pub equalize: bool,
    #[command(flatten)]
    pub samples: SampleArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Options of typical inputs.
#[derive(Clone, Debug, Default, Args)]
pub struct SampleArgs {
    /// Only the first N samples
    #[arg(long, value_name = "N", default_value = "512", value_parser = parse_count)]
    pub limit_images: usize,
    /// Samples per run [default: what the model fixes, else 1]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub batch: Option<usize>,
    /// Classes of the samples (.npy or .npz): reports accuracy
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    #[command(flatten)]
    pub image: ImageArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum MethodArg {
    /// All that was seen
    Minmax,
    /// All but the outermost values
    Percentile,
    /// The least mean squared error
    #[default]
    Mse,
    /// The least divergence of the distribution (Kullback-Leibler)
    Entropy,
}
