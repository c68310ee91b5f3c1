//! Dimensions: numbers, or expressions of symbols.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, sync::Arc, vec, vec::Vec};
use core::fmt;

/// A dimension, or an element of a shape tensor: a number or an expression of symbols such as `2*H+1`.
///
/// Expressions are kept in a normal form (a polynomial over symbols and floor divisions), so that equal ones compare
/// equal in the cases that occur in networks. Arithmetic that overflows, or grows beyond what is
/// tracked, yields a marker symbol; see [`Dim::is_overflow`]. Inference replaces it with a fresh symbol or refuses it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dim {
    /// A number. Negative only for elements of shape tensors, never for dimensions.
    Known(i64),
    /// An expression with at least one symbol.
    Sym(Box<Expr>),
}

/// The symbol of what overflowed.
const OVERFLOW: &str = "?overflow";

/// Expressions heavier than this are not tracked.
const MAX_WEIGHT: usize = 256;

/// A polynomial: the sum of products of atoms, each with a coefficient. The empty product is the constant term.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Expr(BTreeMap<Vec<Atom>, i64>);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Atom {
    Symbol(Arc<str>),
    /// Floor division of an expression by another.
    Div(Box<Expr>, Box<Expr>),
    Max(Box<Expr>, Box<Expr>),
    Min(Box<Expr>, Box<Expr>),
}

impl From<usize> for Dim {
    fn from(n: usize) -> Dim {
        Dim::Known(i64::try_from(n).unwrap_or(i64::MAX))
    }
}

impl Dim {
    /// A symbol such as `N`.
    pub fn symbol(name: &str) -> Dim {
        Dim::Sym(Box::new(Expr::atom(Atom::Symbol(name.into()))))
    }

    /// A number, maybe negative, as an element of a shape tensor.
    pub fn from_i64(n: i64) -> Dim {
        Dim::Known(n)
    }

    /// The number, where this is a dimension that is known.
    pub fn known(&self) -> Option<usize> {
        self.as_i64().and_then(|n| usize::try_from(n).ok())
    }

