//! From the decoded model to the graph.

use crate::{
    ImportError, ImportOptions, Limits, UnsupportedOp,
    attrs::Attrs,
    cx::{Cx, Fault, Outputs},
    ops,
    proto::*,
    scan,
    scope::{Scopes, Slot},
    sort,
    tensor::{self, ElementTypeError, TensorReader, shown},
};
use bytes::Bytes;
use paring_core::op::Definition;
use paring_ir::{Dim, Graph, GraphError, TensorType, ValueId};
use prost::Message;
use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
};

/// What a model file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The program that wrote the file.
    pub producer: String,
    /// Its version.
    pub producer_version: String,
    /// The version of the file format.
    pub ir_version: i64,
    /// Operator sets: domain (empty for ONNX's own) and version.
    pub opsets: Vec<(String, i64)>,
    /// The description.
    pub doc: String,
    /// Free properties.
    pub properties: Vec<(String, String)>,
}

/// An imported model.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub graph: Graph,
    /// What the file says of itself.
    pub metadata: Metadata,
}

/// Reads a model into a graph.
///
/// # Errors
/// [`ImportError`] says what is wrong, and with which node or tensor.
pub fn import(bytes: Bytes, options: &ImportOptions) -> Result<Graph, ImportError> {
    import_model(bytes, options).map(|m| m.graph)
}

/// Reads a model with its metadata.
///
/// # Errors
/// As for [`import`].
pub fn import_model(bytes: Bytes, options: &ImportOptions) -> Result<Model, ImportError> {
    let limits = &options.limits;
    if bytes.is_empty() {
        return Err(ImportError::Empty);
    }
    if bytes.len() > limits.bytes {
        return Err(ImportError::Limit { what: "bytes", found: bytes.len(), limit: limits.bytes });
    }
    scan::check(&bytes, limits)?;
    let model = ModelProto::decode(bytes).map_err(|e| ImportError::Decode(e.to_string()))?;
    let proto = model.graph.as_ref().ok_or(ImportError::MissingGraph)?;
    let opsets = opsets(&model.opset_import)?;
    let mut importer = Importer {
        graph: Graph::new(&shown(&proto.name)),
        scopes: Scopes::default(),
        reader: TensorReader::new(limits, options.external.as_deref()),
        limits,
        operators: &options.operators,
        functions: functions(&model.functions)?,
        calls: Vec::new(),
        unsupported: Vec::new(),
        narrow: HashMap::new(),
        nodes: 0,
    };
    importer.top_level(proto, &opsets)?;
    if !importer.unsupported.is_empty() {
        return Err(ImportError::Unsupported(importer.unsupported));
    }
    let graph = importer.graph;
    Ok(Model { graph, metadata: metadata(&model) })
}

fn metadata(model: &ModelProto) -> Metadata {
    Metadata {
        producer: model.producer_name.clone(),
        producer_version: model.producer_version.clone(),
        ir_version: model.ir_version,
        opsets: model.opset_import.iter().map(|o| (domain(&o.domain).into(), o.version)).collect(),
        doc: model.doc_string.clone(),
        properties: model.metadata_props.iter().map(|p| (p.key.clone(), p.value.clone())).collect(),
    }
}

type Opsets = HashMap<String, i64>;
type Functions<'a> = HashMap<(&'a str, &'a str, &'a str), &'a FunctionProto>;

/// ONNX's own domain has two names.
fn domain(name: &str) -> &str {
    if name == "ai.onnx" { "" } else { name }
}

fn opsets(list: &[OperatorSetIdProto]) -> Result<Opsets, ImportError> {
    let mut sets = Opsets::new();
    for set in list {
        let name = domain(&set.domain);
        if name.is_empty() && !ops::OPSETS.contains(&set.version) {
            let (oldest, newest) = (*ops::OPSETS.start(), *ops::OPSETS.end());
            return Err(ImportError::OpsetVersion { found: set.version, oldest, newest });
        }
        if let Some(first) = sets.insert(name.into(), set.version)
            && first != set.version
        {
            return Err(ImportError::Opset(format!(
                "the model imports the operator set '{}' twice, as {first} and as {}",
                shown(name),
                set.version
            )));
        }
    }
    if sets.is_empty() {
        return Err(ImportError::Opset("the model imports no operator set: the file is incomplete".into()));
    }
    Ok(sets)
}

