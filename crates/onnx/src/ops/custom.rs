//! Operators that the program brings.

use crate::{
    cx::{Cx, Outputs, unsupported},
    tensor::shown,
};
use paring_core::op::{CustomAttrs, Definition};
use paring_ir::Op;

pub(crate) fn custom(cx: &mut Cx<'_, '_>, domain: &str, definition: &Definition) -> Outputs {
    if let Some(newest) = definition.0.version().filter(|&newest| newest < cx.opset) {
        return unsupported(format!(
            "the program's operator is for version {newest} of the operator set at most, the model uses {}",
            cx.opset
        ));
    }
    let op = Op::Custom(CustomAttrs {
        domain: shown(domain),
        name: shown(cx.op),
        attributes: cx.attrs.values()?,
        outputs: cx.wanted.len(),
        definition: Some(definition.clone()),
    });
    cx.all(op)
}
