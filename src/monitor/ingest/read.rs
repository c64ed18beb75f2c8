//! Reads a heartbeat's JSON in one pass: known fields are read, all others are validated and skipped.
//!
//! Nothing is copied and no tree is built. A field of the wrong type counts as absent, because devices of many versions
//! exist. Errors are invalid JSON, and JSON that a strict reader of the stored payload could not read: nesting deeper than
//! serde_json's 128, numbers beyond f64, half a surrogate pair. (serde's `IgnoredAny` accepts all three.)

use super::malformed::{Cause, Malformed};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

/// The fields of the JSON object in `text`.
///
/// # Errors
/// `text` is not JSON, or not an object.
pub fn object<'de, F: Fields<'de>>(text: &'de str) -> Result<F, Malformed> {
    match serde_json::from_str(text).map_err(Malformed::json)? {
        JsonValue::Object(fields) => Ok(fields),
        _ => Err(Malformed::new(Cause::NotAHeartbeat, "the body must be a JSON object")),
    }
}

/// The known fields of an object. If a key is repeated, the last value counts, as in PHP.
pub trait Fields<'de>: Default {
    /// Reads the value of `key` with exactly one of [`figure`], [`text`], [`first`], [`nested`] or [`skip`].
    fn read_field<A: MapAccess<'de>>(&mut self, key: &str, value: &mut A) -> Result<(), A::Error>;
}

/// A number, or a string of a number and one of `units`.
pub fn figure<'de, A: MapAccess<'de>>(value: &mut A, units: &[&str]) -> Result<Option<f64>, A::Error> {
    Ok(match value.next_value::<JsonValue<Skipped>>()? {
        JsonValue::Number(number) => Some(number),
        JsonValue::Text(text) => with_unit(&text, units),
        _ => None,
    })
}

/// A non-empty string.
pub fn text<'de, A: MapAccess<'de>>(value: &mut A) -> Result<Option<Cow<'de, str>>, A::Error> {
    Ok(match value.next_value::<JsonValue<Skipped>>()? {
        JsonValue::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    })
}

/// The first number of an array.
pub fn first<'de, A: MapAccess<'de>>(value: &mut A) -> Result<Option<f64>, A::Error> {
    Ok(match value.next_value::<JsonValue<Skipped>>()? {
        JsonValue::Array(first) => first,
        _ => None,
    })
}

/// An object; empty if the value is something else.
pub fn nested<'de, F: Fields<'de>, A: MapAccess<'de>>(value: &mut A) -> Result<F, A::Error> {
    Ok(match value.next_value::<JsonValue<F>>()? {
        JsonValue::Object(fields) => fields,
        _ => F::default(),
    })
}

/// `true` or `false`.
pub fn boolean<'de, A: MapAccess<'de>>(value: &mut A) -> Result<Option<bool>, A::Error> {
    Ok(match value.next_value::<JsonValue<Skipped>>()? {
        JsonValue::Bool(value) => Some(value),
        _ => None,
    })
}

/// The first `most` elements of an array; `None` if the value is something else.
pub fn list<'de, F: Fields<'de>, A: MapAccess<'de>>(
    value: &mut A,
    most: usize,
) -> Result<Option<Vec<JsonValue<'de, F>>>, A::Error> {
    value.next_value_seed(ListSeed { most, element: PhantomData })
}

pub fn skip<'de, A: MapAccess<'de>>(value: &mut A) -> Result<(), A::Error> {
    value.next_value::<JsonValue<Skipped>>().map(drop)
}

/// Any JSON value.
pub enum JsonValue<'de, F> {
    Object(F),
    /// Its first element, if that is a number.
    Array(Option<f64>),
    Number(f64),
    Text(Cow<'de, str>),
    Bool(bool),
    Null,
}

/// An object whose fields are all skipped.
#[derive(Default)]
pub struct Skipped;

