//! A checked copy of a database.

use super::connection;
use super::file::{MODE, beside, give_to_owner_of_directory};
use crate::monitor::store::error::StoreError;
use rusqlite::Connection;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Problems that are shown; a damaged page can bring thousands.
const MOST_PROBLEMS: u32 = 100;
/// Copies the whole database as it is at this moment into a new file, and checks the copy; others go on writing.
///
/// Uses `VACUUM INTO`, because the backup API restarts at each write of other connections; and the copy has no free pages.
pub fn copy_to(connection: &Connection, target: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::of_file(target, &error);
    let unfinished = beside(target, ".part");
    let Some(name) = unfinished.to_str() else {
        return Err(StoreError::Other(format!("{} is not UTF-8; name another file", target.display())));
    };
    // Left behind by a backup that was killed.
    let _ = fs::remove_file(&unfinished);
    // SQLite accepts an empty file, which has the right mode from the start.
    let file =
        OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished).map_err(failed)?;
    let done = give_to_owner_of_directory(&file, &unfinished).map_err(failed).and_then(|()| {
        drop(file);
        connection.execute("VACUUM INTO ?1", [name])?;
        approve(&unfinished)?;
        // SQLite does not sync a file without a journal.
        File::open(&unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
        fs::rename(&unfinished, target).map_err(failed)
    });
    if done.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    done
}

/// Checks a copy: a backup of a damaged database is useless.
fn approve(copy: &Path) -> Result<(), StoreError> {
    let connection = connection::bare(copy)?;
    match problems(&connection)?.into_iter().next() {
        Some(problem) => Err(StoreError::Corrupt(problem)),
        None => Ok(()),
    }
}

pub fn problems(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut problems = Vec::new();
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MOST_PROBLEMS})"))?;
    let mut rows = statement.query([])?;
    loop {
        match rows.next() {
            Ok(Some(row)) => problems.push(row.get::<_, String>(0)?),
            Ok(None) => break,
            // So damaged that the check itself ends.
            Err(error) => match StoreError::from(error) {
                StoreError::Corrupt(why) => {
                    problems.push(why);
                    return Ok(problems);
                }
                other => return Err(other),
            },
        }
    }
    problems.retain(|problem| problem != "ok");
    let strays = "SELECT \"table\", count(*) FROM pragma_foreign_key_check GROUP BY 1";
    let mut statement = connection.prepare(strays)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (table, count): (String, i64) = (row.get(0)?, row.get(1)?);
        problems.push(format!("{count} rows of {table} refer to nothing"));
    }
    Ok(problems)
}
