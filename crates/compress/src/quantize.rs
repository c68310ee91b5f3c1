//! From a model of `f32` to one of bytes.

use crate::equalize::equalize;
use crate::fold::fold_batch_norms;
use crate::layers::{Choice, Layer, candidates};
use crate::measure::{Comparison, Subject, decibel, time};
use crate::net::{Index, Net, title};
use crate::observe::{Seen, observe};
use crate::range::{Method, Parameters};
use crate::report::{LayerReport, Report};
use crate::search::{Found, holds, search};
use crate::weights::Rounding;
use crate::write::{Recipe, Rounded, write};
use crate::{Error, Progress, Result, Samples};
use bytes::Bytes;
use paring::Model;
use std::collections::{BTreeSet, HashMap};

/// First operator set with scales per output channel.
const OPSET: i64 = 13;

/// How a model is quantised. The default is right for most.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// How ranges of activations are chosen.
    pub method: Method,
    /// Look for the scale of each output channel with the least error, rather than cover its largest weight.
    pub search_scales: bool,
    /// Use the whole range of weights even where two neighbours together are beyond what fits sixteen bits. More
    /// precise by next to nothing; slower on processors that multiply bytes in pairs.
    pub full_range: bool,
    /// Let biases make up for the mean error of rounded weights.
    pub bias_correction: bool,
    /// Bring the channels between layers to the same range first.
    pub equalize: bool,
    /// What may be lost at most; layers stay in `f32` until that holds.
    pub bound: Option<Bound>,
    /// The class of each sample, for accuracy.
    pub labels: Option<Vec<i64>>,
    /// How models run meanwhile.
    pub run: paring::Options,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            method: Method::default(),
            search_scales: true,
            full_range: false,
            bias_correction: true,
            equalize: false,
            bound: None,
            labels: None,
            run: paring::Options::default(),
        }
    }
}

/// What may be lost.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Bound {
    /// Points of top-1 accuracy on the labelled samples.
    Drop(f64),
    /// Signal to noise of every output in dB is this at the least.
    Sqnr(f64),
}

/// A quantised model.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The bytes of its ONNX file.
    pub model: Vec<u8>,
    /// What was done.
    pub report: Report,
}

/// Quantises an ONNX model, its ranges taken from `samples`. External data of the model cannot be found this way.
///
/// # Errors
/// [`Error`] says what is wrong with the model or the data.
pub fn quantize(
    model: Vec<u8>,
    samples: &dyn Samples,
    options: &Options,
    progress: &mut dyn FnMut(Progress),
) -> Result<Quantized> {
    check(samples, options)?;
    let bytes = Bytes::from(model);
    Model::from_vec(bytes.to_vec())?;
    let mut net = Net::decode(bytes.clone())?;
    check_model(&net)?;
    fold_batch_norms(&mut net);
    let equalized = if options.equalize { equalize(&mut net) } else { 0 };
    let index = Index::of(&net.graph);
    let layers = candidates(&net.graph, &index);
    if !layers.iter().any(|l| l.weights.is_some()) {
        return Err(Error::Nothing);
    }
    let plan = Plan { net: &net, layers: &layers, options };
    let all = Choice::of(&layers, &net.graph, &BTreeSet::new());
    let ranges = plan.calibrate(&all, samples, progress)?;
    let subject = Subject { float: &net, samples, labels: options.labels.as_deref(), options: &options.run };
    let outputs: Vec<String> = layers.iter().filter(|l| l.weights.is_some()).map(|l| l.output.clone()).collect();
    let mut measure = |made: &Made| subject.compare(&made.net, &outputs, usize::MAX, "comparing", progress);
    let mut made = plan.make(&ranges, &BTreeSet::new());
    let mut found = measure(&made)?;
    let mut kept = Found { kept: BTreeSet::new(), alone: Vec::new() };
    if let Some(bound) = options.bound.filter(|&b| !holds(&found, b)) {
        let weighted: Vec<usize> = (0..layers.len()).filter(|&i| layers[i].weights.is_some()).collect();
        kept = search(&subject, &weighted, bound, &|kept| plan.make(&ranges, kept).net, progress)?;
        made = plan.make(&ranges, &kept.kept);
        found = subject.compare(&made.net, &outputs, usize::MAX, "comparing", progress)?;
    }
    let model = made.net.encode();
    let report = Report {
        method: options.method,
        samples: ranges.samples,
        equalized,
        layers: plan.layer_reports(&made, &found, &kept),
        other_nodes: layers.iter().zip(&made.choice.layers).filter(|(l, c)| **c && l.weights.is_none()).count(),
        outputs: found.outputs,
        accuracy: found.accuracy,
        bytes_before: bytes.len(),
        bytes_after: model.len(),
        ms_before: time(bytes.to_vec(), samples, &options.run)?,
        ms_after: time(model.clone(), samples, &options.run)?,
    };
    Ok(Quantized { model, report })
}

