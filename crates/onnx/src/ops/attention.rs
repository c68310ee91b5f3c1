//! Attention and the rotation of its operands, in the operators they are made of.

use super::elementwise::element_type;
use crate::cx::{Cx, Fault, Outputs, invalid, unsupported};
use paring_core::{DType, op::*};
use paring_ir::{Op, ValueId};

/// Batch, heads, positions, size of a head.
const POSITIONS: usize = 2;

pub(super) fn attention(cx: &mut Cx<'_, '_>) -> Outputs {
    let (q, k, v) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    let (dtype, rank) = (cx.dtype(q), cx.rank(q));
    let (q_heads, kv_heads) = (cx.attrs.size("q_num_heads")?, cx.attrs.size("kv_num_heads")?);
    let (q, k, v) = match rank {
        Some(4) => (q, k, v),
        Some(3) => {
            let (Some(hq), Some(hkv)) = (q_heads, kv_heads) else {
                return invalid("operands of rank 3 need the attributes 'q_num_heads' and 'kv_num_heads'");
            };
            (by_heads(cx, q, hq)?, by_heads(cx, k, hkv)?, by_heads(cx, v, hkv)?)
        }
        Some(rank) => return invalid(format!("expected operands of rank 3 or 4, found {rank}")),
        None => return unsupported("the rank of the operands is not known"),
    };
    let (k, v) = (joined(cx, 4, k)?, joined(cx, 5, v)?);

    let scale = match cx.attrs.opt_float("scale")? {
        Some(scale) => f64::from(scale),
        None => match cx.dim(q, 3) {
            Some(size) if size > 0 => 1.0 / (size as f64).sqrt(),
            _ => return unsupported("the size of a head is not known"),
        },
    };
    let scaled = by_number(cx, Binary::Mul, q, scale)?;
    let (all_k, all_v) = (for_each_query_head(cx, q, k)?, for_each_query_head(cx, q, v)?);
    let turned = cx.node(Op::Transpose(TransposeAttrs { perm: Some(vec![0, 1, 3, 2]) }), &[all_k])?;
    let raw = cx.node(Op::MatMul, &[scaled, turned])?;

    let softcap = f64::from(cx.attrs.float("softcap", 0.0)?);
    let capped = if softcap > 0.0 {
        let small = by_number(cx, Binary::Div, raw, softcap)?;
        let bent = cx.node(Op::Activation(Act::Tanh), &[small])?;
        by_number(cx, Binary::Mul, bent, softcap)?
    } else {
        raw
    };
    let biased = match bias(cx, q, k)? {
        Some(bias) => cx.node(Op::Binary(Binary::Add), &[capped, bias])?,
        None => capped,
    };
    let precision = element_type(cx, "softmax_precision")?.unwrap_or(dtype);
    let weights = cast(cx, biased, precision)?;
    let softmax = SoftmaxAttrs { kind: SoftmaxKind::Softmax, axis: -1, to_end: false };
    let weights = cx.node(Op::Softmax(softmax), &[weights])?;
    let weights = cast(cx, weights, dtype)?;
    let all_v = cast(cx, all_v, dtype)?;
    let mut y = cx.node(Op::MatMul, &[weights, all_v])?;
    if rank == Some(3) {
        y = cx.node(Op::Transpose(TransposeAttrs { perm: Some(vec![0, 2, 1, 3]) }), &[y])?;
        let flat = cx.i64s(&[0, 0, -1]);
        y = cx.node(Op::Reshape(ReshapeAttrs { allow_zero: false }), &[y, flat])?;
    }
    let shown = match cx.attrs.int("qk_matmul_output_mode", 0)? {
        0 => raw,
        1 => capped,
        2 => biased,
        3 => weights,
        other => return invalid(format!("attribute 'qk_matmul_output_mode' is {other}; it must be from 0 to 3")),
    };
    let mut outputs = vec![Some(y)];
    for v in [k, v, shown] {
        // A value of its own for each output, whatever else it is.
        let wanted = cx.wants(outputs.len());
        outputs.push(if wanted { Some(cx.node(Op::Identity, &[v])?) } else { None });
    }
    Ok(outputs)
}

