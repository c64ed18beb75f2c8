//! What the commands of the command line do: each opens the database beside the server, acts, and says what it did.
//!
//! | file | what it owns |
//! |---|---|
//! | `channel` | ways to reach recipients |
//! | `recipient` | who is told of what, and when |
//! | `table` | columns for people |

pub mod channel;
pub mod recipient;
mod table;
