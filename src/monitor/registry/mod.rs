//! Permission to send and to read: machines, their tokens, enrolment keys and read tokens.
//!
//! | file | what it owns |
//! |---|---|
//! | `token` | how a token is made and hashed |
//! | `lookup` | whose token it is: in memory, for each request |
//! | `credentials` | what `lookup` reads from the database |
//! | `machines`, `watching` | machines and their descriptions; disabled, enabled, paused, resumed |
//! | `dependencies`, `find` | which machine is behind which; a machine by its name or number |
//! | `device_tokens` | tokens of devices and of readers, as they are stored |
//! | `issue` | new tokens: made, handed over, stored |
//! | `enrolment/` | keys with which devices add themselves, and devices that wait for approval |
//! | `simulated` | machines that exist only for measurements |

pub mod credentials;
mod dependencies;
pub mod device_tokens;
pub mod enrolment;
mod find;
pub mod issue;
pub mod lookup;
pub mod machines;
mod simulated;
pub mod token;
pub mod watching;
