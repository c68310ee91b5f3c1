//! The network with conversions to and from bytes.

use crate::layers::{Choice, Layer, Weights};
use crate::net::{FLOAT, INT8, INT32, Index, Names, Net, UINT8, floats_tensor, operand, tensor};
use crate::range::Parameters;
use crate::weights::{Bytes, Rounding};
use paring_onnx::proto::{AttributeProto, NodeProto, attribute_type};
use std::collections::{HashMap, HashSet};

/// What the network becomes.
pub struct Recipe<'a> {
    pub layers: &'a [Layer],
    pub choice: &'a Choice,
    /// For the sources among the quantised values.
    pub parameters: &'a HashMap<String, Parameters>,
    pub rounding: Rounding,
    /// Means of the channels of inputs, for biases to make up for the rounding of weights.
    pub means: &'a HashMap<String, Vec<f64>>,
}

/// How weights of a layer came out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rounded {
    /// Sum of squares of the weights.
    pub signal: f64,
    /// Sum of squares of their errors.
    pub noise: f64,
}

/// The quantised network, and for each layer how its weights were rounded.
pub fn write(net: &Net, recipe: &Recipe<'_>) -> (Net, Vec<Option<Rounded>>) {
    let mut writer = Writer {
        index: Index::of(&net.graph),
        names: Names::of(&net.graph),
        recipe,
        out: net.clone(),
        scales: HashMap::new(),
        renamed: HashMap::new(),
    };
    writer.out.graph.node.clear();
    let inputs: HashSet<&str> = net.graph.input.iter().map(|i| i.name.as_str()).collect();
    for input in &net.graph.input {
        if recipe.choice.values.contains_key(&input.name) {
            let read = writer.names.fresh(&format!("{}.real", input.name));
            writer.convert(&input.name, &input.name, &read);
            writer.renamed.insert(input.name.clone(), read);
        }
    }
    let mut rounded = vec![None; recipe.layers.len()];
    let by_node: HashMap<usize, usize> = recipe.layers.iter().enumerate().map(|(i, l)| (l.node, i)).collect();
    for (i, node) in net.graph.node.iter().enumerate() {
        let mut node = node.clone();
        if let Some(&at) = by_node.get(&i).filter(|at| recipe.choice.layers[**at]) {
            let layer = &recipe.layers[at];
            for &slot in &layer.data {
                if let Some(real) = writer.renamed.get(&node.input[slot]) {
                    node.input[slot].clone_from(real);
                }
            }
            if let Some(weights) = &layer.weights {
                rounded[at] = writer.weights(&mut node, &net.graph.node[i], weights);
            }
        }
        let made: Vec<String> = node.output.clone();
        let quantised = |name: &String| recipe.choice.values.contains_key(name) && !inputs.contains(name.as_str());
        // What reads a value, be it an output of the graph, finds it under its name, as rounded.
        let raw: Vec<Option<String>> =
            made.iter().map(|n| quantised(n).then(|| writer.names.fresh(&format!("{n}.raw")))).collect();
        for (output, raw) in node.output.iter_mut().zip(&raw) {
            output.clone_from(raw.as_ref().unwrap_or(&output.clone()));
        }
        writer.out.graph.node.push(node);
        for (name, raw) in made.iter().zip(&raw) {
            if let Some(raw) = raw {
                writer.convert(name, raw, name);
            }
        }
    }
    let mut out = writer.out;
    out.drop_unused();
    (out, rounded)
}

struct Writer<'a> {
    index: Index<'a>,
    names: Names,
    recipe: &'a Recipe<'a>,
    out: Net,
    /// Names of scale and zero point, by source.
    scales: HashMap<String, [String; 2]>,
    /// Inputs of the graph under the name of what was rounded.
    renamed: HashMap<String, String>,
}

