//! The commands of the command line. Each opens the database beside the running server and returns its output.
//!
//! | file | what it owns |
//! |---|---|
//! | `audited` | what a command changes, for the audit log |
//! | `machine` | machines and their tokens |
//! | `maintenance` | maintenance that recurs each week |
//! | `monitor` | the monitors of a database |
//! | `enroll` | enrolment keys |
//! | `token` | read tokens |
//! | `user` | users of the pages |
//! | `status_page` | pages of groups for people without an account |
//! | `recipient` | recipients and their preferences |
//! | `report` | prints a report |
//! | `channel` | channels; `channel/target` checks where they lead |
//! | `condition` | settings of conditions |
//! | `incident` | who is on an incident, and comments |
//! | `database` | check, backup, vacuum |
//! | `check_config` | checks everything that a start or a later read would refuse |
//! | `health` | asks the running monitor for its health |
//! | `events` | the list of events |
//! | `fleet` | a simulated fleet against a running monitor |
//! | `table` | tables for people |
//! | `token_file` | output of a new token: printed or in a private file |

pub mod audited;
pub mod channel;
mod channel_add;
pub mod check_config;
pub mod condition;
pub mod database;
pub mod enroll;
mod enroll_card;
pub mod events;
pub mod fleet;
pub mod health;
pub mod incident;
pub mod machine;
pub mod maintenance;
pub mod monitor;
#[cfg(test)]
mod parse;
pub mod recipient;
pub mod report;
pub mod status_page;
pub mod token;
mod token_file;
pub mod user;