pub(super) fn rotary_embedding(cx: &mut Cx<'_, '_>) -> Outputs {
    let (x, mut cos, mut sin) = (cx.x(0)?, cx.x(1)?, cx.x(2)?);
    if let Some(positions) = cx.opt(3) {
        cos = cx.node(Op::Gather(AxisAttrs { axis: 0 }), &[cos, positions])?;
        sin = cx.node(Op::Gather(AxisAttrs { axis: 0 }), &[sin, positions])?;
    }
    let heads = cx.attrs.size("num_heads")?.unwrap_or(0);
    // The angles hold for all heads, which are axis 1, or axis 2 where `x` came without an axis of them.
    let (y, heads_axis) = match cx.rank(x) {
        Some(4) => (x, 1),
        Some(3) if heads > 0 => {
            let shape = cx.i64s(&[0, 0, heads as i64, -1]);
            (cx.node(Op::Reshape(ReshapeAttrs { allow_zero: false }), &[x, shape])?, 2)
        }
        Some(3) => return invalid("an operand of rank 3 needs the attribute 'num_heads'"),
        Some(rank) => return invalid(format!("expected an operand of rank 3 or 4, found {rank}")),
        None => return unsupported("the rank of the operand is not known"),
    };
    let Some(size) = cx.dim(y, 3) else { return unsupported("the size of a head is not known") };
    let turned = match cx.attrs.size("rotary_embedding_dim")?.unwrap_or(0) {
        0 => size,
        n => n,
    };
    if turned % 2 != 0 || turned > size {
        return invalid(format!("{turned} of the {size} elements of a head cannot be rotated in pairs"));
    }
    let per_head = Op::Unsqueeze(AxesAttrs { axes: Some(vec![heads_axis]) });
    let (cos, sin) = (cx.node(per_head.clone(), &[cos])?, cx.node(per_head, &[sin])?);
    let (first, rest) = if turned < size { cut(cx, y, 3, [turned, size - turned])? } else { (y, y) };
    let rotated = rotated(cx, first, cos, sin, turned / 2)?;
    let all = if turned < size { cx.node(Op::Concat(AxisAttrs { axis: 3 }), &[rotated, rest])? } else { rotated };
    if heads_axis == 1 {
        return cx.done(all);
    }
    let flat = cx.i64s(&[0, 0, -1]);
    let flat = cx.node(Op::Reshape(ReshapeAttrs { allow_zero: false }), &[all, flat])?;
    cx.done(flat)
}

/// Pairs of elements of the last axis, turned by their angles. A pair is made of neighbours, or of one element of each
/// half.
fn rotated(cx: &mut Cx<'_, '_>, x: ValueId, cos: ValueId, sin: ValueId, half: usize) -> Result<ValueId, Fault> {
    let neighbours = cx.attrs.flag("interleaved", false)?;
    let last = Op::Squeeze(AxesAttrs { axes: Some(vec![4]) });
    let (a, b) = if neighbours {
        let pairs = cx.i64s(&[0, 0, 0, half as i64, 2]);
        let pairs = cx.node(Op::Reshape(ReshapeAttrs { allow_zero: false }), &[x, pairs])?;
        let (a, b) = cut(cx, pairs, 4, [1, 1])?;
        (cx.node(last.clone(), &[a])?, cx.node(last, &[b])?)
    } else {
        cut(cx, x, 3, [half, half])?
    };
    let mut times = |x, y| cx.node(Op::Binary(Binary::Mul), &[x, y]);
    let (a_cos, b_sin, a_sin, b_cos) = (times(a, cos)?, times(b, sin)?, times(a, sin)?, times(b, cos)?);
    let real = cx.node(Op::Binary(Binary::Sub), &[a_cos, b_sin])?;
    let imaginary = cx.node(Op::Binary(Binary::Add), &[a_sin, b_cos])?;
    if !neighbours {
        return cx.node(Op::Concat(AxisAttrs { axis: 3 }), &[real, imaginary]);
    }
    let behind = Op::Unsqueeze(AxesAttrs { axes: Some(vec![4]) });
    let (real, imaginary) = (cx.node(behind.clone(), &[real])?, cx.node(behind, &[imaginary])?);
    let pairs = cx.node(Op::Concat(AxisAttrs { axis: 4 }), &[real, imaginary])?;
    let shape = cx.i64s(&[0, 0, 0, 2 * half as i64]);
    cx.node(Op::Reshape(ReshapeAttrs { allow_zero: false }), &[pairs, shape])
}

