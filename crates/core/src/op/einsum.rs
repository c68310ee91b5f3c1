//! The equation of an `Einsum`, such as `bij,bjk->bik`.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use thiserror::Error;

/// What can be wrong with an equation.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EquationError {
    /// It has a character that it cannot have there.
    #[error("equation '{0}': unexpected character {1:?}")]
    Character(String, char),
    /// An index stands twice in its result.
    #[error("equation '{0}' has '{1}' twice in its output")]
    Twice(String, char),
    /// An index of its result stands in no operand.
    #[error("equation '{0}' has '{1}' in its output but in no operand")]
    Unknown(String, char),
}

/// What an axis is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// One of those that `...` stands for, counted from the last.
    Dots(usize),
    /// A letter.
    Letter(char),
}

/// One operand, or the result: letters, and perhaps `...` among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    before: Vec<char>,
    /// Those after `...`, where it is there.
    after: Option<Vec<char>>,
}

impl Term {
    fn parse(text: &str, equation: &str) -> Result<Term, EquationError> {
        let letters = |s: &str| match s.chars().find(|c| !c.is_ascii_alphabetic()) {
            Some(c) => Err(EquationError::Character(equation.to_string(), c)),
            None => Ok(s.chars().collect::<Vec<char>>()),
        };
        let (before, after) = text.split_once("...").map_or((text, None), |(b, a)| (b, Some(a)));
        Ok(Term { before: letters(before)?, after: after.map(letters).transpose()? })
    }

    /// The result where none is written: `...`, and every letter that stands but once, in order.
    fn implied(terms: &[Term]) -> Term {
        let mut letters: Vec<char> = terms.iter().flat_map(Term::letters).collect();
        letters.sort_unstable();
        let once = letters.chunk_by(|a, b| a == b).filter(|same| same.len() == 1).flatten().copied().collect();
        match terms.iter().any(Term::has_dots) {
            true => Term { before: Vec::new(), after: Some(once) },
            false => Term { before: once, after: None },
        }
    }

    /// Its letters, in order.
    pub fn letters(&self) -> impl Iterator<Item = char> + '_ {
        self.before.iter().chain(self.after.iter().flatten()).copied()
    }

    /// Whether it has `...`.
    pub fn has_dots(&self) -> bool {
        self.after.is_some()
    }

    /// How many axes of an operand of that rank `...` stands for; `None` where the operand does not fit.
    pub fn hidden(&self, rank: usize) -> Option<usize> {
        rank.checked_sub(self.letters().count()).filter(|&hidden| hidden == 0 || self.has_dots())
    }

    /// What its axes are called, where `...` stands for `hidden` of them.
    pub fn labels(&self, hidden: usize) -> Vec<Label> {
        let dots = (0..if self.has_dots() { hidden } else { 0 }).rev().map(Label::Dots);
        let letters = |v: &[char]| v.iter().map(|&c| Label::Letter(c)).collect::<Vec<_>>();
        let after = letters(self.after.as_deref().unwrap_or_default());
        letters(&self.before).into_iter().chain(dots).chain(after).collect()
    }
}

/// An equation that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equation {
    /// One for each operand, at least one.
    pub terms: Vec<Term>,
    /// What was written after `->`, or else what is implied. Letters stand but once, and in some operand.
    pub result: Term,
}

impl Equation {
    /// Reads an equation; white space does not count.
    ///
    /// # Errors
    /// [`EquationError`] where it is none.
    pub fn parse(text: &str) -> Result<Equation, EquationError> {
        let equation: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = equation.split_once("->").map_or((&equation[..], None), |(l, r)| (l, Some(r)));
        let terms = left.split(',').map(|t| Term::parse(t, text)).collect::<Result<Vec<_>, _>>()?;
        let Some(right) = right else { return Ok(Equation { result: Term::implied(&terms), terms }) };
        let result = Term::parse(right, text)?;
        for (i, letter) in result.letters().enumerate() {
            if result.letters().take(i).any(|l| l == letter) {
                return Err(EquationError::Twice(text.to_string(), letter));
            }
            if !terms.iter().any(|t| t.letters().any(|l| l == letter)) {
                return Err(EquationError::Unknown(text.to_string(), letter));
            }
        }
        Ok(Equation { terms, result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Label::{Dots, Letter};

    #[test]
    fn equations() {
        let e = Equation::parse("b i j, b...j -> i...b").unwrap();
        assert_eq!(e.terms[0].labels(2), ['b', 'i', 'j'].map(Letter));
        assert_eq!(e.terms[1].labels(2), [Letter('b'), Dots(1), Dots(0), Letter('j')]);
        assert_eq!(e.result.labels(1), [Letter('i'), Dots(0), Letter('b')]);
        assert_eq!((e.terms[0].hidden(3), e.terms[0].hidden(4), e.terms[0].hidden(2)), (Some(0), None, None));
        assert_eq!((e.terms[1].hidden(2), e.terms[1].hidden(4)), (Some(0), Some(2)));
    }

    #[test]
    fn results_that_are_not_written() {
        let implied = |e: &str, hidden| Equation::parse(e).unwrap().result.labels(hidden);
        assert_eq!(implied("jk,ij", 0), ['i', 'k'].map(Letter));
        assert_eq!(implied("ii", 0), []);
        assert_eq!(implied("...b,...a", 1), [Dots(0), Letter('a'), Letter('b')]);
    }

    #[test]
    fn what_is_none() {
        let why = |e: &str| Equation::parse(e).unwrap_err().to_string();
        for e in ["i1", "i.j", "...i...", "i->j->k", "i;j"] {
            assert!(why(e).contains("unexpected character"), "{e}");
        }
        assert!(why("ij->ii").contains("twice"));
        assert!(why("ij->k").contains("no operand"));
    }
}
