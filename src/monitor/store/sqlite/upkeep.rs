//! `db check`, `db backup` and `db vacuum`, all of them while the monitor serves.

use super::copy::{copy_to, problems};
use super::database::{SqliteDatabase, held};
use super::file::beside;
use super::lock::Lock;
use super::{connection, migrate};
use crate::monitor::store::error::StoreError;
use crate::monitor::store::refused::Refused;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Pages that one transaction frees: 4 MB, about 20 ms.
const STEP: u32 = 1024;
/// Pause between two steps. SQLite has no queue for the lock: the server retries every 100 ms at most, so the lock must be
/// free for longer than that.
const PAUSE: Duration = Duration::from_millis(120);

/// The result of `db check`.
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

/// The result of `db vacuum`, in bytes of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vacuumed {
    pub before: u64,
    pub after: u64,
    /// The file was rewritten as a whole, which is possible only without a running server.
    pub whole: bool,
}

impl SqliteDatabase {
    /// Reads the whole database. Other processes can write meanwhile; the file grows until the check ends.
    pub fn check(&self) -> Result<Checked, StoreError> {
        self.read(|connection| {
            let number = |sql: &str| connection.query_row(sql, &[], |row| row.get::<i64>(0));
            let bytes = |pages: i64, size: i64| u64::try_from(pages.saturating_mul(size)).unwrap_or(0);
            let size = number("PRAGMA page_size")?;
            Ok(Checked {
                problems: problems(connection.sqlite()?)?,
                version: migrate::version(connection.sqlite()?)?,
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
        // Not through `read`: VACUUM cannot run in a transaction and is not a query.
        let connection = connection::writer(self.path(), self.manner)?;
        self.still_there()?;
        copy_to(&connection, target)?;
        Ok(fs::metadata(target).map_or(0, |metadata| metadata.len()))
    }

    /// Returns free space to the disk: in small steps while a monitor runs, otherwise by rewriting the file.
    ///
    /// # Errors
    /// As of any transaction; what was given back so far stays so.
    pub fn vacuum(&self) -> Result<Vacuumed, StoreError> {
        let before = self.size()?;
        let whole = match Lock::acquire(self.path()) {
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
        // Pages that are only in the log have not changed the file yet. Does not wait for current readers and writers.
        held(&self.writer).connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)")?;
        Ok(Vacuumed { before, after: self.size()?, whole })
    }

    /// Frees at most `pages` pages; true if there are more.
    pub fn vacuum_step(&self, pages: u32) -> Result<bool, StoreError> {
        self.write(|tx| {
            // One page for each row that is asked for, of which SQLite says nothing.
            tx.query_each(&format!("PRAGMA incremental_vacuum({pages})"), &[], |_| Ok(()))?;
            Ok(tx.query_row("PRAGMA freelist_count", &[], |row| row.get::<i64>(0))? > 0)
        })
    }

    /// Of the file and its log, in bytes.
    pub fn disk_usage(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        size(&self.path) + size(&beside(&self.path, "-wal"))
    }

    /// In bytes, including pages that are only in the log.
    fn size(&self) -> Result<u64, StoreError> {
        self.read(|connection| {
            let number = |sql: &str| connection.query_row(sql, &[], |row| row.get::<i64>(0));
            let bytes = number("PRAGMA page_count")?.saturating_mul(number("PRAGMA page_size")?);
            Ok(u64::try_from(bytes).unwrap_or(0))
        })
    }
}
