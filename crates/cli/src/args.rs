//! The command line: what can be said.

mod quantize;
mod values;
mod weights;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
pub use quantize::{MethodArg, QuantizeArgs, SampleArgs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
pub use values::{Extent, LimitArg, ShapeArg, split_input};
use values::{
    parse_calibration, parse_count, parse_extent, parse_isa, parse_limit, parse_set, parse_shape, parse_tolerance,
    parse_tuning,
};
pub use weights::{BinarizeArgs, ConvertArgs, LowbitArgs, SharedArg, TernarizeArgs, ThresholdArg, WeightArgs};

const AFTER_HELP: &str = "\
Examples:
  paring demo
  paring inspect resnet50.onnx
  paring run mobilenet_v2.onnx --input cat.jpg --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
  paring bench resnet50.onnx --threads 1 --runs 30 --profile

Exit status: 0 ok, 1 failure, 2 usage, 3 comparison failed, 4 unsupported operator, 5 corrupt model, 6 limit hit,
124 out of time. Data goes to standard output, everything else to standard error.";

/// Pares down trained neural networks and runs them fast on the CPU.
#[derive(Debug, Parser)]
#[command(name = "paring", version, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Debug, Args)]
pub struct Global {
    /// Print one line of JSON instead of text
    #[arg(long, global = true)]
    pub json: bool,
    /// No warnings, no notes, no progress bars
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More details on standard error
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Inputs, outputs, operators, parameters and work of a model, layer by layer
    Inspect(InspectArgs),
    /// Run a model on arrays or images
    Run(RunArgs),
    /// Measure how fast a model runs
    Bench(BenchArgs),
    /// Why each layer runs the way it does, and what was fused or not
    Explain(ExplainArgs),
    /// Compare two models, or a model with recorded outputs
    Compare(CompareArgs),
    /// Measure which kernel is fastest for each layer, or the caches and rates of this machine
    Tune(TuneArgs),
    /// Accuracy of a classifier on a labelled data set
    Eval(EvalArgs),
    /// Make a model compute with bytes, calibrated on data
    Quantize(QuantizeArgs),
    /// Write a .pare file that opens at once, or store weights in half precision
    Convert(ConvertArgs),
    /// Store weights in 2 to 8 bits
    Lowbit(LowbitArgs),
    /// Make weights -1, 0 and 1 times a scale
    Ternarize(TernarizeArgs),
    /// Make weights -1 and 1 times a scale
    Binarize(BinarizeArgs),
    /// The graph before and after optimisation
    Optimize(OptimizeArgs),
    /// Classify real images with a small network that comes with the command
    Demo(DemoArgs),
}

/// Options of everything that opens a model.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Model")]
pub struct ModelArgs {
    /// Shape of an input, such as x=1x3x224x224; without the name for the only input
    #[arg(long = "shape", value_name = "[NAME=]SHAPE", value_parser = parse_shape)]
    pub shapes: Vec<ShapeArg>,
    /// Value of a symbolic dimension, such as N=8
    #[arg(long = "set", value_name = "DIM=SIZE", value_parser = parse_set)]
    pub sets: Vec<(String, usize)>,
    /// Give up beyond mem=BYTES (suffixes K, M, G) or time=SECONDS
    #[arg(long = "limit", value_name = "mem=..|time=..", value_delimiter = ',', value_parser = parse_limit)]
    pub limits: Vec<LimitArg>,
}

/// Options of everything that plans or runs a model.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    #[command(flatten)]
    pub model: ModelArgs,
    /// Threads to run on [default: one for each fast core]
    #[arg(long, value_name = "N", help_heading = "Engine", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Instruction sets kernels may use, such as portable or avx2 [default: all this machine has]
    #[arg(long, value_name = "ISA,..", help_heading = "Engine", value_delimiter = ',', value_parser = parse_isa)]
    pub isa: Option<Vec<paring::Isa>>,
    /// How far results may stray from plain arithmetic, for speed
    #[arg(long, value_enum, default_value_t, help_heading = "Engine")]
    pub numerics: NumericsArg,
    /// Run the graph as it stands in the file
    #[arg(long, help_heading = "Engine")]
    pub no_optimize: bool,
    /// Stop the optimiser after N steps, to find a step that goes wrong
    #[arg(long, value_name = "N", help_heading = "Engine")]
    pub opt_stop_at: Option<usize>,
    /// Use only kernels of these names
    #[arg(long, value_name = "NAME,..", help_heading = "Engine", value_delimiter = ',')]
    pub kernels: Option<Vec<String>>,
    /// Take kernels' times from this file, which `paring tune` wrote on this machine
    #[arg(long, value_name = "FILE", help_heading = "Engine", value_parser = parse_tuning)]
    pub tuning: Option<Arc<paring::Tuning>>,
    /// Estimate with the caches and rates in this file, which `paring tune --machine` wrote on this machine
    #[arg(long, value_name = "FILE", help_heading = "Engine", value_parser = parse_calibration)]
    pub rates: Option<paring::Calibration>,
    /// Do not use kernels of these names
    #[arg(long, value_name = "NAME,..", help_heading = "Engine", value_delimiter = ',')]
    pub exclude_kernels: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum NumericsArg {
    /// No algorithm that reorders more than sums (no Winograd)
    Strict,
    #[default]
    Default,
    /// Lossy shortcuts allowed
    Fast,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring inspect model.onnx\n  paring inspect model.onnx --layers 20 --set N=8\n  \
                        paring inspect model.onnx --json | jq .macs")]
pub struct InspectArgs {
    /// The model
    pub model_file: PathBuf,
    #[command(flatten)]
    pub model: ModelArgs,
    /// Rows of the layer table: a number, or all
    #[arg(long, value_name = "N|all", default_value = "all", value_parser = parse_count)]
    pub layers: usize,
}

/// Options of image inputs.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Images")]
pub struct ImageArgs {
    /// Resize images: 256 (shorter side) or 224x320 (height x width) [default: what the input asks for]
    #[arg(long, value_name = "SIZE", value_parser = parse_extent)]
    pub resize: Option<Extent>,
    /// Cut this much out of the middle, after resizing: 224 or 224x320
    #[arg(long, value_name = "SIZE", value_parser = parse_extent)]
    pub crop: Option<Extent>,
    /// Subtract these per channel, from pixels in 0..1
    #[arg(long, value_name = "M,..", value_delimiter = ',', allow_hyphen_values = true)]
    pub mean: Vec<f32>,
    /// Divide by these per channel, after the mean
    #[arg(long, value_name = "S,..", value_delimiter = ',')]
    pub std: Vec<f32>,
    /// Leave pixels as they are (0..255)
    #[arg(long, conflicts_with_all = ["mean", "std"])]
    pub raw: bool,
    /// Order of the axes of the input
    #[arg(long, value_enum, default_value_t)]
    pub layout: LayoutArg,
    /// Blue first, as networks trained on OpenCV arrays want
    #[arg(long)]
    pub bgr: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LayoutArg {
    /// Whichever of the two has 1, 3 or 4 channels
    #[default]
    Auto,
    Nchw,
    Nhwc,
}

/// Where inputs come from.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Inputs")]
pub struct InputArgs {
    /// An input from .npy, .npz, .pb, .png or .jpg; without the name for the only input or for an .npz of all
    #[arg(short, long = "input", value_name = "[NAME=]FILE")]
    pub inputs: Vec<String>,
    /// Fill inputs that have no file with random numbers
    #[arg(long)]
    pub random: bool,
    /// Seed of random inputs
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    #[command(flatten)]
    pub image: ImageArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring run model.onnx --input cat.jpg --labels imagenet.txt\n  \
                        paring run model.onnx --input x=x.npy --input mask=mask.npy --output-dir out\n  \
                        paring run model.onnx --random --seed 1 --json")]
pub struct RunArgs {
    /// The model
    pub model_file: PathBuf,
    #[command(flatten)]
    pub input: InputArgs,
    /// Write every output to DIR/NAME.npy
    #[arg(short, long, value_name = "DIR")]
    pub output_dir: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(short, long)]
    pub force: bool,
    /// Names of the classes, one per line
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring bench model.onnx --threads 1\n  \
                        paring bench model.onnx --runs 100 --profile\n  \
                        paring bench model.onnx --html profile.html --trace profile.json\n  \
                        paring bench model.onnx --set N=8 --json\n\n\
                        `eff` is the least time a layer could take over its median time. The least time is that of its\n\
                        multiply-adds at the measured peak or of its operands at the measured bandwidth of memory,\n\
                        whichever is longer. Algorithms with fewer multiply-adds (Winograd), and operands that are still\n\
                        in the cache, can be faster than that.")]
pub struct BenchArgs {
    /// The model
    pub model_file: PathBuf,
    /// Timed runs
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub runs: u32,
    /// Runs before those, not timed
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub warmup: u32,
    /// Time every layer, and compare it with what the machine can do
    #[arg(long)]
    pub profile: bool,
    /// Write the layers of the fastest run as a trace for Perfetto or chrome://tracing; includes --profile
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Write the profile as a page that needs no network; includes --profile
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Overwrite existing files
    #[arg(short, long)]
    pub force: bool,
    /// Inputs: random unless given
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  paring explain model.onnx\n  paring explain model.onnx --layer conv1 --isa portable"
)]
pub struct ExplainArgs {
    /// The model
    pub model_file: PathBuf,
    /// Only layers whose name contains this
    #[arg(long, value_name = "NAME")]
    pub layer: Option<String>,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring compare before.onnx after.onnx\n  \
                        paring compare model.onnx --reference test_data_set_0 --rtol 1e-3 --atol 1e-5\n  \
                        paring compare model.onnx --bisect      (optimised with unoptimised)\n\n\
                        An element agrees where |a - b| <= atol + rtol * |b|, b being the reference.\n\
                        Exit status 0: every output agrees; 3: one differs.")]
pub struct CompareArgs {
    /// The model under test
    pub model_file: PathBuf,
    /// The model to compare with [default: MODEL_FILE, unoptimised]
    pub other: Option<PathBuf>,
    /// Recorded inputs and outputs: .npy or .npz by tensor name, or input_0.pb, output_0.pb, ...
    #[arg(long, value_name = "DIR", conflicts_with = "other")]
    pub reference: Option<PathBuf>,
    /// Relative tolerance per element
    #[arg(long, value_name = "X", value_parser = parse_tolerance)]
    pub rtol: Option<f64>,
    /// Absolute tolerance per element
    #[arg(long, value_name = "X", value_parser = parse_tolerance)]
    pub atol: Option<f64>,
    /// Tolerance of the error's RMS relative to the RMS of the reference [default for two models: 1e-3]
    #[arg(long, value_name = "X", value_parser = parse_tolerance)]
    pub rms: Option<f64>,
    /// Find the first node whose value differs
    #[arg(long)]
    pub bisect: bool,
    /// Inputs: random unless given
    #[command(flatten)]
    pub input: InputArgs,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring eval model.onnx --data test_x.npy --labels test_y.npy\n  \
                        paring eval model.onnx --data x.npy --labels y.npy --topk 1,5 --batch 16 --json\n\n\
                        uint8 images are scaled to 0..1 unless --mean, --std or --raw say otherwise.\n\
                        Equal scores rank by class, NaN never counts as an answer.")]
pub struct EvalArgs {
    /// The model
    pub model_file: PathBuf,
    /// Images, the first axis counting them (.npy or .npz)
    #[arg(long, value_name = "FILE")]
    pub data: PathBuf,
    /// Their classes (.npy or .npz)
    #[arg(long, value_name = "FILE")]
    pub labels: PathBuf,
    /// An answer is right where the class is among the K best
    #[arg(long, value_name = "K,..", value_delimiter = ',', default_value = "1,5")]
    pub topk: Vec<usize>,
    /// Images per run [default: what the model fixes, else 1]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub batch: Option<usize>,
    /// Only the first N images
    #[arg(long, value_name = "N", value_parser = parse_count)]
    pub limit_images: Option<usize>,
    /// The output that holds the scores [default: the first]
    #[arg(long, value_name = "NAME")]
    pub output: Option<String>,
    /// Subtract these per channel, from pixels in 0..1
    #[arg(long, value_name = "M,..", value_delimiter = ',', allow_hyphen_values = true)]
    pub mean: Vec<f32>,
    /// Divide by these per channel, after the mean
    #[arg(long, value_name = "S,..", value_delimiter = ',')]
    pub std: Vec<f32>,
    /// Leave values as they are
    #[arg(long, conflicts_with_all = ["mean", "std"])]
    pub raw: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring optimize model.onnx\n  paring optimize model.onnx --dump > graphs.txt\n  \
                        paring optimize model.onnx --dump --opt-stop-at 12")]
pub struct OptimizeArgs {
    /// The model
    pub model_file: PathBuf,
    /// Print the graph before and after
    #[arg(long)]
    pub dump: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  paring tune model.onnx\n  paring tune model.onnx -o machine.tuning --append\n  \
                        paring bench model.onnx --tuning model.tuning\n  paring tune --machine\n  \
                        paring bench model.onnx --rates machine.json")]
pub struct TuneArgs {
    /// The model
    #[arg(required_unless_present = "machine")]
    pub model_file: Option<PathBuf>,
    /// Measure the caches and rates of this machine, which estimates reckon with, rather than kernels on a model
    #[arg(long, conflicts_with_all = ["model_file", "append"])]
    pub machine: bool,
    /// Where the measurements go [default: the model's name with .tuning, or machine.json]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Add to the times in the file, rather than refuse to overwrite it
    #[arg(long)]
    pub append: bool,
    /// Overwrite the file
    #[arg(short, long, conflicts_with = "append")]
    pub force: bool,
    #[command(flatten)]
    pub engine: EngineArgs,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Pictures to show
    #[arg(long, value_name = "N|all", default_value = "6", value_parser = parse_count)]
    pub show: usize,
    #[command(flatten)]
    pub engine: EngineArgs,
}

impl ModelArgs {
    pub fn memory_limit(&self) -> Option<usize> {
        self.limits.iter().rev().find_map(|l| if let LimitArg::Memory(m) = l { Some(*m) } else { None })
    }

    pub fn time_limit(&self) -> Option<Duration> {
        self.limits.iter().rev().find_map(|l| if let LimitArg::Time(t) = l { Some(*t) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn definition_is_consistent() {
        Cli::command().debug_assert();
    }
}
