//! Operators that the program brings.

use crate::{
    cx::{Cx, Outputs, unsupported},
    tensor::shown,
};
use paring_core::op::{CustomAttrs, Definition};
use paring_ir::Op;

pub(crate) fn custom(cx: &mut Cx<'_, '_>, domain: &str, definition: &Definition) -> Outputs {
    definition.check_version(cx.opset).or_else(unsupported)?;
    let op = Op::Custom(CustomAttrs {
        domain: shown(domain),
        name: shown(cx.op),
        attributes: cx.attrs.values()?,
        outputs: cx.wanted.len(),
        definition: Some(definition.clone()),
    });
    cx.all(op)
}
