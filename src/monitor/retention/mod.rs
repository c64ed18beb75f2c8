//! How long events, deliveries and history are kept.
//!
//! | file | what it owns |
//! |---|---|
//! | `horizon` | the moment that retention is counted from |
//! | `prune` | what is removed from the database |
//! | `hourly` | the thread that removes it |

pub mod horizon;
pub mod hourly;
mod prune;
