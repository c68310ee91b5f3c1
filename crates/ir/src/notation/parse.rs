//! Text to tree.

use super::NotationError;
use alloc::{borrow::Cow, boxed::Box, format, string::String, vec::Vec};

/// Parentheses and brackets nest no deeper than this.
const MAX_DEPTH: usize = 64;

/// Items of all lists and groups together: a tree takes more memory than its text.
const MAX_ITEMS: usize = 1 << 20;

/// A text in parts.
#[derive(Debug, PartialEq)]
pub(super) enum Tree<'a> {
    /// A number or a name, such as `-1.5e3`, `inf`, `true` or `SameUpper`.
    Word(&'a str),
    /// A string, without quotes.
    Text(Cow<'a, str>),
    /// `[a, b]`.
    List(Vec<Tree<'a>>),
    /// `(a, b)` or `(field: a)`; names are empty where items have none.
    Group(Vec<(&'a str, Tree<'a>)>),
    /// A group with a name before it.
    Named(&'a str, Box<Tree<'a>>),
}

/// The whole of `text` as a tree.
pub(super) fn tree(text: &str) -> Result<Tree<'_>, NotationError> {
    let mut parser = Parser { text, at: 0, items: 0 };
    let tree = parser.tree(0)?;
    match parser.next() {
        None => Ok(tree),
        Some(_) => Err(parser.unexpected("the end")),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    /// Items of lists and groups so far.
    items: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// The character that comes next, after blanks and comments.
    fn next(&mut self) -> Option<char> {
        loop {
            let trimmed = self.rest().trim_start();
            self.at = self.text.len() - trimmed.len();
            if !trimmed.starts_with("//") {
                return trimmed.chars().next();
            }
            self.at += trimmed.find('\n').unwrap_or(trimmed.len());
        }
    }

    fn unexpected(&mut self, wanted: &str) -> NotationError {
        let found = self.next().map_or("the end".into(), |c| format!("{c:?}"));
        NotationError(format!("expected {wanted}, found {found} at character {}", self.text[..self.at].chars().count()))
    }

    fn take(&mut self, token: char) -> bool {
        let found = self.next() == Some(token);
        self.at += usize::from(found);
        found
    }

    fn word(&mut self) -> &'a str {
        self.next();
        let rest = self.rest();
        let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '+' | '.');
        let len = rest.find(|c| !part(c)).unwrap_or(rest.len());
        self.at += len;
        &rest[..len]
    }

    fn tree(&mut self, depth: usize) -> Result<Tree<'a>, NotationError> {
        if depth > MAX_DEPTH {
            return Err(NotationError(format!("it nests deeper than {MAX_DEPTH} levels")));
        }
        match self.next() {
            Some('"') => {
                let (text, len) = string(self.rest())?;
                self.at += len;
                Ok(Tree::Text(text))
            }
            Some('[') => {
                let items = self.items(']', |parser| parser.tree(depth + 1))?;
                Ok(Tree::List(items))
            }
            Some('(') => self.group(depth),
            _ => match self.word() {
                "" => Err(self.unexpected("a value")),
                name if self.next() == Some('(') => Ok(Tree::Named(name, Box::new(self.group(depth)?))),
                word => Ok(Tree::Word(word)),
            },
        }
    }

    fn group(&mut self, depth: usize) -> Result<Tree<'a>, NotationError> {
        let items = self.items(')', |parser| {
            let before = parser.at;
            let field = parser.word();
            if !field.is_empty() && parser.take(':') {
                return Ok((field, parser.tree(depth + 1)?));
            }
            parser.at = before;
            Ok(("", parser.tree(depth + 1)?))
        })?;
        Ok(Tree::Group(items))
    }

    /// What is between the bracket that comes next and `close`.
    fn items<T>(
        &mut self,
        close: char,
        mut item: impl FnMut(&mut Self) -> Result<T, NotationError>,
    ) -> Result<Vec<T>, NotationError> {
        self.at += 1;
        let mut items = Vec::new();
        while !self.take(close) {
            self.items += 1;
            if self.items > MAX_ITEMS {
                return Err(NotationError(format!("it has more than {MAX_ITEMS} items")));
            }
            items.push(item(self)?);
            if !self.take(',') {
                match self.take(close) {
                    true => break,
                    false => return Err(self.unexpected(&format!("',' or '{close}'"))),
                }
            }
        }
        Ok(items)
    }
}

/// The string that `text`, which starts with a quote, begins with; and its length as written, quotes included.
pub(crate) fn string(text: &str) -> Result<(Cow<'_, str>, usize), NotationError> {
    let body = &text[1..];
    let plain = body.find(['"', '\\']).unwrap_or(body.len());
    if body[plain..].starts_with('"') {
        return Ok((Cow::Borrowed(&body[..plain]), plain + 2));
    }
    let mut made = String::from(&body[..plain]);
    let mut chars = body[plain..].char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((Cow::Owned(made), plain + i + 2)),
            '\\' => made.push(escaped(&mut chars).ok_or_else(|| NotationError("an escape is not valid".into()))?),
            c => made.push(c),
        }
    }
    Err(NotationError("a string is not closed".into()))
}

/// The character that is written as what follows a backslash.
fn escaped(chars: &mut core::str::CharIndices<'_>) -> Option<char> {
    let code = |digits: &str| char::from_u32(u32::from_str_radix(digits, 16).ok()?);
    Some(match chars.next()?.1 {
        c @ ('"' | '\'' | '\\') => c,
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        '0' => '\0',
        'x' => {
            let digits = chars.as_str().get(..2)?;
            chars.nth(1);
            code(digits)?
        }
        'u' => {
            let digits = chars.as_str().strip_prefix('{')?.split_once('}')?.0;
            chars.nth(digits.chars().count() + 1);
            code(digits)?
        }
        _ => return None,
    })
}
