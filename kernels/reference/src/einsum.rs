//! Sums of products by an equation.

use crate::io::{Built, KernelResult, Slot, built, ensure, problem};
use crate::walk::Walk;
use alloc::{collections::BTreeMap, format, string::String, vec::Vec};
use paring_core::{numel, op::EinsumAttrs, strides};
use paring_kernel::Problem;

/// A name of an axis: a letter, or a place within `...` counted from its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Label {
    Ellipsis(usize),
    Letter(char),
}

/// One side of an equation: letters before the ellipsis, whether there is one, letters after it.
struct Term {
    before: Vec<char>,
    ellipsis: bool,
    after: Vec<char>,
}

impl Term {
    fn parse(text: &str) -> KernelResult<Term> {
        let (before, after) = text.split_once("...").map_or((text, None), |(b, a)| (b, Some(a)));
        let letters = |s: &str| -> KernelResult<Vec<char>> {
            ensure(s.chars().all(|c| c.is_ascii_alphabetic()), || format!("the term {text:?} is not made of letters"))?;
            Ok(s.chars().collect())
        };
        Ok(Term { before: letters(before)?, ellipsis: after.is_some(), after: letters(after.unwrap_or(""))? })
    }

    fn letters(&self) -> impl Iterator<Item = char> + '_ {
        self.before.iter().chain(&self.after).copied()
    }

    /// The labels, with `hidden` axes standing for the ellipsis.
    fn labels(&self, hidden: usize) -> Vec<Label> {
        let dots = (0..if self.ellipsis { hidden } else { 0 }).rev().map(Label::Ellipsis);
        let letters = |v: &[char]| v.iter().map(|&c| Label::Letter(c)).collect::<Vec<_>>();
        letters(&self.before).into_iter().chain(dots).chain(letters(&self.after)).collect()
    }
}

/// `Einsum`.
pub(crate) fn einsum(p: &Problem, a: &EinsumAttrs) -> KernelResult<Built> {
    let equation: String = a.equation.chars().filter(|c| !c.is_whitespace()).collect();
    let (left, right) = equation.split_once("->").map_or((equation.as_str(), None), |(l, r)| (l, Some(r)));
    let terms = left.split(',').map(Term::parse).collect::<KernelResult<Vec<_>>>()?;
    let inputs = (0..terms.len()).map(|i| Slot::input(p, i)).collect::<KernelResult<Vec<_>>>()?;
    ensure(p.inputs.iter().flatten().count() == terms.len(), || {
        format!("{equation:?} has {} terms, but there are more operands", terms.len())
    })?;
    let y = Slot::output(p, 0)?;

    let mut named = Vec::new();
    let mut hidden = 0;
    for (t, x) in terms.iter().zip(&inputs) {
        let own = x.rank().checked_sub(t.letters().count()).filter(|&own| t.ellipsis || own == 0);
        let own = own.ok_or_else(|| problem(format!("operand {:?} does not fit {equation:?}", x.shape)))?;
        hidden = hidden.max(own);
        named.push(t.labels(own));
    }
    let lengths = lengths(&named, &inputs)?;
    let result = match right {
        Some(r) => Term::parse(r)?.labels(hidden),
        None => implied(&terms, hidden),
    };
    let unique = result.iter().enumerate().all(|(i, l)| lengths.contains_key(l) && !result[..i].contains(l));
    ensure(unique, || format!("the result of {equation:?} repeats an index or names a new one"))?;
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

/// Without an arrow, the result has the ellipsis and then every letter that stands but once, in order.
fn implied(terms: &[Term], hidden: usize) -> Vec<Label> {
    let mut letters: Vec<char> = terms.iter().flat_map(Term::letters).collect();
    letters.sort_unstable();
    let once = letters.iter().filter(|c| letters.iter().filter(|d| d == c).count() == 1);
    (0..hidden).rev().map(Label::Ellipsis).chain(once.map(|&c| Label::Letter(c))).collect()
}

/// How far one step along an index moves within an operand; a repeated index moves along its diagonal.
fn step(label: Label, labels: &[Label], x: &Slot) -> isize {
    let own = strides(&x.shape);
    (0..x.rank()).filter(|&d| labels[d] == label && x.shape[d] != 1).map(|d| own[d] as isize).sum()
}
