//! How the subjects run their SQL, whatever engine is behind it.
//!
//! A statement is one text for all engines: `?1`, `?2` and so on are its parameters, see [`params`]. Compiled statements
//! are kept, so the text should depend on as little as possible.

use super::error::StoreError;
pub(in crate::monitor) use super::value::params;
pub use super::value::{Column, Parameter, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, params_from_iter};
use std::any::type_name;
use std::ops::{ControlFlow, Deref};

/// A consistent view of the database, to read.
#[derive(Clone, Copy)]
pub struct Connection<'c> {
    sqlite: &'c rusqlite::Connection,
}

/// A transaction, to read and write. The store commits or rolls it back.
#[derive(Clone, Copy)]
pub struct Transaction<'c> {
    connection: Connection<'c>,
}

/// A statement of a transaction that is run many times.
pub struct Statement<'c> {
    sqlite: CachedStatement<'c>,
}

/// A row of a result.
pub struct Row<'r> {
    sqlite: &'r rusqlite::Row<'r>,
}

type Parameters<'v> = &'v [&'v dyn Parameter];

impl<'c> Connection<'c> {
    pub(super) fn new(sqlite: &'c rusqlite::Connection) -> Connection<'c> {
        Connection { sqlite }
    }

    /// What `read` makes of the first row.
    ///
    /// # Errors
    /// There is no row.
    pub fn query_row<T>(
        &self,
        sql: &str,
        values: Parameters<'_>,
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.statement(sql)?.query_row(values, read)
    }

    /// What `read` makes of the first row, if there is one.
    pub fn query_optional<T>(
        &self,
        sql: &str,
        values: Parameters<'_>,
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.statement(sql)?.query_optional(values, read)
    }

    /// What `read` makes of each row.
    pub fn query_all<T>(
        &self,
        sql: &str,
        values: Parameters<'_>,
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        self.statement(sql)?.query_all(values, read)
    }

    /// Calls `visit` with each row.
    pub fn query_each(
        &self,
        sql: &str,
        values: Parameters<'_>,
        mut visit: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.query_until(sql, values, |row| visit(row).map(ControlFlow::Continue))
    }

    /// Calls `visit` with one row after the other until it breaks.
    pub fn query_until(
        &self,
        sql: &str,
        values: Parameters<'_>,
        mut visit: impl FnMut(&Row<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        self.statement(sql)?.visit(values, &mut visit)
    }

    /// Whether there is a row.
    pub fn exists(&self, sql: &str, values: Parameters<'_>) -> Result<bool, StoreError> {
        self.statement(sql)?.exists(values)
    }

    /// For the files of the store that are about SQLite's own.
    pub(super) fn sqlite(&self) -> &'c rusqlite::Connection {
        self.sqlite
    }

    fn statement(&self, sql: &str) -> Result<Statement<'c>, StoreError> {
        Ok(Statement { sqlite: self.sqlite.prepare_cached(sql)? })
    }
}

impl<'c> Transaction<'c> {
    pub(super) fn new(sqlite: &'c rusqlite::Transaction<'_>) -> Transaction<'c> {
        Transaction { connection: Connection::new(sqlite) }
    }

    /// Runs a statement that returns no rows; returns how many rows it changed.
    pub fn execute(&self, sql: &str, values: Parameters<'_>) -> Result<usize, StoreError> {
        self.prepare(sql)?.execute(values)
    }

    /// Runs several statements that have no parameters.
    pub fn execute_batch(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.connection.sqlite.execute_batch(sql)?)
    }

    pub fn prepare(&self, sql: &str) -> Result<Statement<'c>, StoreError> {
        self.connection.statement(sql)
    }
}

impl<'c> Deref for Transaction<'c> {
    type Target = Connection<'c>;

    fn deref(&self) -> &Connection<'c> {
        &self.connection
    }
}

