//! From a model of `f32` to one of coded weights.

use super::names::fits;
use super::rows::{Coded, by_channel};
use super::store::{FOUR_BITS, store};
use super::{CodeOptions, CodeReport, CodedLayer, Coding, Values};
use crate::layers::{Layer, Weights, candidates};
use crate::measure::{Subject, decibel};
use crate::net::{Index, Net, floats_tensor, operand};
use crate::observe::observe;
use crate::opset::raise;
use crate::quantize::refuse_quantised;
use crate::rewrite::Rewriter;
use crate::{Error, Progress, Result, Samples};
use bytes::Bytes;
use paring::Model;
use std::collections::HashMap;

/// First operator set with `DequantizeLinear` along an axis.
const OPSET: i64 = 13;

/// A model whose weights take fewer bits.
#[derive(Clone, Debug)]
pub struct CodedModel {
    /// The bytes of its ONNX file.
    pub model: Vec<u8>,
    /// What was done.
    pub report: CodeReport,
}

/// Stores the weights of `Conv`, `Gemm` and `MatMul` of an ONNX model in fewer bits. With samples, biases make up for the mean
/// error of the weights, and the report says how far the outputs are off.
///
/// # Errors
/// [`Error`] says what is wrong with the model, the options or the data.
pub fn code_weights(
    model: Vec<u8>,
    options: &CodeOptions,
    samples: Option<&dyn Samples>,
    progress: &mut dyn FnMut(Progress),
) -> Result<CodedModel> {
    check(options, samples)?;
    let bytes = Bytes::from(model);
    Model::from_vec(bytes.to_vec())?;
    let net = Net::decode(bytes.clone())?;
    refuse_quantised(&net)?;
    let index = Index::of(&net.graph);
    let layers: Vec<Layer> = candidates(&net.graph, &index).into_iter().filter(|l| l.weights.is_some()).collect();
    if layers.is_empty() {
        return Err(Error::Nothing);
    }
    let plan = plan(&layers, options)?;
    let opset = plan.iter().any(|c| c.is_ok_and(|c| c.values == Values::Uniform { bits: 4 }));
    let mut target = net.clone();
    if !raise(&mut target, if opset { FOUR_BITS } else { OPSET }) && !raise(&mut target, OPSET) {
        return Err(Error::Opset(net.opset()));
    }
    let means = means(&net, &layers, &plan, options, samples, progress)?;
    let mut maker = Maker {
        net: &net,
        index,
        opset: target.opset(),
        rewriter: Rewriter::of(&target),
        options,
        means,
        done: HashMap::new(),
    };
    let mut reports = Vec::with_capacity(layers.len());
    for (i, (layer, coding)) in layers.iter().zip(&plan).enumerate() {
        reports.push(maker.layer(layer, *coding));
        progress(Progress { step: "coding", done: i + 1, of: layers.len() });
    }
    if let Some(why) = nothing(&reports) {
        return Err(Error::NothingToCode(why));
    }
    finish(&net, bytes.len(), maker.rewriter.finish(), reports, options, samples, progress)
}

fn check(options: &CodeOptions, samples: Option<&dyn Samples>) -> Result<()> {
    let bits = options.bits_for.iter().filter_map(|(_, bits)| *bits).chain([options.coding.bits()]);
    let least = if options.coding.values == Values::Binary { 1 } else { 2 };
    if let Some(bits) = bits.into_iter().find(|bits| !(least..=8).contains(bits)) {
        return Err(Error::Options(format!("weights of {bits} bits: expected 2 to 8")));
    }
    if options.coding.group.is_some_and(|g| g < 2) {
        return Err(Error::Options("groups of fewer than 2 weights would make the model larger".into()));
    }
    match samples {
        Some(s) if s.batches() == 0 => Err(Error::Data("it is empty".into())),
        None if options.labels.is_some() => Err(Error::Options("labels are of no use without samples".into())),
        _ => Ok(()),
    }
}

