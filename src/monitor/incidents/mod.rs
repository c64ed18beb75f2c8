//! What people are notified about: when an incident begins and ends, and who hears of it.
//!
//! | file | what it owns |
//! |---|---|
//! | `sweep` | the check of each interval |
//! | `transitions` | a machine's status, each change one transaction |
//! | `announce` | a change written down: incident, event, outbox rows |
//! | `plan` | who is notified, and when: pure |
//! | `table` | the table of incidents |

mod announce;
pub mod plan;
pub mod sweep;
pub mod table;
mod transitions;
