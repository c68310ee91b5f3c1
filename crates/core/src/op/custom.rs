//! Operators that the program brings.

use super::Op;
use crate::{DType, Tensor};
use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::{any::Any, fmt};
use serde::{Deserialize, Serialize};

/// Attributes of [`Op::Custom`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomAttrs {
    /// The domain, such as `com.example`.
    pub domain: String,
    /// The operator's name within the domain.
    pub name: String,
    /// Attributes by name, in the order of the file.
    pub attributes: Vec<(String, CustomValue)>,
    /// Number of outputs.
    pub outputs: usize,
    /// What the program says of the operator. Without it, nothing is known of the outputs and nothing computes them. No
    /// file and no text form holds it: whoever reads those gives it.
    #[serde(skip)]
    pub definition: Option<Definition>,
}

/// One attribute of a custom operator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum CustomValue {
    /// An integer.
    Int(i64),
    /// A number.
    Float(f32),
    /// Text.
    Text(String),
    /// Integers.
    Ints(Vec<i64>),
    /// Numbers.
    Floats(Vec<f32>),
}

impl CustomAttrs {
    /// The operator as messages name it, such as `com.example.Swirl`.
    pub fn full_name(&self) -> String {
        if self.domain.is_empty() { self.name.clone() } else { [&*self.domain, ".", &*self.name].concat() }
    }
}

/// What a program says of an operator of its own: its name, and the types of its outputs. Whoever runs it finds out by
/// the type behind the trait how it computes.
pub trait Define: Any + Send + Sync {
    /// The domain; empty for ONNX's own.
    fn domain(&self) -> &str;

    /// The name within the domain.
    fn name(&self) -> &str;

    /// The newest version of the domain's operator set that this implements; `None` for all.
    fn version(&self) -> Option<i64>;

    /// The types of all [`CustomAttrs::outputs`] outputs.
    ///
    /// # Errors
    /// What is wrong with operands and attributes, for people.
    fn infer(&self, attrs: &CustomAttrs, inputs: &[Option<CustomOperand<'_>>]) -> Result<Vec<CustomType>, String>;
}

/// A shared [`Define`]. Equal to its clones only.
#[derive(Clone)]
pub struct Definition(pub Arc<dyn Define>);

impl Definition {
    /// Whether it says what the operator of that name is. ONNX's own domain goes by two names.
    pub fn is_of(&self, domain: &str, name: &str) -> bool {
        let own = |domain| if domain == "ai.onnx" { "" } else { domain };
        own(self.0.domain()) == own(domain) && self.0.name() == name
    }

    /// Whether it implements its operator as that version of the domain's operator set has it.
    ///
    /// # Errors
    /// Why not, for people.
    pub fn check_version(&self, opset: i64) -> Result<(), String> {
        match self.0.version() {
            Some(newest) if newest < opset => Err(format!(
                "the program's operator is for version {newest} of the operator set at most, the model uses {opset}"
            )),
            _ => Ok(()),
        }
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Definition) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for Definition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Definition({:?}, {:?})", self.0.domain(), self.0.name())
    }
}

/// An operand of a custom operator before it runs.
#[derive(Clone, Debug)]
pub struct CustomOperand<'a> {
    /// Element type.
    pub dtype: DType,
    /// Dimensions, `None` for one that is not known yet; `None` altogether where not even the rank is.
    pub shape: Option<Vec<Option<usize>>>,
    /// The elements, where they are constant.
    pub constant: Option<&'a Tensor>,
}

/// An output of a custom operator before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomType {
    /// Element type.
    pub dtype: DType,
    /// Dimensions, as in [`CustomOperand::shape`]. All must be known once those of the operands are.
    pub shape: Option<Vec<Option<usize>>>,
}

impl Op {
    /// The attributes of a custom operator.
    pub fn as_custom(&self) -> Option<&CustomAttrs> {
        if let Op::Custom(a) = self { Some(a) } else { None }
    }
}