fn check(samples: &dyn Samples, options: &Options) -> Result<()> {
    if samples.batches() == 0 {
        return Err(Error::Data("it is empty".into()));
    }
    if let Method::Percentile(p) = options.method
        && !(p > 50.0 && p <= 100.0)
    {
        return Err(Error::Options(format!("a percentile of {p}: expected more than 50 and at most 100")));
    }
    if matches!(options.bound, Some(Bound::Drop(_))) && options.labels.is_none() {
        return Err(Error::Options("a bound on the accuracy needs labels".into()));
    }
    Ok(())
}

fn check_model(net: &Net) -> Result<()> {
    refuse_quantised(net)?;
    match net.opset() {
        old if old < OPSET => Err(Error::Opset(old)),
        _ => Ok(()),
    }
}

/// Fails where the model has nodes about integers that stand for numbers.
pub fn refuse_quantised(net: &Net) -> Result<()> {
    const INTEGERS: [&str; 6] =
        ["QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"];
    if let Some(node) = net.graph.node.iter().find(|n| INTEGERS.contains(&&*n.op_type)) {
        return Err(Error::AlreadyQuantised(title(node).into()));
    }
    Ok(())
}

/// What calibrating found.
struct Ranges {
    parameters: HashMap<String, Parameters>,
    means: HashMap<String, Vec<f64>>,
    samples: usize,
}

/// A quantised network, and how it came to be.
struct Made {
    net: Net,
    choice: Choice,
    rounded: Vec<Option<Rounded>>,
}

struct Plan<'a> {
    net: &'a Net,
    layers: &'a [Layer],
    options: &'a Options,
}

impl Plan<'_> {
    fn calibrate(&self, choice: &Choice, samples: &dyn Samples, progress: &mut dyn FnMut(Progress)) -> Result<Ranges> {
        let mut values: Vec<String> = choice.values.keys().cloned().collect();
        values.sort();
        let axes = if self.options.bias_correction { self.input_axes() } else { HashMap::new() };
        let (seen, samples) = observe(self.net, &values, &axes, samples, &self.options.run, progress)?;
        let means = |(name, s): (&String, &Seen)| Some((name.clone(), s.means.as_ref()?.get()));
        Ok(Ranges {
            means: seen.iter().filter_map(means).collect(),
            samples,
            parameters: seen
                .iter()
                .map(|(name, s)| (name.clone(), self.options.method.range(&s.histogram).parameters()))
                .collect(),
        })
    }

    /// Axes of the channels of values that go into layers with a bias.
    fn input_axes(&self) -> HashMap<String, Option<usize>> {
        let weighted = self.layers.iter().filter_map(|l| Some((l, l.weights.as_ref().filter(|w| w.takes_bias)?)));
        weighted.map(|(l, w)| (self.net.graph.node[l.node].input[l.data[0]].clone(), w.input_axis)).collect()
    }

    fn make(&self, ranges: &Ranges, kept: &BTreeSet<usize>) -> Made {
        let choice = Choice::of(self.layers, &self.net.graph, kept);
        let mut parameters = ranges.parameters.clone();
        choice.share_concatenated(self.layers, &self.net.graph, &mut parameters);
        let recipe = Recipe {
            layers: self.layers,
            choice: &choice,
            parameters: &parameters,
            rounding: Rounding { search: self.options.search_scales, pairs: !self.options.full_range },
            means: &ranges.means,
        };
        let (net, rounded) = write(self.net, &recipe);
        Made { net, choice, rounded }
    }

    fn layer_reports(&self, made: &Made, found: &Comparison, kept: &Found) -> Vec<LayerReport> {
        let weighted = self.layers.iter().enumerate().filter(|(_, l)| l.weights.is_some());
        let report = |((i, layer), sums): ((usize, &Layer), &crate::measure::Sums)| LayerReport {
            name: layer.name.clone(),
            op: layer.op.clone(),
            float: !made.choice.layers[i],
            weight_sqnr_db: made.rounded[i].and_then(|r| decibel(r.signal, r.noise)),
            output_sqnr_db: sums.sqnr_db(),
            alone_sqnr_db: kept.alone.get(i).copied().flatten(),
        };
        weighted.zip(&found.values).map(report).collect()
    }
}
