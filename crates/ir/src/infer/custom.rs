//! Operators of the program's own: what their definitions say.

use super::cx::*;
use crate::{Dim, Fact, InferError};
use alloc::vec::Vec;
use paring_core::{
    DType,
    op::{CustomAttrs, CustomOperand},
};

pub(super) fn custom(a: &CustomAttrs, cx: &mut Cx<'_>) -> Facts {
    let wanted = a.outputs.min(cx.outputs);
    let Some(definition) = &a.definition else {
        let dtype = cx.optional(0).map_or(DType::F32, |f| f.ty.dtype);
        return Ok((0..wanted).map(|_| typed(dtype, None)).collect());
    };
    let inputs: Vec<_> = cx.inputs.iter().map(|f| f.map(operand)).collect();
    let types = definition.0.infer(a, &inputs).map_err(InferError::Shape)?;
    if types.len() != a.outputs {
        let (name, found) = (a.full_name(), types.len());
        return Err(shape_error!("the definition of {name} gives types for {found} of its {} outputs", a.outputs));
    }
    let mut dim = |d: Option<usize>| d.map_or_else(|| cx.fresh(), Dim::from);
    let mut fact = |shape: Option<Vec<Option<usize>>>, dtype| {
        typed(dtype, shape.map(|dims| dims.into_iter().map(&mut dim).collect()))
    };
    Ok(types.into_iter().take(wanted).map(|t| fact(t.shape, t.dtype)).collect())
}

fn operand(f: &Fact) -> CustomOperand<'_> {
    let shape = f.ty.shape.as_ref().map(|dims| dims.iter().map(Dim::known).collect());
    CustomOperand { dtype: f.ty.dtype, shape, constant: f.constant.as_deref() }
}
