//! NumPy's `.npy` format (NEP 1, versions 1.0 to 3.0).
//!
//! Read here rather than by a library because the header is hostile input: its length, nesting and the product of its
//! shape are bounded before anything is allocated.

use crate::exit::{Exit, Failure, Result};
use paring::{DType, Tensor};

const MAGIC: &[u8] = b"\x93NUMPY";
/// Headers of plain arrays have about a hundred bytes.
const MAX_HEADER: usize = 1 << 16;
const MAX_RANK: usize = 64;

/// What the header says.
#[derive(Debug, PartialEq)]
pub struct Header {
    dtype: DType,
    big_endian: bool,
    fortran: bool,
    shape: Vec<usize>,
    /// Where the elements start.
    offset: usize,
}

impl Header {
    /// Bytes of header and elements together; `None` where that overflows.
    pub fn file_bytes(&self) -> Option<usize> {
        let elements = self.shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d))?;
        self.dtype.bytes(elements)?.checked_add(self.offset)
    }
}

fn bad(what: impl Into<String>) -> Failure {
    Failure::new(Exit::Failure, format!("not a usable .npy array: {}", what.into()))
}

/// The array of a whole file.
pub fn read(bytes: &[u8]) -> Result<Tensor> {
    let header = read_header(bytes)?;
    let shape = &header.shape;
    let need = header.file_bytes().ok_or_else(|| bad(format!("shape {shape:?} overflows")))?;
    let Some(data) = bytes.get(header.offset..need) else {
        return Err(bad(format!("shape {shape:?} needs {need} bytes, the file has {}", bytes.len())));
    };
    let mut data = data.to_vec();
    let width = header.dtype.bits() / 8;
    if header.big_endian != cfg!(target_endian = "big") {
        data.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    if header.fortran && shape.len() > 1 {
        data = to_row_major(&data, shape, width);
    }
    if header.dtype == DType::Bool {
        data.iter_mut().for_each(|b| *b = (*b != 0).into());
    }
    Tensor::from_bytes(header.dtype, shape, &data).map_err(|e| bad(e.to_string()))
}

/// The header at the start of `bytes`.
pub fn read_header(bytes: &[u8]) -> Result<Header> {
    if bytes.get(..6) != Some(MAGIC) {
        return Err(bad("it does not start with the magic string"));
    }
    let short = || bad("the header is truncated");
    let (start, length) = match (*bytes.get(6).ok_or_else(short)?, *bytes.get(7).ok_or_else(short)?) {
        (1, _) => (10, bytes.get(8..10).map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))),
        (2 | 3, _) => (12, bytes.get(8..12).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)),
        (major, minor) => return Err(bad(format!("version {major}.{minor} is unknown"))),
    };
    let length = length.ok_or_else(short)?;
    if length > MAX_HEADER {
        return Err(bad(format!("a header of {length} bytes is too long")));
    }
    let text = bytes.get(start..start + length).ok_or_else(short)?;
    let text = std::str::from_utf8(text).map_err(|_| bad("the header is not text"))?;
    parse_dict(text, start + length)
}

/// Parses the Python dictionary literal of the header.
fn parse_dict(text: &str, offset: usize) -> Result<Header> {
    let mut p = Literal(text.trim());
    let (mut descr, mut fortran, mut shape) = (None, None, None);
    p.expect("{")?;
    while !p.accept("}") {
        let key = p.string()?;
        p.expect(":")?;
        match key {
            "descr" => descr = Some(parse_descr(p.string().map_err(|_| bad("records are not supported"))?)?),
            "fortran_order" => fortran = Some(p.boolean()?),
            "shape" => shape = Some(p.shape()?),
            _ => return Err(bad(format!("unknown key `{}`", key.escape_debug()))),
        }
        if !p.accept(",") {
            p.expect("}")?;
            break;
        }
    }
    if !p.0.is_empty() {
        return Err(bad("text after the header's dictionary"));
    }
    let missing = |key| bad(format!("the header lacks `{key}`"));
    let (dtype, big_endian) = descr.ok_or_else(|| missing("descr"))?;
    let fortran = fortran.ok_or_else(|| missing("fortran_order"))?;
    Ok(Header { dtype, big_endian, fortran, shape: shape.ok_or_else(|| missing("shape"))?, offset })
}

