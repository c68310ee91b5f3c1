//! Reading the attributes of a node.

use crate::{cx::Fault, proto::*};
use paring_core::op::CustomValue;
use std::cell::RefCell;

/// The attributes of one node. Remembers which were asked for, so that none is overlooked.
pub(crate) struct Attrs<'a> {
    list: &'a [AttributeProto],
    read: RefCell<Vec<bool>>,
}

type Result<T> = std::result::Result<T, Fault>;

impl<'a> Attrs<'a> {
    pub(crate) fn new(list: &'a [AttributeProto]) -> Result<Attrs<'a>> {
        for (i, a) in list.iter().enumerate() {
            if list[..i].iter().any(|b| b.name == a.name) {
                return Err(Fault::Invalid(format!("attribute '{}' is given twice", crate::tensor::shown(&a.name))));
            }
        }
        Ok(Attrs { list, read: RefCell::new(vec![false; list.len()]) })
    }

    /// The names of attributes that nobody asked for.
    pub(crate) fn unread(&self) -> Vec<&'a str> {
        let read = self.read.borrow();
        self.list.iter().zip(read.iter()).filter(|(_, r)| !**r).map(|(a, _)| a.name.as_str()).collect()
    }

    /// The attribute, which must be of this type where it names one.
    pub(crate) fn get(&self, name: &str, kind: i32) -> Result<Option<&'a AttributeProto>> {
        let Some(i) = self.list.iter().position(|a| a.name == name) else { return Ok(None) };
        self.read.borrow_mut()[i] = true;
        let a = &self.list[i];
        if !a.ref_attr_name.is_empty() {
            return Err(Fault::Invalid(format!("attribute '{name}' refers to a function's attribute outside of one")));
        }
        if a.r#type != 0 && a.r#type != kind {
            return Err(Fault::Invalid(format!(
                "attribute '{name}' should be {}, but is {}",
                type_name(kind),
                type_name(a.r#type)
            )));
        }
        Ok(Some(a))
    }

    pub(crate) fn opt_int(&self, name: &str) -> Result<Option<i64>> {
        Ok(self.get(name, attribute_type::INT)?.map(|a| a.i.unwrap_or(0)))
    }

    pub(crate) fn int(&self, name: &str, default: i64) -> Result<i64> {
        Ok(self.opt_int(name)?.unwrap_or(default))
    }

    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool> {
        match self.int(name, i64::from(default))? {
            0 => Ok(false),
            1 => Ok(true),
            n => Err(Fault::Invalid(format!("attribute '{name}' should be 0 or 1, but is {n}"))),
        }
    }

    pub(crate) fn size(&self, name: &str) -> Result<Option<usize>> {
        self.opt_int(name)?.map(|n| to_size(name, n)).transpose()
    }

    pub(crate) fn need_size(&self, name: &str) -> Result<usize> {
        self.size(name)?.ok_or_else(|| missing(name))
    }

    pub(crate) fn need_int(&self, name: &str) -> Result<i64> {
        self.opt_int(name)?.ok_or_else(|| missing(name))
    }

    pub(crate) fn opt_float(&self, name: &str) -> Result<Option<f32>> {
        Ok(self.get(name, attribute_type::FLOAT)?.map(|a| a.f.unwrap_or(0.0)))
    }

    pub(crate) fn float(&self, name: &str, default: f32) -> Result<f32> {
        Ok(self.opt_float(name)?.unwrap_or(default))
    }

    pub(crate) fn ints(&self, name: &str) -> Result<Option<Vec<i64>>> {
        Ok(self.get(name, attribute_type::INTS)?.map(|a| a.ints.clone()))
    }

    pub(crate) fn sizes(&self, name: &str) -> Result<Option<Vec<usize>>> {
        self.ints(name)?.map(|v| v.into_iter().map(|n| to_size(name, n)).collect()).transpose()
    }

    pub(crate) fn floats(&self, name: &str) -> Result<Option<Vec<f32>>> {
        Ok(self.get(name, attribute_type::FLOATS)?.map(|a| a.floats.clone()))
    }

    pub(crate) fn opt_text(&self, name: &str) -> Result<Option<String>> {
        self.get(name, attribute_type::STRING)?.map(|a| utf8(name, a.s.as_deref().unwrap_or_default())).transpose()
    }

    pub(crate) fn text(&self, name: &str, default: &str) -> Result<String> {
        Ok(self.opt_text(name)?.unwrap_or_else(|| default.into()))
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<String>>> {
        self.get(name, attribute_type::STRINGS)?.map(|a| a.strings.iter().map(|s| utf8(name, s)).collect()).transpose()
    }

    pub(crate) fn tensor(&self, name: &str) -> Result<Option<&'a TensorProto>> {
        let Some(a) = self.get(name, attribute_type::TENSOR)? else { return Ok(None) };
        a.t.as_deref().map(Some).ok_or_else(|| Fault::Invalid(format!("attribute '{name}' holds no tensor")))
    }

    pub(crate) fn graph(&self, name: &str) -> Result<Option<&'a GraphProto>> {
        Ok(self.get(name, attribute_type::GRAPH)?.and_then(|a| a.g.as_deref()))
    }

    /// Every attribute, of an operator that the program brings.
    pub(crate) fn values(&self) -> Result<Vec<(String, CustomValue)>> {
        self.list.iter().map(|a| Ok((crate::tensor::shown(&a.name), self.value(a)?))).collect()
    }

    fn value(&self, a: &AttributeProto) -> Result<CustomValue> {
        let name = &a.name;
        let missing = || missing(name);
        Ok(match a.r#type {
            attribute_type::INT => CustomValue::Int(self.need_int(name)?),
            attribute_type::FLOAT => CustomValue::Float(self.opt_float(name)?.ok_or_else(missing)?),
            attribute_type::STRING => CustomValue::Text(self.opt_text(name)?.ok_or_else(missing)?),
            attribute_type::INTS => CustomValue::Ints(self.ints(name)?.ok_or_else(missing)?),
            attribute_type::FLOATS => CustomValue::Floats(self.floats(name)?.ok_or_else(missing)?),
            other => {
                let name = crate::tensor::shown(name);
                let message = format!("attribute '{name}' of a program's operator is {}", type_name(other));
                return Err(Fault::Unsupported(message));
            }
        })
    }

    /// Takes note of an attribute without effect here.
    pub(crate) fn ignore(&self, names: &[&str]) {
        let mut read = self.read.borrow_mut();
        for (i, a) in self.list.iter().enumerate() {
            read[i] |= names.contains(&a.name.as_str());
        }
    }
}

fn missing(name: &str) -> Fault {
    Fault::Invalid(format!("the required attribute '{name}' is missing"))
}

fn to_size(name: &str, n: i64) -> Result<usize> {
    // The bound keeps products with other attributes within 64 bits.
    usize::try_from(n)
        .ok()
        .filter(|&n| n <= i32::MAX as usize)
        .ok_or_else(|| Fault::Invalid(format!("attribute '{name}': {n} is not a possible size")))
}

fn utf8(name: &str, bytes: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(bytes);
    text.map(Into::into).map_err(|_| Fault::Invalid(format!("attribute '{name}' is not UTF-8 text")))
}

fn type_name(kind: i32) -> &'static str {
    match kind {
        attribute_type::FLOAT => "a float",
        attribute_type::INT => "an int",
        attribute_type::STRING => "a string",
        attribute_type::TENSOR => "a tensor",
        attribute_type::GRAPH => "a graph",
        attribute_type::FLOATS => "floats",
        attribute_type::INTS => "ints",
        attribute_type::STRINGS => "strings",
        attribute_type::SPARSE_TENSOR => "a sparse tensor",
        _ => "of another type",
    }
}
