//! Constants replaced by nodes that compute them, under the same name: whoever reads one goes on reading it.

use crate::net::{Names, Net, attribute};
use paring_onnx::proto::{AttributeProto, NodeProto, TensorProto, attribute_type};
use std::collections::{HashMap, HashSet};

/// First version of the file format in which a constant need not be listed as an input.
const FREE_CONSTANTS: i64 = 4;

/// A network under change.
pub struct Rewriter {
    net: Net,
    names: Names,
    gone: HashSet<String>,
    /// To come before all others, for they read nothing but constants.
    nodes: Vec<NodeProto>,
    /// To come before nodes that were there, each with which.
    between: Vec<(usize, NodeProto)>,
    /// Constants that several nodes read, by what they are for.
    shared: HashMap<String, String>,
}

impl Rewriter {
    pub fn of(net: &Net) -> Rewriter {
        Rewriter {
            names: Names::of(&net.graph),
            net: net.clone(),
            gone: HashSet::new(),
            nodes: Vec::new(),
            between: Vec::new(),
            shared: HashMap::new(),
        }
    }

    /// Takes the constant of that name away. A node that makes a value of the name has to follow.
    pub fn remove(&mut self, name: &str) {
        self.gone.insert(name.into());
    }

    /// Adds a constant, and returns the name it has: `tensor`'s own, or one like it.
    pub fn constant(&mut self, mut tensor: TensorProto) -> String {
        tensor.name = self.names.fresh(&tensor.name);
        let name = tensor.name.clone();
        self.net.graph.initializer.push(tensor);
        name
    }

    /// A constant that all who ask for this one share.
    pub fn shared(&mut self, name: &str, make: impl FnOnce() -> TensorProto) -> String {
        if let Some(there) = self.shared.get(name) {
            return there.clone();
        }
        let made = self.constant(TensorProto { name: name.into(), ..make() });
        self.shared.insert(name.into(), made.clone());
        made
    }

    /// Adds a node, and returns the name of its output: one like `wanted`.
    pub fn node(&mut self, op: &str, inputs: &[&str], attributes: &[AttributeProto], wanted: &str) -> String {
        let output = self.names.fresh(wanted);
        self.node_to(op, inputs, attributes, &output);
        output
    }

    /// Adds a node that makes just this value.
    pub fn node_to(&mut self, op: &str, inputs: &[&str], attributes: &[AttributeProto], output: &str) {
        self.nodes.push(NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(|&i| i.into()).collect(),
            output: vec![output.into()],
            attribute: attributes.to_vec(),
            ..NodeProto::default()
        });
    }

    /// Gives the output of the node that was added last, `value`, another name.
    pub fn rename(&mut self, value: &str, name: &str) {
        if let Some(output) = self.nodes.last_mut().and_then(|n| n.output.first_mut()).filter(|o| **o == value) {
            *output = name.into();
        }
    }

    /// The graph as it is so far, for changes to the nodes it had.
    pub fn net(&mut self) -> &mut Net {
        &mut self.net
    }

    /// Adds a node before the one that was number `place`, and returns the name of its output.
    pub fn before(&mut self, place: usize, op: &str, input: &str) -> String {
        let output = self.names.fresh(&format!("{input}.{op}"));
        let (op_type, input) = (op.into(), vec![input.into()]);
        self.between.push((place, NodeProto { op_type, input, output: vec![output.clone()], ..NodeProto::default() }));
        output
    }

    /// The network with all changes.
    pub fn finish(self) -> Net {
        let Rewriter { mut net, gone, nodes, mut between, .. } = self;
        // From behind, so that the places before stay as they are.
        between.sort_by_key(|(place, _)| *place);
        for (place, node) in between.into_iter().rev() {
            net.graph.node.insert(place.min(net.graph.node.len()), node);
        }
        let gone_node =
            |n: &NodeProto| n.op_type == "Constant" && n.output.first().is_some_and(|name| gone.contains(name));
        net.graph.initializer.retain(|t| !gone.contains(&t.name));
        net.graph.input.retain(|i| !gone.contains(&i.name));
        net.graph.node.retain(|n| !gone_node(n));
        net.graph.node.splice(0..0, nodes);
        net.need_format(FREE_CONSTANTS);
        net
    }
}

/// An attribute of one whole number.
pub fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.into(), r#type: attribute_type::INT, i: Some(value), ..AttributeProto::default() }
}

/// An attribute of whole numbers.
pub fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let r#type = attribute_type::INTS;
    AttributeProto { name: name.into(), r#type, ints: values.to_vec(), ..AttributeProto::default() }
}

/// Every constant of a graph with elements of its own, by name: initialisers and `Constant` nodes.
pub fn constants(net: &Net) -> Vec<(String, TensorProto)> {
    let stored = net.graph.initializer.iter().map(|t| (t.name.clone(), t.clone()));
    let made = net.graph.node.iter().filter_map(|n| {
        let (name, value) = (n.output.first()?, attribute(n, "value")?);
        let tensor = value.t.as_deref().filter(|_| n.op_type == "Constant")?;
        Some((name.clone(), tensor.clone()))
    });
    stored.chain(made).collect()
}
