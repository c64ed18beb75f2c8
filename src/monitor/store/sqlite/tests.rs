//! The database under everything that can happen to a file.

mod faults;
mod kills;
mod migrations;
mod opening;
mod upkeep;

use super::connection::{self, Manner};
use super::database::*;
use super::migrate;
use crate::clock::Moment;
use crate::monitor::machine::MachineId;
use crate::monitor::store::sql::{Connection, Transaction, params};
use crate::monitor::store::{DatabaseLocation, Store, StoreError};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const DAY: Moment = Moment(1_763_774_609_000);

fn file(path: &Path) -> DatabaseLocation {
    DatabaseLocation::File(path.to_owned())
}

fn count(store: &Store) -> i64 {
    store.read(|c| c.query_row("SELECT count(*) FROM machine", &[], |r| r.get(0))).expect("read")
}

/// A row that is committed when this returns.
fn add(store: &Store, name: &str) -> Result<(), StoreError> {
    store.write(|tx| {
        tx.execute("INSERT INTO machine (name, created_at) VALUES (?1, 0)", params![name])?;
        Ok(())
    })
}

/// Files in a directory whose name has `part` in it.
fn files(directory: &Path, part: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("listed");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> = names.filter(|name| name.contains(part)).collect();
    names.sort();
    names
}
