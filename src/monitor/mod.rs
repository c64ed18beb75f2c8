//! The program on a server: takes a fleet's heartbeats, knows who is late, and tells people once.
//!
//! ```text
//! http reactor ─ requests ─► workers ── beats ──► fleet (memory) ─┐ once a second
//!                              │                                  ▼
//!                              ├─ replays, recoveries ─────► recorder + sweeper ──┐ one transaction: last_seen,
//!                              │                               one thread         ├─ outages, events, outbox
//!                read API ◄────┘                                                  ▼
//!                    ▲───────────────────────────────────────────────────────── store
//!                              couriers, one per channel ◄── outbox, leased ──────┘
//! ```
//!
//! | file | what it owns |
//! |---|---|
//! | `beat` | a heartbeat of any origin, in the one form used inside |
//! | `time` | the monitor's clock: the only one that decides |
//! | `command/` | what the command line's commands do |
//! | `machine` | what a machine is, and what it may be called |
//! | `tokens`, `registry` | what proves who somebody is, and who that is |
//! | `store/` | the database; one file a subject |

pub mod beat;
pub mod command;
pub mod machine;
pub mod registry;
pub mod store;
pub mod time;
pub mod tokens;
