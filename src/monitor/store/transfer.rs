//! Copies a database into an empty one, on the same engine or the other. All rows are written in one transaction, read again,
//! and compared before it is committed.

use super::database::Store;
use super::error::StoreError;
use super::refused::Refused;
use super::sql::{Connection, Parameter, Row, Transaction, Value, params};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Each one after those to which it refers.
const TABLES: [&str; 38] = [
    "machine",
    "machine_tag",
    "machine_state",
    "machine_latest",
    "device_token",
    "enroll_token",
    "read_token",
    "maintenance_plan",
    "maintenance",
    "incident",
    "event",
    "recipient",
    "channel",
    "history",
    "recipient_choice",
    "retention",
    "flapping",
    "machine_judged",
    "condition_setting",
    "camera",
    "camera_day",
    "web_user",
    "web_user_scope",
    "web_recovery_code",
    "web_invitation",
    "web_session",
    "web_key",
    "audit",
    "incident_comment",
    "beat_day",
    "machine_mark",
    "history_range",
    "status_label",
    "status_page",
    "enroll_request",
    "mqtt_topic",
    "recipient_report",
    "outbox",
];

/// Which monitors run, and what each of them does at the moment: nothing that a copy could have.
#[cfg(test)]
const NOT_COPIED: [&str; 2] = ["monitor_instance", "duty"];

/// Columns that refer to rows of their own table, which may come later.
const WITHIN_TABLE: [(&str, &str); 2] = [("machine", "behind"), ("recipient", "escalate_to")];

/// Rows that one statement inserts.
const ROWS_AT_ONCE: usize = 100;

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress {
    pub table: &'static str,
    pub rows: u64,
    pub of_rows: u64,
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopiedRows {
    pub tables: u64,
    pub rows: u64,
}

/// The rows of a table, independent of their order: their number, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct TableSum {
    rows: u64,
    hashes: u64,
}

/// A column of a table.
struct CopiedColumn {
    name: String,
    /// In the target: SQLite keeps 0 and 1.
    is_boolean: bool,
}

