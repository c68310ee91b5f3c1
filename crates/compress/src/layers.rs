//! Which nodes are quantised, and which values that takes.

use crate::net::{Index, attribute, float, int, is_standard, operand, title};
use crate::range::Parameters;
use crate::weights::Form;
use paring_onnx::proto::{GraphProto, NodeProto};
use std::collections::{BTreeSet, HashMap, HashSet};

/// A node that can compute with bytes, with the activations after it that become part of it.
#[derive(Clone, Debug)]
pub struct Layer {
    pub node: usize,
    pub name: String,
    pub op: String,
    /// Operands that are quantised activations.
    pub data: Vec<usize>,
    pub weights: Option<Weights>,
    /// The bytes of the output stand for what those of the input do.
    pub moves: bool,
    /// The output may stay in `f32`, as runtimes have integer kernels with such an output.
    pub real_output: bool,
    /// What comes out after the activation.
    pub output: String,
}

/// Constant weights of a layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    pub form: Form,
    /// Axis of the output channels.
    pub axis: usize,
    /// Axis of the input on which its channels lie; `None` for the last.
    pub input_axis: Option<usize>,
    /// Whether the node has an operand for a bias.
    pub takes_bias: bool,
}

/// Every node that can be quantised, in the order of the file.
pub fn candidates(graph: &GraphProto, index: &Index<'_>) -> Vec<Layer> {
    let mut absorbed = HashSet::new();
    let mut layers = Vec::new();
    for (i, node) in graph.node.iter().enumerate() {
        if absorbed.contains(&i) {
            continue;
        }
        if let Some(mut layer) = candidate(index, i, node) {
            absorb(graph, index, &mut layer, &mut absorbed);
            layers.push(layer);
        }
    }
    layers
}

fn candidate(index: &Index<'_>, i: usize, node: &NodeProto) -> Option<Layer> {
    let output = node.output.first().filter(|o| !o.is_empty() && is_standard(node))?;
    let single = node.output.iter().skip(1).all(String::is_empty);
    let varies = |slot: usize| operand(node, slot).is_some_and(|name| index.constant(name).is_none());
    let (mut data, mut moves, mut weights) = (vec![0], false, None);
    match node.op_type.as_str() {
        "Conv" => weights = Some(conv_weights(index, node)?),
        "Gemm" => weights = Some(gemm_weights(index, node)?),
        "MatMul" => weights = Some(matrix(index, node, false, false)?),
        "Add" | "Mul" => data = vec![0, 1],
        "Concat" => data = (0..node.input.len()).collect(),
        "AveragePool" | "GlobalAveragePool" | "Relu" | "Clip" | "LeakyRelu" => {}
        "Sigmoid" | "HardSigmoid" | "HardSwish" => {}
        "Resize" if attribute(node, "mode").and_then(|a| a.s.as_deref()) != Some(b"cubic") => moves = true,
        "MaxPool" | "Reshape" | "Flatten" | "Transpose" | "Squeeze" | "Unsqueeze" | "Identity" | "Slice"
        | "DepthToSpace" | "SpaceToDepth" => moves = true,
        _ => return None,
    }
    let real_output = matches!(node.op_type.as_str(), "Gemm" | "MatMul");
    let (name, op, output) = (title(node).to_owned(), node.op_type.clone(), output.clone());
    let layer = Layer { node: i, name, op, data, weights, moves, real_output, output };
    (single && layer.data.iter().all(|&slot| varies(slot))).then_some(layer)
}

fn conv_weights(index: &Index<'_>, node: &NodeProto) -> Option<Weights> {
    let (values, dims) = index.floats(operand(node, 1)?)?;
    let groups = usize::try_from(int(node, "group", 1)).ok().filter(|&g| g > 0)?;
    let [channels, depth, window @ ..] = &dims[..] else { return None };
    if window.is_empty() || values.is_empty() || channels % groups != 0 || !bias_serves(index, node, *channels) {
        return None;
    }
    let taps: usize = window.iter().product();
    let form = Form {
        channels: *channels,
        channel_stride: depth * taps,
        depth: *depth,
        depth_stride: taps,
        taps,
        group: channels / groups,
    };
    Some(Weights { form, axis: 0, input_axis: Some(1), takes_bias: true })
}

fn gemm_weights(index: &Index<'_>, node: &NodeProto) -> Option<Weights> {
    let plain = int(node, "transA", 0) == 0 && float(node, "alpha", 1.0) == 1.0;
    if !plain || (operand(node, 2).is_some() && float(node, "beta", 1.0) != 1.0) {
        return None;
    }
    let weights = matrix(index, node, int(node, "transB", 0) != 0, true)?;
    bias_serves(index, node, weights.form.channels).then_some(weights)
}

/// Whether operand 2 is a constant for each channel, or not there.
fn bias_serves(index: &Index<'_>, node: &NodeProto, channels: usize) -> bool {
    operand(node, 2)
        .is_none_or(|name| index.floats(name).is_some_and(|(b, dims)| b.len() == channels && dims.len() == 1))
}

