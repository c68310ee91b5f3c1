//! Tree to value.

use super::{NotationError, parse::Tree};
use alloc::{
    format,
    string::{String, ToString},
};
use core::{fmt, slice};
use serde::{
    Deserializer,
    de::{DeserializeSeed, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor, value::StrDeserializer},
    forward_to_deserialize_any,
};

type Result<T> = core::result::Result<T, NotationError>;
type Items<'t> = slice::Iter<'t, (&'t str, Tree<'t>)>;

impl Error for NotationError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        NotationError(message.to_string())
    }
}

impl Tree<'_> {
    /// What it is, for a message.
    fn kind(&self) -> String {
        match self {
            Tree::Word(word) => format!("'{word}'"),
            Tree::Text(_) => "a string".into(),
            Tree::List(_) => "a list".into(),
            Tree::Group(_) => "(...)".into(),
            Tree::Named(name, _) => format!("{name}(...)"),
        }
    }

    fn instead_of(&self, wanted: &str) -> NotationError {
        NotationError(format!("expected {wanted}, found {}", self.kind()))
    }

    fn word(&self, wanted: &str) -> Result<&str> {
        match self {
            Tree::Word(word) => Ok(word),
            _ => Err(self.instead_of(wanted)),
        }
    }

    /// The number that it is.
    fn number<T: core::str::FromStr>(&self, wanted: &str) -> Result<T> {
        self.word(wanted)?.parse().map_err(|_| self.instead_of(wanted))
    }

    fn text(&self) -> Result<&str> {
        match self {
            Tree::Text(text) => Ok(text),
            _ => Err(self.instead_of("a string")),
        }
    }

    /// The items of a group, whose name, where it has one, is `of`.
    fn group(&self, of: &str) -> Result<&[(&str, Tree<'_>)]> {
        match self {
            Tree::Group(items) => Ok(items),
            Tree::Named(name, group) if *name == of => group.group(""),
            _ => Err(self.instead_of(if of.is_empty() { "(...)" } else { of })),
        }
    }

    /// The one value of a group without a name; the group itself where that is a structure or tuple whose own parentheses
    /// were left out.
    fn only(&self) -> &Self {
        match self {
            Tree::Group(items) => match &items[..] {
                [("", item)] => item,
                _ => self,
            },
            _ => self,
        }
    }
}

/// Numbers, by the widest type.
macro_rules! numbers {
    ($($method:ident $visit:ident $wanted:literal)*) => {
        $(fn $method<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value> {
            visitor.$visit(self.number($wanted)?)
        })*
    };
}

impl<'t> Deserializer<'t> for &'t Tree<'t> {
    type Error = NotationError;

    numbers! {
        deserialize_u8 visit_u64 "a positive integer"
        deserialize_u16 visit_u64 "a positive integer"
        deserialize_u32 visit_u64 "a positive integer"
        deserialize_u64 visit_u64 "a positive integer"
        deserialize_i8 visit_i64 "an integer"
        deserialize_i16 visit_i64 "an integer"
        deserialize_i32 visit_i64 "an integer"
        deserialize_i64 visit_i64 "an integer"
        deserialize_f32 visit_f32 "a number"
        deserialize_f64 visit_f64 "a number"
        deserialize_bool visit_bool "true or false"
    }

    fn deserialize_any<V: Visitor<'t>>(self, _: V) -> Result<V::Value> {
        Err(self.instead_of("a value whose type is known"))
    }

    fn deserialize_ignored_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    fn deserialize_str<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_string<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Tree::Word("None") => visitor.visit_none(),
            Tree::Named("Some", group) => visitor.visit_some(group.only()),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value> {
        match self {
            Tree::List(items) => visitor.visit_seq(List(items.iter())),
            _ => Err(self.instead_of("a list")),
        }
    }

    fn deserialize_tuple<V: Visitor<'t>>(self, len: usize, visitor: V) -> Result<V::Value> {
        let items = self.group("")?;
        if items.len() != len || items.iter().any(|(name, _)| !name.is_empty()) {
            return Err(NotationError(format!("expected {len} values without names")));
        }
        visitor.visit_seq(Tuple(items.iter()))
    }

    fn deserialize_struct<V: Visitor<'t>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_map(Fields { items: self.group(name)?.iter(), value: None })
    }

    fn deserialize_enum<V: Visitor<'t>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(Variant(self))
    }

    forward_to_deserialize_any! {
        <V: Visitor<'t>>
        i128 u128 char bytes byte_buf unit unit_struct newtype_struct tuple_struct map identifier
    }
}

/// The items of a list.
struct List<'t>(slice::Iter<'t, Tree<'t>>);

impl<'t> SeqAccess<'t> for List<'t> {
    type Error = NotationError;

    fn next_element_seed<T: DeserializeSeed<'t>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.0.next().map(|tree| seed.deserialize(tree)).transpose()
    }
}

/// The items of a group, by their places.
struct Tuple<'t>(Items<'t>);

impl<'t> SeqAccess<'t> for Tuple<'t> {
    type Error = NotationError;

    fn next_element_seed<T: DeserializeSeed<'t>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        self.0.next().map(|(_, tree)| seed.deserialize(tree)).transpose()
    }
}

/// The items of a group, by their names.
struct Fields<'t> {
    items: Items<'t>,
    value: Option<&'t (&'t str, Tree<'t>)>,
}

impl<'t> MapAccess<'t> for Fields<'t> {
    type Error = NotationError;

    fn next_key_seed<K: DeserializeSeed<'t>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.value = self.items.next();
        if let Some(("", tree)) = self.value {
            return Err(tree.instead_of("a name and ':'"));
        }
        self.value.map(|(name, _)| seed.deserialize(StrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<T: DeserializeSeed<'t>>(&mut self, seed: T) -> Result<T::Value> {
        let Some((name, tree)) = self.value else { return Err(NotationError::custom("a value without a name")) };
        seed.deserialize(tree).map_err(|e| e.within(name))
    }
}

impl NotationError {
    fn within(self, field: &str) -> Self {
        NotationError(format!("{field}: {}", self.0))
    }
}

/// A variant of an enumeration.
struct Variant<'t>(&'t Tree<'t>);

impl<'t> EnumAccess<'t> for Variant<'t> {
    type Error = NotationError;
    type Variant = Values<'t>;

    fn variant_seed<V: DeserializeSeed<'t>>(self, seed: V) -> Result<(V::Value, Values<'t>)> {
        let (name, values) = match self.0 {
            Tree::Word(name) => (name, None),
            Tree::Named(name, group) => (name, Some(&**group)),
            other => return Err(other.instead_of("a name")),
        };
        Ok((seed.deserialize(StrDeserializer::new(name))?, Values(values)))
    }
}

/// What is between the parentheses after a variant's name.
struct Values<'t>(Option<&'t Tree<'t>>);

impl<'t> Values<'t> {
    fn group(self) -> Result<&'t Tree<'t>> {
        self.0.ok_or_else(|| NotationError("expected values in parentheses".into()))
    }
}

impl<'t> VariantAccess<'t> for Values<'t> {
    type Error = NotationError;

    fn unit_variant(self) -> Result<()> {
        self.0.map_or(Ok(()), |group| Err(group.instead_of("a name alone")))
    }

    fn newtype_variant_seed<T: DeserializeSeed<'t>>(self, seed: T) -> Result<T::Value> {
        seed.deserialize(self.group()?.only())
    }

    fn tuple_variant<V: Visitor<'t>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.group()?.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'t>>(self, names: &'static [&'static str], visitor: V) -> Result<V::Value> {
        self.group()?.deserialize_struct("", names, visitor)
    }
}
