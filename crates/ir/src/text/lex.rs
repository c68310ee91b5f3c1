//! A cursor over the text, and what can be read off it piece by piece.

use crate::{Dim, GraphError, TensorType, notation};
use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};
use paring_core::DType;

/// Expressions of dimensions nest no deeper than this.
const MAX_DEPTH: usize = 32;

pub(super) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, at: 0 }
    }

    /// An error at this place.
    pub fn error(&self, message: impl Into<String>) -> GraphError {
        let line = 1 + self.text.as_bytes()[..self.at].iter().filter(|&&b| b == b'\n').count();
        GraphError::Parse { line, message: message.into() }
    }

    pub fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Skips blanks and comments.
    pub fn skip(&mut self) {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return;
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    pub fn is_at_end(&mut self) -> bool {
        self.skip();
        self.rest().is_empty()
    }

    /// Takes `token` if it comes next.
    pub fn take(&mut self, token: &str) -> bool {
        let before = self.at;
        self.skip();
        let found = self.rest().starts_with(token);
        self.at = if found { self.at + token.len() } else { before };
        found
    }

    pub fn expect(&mut self, token: &str) -> Result<(), GraphError> {
        if self.take(token) {
            return Ok(());
        }
        let found = self.found();
        Err(self.error(format!("expected '{token}', found {found}")))
    }

    /// What comes next, for a message.
    pub fn found(&mut self) -> String {
        self.skip();
        let word: String = self.rest().chars().take_while(|c| !c.is_whitespace()).take(24).collect();
        if word.is_empty() { "the end".into() } else { format!("'{word}'") }
    }

    fn take_while(&mut self, test: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let len = rest.find(|c| !test(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    /// A word of letters, digits and underscores; maybe empty.
    pub fn word(&mut self) -> &'a str {
        self.skip();
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    /// Takes the keyword `word` if it comes next as a whole.
    pub fn keyword(&mut self, word: &str) -> bool {
        let before = self.at;
        if self.word() == word {
            return true;
        }
        self.at = before;
        false
    }

    /// `%name`, without the sign.
    pub fn value_name(&mut self) -> Result<&'a str, GraphError> {
        self.expect("%")?;
        match self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.') {
            "" => Err(self.error("expected a name after '%'")),
            name => Ok(name),
        }
    }

    /// A string in quotes, if one comes next.
    pub fn string(&mut self) -> Result<Option<String>, GraphError> {
        self.skip();
        if !self.rest().starts_with('"') {
            return Ok(None);
        }
        let (text, len) = notation::string(self.rest()).map_err(|e| self.error(e.to_string()))?;
        self.at += len;
        Ok(Some(text.into_owned()))
    }

    /// A number as written, such as `-1.5e3`, `inf` or `true`.
    pub fn number(&mut self) -> &'a str {
        self.skip();
        self.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.'))
    }

    /// From an opening parenthesis to its partner, both included.
    pub fn group(&mut self) -> Result<&'a str, GraphError> {
        let rest = self.rest();
        let mut depth = 0usize;
        let mut i = 0;
        while let Some(&b) = rest.as_bytes().get(i) {
            match b {
                b'"' => match notation::string(&rest[i..]) {
                    Ok((_, len)) => i += len - 1,
                    Err(e) => return Err(self.error(e.to_string())),
                },
                b'(' => depth += 1,
                b')' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        self.at += i + 1;
                        return Ok(&rest[..=i]);
                    }
                }
                _ => {}
            }
            i += 1;
        }
        Err(self.error("a parenthesis is not closed"))
    }

    /// A type such as `f32[N, 3]`, with its quantisation.
    pub fn tensor_type(&mut self) -> Result<TensorType, GraphError> {
        let name = self.word();
        let dtype = DType::from_name(name).ok_or_else(|| self.error(format!("there is no element type '{name}'")))?;
        self.expect("[")?;
        let mut ty = if self.take("*") {
            self.expect("]")?;
            TensorType::unranked(dtype)
        } else {
            TensorType::new(dtype, self.dims()?)
        };
        if self.keyword("quant") {
            self.skip();
            let text = self.group()?;
            let parsed = notation::from_str(&text[1..text.len() - 1]);
            ty.quant = Some(parsed.map_err(|e| self.error(format!("quantisation: {e}")))?);
        }
        Ok(ty)
    }

    /// Dimensions up to the closing bracket.
    fn dims(&mut self) -> Result<Vec<Dim>, GraphError> {
        let mut dims = Vec::new();
        if self.take("]") {
            return Ok(dims);
        }
        loop {
            let d = self.dim(0)?;
            if d.as_i64().is_some_and(|n| n < 0) {
                return Err(self.error(format!("a dimension cannot be negative: {d}")));
            }
            dims.push(d);
            if self.take("]") {
                return Ok(dims);
            }
            self.expect(",")?;
        }
    }

    /// An expression of dimensions.
    pub fn dim(&mut self, depth: usize) -> Result<Dim, GraphError> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("the expression nests deeper than {MAX_DEPTH}")));
        }
        let mut sum = if self.take("-") { Dim::Known(0).sub(&self.term(depth)?) } else { self.term(depth)? };
        loop {
            if self.take("+") {
                sum = sum.add(&self.term(depth)?);
            } else if self.take("-") {
                sum = sum.sub(&self.term(depth)?);
            } else if sum.is_overflow() {
                return Err(self.error("the expression overflows"));
            } else {
                return Ok(sum);
            }
        }
    }

    fn term(&mut self, depth: usize) -> Result<Dim, GraphError> {
        let mut product = self.factor(depth)?;
        while self.take("*") {
            product = product.mul(&self.factor(depth)?);
        }
        Ok(product)
    }

    fn factor(&mut self, depth: usize) -> Result<Dim, GraphError> {
        if self.take("(") {
            let d = self.dim(depth + 1)?;
            self.expect(")")?;
            return Ok(d);
        }
        if let Some(name) = self.string()? {
            return Ok(Dim::symbol(&name));
        }
        self.skip();
        let word = self.take_while(|c| c.is_ascii_alphanumeric() || c == '_' || c == '?');
        let join: fn(&Dim, &Dim) -> Dim = match word {
            "floor" => Dim::div_floor,
            "max" => Dim::max_of,
            "min" => Dim::min_of,
            "" => {
                let found = self.found();
                return Err(self.error(format!("expected a dimension, found {found}")));
            }
            _ if word.starts_with(|c: char| c.is_ascii_digit()) => {
                return word.parse().map(Dim::from_i64).map_err(|_| self.error(format!("'{word}' is no number")));
            }
            _ => return Ok(Dim::symbol(word)),
        };
        self.expect("(")?;
        let a = self.dim(depth + 1)?;
        self.expect(",")?;
        let b = self.dim(depth + 1)?;
        self.expect(")")?;
        Ok(join(&a, &b))
    }
}
