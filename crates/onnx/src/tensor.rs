//! `TensorProto` to [`Tensor`].

use crate::{ExternalData, ImportError, Limits, proto::*, scan};
use bytes::Bytes;
use paring_core::{AlignedBuf, DType, Element, Tensor, numel};
use prost::Message;
use std::{collections::HashMap, sync::Arc};

/// A single tensor in ONNX's format, such as the `input_0.pb` of a test data set.
///
/// # Errors
/// Where the bytes are not a tensor, or its type is not supported.
pub fn read_tensor(bytes: Bytes) -> Result<Tensor, ImportError> {
    let limits = Limits::default();
    scan::check_tensor(&bytes, &limits)?;
    tensor_of(&TensorProto::decode(bytes).map_err(|e| ImportError::Decode(e.to_string()))?)
}

/// The elements of a tensor that was decoded; those in files of their own are out of reach.
///
/// # Errors
/// Where shape, type and data do not fit, or the type is not supported.
pub fn tensor_of(proto: &TensorProto) -> Result<Tensor, ImportError> {
    TensorReader::new(&Limits::default(), None).read(proto)
}

/// What can be said of the number of an element type that is none here.
pub(crate) enum ElementTypeError {
    /// ONNX has it: its name.
    Unsupported(&'static str),
    /// It means nothing: a sentence.
    Invalid(String),
}

/// The element type of that number.
pub(crate) fn dtype(number: i32) -> Result<DType, ElementTypeError> {
    let unsupported = match number {
        1 => return Ok(DType::F32),
        2 => return Ok(DType::U8),
        3 => return Ok(DType::I8),
        4 => return Ok(DType::U16),
        5 => return Ok(DType::I16),
        6 => return Ok(DType::I32),
        7 => return Ok(DType::I64),
        9 => return Ok(DType::Bool),
        10 => return Ok(DType::F16),
        11 => return Ok(DType::F64),
        12 => return Ok(DType::U32),
        13 => return Ok(DType::U64),
        16 => return Ok(DType::BF16),
        8 => "string",
        14 => "complex64",
        15 => "complex128",
        17 => "float8e4m3fn",
        18 => "float8e4m3fnuz",
        19 => "float8e5m2",
        20 => "float8e5m2fnuz",
        21 => "uint4",
        22 => "int4",
        23 => "float4e2m1",
        24 => "float8e8m0",
        25 => "uint2",
        26 => "int2",
        0 => return Err(ElementTypeError::Invalid("the element type is undefined".into())),
        n => return Err(ElementTypeError::Invalid(format!("unknown element type {n}"))),
    };
    Err(ElementTypeError::Unsupported(unsupported))
}

/// Reads tensors, opening each external file once and keeping count of the bytes.
pub(crate) struct TensorReader<'a> {
    limits: &'a Limits,
    external: Option<&'a dyn ExternalData>,
    files: HashMap<String, Bytes>,
    total: usize,
}

