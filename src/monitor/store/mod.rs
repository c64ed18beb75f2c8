//! The database: SQLite, one writer, hand-written SQL. The statements about a subject are in the subject's module.
//!
//! One process serves a database. Commands change it from another process, and the server notices
//! (`PRAGMA data_version`).
//!
//! | file | what it owns |
//! |---|---|
//! | `database` | the connections of a process: one writer, several readers |
//! | `connection` | how SQLite is configured |
//! | `create`, `migrate`, `lock` | a new file, an old file, one server per file |
//! | `file` | names, identity and owner of the file and those beside it |
//! | `upkeep`, `copy`, `damage` | check, backup, vacuum; a quick check of the tables at start |
//! | `wal` | a write-ahead log that was removed while it is in use |
//! | `sql`, `value` | how the subjects run statements, whatever the engine is |
//! | `sqlite` | values as SQLite's library has them |
//! | `postgres` | the client of PostgreSQL, which no store uses yet |
//! | `page` | lists that are read a page at a time |
//! | `error`, `refused` | what can be wrong, and what to do |

mod connection;
mod copy;
mod create;
mod damage;
mod database;
mod error;
mod file;
mod lock;
mod migrate;
pub mod page;
#[cfg(feature = "postgres")]
#[cfg_attr(not(test), expect(dead_code, reason = "no store is on PostgreSQL yet"))]
mod postgres;
mod refused;
pub mod sql;
mod sqlite;
#[cfg(test)]
mod tests;
mod upkeep;
mod value;
mod wal;

pub use damage::{Damage, QuickCheck};
#[cfg(test)]
pub use database::Scratch;
pub use database::Store;
pub use error::{OpenError, StoreError};
pub use file::beside;
pub use file::give_to_owner_of_directory;
pub use refused::Refused;
pub use upkeep::{Checked, Vacuumed};
