//! What the commands of the command line do: each opens the database beside the server, acts, and says what it did.
//!
//! | file | what it owns |
//! |---|---|
//! | `machine` | machines and their tokens |
//! | `enroll` | keys with which devices add themselves |
//! | `token` | tokens of the read API |
//! | `database` | check, backup, vacuum |
//! | `table` | columns for people |

pub mod database;
pub mod enroll;
pub mod machine;
mod table;
pub mod token;
