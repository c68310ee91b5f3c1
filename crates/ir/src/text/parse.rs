//! Text to graph.

use super::{data, lex::Cursor};
use crate::{Fact, Graph, GraphError, Node, TensorType, ValueId, notation, verify::compatible};
use alloc::{
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::str::FromStr;
use paring_core::{Op, SharedBytes, Tensor, numel, op::EpiOp};

type Result<T> = core::result::Result<T, GraphError>;

/// [`Graph::parse`] makes no more bytes of constants than this.
pub const MAX_CONSTANT_BYTES: usize = 1 << 30;

impl Graph {
    /// Reads the text form; see [`crate::text`]. The graph that comes out is not [verified](Graph::verify).
    ///
    /// # Errors
    /// [`GraphError::Parse`] with the line; [`GraphError::Infer`] where operands do not fit; [`GraphError::Limit`]
    /// where constants would exceed [`MAX_CONSTANT_BYTES`].
    pub fn parse(text: &str) -> Result<Graph> {
        Graph::parse_limited(text, MAX_CONSTANT_BYTES)
    }

    /// As [`Graph::parse`], with another limit on the bytes of constants.
    ///
    /// # Errors
    /// As for [`Graph::parse`].
    pub fn parse_limited(text: &str, max_constant_bytes: usize) -> Result<Graph> {
        Graph::parse_with(text, max_constant_bytes, &|_| None)
    }

    /// As [`Graph::parse_limited`], for texts made by [`Graph::to_text_with`]: `data` returns the bytes kept under a
    /// number. They are not read here, and do not count.
    ///
    /// # Errors
    /// As for [`Graph::parse`].
    pub fn parse_with(text: &str, max_constant_bytes: usize, data: Kept<'_>) -> Result<Graph> {
        let mut parser = Parser {
            cursor: Cursor::new(text),
            graph: Graph::new(""),
            names: BTreeMap::new(),
            bytes_left: max_constant_bytes,
            limit: max_constant_bytes,
            kept: data,
        };
        parser.graph.reserve_symbols(highest_symbol(text));
        parser.graph()?;
        Ok(parser.graph)
    }
}

impl FromStr for Graph {
    type Err = GraphError;

    fn from_str(text: &str) -> Result<Graph> {
        Graph::parse(text)
    }
}

/// The largest `n` of the symbols `?n` in the text: new ones must not repeat it.
fn highest_symbol(text: &str) -> u32 {
    let number = |s: &str| -> Option<u32> {
        let digits = s.len() - s.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        s[..digits].parse().ok()
    };
    text.split('?').skip(1).filter_map(number).max().unwrap_or(0)
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    graph: Graph,
    names: BTreeMap<&'a str, ValueId>,
    bytes_left: usize,
    limit: usize,
    kept: Kept<'a>,
}

/// Bytes of constants by the numbers that the text has for them.
pub type Kept<'a> = &'a dyn Fn(usize) -> Option<SharedBytes>;

impl<'a> Parser<'a> {
    fn graph(&mut self) -> Result<()> {
        self.cursor.expect("graph")?;
        self.graph.name = self.name("graph")?;
        self.cursor.expect("{")?;
        while !self.cursor.take("}") {
            self.statement()?;
        }
        if self.cursor.is_at_end() { Ok(()) } else { Err(self.cursor.error("there is text after the graph")) }
    }

    fn name(&mut self, of: &str) -> Result<String> {
        self.cursor.string()?.ok_or_else(|| self.cursor.error(format!("expected the name of the {of} in quotes")))
    }

    fn statement(&mut self) -> Result<()> {
        if self.cursor.keyword("input") {
            let (id, name) = self.declared()?;
            self.cursor.expect(":")?;
            let ty = self.cursor.tensor_type()?;
            let v = self.graph.add_input(&name, ty);
            return self.define(id, v);
        }
        if self.cursor.keyword("const") {
            let (id, name) = self.declared()?;
            self.cursor.expect(":")?;
            let ty = self.cursor.tensor_type()?;
            self.cursor.expect("=")?;
            let tensor = self.tensor(&ty)?;
            let v = self.graph.add_constant(&name, tensor);
            return self.define(id, v);
        }
        if self.cursor.keyword("output") {
            let name = self.name("output")?;
            self.cursor.expect("=")?;
            let v = self.value()?;
            self.graph.add_output(&name, v);
            return Ok(());
        }
        self.node()
    }

    /// `%id "name"`; without a name, the identifier serves as one.
    fn declared(&mut self) -> Result<(&'a str, String)> {
        let id = self.cursor.value_name()?;
        let name = self.cursor.string()?.unwrap_or_else(|| id.into());
        Ok((id, name))
    }

    fn define(&mut self, id: &'a str, v: ValueId) -> Result<()> {
        match self.names.insert(id, v) {
            None => Ok(()),
            Some(_) => Err(self.cursor.error(format!("%{id} is defined twice"))),
        }
    }

    fn value(&mut self) -> Result<ValueId> {
        let id = self.cursor.value_name()?;
        self.names.get(id).copied().ok_or_else(|| self.cursor.error(format!("%{id} is not defined here")))
    }

    fn operand(&mut self) -> Result<Option<ValueId>> {
        if self.cursor.take("_") { Ok(None) } else { self.value().map(Some) }
    }

    // ---- nodes

    fn node(&mut self) -> Result<()> {
        let mut targets = Vec::new();
        loop {
            targets.push(if self.cursor.take("_") { None } else { Some(self.declared()?) });
            if !self.cursor.take(",") {
                break;
            }
        }
        self.cursor.expect("=")?;
        let first_name = targets.iter().flatten().next().map(|(_, n)| n.clone()).unwrap_or_default();
        let name = self.cursor.string()?.unwrap_or(first_name);
        let (op, inputs) = self.application()?;
        let mut node = Node { name, op, inputs, outputs: Vec::new(), epilogue: Vec::new() };
        while self.cursor.take("+") {
            self.step(&mut node)?;
        }
        let types = self.types()?;
        let facts = self.graph.infer_node(&node, targets.len())?;
        let wanted = targets.iter().flatten().count();
        if !types.is_empty() && types.len() != wanted {
            return Err(self.cursor.error(format!("expected {wanted} types, found {}", types.len())));
        }
        let mut types = types.into_iter();
        let mut defined = Vec::new();
        for (target, fact) in targets.into_iter().zip(facts) {
            let Some((id, name)) = target else {
                node.outputs.push(None);
                continue;
            };
            let fact = self.recorded(&node, &name, fact, types.next())?;
            let v = self.graph.add_value(&name, fact);
            node.outputs.push(Some(v));
            defined.push((id, v));
        }
        self.graph.insert(node)?;
        defined.into_iter().try_for_each(|(id, v)| self.define(id, v))
    }

    /// The inferred fact, under the type that the text gives.
    fn recorded(&self, node: &Node, name: &str, mut fact: Fact, ty: Option<TensorType>) -> Result<Fact> {
        let Some(ty) = ty else { return Ok(fact) };
        if !matches!(node.op, Op::Custom(_)) && !compatible(&ty, &fact.ty) {
            return Err(GraphError::TypeMismatch {
                node: node.name.clone(),
                value: name.into(),
                recorded: ty.to_string(),
                inferred: fact.ty.to_string(),
            });
        }
        if ty.dtype != fact.ty.dtype {
            fact.symbolic = None;
        }
        fact.ty = ty;
        Ok(fact)
    }

    /// `Op(attributes)(operands)`, or `Op(operands)` without attributes.
    fn application(&mut self) -> Result<(Op, Vec<Option<ValueId>>)> {
        let start = self.cursor.rest().trim_start();
        let word = self.cursor.word();
        if word.is_empty() {
            let found = self.cursor.found();
            return Err(self.cursor.error(format!("expected an operator, found {found}")));
        }
        let mut op_len = word.len();
        self.cursor.skip();
        if self.has_attributes() {
            self.cursor.group()?;
            op_len = start.len() - self.cursor.rest().len();
        }
        let text = start.get(..op_len).unwrap_or(word);
        let op = notation::from_str::<Op>(text).map_err(|e| self.cursor.error(format!("operator {word}: {e}")))?;
        self.cursor.expect("(")?;
        let mut inputs = Vec::new();
        if !self.cursor.take(")") {
            loop {
                inputs.push(self.operand()?);
                if self.cursor.take(")") {
                    break;
                }
                self.cursor.expect(",")?;
            }
        }
        Ok((op, inputs))
    }

    /// Whether the parenthesis that comes next holds attributes rather than operands.
    fn has_attributes(&mut self) -> bool {
        let mut ahead = Cursor::new(self.cursor.rest());
        if ahead.group().is_err() {
            return false;
        }
        ahead.skip();
        ahead.rest().starts_with('(')
    }

    fn step(&mut self, node: &mut Node) -> Result<()> {
        let kind = self.cursor.word();
        self.cursor.skip();
        if matches!(kind, "act" | "quantize" | "sign") {
            if !self.cursor.rest().starts_with('(') {
                return Err(self.cursor.error(format!("expected '(' after '{kind}'")));
            }
            let text = self.cursor.group()?;
            let text = &text[1..text.len() - 1];
            let step = match kind {
                "act" => notation::from_str(text).map(EpiOp::Act),
                "sign" => notation::from_str(text).map(|of_zero| EpiOp::Sign { of_zero }),
                _ => notation::from_str(text).map(|(to, scale, zero_point)| EpiOp::Quantize { to, scale, zero_point }),
            };
            node.epilogue.push(step.map_err(|e| self.cursor.error(format!("{kind}: {e}")))?);
            return Ok(());
        }
        if kind == "maxpool" {
            node.epilogue.push(EpiOp::MaxPool);
            return Ok(());
        }
        let make: fn(usize) -> EpiOp = match kind {
            "bias" => |input| EpiOp::Bias { input },
            "scale" => |input| EpiOp::Scale { input },
            "residual" => |input| EpiOp::Residual { input },
            "prelu" => |input| EpiOp::PRelu { input },
            _ => return Err(self.cursor.error(format!("there is no epilogue step '{kind}'"))),
        };
        self.cursor.expect("(")?;
        let v = self.value()?;
        self.cursor.expect(")")?;
        node.push_epilogue(Some(v), make);
        Ok(())
    }

    fn types(&mut self) -> Result<Vec<TensorType>> {
        let mut types = Vec::new();
        if self.cursor.take(":") {
            types.push(self.cursor.tensor_type()?);
            while self.cursor.take(",") {
                types.push(self.cursor.tensor_type()?);
            }
        }
        Ok(types)
    }

    // ---- constants

    fn tensor(&mut self, ty: &TensorType) -> Result<Tensor> {
        let shape = ty.known_shape().ok_or_else(|| self.cursor.error("a constant has known dimensions"))?;
        if self.cursor.keyword("data") {
            let number = self.cursor.number();
            let kept = number.parse().ok().and_then(self.kept);
            let kept = kept.ok_or_else(|| self.cursor.error(format!("there is no data {number}")))?;
            return Ok(Tensor::of(ty.dtype, &shape, kept)?.with_quant(ty.quant.clone()));
        }
        let elements = numel(&shape).map_err(|e| self.cursor.error(e.to_string()))?;
        let needed = ty.dtype.bytes(elements).unwrap_or(usize::MAX);
        self.bytes_left = self.bytes_left.checked_sub(needed).ok_or(GraphError::Limit {
            what: "bytes of constants",
            found: needed.saturating_add(self.limit - self.bytes_left),
            limit: self.limit,
        })?;
        let bytes = self.data(ty, elements, needed)?;
        Ok(Tensor::from_bytes(ty.dtype, &shape, &bytes)?.with_quant(ty.quant.clone()))
    }

    fn data(&mut self, ty: &TensorType, elements: usize, needed: usize) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        if self.cursor.take("[") {
            if !self.cursor.take("]") {
                loop {
                    self.element(&mut out, ty)?;
                    if self.cursor.take("]") {
                        break;
                    }
                    self.cursor.expect(",")?;
                }
            }
        } else if self.cursor.keyword("splat") {
            self.element(&mut out, ty)?;
            out = out.repeat(elements);
        } else if self.cursor.keyword("hex") {
            let text = self.name("bytes")?;
            out = hex(&text).ok_or_else(|| self.cursor.error("expected pairs of hexadecimal digits"))?;
        } else if self.cursor.keyword("random") {
            let seed = self.cursor.number();
            let seed = seed.parse().map_err(|_| self.cursor.error(format!("'{seed}' is no seed")))?;
            out = self.random(ty, elements, seed)?;
        } else if self.cursor.keyword("opaque") {
            self.cursor.expect("fnv64:")?;
            let digits = self.cursor.word();
            let seed = u64::from_str_radix(digits, 16)
                .map_err(|_| self.cursor.error(format!("'{digits}' is no hexadecimal hash")))?;
            out = self.random(ty, elements, seed)?;
        } else {
            let found = self.cursor.found();
            return Err(self.cursor.error(format!("expected the data of a constant, found {found}")));
        }
        if out.len() == needed {
            return Ok(out);
        }
        Err(self.cursor.error(format!("{ty} needs {needed} bytes of data, found {}", out.len())))
    }

    fn element(&mut self, out: &mut Vec<u8>, ty: &TensorType) -> Result<()> {
        let text = self.cursor.number();
        data::push_number(out, ty.dtype, text)
            .ok_or_else(|| self.cursor.error(format!("'{text}' is no element of type {}", ty.dtype)))
    }

    fn random(&self, ty: &TensorType, elements: usize, seed: u64) -> Result<Vec<u8>> {
        data::random(ty.dtype, elements, seed).ok_or_else(|| self.cursor.error("no memory for a constant"))
    }
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let value = |b: u8| (b as char).to_digit(16);
    digits.chunks_exact(2).map(|p| Some((value(p[0])? * 16 + value(p[1])?) as u8)).collect()
}