fn matrix(index: &Index<'_>, node: &NodeProto, transposed: bool, takes_bias: bool) -> Option<Weights> {
    let (values, dims) = index.floats(operand(node, 1)?)?;
    let [rows, columns] = dims[..] else { return None };
    let (depth, channels) = if transposed { (columns, rows) } else { (rows, columns) };
    let (channel_stride, depth_stride) = if transposed { (depth, 1) } else { (1, channels) };
    let form = Form { channels, channel_stride, depth, depth_stride, taps: 1, group: channels };
    let axis = usize::from(!transposed);
    (!values.is_empty()).then_some(Weights { form, axis, input_axis: None, takes_bias })
}

/// Takes into `layer` what runtimes compute with its result before they round it.
fn absorb(graph: &GraphProto, index: &Index<'_>, layer: &mut Layer, absorbed: &mut HashSet<usize>) {
    if !matches!(layer.op.as_str(), "Conv" | "Gemm" | "MatMul" | "Add") {
        return;
    }
    while let Some(next) = index.only_reader(&layer.output) {
        let node = &graph.node[next];
        let (Some(output), true) = (node.output.first(), is_standard(node)) else { return };
        let constant = |slot| operand(node, slot).and_then(|n| index.constant(n)).is_some();
        let last = match node.op_type.as_str() {
            "Relu" => true,
            "Clip" if operand(node, 0) == Some(&layer.output) && clips_below_zero(index, node) => true,
            "Add" if layer.op == "MatMul" && (constant(0) || constant(1)) => false,
            _ => return,
        };
        layer.output = output.clone();
        absorbed.insert(next);
        if last {
            return;
        }
    }
}

fn clips_below_zero(index: &Index<'_>, node: &NodeProto) -> bool {
    let low = operand(node, 1).and_then(|name| index.floats(name));
    low.is_some_and(|(low, _)| low.first().is_some_and(|&v| v >= 0.0))
}

/// The layers that are quantised, and the values between them.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// For each layer whether it is quantised.
    pub layers: Vec<bool>,
    /// Values that are rounded to bytes, each with the one whose range it shares.
    pub values: HashMap<String, String>,
}

impl Choice {
    /// Quantises all of `layers` that gain by it, except those in `kept`.
    ///
    /// Layers with weights do. The others do where all that they read comes as bytes and somebody wants their result
    /// so: between layers in `f32` rounding would only cost.
    pub fn of(layers: &[Layer], graph: &GraphProto, kept: &BTreeSet<usize>) -> Choice {
        let mut chosen: Vec<bool> =
            layers.iter().enumerate().map(|(i, l)| l.weights.is_some() && !kept.contains(&i)).collect();
        let operand = |layer: &Layer, slot: usize| graph.node[layer.node].input[slot].clone();
        let mut bytes: HashSet<&str> = HashSet::new();
        for (i, layer) in layers.iter().enumerate() {
            if layer.weights.is_none() {
                chosen[i] = layer.data.iter().all(|&slot| bytes.contains(&*operand(layer, slot)));
            }
            if chosen[i] && !layer.real_output {
                bytes.insert(&layer.output);
            }
        }
        let mut wanted: HashSet<String> = HashSet::new();
        for (i, layer) in layers.iter().enumerate().rev() {
            chosen[i] &= layer.weights.is_some() || wanted.contains(&layer.output);
            if chosen[i] {
                wanted.extend(layer.data.iter().map(|&slot| operand(layer, slot)));
            }
        }
        let mut values: HashMap<String, String> = HashMap::new();
        for (layer, _) in layers.iter().zip(&chosen).filter(|(_, chosen)| **chosen) {
            for &slot in &layer.data {
                let value = operand(layer, slot);
                values.entry(value.clone()).or_insert(value);
            }
            let output = &layer.output;
            if layer.moves {
                // Its input was met before, at the latest just now.
                let source = values[&operand(layer, layer.data[0])].clone();
                values.insert(output.clone(), source);
            } else if !layer.real_output {
                values.insert(output.clone(), output.clone());
            }
        }
        Choice { layers: chosen, values }
    }
    /// Gives inputs of a concatenation the parameters of its output where they lose a bit at most by it: then nothing
    /// is computed, and parts can be made in place.
    pub fn share_concatenated(
        &self,
        layers: &[Layer],
        graph: &GraphProto,
        parameters: &mut HashMap<String, Parameters>,
    ) {
        let chosen = layers.iter().zip(&self.layers).filter(|(l, chosen)| **chosen && l.op == "Concat");
        // Backwards, so that concatenations of concatenations agree.
        for (layer, _) in chosen.rev() {
            let Some(&whole) = parameters.get(&layer.output) else { continue };
            let inputs = layer.data.iter().map(|&slot| &graph.node[layer.node].input[slot]);
            let sources: Vec<&String> = inputs.filter_map(|name| self.values.get(name)).collect();
            let near = |source: &&String| parameters.get(*source).is_some_and(|p| 2.0 * p.scale >= whole.scale);
            if sources.iter().all(near) {
                parameters.extend(sources.into_iter().map(|source| (source.clone(), whole)));
            }
        }
    }
}
