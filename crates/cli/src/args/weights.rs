//! Arguments of the commands that store weights in fewer bits.

use super::{EngineArgs, SampleArgs};
use clap::{Args, ValueEnum};
use paring::MachineKind;
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring convert model.onnx -o model.pare\n  \
                        paring convert model.onnx -o model.pare --pack-for this-machine\n  \
                        paring convert model.onnx -o model.pare --pack-for avx2,neon --fp16\n  \
                        paring convert model.onnx --fp16 -o model_fp16.onnx\n  \
                        paring convert model.onnx --report-ops\n\n\
                        A .pare file holds the network as the optimizer leaves it, and is used where it lies: it opens in\n\
                        milliseconds. With weights packed for a kind of machine, such a machine opens it without packing\n\
                        anything; every machine opens every file.\n\n\
                        --fp16 and --bf16 store weights in half the bytes, each with a Cast to f32 after it, so that any\n\
                        runtime computes as before. Vectors (biases, norms) and constants of under 128 numbers stay in f32,\n\
                        as do weights with numbers that the format cannot hold.")]
pub struct ConvertArgs {
    /// The model
    pub model_file: PathBuf,
    /// Add weights packed for these kinds of machines, to a .pare file
    #[arg(long, value_name = "KIND,..", value_delimiter = ',', value_parser = parse_kind)]
    pub pack_for: Vec<MachineKind>,
    /// Store weights in half precision: numbers up to 65504, eleven significant bits
    #[arg(long, conflicts_with = "bf16")]
    pub fp16: bool,
    /// Store weights in the upper half of f32: its whole range, eight significant bits
    #[arg(long)]
    pub bf16: bool,
    /// Write nothing: list the cargo features that a program needs to run this model
    #[arg(long, conflicts_with_all = ["pack_for", "fp16", "bf16", "output"])]
    pub report_ops: bool,
    /// Where the new model goes
    #[arg(short, long, value_name = "FILE", required_unless_present = "report_ops")]
    pub output: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(short, long)]
    pub force: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Where a model goes.
#[derive(Debug, Args)]
pub struct OutArgs {
    /// Where the new model goes
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Overwrite an existing file
    #[arg(short, long)]
    pub force: bool,
}

/// What the commands have in common.
#[derive(Debug, Args)]
pub struct WeightArgs {
    /// Only layers of this name, in which * stands for any characters and ? for one; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    pub layers: Vec<String>,
    /// Typical inputs: biases make up for the mean error of the weights, and the report says how far outputs are off
    #[arg(long, value_name = "DATA")]
    pub calibration: Option<PathBuf>,
    /// Leave biases as they are
    #[arg(long)]
    pub no_bias_correction: bool,
    #[command(flatten)]
    pub samples: SampleArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring lowbit model.onnx --bits 4 -o model_w4.onnx\n  \
                        paring lowbit model.onnx --bits 4 --group 64 -o model_w4g64.onnx\n  \
                        paring lowbit model.onnx --bits 3 --codebook -o model_c3.onnx\n  \
                        paring lowbit model.onnx --bits 2 --bits-for conv1=8 --bits-for 'head*=f32' -o mixed.onnx\n\n\
                        Weights of Conv, Gemm and MatMul are stored at their width and computed with in f32: the file\n\
                        shrinks, the time stays. Standard operators in the file make f32 of them when a runtime opens it.")]
pub struct LowbitArgs {
    /// The model, in f32
    pub model_file: PathBuf,
    /// Bits of a weight
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=8))]
    pub bits: u32,
    /// A scale for about every SIZE weights of an output channel, rather than one for all of them
    #[arg(long, value_name = "SIZE", value_parser = clap::value_parser!(u32).range(2..))]
    pub group: Option<u32>,
    /// Learn the values that codes stand for (k-means), rather than space them evenly
    #[arg(long, value_enum, value_name = "SHARED BY", num_args = 0..=1, require_equals = true, default_missing_value = "layer")]
    pub codebook: Option<SharedArg>,
    /// Other bits for layers of this name (as in --layers), or f32; the last that fits holds
    #[arg(long, value_name = "NAME=BITS", value_parser = parse_bits_for)]
    pub bits_for: Vec<(String, Option<u32>)>,
    #[command(flatten)]
    pub out: OutArgs,
    #[command(flatten)]
    pub weights: WeightArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SharedArg {
    /// All weights of a layer, with scales for each channel or group besides
    #[default]
    Layer,
    /// The weights of a channel or group
    Channel,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring ternarize model.onnx -o model_ternary.onnx\n  \
                        paring ternarize model.onnx --calibration x.npy --labels y.npy -o model_ternary.onnx\n  \
                        paring ternarize model.onnx --layers 'features.*' --threshold rule -o model_ternary.onnx\n\n\
                        Weights become -1, 0 and 1 times a scale, in two bits each. The first and the last layer stay in\n\
                        f32 unless --layers names them or --all-layers is given.")]
pub struct TernarizeArgs {
    /// The model, in f32
    pub model_file: PathBuf,
    /// Which weights become zero
    #[arg(long, value_enum, default_value_t)]
    pub threshold: ThresholdArg,
    /// One scale for each layer, rather than for each output channel
    #[arg(long)]
    pub per_layer: bool,
    /// The first and the last layer too
    #[arg(long)]
    pub all_layers: bool,
    #[command(flatten)]
    pub out: OutArgs,
    #[command(flatten)]
    pub weights: WeightArgs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ThresholdArg {
    /// Those with which the squared error is least
    #[default]
    Exact,
    /// Those below 0.7 times the mean magnitude
    Rule,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring binarize model.onnx --force -o model_binary.onnx\n  \
                        paring binarize model.onnx --force --layers 'block*' --activations -o model_binary.onnx\n\n\
                        Weights become -1 and 1 times their mean magnitude in each output channel, in one bit each. A network\n\
                        that was not trained for that loses its accuracy: it has to be trained again from there. The first\n\
                        and the last layer stay in f32 unless --layers names them or --all-layers is given.")]
pub struct BinarizeArgs {
    /// The model, in f32
    pub model_file: PathBuf,
    /// Inputs of the layers become signs too
    #[arg(long)]
    pub activations: bool,
    /// The first and the last layer too
    #[arg(long)]
    pub all_layers: bool,
    /// Where the new model goes
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Do it though the accuracy is lost, and overwrite an existing file
    #[arg(short, long)]
    pub force: bool,
    #[command(flatten)]
    pub weights: WeightArgs,
}

fn parse_kind(text: &str) -> Result<MachineKind, String> {
    MachineKind::from_name(text).ok_or_else(|| {
        let known = MachineKind::ALL.map(MachineKind::name).join(", ");
        format!("kinds of machines are {known}")
    })
}

fn parse_bits_for(text: &str) -> Result<(String, Option<u32>), String> {
    let (name, bits) = text.rsplit_once('=').ok_or("expected NAME=BITS, such as conv1=8")?;
    let bits = match bits {
        "f32" => None,
        bits => Some(bits.parse().ok().filter(|b| (2..=8).contains(b)).ok_or("bits are 2 to 8, or f32")?),
    };
    Ok((name.to_owned(), bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_layers() {
        assert_eq!(parse_bits_for("a=b=4"), Ok(("a=b".into(), Some(4))));
        assert_eq!(parse_bits_for("head*=f32"), Ok(("head*".into(), None)));
        for bad in ["a", "a=", "a=1", "a=9", "a=x"] {
            assert!(parse_bits_for(bad).is_err(), "{bad}");
        }
    }
}
