//! Migrates an older schema to the current one, after a copy of the file was made.

use super::copy::copy_to;
use super::file::beside;
use crate::clock::Moment;
use crate::monitor::store::error::StoreError;
use rusqlite::{Connection, TransactionBehavior};
use std::fs;
use std::path::{Path, PathBuf};
use time::OffsetDateTime;

/// In the file's head ("hbmn"): another program's database is not taken for ours.
pub const APPLICATION_ID: i32 = 0x6862_6d6e;

/// The statements from version n to n + 1 are at index n. Never change a released one.
pub const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("migrations/002_choices.sql"),
    include_str!("migrations/003_lunasentri_views.sql"),
    include_str!("migrations/004_outbox_uncertain.sql"),
    include_str!("migrations/005_horizon.sql"),
    include_str!("migrations/006_hostname_pinned.sql"),
    include_str!("migrations/007_hardware_id.sql"),
    include_str!("migrations/008_incidents.sql"),
    include_str!("migrations/009_conditions.sql"),
    include_str!("migrations/010_pages.sql"),
    include_str!("migrations/011_status_pages.sql"),
    include_str!("migrations/012_incident_indexes.sql"),
    include_str!("migrations/013_enrolment.sql"),
    include_str!("migrations/014_rejected_devices.sql"),
    include_str!("migrations/015_reminders.sql"),
    include_str!("migrations/016_escalation.sql"),
    include_str!("migrations/017_mqtt.sql"),
    include_str!("migrations/018_messages.sql"),
    include_str!("migrations/019_channel_options.sql"),
    include_str!("migrations/020_server_role.sql"),
    include_str!("migrations/021_reports.sql"),
    include_str!("migrations/022_behind.sql"),
    include_str!("migrations/023_maintenance_plan.sql"),
    include_str!("migrations/024_several_monitors.sql"),
];

/// Copies that are kept; the oldest are removed.
const KEPT_COPIES: usize = 3;

/// The version of the schema in `connection`.
pub fn version(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// Checks that it is a database of this program.
pub fn recognise(connection: &Connection) -> Result<(), StoreError> {
    let id: i32 = connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
    if id != APPLICATION_ID {
        return Err(StoreError::Other("this is a database of another program; name another file".into()));
    }
    Ok(())
}

/// The version that `migrations` lead to.
pub fn latest(migrations: &[&str]) -> i64 {
    i64::try_from(migrations.len()).unwrap_or(i64::MAX)
}

/// Applies the missing migrations, each in its own transaction. After a kill, the next start continues.
///
/// # Errors
/// [`StoreError::Newer`], or what SQLite says; the schema is then the one after the last step that succeeded.
pub fn migrate(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    // A rebuilt table is dropped, which would delete the rows that refer to it. The setting cannot change inside a
    // transaction; each step checks the references at its end.
    connection.pragma_update(None, "foreign_keys", false)?;
    let result = steps(connection, migrations);
    connection.pragma_update(None, "foreign_keys", true)?;
    result
}

fn steps(connection: &mut Connection, migrations: &[&str]) -> Result<(), StoreError> {
    loop {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Read inside the transaction: another process may have migrated meanwhile.
        let (found, known) = (version(&transaction)?, latest(migrations));
        if found > known {
            return Err(StoreError::Newer { found, known });
        }
        let Some(statements) = usize::try_from(found).ok().and_then(|found| migrations.get(found)) else {
            return Ok(());
        };
        transaction.execute_batch(statements)?;
        let strays: i64 =
            transaction.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |row| row.get(0))?;
        if strays > 0 {
            let step = found + 1;
            return Err(StoreError::Other(format!("{strays} rows would refer to nothing in version {step}")));
        }
        transaction.pragma_update(None, "user_version", found + 1)?;
        transaction.commit()?;
    }
}

/// Copies the database of an older version to `FILE.v1-20261122T012329Z`, and removes older copies.
pub fn keep_copy(connection: &Connection, path: &Path, now: Moment) -> Result<PathBuf, StoreError> {
    let copy = beside(path, &format!(".v{}-{}", version(connection)?, stamp(now)));
    copy_to(connection, &copy)?;
    forget_old_copies(path);
    Ok(copy)
}

/// A time in a file name: `20261122T012329Z`.
fn stamp(now: Moment) -> String {
    let at = OffsetDateTime::from_unix_timestamp(now.0 / 1000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let ((year, month, day), (hour, minute, second)) = (at.to_calendar_date(), at.to_hms());
    format!("{year:04}{:02}{day:02}T{hour:02}{minute:02}{second:02}Z", u8::from(month))
}

/// Copies that cannot be removed stay: a migration does not fail because of them.
fn forget_old_copies(path: &Path) {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str()))
    else {
        return;
    };
    let prefix = format!("{name}.v");
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut copies: Vec<(String, PathBuf)> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // By time, as it stands at the end: versions are not all of the same length.
            let (_, at) = name.strip_prefix(&prefix)?.split_once('-')?;
            let is_time = at.len() == 16 && at.ends_with('Z');
            is_time.then(|| (at.to_owned(), entry.path()))
        })
        .collect();
    copies.sort();
    copies.reverse();
    for (_, copy) in copies.iter().skip(KEPT_COPIES) {
        let _ = fs::remove_file(copy);
    }
}
