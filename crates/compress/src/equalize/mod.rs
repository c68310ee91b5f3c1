//! Channels between layers brought to the same range (Nagel et al. 2019).
//!
//! Where nothing but functions with `f(s x) = s f(x)` for positive `s` lies between two layers, a channel may be divided by
//! a number in the first and multiplied by it in the second. The network computes the same; but channels that differ much in
//! range, and so share a scale badly, no longer do.

use crate::layers::{Layer, candidates};
use crate::net::{Index, Names, Net, floats_tensor, int, is_standard, operand};
use crate::weights::Form;
use paring_onnx::proto::{GraphProto, NodeProto};
use std::collections::HashMap;

/// Most sweeps over all pairs; each moves ranges through chains by one layer.
const SWEEPS: usize = 30;
/// Factors nearer to one than that are not worth another sweep.
const SETTLED: f64 = 1e-3;
/// Ranges further apart than that are brought together by so much.
const MOST: f64 = 1e6;

/// A layer whose output, channel by channel, is all that another reads.
struct Pair {
    from: usize,
    to: usize,
}

/// Constants of a layer.
struct Constants {
    node: usize,
    form: Form,
    dims: Vec<usize>,
    weights: Vec<f32>,
    bias: Option<Vec<f32>>,
}

/// Equalises all that can be; returns how many pairs of layers that were.
pub fn equalize(net: &mut Net) -> usize {
    let (mut all, pairs) = pairs(&net.graph);
    for _ in 0..SWEEPS {
        let largest = pairs.iter().map(|pair| sweep(&mut all, pair)).fold(0.0, f64::max);
        if largest < SETTLED {
            break;
        }
    }
    let touched: Vec<usize> = pairs.iter().flat_map(|p| [p.from, p.to]).collect();
    let mut names = Names::of(&net.graph);
    for (_, constants) in all.into_iter().enumerate().filter(|(i, _)| touched.contains(i)) {
        replace(net, &mut names, constants);
    }
    net.drop_unused();
    pairs.len()
}

fn replace(net: &mut Net, names: &mut Names, constants: Constants) {
    let Constants { node, form, dims, weights, bias } = constants;
    let mut put = |slot: usize, dims: &[usize], values: &[f32]| {
        let node = &mut net.graph.node[node];
        let name = names.fresh(&format!("{}.equalized", node.input[slot]));
        node.input[slot].clone_from(&name);
        net.graph.initializer.push(floats_tensor(&name, dims, values));
    };
    put(1, &dims, &weights);
    if let Some(bias) = bias {
        put(2, &[form.channels], &bias);
    }
}

/// Layers with constants that only they read, and which of them follow one another.
fn pairs(graph: &GraphProto) -> (Vec<Constants>, Vec<Pair>) {
    let index = Index::of(graph);
    let layers: Vec<(Layer, Constants)> =
        candidates(graph, &index).into_iter().filter_map(|l| constants(graph, &index, &l).map(|c| (l, c))).collect();
    let by_node: HashMap<usize, usize> = layers.iter().enumerate().map(|(i, (l, _))| (l.node, i)).collect();
    let follows = |(from, (layer, c)): (usize, &(Layer, Constants))| {
        let to = *by_node.get(&reader(graph, &index, layer)?)?;
        let next = &layers[to].1;
        (inputs(&next.form) == c.form.channels).then_some(Pair { from, to })
    };
    let pairs = layers.iter().enumerate().filter_map(follows).collect();
    (layers.into_iter().map(|(_, c)| c).collect(), pairs)
}

fn constants(graph: &GraphProto, index: &Index<'_>, layer: &Layer) -> Option<Constants> {
    let (weights, node) = (layer.weights.as_ref()?, &graph.node[layer.node]);
    let own = |slot: usize| {
        let (name, _) = index.source(operand(node, slot)?)?;
        index.floats(name).filter(|(v, _)| index.uses(name) == 1 && v.iter().all(|x| x.is_finite()))
    };
    let (values, dims) = own(1)?;
    let bias = match operand(node, 2).filter(|_| weights.takes_bias) {
        Some(_) => Some(own(2)?.0),
        None => None,
    };
    Some(Constants { node: layer.node, form: weights.form, dims, weights: values, bias })
}

