//! `db check`, `db backup` and `db vacuum`, all of them while the monitor serves.

use super::database::{Store, held};
use super::error::StoreError;
use super::file::{MODE, beside, give_to_owner_of_directory};
use super::lock::Lock;
use super::refused::Refused;
use super::{connection, migrate};
use rusqlite::Connection;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// Problems that are shown; a damaged page can bring thousands.
const MOST_PROBLEMS: u32 = 100;
/// Pages that are given back in one transaction: 4 MB, some 20 ms.
const STEP: u32 = 1024;
/// Between two steps. SQLite's waiting is not a queue but a look every 100 ms at most: the server gets its turn only if
/// nobody holds the lock for longer than that.
const PAUSE: Duration = Duration::from_millis(120);

/// What `db check` found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Empty: good.
    pub problems: Vec<String>,
    /// Of the schema.
    pub version: i64,
    /// Of the file, and how much of it is free.
    pub bytes: u64,
    pub free: u64,
}

/// What `db vacuum` did, in bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vacuumed {
    pub before: u64,
    pub after: u64,
    /// Rewritten as a whole, which takes that nobody serves it.
    pub whole: bool,
}

impl Store {
    /// Reads all of it; others go on writing meanwhile, into a file that grows until this has ended.
    ///
    /// # Errors
    /// It cannot be read at all.
    pub fn check(&self) -> Result<Checked, StoreError> {
        self.read(|connection| {
            let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            let bytes = |pages: i64, size: i64| u64::try_from(pages.saturating_mul(size)).unwrap_or(0);
            let size = number("PRAGMA page_size")?;
            Ok(Checked {
                problems: problems(connection)?,
                version: migrate::version(connection)?,
                bytes: bytes(number("PRAGMA page_count")?, size),
                free: bytes(number("PRAGMA freelist_count")?, size),
            })
        })
    }

    /// Copies all of it, as it is at this moment, to a file that is not there yet, and checks the copy. Its size.
    ///
    /// # Errors
    /// There is such a file, or it cannot be written; nothing is left behind.
    pub fn backup(&self, target: &Path) -> Result<u64, Refused> {
        if target.symlink_metadata().is_ok() {
            return Err(Refused::because(format!(
                "{}: is there already; name another file",
                target.display()
            )));
        }
        // Not by `read`: VACUUM cannot run in a transaction, makes one of its own, and is no query.
        let connection = connection::writer(self.path(), self.manner)?;
        self.still_there()?;
        copy_to(&connection, target)?;
        Ok(fs::metadata(target).map_or(0, |metadata| metadata.len()))
    }

    /// Gives free space back to the disk: in small steps while the monitor serves, else by writing the file anew.
    ///
    /// # Errors
    /// As of any transaction; what was given back so far stays so.
    pub fn vacuum(&self) -> Result<Vacuumed, StoreError> {
        let before = self.size()?;
        let whole = match Lock::take(self.path()) {
            Ok(_alone) => {
                held(&self.writer).connection.execute_batch("VACUUM")?;
                true
            }
            Err(StoreError::Held { .. }) => {
                while self.vacuum_step(STEP)? {
                    // On a channel that never has anything: a pause, and nothing else to wait for.
                    let _ = crossbeam_channel::after(PAUSE).recv();
                }
                false
            }
            Err(error) => return Err(error),
        };
        // What is in the log only is no change of the file yet. Whoever reads or writes now is not waited for.
        held(&self.writer).connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?;
        Ok(Vacuumed { before, after: self.size()?, whole })
    }

    /// Gives at most so many pages back; whether there are more.
    ///
    /// # Errors
    /// As of any transaction.
    pub fn vacuum_step(&self, pages: u32) -> Result<bool, StoreError> {
        self.write(|tx| {
            // One page for each row that is asked for, of which SQLite says nothing.
            let mut statement = tx.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
            let mut rows = statement.query([])?;
            while rows.next()?.is_some() {}
            Ok(tx.query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0))? > 0)
        })
    }

    /// In bytes, with what is in the log only.
    fn size(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
            let bytes = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
            Ok(u64::try_from(bytes).unwrap_or(0))
        })
    }
}

fn problems(connection: &Connection) -> Result<Vec<String>, StoreError> {
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

/// Copies the whole database as it is at this moment into a new file, and checks the copy; others go on writing.
///
/// `VACUUM INTO` rather than the backup API: one snapshot without beginning anew at each write of others, and no free
/// pages in the copy.
pub fn copy_to(connection: &Connection, target: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::of_file(target, &error);
    let unfinished = beside(target, ".part");
    let Some(name) = unfinished.to_str() else {
        return Err(StoreError::Other(format!("{} is not UTF-8; name another file", target.display())));
    };
    // Of a backup that was killed.
    let _ = fs::remove_file(&unfinished);
    // SQLite fills an empty file as it fills none at all, and this one has the right mode from the start.
    let file =
        OpenOptions::new().write(true).create_new(true).mode(MODE).open(&unfinished).map_err(failed)?;
    let done = give_to_owner_of_directory(&file, &unfinished).map_err(failed).and_then(|()| {
        drop(file);
        connection.execute("VACUUM INTO ?1", [name])?;
        approve(&unfinished)?;
        // SQLite does not sync what it has no journal for.
        File::open(&unfinished).and_then(|file| file.sync_all()).map_err(failed)?;
        fs::rename(&unfinished, target).map_err(failed)
    });
    if done.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    done
}

/// That a copy is whole: a backup of a damaged database is none.
fn approve(copy: &Path) -> Result<(), StoreError> {
    let connection = connection::bare(copy)?;
    match problems(&connection)?.into_iter().next() {
        Some(problem) => Err(StoreError::Corrupt(problem)),
        None => Ok(()),
    }
}
