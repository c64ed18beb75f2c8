//! A quick check for damaged tables with a time limit, for the start of a server.

use super::connection;
use super::database::SqliteDatabase;
use crate::monitor::store::error::StoreError;
use rusqlite::Connection;
use std::time::{Duration, Instant};

/// SQLite's steps between two looks at the clock; some microseconds each.
const STEPS: i32 = 10_000;

/// A table that SQLite finds damaged, and the first problem of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    pub table: String,
    pub problem: String,
}

/// The result of [`SqliteDatabase::quick_check`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct QuickCheck {
    pub damage: Vec<Damage>,
    /// Tables for which there was no time.
    pub unchecked: usize,
}

impl SqliteDatabase {
    /// Checks each table and its indexes, apart from `history`, which is large and on which no alarm depends.
    pub fn quick_check(&self, limit: Duration) -> Result<QuickCheck, StoreError> {
        let deadline = Instant::now() + limit;
        // A separate connection, closed afterwards: nothing of a damaged page stays in a cache.
        let connection = connection::reader(self.path(), self.manner)?;
        let tables = tables(&connection)?;
        connection.progress_handler(STEPS, Some(move || Instant::now() >= deadline))?;
        let mut checked = QuickCheck::default();
        for table in tables {
            match first_problem(&connection, &table) {
                Ok(None) => {}
                Ok(Some(problem)) => checked.damage.push(Damage { table, problem }),
                Err(_) if Instant::now() >= deadline => checked.unchecked += 1,
                Err(error) => checked.damage.push(Damage { table, problem: error.to_string() }),
            }
        }
        Ok(checked)
    }
}

fn tables(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'
         AND name <> 'history' ORDER BY name",
    )?;
    let names = statement.query_map([], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

fn first_problem(connection: &Connection, table: &str) -> Result<Option<String>, StoreError> {
    // Our own names: letters and underscores.
    let sql = format!("PRAGMA quick_check('{table}')");
    let problem: String = connection.query_row(&sql, [], |row| row.get(0))?;
    Ok((problem != "ok").then(|| problem.replace('\n', " ")))
}
