//! A `serde` deserializer for toml's tree. Every struct refuses unknown keys, and each fault has its position in the text.
//!
//! toml's own deserializer loses the radix of an integer and the order of the keys. Its errors show the value, which may be
//! a secret, and do not help the person who edits the file ("invalid type: integer `1`, expected struct Http").

use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, Error, Expected, IntoDeserializer, Unexpected, Visitor};
use serde_spanned::de::{SpannedDeserializer, is_spanned};
use std::fmt::{self, Display};
use std::ops::Range;
use toml::Spanned;
use toml::de::DeValue;

/// An error with its position in the text.
#[derive(Debug)]
pub struct Fault {
    /// `None`: the enclosing value adds it.
    pub span: Option<Range<usize>>,
    pub problem: String,
    /// The key, if the problem is that it is unknown.
    pub unknown_key: Option<String>,
}

impl Fault {
    /// The same fault at `span`, unless its position is known already.
    fn within(self, span: Range<usize>) -> Fault {
        Fault { span: self.span.or(Some(span)), ..self }
    }
}

impl Error for Fault {
    fn custom<T: Display>(problem: T) -> Fault {
        Fault { span: None, problem: problem.to_string(), unknown_key: None }
    }

    fn invalid_type(_: Unexpected, expected: &dyn Expected) -> Fault {
        Fault::custom(format_args!("expected {expected}"))
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problem)
    }
}

impl std::error::Error for Fault {}

/// The name of a field whose struct has its keys in the section around it: `#[serde(rename = "$flattened")]`. serde's own
/// `flatten` loses the position of a value, the radix of an integer and the names of the known keys.
const FLATTENED: &str = "$flattened";

/// A value with its position in the text.
#[derive(Clone, Copy)]
pub struct TomlValue<'t> {
    value: &'t Spanned<DeValue<'t>>,
    /// The keys of the struct that has this one as its flattened field: both are in the same section.
    outer_keys: Option<&'static [&'static str]>,
}