fn functions(list: &[FunctionProto]) -> Result<Functions<'_>, ImportError> {
    let mut out = Functions::new();
    for f in list {
        if out.insert((domain(&f.domain), &f.name, &f.overload), f).is_some() {
            let (first, second) = ("one function".into(), "another".into());
            return Err(ImportError::Duplicate { value: shown(&f.name), first, second });
        }
    }
    Ok(out)
}

struct Importer<'m> {
    graph: Graph,
    scopes: Scopes,
    reader: TensorReader<'m>,
    limits: &'m Limits,
    operators: &'m [Definition],
    functions: Functions<'m>,
    /// The functions being inlined.
    calls: Vec<&'m FunctionProto>,
    unsupported: Vec<UnsupportedOp>,
    /// Constants that are narrower in the file than the bytes they are here, with their type there.
    narrow: HashMap<ValueId, &'static str>,
    nodes: usize,
}

impl<'m> Importer<'m> {
    fn top_level(&mut self, proto: &'m GraphProto, opsets: &Opsets) -> Result<(), ImportError> {
        self.scopes.enter();
        self.initializers(proto)?;
        for input in &proto.input {
            // Until format version 4, every initializer was listed as an input too.
            if self.scopes.is_own(&input.name) {
                if self.graph.inputs().iter().any(|&v| self.graph.value(v).name == input.name) {
                    let (first, second) = ("an input".into(), "an input".into());
                    return Err(ImportError::Duplicate { value: shown(&input.name), first, second });
                }
                continue;
            }
            let ty = self.input_type(input)?;
            let v = self.graph.add_input(&input.name, ty);
            self.scopes.define(&input.name, Slot::Value(v), "an input")?;
        }
        self.body(&proto.node, opsets)?;
        let mut listed = HashSet::new();
        for output in &proto.output {
            if !listed.insert(output.name.as_str()) {
                let (first, second) = ("an output of the graph".into(), "another".into());
                return Err(ImportError::Duplicate { value: shown(&output.name), first, second });
            }
            if let Slot::Value(v) = self.resolve(&output.name, "the graph's output")? {
                self.check_width(v, "as an output of the graph")?;
                self.graph.add_output(&output.name, v);
            }
        }
        if proto.output.is_empty() {
            return Err(ImportError::Value { value: shown(&proto.name), reason: "the graph has no outputs".into() });
        }
        self.scopes.leave();
        Ok(())
    }

    fn initializers(&mut self, proto: &'m GraphProto) -> Result<(), ImportError> {
        for t in &proto.initializer {
            let v = match self.reader.read_narrow(t)? {
                Some((tensor, ty)) => {
                    let v = self.graph.add_constant(&t.name, tensor);
                    self.narrow.insert(v, ty);
                    v
                }
                None => {
                    let tensor = self.reader.read(t)?;
                    self.graph.add_constant(&t.name, tensor)
                }
            };
            self.scopes.define(&t.name, Slot::Value(v), "an initializer")?;
        }
        for s in &proto.sparse_initializer {
            let tensor = self.reader.read_sparse(s)?;
            let name = s.values.as_ref().map_or("", |v| v.name.as_str());
            let v = self.graph.add_constant(name, tensor);
            self.scopes.define(name, Slot::Value(v), "a sparse initializer")?;
        }
        Ok(())
    }