impl<'a> TensorReader<'a> {
    pub(crate) fn new(limits: &'a Limits, external: Option<&'a dyn ExternalData>) -> TensorReader<'a> {
        TensorReader { limits, external, files: HashMap::new(), total: 0 }
    }

    /// Integers of two or four bits, a byte for each, with the name of their type; `None` where `t` holds something else.
    pub(crate) fn read_narrow(&mut self, t: &TensorProto) -> Result<Option<(Tensor, &'static str)>, ImportError> {
        let Some(narrow) = Narrow::of(t.data_type) else { return Ok(None) };
        let fail = |reason: String| ImportError::Tensor { tensor: shown(&t.name), reason };
        let shape = self.shape(&t.dims).map_err(fail)?;
        let size = numel(&shape).map_err(|e| fail(e.to_string()))?;
        let packed = match (t.data_location, &t.raw_data) {
            (0, Some(data)) if !data.is_empty() || size == 0 => data.clone(),
            (0, _) => t.int32_data.iter().map(|&v| v as u8).collect(),
            (1, _) => self.external(t)?,
            (other, _) => return Err(fail(format!("unknown data location {other}"))),
        };
        narrow.check(size, packed.len()).map_err(fail)?;
        self.account(size)?;
        let tensor = Tensor::from_bytes(narrow.widened(), &shape, &narrow.unpack(&packed, size));
        Ok(Some((tensor.map_err(|e| fail(e.to_string()))?, narrow.name)))
    }

    /// The tensor, its bytes shared with the file where they are stored raw.
    pub(crate) fn read(&mut self, t: &TensorProto) -> Result<Tensor, ImportError> {
        let fail = |reason: String| ImportError::Tensor { tensor: shown(&t.name), reason };
        let dtype = dtype(t.data_type).map_err(|e| match e {
            ElementTypeError::Invalid(reason) => fail(reason),
            ElementTypeError::Unsupported(ty) => {
                let ty = format!("element type {ty}");
                ImportError::UnsupportedType { what: "tensor", name: shown(&t.name), ty }
            }
        })?;
        let shape = self.shape(&t.dims).map_err(fail)?;
        let size = numel(&shape).map_err(|e| fail(e.to_string()))?;
        let tensor = match (t.data_location, &t.raw_data) {
            (0, Some(data)) if !data.is_empty() || size == 0 => raw(dtype, &shape, data.clone()),
            (0, _) => typed(dtype, &shape, size, t),
            (1, _) => raw(dtype, &shape, self.external(t)?),
            (other, _) => Err(format!("unknown data location {other}")),
        };
        // Only now: until here, the file itself bounds what is taken.
        let tensor = tensor.map_err(fail)?;
        self.account(tensor.bytes().len())?;
        Ok(tensor)
    }

    /// A sparse tensor with its zeros filled in.
    pub(crate) fn read_sparse(&mut self, s: &SparseTensorProto) -> Result<Tensor, ImportError> {
        let name = s.values.as_ref().map_or(String::new(), |v| v.name.clone());
        let fail = |reason: String| ImportError::Tensor { tensor: shown(&name), reason };
        let (Some(values), Some(indices)) = (&s.values, &s.indices) else {
            return Err(fail("a sparse tensor needs values and indices".into()));
        };
        let (values, indices) = (self.read(values)?, self.read(indices)?);
        let shape = self.shape(&s.dims).map_err(fail)?;
        let size = numel(&shape).map_err(|e| fail(e.to_string()))?;
        let dtype = values.dtype();
        let bytes = dtype.bytes(size).ok_or_else(|| fail("the size overflows".into()))?;
        self.account(bytes)?;
        let places = flat_indices(&indices, values.len(), &shape).map_err(fail)?;
        let mut out = AlignedBuf::zeroed(bytes).map_err(|e| fail(e.to_string()))?;
        let width = dtype.bits() / 8;
        for (i, at) in places.into_iter().enumerate() {
            out.as_mut_slice()[at * width..][..width].copy_from_slice(&values.bytes()[i * width..][..width]);
        }
        Tensor::from_buffer(dtype, &shape, out).map_err(|e| fail(e.to_string()))
    }

    fn shape(&self, dims: &[i64]) -> Result<Vec<usize>, String> {
        if dims.len() > self.limits.rank {
            return Err(format!("rank {} is above the limit of {}", dims.len(), self.limits.rank));
        }
        let to_usize = |&d: &i64| usize::try_from(d).map_err(|_| format!("dimension {d} in {dims:?} is not possible"));
        dims.iter().map(to_usize).collect()
    }

    fn account(&mut self, bytes: usize) -> Result<(), ImportError> {
        self.total = self.total.saturating_add(bytes);
        let limit = self.limits.constant_bytes;
        if self.total > limit {
            return Err(ImportError::Limit { what: "bytes of constants", found: self.total, limit });
        }
        Ok(())
    }

    fn external(&mut self, t: &TensorProto) -> Result<Bytes, ImportError> {
        let entry = |key: &str| t.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
        let location = entry("location").unwrap_or_default();
        let fail = |reason: String| ImportError::External { tensor: shown(&t.name), location: location.into(), reason };
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(v) => v.parse::<usize>().map(Some).map_err(|_| fail(format!("{key} '{v}' is not a number"))),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let Some(source) = self.external else {
            return Err(fail("the model was given as bytes, without a folder to look for external data in".into()));
        };
        if !self.files.contains_key(location) {
            let bytes = source.open(location).map_err(fail)?;
            self.files.insert(location.into(), bytes);
        }
        let file = &self.files[location];
        let end = length.map_or(Some(file.len()), |n| offset.checked_add(n)).filter(|&end| end <= file.len());
        match end {
            Some(end) if offset <= end => Ok(file.slice(offset..end)),
            _ => Err(fail(format!(
                "offset {offset} and length {} lie outside the {} bytes of the file",
                length.map_or("(to the end)".into(), |n| n.to_string()),
                file.len()
            ))),
        }
    }
}

/// A type of integers that are narrower than a byte, the first of a byte in its low bits.
struct Narrow {
    name: &'static str,
    bits: usize,
    signed: bool,
}

impl Narrow {
    fn of(number: i32) -> Option<Narrow> {
        let (name, bits, signed) = match number {
            21 => ("uint4", 4, false),
            22 => ("int4", 4, true),
            25 => ("uint2", 2, false),
            26 => ("int2", 2, true),
            _ => return None,
        };
        Some(Narrow { name, bits, signed })
    }

    fn widened(&self) -> DType {
        if self.signed { DType::I8 } else { DType::U8 }
    }

    fn check(&self, size: usize, found: usize) -> Result<(), String> {
        let needed = size.div_ceil(8 / self.bits);
        if needed == found {
            return Ok(());
        }
        Err(format!("{size} elements of {} need {needed} bytes, but there are {found}", self.name))
    }

