//! Codes as constants of a file, and the nodes that make weights of them.
//!
//! Only operators that every runtime has are used, all of which read constants: a runtime computes them once, when it
//! opens the file.

use super::pack::{Plane, narrow};
use super::rows::{Book, Coded, in_place};
use crate::layers::Weights;
use crate::net::{INT2, INT4, INT8, INT32, INT64, UINT8, floats_tensor, tensor};
use crate::rewrite::{Rewriter, int, ints};
use paring_onnx::proto::{AttributeProto, TensorProto};

/// Operator sets with four bits and with two, and the versions of the file format that came with them.
pub const FOUR_BITS: i64 = 21;
const TWO_BITS: i64 = 25;
const FOUR_BITS_FORMAT: i64 = 10;
const TWO_BITS_FORMAT: i64 = 13;

/// Replaces the constant `name` of shape `dims` by `coded`. Returns the bytes of data that takes.
pub fn store(
    rewriter: &mut Rewriter,
    name: &str,
    dims: &[usize],
    weights: &Weights,
    coded: &Coded,
    opset: i64,
) -> usize {
    let mut store = Store { rewriter, name, coded, opset, place: Place::of(dims, weights, coded), bytes: 0 };
    store.rewriter.remove(name);
    let mut value = store.values(weights);
    if store.place.rows {
        value = store.join(&value, dims, weights);
    }
    store.rewriter.rename(&value, name);
    store.bytes
}

/// Where codes lie, and along which axis their rows are.
struct Place {
    shape: Vec<usize>,
    /// `None` where there is one row.
    axis: Option<usize>,
    /// Whether rows are one below the other, rather than where they lie in the weights.
    rows: bool,
}

impl Place {
    fn of(dims: &[usize], weights: &Weights, coded: &Coded) -> Place {
        let cut = coded.cut;
        // With a reshape in between, runtimes fold the weights of a convolution; read directly, they are taken for those of a
        // layer of bytes, whose inputs would have to be bytes too.
        let window = weights.input_axis.is_some() && matches!(coded.book, Book::Grid | Book::Odd);
        if cut.groups > 1 || window {
            return Place { shape: vec![cut.rows(), cut.row], axis: Some(0), rows: true };
        }
        let axis = (cut.rows() == weights.form.channels).then_some(weights.axis);
        Place { shape: dims.to_vec(), axis, rows: false }
    }

    /// The shape of something for each row that goes with all weights of the row.
    fn broadcast(&self) -> Vec<usize> {
        let axis = self.axis;
        let size = |(i, &d): (usize, &usize)| if Some(i) == axis { d } else { 1 };
        axis.map_or(Vec::new(), |_| self.shape.iter().enumerate().map(size).collect())
    }
}

struct Store<'a> {
    rewriter: &'a mut Rewriter,
    name: &'a str,
    coded: &'a Coded,
    opset: i64,
    place: Place,
    bytes: usize,
}

