//! A model in ONNX's own terms: who makes, reads and knows what.

use crate::Result;
use bytes::Bytes;
use paring_onnx::proto::*;
use prost::Message;
use std::collections::{HashMap, HashSet};

/// Numbers of element types in ONNX.
pub const FLOAT: i32 = 1;
pub const UINT8: i32 = 2;
pub const INT8: i32 = 3;
pub const INT32: i32 = 6;
pub const INT64: i32 = 7;
pub const FLOAT16: i32 = 10;
pub const BFLOAT16: i32 = 16;
pub const INT4: i32 = 22;
pub const INT2: i32 = 26;

/// A decoded model.
#[derive(Clone)]
pub struct Net {
    model: ModelProto,
    pub graph: GraphProto,
}

impl Net {
    /// Decodes what [`paring::Model`] has opened before, so that it is known to be well formed.
    pub fn decode(bytes: Bytes) -> Result<Net> {
        let broken = |e: &dyn std::fmt::Display| crate::Error::Options(format!("not a readable ONNX model: {e}"));
        let mut model = ModelProto::decode(bytes).map_err(|e| broken(&e))?;
        let graph = model.graph.take().ok_or_else(|| broken(&"it has no graph"))?;
        Ok(Net { model, graph })
    }

    /// A graph without a model about it.
    #[cfg(test)]
    pub fn of(graph: GraphProto) -> Net {
        Net { model: ModelProto::default(), graph }
    }

    /// Gives such a graph an operator set.
    #[cfg(test)]
    pub fn import_opset(&mut self, version: i64) {
        self.model.opset_import = vec![OperatorSetIdProto { domain: String::new(), version }];
    }

    /// The bytes of a file.
    pub fn encode(&self) -> Vec<u8> {
        ModelProto { graph: Some(self.graph.clone()), ..self.model.clone() }.encode_to_vec()
    }

    /// The version of ONNX's own operator set.
    pub fn opset(&self) -> i64 {
        let own = |o: &&OperatorSetIdProto| matches!(o.domain.as_str(), "" | "ai.onnx");
        self.model.opset_import.iter().find(own).map_or(0, |o| o.version)
    }

    /// Says that the model is of that version of ONNX's own operator set.
    pub fn set_opset(&mut self, version: i64) {
        let own = |o: &&mut OperatorSetIdProto| matches!(o.domain.as_str(), "" | "ai.onnx");
        if let Some(set) = self.model.opset_import.iter_mut().find(own) {
            set.version = version;
        }
    }

    /// Whether the model has functions of its own.
    pub fn has_functions(&self) -> bool {
        !self.model.functions.is_empty()
    }

    /// Says that the file uses what came with that version of the format.
    pub fn need_format(&mut self, version: i64) {
        self.model.ir_version = self.model.ir_version.max(version);
    }

    /// The file with these values as outputs beside its own.
    pub fn showing<'a>(&self, values: impl IntoIterator<Item = &'a str>) -> Vec<u8> {
        let mut net = self.clone();
        let mut shown: HashSet<String> = net.graph.output.iter().map(|o| o.name.clone()).collect();
        for name in values {
            if shown.insert(name.into()) {
                net.graph.output.push(ValueInfoProto { name: name.into(), ..ValueInfoProto::default() });
            }
        }
        net.encode()
    }

    /// Drops constants, and nodes that only name constants, which nobody reads any more.
    pub fn drop_unused(&mut self) {
        loop {
            let index = Index::of(&self.graph);
            let idle = |n: &NodeProto| {
                matches!(n.op_type.as_str(), "Constant" | "Identity") && n.output.iter().all(|o| index.uses(o) == 0)
            };
            let keep: Vec<bool> = self.graph.node.iter().map(|n| !idle(n)).collect();
            if keep.iter().all(|&k| k) {
                break;
            }
            let mut keep = keep.into_iter();
            self.graph.node.retain(|_| keep.next().unwrap_or(true));
        }
        let index = Index::of(&self.graph);
        let unused: HashSet<String> =
            self.graph.initializer.iter().filter(|t| index.uses(&t.name) == 0).map(|t| t.name.clone()).collect();
        self.graph.initializer.retain(|t| !unused.contains(&t.name));
        self.graph.input.retain(|i| !unused.contains(&i.name));
        self.graph.value_info.retain(|v| !unused.contains(&v.name));
    }
}

/// Who makes and who reads each value of a graph.
pub struct Index<'a> {
    graph: &'a GraphProto,
    constants: HashMap<&'a str, &'a TensorProto>,
    makers: HashMap<&'a str, usize>,
    readers: HashMap<&'a str, Vec<usize>>,
    /// Reads by outputs of the graph and by graphs within nodes.
    elsewhere: HashMap<&'a str, usize>,
}