/// A value that outlives its row.
#[derive(Debug, Clone, PartialEq)]
enum KeptValue {
    Null,
    Boolean(bool),
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Store {
    /// Copies everything into `target`. On PostgreSQL, one table at a time is held in memory.
    ///
    /// # Errors
    /// `target` is not empty, or a table is not the same there afterwards; nothing is written then.
    pub fn copy_into(
        &self,
        target: &Store,
        report: &mut dyn FnMut(CopyProgress),
    ) -> Result<CopiedRows, Refused> {
        self.read(|source| Ok(target.transact(|target| copy_all(source, target, report))))?
    }
}

fn copy_all(
    source: &Connection<'_>,
    target: &Transaction<'_>,
    report: &mut dyn FnMut(CopyProgress),
) -> Result<CopiedRows, Refused> {
    for table in TABLES {
        if target.exists(&format!("SELECT 1 FROM {table} LIMIT 1"), &[])? {
            return Err(Refused::because(format!(
                "the second database has rows already (in {table}); name an empty one"
            )));
        }
    }
    let mut copied = CopiedRows::default();
    for table in TABLES {
        let columns = columns(target, table)?;
        let written = copy_table(source, target, table, &columns, report)?;
        let read = sum(target, table, &columns)?;
        if read != written {
            return Err(Refused::because(format!(
                "{table} is not the same in the second database: {} rows of {}, or other values; nothing was copied",
                read.rows, written.rows
            )));
        }
        continue_numbers(source, target, table)?;
        copied.tables += 1;
        copied.rows += written.rows;
    }
    Ok(copied)
}

fn copy_table(
    source: &Connection<'_>,
    target: &Transaction<'_>,
    table: &'static str,
    columns: &[CopiedColumn],
    report: &mut dyn FnMut(CopyProgress),
) -> Result<TableSum, StoreError> {
    let of_rows: i64 = source.query_row(&format!("SELECT count(*) FROM {table}"), &[], |row| row.get(0))?;
    let mut progress = CopyProgress { table, rows: 0, of_rows: u64::try_from(of_rows).unwrap_or(0) };
    let mut read = TableSum::default();
    let mut waiting: Vec<Vec<KeptValue>> = Vec::new();
    source.query_each(&select(table, columns), &[], |row| {
        let values = kept_row(row, columns)?;
        read.add(&values);
        waiting.push(values);
        if waiting.len() == ROWS_AT_ONCE {
            insert(target, table, columns, &waiting)?;
            progress.rows += waiting.len() as u64;
            report(progress);
            waiting.clear();
        }
        Ok(())
    })?;
    insert(target, table, columns, &waiting)?;
    report(CopyProgress { rows: read.rows, ..progress });
    link_rows(source, target, table)?;
    Ok(read)
}

fn insert(
    target: &Transaction<'_>,
    table: &str,
    columns: &[CopiedColumn],
    rows: &[Vec<KeptValue>],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let (names, width) = (names(columns), columns.len());
    let row = |row: usize| {
        let numbers: Vec<String> = (1..=width).map(|column| format!("?{}", row * width + column)).collect();
        format!("({})", numbers.join(", "))
    };
    let places: Vec<String> = (0..rows.len()).map(row).collect();
    let is_later = |column: &CopiedColumn| WITHIN_TABLE.contains(&(table, column.name.as_str()));
    let value = |(column, value): (usize, &'_ KeptValue)| match is_later(&columns[column]) {
        true => KeptValue::Null,
        false => value.clone(),
    };
    let values: Vec<KeptValue> = rows.iter().flat_map(|row| row.iter().enumerate().map(value)).collect();
    let values: Vec<&dyn Parameter> = values.iter().map(|value| value as &dyn Parameter).collect();
    target.execute(&format!("INSERT INTO {table} ({names}) VALUES {}", places.join(", ")), &values)?;
    Ok(())
}

/// Fills the columns that refer to rows of the same table.
fn link_rows(source: &Connection<'_>, target: &Transaction<'_>, table: &str) -> Result<(), StoreError> {
    for (_, column) in WITHIN_TABLE.iter().filter(|(of, _)| *of == table) {
        let mut update = target.prepare(&format!("UPDATE {table} SET {column} = ?2 WHERE id = ?1"))?;
        let sql = format!("SELECT id, {column} FROM {table} WHERE {column} IS NOT NULL");
        source.query_each(&sql, &[], |row| {
            update.execute(params![row.get::<i64>(0)?, row.get::<i64>(1)?])?;
            Ok(())
        })?;
    }
    Ok(())
}

/// New rows get numbers that were never used, also not by rows that are gone.
fn continue_numbers(
    source: &Connection<'_>,
    target: &Transaction<'_>,
    table: &str,
) -> Result<(), StoreError> {
    let (Some(last), true) = (last_number(source, table)?, has_numbers(target, table)?) else {
        return Ok(());
    };
    if target.is_sqlite() {
        target.execute("DELETE FROM sqlite_sequence WHERE name = ?1", params![table])?;
        target.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", params![table, last])?;
        return Ok(());
    }
    let sql = format!("SELECT setval(pg_get_serial_sequence('{table}', 'id'), ?1)");
    target.query_row(&sql, params![last], |_| Ok(()))
}

/// The last number that a row of `table` had; `None`: the table has no numbers, or had no row.
fn last_number(connection: &Connection<'_>, table: &str) -> Result<Option<i64>, StoreError> {
    if !columns(connection, table)?.iter().any(|column| column.name == "id") {
        return Ok(None);
    }
    let greatest: Option<i64> =
        connection.query_row(&format!("SELECT max(id) FROM {table}"), &[], |row| row.get(0))?;
    let counted = match (connection.is_sqlite(), has_numbers(connection, table)?) {
        (_, false) => None,
        (true, _) => {
            let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
            connection.query_optional(sql, params![table], |row| row.get(0))?
        }
        (false, _) => {
            let sql = format!("SELECT pg_get_serial_sequence('{table}', 'id')");
            let sequence: String = connection.query_row(&sql, &[], |row| row.get(0))?;
            let sql = format!("SELECT last_value FROM {sequence} WHERE is_called");
            connection.query_optional(&sql, &[], |row| row.get(0))?
        }
    };
    // SQLite counts from 0 in a table that never had a row.
    Ok(greatest.max(counted).filter(|last| *last > 0))
}

/// Whether the engine counts the rows of a table, so that no number is used twice.
fn has_numbers(connection: &Connection<'_>, table: &str) -> Result<bool, StoreError> {
    if connection.is_sqlite() {
        let sql = "SELECT 1 FROM sqlite_master WHERE name = ?1 AND sql LIKE '%AUTOINCREMENT%'";
        return connection.exists(sql, params![table]);
    }
    let sql = "SELECT 1 FROM information_schema.columns
               WHERE table_schema = current_schema() AND table_name = ?1 AND is_identity = 'YES'";
    connection.exists(sql, params![table])
}

fn columns(connection: &Connection<'_>, table: &str) -> Result<Vec<CopiedColumn>, StoreError> {
    let sql = match connection.is_sqlite() {
        true => "SELECT name, FALSE FROM pragma_table_info(?1) ORDER BY cid",
        false => {
            "SELECT CAST(column_name AS TEXT), data_type = 'boolean' FROM information_schema.columns
             WHERE table_schema = current_schema() AND table_name = ?1 ORDER BY ordinal_position"
        }
    };
    connection
        .query_all(sql, params![table], |row| Ok(CopiedColumn { name: row.get(0)?, is_boolean: row.get(1)? }))
}

fn select(table: &str, columns: &[CopiedColumn]) -> String {
    format!("SELECT {} FROM {table}", names(columns))
}

fn names(columns: &[CopiedColumn]) -> String {
    columns.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn sum(connection: &Connection<'_>, table: &str, columns: &[CopiedColumn]) -> Result<TableSum, StoreError> {
    let mut sum = TableSum::default();
    connection.query_each(&select(table, columns), &[], |row| {
        sum.add(&kept_row(row, columns)?);
        Ok(())
    })?;
    Ok(sum)
}

fn kept_row(row: &Row<'_>, columns: &[CopiedColumn]) -> Result<Vec<KeptValue>, StoreError> {
    columns.iter().enumerate().map(|(at, column)| Ok(kept(row.value(at)?, column.is_boolean))).collect()
}

fn kept(value: Value<'_>, is_boolean: bool) -> KeptValue {
    match value {
        Value::Null => KeptValue::Null,
        Value::Boolean(is_true) => KeptValue::Boolean(is_true),
        Value::Integer(number) if is_boolean => KeptValue::Boolean(number != 0),
        Value::Integer(number) => KeptValue::Integer(number),
        Value::Real(number) => KeptValue::Real(number),
        Value::Text(text) => KeptValue::Text(text.to_owned()),
        Value::Blob(bytes) => KeptValue::Blob(bytes.to_owned()),
    }
}

impl TableSum {
    fn add(&mut self, values: &[KeptValue]) {
        let mut hasher = DefaultHasher::new();
        values.iter().for_each(|value| value.hash(&mut hasher));
        self.rows += 1;
        self.hashes = self.hashes.wrapping_add(hasher.finish());
    }
}

impl Hash for KeptValue {
    /// True is the integer 1, as it is on SQLite.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        match self {
            KeptValue::Null => 0_u8.hash(hasher),
            KeptValue::Boolean(is_true) => (1_u8, i64::from(*is_true)).hash(hasher),
            KeptValue::Integer(number) => (1_u8, number).hash(hasher),
            KeptValue::Real(number) => (2_u8, number.to_bits()).hash(hasher),
            KeptValue::Text(text) => (3_u8, text).hash(hasher),
            KeptValue::Blob(bytes) => (4_u8, bytes).hash(hasher),
        }
    }
}

