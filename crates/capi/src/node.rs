//! A node as an operator of the program's sees it.

use crate::{
    tensor::{paring_tensor, to_c},
    words::c_string,
};
use facade::{
    DType, Tensor,
    graph::op::{CustomAttrs, CustomOperand, CustomValue},
    kernel::{Operand, Problem},
};
use std::{
    ffi::{CString, c_char},
    ptr,
};

/// An integer, in `i`.
pub const PARING_ATTRIBUTE_INT: i32 = 1;
/// A number, in `f`.
pub const PARING_ATTRIBUTE_FLOAT: i32 = 2;
/// Text, in `text`.
pub const PARING_ATTRIBUTE_TEXT: i32 = 3;
/// Integers, `count` of them in `ints`.
pub const PARING_ATTRIBUTE_INTS: i32 = 4;
/// Numbers, `count` of them in `floats`.
pub const PARING_ATTRIBUTE_FLOATS: i32 = 5;

/// An attribute of a node. What its kind does not use is 0.
#[repr(C)]
pub struct paring_attribute {
    /// Its name.
    pub name: *const c_char,
    /// The integer.
    pub i: i64,
    /// The number.
    pub f: f32,
    /// Which of the others holds the value: `PARING_ATTRIBUTE_INT` and the like.
    pub kind: i32,
    /// The text.
    pub text: *const c_char,
    /// The integers.
    pub ints: *const i64,
    /// The numbers.
    pub floats: *const f32,
    /// How many there are, or bytes of the text.
    pub count: usize,
}

/// A node of a model that uses an operator of the program's. All of it is gone after the call.
#[repr(C)]
pub struct paring_node {
    /// The operands. `data` of those that are constant points at their elements, to read only, and is NULL else. An
    /// operand that is absent has `dtype` 0. Before shapes are known, a dimension may be -1, and so may be the rank.
    pub inputs: *const paring_tensor,
    /// How many operands there are.
    pub input_count: usize,
    /// The results, without `data`; NULL as long as they are not known. One that nobody wants has `dtype` 0.
    pub outputs: *const paring_tensor,
    /// How many results there are.
    pub output_count: usize,
    /// The attributes, in the order of the file.
    pub attributes: *const paring_attribute,
    /// How many attributes there are.
    pub attribute_count: usize,
}

/// A node with all that it points at.
pub(crate) struct Node {
    inputs: Operands,
    outputs: Option<Operands>,
    output_count: usize,
    attributes: Vec<paring_attribute>,
    _texts: Vec<CString>,
    _numbers: Vec<CustomValue>,
}

/// Operands with all that they point at.
#[derive(Default)]
pub(crate) struct Operands {
    pub tensors: Vec<paring_tensor>,
    _dims: Vec<Vec<i64>>,
    _copies: Vec<Vec<u64>>,
}

impl Operands {
    fn push(&mut self, dtype: DType, dims: Option<Vec<i64>>, constant: Option<&Tensor>) {
        let rank = dims.as_ref().map_or(-1, |d| d.len() as i32);
        let dims = dims.unwrap_or_default();
        let data = constant.map_or(ptr::null(), |c| self.aligned(c));
        let bytes = constant.map_or(0, |c| c.bytes().len());
        let tensor =
            paring_tensor { data: data.cast_mut().cast(), bytes, dims: dims.as_ptr(), rank, dtype: to_c(dtype) };
        self.tensors.push(tensor);
        self._dims.push(dims);
    }

    fn absent(&mut self) {
        self.tensors.push(paring_tensor::NONE);
    }

    /// The elements of a constant, aligned to them: those of a mapped file may lie anywhere.
    fn aligned(&mut self, constant: &Tensor) -> *const u8 {
        let bytes = constant.bytes();
        if bytes.as_ptr().addr().is_multiple_of(constant.dtype().bits() / 8) {
            return bytes.as_ptr();
        }
        let whole = bytes.chunks(8).map(|c| {
            let mut word = [0; 8];
            word[..c.len()].copy_from_slice(c);
            u64::from_ne_bytes(word)
        });
        self._copies.push(whole.collect());
        self._copies.last().map_or(ptr::null(), |c| c.as_ptr().cast())
    }