    fn unpack(&self, packed: &[u8], size: usize) -> Vec<u8> {
        let above = 8 - self.bits;
        let element = |byte: u8, i: usize| {
            // To the top and back: the way back fills in the sign.
            let top = byte << (above - i * self.bits);
            if self.signed { (top as i8 >> above) as u8 } else { top >> above }
        };
        let each = 8 / self.bits;
        packed.iter().flat_map(|&byte| (0..each).map(move |i| element(byte, i))).take(size).collect()
    }
}

/// Row-major positions of the entries of a sparse tensor, which must be ascending.
fn flat_indices(indices: &Tensor, count: usize, shape: &[usize]) -> Result<Vec<usize>, String> {
    let raw = indices.elements::<i64>().ok_or("sparse indices must be int64")?;
    let size = numel(shape).map_err(|e| e.to_string())?;
    let flat: Vec<Option<usize>> = match *indices.shape() {
        [n] if n == count => raw.iter().map(|&i| usize::try_from(i).ok().filter(|&i| i < size)).collect(),
        [n, rank] if n == count && rank == shape.len() && rank > 0 => raw
            .chunks(rank)
            .map(|index| {
                index.iter().zip(shape).try_fold(0usize, |at, (&i, &d)| {
                    let i = usize::try_from(i).ok().filter(|&i| i < d)?;
                    at.checked_mul(d)?.checked_add(i)
                })
            })
            .collect(),
        _ => return Err(format!("sparse indices of shape {:?} do not fit {count} values", indices.shape())),
    };
    let flat: Vec<usize> = flat.into_iter().collect::<Option<_>>().ok_or("a sparse index is out of range")?;
    if flat.windows(2).any(|w| w[0] >= w[1]) {
        return Err("sparse indices are not in ascending order without duplicates".into());
    }
    Ok(flat)
}

fn raw(dtype: DType, shape: &[usize], data: Bytes) -> Result<Tensor, String> {
    let length = data.len();
    let clean = dtype != DType::Bool || data.iter().all(|&b| b < 2);
    let swapped = cfg!(target_endian = "big") && dtype.bits() > 8;
    let result = if clean && !swapped {
        Tensor::from_shared(dtype, shape, Arc::new(data), 0..length)
    } else {
        let mut copy = data.to_vec();
        if swapped {
            copy.chunks_exact_mut(dtype.bits() / 8).for_each(<[u8]>::reverse);
        } else {
            copy.iter_mut().for_each(|b| *b = u8::from(*b != 0));
        }
        Tensor::from_bytes(dtype, shape, &copy)
    };
    result.map_err(|e| format!("raw data: {e}"))
}

fn typed(dtype: DType, shape: &[usize], size: usize, t: &TensorProto) -> Result<Tensor, String> {
    fn make<S: Copy, T: Element>(
        shape: &[usize],
        size: usize,
        field: &str,
        data: &[S],
        to: impl Fn(S) -> T,
    ) -> Result<Tensor, String> {
        if data.len() != size {
            return Err(format!("shape {shape:?} needs {size} elements, but {field} holds {}", data.len()));
        }
        let elements: Vec<T> = data.iter().map(|&x| to(x)).collect();
        Tensor::new(shape, &elements).map_err(|e| e.to_string())
    }
    let (i32s, i64s, u64s) = (&t.int32_data, &t.int64_data, &t.uint64_data);
    // Narrow types sit in wider fields; the bits above are padding, as in the reference implementation.
    match dtype {
        DType::F32 => make(shape, size, "float_data", &t.float_data, |x| x),
        DType::F64 => make(shape, size, "double_data", &t.double_data, |x| x),
        DType::I64 => make(shape, size, "int64_data", i64s, |x| x),
        DType::U64 => make(shape, size, "uint64_data", u64s, |x| x),
        DType::U32 => make(shape, size, "uint64_data", u64s, |x| x as u32),
        DType::I32 => make(shape, size, "int32_data", i32s, |x| x),
        DType::I16 => make(shape, size, "int32_data", i32s, |x| x as i16),
        DType::U16 => make(shape, size, "int32_data", i32s, |x| x as u16),
        DType::I8 => make(shape, size, "int32_data", i32s, |x| x as i8),
        DType::U8 => make(shape, size, "int32_data", i32s, |x| x as u8),
        DType::F16 => make(shape, size, "int32_data", i32s, |x| half::f16::from_bits(x as u16)),
        DType::BF16 => make(shape, size, "int32_data", i32s, |x| half::bf16::from_bits(x as u16)),
        DType::Bool => {
            let bools: Vec<bool> = i32s.iter().map(|&x| x != 0).collect();
            if bools.len() != size {
                return Err(format!("shape {shape:?} needs {size} elements, but int32_data holds {}", bools.len()));
            }
            Tensor::from_bools(shape, &bools).map_err(|e| e.to_string())
        }
        other => Err(format!("element type {other} is not supported")),
    }
}

/// A name fit for a message: without control characters, and not endless.
pub(crate) fn shown(name: &str) -> String {
    const MOST: usize = 200;
    let clean: String = name.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if name.chars().nth(MOST).is_some() { clean + "..." } else { clean }
}