/// The two parts of `x` along `axis`.
fn cut(cx: &mut Cx<'_, '_>, x: ValueId, axis: i64, sizes: [usize; 2]) -> Result<(ValueId, ValueId), Fault> {
    let split = Op::Split(SplitAttrs { axis, sizes: Some(sizes.to_vec()) });
    match cx.insert(split, vec![Some(x)], &[true, true], Vec::new())?[..] {
        [Some(a), Some(b)] => Ok((a, b)),
        _ => invalid("a split has two parts"),
    }
}

/// `[batch, positions, heads x size]` as `[batch, heads, positions, size]`.
fn by_heads(cx: &mut Cx<'_, '_>, x: ValueId, heads: usize) -> Result<ValueId, Fault> {
    if heads == 0 {
        return invalid("the number of heads is 0; it must be at least 1");
    }
    let shape = cx.i64s(&[0, 0, heads as i64, -1]);
    let x = cx.node(Op::Reshape(ReshapeAttrs { allow_zero: false }), &[x, shape])?;
    cx.node(Op::Transpose(TransposeAttrs { perm: Some(vec![0, 2, 1, 3]) }), &[x])
}

/// `x` after what input `past` remembers of earlier positions.
fn joined(cx: &mut Cx<'_, '_>, past: usize, x: ValueId) -> Result<ValueId, Fault> {
    match cx.opt(past) {
        Some(past) => cx.node(Op::Concat(AxisAttrs { axis: POSITIONS as i64 }), &[past, x]),
        None => Ok(x),
    }
}

/// Keys or values, repeated for the group of query heads that share them.
fn for_each_query_head(cx: &mut Cx<'_, '_>, q: ValueId, x: ValueId) -> Result<ValueId, Fault> {
    let (Some(queries), Some(own)) = (cx.dim(q, 1), cx.dim(x, 1)) else {
        return unsupported("the number of heads is not known");
    };
    if queries == own {
        return Ok(x);
    }
    if own == 0 || queries % own != 0 {
        return invalid(format!("{queries} query heads cannot share {own} heads of keys and values"));
    }
    let Some(size) = cx.dim(x, 3) else { return unsupported("the size of a head is not known") };
    let x = cx.node(Op::Unsqueeze(AxesAttrs { axes: Some(vec![2]) }), &[x])?;
    let times = cx.i64s(&[1, 1, (queries / own) as i64, 1, 1]);
    let x = cx.node(Op::Expand, &[x, times])?;
    let shape = cx.i64s(&[0, queries as i64, -1, size as i64]);
    cx.node(Op::Reshape(ReshapeAttrs { allow_zero: false }), &[x, shape])
}

