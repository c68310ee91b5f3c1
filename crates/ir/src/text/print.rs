//! Graph to text.

use super::data;
use crate::{Graph, Node, NodeId, TensorType, ValueId};
use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec,
    vec::Vec,
};
use core::fmt::{self, Write};
use paring_core::{Tensor, op::EpiOp};
use ron::{Options, extensions::Extensions};
use serde::Serialize;

impl Graph {
    /// The text form; see the module's documentation. Of constants with more than 16 elements that are not all alike,
    /// only a hash is written.
    pub fn to_text(&self) -> String {
        self.to_string()
    }

    /// The text form without any constants left out: for those that it keeps, `keep` returns the number under which
    /// [`Graph::parse_with`] finds their bytes. All others are written out, however long they are.
    ///
    /// # Errors
    /// Where an attribute cannot be written, which none of today's operators has.
    pub fn to_text_with(&self, keep: &mut dyn FnMut(&Arc<Tensor>) -> Option<usize>) -> Result<String, fmt::Error> {
        let mut text = String::new();
        self.print(&mut text, &mut |t| match keep(t) {
            Some(number) => format!("data {number}"),
            None => data::written_out(t),
        })?;
        Ok(text)
    }

    fn print(&self, f: &mut dyn Write, constant: &mut dyn FnMut(&Arc<Tensor>) -> String) -> fmt::Result {
        let order = self.order().unwrap_or_else(|_| self.nodes().map(|(id, _)| id).collect());
        let names = Names::new(self, &order);
        writeln!(f, "graph {} {{", quoted(&self.name))?;
        for &v in self.inputs().iter().filter(|&&v| self.contains(v)) {
            writeln!(f, "  input {}: {}", names.declared(self, v), full_type(self.ty(v)))?;
        }
        for &v in &names.constants {
            if let Some(tensor) = self.constant(v) {
                let ty = full_type(self.ty(v));
                writeln!(f, "  const {}: {ty} = {}", names.declared(self, v), constant(tensor))?;
            }
        }
        for &id in &order {
            if let Some(node) = self.node(id) {
                writeln!(f, "  {}", names.node(self, node)?)?;
            }
        }
        for o in self.outputs() {
            writeln!(f, "  output {} = {}", quoted(&o.name), names.of(Some(o.value)))?;
        }
        writeln!(f, "}}")
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, &mut |t| data::print(t))
    }
}

/// The numbers that values get in the text, in the order they appear.
struct Names {
    numbers: Vec<Option<usize>>,
    constants: Vec<ValueId>,
}

impl Names {
    fn new(g: &Graph, order: &[NodeId]) -> Names {
        let mut names = Names { numbers: vec![None; g.value_count()], constants: Vec::new() };
        let mut next = 0;
        let mut number = |names: &mut Names, v: ValueId| {
            let slot = names.numbers.get_mut(v.index())?;
            if slot.is_none() {
                *slot = Some(next);
                next += 1;
                return Some(v);
            }
            None
        };
        for &v in g.inputs() {
            number(&mut names, v);
        }
        let used = order.iter().filter_map(|&id| g.node(id)).flat_map(|n| n.inputs.iter().flatten().copied());
        let used: Vec<ValueId> = used.chain(g.outputs().iter().map(|o| o.value)).collect();
        for v in used.into_iter().filter(|&v| g.contains(v) && g.constant(v).is_some()) {
            if let Some(v) = number(&mut names, v) {
                names.constants.push(v);
            }
        }
        for node in order.iter().filter_map(|&id| g.node(id)) {
            for &v in node.outputs.iter().flatten() {
                number(&mut names, v);
            }
        }
        names
    }

    /// `%7`, `_` where absent. A value that nothing makes keeps a name that no other has.
    fn of(&self, v: Option<ValueId>) -> String {
        match v {
            None => "_".into(),
            Some(v) => match self.numbers.get(v.index()).copied().flatten() {
                Some(n) => format!("%{n}"),
                None => format!("%undefined{}", v.0),
            },
        }
    }

    fn declared(&self, g: &Graph, v: ValueId) -> String {
        format!("{} {}", self.of(Some(v)), quoted(&g.value(v).name))
    }

    fn node(&self, g: &Graph, node: &Node) -> Result<String, fmt::Error> {
        let outputs: Vec<String> = node
            .outputs
            .iter()
            .map(|v| match v {
                Some(v) if g.contains(*v) => self.declared(g, *v),
                v => self.of(*v),
            })
            .collect();
        let mut line = if outputs.is_empty() { "_".into() } else { outputs.join(", ") };
        line.push_str(" = ");
        let present: Vec<ValueId> = node.outputs.iter().flatten().copied().filter(|&v| g.contains(v)).collect();
        if present.first().is_none_or(|&v| g.value(v).name != node.name) {
            write!(line, "{} ", quoted(&node.name))?;
        }
        let operands: Vec<String> = node.op_inputs().iter().map(|&v| self.of(v)).collect();
        write!(line, "{}({})", ron_text(&node.op)?, operands.join(", "))?;
        for step in &node.epilogue {
            write!(line, " + {}", self.step(node, step)?)?;
        }
        let types: Vec<String> = present.iter().map(|&v| full_type(g.ty(v))).collect();
        if !types.is_empty() {
            write!(line, " : {}", types.join(", "))?;
        }
        Ok(line)
    }

    fn step(&self, node: &Node, step: &EpiOp) -> Result<String, fmt::Error> {
        let operand = |i: usize| self.of(node.input(i));
        Ok(match *step {
            EpiOp::Bias { input } => format!("bias({})", operand(input)),
            EpiOp::Scale { input } => format!("scale({})", operand(input)),
            EpiOp::Residual { input } => format!("residual({})", operand(input)),
            EpiOp::PRelu { input } => format!("prelu({})", operand(input)),
            EpiOp::Act(act) => format!("act({})", ron_text(&act)?),
            EpiOp::Quantize { to, scale, zero_point } => format!("quantize({})", ron_text(&(to, scale, zero_point))?),
            EpiOp::Sign { of_zero } => format!("sign({of_zero})"),
            EpiOp::MaxPool => "maxpool".into(),
        })
    }
}

fn ron_text<T: Serialize>(value: &T) -> Result<String, fmt::Error> {
    let style = ron::ser::PrettyConfig::new()
        .new_line("")
        .indentor("")
        .separator(" ")
        .compact_structs(true)
        .compact_arrays(true)
        .compact_maps(true);
    // `Conv(stride: [1, 1])` rather than `Conv((stride: [1, 1]))`.
    let short = Extensions::UNWRAP_VARIANT_NEWTYPES | Extensions::IMPLICIT_SOME;
    Options::default().with_default_extension(short).to_string_pretty(value, style).map_err(|_| fmt::Error)
}

/// The type, quantisation included.
fn full_type(ty: &TensorType) -> String {
    match ty.quant.as_ref().map(ron_text) {
        Some(Ok(q)) => format!("{ty} quant({q})"),
        _ => ty.to_string(),
    }
}

/// A string in quotes, as RON writes it.
fn quoted(s: &str) -> String {
    crate::dim::quoted(s)
}
