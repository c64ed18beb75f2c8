//! PostgreSQL: a server, which other monitors may use, too.
//!
//! | file | what it owns |
//! |---|---|
//! | `database` | the connections of a process |
//! | `schema` | the tables |
//! | `figures` | what the server says of its upkeep |
//! | `link` | a connection that is made again after it was lost |
//! | `client` | calls that end: the only file that knows the client's library |
//! | `url` | where a database is |
//! | `certificates` | how a server's certificate is checked |
//! | `placeholders` | `?1` becomes `$1` |

mod certificates;
pub mod client;
#[cfg(test)]
mod cluster;
mod database;
mod figures;
mod link;
mod placeholders;
mod schema;
#[cfg(test)]
mod scratch;
#[cfg(test)]
mod tests;
pub mod url;

pub use database::PostgresDatabase;
#[cfg(test)]
pub use scratch::ScratchDatabase;