/// For each layer its coding, or why it has none.
fn plan(layers: &[Layer], options: &CodeOptions) -> Result<Vec<Result<Coding, &'static str>>> {
    let patterns = options.layers.iter().flatten().chain(options.bits_for.iter().map(|(p, _)| p));
    for pattern in patterns {
        if !layers.iter().any(|l| fits(pattern, &l.name)) {
            return Err(Error::NoSuchLayer { pattern: pattern.clone(), names: some_names(layers) });
        }
    }
    let choose = |(i, layer): (usize, &Layer)| {
        let named = options.layers.as_ref().map(|all| all.iter().any(|p| fits(p, &layer.name)));
        let own = options.bits_for.iter().rev().find(|(p, _)| fits(p, &layer.name)).map(|(_, bits)| *bits);
        let end = i == 0 || i + 1 == layers.len();
        match (named, own) {
            (Some(false), _) => Err("it was not asked for"),
            (_, Some(None)) => Err("it was asked to"),
            (None, _) if end && options.keep_ends => Err(if i == 0 { "it is the first" } else { "it is the last" }),
            (_, Some(Some(bits))) => Ok(options.coding.with_bits(bits)),
            (_, None) => Ok(options.coding),
        }
    };
    Ok(layers.iter().enumerate().map(choose).collect())
}

fn some_names(layers: &[Layer]) -> String {
    const SHOWN: usize = 12;
    let mut names: Vec<String> = layers.iter().take(SHOWN).map(|l| format!("'{}'", l.name)).collect();
    if layers.len() > SHOWN {
        names.push(format!("{} more", layers.len() - SHOWN));
    }
    names.join(", ")
}

/// Means of the channels of what coded layers read, for their biases.
fn means(
    net: &Net,
    layers: &[Layer],
    plan: &[Result<Coding, &'static str>],
    options: &CodeOptions,
    samples: Option<&dyn Samples>,
    progress: &mut dyn FnMut(Progress),
) -> Result<HashMap<String, Vec<f64>>> {
    let Some(samples) = samples.filter(|_| options.bias_correction && !options.sign_inputs) else {
        return Ok(HashMap::new());
    };
    let coded = layers.iter().zip(plan).filter(|(_, coding)| coding.is_ok());
    let weights = coded.filter_map(|(l, _)| Some((l, l.weights.as_ref().filter(|w| w.takes_bias)?)));
    let axes: HashMap<String, Option<usize>> =
        weights.map(|(l, w)| (net.graph.node[l.node].input[l.data[0]].clone(), w.input_axis)).collect();
    let mut values: Vec<String> = axes.keys().cloned().collect();
    values.sort();
    let (seen, _) = observe(net, &values, &axes, samples, &options.run, progress)?;
    Ok(seen.into_iter().filter_map(|(name, s)| Some((name, s.means?.get()))).collect())
}

struct Maker<'a> {
    net: &'a Net,
    index: Index<'a>,
    opset: i64,
    rewriter: Rewriter,
    options: &'a CodeOptions,
    means: HashMap<String, Vec<f64>>,
    /// Constants that are coded, each with the layer that was first to use it.
    done: HashMap<String, String>,
}