impl Store<'_> {
    /// The weights where their codes lie.
    fn values(&mut self, weights: &Weights) -> String {
        let codes = self.codes(weights);
        match &self.coded.book {
            Book::Grid | Book::Odd => {
                let integers = self.integers(&codes, false);
                let axis = self.place.axis;
                let shape = axis.map_or(Vec::new(), |_| vec![self.coded.scales.len()]);
                let scale = self.floats("scale", &shape, &self.coded.scales);
                let axis: Vec<_> = axis.map(|a| int("axis", a as i64)).into_iter().collect();
                self.node("DequantizeLinear", &[&integers, &scale], &axis, "real")
            }
            Book::Layer(book) => {
                // Negative indices count from the end.
                let mut entries = book.clone();
                entries.rotate_left(self.coded.half() as usize);
                let index = self.integers(&codes, true);
                let entries = self.floats("codebook", &[entries.len()], &entries);
                let found = self.node("Gather", &[&entries, &index], &[], "entries");
                let scale = self.floats("scale", &self.place.broadcast(), &self.coded.scales);
                self.node("Mul", &[&found, &scale], &[], "real")
            }
            Book::Rows(books) => {
                let index = self.integers(&codes, true);
                let half = self.coded.half();
                let first = (0..self.coded.scales.len()).flat_map(|row| (row as i32 * 2 * half + half).to_le_bytes());
                let first = tensor(&self.part("first"), INT32, &self.place.broadcast(), first.collect());
                let first = self.constant(first);
                let index = self.node("Add", &[&index, &first], &[], "index");
                let books = self.floats("codebooks", &[books.len()], books);
                self.node("Gather", &[&books, &index], &[], "real")
            }
        }
    }

    /// The codes as they lie in the file; rows of groups are filled up.
    fn codes(&self, weights: &Weights) -> Vec<i8> {
        if !self.place.rows {
            return in_place(&self.coded.codes, &weights.form);
        }
        let cut = self.coded.cut;
        let mut codes = Vec::with_capacity(cut.rows() * cut.row);
        for row in cut.split(&self.coded.codes) {
            codes.extend(row);
            codes.resize(codes.len().next_multiple_of(cut.row), 0);
        }
        codes
    }

    /// A value of the codes as integers: those of 32 bits where they are to be `indices`.
    fn integers(&mut self, codes: &[i8], indices: bool) -> String {
        let odd = self.coded.book == Book::Odd;
        let whole = match (self.coded.bits, self.opset, indices || odd) {
            (8, ..) => Some((INT8, codes.iter().map(|&c| c as u8).collect())),
            (4, FOUR_BITS.., false) => {
                self.rewriter.net().need_format(FOUR_BITS_FORMAT);
                Some((INT4, narrow(codes, 4)))
            }
            (2, TWO_BITS.., false) => {
                self.rewriter.net().need_format(TWO_BITS_FORMAT);
                Some((INT2, narrow(codes, 2)))
            }
            _ => None,
        };
        let Some((ty, data)) = whole else { return self.unpacked(codes, indices) };
        let stored = tensor(&self.part("codes"), ty, &self.place.shape, data);
        let stored = self.constant(stored);
        if indices { self.cast(&stored, INT32) } else { stored }
    }

    fn unpacked(&mut self, codes: &[i8], indices: bool) -> String {
        let planes = Plane::of(self.coded.bits, self.coded.book == Book::Odd);
        // Few runtimes add bytes.
        let wide = indices || planes.len() > 1;
        let mut sum: Option<String> = None;
        for plane in planes {
            let fields = self.fields(codes, plane, wide);
            sum = Some(match sum {
                Some(before) => self.node("Add", &[&before, &fields], &[], "sum"),
                None => fields,
            });
        }
        let flat = sum.unwrap_or_default();
        let shape = self.shape(&self.place.shape.clone());
        self.node("Reshape", &[&flat, &shape], &[], "integers")
    }

    /// What one plane adds to the codes, one after the other.
    fn fields(&mut self, codes: &[i8], plane: Plane, wide: bool) -> String {
        let packed = plane.pack(codes);
        let filled = packed.len() * plane.fields();
        let packed = tensor(&self.part("codes"), UINT8, &[packed.len()], packed);
        let packed = self.constant(packed);
        let table = self.rewriter.shared(&plane.name(), || plane.table());
        let packed = self.cast(&packed, INT32);
        let mut fields = self.node("Gather", &[&table, &packed], &[], "fields");
        if wide {
            fields = self.cast(&fields, INT32);
        }
        let flat = self.shape(&[filled]);
        fields = self.node("Reshape", &[&fields, &flat], &[], "fields");
        if filled > codes.len() { self.slice(&fields, 0, codes.len()) } else { fields }
    }

    /// Rows one after the other, without what fills the last of them up, and in the shape of the weights.
    fn join(&mut self, value: &str, dims: &[usize], weights: &Weights) -> String {
        let cut = self.coded.cut;
        let mut value = value.to_owned();
        if cut.groups > 1 {
            let channels = self.shape(&[cut.parts, cut.groups * cut.row]);
            value = self.node("Reshape", &[&value, &channels], &[], "rows");
        }
        if cut.groups * cut.row > cut.part {
            value = self.slice(&value, 1, cut.part);
        }
        let turned = weights.axis == 1;
        let shape = if turned { vec![dims[1], dims[0]] } else { dims.to_vec() };
        let shape = self.shape(&shape);
        value = self.node("Reshape", &[&value, &shape], &[], "real");
        if turned { self.node("Transpose", &[&value], &[ints("perm", &[1, 0])], "real") } else { value }
    }

    fn slice(&mut self, value: &str, axis: i64, end: usize) -> String {
        let [from, to, along] = [0, end as i64, axis].map(|n| tensor("", INT64, &[1], n.to_le_bytes().to_vec()));
        let from = self.rewriter.shared("unpack.zero", || from);
        let to = self.rewriter.shared(&format!("unpack.end_{end}"), || to);
        let along = self.rewriter.shared(&format!("unpack.axis_{axis}"), || along);
        self.node("Slice", &[value, &from, &to, &along], &[], "cut")
    }

    fn shape(&mut self, dims: &[usize]) -> String {
        let words: Vec<String> = dims.iter().map(usize::to_string).collect();
        let data = dims.iter().flat_map(|&d| (d as i64).to_le_bytes()).collect();
        self.rewriter.shared(&format!("unpack.shape_{}", words.join("x")), || tensor("", INT64, &[dims.len()], data))
    }

    fn cast(&mut self, value: &str, to: i32) -> String {
        self.node("Cast", &[value], &[int("to", to.into())], "wide")
    }

    fn floats(&mut self, part: &str, dims: &[usize], values: &[f32]) -> String {
        let stored = floats_tensor(&self.part(part), dims, values);
        self.constant(stored)
    }

    fn constant(&mut self, tensor: TensorProto) -> String {
        self.bytes += tensor.raw_data.as_ref().map_or(0, bytes::Bytes::len);
        self.rewriter.constant(tensor)
    }

    fn node(&mut self, op: &str, inputs: &[&str], attributes: &[AttributeProto], part: &str) -> String {
        let wanted = self.part(part);
        self.rewriter.node(op, inputs, attributes, &wanted)
    }

    fn part(&self, part: &str) -> String {
        format!("{}.{part}", self.name)
    }
}
