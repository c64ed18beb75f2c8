//! Whether the write-ahead log beside the database is still the file that this process has open.
//!
//! SQLite continues to write to a log that was removed. The next process that opens the database would not find it.

use super::connection;
use super::database::{SqliteDatabase, held};
use super::file::{beside, identity};
use crate::monitor::store::error::StoreError;

impl SqliteDatabase {
    /// True if the write-ahead log was removed or replaced since the last call. Its content is in the database then,
    /// and a new log is in its place.
    ///
    /// # Errors
    /// The content could not be saved yet; the next call tries again.
    pub fn renew_removed_wal(&self) -> Result<bool, StoreError> {
        self.still_there()?;
        let mut writer = held(&self.writer);
        let found = identity(&beside(&self.path, "-wal"));
        let known = writer.wal;
        if known.is_none() || found == known {
            writer.wal = found;
            return Ok(false);
        }
        // The connection still has the removed file open.
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy: i64 = writer.connection.query_row(checkpoint, [], |row| row.get(0))?;
        if busy != 0 {
            return Err(StoreError::Busy);
        }
        held(&self.readers).clear();
        let renewed = connection::writer(&self.path, self.manner)?;
        connection::make_room(&renewed)?;
        writer.connection = renewed;
        // Commits of other processes in the meantime are unknown: the next check finds a change.
        writer.seen = -1;
        writer.wal = identity(&beside(&self.path, "-wal"));
        Ok(true)
    }
}
