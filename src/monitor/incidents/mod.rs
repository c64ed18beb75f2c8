//! Incidents, which people are notified about: when one begins and ends, and which recipients get a message.
//!
//! | file | what it owns |
//! |---|---|
//! | `policy` | the rules: late, doubtful, flapping; pure |
//! | `grace` | since when silence counts against a machine; pure |
//! | `isolation` | whether this monitor itself is cut off from the machines |
//! | `late` | **declares a machine late** |
//! | `sweep` | the check of each interval |
//! | `status` | the status of machines in the database |
//! | `transitions` | changes of machines' status, each one transaction with what follows |
//! | `announce` | changes written down: incidents, events |
//! | `messages` | what is sent about them: rows of the outbox |
//! | `behind` | the rule for machines behind a dead one, in SQL |
//! | `context` | what decides whether a change is announced: maintenance, flapping |
//! | `conditions` | conditions that begin and end, each with its messages |
//! | `setup` | problems of a machine's setup: judged by the sweep, whether the machine is online or not |
//! | `unacknowledged` | what escalations and reminders are about |
//! | `escalations` | what nobody acknowledges is announced to another recipient |
//! | `reminders` | what is still open is announced again |
//! | `repetitions` | how often an incident was announced again, for lists |
//! | `summary` | one message about the conditions that held when they were first judged |
//! | `transition` | a change of a machine's status, and its log line |
//! | `plan` | who is notified, and when: pure |
//! | `table` | the table of incidents |
//! | `acknowledge` | who is on an incident, and comments |
//! | `list`, `recent` | incidents as they are listed; those of the last hours |

pub mod acknowledge;
mod announce;
mod behind;
pub mod conditions;
mod context;
mod escalations;
mod grace;
pub mod isolation;
mod late;
pub mod list;
mod messages;
pub mod plan;
pub mod policy;
pub mod recent;
mod reminders;
pub mod repetitions;
pub mod setup;
mod status;
mod summary;
pub mod sweep;
pub mod table;
mod transition;
mod transitions;
mod unacknowledged;