/// Element type and byte order of a type string such as `<f4`.
fn parse_descr(descr: &str) -> Result<(DType, bool)> {
    let unsupported = || bad(format!("elements of type `{}` are not supported", descr.escape_debug()));
    let (order, code) = descr.split_at_checked(1).ok_or_else(unsupported)?;
    let big_endian = match order {
        "<" | "|" => false,
        "=" => cfg!(target_endian = "big"),
        ">" => true,
        _ => return Err(unsupported()),
    };
    let dtype = match code {
        "f2" => DType::F16,
        "f4" => DType::F32,
        "f8" => DType::F64,
        "i1" => DType::I8,
        "i2" => DType::I16,
        "i4" => DType::I32,
        "i8" => DType::I64,
        "u1" => DType::U8,
        "u2" => DType::U16,
        "u4" => DType::U32,
        "u8" => DType::U64,
        "b1" => DType::Bool,
        // What `ml_dtypes.bfloat16` arrays are saved as.
        "V2" => DType::BF16,
        _ => return Err(unsupported()),
    };
    Ok((dtype, big_endian))
}

/// A cursor over the literal.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    fn accept(&mut self, token: &str) -> bool {
        let found = self.0.strip_prefix(token);
        self.0 = found.unwrap_or(self.0).trim_start();
        found.is_some()
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.accept(token) { Ok(()) } else { Err(bad(format!("the header lacks a `{token}`"))) }
    }

    fn string(&mut self) -> Result<&'a str> {
        let quote =
            self.0.chars().next().filter(|c| matches!(c, '\'' | '"')).ok_or_else(|| bad("expected a string"))?;
        let (text, rest) = self.0[1..].split_once(quote).ok_or_else(|| bad("a string does not end"))?;
        self.0 = rest.trim_start();
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool> {
        if self.accept("True") {
            return Ok(true);
        }
        self.expect("False").map(|()| false)
    }

    fn number(&mut self) -> Result<usize> {
        let digits = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (number, rest) = self.0.split_at(digits);
        // Python 2 wrote long integers as `3L`.
        self.0 = rest.strip_prefix('L').unwrap_or(rest).trim_start();
        number.parse().map_err(|_| bad("a dimension is not a number of this machine"))
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        self.expect("(")?;
        let mut dims = Vec::new();
        while !self.accept(")") {
            if dims.len() == MAX_RANK {
                return Err(bad(format!("more than {MAX_RANK} dimensions")));
            }
            dims.push(self.number()?);
            if !self.accept(",") {
                self.expect(")")?;
                break;
            }
        }
        Ok(dims)
    }
}

