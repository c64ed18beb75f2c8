//! What people are notified about: when an incident begins and ends, and who hears of it.
//!
//! | file | what it owns |
//! |---|---|
//! | `sweep` | the check of each interval |
//! | `transitions` | a machine's status, each change one transaction |
//! | `announce` | a change written down: incident, event, outbox rows |
//! | `policy` | the limits by which incidents are judged |
//! | `transition` | a change of a machine's status, and its log line |
//! | `plan` | who is notified, and when: pure |
//! | `table` | the table of incidents |

mod announce;
pub mod plan;
pub mod policy;
pub mod sweep;
pub mod table;
mod transition;
mod transitions;