impl Writer<'_> {
    fn parameters(&self, value: &str) -> Parameters {
        let source = self.recipe.choice.values.get(value);
        let known = source.and_then(|s| self.recipe.parameters.get(s)).copied();
        known.unwrap_or(Parameters { scale: 1.0, zero_point: 0 })
    }

    /// Rounds `from` to the bytes of `value`, and makes `to` of them.
    fn convert(&mut self, value: &str, from: &str, to: &str) {
        let source = self.recipe.choice.values.get(value).map_or(value, String::as_str).to_owned();
        let p = self.parameters(value);
        let [scale, zero] = match self.scales.get(&source) {
            Some(names) => names.clone(),
            None => {
                let scale = self.names.fresh(&format!("{source}.scale"));
                let zero = self.names.fresh(&format!("{source}.zero_point"));
                let constants = &mut self.out.graph.initializer;
                constants.push(tensor(&scale, FLOAT, &[], p.scale.to_le_bytes().to_vec()));
                constants.push(tensor(&zero, UINT8, &[], vec![p.zero_point]));
                self.scales.insert(source, [scale.clone(), zero.clone()]);
                [scale, zero]
            }
        };
        let bytes = self.names.fresh(&format!("{value}.quantized"));
        self.node("QuantizeLinear", [from, &scale, &zero].map(String::from).to_vec(), &bytes, None);
        self.node("DequantizeLinear", vec![bytes, scale, zero], to, None);
    }

    fn node(&mut self, op: &str, input: Vec<String>, output: &str, axis: Option<usize>) {
        let name = self.names.fresh(&format!("{output}.{op}"));
        let mut node =
            NodeProto { name, op_type: op.into(), input, output: vec![output.into()], ..NodeProto::default() };
        node.attribute.extend(axis.map(|axis| AttributeProto {
            name: "axis".into(),
            r#type: attribute_type::INT,
            i: Some(axis as i64),
            ..AttributeProto::default()
        }));
        self.out.graph.node.push(node);
    }

    /// Puts weights and bias of `node` into integers; `original` is the node with its operands of before.
    fn weights(&mut self, node: &mut NodeProto, original: &NodeProto, weights: &Weights) -> Option<Rounded> {
        let (x, w) = (operand(original, 0)?, operand(original, 1)?);
        let (values, dims) = self.index.floats(w)?;
        let form = &weights.form;
        let x_scale = self.parameters(x).scale;
        let given = operand(original, 2).filter(|_| weights.takes_bias).and_then(|b| self.index.floats(b));
        let bias = given.as_ref().map(|(b, _)| b.as_slice());
        // The bias is a whole number of steps, as are sums of products, and must not leave 32 bits.
        let least = |c: usize| bias.map_or(0.0, |b| b[c].abs() / (x_scale * (1 << 30) as f32));
        let bytes = Bytes::of(&values, form, least, self.recipe.rounding);
        let mut rounded = Rounded::default();
        let mut shift = vec![0f64; form.channels];
        let means = self.recipe.means.get(x).filter(|_| weights.takes_bias);
        for (c, shift) in shift.iter_mut().enumerate() {
            form.each(c, |at, input| {
                let off = f64::from(bytes.real(c, at)) - f64::from(values[at]);
                rounded.signal += f64::from(values[at]).powi(2);
                rounded.noise += off * off;
                *shift += off * means.and_then(|m| m.get(input)).copied().unwrap_or(0.0);
            });
        }
        node.input[1] =
            self.integers(w, INT8, &dims, bytes.values.iter().map(|&v| v as u8).collect(), &bytes.scales, weights.axis);
        if weights.takes_bias && (bias.is_some() || means.is_some()) {
            let steps = |c: usize| {
                let wanted = bias.map_or(0.0, |b| f64::from(b[c])) - shift[c];
                (wanted / (f64::from(x_scale) * f64::from(bytes.scales[c]))).round().clamp(-2e9, 2e9) as i32
            };
            let data = (0..form.channels).flat_map(|c| steps(c).to_le_bytes()).collect();
            let scales: Vec<f32> = bytes.scales.iter().map(|s| s * x_scale).collect();
            let base = operand(original, 2).map_or_else(|| format!("{w}.bias"), String::from);
            node.input.resize(3, String::new());
            node.input[2] = self.integers(&base, INT32, &[form.channels], data, &scales, 0);
        }
        Some(rounded)
    }

    /// A constant of integers with their scales, and the node that makes numbers of them: its output.
    fn integers(&mut self, base: &str, ty: i32, dims: &[usize], data: Vec<u8>, scales: &[f32], axis: usize) -> String {
        let [values, scale, zero, real] =
            ["quantized", "scale", "zero_point", "real"].map(|part| self.names.fresh(&format!("{base}.{part}")));
        let width = if ty == INT32 { 4 } else { 1 };
        let channels = scales.len();
        let constants = &mut self.out.graph.initializer;
        constants.push(tensor(&values, ty, dims, data));
        constants.push(floats_tensor(&scale, &[channels], scales));
        constants.push(tensor(&zero, ty, &[channels], vec![0; channels * width]));
        self.node("DequantizeLinear", vec![values, scale, zero], &real, Some(axis));
        real
    }
}