    /// The number, maybe negative, where it is known.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Dim::Known(n) => Some(*n),
            Dim::Sym(_) => None,
        }
    }

    /// Whether this is surely the number `n`.
    pub fn is(&self, n: i64) -> bool {
        self.as_i64() == Some(n)
    }

    fn expr(&self) -> Expr {
        match self {
            Dim::Known(n) => Expr::constant(*n),
            Dim::Sym(e) => (**e).clone(),
        }
    }

    fn binary(&self, other: &Dim, f: impl FnOnce(&Expr, &Expr) -> Option<Expr>) -> Dim {
        self.checked(other, f).unwrap_or_else(|| Dim::symbol(OVERFLOW))
    }

    /// Whether arithmetic that led here overflowed, or grew beyond what is tracked.
    pub fn is_overflow(&self) -> bool {
        match self {
            Dim::Known(_) => false,
            Dim::Sym(_) => self.symbols().iter().any(|s| &**s == OVERFLOW),
        }
    }

    /// Whether this surely is not negative, given that symbols never are.
    pub fn is_nonnegative(&self) -> bool {
        match self {
            Dim::Known(n) => *n >= 0,
            Dim::Sym(e) => e.is_nonnegative(),
        }
    }

    /// `self + other`.
    #[must_use]
    pub fn add(&self, other: &Dim) -> Dim {
        self.binary(other, |a, b| a.combine(b, 1))
    }

    /// `self - other`.
    #[must_use]
    pub fn sub(&self, other: &Dim) -> Dim {
        self.binary(other, |a, b| a.combine(b, -1))
    }

    /// `self * other`.
    #[must_use]
    pub fn mul(&self, other: &Dim) -> Dim {
        self.binary(other, Expr::product)
    }

    /// `floor(self / other)`; division by a number below 1 is an unknown symbol.
    #[must_use]
    pub fn div_floor(&self, other: &Dim) -> Dim {
        self.binary(other, |a, b| {
            if let (Some(x), Some(y)) = (a.as_constant(), b.as_constant()) {
                return if y > 0 { Some(Expr::constant(x.div_euclid(y))) } else { None };
            }
            if b.as_constant() == Some(1) {
                return Some(a.clone());
            }
            a.exact_quotient(b).or_else(|| Some(Expr::atom(Atom::Div(Box::new(a.clone()), Box::new(b.clone())))))
        })
    }

    /// `ceil(self / other)` for a positive number `other`.
    #[must_use]
    pub fn div_ceil(&self, other: usize) -> Dim {
        let n = Dim::from(other);
        self.add(&n).sub(&Dim::Known(1)).div_floor(&n)
    }

    /// The larger.
    #[must_use]
    pub fn max_of(&self, other: &Dim) -> Dim {
        self.extreme(other, i64::max, Atom::Max)
    }

    fn extreme(&self, other: &Dim, known: fn(i64, i64) -> i64, atom: fn(Box<Expr>, Box<Expr>) -> Atom) -> Dim {
        if self == other {
            return self.clone();
        }
        match (self.as_i64(), other.as_i64()) {
            (Some(a), Some(b)) => Dim::Known(known(a, b)),
            _ => {
                let (a, b) = if self <= other { (self, other) } else { (other, self) };
                a.binary(b, |a, b| Some(Expr::atom(atom(Box::new(a.clone()), Box::new(b.clone())))))
            }
        }
    }

    /// The smaller.
    #[must_use]
    pub fn min_of(&self, other: &Dim) -> Dim {
        self.extreme(other, i64::min, Atom::Min)
    }

    /// This dimension with symbols replaced; those that `bind` knows nothing of stay. Overflow yields `None`.
    pub fn substitute(&self, bind: &dyn Fn(&str) -> Option<Dim>) -> Option<Dim> {
        match self {
            Dim::Known(n) => Some(Dim::Known(*n)),
            Dim::Sym(e) => e.substitute(bind),
        }
    }

    /// The names of the symbols in it, each once, in order.
    pub fn symbols(&self) -> Vec<Arc<str>> {
        let mut out = Vec::new();
        if let Dim::Sym(e) = self {
            e.symbols(&mut out);
        }
        out
    }

    /// The name, where this is one bare symbol.
    pub fn as_symbol(&self) -> Option<Arc<str>> {
        let Dim::Sym(e) = self else { return None };
        match e.0.iter().next() {
            Some((atoms, 1)) if e.0.len() == 1 && atoms.len() == 1 => match &atoms[0] {
                Atom::Symbol(s) => Some(s.clone()),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Expr {
    fn constant(n: i64) -> Expr {
        Expr(if n == 0 { BTreeMap::new() } else { BTreeMap::from([(vec![], n)]) })
    }

    fn atom(a: Atom) -> Expr {
        Expr(BTreeMap::from([(vec![a], 1)]))
    }

    fn as_constant(&self) -> Option<i64> {
        match self.0.len() {
            0 => Some(0),
            1 => self.0.get(&vec![]).copied(),
            _ => None,
        }
    }

    /// Number of atoms at all depths, and of terms.
    fn weight(&self) -> usize {
        let atom = |a: &Atom| match a {
            Atom::Symbol(_) => 1,
            Atom::Div(x, y) | Atom::Max(x, y) | Atom::Min(x, y) => 1 + x.weight() + y.weight(),
        };
        self.0.keys().map(|atoms| 1 + atoms.iter().map(atom).sum::<usize>()).sum()
    }

    fn is_nonnegative(&self) -> bool {
        let atom = |a: &Atom| match a {
            Atom::Symbol(s) => &**s != OVERFLOW,
            Atom::Div(x, y) | Atom::Min(x, y) => x.is_nonnegative() && y.is_nonnegative(),
            Atom::Max(x, y) => x.is_nonnegative() || y.is_nonnegative(),
        };
        self.0.iter().all(|(atoms, &c)| c >= 0 && atoms.iter().all(atom))
    }

    fn into_dim(self) -> Dim {
        match self.as_constant() {
            Some(n) => Dim::Known(n),
            None => Dim::Sym(Box::new(self)),
        }
    }

    fn combine(&self, other: &Expr, sign: i64) -> Option<Expr> {
        let mut sum = self.0.clone();
        for (atoms, &c) in &other.0 {
            let entry = sum.entry(atoms.clone()).or_insert(0);
            *entry = entry.checked_add(c.checked_mul(sign)?)?;
        }
        sum.retain(|_, c| *c != 0);
        Some(Expr(sum))
    }

    fn product(&self, other: &Expr) -> Option<Expr> {
        // A bound keeps hostile models from growing expressions without end.
        if self.0.len().saturating_mul(other.0.len()) > 64 {
            return None;
        }
        let mut sum = Expr::default();
        for (a, &x) in &self.0 {
            for (b, &y) in &other.0 {
                let mut atoms: Vec<Atom> = a.iter().chain(b).cloned().collect();
                if atoms.len() > 16 {
                    return None;
                }
                atoms.sort();
                sum = sum.combine(&Expr(BTreeMap::from([(atoms, x.checked_mul(y)?)])), 1)?;
            }
        }
        sum.0.retain(|_, c| *c != 0);
        Some(sum)
    }

    /// The quotient by a single product, where every term divides without remainder.
    fn exact_quotient(&self, by: &Expr) -> Option<Expr> {
        let (divisor, &d) = by.0.iter().next().filter(|_| by.0.len() == 1)?;
        let mut out = BTreeMap::new();
        for (atoms, &c) in &self.0 {
            let mut rest = atoms.clone();
            for a in divisor {
                let at = rest.iter().position(|x| x == a)?;
                rest.remove(at);
            }
            if d == 0 || c.checked_rem(d)? != 0 {
                return None;
            }
            out.insert(rest, c.checked_div(d)?);
        }
        Some(Expr(out))
    }

    fn substitute(&self, bind: &dyn Fn(&str) -> Option<Dim>) -> Option<Dim> {
        let mut sum = Dim::Known(0);
        for (atoms, &c) in &self.0 {
            let mut term = Dim::Known(c);
            for a in atoms {
                let sub = |e: &Expr| e.substitute(bind);
                let v = match a {
                    Atom::Symbol(s) => bind(s).unwrap_or_else(|| Dim::symbol(s)),
                    Atom::Div(x, y) => sub(x)?.div_floor(&sub(y)?),
                    Atom::Max(x, y) => sub(x)?.max_of(&sub(y)?),
                    Atom::Min(x, y) => sub(x)?.min_of(&sub(y)?),
                };
                term = term.checked(&v, Expr::product)?;
            }
            sum = sum.checked(&term, |a, b| a.combine(b, 1))?;
        }
        Some(sum)
    }

    fn symbols(&self, out: &mut Vec<Arc<str>>) {
        for atom in self.0.keys().flatten() {
            match atom {
                Atom::Symbol(s) => {
                    if !out.contains(s) {
                        out.push(s.clone());
                    }
                }
                Atom::Div(x, y) | Atom::Max(x, y) | Atom::Min(x, y) => {
                    x.symbols(out);
                    y.symbols(out);
                }
            }
        }
    }
}

impl Dim {
    fn checked(&self, other: &Dim, f: impl FnOnce(&Expr, &Expr) -> Option<Expr>) -> Option<Dim> {
        let (a, b) = (self.expr(), other.expr());
        // Hostile models nest expressions so that they double at every step.
        if a.weight().saturating_add(b.weight()) > MAX_WEIGHT {
            return None;
        }
        f(&a, &b).filter(|e| e.weight() <= MAX_WEIGHT).map(Expr::into_dim)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(n) => write!(f, "{n}"),
            Dim::Sym(e) => write!(f, "{e}"),
        }
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Terms with symbols first, the constant last, as people write them.
        let mut first = true;
        let terms = self.0.iter().filter(|(a, _)| !a.is_empty()).chain(self.0.iter().filter(|(a, _)| a.is_empty()));
        for (atoms, &c) in terms {
            let sign = if c < 0 {
                "-"
            } else if first {
                ""
            } else {
                "+"
            };
            f.write_str(sign)?;
            let mut factors: Vec<String> = Vec::new();
            if c.unsigned_abs() != 1 || atoms.is_empty() {
                factors.push(format!("{}", c.unsigned_abs()));
            }
            factors.extend(atoms.iter().map(|a| format!("{a}")));
            f.write_str(&factors.join("*"))?;
            first = false;
        }
        if first { f.write_str("0") } else { Ok(()) }
    }
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Atom::Symbol(s) if is_plain(s) => f.write_str(s),
            Atom::Symbol(s) => f.write_str(&quoted(s)),
            Atom::Div(a, b) => write!(f, "floor({a}, {b})"),
            Atom::Max(a, b) => write!(f, "max({a}, {b})"),
            Atom::Min(a, b) => write!(f, "min({a}, {b})"),
        }
    }
}

/// Whether a symbol reads as one word of the text form.
fn is_plain(symbol: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '?';
    let reserved = matches!(symbol, "floor" | "max" | "min");
    !reserved && symbol.chars().all(word) && symbol.starts_with(|c: char| !c.is_ascii_digit())
}

/// A string in quotes, as the text form has it.
pub(crate) fn quoted(s: &str) -> String {
    let mut quoted = String::from('"');
    quoted.extend(s.chars().flat_map(char::escape_debug));
    quoted.push('"');
    quoted
}
