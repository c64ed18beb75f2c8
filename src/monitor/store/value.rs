//! Values that go into a statement and come out of a row, the same for each engine.

use crate::clock::Moment;

/// A value as an engine stores it. SQLite has no boolean: there, true is the integer 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'v> {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(&'v str),
    Blob(&'v [u8]),
}

impl Value<'_> {
    /// For errors, which must not contain what may be a secret.
    pub fn type_name(self) -> &'static str {
        match self {
            Value::Null => "NULL",
            Value::Boolean(_) => "a boolean",
            Value::Integer(_) => "an integer",
            Value::Real(_) => "a real number",
            Value::Text(_) => "a text",
            Value::Blob(_) => "bytes",
        }
    }
}

/// A type whose values can be bound to `?1`, `?2` and so on.
pub trait Parameter {
    fn value(&self) -> Value<'_>;
}

/// A type that a column can be read as.
pub trait Column<'v>: Sized {
    /// `None`: the value is of another type, or out of range.
    fn of(value: Value<'v>) -> Option<Self>;
}

/// The values of a statement, in the order of their numbers.
macro_rules! params {
    ($($value:expr),* $(,)?) => {
        &[$(&$value as &dyn $crate::monitor::store::sql::Parameter),*]
    };
}
pub(in crate::monitor) use params;

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Parameter for $type {
            fn value(&self) -> Value<'_> {
                Value::Integer(i64::from(*self))
            }
        }

        impl Column<'_> for $type {
            fn of(value: Value<'_>) -> Option<Self> {
                match value {
                    Value::Integer(number) => number.try_into().ok(),
                    _ => None,
                }
            }
        }
    )*};
}
integers!(i16, i32, i64, u8, u16, u32);

impl Parameter for Value<'_> {
    fn value(&self) -> Value<'_> {
        *self
    }
}

impl Parameter for bool {
    fn value(&self) -> Value<'_> {
        Value::Boolean(*self)
    }
}

impl Column<'_> for bool {
    fn of(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Boolean(is_true) => Some(is_true),
            Value::Integer(number) => Some(number != 0),
            _ => None,
        }
    }
}

impl Parameter for f32 {
    fn value(&self) -> Value<'_> {
        Value::Real(f64::from(*self))
    }
}

impl Column<'_> for f32 {
    fn of(value: Value<'_>) -> Option<Self> {
        f64::of(value).map(|number| number as f32)
    }
}

impl Parameter for f64 {
    fn value(&self) -> Value<'_> {
        Value::Real(*self)
    }
}

impl Column<'_> for f64 {
    fn of(value: Value<'_>) -> Option<Self> {
        match value {
            Value::Real(number) => Some(number),
            Value::Integer(number) => Some(number as f64),
            _ => None,
        }
    }
}

impl Parameter for str {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl<'v> Column<'v> for &'v str {
    fn of(value: Value<'v>) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Parameter for String {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Column<'_> for String {
    fn of(value: Value<'_>) -> Option<Self> {
        <&str>::of(value).map(str::to_owned)
    }
}

impl Parameter for Box<str> {
    fn value(&self) -> Value<'_> {
        Value::Text(self)
    }
}

impl Column<'_> for Box<str> {
    fn of(value: Value<'_>) -> Option<Self> {
        <&str>::of(value).map(Box::from)
    }
}

impl Parameter for [u8] {
    fn value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<'v> Column<'v> for &'v [u8] {
    fn of(value: Value<'v>) -> Option<Self> {
        match value {
            Value::Blob(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl Parameter for Vec<u8> {
    fn value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl Column<'_> for Vec<u8> {
    fn of(value: Value<'_>) -> Option<Self> {
        <&[u8]>::of(value).map(<[u8]>::to_owned)
    }
}

impl<const LENGTH: usize> Parameter for [u8; LENGTH] {
    fn value(&self) -> Value<'_> {
        Value::Blob(self)
    }
}

impl<const LENGTH: usize> Column<'_> for [u8; LENGTH] {
    fn of(value: Value<'_>) -> Option<Self> {
        <&[u8]>::of(value).and_then(|bytes| bytes.try_into().ok())
    }
}

impl Parameter for Moment {
    fn value(&self) -> Value<'_> {
        Value::Integer(self.0)
    }
}

impl Column<'_> for Moment {
    fn of(value: Value<'_>) -> Option<Self> {
        i64::of(value).map(Moment)
    }
}

impl<T: Parameter> Parameter for Option<T> {
    fn value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, T::value)
    }
}

impl<'v, T: Column<'v>> Column<'v> for Option<T> {
    fn of(value: Value<'v>) -> Option<Self> {
        match value {
            Value::Null => Some(None),
            value => T::of(value).map(Some),
        }
    }
}

impl<T: Parameter + ?Sized> Parameter for &T {
    fn value(&self) -> Value<'_> {
        (**self).value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_read_only_as_what_it_is() {
        assert_eq!(u16::of(Value::Integer(65_535)), Some(65_535));
        assert_eq!(u16::of(Value::Integer(65_536)), None);
        assert_eq!(u16::of(Value::Null), None);
        assert_eq!(Option::<u16>::of(Value::Null), Some(None));
        assert_eq!(Option::<u16>::of(Value::Text("1")), None);
        assert_eq!(bool::of(Value::Integer(1)), Some(true));
        assert_eq!(bool::of(Value::Boolean(false)), Some(false));
        assert_eq!(i64::of(Value::Real(1.0)), None);
        assert_eq!(f64::of(Value::Integer(2)), Some(2.0));
        assert_eq!(<[u8; 2]>::of(Value::Blob(&[1, 2])), Some([1, 2]));
        assert_eq!(<[u8; 2]>::of(Value::Blob(&[1, 2, 3])), None);
        assert_eq!(Moment::of(Value::Integer(7)), Some(Moment(7)));
    }

    #[test]
    fn a_parameter_that_is_absent_is_null() {
        assert_eq!(None::<i64>.value(), Value::Null);
        assert_eq!(Some("text").value(), Value::Text("text"));
        assert_eq!((&&true).value(), Value::Boolean(true));
    }
}