    fn input_type(&mut self, input: &ValueInfoProto) -> Result<TensorType, ImportError> {
        let fail = |reason: String| ImportError::Value { value: shown(&input.name), reason };
        let unsupported = |ty: String| ImportError::UnsupportedType { what: "input", name: shown(&input.name), ty };
        let t = match input.r#type.as_ref().and_then(|t| t.value.as_ref()) {
            Some(TypeKind::Tensor(t)) => t,
            Some(TypeKind::Sequence(_)) => return Err(unsupported("type sequence".into())),
            Some(TypeKind::Map(_)) => return Err(unsupported("type map".into())),
            Some(TypeKind::SparseTensor(_)) => return Err(unsupported("type sparse tensor".into())),
            Some(TypeKind::Optional(_)) => return Err(unsupported("type optional".into())),
            None => return Err(fail("the input has no type".into())),
        };
        let dtype = tensor::dtype(t.elem_type).map_err(|e| match e {
            ElementTypeError::Invalid(reason) => fail(reason),
            ElementTypeError::Unsupported(ty) => unsupported(format!("element type {ty}")),
        })?;
        let Some(shape) = &t.shape else { return Ok(TensorType::unranked(dtype)) };
        if shape.dim.len() > self.limits.rank {
            return Err(fail(format!("rank {} is above the limit of {}", shape.dim.len(), self.limits.rank)));
        }
        let mut dims = Vec::with_capacity(shape.dim.len());
        for d in &shape.dim {
            dims.push(match &d.value {
                Some(DimensionKind::Value(n)) => match usize::try_from(*n) {
                    Ok(n) => Dim::from(n),
                    // Some exporters write -1 for a dimension that they do not know.
                    Err(_) if *n == -1 => self.graph.fresh_symbol(),
                    Err(_) => return Err(fail(format!("dimension {n} is not possible"))),
                },
                Some(DimensionKind::Param(s)) if !s.is_empty() => Dim::symbol(&symbol(s)),
                _ => self.graph.fresh_symbol(),
            });
        }
        let known: Vec<usize> = dims.iter().filter_map(Dim::known).collect();
        let bytes = paring_core::numel(&known).ok().and_then(|n| dtype.bytes(n));
        if bytes.is_none_or(|b| b > isize::MAX as usize) {
            return Err(fail(format!("an input of shape {known:?} is larger than this machine can address")));
        }
        Ok(TensorType::new(dtype, dims))
    }

    fn resolve(&self, name: &str, user: &str) -> Result<Slot, ImportError> {
        self.scopes.get(name).ok_or_else(|| ImportError::Undefined { user: user.into(), value: shown(name) })
    }

    /// Imports nodes in an order that works.
    fn body(&mut self, nodes: &'m [NodeProto], opsets: &Opsets) -> Result<(), ImportError> {
        let names: Vec<String> = nodes.iter().enumerate().map(|(i, n)| self.node_name(n, i)).collect();
        for i in sort::sorted(nodes, &names)? {
            self.nodes += 1;
            if self.nodes > self.limits.nodes {
                let limit = self.limits.nodes;
                return Err(ImportError::Limit { what: "nodes after inlining", found: self.nodes, limit });
            }
            self.node(&nodes[i], &names[i], opsets)?;
        }
        Ok(())
    }

    /// `DequantizeLinear` computes with a byte what it does with part of one; others might not.
    fn check_width(&self, v: ValueId, place: &str) -> Result<(), ImportError> {
        let Some(ty) = self.narrow.get(&v) else { return Ok(()) };
        let ty = format!("element type {ty} {place}, other than in DequantizeLinear,");
        Err(ImportError::UnsupportedType { what: "tensor", name: shown(&self.graph.value(v).name), ty })
    }

    fn node_name(&self, node: &NodeProto, index: usize) -> String {
        let own = if node.name.is_empty() { format!("{}_{index}", shown(&node.op_type)) } else { shown(&node.name) };
        let mut path: String = self.calls.iter().map(|f| format!("{}/", shown(&f.name))).collect();
        path.push_str(&own);
        path
    }

    fn node(&mut self, node: &'m NodeProto, name: &str, opsets: &Opsets) -> Result<(), ImportError> {
        let mut inputs = Vec::with_capacity(node.input.len());
        let mut missing = false;
        for input in &node.input {
            inputs.push(match input.as_str() {
                "" => None,
                input => match self.resolve(input, &format!("node '{name}' ({})", shown(&node.op_type)))? {
                    Slot::Value(v) => Some(v),
                    Slot::Missing => {
                        missing = true;
                        None
                    }
                },
            });
        }
        let domain = domain(&node.domain);
        if !(domain.is_empty() && node.op_type == "DequantizeLinear") {
            for &v in inputs.iter().flatten() {
                self.check_width(v, &format!("in node '{name}' ({})", shown(&node.op_type)))?;
            }
        }
        let opset = opsets.get(domain).copied();
        let function = self.functions.get(&(domain, &node.op_type, &node.overload)).copied();
        let own = self.operators.iter().find(|d| d.is_of(domain, &node.op_type));
        let result = if let Some(f) = function.filter(|_| own.is_none()) {
            if missing { Ok(Vec::new()) } else { self.call(f, node, name, &inputs) }
        } else {
            self.operator(node, name, domain, opset, inputs, missing, opsets, own)
        };
        let outputs = match result {
            Ok(outputs) => outputs,
            Err(Fault::Unsupported(reason)) => {
                self.unsupported.push(UnsupportedOp {
                    node: name.into(),
                    op: shown(&node.op_type),
                    domain: shown(domain),
                    opset: opset.unwrap_or(0),
                    reason,
                });
                Vec::new()
            }
            Err(Fault::Invalid(reason)) => {
                return Err(ImportError::Node { node: name.into(), op: shown(&node.op_type), reason });
            }
            // The operator goes by the name in the file, whatever it is made of here.
            Err(Fault::Graph(GraphError::Infer { source, .. })) => {
                return Err(ImportError::Node {
                    node: name.into(),
                    op: shown(&node.op_type),
                    reason: source.to_string(),
                });
            }
            Err(Fault::Graph(e)) => return Err(e.into()),
            Err(Fault::Import(e)) => return Err(e),
        };
        self.define_outputs(node, name, &outputs)
    }

    fn define_outputs(&mut self, node: &NodeProto, name: &str, outputs: &[Option<ValueId>]) -> Result<(), ImportError> {
        for (i, output) in node.output.iter().enumerate().filter(|(_, o)| !o.is_empty()) {
            let slot = match outputs.get(i).copied().flatten() {
                Some(v) => {
                    // A value made for this node takes the name that the file gives it.
                    if self.graph.producer(v).is_some() || self.graph.value(v).name.ends_with(".const") {
                        self.graph.value_mut(v).name = shown(output);
                    }
                    Slot::Value(v)
                }
                None if outputs.is_empty() => Slot::Missing,
                None => {
                    let reason = format!("the node names {} outputs, but the operator has fewer", i + 1);
                    return Err(ImportError::Node { node: name.into(), op: shown(&node.op_type), reason });
                }
            };
            self.scopes.define(output, slot, &format!("node '{name}'"))?;
        }
        Ok(())
    }

    fn operator(
        &mut self,
        node: &'m NodeProto,
        name: &str,
        domain: &str,
        opset: Option<i64>,
        inputs: Vec<Option<ValueId>>,
        missing: bool,
        opsets: &Opsets,
        own: Option<&Definition>,
    ) -> Result<Vec<Option<ValueId>>, Fault> {
        let Some(opset) = opset else {
            return Err(Fault::Unsupported(format!("the model imports no operator set '{}'", shown(domain))));
        };
        let translate: &dyn Fn(&mut Cx<'_, '_>) -> Outputs = match own {
            Some(definition) => &|cx| ops::custom(cx, domain, definition),
            None if !ops::knows_domain(domain) => {
                return Err(Fault::Unsupported(format!("the domain '{}' is not known", shown(domain))));
            }
            None if domain.is_empty() && node.op_type == "If" => {
                return if missing { Ok(Vec::new()) } else { self.branch(node, &inputs, opsets) };
            }
            None => &ops::find(domain, &node.op_type, opset).map_err(Fault::Unsupported)?.translate,
        };
        if missing {
            return Ok(Vec::new());
        }
        let mut wanted: Vec<bool> = node.output.iter().map(|o| !o.is_empty()).collect();
        while wanted.last() == Some(&false) {
            wanted.pop();
        }
        let mut cx = Cx {
            graph: &mut self.graph,
            reader: &mut self.reader,
            attrs: Attrs::new(&node.attribute)?,
            op: &node.op_type,
            opset,
            name: name.into(),
            inputs,
            asked: Cell::new(0),
            wanted,
            made: 0,
        };
        let outputs = translate(&mut cx)?;
        if cx.inputs.iter().skip(cx.asked.get()).any(Option::is_some) {
            let (found, most) = (cx.inputs.len(), cx.asked.get());
            return Err(Fault::Invalid(format!("expected at most {most} inputs, found {found}")));
        }
        match cx.attrs.unread().as_slice() {
            [] => Ok(outputs),
            unread => {
                let unread: Vec<String> = unread.iter().map(|n| shown(n)).collect();
                Err(Fault::Unsupported(format!("unknown attribute '{}'", unread.join("', '"))))
            }
        }
    }

    /// An `If` whose condition is known: the branch that is taken becomes part of the graph.
    fn branch(
        &mut self,
        node: &'m NodeProto,
        inputs: &[Option<ValueId>],
        opsets: &Opsets,
    ) -> Result<Vec<Option<ValueId>>, Fault> {
        let condition = inputs.first().copied().flatten();
        let condition = condition.ok_or_else(|| Fault::Invalid("the condition is missing".into()))?;
        let Some(t) = self.graph.constant(condition) else {
            return Err(Fault::Unsupported("the condition is not constant".into()));
        };
        let taken = t.bytes().first().is_some_and(|&b| b != 0);
        let attrs = Attrs::new(&node.attribute)?;
        let which = if taken { "then_branch" } else { "else_branch" };
        let graph = attrs.graph(which)?;
        let graph = graph.ok_or_else(|| Fault::Invalid(format!("the required attribute '{which}' is missing")))?;
        self.scopes.enter();
        self.initializers(graph)?;
        self.body(&graph.node, opsets)?;
        let mut outputs = Vec::with_capacity(graph.output.len());
        let mut missing = false;
        for output in &graph.output {
            match self.resolve(&output.name, "a branch's output")? {
                Slot::Value(v) => outputs.push(Some(v)),
                Slot::Missing => missing = true,
            }
        }
        self.scopes.leave();
        Ok(if missing { Vec::new() } else { outputs })
    }

    /// Inlines a function of the model.
    fn call(
        &mut self,
        f: &'m FunctionProto,
        node: &'m NodeProto,
        name: &str,
        inputs: &[Option<ValueId>],
    ) -> Result<Vec<Option<ValueId>>, Fault> {
        if self.calls.iter().any(|g| std::ptr::eq(*g, f)) {
            return Err(ImportError::Cycle(format!("node '{name}': function '{}' calls itself", shown(&f.name))).into());
        }
        if self.calls.len() >= self.limits.depth {
            let (found, limit) = (self.calls.len() + 1, self.limits.depth);
            return Err(ImportError::Limit { what: "levels of function calls", found, limit }.into());
        }
        if !f.attribute.is_empty() || !f.attribute_proto.is_empty() {
            return Err(Fault::Unsupported(format!("function '{}' has attributes", shown(&f.name))));
        }
        if inputs.len() > f.input.len() {
            let (found, most) = (inputs.len(), f.input.len());
            return Err(Fault::Invalid(format!("{found} inputs for a function of {most}")));
        }
        let opsets = opsets(&f.opset_import)?;
        let floor = self.scopes.enter_function();
        self.calls.push(f);
        for (parameter, value) in f.input.iter().zip(inputs) {
            if let Some(v) = value {
                self.scopes.define(parameter, Slot::Value(*v), "a parameter")?;
            }
        }
        self.body(&f.node, &opsets)?;
        let mut outputs = Vec::with_capacity(node.output.len());
        let mut missing = false;
        for output in f.output.iter().take(node.output.len()) {
            match self.resolve(output, &format!("function '{}'", shown(&f.name)))? {
                Slot::Value(v) => outputs.push(Some(v)),
                Slot::Missing => missing = true,
            }
        }
        self.calls.pop();
        self.scopes.leave_function(floor);
        Ok(if missing { Vec::new() } else { outputs })
    }
}

/// A symbol of letters, digits and underscores, as expressions of dimensions have them.
fn symbol(name: &str) -> String {
    let clean: String = shown(name).chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    if clean.starts_with(|c: char| c.is_ascii_digit()) { format!("_{clean}") } else { clean }
}
