//! The database: hand-written SQL on SQLite or PostgreSQL. The statements about a subject are in the subject's module.
//!
//! | file | what it owns |
//! |---|---|
//! | `database` | the database of a process, whatever its engine |
//! | `changes` | what other processes have changed |
//! | `figures` | what a database server says of its upkeep |
//! | `location` | a file or a URL |
//! | `sql`, `value` | how the subjects run statements, whatever the engine is |
//! | `sqlite` | SQLite: a file, the default |
//! | `postgres` | PostgreSQL: its client, and the schema there |
//! | `partitions` | tables that PostgreSQL cuts by time |
//! | `page` | lists that are read a page at a time |
//! | `transfer` | a copy of everything into another database |
//! | `error`, `refused` | what can be wrong, and what to do |

mod changes;
mod database;
mod error;
pub mod figures;
mod location;
pub mod page;
pub mod partitions;
#[cfg(feature = "postgres")]
mod postgres;
mod refused;
pub mod sql;
mod sqlite;
mod transfer;
mod value;

#[cfg(test)]
pub use database::Scratch;
pub use database::Store;
pub use error::{OpenError, StoreError};
pub use location::DatabaseLocation;
pub use refused::Refused;
pub use sqlite::{Checked, Damage, QuickCheck, Vacuumed, beside, give_to_owner_of_directory};
pub use transfer::{CopiedRows, CopyProgress};