/// The layer that reads the output of another by way of functions that scale, channel by channel.
fn reader(graph: &GraphProto, index: &Index<'_>, layer: &Layer) -> Option<usize> {
    let matrix = layer.op != "Conv";
    let (mut value, mut flat) = (graph.node[layer.node].output.first()?, matrix);
    // As many as there are nodes, for a graph that was opened has no circles.
    for _ in 0..graph.node.len() {
        let next = index.only_reader(value)?;
        let node = &graph.node[next];
        if node.input.first() != Some(value) || !is_standard(node) {
            return None;
        }
        let wanted = if flat { ["Gemm", "MatMul"] } else { ["Conv", "Conv"] };
        match node.op_type.as_str() {
            op if wanted.contains(&op) => return Some(next),
            "Relu" | "LeakyRelu" | "Identity" => {}
            "PRelu" if operand(node, 1).is_some_and(|slope| index.constant(slope).is_some()) => {}
            "MaxPool" | "AveragePool" if !matrix && node.output.len() == 1 => {}
            "GlobalAveragePool" | "GlobalMaxPool" if !matrix => {
                // What is left of a channel is one number: flattening leaves the channels.
                let after = index.only_reader(node.output.first()?).map(|i| &graph.node[i]);
                if let Some(after) = after.filter(|n| n.op_type == "Flatten" && is_standard(n) && flattens(n)) {
                    (value, flat) = (after.output.first()?, true);
                    continue;
                }
            }
            _ => return None,
        }
        value = node.output.first()?;
    }
    None
}

fn flattens(node: &NodeProto) -> bool {
    int(node, "axis", 1) == 1
}

/// Channels that a layer reads.
fn inputs(form: &Form) -> usize {
    form.channels.div_ceil(form.group.max(1)) * form.depth
}

/// Brings the ranges of one pair together; how much the farthest was off, as a logarithm.
fn sweep(all: &mut [Constants], pair: &Pair) -> f64 {
    let made = ranges(&all[pair.from], |channel, _| channel);
    let read = ranges(&all[pair.to], |_, input| input);
    let mut factors: Vec<f64> = made.iter().zip(&read).map(|(&a, &b)| factor(a, b)).collect();
    if let Some(bias) = &all[pair.from].bias {
        let fits = |b: f32, f: f64| ((f64::from(b) / f) as f32).is_finite();
        factors.iter_mut().zip(bias).filter(|(f, b)| !fits(**b, **f)).for_each(|(f, _)| *f = 1.0);
    }
    scale(&mut all[pair.from], |channel, _| 1.0 / factors[channel]);
    if let Some(bias) = &mut all[pair.from].bias {
        bias.iter_mut().zip(&factors).for_each(|(b, f)| *b = (f64::from(*b) / f) as f32);
    }
    scale(&mut all[pair.to], |_, input| factors[input]);
    factors.iter().map(|f| f.ln().abs()).fold(0.0, f64::max)
}

/// What a channel is divided by where it is made, so that both ranges become their geometric mean.
fn factor(made: f32, read: f32) -> f64 {
    let factor = (f64::from(made) / f64::from(read)).sqrt();
    // A channel that is zero, or that nobody looks at, has no range.
    if made > 0.0 && read > 0.0 { factor.clamp(1.0 / MOST, MOST) } else { 1.0 }
}

/// The largest magnitude among the weights of each channel, which `of` tells from output channel and input.
fn ranges(layer: &Constants, of: impl Fn(usize, usize) -> usize) -> Vec<f32> {
    let form = &layer.form;
    let mut ranges = vec![0f32; form.channels.max(inputs(form))];
    for c in 0..form.channels {
        form.each(c, |at, input| {
            let range = &mut ranges[of(c, input)];
            *range = range.max(layer.weights[at].abs());
        });
    }
    ranges
}

fn scale(layer: &mut Constants, by: impl Fn(usize, usize) -> f64) {
    let Constants { form, weights, .. } = layer;
    for c in 0..form.channels {
        form.each(c, |at, input| weights[at] = (f64::from(weights[at]) * by(c, input)) as f32);
    }
}

#[cfg(test)]
mod tests;
