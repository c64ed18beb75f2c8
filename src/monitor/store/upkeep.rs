//! `db check`, `db backup` and `db vacuum`, all of them while the monitor serves.

use super::error::StoreError;
use rusqlite::Connection;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Copies the whole database as it is at this moment into a new file; others go on writing.
///
/// `VACUUM INTO` rather than the backup API: one snapshot without beginning anew at each write of others, every row
/// read on the way, and no free pages in the copy.
pub fn copy_to(connection: &Connection, target: &Path) -> Result<(), StoreError> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Other(format!("{} cannot be written: {error}", target.display())),
    };
    let unfinished = super::beside(target, ".part");
    let _ = fs::remove_file(&unfinished);
    // SQLite fills an empty file as it fills none at all, and this one has the right mode from the start.
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(super::create::MODE)
        .open(&unfinished)
        .map_err(failed)?;
    super::create::give_to_owner_of_directory(&file, &unfinished).map_err(failed)?;
    drop(file);
    let Some(name) = unfinished.to_str() else {
        return Err(StoreError::Other(format!("{} is not UTF-8; name another file", target.display())));
    };
    let copied = connection.execute("VACUUM INTO ?1", [name]).map_err(StoreError::from).and_then(|_| {
        // It is not synced by SQLite.
        File::open(&unfinished)
            .and_then(|file| file.sync_all())
            .and_then(|()| fs::rename(&unfinished, target))
            .map_err(failed)
    });
    if copied.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    copied
}