    /// Operands of known shape.
    pub fn known(operands: &[Option<Operand>]) -> Operands {
        let mut all = Operands::default();
        for operand in operands {
            let Some(x) = operand else {
                all.absent();
                continue;
            };
            all.push(x.dtype, Some(x.shape.iter().map(|&d| d as i64).collect()), x.constant.as_deref());
            // Present or not, `bytes` says how many there will be.
            if let Some(t) = all.tensors.last_mut() {
                t.bytes = x.dtype.bytes(x.len()).unwrap_or(usize::MAX);
            }
        }
        all
    }
}

impl Node {
    /// A node of which only what a model says is known.
    pub fn to_infer(attrs: &CustomAttrs, inputs: &[Option<CustomOperand<'_>>]) -> Node {
        let mut operands = Operands::default();
        for operand in inputs {
            let Some(x) = operand else {
                operands.absent();
                continue;
            };
            let dim = |d: &Option<usize>| d.map_or(-1, |d| d as i64);
            operands.push(x.dtype, x.shape.as_ref().map(|s| s.iter().map(dim).collect()), x.constant);
        }
        Node::new(attrs, operands, None)
    }

    /// A node of which everything is known.
    pub fn of(attrs: &CustomAttrs, p: &Problem) -> Node {
        Node::new(attrs, Operands::known(&p.inputs), Some(Operands::known(&p.outputs)))
    }

    fn new(attrs: &CustomAttrs, inputs: Operands, outputs: Option<Operands>) -> Node {
        let mut texts = Vec::new();
        let mut text = |s: &str| {
            let text = c_string(s);
            let at = text.as_ptr();
            texts.push(text);
            at
        };
        // Moving a vector of vectors leaves what those point at where it is.
        let numbers: Vec<CustomValue> = attrs.attributes.iter().map(|(_, v)| v.clone()).collect();
        let named = attrs.attributes.iter().map(|(name, _)| name).zip(&numbers);
        let attributes = named.map(|(name, value)| {
            let none = paring_attribute {
                name: text(name),
                i: 0,
                f: 0.0,
                kind: 0,
                text: ptr::null(),
                ints: ptr::null(),
                floats: ptr::null(),
                count: 0,
            };
            match value {
                CustomValue::Int(i) => paring_attribute { kind: PARING_ATTRIBUTE_INT, i: *i, ..none },
                CustomValue::Float(f) => paring_attribute { kind: PARING_ATTRIBUTE_FLOAT, f: *f, ..none },
                CustomValue::Text(s) => {
                    paring_attribute { kind: PARING_ATTRIBUTE_TEXT, text: text(s), count: s.len(), ..none }
                }
                CustomValue::Ints(v) => {
                    paring_attribute { kind: PARING_ATTRIBUTE_INTS, ints: v.as_ptr(), count: v.len(), ..none }
                }
                CustomValue::Floats(v) => {
                    paring_attribute { kind: PARING_ATTRIBUTE_FLOATS, floats: v.as_ptr(), count: v.len(), ..none }
                }
            }
        });
        let attributes = attributes.collect();
        Node { inputs, outputs, output_count: attrs.outputs, attributes, _texts: texts, _numbers: numbers }
    }

    /// The node as C sees it, for as long as this lives.
    pub fn as_c(&self) -> paring_node {
        paring_node {
            inputs: self.inputs.tensors.as_ptr(),
            input_count: self.inputs.tensors.len(),
            outputs: self.outputs.as_ref().map_or(ptr::null(), |o| o.tensors.as_ptr()),
            output_count: self.output_count,
            attributes: self.attributes.as_ptr(),
            attribute_count: self.attributes.len(),
        }
    }
}
