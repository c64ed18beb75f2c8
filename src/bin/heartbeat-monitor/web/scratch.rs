//! A database for a test of pages, in a directory of its own.

use heartbeat_daemon::clock::Moment;
use heartbeat_daemon::monitor::store::{DatabaseLocation, Store};
use std::ops::Deref;
use std::sync::Arc;
use tempfile::TempDir;

/// Removed on drop.
pub struct ScratchStore {
    store: Arc<Store>,
    _directory: TempDir,
}

impl ScratchStore {
    pub fn new() -> ScratchStore {
        let directory = tempfile::tempdir().expect("a scratch directory");
        let location = DatabaseLocation::from(directory.path().join("monitor.db"));
        let store = Store::open_beside(&location, Moment(0)).expect("a database");
        ScratchStore { store: Arc::new(store), _directory: directory }
    }
}

impl Deref for ScratchStore {
    type Target = Arc<Store>;

    fn deref(&self) -> &Arc<Store> {
        &self.store
    }
}