/// From first-axis-fastest to last-axis-fastest order.
fn to_row_major(data: &[u8], shape: &[usize], width: usize) -> Vec<u8> {
    let strides: Vec<usize> = shape.iter().scan(width, |s, &d| Some(std::mem::replace(s, *s * d))).collect();
    let mut out = Vec::with_capacity(data.len());
    let mut index = vec![0; shape.len()];
    let mut from = 0;
    while out.len() < data.len() {
        out.extend_from_slice(&data[from..from + width]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            from += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            from -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    out
}

/// The file of a tensor, version 1.0. NumPy has no `bf16`: those are widened to `f32`, which loses nothing.
pub fn write(tensor: &Tensor) -> Result<Vec<u8>> {
    if tensor.dtype() == DType::BF16 {
        let wide: Vec<f32> = tensor.to_f64s().unwrap_or_default().into_iter().map(|x| x as f32).collect();
        return write(&Tensor::new(tensor.shape(), &wide).map_err(Failure::said)?);
    }
    let code = match tensor.dtype() {
        DType::F16 => "f2",
        DType::F32 => "f4",
        DType::F64 => "f8",
        DType::I8 => "i1",
        DType::I16 => "i2",
        DType::I32 => "i4",
        DType::I64 => "i8",
        DType::U8 => "u1",
        DType::U16 => "u2",
        DType::U32 => "u4",
        DType::U64 => "u8",
        DType::Bool => "b1",
        other => return Err(Failure::other(format!("a .npy file cannot hold elements of type {other}"))),
    };
    let order = match tensor.dtype().bits() {
        8 => '|',
        _ if cfg!(target_endian = "big") => '>',
        _ => '<',
    };
    let mut dims: String = tensor.shape().iter().map(|d| format!("{d}, ")).collect();
    if tensor.shape().len() != 1 {
        dims.truncate(dims.trim_end_matches(", ").len());
    }
    let mut header = format!("{{'descr': '{order}{code}', 'fortran_order': False, 'shape': ({}), }}", dims.trim_end());
    // The elements start at a multiple of 64 bytes.
    let padding = (10 + header.len() + 1).next_multiple_of(64) - (10 + header.len() + 1);
    header.extend(std::iter::repeat_n(' ', padding).chain(['\n']));
    let length = u16::try_from(header.len()).map_err(|_| Failure::other("too many dimensions for a .npy file"))?;

    let mut file = Vec::with_capacity(10 + header.len() + tensor.bytes().len());
    file.extend_from_slice(MAGIC);
    file.extend_from_slice(&[1, 0]);
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(tensor.bytes());
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut f = MAGIC.to_vec();
        f.extend([1, 0]);
        f.extend((header.len() as u16).to_le_bytes());
        f.extend(header.as_bytes());
        f.extend(data);
        f
    }

    fn array(descr: &str, fortran: &str, shape: &str, data: &[u8]) -> Result<Tensor> {
        read(&file(&format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}\n"), data))
    }

    #[test]
    fn round_trip_of_every_type_and_rank() {
        for dtype in DType::ALL {
            if matches!(dtype, DType::Sign | DType::BF16) {
                continue;
            }
            for shape in [&[][..], &[3], &[2, 3], &[0, 4], &[1, 2, 1, 3]] {
                let n: usize = shape.iter().product();
                let bytes: Vec<u8> = (0..n * dtype.bits() / 8).map(|i| (i % 2) as u8).collect();
                let t = Tensor::from_bytes(dtype, shape, &bytes).expect("a tensor");
                let f = write(&t).expect("a file");
                assert_eq!((f.len() - bytes.len()) % 64, 0, "elements are aligned");
                assert_eq!(read(&f).expect("an array"), t);
            }
        }
    }

    #[test]
    fn header_is_numpys() {
        let t = Tensor::new(&[2, 3], &[0f32; 6]).expect("a tensor");
        let f = write(&t).expect("a file");
        assert!(f[10..].starts_with(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"));
        let one = write(&Tensor::from_i64s(&[1, 2])).expect("a file");
        assert!(one[10..].starts_with(b"{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }"));
    }

    #[test]
    fn bf16_widens() {
        let t = Tensor::from_bytes(DType::BF16, &[1], &0x3fc0u16.to_ne_bytes()).expect("a tensor");
        let back = read(&write(&t).expect("a file")).expect("an array");
        assert_eq!((back.dtype(), back.to_f64s()), (DType::F32, Some(vec![1.5])));
        let direct = array("<V2", "False", "(1,)", &0x3fc0u16.to_le_bytes()).expect("an array");
        assert_eq!(direct.to_f64s(), Some(vec![1.5]));
    }

    #[test]
    fn fortran_order_and_big_endian() {
        let t = array("|u1", "True", "(2, 3)", &[1, 4, 2, 5, 3, 6]).expect("an array");
        assert_eq!(t.to_i64s(), Some(vec![1, 2, 3, 4, 5, 6]));
        let t = array("|u1", "True", "(2, 2, 2)", &[0, 4, 2, 6, 1, 5, 3, 7]).expect("an array");
        assert_eq!(t.to_i64s(), Some((0..8).collect()));
        let t = array(">i2", "False", "(2,)", &[0, 1, 1, 0]).expect("an array");
        assert_eq!(t.to_i64s(), Some(vec![1, 256]));
        let t = array("|b1", "False", "(2,)", &[0, 7]).expect("an array");
        assert_eq!(t.bytes(), [0, 1]);
    }

    #[test]
    fn truncation_at_every_byte_is_an_error() {
        let whole = write(&Tensor::new(&[2, 2], &[1f32, 2.0, 3.0, 4.0]).expect("a tensor")).expect("a file");
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "{end} bytes");
        }
    }

    #[test]
    fn hostile_headers_are_errors() {
        let huge = "(18446744073709551615, 18446744073709551615)";
        for shape in
            [huge, "(99999999999999999999999,)", "(-1,)", "(1000000000000,)", "((((((((1", "(1 2)", "", "5", "('a',)"]
        {
            assert!(array("<f4", "False", shape, &[0; 16]).is_err(), "{shape}");
        }
        for descr in ["|O", "<c8", "<U3", "", "<", "é4", "<f16", "M8"] {
            assert!(array(descr, "False", "(1,)", &[0; 16]).is_err(), "{descr}");
        }
        assert!(array("<f4", "Perhaps", "(1,)", &[0; 16]).is_err());
        for header in ["", "{", "{'descr'", "{}", "[1]", "{'x': 1}", "{'descr': [('a', '<f4')]}", "{'descr': '<f4'}"] {
            assert!(read(&file(header, &[0; 16])).is_err(), "{header}");
        }
        let mut long = file("{}", &[]);
        (long[6], long[8], long[9]) = (2, 255, 255);
        assert!(read(&[&long[..10], &[255, 255]].concat()).is_err());
        let deep = format!("{{'shape': {}", "(".repeat(60_000));
        assert!(read(&file(&deep, &[])).is_err());
    }
}
