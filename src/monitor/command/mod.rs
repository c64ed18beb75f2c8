//! What the commands of the command line do: each opens the database beside the server, acts, and says what it did.
//!
//! | file | what it owns |
//! |---|---|
//! | `machine` | machines and their tokens |
//! | `enroll` | keys with which devices add themselves |
//! | `token` | tokens of the read API |
//! | `recipient` | who is told of what, and when |
//! | `channel` | ways to reach recipients |
//! | `database` | check, backup, vacuum |
//! | `check_config` | all that a start or a later read would refuse |
//! | `events` | what happened lately |
//! | `fleet` | a simulated fleet against a running monitor |
//! | `table` | columns for people |
//! | `token_file` | where a new token is left: printed, or in a private file |

pub mod channel;
pub mod check_config;
pub mod database;
pub mod enroll;
pub mod events;
pub mod fleet;
pub mod machine;
pub mod recipient;
pub mod token;
mod token_file;
