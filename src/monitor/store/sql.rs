//! How the subjects run their SQL, whatever engine is behind it.
//!
//! A statement is one text for all engines: `?1`, `?2` and so on are its parameters, see [`params`]; a parameter may have many
//! rows, see [`rows`]. Compiled statements are kept, so the text should depend on as little as possible.

use super::error::StoreError;
#[cfg(feature = "postgres")]
use super::postgres::client::{self, PostgresConnection};
use super::sqlite;
pub(in crate::monitor) use super::value::params;
pub use super::value::{Column, Parameter, Value};
use rusqlite::CachedStatement;
use serde::{Serialize, Serializer};
use std::any::type_name;
use std::ops::{ControlFlow, Deref};

/// Rows as one value, for a statement that is about many: `FROM json_each(?1)` has a row for each, whose columns are
/// `value ->> 0`, `value ->> 1` and so on, and have to be cast (`CAST(value ->> 0 AS BIGINT)`) unless they are text. A row that
/// is a single number is `CAST(value AS BIGINT)`.
pub fn rows(rows: impl IntoIterator<Item = impl Serialize>) -> Result<String, StoreError> {
    let mut encoded = Vec::new();
    serde_json::Serializer::new(&mut encoded)
        .collect_seq(rows)
        .and_then(|()| String::from_utf8(encoded).map_err(serde::ser::Error::custom))
        .map_err(|error| StoreError::Other(format!("cannot encode the rows of a statement: {error}")))
}

/// A consistent view of the database, to read.
#[derive(Clone, Copy)]
pub struct Connection<'c> {
    engine: Engine<'c>,
}

#[derive(Clone, Copy)]
enum Engine<'c> {
    Sqlite(&'c rusqlite::Connection),
    #[cfg(feature = "postgres")]
    Postgres(&'c PostgresConnection),
}

/// A transaction, to read and write. The store commits or rolls it back.
#[derive(Clone, Copy)]
pub struct Transaction<'c> {
    connection: Connection<'c>,
}

/// A statement of a transaction that is run many times.
pub struct Statement<'c> {
    prepared: Prepared<'c>,
}

enum Prepared<'c> {
    Sqlite(CachedStatement<'c>),
    /// Its text: the server gets it with each run.
    #[cfg(feature = "postgres")]
    Postgres(&'c PostgresConnection, Box<str>),
}

/// A row of a result.
pub struct Row<'r> {
    found: Found<'r>,
}

enum Found<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    #[cfg(feature = "postgres")]
    Postgres(&'r client::Row),
}