impl Maker<'_> {
    fn layer(&mut self, layer: &Layer, coding: Result<Coding, &'static str>) -> CodedLayer {
        let node = &self.net.graph.node[layer.node];
        let source = operand(node, 1).and_then(|w| self.index.source(w)).map(|(name, _)| name.to_owned());
        let read = source.as_ref().and_then(|name| self.index.floats(name));
        let mut report = CodedLayer {
            name: layer.name.clone(),
            op: layer.op.clone(),
            weights: read.as_ref().map_or(0, |(values, _)| values.len()),
            coding: None,
            kept: None,
            bytes_before: read.as_ref().map_or(0, |(values, _)| 4 * values.len()),
            bytes_after: read.as_ref().map_or(0, |(values, _)| 4 * values.len()),
            sqnr_db: None,
            zeros: 0.0,
        };
        let (Some(weights), Some(source), Some((values, dims))) = (&layer.weights, source, read) else { return report };
        match self.code(layer, weights, &source, &values, &dims, coding, &mut report) {
            Ok(()) => {}
            Err(why) => report.kept = Some(why),
        }
        report
    }

    /// Codes one layer, or says why not.
    fn code(
        &mut self,
        layer: &Layer,
        weights: &Weights,
        source: &str,
        values: &[f32],
        dims: &[usize],
        coding: Result<Coding, &'static str>,
        report: &mut CodedLayer,
    ) -> Result<(), String> {
        let coding = coding?;
        if let Some(first) = self.done.get(source) {
            (report.bytes_before, report.bytes_after) = (0, 0);
            return Err(format!("its weights are those of '{first}'"));
        }
        if let Some(bad) = values.iter().find(|v| !v.is_finite()) {
            return Err(format!("a weight is {bad}"));
        }
        let rows = by_channel(values, &weights.form);
        let coded = coding.code(&rows, weights.form.channels);
        let needed = coded.bytes();
        if needed >= report.bytes_before {
            return Err(format!("it would take {needed} bytes rather than {}", report.bytes_before));
        }
        report.bytes_after = store(&mut self.rewriter, source, dims, weights, &coded, self.opset);
        report.coding = Some(coding);
        report.sqnr_db = decibel(rows.iter().map(|&w| f64::from(w).powi(2)).sum(), coded.noise(&rows));
        let zeros = (0..rows.len()).filter(|&i| coded.real(i) == 0.0).count();
        report.zeros = zeros as f64 / rows.len().max(1) as f64;
        self.done.insert(source.into(), layer.name.clone());
        self.correct_bias(layer, weights, &rows, &coded);
        if self.options.sign_inputs {
            self.read_signs(layer);
        }
        Ok(())
    }

    /// Rounded weights are off, and their sum over an input whose mean is not zero is an error of the mean of the output.
    fn correct_bias(&mut self, layer: &Layer, weights: &Weights, rows: &[f32], coded: &Coded) {
        let node = &self.net.graph.node[layer.node];
        let Some(means) = self.means.get(&node.input[layer.data[0]]).filter(|_| weights.takes_bias) else { return };
        let form = &weights.form;
        let given = operand(node, 2).and_then(|b| self.index.floats(b));
        let mut bias = given.map_or_else(|| vec![0.0; form.channels], |(b, _)| b);
        let mut at = 0;
        for (c, bias) in bias.iter_mut().enumerate() {
            let mut shift = 0f64;
            form.each(c, |_, input| {
                let off = f64::from(coded.real(at)) - f64::from(rows[at]);
                shift += off * means.get(input).copied().unwrap_or(0.0);
                at += 1;
            });
            *bias -= shift as f32;
        }
        let base = operand(node, 2).unwrap_or(&node.input[1]);
        let bias = self.rewriter.constant(floats_tensor(&format!("{base}.corrected"), &[form.channels], &bias));
        let node = &mut self.rewriter.net().graph.node[layer.node];
        node.input.resize(3, String::new());
        node.input[2] = bias;
    }

    fn read_signs(&mut self, layer: &Layer) {
        let value = self.net.graph.node[layer.node].input[layer.data[0]].clone();
        let sign = self.rewriter.before(layer.node, "Sign", &value);
        self.rewriter.net().graph.node[layer.node].input[layer.data[0]] = sign;
    }
}

/// Why no layer at all was coded, where none was.
fn nothing(layers: &[CodedLayer]) -> Option<String> {
    if layers.iter().any(|l| l.coding.is_some()) {
        return None;
    }
    let whys: Vec<String> =
        layers.iter().take(3).filter_map(|l| Some(format!("'{}' stays: {}", l.name, l.kept.as_ref()?))).collect();
    Some(whys.join("; "))
}

fn finish(
    net: &Net,
    bytes_before: usize,
    mut made: Net,
    layers: Vec<CodedLayer>,
    options: &CodeOptions,
    samples: Option<&dyn Samples>,
    progress: &mut dyn FnMut(Progress),
) -> Result<CodedModel> {
    made.drop_unused();
    let model = made.encode();
    Model::from_vec(model.clone())?;
    let mut report = CodeReport {
        weight_bytes_before: layers.iter().map(|l| l.bytes_before).sum(),
        weight_bytes_after: layers.iter().map(|l| l.bytes_after).sum(),
        layers,
        bytes_before,
        bytes_after: model.len(),
        samples: 0,
        outputs: Vec::new(),
        accuracy: None,
    };
    if let Some(samples) = samples {
        let subject = Subject { float: net, samples, labels: options.labels.as_deref(), options: &options.run };
        let found = subject.compare(&made, &[], usize::MAX, "comparing", progress)?;
        report.samples = found.samples;
        (report.outputs, report.accuracy) = (found.outputs, found.accuracy);
    }
    Ok(CodedModel { model, report })
}
