//! How long events, deliveries and history are kept.
//!
//! | file | what it owns |
//! |---|---|
//! | `horizon` | the moment that retention is counted from |
//! | `ahead` | makes partitions before they are needed |
//! | `prune` | removes old rows from the database |
//! | `hourly` | the thread that does so |

pub mod ahead;
pub mod horizon;
pub mod hourly;
mod prune;
