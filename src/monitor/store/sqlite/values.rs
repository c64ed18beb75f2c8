//! Values as SQLite's library wants and has them.

use crate::monitor::store::error::StoreError;
use crate::monitor::store::value::{Parameter, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Params, Row, params_from_iter};

/// A parameter of a statement.
struct Bound<'v>(&'v dyn Parameter);

impl rusqlite::ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0.value() {
            Value::Null => ValueRef::Null,
            Value::Boolean(is_true) => ValueRef::Integer(i64::from(is_true)),
            Value::Integer(number) => ValueRef::Integer(number),
            Value::Real(number) => ValueRef::Real(number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// The parameters of a statement.
pub fn bound(values: &[&dyn Parameter]) -> impl Params {
    params_from_iter(values.iter().map(|value| Bound(*value)))
}

/// The same for values that are at hand.
pub fn bound_row(row: &[Value<'_>]) -> impl Params {
    params_from_iter(row.iter().map(|value| Bound(value)))
}

/// The value of a column.
pub fn value<'r>(row: &'r Row<'_>, column: usize) -> Result<Value<'r>, StoreError> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).map_err(|error| {
            StoreError::Other(format!("column {column} has a text that is not UTF-8: {error}"))
        })?),
        ValueRef::Blob(bytes) => Value::Blob(bytes),
    })
}