impl<'a> Index<'a> {
    pub fn of(graph: &'a GraphProto) -> Index<'a> {
        let mut index = Index {
            graph,
            constants: graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect(),
            makers: HashMap::new(),
            readers: HashMap::new(),
            elsewhere: HashMap::new(),
        };
        for (i, node) in graph.node.iter().enumerate() {
            for name in node.input.iter().filter(|n| !n.is_empty()) {
                index.readers.entry(name).or_default().push(i);
            }
            for name in node.output.iter().filter(|n| !n.is_empty()) {
                index.makers.insert(name, i);
            }
            if let ("Constant", Some(t), [name]) = (&*node.op_type, attribute(node, "value"), &node.output[..])
                && let Some(t) = &t.t
            {
                index.constants.insert(name, t);
            }
            inner_reads(node, &mut |name| *index.elsewhere.entry(name).or_default() += 1);
        }
        for output in &graph.output {
            *index.elsewhere.entry(&output.name).or_default() += 1;
        }
        index
    }

    /// The node that makes a value.
    pub fn maker(&self, name: &str) -> Option<usize> {
        self.makers.get(name).copied()
    }

    /// Nodes that read a value, once for each operand.
    pub fn readers(&self, name: &str) -> &[usize] {
        self.readers.get(name).map_or(&[], Vec::as_slice)
    }

    /// Every read of a value, wherever.
    pub fn uses(&self, name: &str) -> usize {
        self.readers(name).len() + self.elsewhere.get(name).copied().unwrap_or(0)
    }

    /// The node that is the only reader of a value.
    pub fn only_reader(&self, name: &str) -> Option<usize> {
        match self.readers(name) {
            &[one] if self.uses(name) == 1 => Some(one),
            _ => None,
        }
    }

    /// The constant of that name, also by way of `Identity`.
    pub fn constant(&self, name: &str) -> Option<&'a TensorProto> {
        self.source(name).map(|(_, tensor)| tensor)
    }

    /// The constant behind a name, with the name it has itself.
    pub fn source(&self, name: &str) -> Option<(&'a str, &'a TensorProto)> {
        let mut name = name;
        // A circle of them is not possible in a graph that was opened; a bound costs nothing.
        for _ in 0..64 {
            if let Some((name, t)) = self.constants.get_key_value(name) {
                return Some((name, t));
            }
            let node = &self.graph.node[self.maker(name)?];
            match (&*node.op_type, &node.input[..]) {
                ("Identity", [x]) => name = x,
                _ => return None,
            }
        }
        None
    }

    /// The elements and the shape of a constant of `f32`.
    pub fn floats(&self, name: &str) -> Option<(Vec<f32>, Vec<usize>)> {
        let tensor = paring_onnx::tensor_of(self.constant(name)?).ok()?;
        Some((tensor.elements::<f32>()?.into_owned(), tensor.shape().to_vec()))
    }
}

/// Names that graphs within a node read; names of their own are among them, which does no harm.
fn inner_reads<'a>(node: &'a NodeProto, found: &mut impl FnMut(&'a str)) {
    let graphs = node.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs));
    let mut waiting: Vec<&GraphProto> = graphs.collect();
    while let Some(graph) = waiting.pop() {
        graph.output.iter().for_each(|o| found(&o.name));
        for inner in &graph.node {
            inner.input.iter().for_each(|name| found(name));
            waiting.extend(inner.attribute.iter().flat_map(|a| a.g.as_deref().into_iter().chain(&a.graphs)));
        }
    }
}

/// An attribute by name.
pub fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|a| a.name == name)
}

/// An integer attribute, or what it is without being given.
pub fn int(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).and_then(|a| a.i).unwrap_or(default)
}

/// A number attribute, or what it is without being given.
pub fn float(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).and_then(|a| a.f).unwrap_or(default)
}

/// Operand `i` of a node, where it has one.
pub fn operand(node: &NodeProto, i: usize) -> Option<&str> {
    node.input.get(i).map(String::as_str).filter(|n| !n.is_empty())
}

/// Whether a node is of ONNX's own operators.
pub fn is_standard(node: &NodeProto) -> bool {
    matches!(node.domain.as_str(), "" | "ai.onnx")
}

/// What to call a node in messages: its name, or what it makes.
pub fn title(node: &NodeProto) -> &str {
    let made = node.output.first().map_or("", String::as_str);
    if node.name.is_empty() { made } else { &node.name }
}

/// A constant of these bytes.
pub fn tensor(name: &str, data_type: i32, dims: &[usize], data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.into(),
        data_type,
        dims: dims.iter().map(|&d| d as i64).collect(),
        raw_data: Some(Bytes::from(data)),
        ..TensorProto::default()
    }
}

/// A constant of these numbers.
pub fn floats_tensor(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    tensor(name, FLOAT, dims, values.iter().flat_map(|v| v.to_le_bytes()).collect())
}

/// Names that no value of a graph has yet.
pub struct Names(HashSet<String>);

impl Names {
    pub fn of(graph: &GraphProto) -> Names {
        let nodes = graph.node.iter().flat_map(|n| n.input.iter().chain(&n.output).chain([&n.name]));
        let ports = graph.input.iter().chain(&graph.output).map(|v| &v.name);
        let mut names: HashSet<String> = nodes.chain(ports).cloned().collect();
        names.extend(graph.initializer.iter().map(|t| t.name.clone()));
        for node in &graph.node {
            inner_reads(node, &mut |name| {
                names.insert(name.into());
            });
        }
        Names(names)
    }

    /// `wanted`, or with a number where that is taken.
    pub fn fresh(&mut self, wanted: &str) -> String {
        let numbered = (2..).map(|i| format!("{wanted}_{i}"));
        let free = std::iter::once(wanted.to_owned()).chain(numbered).find(|n| !self.0.contains(n));
        let free = free.unwrap_or_default();
        self.0.insert(free.clone());
        free
    }
}
