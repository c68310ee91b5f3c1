//! What is known of a value before it is computed.

use crate::Dim;
use alloc::{string::String, sync::Arc, vec::Vec};
use core::fmt;
use paring_core::{DType, Quant, Tensor};

/// Element type, shape and quantisation of a value.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Dimensions; `None` where not even the rank is known.
    pub shape: Option<Vec<Dim>>,
    /// How integers stand for real numbers, if they do.
    pub quant: Option<Quant>,
}

impl TensorType {
    /// A type with these dimensions.
    pub fn new(dtype: DType, shape: Vec<Dim>) -> TensorType {
        TensorType { dtype, shape: Some(shape), quant: None }
    }

    /// A type of concrete dimensions.
    pub fn concrete(dtype: DType, shape: &[usize]) -> TensorType {
        TensorType::new(dtype, shape.iter().map(|&d| Dim::from(d)).collect())
    }

    /// A type of unknown rank.
    pub fn unranked(dtype: DType) -> TensorType {
        TensorType { dtype, shape: None, quant: None }
    }

    /// The rank, where it is known.
    pub fn rank(&self) -> Option<usize> {
        self.shape.as_ref().map(Vec::len)
    }

    /// The dimensions, where all are numbers.
    pub fn known_shape(&self) -> Option<Vec<usize>> {
        self.shape.as_ref()?.iter().map(Dim::known).collect()
    }
}

impl fmt::Display for TensorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.dtype)?;
        match &self.shape {
            None => f.write_str("[*]"),
            Some(dims) => {
                let dims: Vec<String> = dims.iter().map(alloc::string::ToString::to_string).collect();
                write!(f, "[{}]", dims.join(", "))
            }
        }
    }
}

/// Everything known of a value: its type, its elements where they are constant, and the symbolic elements of small
/// integer tensors that hold shapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// The type.
    pub ty: TensorType,
    /// The elements, if constant.
    pub constant: Option<Arc<Tensor>>,
    /// The elements of an integer tensor of rank 0 or 1, where each is a number or an expression of symbols. Shape
    /// arithmetic is tracked through these. A constant has them too (see [`Fact::elements`]).
    pub symbolic: Option<Vec<Dim>>,
}

impl Fact {
    /// A fact of a type alone.
    pub fn of(ty: TensorType) -> Fact {
        Fact { ty, constant: None, symbolic: None }
    }

    /// The fact of a constant.
    pub fn constant(tensor: Arc<Tensor>) -> Fact {
        let mut ty = TensorType::concrete(tensor.dtype(), tensor.shape());
        ty.quant = tensor.quant().cloned();
        Fact { ty, constant: Some(tensor), symbolic: None }
    }

    /// The elements of a small integer tensor as dimensions: of the constant, or symbolic. `None` where they are
    /// unknown, not integers, or more than 64.
    pub fn elements(&self) -> Option<Vec<Dim>> {
        if let Some(e) = &self.symbolic {
            return Some(e.clone());
        }
        let c = self.constant.as_ref()?;
        if c.len() > 64 {
            return None;
        }
        Some(c.to_i64s()?.into_iter().map(Dim::from_i64).collect())
    }

    /// The elements of a constant integer tensor.
    pub fn const_i64s(&self) -> Option<Vec<i64>> {
        match &self.constant {
            Some(c) => c.to_i64s(),
            None => self.symbolic.as_ref()?.iter().map(Dim::as_i64).collect(),
        }
    }
}