impl Statement<'_> {
    /// See [`Transaction::execute`].
    pub fn execute(&mut self, values: Parameters<'_>) -> Result<usize, StoreError> {
        Ok(self.sqlite.execute(params_from_iter(bound(values)))?)
    }

    /// See [`Connection::query_row`].
    pub fn query_row<T>(
        &mut self,
        values: Parameters<'_>,
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let row = self.query_optional(values, read)?;
        row.ok_or_else(|| StoreError::Other("a statement that has one row returned none".into()))
    }

    /// See [`Connection::query_optional`].
    pub fn query_optional<T>(
        &mut self,
        values: Parameters<'_>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let mut first = None;
        self.visit(values, &mut |row| {
            first = Some(read(row)?);
            Ok(ControlFlow::Break(()))
        })?;
        Ok(first)
    }

    /// See [`Connection::query_all`].
    pub fn query_all<T>(
        &mut self,
        values: Parameters<'_>,
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut all = Vec::new();
        self.visit(values, &mut |row| {
            all.push(read(row)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(all)
    }

    /// See [`Connection::exists`].
    pub fn exists(&mut self, values: Parameters<'_>) -> Result<bool, StoreError> {
        Ok(self.query_optional(values, |_| Ok(()))?.is_some())
    }

    fn visit(
        &mut self,
        values: Parameters<'_>,
        visit: &mut dyn FnMut(&Row<'_>) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut rows = self.sqlite.query(params_from_iter(bound(values)))?;
        while let Some(row) = rows.next()? {
            if visit(&Row { sqlite: row })?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

impl Row<'_> {
    /// The value of a column, counted from 0.
    ///
    /// # Errors
    /// It is of another type, out of range, or NULL where `T` is no `Option`.
    pub fn get<'v, T: Column<'v>>(&'v self, column: usize) -> Result<T, StoreError> {
        let value = self.value(column)?;
        T::of(value).ok_or_else(|| {
            let (found, expected) = (value.type_name(), type_name::<T>());
            StoreError::Other(format!("column {column} has {found}, which cannot be read as {expected}"))
        })
    }

    fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        Ok(match self.sqlite.get_ref(column)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).map_err(|error| {
                StoreError::Other(format!("column {column} has a text that is not UTF-8: {error}"))
            })?),
            ValueRef::Blob(bytes) => Value::Blob(bytes),
        })
    }
}

/// A parameter as SQLite's library wants it.
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

fn bound<'v>(values: Parameters<'v>) -> impl Iterator<Item = Bound<'v>> {
    values.iter().map(|value| Bound(*value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::monitor::store::Store;

    const COUNT: &str =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT i FROM n";

    #[test]
    fn rows_are_read_one_all_or_as_many_as_are_wanted() {
        let store = Store::scratch();
        let read = store.read(|connection| {
            let number = |row: &Row<'_>| row.get::<i64>(0);
            let mut seen = Vec::new();
            connection.query_until(COUNT, params![1_000_000_000], |row| {
                seen.push(number(row)?);
                Ok(if seen.len() < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?;
            assert_eq!(seen, [1, 2, 3]);
            assert_eq!(connection.query_all(COUNT, params![4], number)?, [1, 2, 3, 4]);
            assert_eq!(connection.query_optional("SELECT 7 WHERE ?1", params![true], number)?, Some(7));
            assert_eq!(connection.query_optional("SELECT 7 WHERE ?1", params![false], number)?, None);
            assert!(connection.exists("SELECT 7 WHERE ?1", params![true])?);
            assert!(connection.query_row("SELECT 7 WHERE ?1", params![false], number).is_err());
            Ok(())
        });
        assert_eq!(read, Ok(()));
    }

    #[test]
    fn an_error_of_a_visitor_ends_the_query_and_the_statement_can_be_run_again() {
        let store = Store::scratch();
        let refused = || StoreError::Other("refused".into());
        let read = store.read(|connection| {
            assert_eq!(connection.query_each(COUNT, params![9], |_| Err(refused())), Err(refused()));
            connection.query_all(COUNT, params![2], |row| row.get::<i64>(0))
        });
        assert_eq!(read, Ok(vec![1, 2]));
    }

    #[test]
    fn an_error_of_a_column_names_types_and_no_value() {
        let store = Store::scratch();
        let read = store.read(|connection| {
            connection.query_row("SELECT 1, 'a secret'", &[], |row| row.get::<Option<i64>>(1))
        });
        let error = read.expect_err("a text is no number").to_string();
        assert!(error.contains("column 1 has a text, which cannot be read as"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    }
}