impl<'t> TomlValue<'t> {
    pub fn new(value: &'t Spanned<DeValue<'t>>) -> TomlValue<'t> {
        TomlValue { value, outer_keys: None }
    }

    fn expected(&self, wanted: &str) -> Fault {
        Fault::custom(format_args!("expected {wanted}")).within(self.value.span())
    }

    fn integer(&self, max: u32) -> Result<u32, Fault> {
        let digits = self.value.get_ref().as_integer();
        let number = digits.and_then(|digits| u32::from_str_radix(digits.as_str(), digits.radix()).ok());
        number
            .filter(|number| *number <= max)
            .ok_or_else(|| self.expected(&format!("a whole number up to {max}")))
    }

    /// The entries of a section that belong to the struct with these keys. They are in the order of the file, so that the
    /// first fault is reported; a flattened struct is before them, because it knows all keys of the section.
    fn entries(&self, keys: &'static [&'static str]) -> Result<Vec<(&'t str, TomlValue<'t>)>, Fault> {
        let table = self.value.get_ref().as_table().ok_or_else(|| self.expected("a section of keys"))?;
        let mut written: Vec<_> = table.iter().collect();
        written.sort_by_key(|(key, _)| key.span().start);
        let mut entries = Vec::with_capacity(written.len());
        if keys.contains(&FLATTENED) {
            entries.push((FLATTENED, TomlValue { value: self.value, outer_keys: Some(keys) }));
        } else {
            let known = self.keys_of_section(keys);
            if let Some((key, _)) = written.iter().find(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
                return Err(Fault {
                    span: Some(key.span()),
                    problem: unknown("key", key.get_ref(), &known),
                    unknown_key: Some(key.get_ref().to_string()),
                });
            }
        }
        let own = written.into_iter().filter(|(key, _)| keys.contains(&key.get_ref().as_ref()));
        entries.extend(own.map(|(key, value)| (key.get_ref().as_ref(), TomlValue::new(value))));
        Ok(entries)
    }

    /// `keys`, among those of the outer struct if this one is flattened.
    fn keys_of_section(&self, keys: &[&'static str]) -> Vec<&'static str> {
        let Some(outer) = self.outer_keys else { return keys.to_vec() };
        let mut known = outer.to_vec();
        if let Some(place) = known.iter().position(|key| *key == FLATTENED) {
            known.splice(place..=place, keys.iter().copied());
        }
        known
    }
}

impl<'de> Deserializer<'de> for TomlValue<'de> {
    type Error = Fault;

    /// For types that can be written in several ways: a text is a `str`, a decimal number an `f64`, a list a sequence.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let digits = match self.value.get_ref() {
            DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str()),
            DeValue::Float(number) => Some(number.as_str()),
            _ => None,
        };
        let read = match (digits.and_then(|digits| digits.parse().ok()), self.value.get_ref()) {
            (Some(number), _) => visitor.visit_f64(number),
            (None, DeValue::String(text)) => visitor.visit_str(text),
            (None, DeValue::Array(values)) => {
                visitor.visit_seq(SeqDeserializer::new(values.iter().map(TomlValue::new)))
            }
            _ => Err(Fault::invalid_type(Unexpected::Other("value"), &visitor)),
        };
        read.map_err(|fault: Fault| fault.within(self.value.span()))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_some(self)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let value = self.value.get_ref().as_bool().ok_or_else(|| self.expected("true or false"))?;
        visitor.visit_bool(value)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_u32(self.integer(u16::MAX.into())?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_u32(self.integer(u32::MAX)?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let text = self.value.get_ref().as_str().ok_or_else(|| self.expected("a text in quotes"))?;
        visitor.visit_str(text)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let word = self.value.get_ref().as_str().ok_or_else(|| self.expected("a word in quotes"))?;
        if !words.contains(&word) {
            return Err(Fault::custom(unknown("word", word, words)).within(self.value.span()));
        }
        visitor.visit_enum(word.into_deserializer())
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let values = self.value.get_ref().as_array().ok_or_else(|| self.expected("a list in brackets"))?;
        visitor.visit_seq(SeqDeserializer::new(values.iter().map(TomlValue::new)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let read = if is_spanned(name) {
            visitor.visit_map(SpannedDeserializer::new(self, self.value.span()))
        } else {
            visitor.visit_map(MapDeserializer::new(self.entries(keys)?.into_iter()))
        };
        read.map_err(|fault: Fault| fault.within(self.value.span()))
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u64 f32 f64 char str bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct map
        identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Fault> for TomlValue<'de> {
    type Deserializer = TomlValue<'de>;

    fn into_deserializer(self) -> TomlValue<'de> {
        self
    }
}

/// What is wrong with a `kind` that is not `known`: proposes the nearest one, or lists all.
fn unknown(kind: &str, found: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(found, known) {
        return format!("unknown {kind} `{found}`, did you mean `{near}`?");
    }
    let known: Vec<_> = known.iter().map(|word| format!("`{word}`")).collect();
    let known = match &known[..] {
        [] => "none".to_owned(),
        [only] => only.clone(),
        [one, other] => format!("{one} or {other}"),
        _ => format!("one of {}", known.join(", ")),
    };
    format!("unknown {kind} `{found}`, expected {known}")
}

/// The key that `found` is probably a typo of: at most a third of its letters are wrong, missing or swapped, or it is part
/// of the key (`token` of `token_file`).
fn nearest<'w>(found: &str, known: &[&'w str]) -> Option<&'w str> {
    let found = found.to_ascii_lowercase().replace('-', "_");
    let distance = |word: &str| strsim::osa_distance(&found, word);
    let near = known.iter().copied().map(|word| (distance(word), word)).min();
    let near = near.filter(|(distance, word)| *distance <= (word.len() / 3).max(1)).map(|(_, word)| word);
    near.or_else(|| known.iter().copied().find(|word| found.len() > 2 && word.starts_with(&found)))
}