impl Parameter for KeptValue {
    fn value(&self) -> Value<'_> {
        match self {
            KeptValue::Null => Value::Null,
            KeptValue::Boolean(is_true) => Value::Boolean(*is_true),
            KeptValue::Integer(number) => Value::Integer(*number),
            KeptValue::Real(number) => Value::Real(*number),
            KeptValue::Text(text) => Value::Text(text),
            KeptValue::Blob(bytes) => Value::Blob(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine behind a later one, each kind of value, and an incident whose number was used before.
    const ROWS: &str = "
        INSERT INTO machine (id, name, created_at) VALUES (1, 'gate', 5), (2, 'switch', 6);
        UPDATE machine SET behind = 2, hostname_pinned = TRUE WHERE id = 1;
        INSERT INTO machine_state (machine_id, status, watched, since) VALUES (1, 1, TRUE, 7), (2, 1, FALSE, 8);
        INSERT INTO machine_latest VALUES (1, 9, '{\"name\": \"Köln, it''s ?1\"}');
        INSERT INTO recipient (id, name, events) VALUES (1, 'ada', '[]'), (2, 'bob', '[]');
        UPDATE recipient SET escalate_to = 2, escalate_after = 60000 WHERE id = 1;
        INSERT INTO condition_setting (condition, scope, threshold) VALUES ('temp', 'all', 75.5), ('disk', 'all', NULL);
        INSERT INTO incident (id, machine_id, planned, last_seen, began_at) VALUES (7, 1, FALSE, 5, 6), (9, 2, TRUE, 5, 6);
        DELETE FROM incident WHERE id = 9;";

    fn filled() -> crate::monitor::store::Scratch {
        let store = Store::scratch_file();
        let done: Result<(), StoreError> = store.write(|tx| {
            tx.execute_batch(ROWS)?;
            let mut minutes = tx.prepare("INSERT INTO history VALUES (1, 60, ?1, ?2)")?;
            for minute in 0..250_i64 {
                minutes.execute(params![minute, [0_u8, 255, 7]])?;
            }
            Ok(())
        });
        done.expect("filled");
        store
    }

    fn copy(from: &Store, to: &Store) -> Result<CopiedRows, Refused> {
        from.copy_into(to, &mut |_| ())
    }

    fn sums(store: &Store) -> Vec<TableSum> {
        let sums = store.read(|connection| {
            // The order of columns is not the same on both engines.
            TABLES
                .iter()
                .map(|table| {
                    let mut columns = columns(connection, table)?;
                    columns.sort_by(|a, b| a.name.cmp(&b.name));
                    sum(connection, table, &columns)
                })
                .collect()
        });
        sums.expect("read")
    }

    #[test]
    fn a_copy_has_the_same_rows_whatever_the_engines_are() {
        let (first, second, third) = (filled(), Store::scratch(), Store::scratch_file());
        let mut last = None;
        let copied = first.copy_into(&second, &mut |progress| {
            assert!(progress.rows <= progress.of_rows);
            last = last.max(Some(progress.rows));
        });
        let copied = copied.expect("copied");
        assert_eq!((copied.tables, last), (38, Some(250)));
        assert_eq!(sums(&first), sums(&second));
        assert_eq!(copy(&second, &third), Ok(copied));
        assert_eq!(sums(&first), sums(&third));
    }

    #[test]
    fn a_number_is_not_used_again_after_a_copy() {
        let (first, second) = (filled(), Store::scratch());
        copy(&first, &second).expect("copied");
        let new = "INSERT INTO incident (machine_id, planned, last_seen, began_at) VALUES (2, FALSE, 5, 6) RETURNING id";
        let id: Result<i64, _> = second.write(|tx| tx.query_row(new, &[], |row| row.get(0)));
        assert_eq!(id, Ok(10), "9 was used by a row that is gone");
    }

    #[test]
    fn an_empty_database_can_be_copied() {
        let copied = copy(&Store::scratch_file(), &Store::scratch());
        assert_eq!(copied, Ok(CopiedRows { tables: 38, rows: 0 }));
    }

    #[test]
    fn a_database_that_is_not_empty_stays_as_it_is() {
        let (first, second) = (filled(), Store::scratch());
        let add = "INSERT INTO web_key VALUES ('device_cookie', ?1)";
        second.write(|tx| tx.execute(add, params![[1_u8]])).expect("a row");
        let before = sums(&second);
        let refused = copy(&first, &second).expect_err("not empty").to_string();
        assert!(refused.contains("(in web_key)"), "{refused}");
        assert_eq!(sums(&second), before);
    }

    #[test]
    fn each_table_is_copied_after_those_to_which_it_refers() {
        let store = Store::scratch_file();
        let names =
            |sql: &str| store.read(|c| c.query_all(sql, &[], |row| row.get::<String>(0))).expect("names");
        let mut known: Vec<String> = TABLES.into_iter().chain(NOT_COPIED).map(str::to_owned).collect();
        known.sort();
        let all = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name";
        assert_eq!(names(all), known);
        for (at, table) in TABLES.iter().enumerate() {
            for other in names(&format!("SELECT \"table\" FROM pragma_foreign_key_list('{table}')")) {
                let is_earlier = TABLES[..at].contains(&other.as_str());
                assert!(
                    is_earlier || WITHIN_TABLE.iter().any(|(of, _)| *of == other),
                    "{table} refers to {other}"
                );
            }
        }
    }
}
