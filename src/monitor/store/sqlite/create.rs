//! Creates a database: complete or not at all.

use super::connection;
use super::file::{MODE, beside, directory, give_to_owner_of_directory};
use super::migrate::{self, APPLICATION_ID};
use crate::monitor::store::error::StoreError;
use rustix::fs::{AtFlags, CWD, linkat};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Of the state directory, where there is none.
const DIRECTORY_MODE: u32 = 0o750;

/// Makes the database under another name and links it to its own when it is complete, so that a file of that name is
/// never empty, and two that make it at the same moment end with one.
pub fn create(path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let directory = directory(path);
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(|error| StoreError::of_file(directory, &error))?;
    let unfinished = beside(path, &format!(".new-{}-{:08x}", std::process::id(), fastrand::u32(..)));
    let made = fill(&unfinished, migrations)
        .and_then(|()| publish(&unfinished, path).map_err(|error| StoreError::of_file(path, &error)));
    // After a crash here, 200 KB are left behind under a name that nothing uses.
    let _ = fs::remove_file(&unfinished);
    made
}

fn fill(path: &Path, migrations: &[&str]) -> Result<(), StoreError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    let owned = opened.and_then(|file| give_to_owner_of_directory(&file, path));
    owned.map_err(|error| StoreError::of_file(path, &error))?;
    let mut new = connection::bare(path)?;
    // A journal in memory is enough: an interrupted creation is started again. Free space is returned in small steps
    // while the monitor runs, which must be enabled before the first table.
    new.execute_batch(&format!(
        "PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL; PRAGMA auto_vacuum = INCREMENTAL;
         PRAGMA application_id = {APPLICATION_ID};"
    ))?;
    migrate::migrate(&mut new, migrations)
}

/// Gives the finished database its name, unless another process was faster: then its is as good.
fn publish(unfinished: &Path, path: &Path) -> io::Result<()> {
    match linkat(CWD, unfinished, CWD, path, AtFlags::empty()) {
        Ok(()) => File::open(directory(path))?.sync_all(),
        Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