impl<'de> Fields<'de> for Skipped {
    fn read_field<A: MapAccess<'de>>(&mut self, _: &str, value: &mut A) -> Result<(), A::Error> {
        skip(value)
    }
}

impl<'de, F: Fields<'de>> Deserialize<'de> for JsonValue<'de, F> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor(PhantomData))
    }
}

struct ValueVisitor<F>(PhantomData<F>);

impl<'de, F: Fields<'de>> Visitor<'de> for ValueVisitor<F> {
    type Value = JsonValue<'de, F>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = F::default();
        while let Some(ObjectKey(key)) = map.next_key()? {
            fields.read_field(&key, &mut map)?;
        }
        Ok(JsonValue::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let first = match seq.next_element::<JsonValue<Skipped>>()? {
            Some(JsonValue::Number(number)) => Some(number),
            _ => None,
        };
        while seq.next_element::<JsonValue<Skipped>>()?.is_some() {}
        Ok(JsonValue::Array(first))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(JsonValue::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(JsonValue::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(JsonValue::Number(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(JsonValue::Number(number as f64))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(JsonValue::Number(number as f64))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(JsonValue::Bool(value))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(JsonValue::Null)
    }
}

/// Reads an array; any other value is validated and skipped.
struct ListSeed<F> {
    most: usize,
    element: PhantomData<F>,
}

impl<'de, F: Fields<'de>> DeserializeSeed<'de> for ListSeed<F> {
    type Value = Option<Vec<JsonValue<'de, F>>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, F: Fields<'de>> Visitor<'de> for ListSeed<F> {
    type Value = Option<Vec<JsonValue<'de, F>>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.most {
            let Some(element) = seq.next_element()? else { return Ok(Some(elements)) };
            elements.push(element);
        }
        while seq.next_element::<JsonValue<Skipped>>()?.is_some() {}
        Ok(Some(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<ObjectKey<'_>, JsonValue<Skipped>>()?.is_some() {}
        Ok(None)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// A key of an object: borrowed, unless it was written with escapes.
struct ObjectKey<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for ObjectKey<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = ObjectKey<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(ObjectKey(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(ObjectKey(Cow::Owned(text.to_owned())))
    }
}

/// Parses "48.8°C", "2.45 W" or "42.1". `None` for another unit (119 °F is not in °C) and for text without a number: "--",
/// "NaN".
fn with_unit(text: &str, units: &[&str]) -> Option<f64> {
    let text = text.trim();
    let end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-' | '+')).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    if !unit.is_empty() && !units.contains(&unit) {
        return None;
    }
    number.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_may_be_a_string_with_the_unit_of_its_field() {
        for (text, expected) in [
            ("48.8°C", Some(48.8)),
            ("48.8 °C", Some(48.8)),
            (" -3.5°C ", Some(-3.5)),
            ("48.8", Some(48.8)),
            ("119.8°F", None),
            ("--", None),
            ("NaN", None),
            ("inf", None),
            ("", None),
            ("°C", None),
            ("1.2.3", None),
        ] {
            assert_eq!(with_unit(text, &["°C"]), expected, "{text}");
        }
    }

    #[test]
    fn json_that_a_strict_reader_refuses_is_refused() {
        let deep = format!("{{\"a\": {}{}}}", "[".repeat(200), "]".repeat(200));
        for hostile in [deep.as_str(), r#"{"a": 1e999}"#, r#"{"a": "\ud800"}"#, r#"{"a": {"\ud800": 1}}"#] {
            assert!(serde_json::from_str::<JsonValue<Skipped>>(hostile).is_err(), "{hostile}");
            assert!(serde_json::from_str::<serde_json::Value>(hostile).is_err(), "{hostile}");
        }
        let shallow = format!("{{\"a\": {}{}}}", "[".repeat(100), "]".repeat(100));
        assert!(serde_json::from_str::<JsonValue<Skipped>>(&shallow).is_ok());
    }
}
