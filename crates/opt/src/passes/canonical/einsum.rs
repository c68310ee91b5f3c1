//! Sums of products by an equation, as matrix products.

use crate::{PassCx, Patch, Proposal};
use paring_core::{
    Tensor,
    op::{Equation, Label, ReshapeAttrs, TransposeAttrs},
};
use paring_ir::{Dim, Node, NodeId, Op, ValueId};

/// A sum of products of two operands over the indices that both have and the result has not, such as
/// `bhid,bhjd->bhij`, is a `MatMul`: operands are transposed, and indices of one kind made one, where need be.
///
/// Declined are sums over an index of one operand, diagonals, and products without a sum.
pub fn matrix_product(cx: &PassCx<'_>, id: NodeId, node: &Node) -> Option<Proposal> {
    let Op::Einsum(attrs) = &node.op else { return None };
    let &[Some(a), Some(b)] = &node.inputs[..] else { return None };
    if !node.epilogue.is_empty() || !cx.is_f32(a) || !cx.is_f32(b) {
        return None;
    }
    let [mut a, mut b] = [a, b].map(|v| Some(Operand { v, labels: vec![], dims: cx.dims(v)?.to_vec() }));
    let (a, b) = (a.as_mut()?, b.as_mut()?);
    let result = labels(&attrs.equation, a, b)?;
    let both = |l: &Label| a.labels.contains(l) && b.labels.contains(l);
    let batch: Vec<Label> = result.iter().copied().filter(both).collect();
    let summed: Vec<Label> = a.labels.iter().copied().filter(|l| both(l) && !result.contains(l)).collect();
    let own = |o: &Operand| result.iter().copied().filter(|l| o.labels.contains(l) && !batch.contains(l)).collect();
    let transpositions = |left: &Operand, right: &Operand| {
        let (rows, columns): (Vec<Label>, Vec<Label>) = (own(left), own(right));
        usize::from([&batch[..], &rows, &summed].concat() != left.labels)
            + usize::from([&batch[..], &summed, &columns].concat() != right.labels)
            + usize::from([&batch[..], &rows, &columns].concat() != result)
    };
    let (left, right) = if transpositions(b, a) < transpositions(a, b) { (b, a) } else { (a, b) };
    let (rows, columns): (Vec<Label>, Vec<Label>) = (own(left), own(right));
    let is_whole = |o: &Operand, free: &[Label]| o.labels.len() == batch.len() + free.len() + summed.len();
    if summed.is_empty() || !is_whole(left, &rows) || !is_whole(right, &columns) {
        return None;
    }

    let mut patch = cx.patch(id, format!("the equation '{}' as a matrix product", attrs.equation));
    let x = left.arranged(&mut patch, &format!("{}.left", node.name), [&batch, &rows, &summed])?;
    let w = right.arranged(&mut patch, &format!("{}.right", node.name), [&batch, &summed, &columns])?;
    let mut y = patch.op(&node.name, Op::MatMul, &[x, w]);
    let found = [&batch[..], &rows, &columns].concat();
    if rows.len() != 1 || columns.len() != 1 {
        let dims: Vec<Dim> = found.iter().map(|&l| left.dim(l).or(right.dim(l)).cloned()).collect::<Option<_>>()?;
        y = reshape(&mut patch, &node.name, y, &dims)?;
    }
    if found != result {
        let perm = result.iter().map(|l| found.iter().position(|f| f == l)).collect::<Option<_>>()?;
        y = patch.op(&node.name, Op::Transpose(TransposeAttrs { perm: Some(perm) }), &[y]);
    }
    Some(patch.replace(node.output(0)?, y).remove(id).into())
}

/// One of the two.
struct Operand {
    v: ValueId,
    labels: Vec<Label>,
    dims: Vec<Dim>,
}

impl Operand {
    fn dim(&self, label: Label) -> Option<&Dim> {
        self.dims.get(self.labels.iter().position(|&l| l == label)?)
    }

    /// The operand with its indices in the order of `groups`, and those of each group but the first as one.
    fn arranged(&self, patch: &mut Patch, name: &str, groups: [&[Label]; 3]) -> Option<ValueId> {
        let order = groups.concat();
        let mut v = self.v;
        if order != self.labels {
            let perm = order.iter().map(|l| self.labels.iter().position(|own| own == l)).collect::<Option<_>>()?;
            v = patch.op(name, Op::Transpose(TransposeAttrs { perm: Some(perm) }), &[v]);
        }
        if groups[1].len() == 1 && groups[2].len() == 1 {
            return Some(v);
        }
        let product = |group: &[Label]| {
            group.iter().try_fold(Dim::Known(1), |product, &label| Some(product.mul(self.dim(label)?)))
        };
        let mut dims: Vec<Dim> = groups[0].iter().map(|&l| self.dim(l).cloned()).collect::<Option<_>>()?;
        dims.extend([product(groups[1])?, product(groups[2])?]);
        reshape(patch, name, v, &dims)
    }
}

/// `v` under another shape, where that can be written down: at most one extent unknown, and none zero.
fn reshape(patch: &mut Patch, name: &str, v: ValueId, dims: &[Dim]) -> Option<ValueId> {
    let shape: Vec<i64> = dims.iter().map(|d| d.as_i64().unwrap_or(-1)).collect();
    if shape.contains(&0) || shape.iter().filter(|&&d| d == -1).count() > 1 {
        return None;
    }
    let shape = patch.constant(&format!("{name}.shape"), Tensor::from_i64s(&shape));
    Some(patch.op(name, Op::Reshape(ReshapeAttrs { allow_zero: false }), &[v, shape]))
}

/// Gives operands their indices, and returns those of the result. `None` where an index is there twice, or has unlike
/// extents.
fn labels(equation: &str, a: &mut Operand, b: &mut Operand) -> Option<Vec<Label>> {
    let Equation { terms, result } = Equation::parse(equation).ok()?;
    let [first, second] = &terms[..] else { return None };
    let hidden = [first.hidden(a.dims.len())?, second.hidden(b.dims.len())?];
    (a.labels, b.labels) = (first.labels(hidden[0]), second.labels(hidden[1]));
    let unique = |labels: &[Label]| (1..labels.len()).all(|i| !labels[..i].contains(&labels[i]));
    let alike = |&l: &Label| b.dim(l).is_none_or(|d| a.dim(l) == Some(d));
    let fit = unique(&a.labels) && unique(&b.labels) && a.labels.iter().all(alike);
    fit.then(|| result.labels(hidden[0].max(hidden[1])))
}
