//! How long events, deliveries and history are kept.
//!
//! | file | what it owns |
//! |---|---|
//! | `horizon` | the moment that retention is counted from |
//! | `prune` | removes old rows from the database |
//! | `hourly` | the thread that does so |

pub mod horizon;
pub mod hourly;
mod prune;
