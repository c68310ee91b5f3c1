//! Sums of products by an equation.

use crate::io::{Built, KernelResult, Slot, built, ensure, problem};
use crate::walk::Walk;
use alloc::{collections::BTreeMap, format, vec::Vec};
use paring_core::{
    numel,
    op::{EinsumAttrs, Equation, Label},
    strides,
};
use paring_kernel::Problem;

/// `Einsum`.
pub(crate) fn einsum(p: &Problem, a: &EinsumAttrs) -> KernelResult<Built> {
    let equation = Equation::parse(&a.equation).map_err(|e| problem(format!("{e}")))?;
    let inputs = (0..equation.terms.len()).map(|i| Slot::input(p, i)).collect::<KernelResult<Vec<_>>>()?;
    ensure(p.inputs.iter().flatten().count() == inputs.len(), || {
        format!("{:?} has {} terms, but there are more operands", a.equation, inputs.len())
    })?;
    let y = Slot::output(p, 0)?;

    let mut named = Vec::new();
    let mut hidden = 0;
    for (t, x) in equation.terms.iter().zip(&inputs) {
        let own = t.hidden(x.rank());
        let own = own.ok_or_else(|| problem(format!("operand {:?} does not fit {:?}", x.shape, a.equation)))?;
        hidden = hidden.max(own);
        named.push(t.labels(own));
    }
    let lengths = lengths(&named, &inputs)?;
    let result = equation.result.labels(hidden);
    let summed: Vec<Label> = lengths.keys().filter(|l| !result.contains(l)).copied().collect();
    let shape = |labels: &[Label]| labels.iter().map(|l| lengths[l]).collect::<Vec<usize>>();
    let (out_shape, sum_shape) = (shape(&result), shape(&summed));
    y.expect_shape("the output", &out_shape)?;
    let count = numel(&sum_shape).map_err(|e| problem(format!("{e}")))?;
    let walks: Vec<(Walk, Walk)> = named
        .iter()
        .zip(&inputs)
        .map(|(labels, x)| {
            let steps = |over: &[Label]| over.iter().map(|l| step(*l, labels, x)).collect::<Vec<_>>();
            (Walk::new(&out_shape, &steps(&result), 0), Walk::new(&sum_shape, &steps(&summed), 0))
        })
        .collect();
    let float = y.dtype.is_float();
    for x in &inputs {
        ensure(if float { x.dtype.is_float() } else { x.dtype.is_int() }, || format!("an operand is {}", x.dtype))?;
    }
    built(0, move |io| {
        for o in 0..y.len {
            let places = |s: usize| walks.iter().zip(&inputs).map(move |((w, v), x)| (x, w.at(o) + v.at(s)));
            if float {
                let term = |s: usize| places(s).map(|(x, at)| x.view(io).f(at)).product::<f64>();
                let sum = (0..count).map(term).sum();
                y.target(io).put_f(o, sum);
            } else {
                let term = |s: usize| places(s).fold(1i128, |v, (x, at)| v.wrapping_mul(x.view(io).int(at)));
                let sum = (0..count).map(term).fold(0, i128::wrapping_add);
                y.target(io).put_int(o, sum);
            }
        }
        Ok(())
    })
}

/// The length of every index; a length of 1 broadcasts.
fn lengths(named: &[Vec<Label>], inputs: &[Slot]) -> KernelResult<BTreeMap<Label, usize>> {
    let mut lengths = BTreeMap::new();
    for (labels, x) in named.iter().zip(inputs) {
        for (&l, &n) in labels.iter().zip(&x.shape) {
            let known = lengths.entry(l).or_insert(n);
            if *known == 1 {
                *known = n;
            }
            ensure(n == 1 || n == *known, || format!("an index has lengths {} and {n}", *known))?;
        }
    }
    Ok(lengths)
}

/// How far one step along an index moves within an operand; a repeated index moves along its diagonal.
fn step(label: Label, labels: &[Label], x: &Slot) -> isize {
    let own = strides(&x.shape);
    (0..x.rank()).filter(|&d| labels[d] == label && x.shape[d] != 1).map(|d| own[d] as isize).sum()
}
