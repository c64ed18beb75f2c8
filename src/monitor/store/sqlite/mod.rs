//! SQLite: a file, with one writer and several readers.
//!
//! One monitor serves a file. Commands change it from another process, and the server notices (`PRAGMA data_version`).
//!
//! | file | what it owns |
//! |---|---|
//! | `database` | the connections of a process: one writer, several readers |
//! | `connection` | how SQLite is configured |
//! | `create`, `migrate`, `lock` | a new file, an old file, one server per file |
//! | `file` | names, identity and owner of the file and those beside it |
//! | `upkeep`, `copy`, `damage` | check, backup, vacuum; a quick check of the tables at start |
//! | `wal` | a write-ahead log that was removed while it is in use |
//! | `values` | parameters and columns as SQLite's library has them |

mod connection;
mod copy;
mod create;
mod damage;
mod database;
mod file;
mod lock;
mod migrate;
#[cfg(test)]
mod tests;
mod upkeep;
mod values;
mod wal;

pub use damage::{Damage, QuickCheck};
pub use database::SqliteDatabase;
pub use file::{beside, give_to_owner_of_directory};
pub use upkeep::{Checked, Vacuumed};
pub use values::{bound, bound_row, value};