/// What is added to the products of queries and keys: minus infinity where a query must not look, and the caller's.
fn bias(cx: &mut Cx<'_, '_>, q: ValueId, k: ValueId) -> Result<Option<ValueId>, Fault> {
    let dtype = cx.dtype(q);
    let mut parts = Vec::new();
    if let Some(mask) = cx.opt(3) {
        let mask = padded(cx, mask, k)?;
        parts.push(if cx.dtype(mask) == DType::Bool { hidden(cx, mask, dtype)? } else { cast(cx, mask, dtype)? });
    }
    if cx.attrs.flag("is_causal", false)? {
        // Key `j` is seen by query `i` where `j <= i + past`.
        let (rows, columns) = (counted(cx, q)?, counted(cx, k)?);
        let mut rows = cx.node(Op::Unsqueeze(AxesAttrs { axes: Some(vec![1]) }), &[rows])?;
        if let Some(past) = cx.opt(4) {
            let past = length(cx, past)?;
            rows = cx.node(Op::Binary(Binary::Add), &[rows, past])?;
        }
        let seen = cx.node(Op::Binary(Binary::LessOrEqual), &[columns, rows])?;
        parts.push(hidden(cx, seen, dtype)?);
    }
    if let Some(lengths) = cx.opt(6) {
        let columns = counted(cx, k)?;
        let lengths = cx.node(Op::Unsqueeze(AxesAttrs { axes: Some(vec![1, 2, 3]) }), &[lengths])?;
        let seen = cx.node(Op::Binary(Binary::Less), &[columns, lengths])?;
        parts.push(hidden(cx, seen, dtype)?);
    }
    let mut parts = parts.into_iter();
    let Some(mut sum) = parts.next() else { return Ok(None) };
    for part in parts {
        sum = cx.node(Op::Binary(Binary::Add), &[sum, part])?;
    }
    Ok(Some(sum))
}

/// A mask as long as there are keys: what it does not cover is not seen.
fn padded(cx: &mut Cx<'_, '_>, mask: ValueId, k: ValueId) -> Result<ValueId, Fault> {
    let Some(rank) = cx.rank(mask).filter(|&r| r > 0) else { return unsupported("the rank of the mask is not known") };
    let (own, keys) = (cx.dims(mask).and_then(<[_]>::last), cx.dims(k).and_then(|d| d.get(POSITIONS)));
    if own == keys {
        return Ok(mask);
    }
    let (Some(own), Some(keys)) = (cx.dim(mask, rank - 1), cx.dim(k, POSITIONS)) else {
        return unsupported("it is not known whether the mask is as long as there are keys");
    };
    let Some(short) = keys.checked_sub(own) else {
        return invalid(format!("the mask covers {own} keys, but there are {keys}"));
    };
    let mut pads = vec![0; 2 * rank];
    pads[2 * rank - 1] = short as i64;
    let pads = cx.i64s(&pads);
    let outside = if cx.dtype(mask) == DType::Bool { 0.0 } else { f64::NEG_INFINITY };
    let outside = cx.scalar(cx.dtype(mask), outside)?;
    cx.node(Op::Pad(PadAttrs { mode: PadMode::Constant }), &[mask, pads, outside])
}

/// 0 where seen, else minus infinity.
fn hidden(cx: &mut Cx<'_, '_>, seen: ValueId, dtype: DType) -> Result<ValueId, Fault> {
    let (open, closed) = (cx.scalar(dtype, 0.0)?, cx.scalar(dtype, f64::NEG_INFINITY)?);
    cx.node(Op::Where, &[seen, open, closed])
}

/// The number of positions of `x`, a scalar.
fn length(cx: &mut Cx<'_, '_>, x: ValueId) -> Result<ValueId, Fault> {
    let at = POSITIONS as i64;
    let n = cx.node(Op::Shape(ShapeAttrs { start: at, end: Some(at + 1) }), &[x])?;
    cx.node(Op::Squeeze(AxesAttrs { axes: Some(vec![0]) }), &[n])
}

/// 0, 1, 2 and so on for each position of `x`.
fn counted(cx: &mut Cx<'_, '_>, x: ValueId) -> Result<ValueId, Fault> {
    let n = length(cx, x)?;
    let (zero, one) = (cx.scalar(DType::I64, 0.0)?, cx.scalar(DType::I64, 1.0)?);
    cx.node(Op::Range, &[zero, n, one])
}

fn by_number(cx: &mut Cx<'_, '_>, op: Binary, x: ValueId, number: f64) -> Result<ValueId, Fault> {
    let number = cx.scalar(cx.dtype(x), number)?;
    cx.node(Op::Binary(op), &[x, number])
}

fn cast(cx: &mut Cx<'_, '_>, x: ValueId, to: DType) -> Result<ValueId, Fault> {
    if cx.dtype(x) == to { Ok(x) } else { cx.node(Op::Cast(CastAttrs { to }), &[x]) }
}
