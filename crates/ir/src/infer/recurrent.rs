//! Recurrent layers.

use super::cx::*;
use crate::{Dim, Fact};
use alloc::{vec, vec::Vec};
use paring_core::op::{Cell, Direction, RecurrentAttrs};

pub(super) fn recurrent(a: &RecurrentAttrs, cx: &mut Cx<'_>) -> Facts {
    let (x, w, r) = (cx.input(0, "x")?, cx.input(1, "w")?, cx.input(2, "r")?);
    need_float(x, "x")?;
    same_dtype(x, "x", w, "w")?;
    same_dtype(x, "x", r, "r")?;
    let directions = if a.direction == Direction::Bidirectional { 2 } else { 1 };
    let (gates, acts) = match a.cell {
        Cell::Lstm => (4, 3),
        Cell::Gru { .. } => (3, 2),
        Cell::Plain => (1, 1),
    };
    if a.activations.len() != directions * acts {
        return Err(shape_error!(
            "expected {} activations for {directions} directions, found {}",
            directions * acts,
            a.activations.len()
        ));
    }
    if cx.outputs > 2 && a.cell != Cell::Lstm {
        return Err(crate::InferError::Arity("only an LSTM has a third output".into()));
    }
    let hidden = Dim::from(a.hidden);
    need_positive(&hidden, "hidden")?;
    let (d, rows) = (Dim::from(directions), hidden.mul(&Dim::from(gates)));
    let xs = cx.dims_of_rank(x, 3, "x")?;
    let (time, batch) = if a.batch_first { (&xs[1], &xs[0]) } else { (&xs[0], &xs[1]) };
    let state = if a.batch_first {
        vec![batch.clone(), d.clone(), hidden.clone()]
    } else {
        vec![d.clone(), batch.clone(), hidden.clone()]
    };
    need_shape(Some(w), &[d.clone(), rows.clone(), xs[2].clone()], "w")?;
    need_shape(Some(r), &[d.clone(), rows.clone(), hidden.clone()], "r")?;
    need_shape(cx.optional(3), &[d.clone(), rows.mul(&Dim::Known(2))], "bias")?;
    need_shape(cx.optional(4), core::slice::from_ref(batch), "lengths")?;
    need_shape(cx.optional(5), &state, "initial_h")?;
    need_shape(cx.optional(6), &state, "initial_c")?;
    need_shape(cx.optional(7), &[d.clone(), hidden.mul(&Dim::Known(3))], "peepholes")?;
    for (i, what) in [(3, "bias"), (5, "initial_h"), (6, "initial_c"), (7, "peepholes")] {
        if let Some(f) = cx.optional(i) {
            same_dtype(x, "x", f, what)?;
        }
    }
    if let Some(lengths) = cx.optional(4) {
        need_index(lengths, "lengths")?;
    }
    let y: Vec<Dim> = if a.batch_first {
        vec![batch.clone(), time.clone(), d, hidden]
    } else {
        vec![time.clone(), d, batch.clone(), hidden]
    };
    let dtype = x.ty.dtype;
    Ok(vec![typed(dtype, Some(y)), typed(dtype, Some(state.clone())), typed(dtype, Some(state))])
}

fn need_shape(f: Option<&Fact>, expected: &[Dim], what: &str) -> Result<()> {
    match f.and_then(|f| f.ty.shape.as_ref()) {
        Some(found) => unify_shapes(expected, found, what).map(drop),
        None => Ok(()),
    }
}
