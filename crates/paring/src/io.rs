//! Inputs and outputs as callers see them.

use paring_core::DType;
use paring_ir::{Dim, Graph, ValueId};

/// One dimension of an input or output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DimInfo {
    /// A number.
    Known(usize),
    /// A symbol such as `N`, or an expression of symbols.
    Symbol(String),
}

/// One input or output of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IoInfo {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: DType,
    /// Its dimensions; `None` where the model does not even tell the rank.
    pub dims: Option<Vec<DimInfo>>,
}

impl IoInfo {
    pub(crate) fn of(graph: &Graph, name: &str, v: ValueId) -> IoInfo {
        let ty = graph.ty(v);
        let dim = |d: &Dim| match d.known() {
            Some(n) => DimInfo::Known(n),
            None => DimInfo::Symbol(d.to_string()),
        };
        IoInfo { name: name.into(), dtype: ty.dtype, dims: ty.shape.as_ref().map(|s| s.iter().map(dim).collect()) }
    }

    /// The dimensions, where all are numbers.
    pub fn known_shape(&self) -> Option<Vec<usize>> {
        let known = |d: &DimInfo| match d {
            DimInfo::Known(n) => Some(*n),
            DimInfo::Symbol(_) => None,
        };
        self.dims.as_ref()?.iter().map(known).collect()
    }
}

/// Names an input or output: by name or by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port<'a> {
    /// By name.
    Name(&'a str),
    /// By index, in the model's order.
    Index(usize),
}

impl<'a> From<&'a str> for Port<'a> {
    fn from(name: &'a str) -> Port<'a> {
        Port::Name(name)
    }
}

impl<'a> From<&'a String> for Port<'a> {
    fn from(name: &'a String) -> Port<'a> {
        Port::Name(name)
    }
}

impl From<usize> for Port<'_> {
    fn from(index: usize) -> Self {
        Port::Index(index)
    }
}

impl Port<'_> {
    pub(crate) fn find(self, list: &[IoInfo], what: &str) -> crate::Result<usize> {
        let found = match self {
            Port::Index(i) => (i < list.len()).then_some(i),
            Port::Name(n) => list.iter().position(|p| p.name == n),
        };
        found.ok_or_else(|| {
            let names: Vec<&str> = list.iter().map(|p| p.name.as_str()).collect();
            crate::Error::invalid(match self {
                Port::Index(i) => format!("there is no {what} {i}: the model has {}", list.len()),
                Port::Name(n) => format!("there is no {what} '{n}': the model has {}", names.join(", ")),
            })
        })
    }
}

/// Elements in the caller's memory, to read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub(crate) dtype: DType,
    pub(crate) bytes: &'a [u8],
}

impl<'a> View<'a> {
    /// Views a slice of elements.
    pub fn of<T: paring_core::Element>(elements: &'a [T]) -> View<'a> {
        View { dtype: T::DTYPE, bytes: bytemuck::cast_slice(elements) }
    }
}

/// Elements in the caller's memory, to write.
#[derive(Debug)]
pub struct ViewMut<'a> {
    pub(crate) dtype: DType,
    pub(crate) bytes: &'a mut [u8],
}

impl<'a> ViewMut<'a> {
    /// Views a slice of elements.
    pub fn of<T: paring_core::Element>(elements: &'a mut [T]) -> ViewMut<'a> {
        ViewMut { dtype: T::DTYPE, bytes: bytemuck::cast_slice_mut(elements) }
    }
}