type Parameters<'v> = &'v [&'v dyn Parameter];

impl<'c> Connection<'c> {
    pub(super) fn new(sqlite: &'c rusqlite::Connection) -> Connection<'c> {
        Connection { engine: Engine::Sqlite(sqlite) }
    }

    #[cfg(feature = "postgres")]
    pub(super) fn of_postgres(connection: &'c PostgresConnection) -> Connection<'c> {
        Connection { engine: Engine::Postgres(connection) }
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

    /// For the rare statement whose text has a hint for SQLite's planner.
    pub fn is_sqlite(&self) -> bool {
        self.sqlite().is_ok()
    }

    /// For the files of the store that are about SQLite's own.
    ///
    /// # Errors
    /// The engine is another one.
    pub(super) fn sqlite(&self) -> Result<&'c rusqlite::Connection, StoreError> {
        match self.engine {
            Engine::Sqlite(sqlite) => Ok(sqlite),
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => Err(StoreError::Other("only SQLite can do this".into())),
        }
    }

    fn statement(&self, sql: &str) -> Result<Statement<'c>, StoreError> {
        let prepared = match self.engine {
            Engine::Sqlite(sqlite) => Prepared::Sqlite(sqlite.prepare_cached(sql)?),
            #[cfg(feature = "postgres")]
            Engine::Postgres(connection) => Prepared::Postgres(connection, sql.into()),
        };
        Ok(Statement { prepared })
    }
}

impl<'c> Transaction<'c> {
    pub(super) fn new(sqlite: &'c rusqlite::Transaction<'_>) -> Transaction<'c> {
        Transaction { connection: Connection::new(sqlite) }
    }

    #[cfg(feature = "postgres")]
    pub(super) fn of_postgres(connection: &'c PostgresConnection) -> Transaction<'c> {
        Transaction { connection: Connection::of_postgres(connection) }
    }

    /// Runs a statement that returns no rows; returns how many rows it changed.
    pub fn execute(&self, sql: &str, values: Parameters<'_>) -> Result<usize, StoreError> {
        self.prepare(sql)?.execute(values)
    }

    /// Runs several statements that have no parameters.
    pub fn execute_batch(&self, sql: &str) -> Result<(), StoreError> {
        match self.connection.engine {
            Engine::Sqlite(sqlite) => Ok(sqlite.execute_batch(sql)?),
            #[cfg(feature = "postgres")]
            Engine::Postgres(connection) => connection.batch(sql),
        }
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
        match &mut self.prepared {
            Prepared::Sqlite(statement) => Ok(statement.execute(sqlite::bound(values))?),
            #[cfg(feature = "postgres")]
            Prepared::Postgres(connection, sql) => connection.execute(sql, values),
        }
    }

    /// Runs it once for each row of values; no run may depend on another one. PostgreSQL gets many before it has answered the
    /// first, so that they share a round trip. Returns how many rows they changed.
    pub fn execute_all<'v, const N: usize>(
        &mut self,
        rows: impl IntoIterator<Item = [Value<'v>; N]>,
    ) -> Result<usize, StoreError> {
        match &mut self.prepared {
            Prepared::Sqlite(statement) => {
                let changed = rows.into_iter().map(|row| statement.execute(sqlite::bound_row(&row)));
                Ok(changed.sum::<rusqlite::Result<usize>>()?)
            }
            #[cfg(feature = "postgres")]
            Prepared::Postgres(connection, sql) => {
                connection.execute_all(sql, &rows.into_iter().collect::<Vec<_>>())
            }
        }
    }

    /// What `read` makes of the first row of each run, which are like those of [`Statement::execute_all`]; `None`: there is
    /// none.
    pub fn query_optional_all<T, const N: usize>(
        &mut self,
        rows: &[[Value<'_>; N]],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        match &mut self.prepared {
            Prepared::Sqlite(statement) => {
                let mut first_row = |row: &[Value<'_>]| {
                    let mut found = statement.query(sqlite::bound_row(row))?;
                    found.next()?.map(|row| read(&Row { found: Found::Sqlite(row) })).transpose()
                };
                rows.iter().map(|row| first_row(row)).collect()
            }
            #[cfg(feature = "postgres")]
            Prepared::Postgres(connection, sql) => {
                let found = connection.query_all(sql, rows)?;
                let mut first = |rows: &Vec<_>| {
                    rows.first().map(|row| read(&Row { found: Found::Postgres(row) })).transpose()
                };
                found.iter().map(&mut first).collect()
            }
        }
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
        match &mut self.prepared {
            Prepared::Sqlite(statement) => {
                let mut rows = statement.query(sqlite::bound(values))?;
                while let Some(row) = rows.next()? {
                    if visit(&Row { found: Found::Sqlite(row) })?.is_break() {
                        break;
                    }
                }
            }
            #[cfg(feature = "postgres")]
            Prepared::Postgres(connection, sql) => {
                for row in &connection.query(sql, values)? {
                    if visit(&Row { found: Found::Postgres(row) })?.is_break() {
                        break;
                    }
                }
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

    pub(super) fn value(&self, column: usize) -> Result<Value<'_>, StoreError> {
        match &self.found {
            Found::Sqlite(row) => sqlite::value(row, column),
            #[cfg(feature = "postgres")]
            Found::Postgres(row) => client::value(row, column),
        }
    }
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
            connection.query_until(COUNT, params![100_000], |row| {
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
    fn a_statement_reads_many_rows_from_one_parameter() {
        let store = Store::scratch();
        let wanted = [(7, Some("a \"quoted\" name"), true, 0.5), (i64::MAX, None, false, -1.0)];
        let read = store.read(|connection| {
            let sql = "SELECT CAST(value ->> 0 AS BIGINT), value ->> 1, CAST(value ->> 2 AS BOOLEAN),
                              CAST(value ->> 3 AS DOUBLE PRECISION)
                       FROM json_each(?1)";
            let found = connection.query_all(sql, params![rows(wanted)?], |row| {
                let name: Option<String> = row.get(1)?;
                Ok((row.get::<i64>(0)?, name, row.get::<bool>(2)?, row.get::<f64>(3)?))
            })?;
            let numbers = "SELECT CAST(value AS BIGINT) FROM json_each(?1)";
            let numbers: Vec<i64> =
                connection.query_all(numbers, params![rows([3, i64::MIN])?], |row| row.get(0))?;
            Ok((found, numbers, connection.exists(sql, params![rows([0_u8; 0])?])?))
        });
        let wanted =
            wanted.map(|(number, name, is_on, share)| (number, name.map(str::to_owned), is_on, share));
        assert_eq!(read, Ok((wanted.to_vec(), vec![3, i64::MIN], false)));
    }

    #[test]
    fn a_statement_runs_once_for_each_row() {
        let store = Store::scratch();
        let found = store.write(|tx| {
            let rows = ["barn", "gate"].map(|name| [Value::Text(name), Value::Integer(7)]);
            let written =
                tx.prepare("INSERT INTO machine (name, created_at) VALUES (?1, ?2)")?.execute_all(rows)?;
            let keys = ["gate", "silo"].map(|name| [Value::Text(name)]);
            let mut select = tx.prepare("SELECT created_at FROM machine WHERE name = ?1")?;
            Ok::<_, StoreError>((written, select.query_optional_all(&keys, |row| row.get::<i64>(0))?))
        });
        assert_eq!(found, Ok((2, vec![Some(7), None])));
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
